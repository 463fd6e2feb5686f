//! What the formats differ in: the bytes around values, and how a value is written.

use cdc_model::Value;

use crate::config::Format;
use crate::wire::{Fit, Wire};
use crate::{avro, json};

/// Appends a value of a form; `None` if it is of another type.
pub(crate) type WriteValue = fn(&mut Vec<u8>, &Wire, &Value) -> Option<Fit>;

/// The bytes around rows and images.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Layout {
    pub(crate) is_avro: bool,
    pub(crate) write: WriteValue,
    pub(crate) row: (&'static [u8], &'static [u8]),
    /// Where there is no image, and before one that there is.
    pub(crate) image: (&'static [u8], &'static [u8]),
    /// Between the two images, and after the second.
    pub(crate) joints: (&'static [u8], &'static [u8]),
}

impl Layout {
    const AVRO: Self = Self {
        is_avro: true,
        write: avro::write::value,
        row: (b"", b""),
        image: (&[0], &[2]),
        joints: (b"", b""),
    };
    pub(crate) const JSON: Self = Self {
        is_avro: false,
        write: json::write::value,
        row: (b"{", b"}"),
        image: (b"null", b""),
        joints: (b",\"after\":", b",\"source\":"),
    };

    pub(crate) fn of(format: Format) -> Self {
        match format {
            Format::Avro => Self::AVRO,
            Format::Json | Format::JsonWithSchema => Self::JSON,
        }
    }
}

/// What precedes and follows a key or a value: a frame, or a schema.
#[derive(Debug, Default)]
pub(crate) struct Wrapping {
    pub(crate) open: Vec<u8>,
    pub(crate) close: &'static [u8],
}

impl Wrapping {
    /// Confluent's frame: a zero byte and the id, big-endian.
    pub(crate) fn frame(id: u32) -> Self {
        let mut open = vec![0];
        open.extend_from_slice(&id.to_be_bytes());
        Self { open, close: b"" }
    }

    /// The schema beside the payload.
    pub(crate) fn schema(schema: &serde_json::Value) -> Self {
        Self { open: format!("{{\"schema\":{schema},\"payload\":").into_bytes(), close: b"}" }
    }
}
