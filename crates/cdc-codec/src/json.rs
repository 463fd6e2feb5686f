//! JSON as Connect's `JsonConverter` writes it, with Debezium's types.
//!
//! Source: <https://kafka.apache.org/documentation/#connect_allconfigs> (`JsonConverter`).

pub(crate) mod read;
pub(crate) mod schema;
pub(crate) mod write;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cdc_model::Value;

pub(crate) use read::value as read_value;

use crate::wire::{Fit, Wire};

/// Returns the base64 text of `bytes`.
pub(crate) fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// Returns the JSON that a schema's default has for `value`, if it can be one.
pub(crate) fn default_of(wire: &Wire, value: &Value) -> Option<serde_json::Value> {
    let finite = match value {
        Value::Float32(value) => value.is_finite(),
        Value::Float64(value) => value.is_finite(),
        _ => true,
    };
    let mut out = Vec::new();
    match write::value(&mut out, wire, value)? {
        Fit::Exact | Fit::Lossy if finite => serde_json::from_slice(&out).ok(),
        Fit::Exact | Fit::Lossy | Fit::Absent => None,
    }
}
