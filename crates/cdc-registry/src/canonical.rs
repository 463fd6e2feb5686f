//! The normal form of a schema's text, by which equal schemas get one id however they are spelt.
//!
//! It keeps what readers may depend on (documentation, defaults, logical types, every attribute)
//! and levels what means nothing: white space, the order of keys, `{"type":"string"}` for
//! `"string"`, names written in full or within a namespace. Avro's own canonical form is no use
//! here: it drops defaults and logical types, so that `decimal(10,2)` and `decimal(10,4)` would
//! share an id.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::avro::{Invalid, Primitive, Schema, full_name, qualify};

/// SHA-256 of a schema's normal form: equal if and only if two schemas are the same.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// Returns the fingerprint of a schema.
    pub fn of(schema: &Schema) -> Self {
        match serde_json::from_str(schema.text()) {
            Ok(value) => Self::of_bytes(normal_form(&value).as_bytes()),
            Err(_) => Self::of_bytes(schema.text().as_bytes()),
        }
    }

    /// Returns the SHA-256 of any bytes, not normalised.
    pub fn of_bytes(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// Returns the fingerprint that `as_bytes` gave the bytes of.
    pub(crate) fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Returns its 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Returns the normal form of a schema's text.
///
/// # Errors
/// If `text` is no valid Avro schema.
pub fn normalise(text: &str) -> Result<String, Invalid> {
    Schema::parse(text)?;
    let value = serde_json::from_str(text)
        .map_err(|error| Invalid(format!("not JSON at line {}", error.line())))?;
    Ok(normal_form(&value))
}

/// Returns the normal form of a text that is JSON, without asking whether it is a valid schema: it
/// may use types that others define.
pub fn respell(text: &str) -> Option<String> {
    serde_json::from_str(text).ok().map(|value| normal_form(&value))
}

fn normal_form(value: &Value) -> String {
    let mut out = String::new();
    write_type(value, "", &mut out);
    out
}

fn write_type(value: &Value, namespace: &str, out: &mut String) {
    match value {
        Value::String(name) if Primitive::from_name(name).is_some() => write_text(name, out),
        Value::String(name) => write_text(&qualify(name, namespace), out),
        Value::Array(branches) => {
            write_list(branches, out, |branch, out| write_type(branch, namespace, out));
        }
        Value::Object(object) => write_object(object, namespace, out),
        other => write_json(other, out),
    }
}

fn write_object(object: &Map<String, Value>, namespace: &str, out: &mut String) {
    let kind = object.get("type").and_then(Value::as_str).unwrap_or_default();
    if object.len() == 1 && !kind.is_empty() {
        return write_type(&Value::String(kind.to_owned()), namespace, out);
    }
    let full = match kind {
        "record" | "error" | "enum" | "fixed" => full_name(object, namespace).ok(),
        _ => None,
    };
    let inner = match &full {
        Some(full) => full.rsplit_once('.').map_or("", |(namespace, _)| namespace),
        None => namespace,
    };
    write_sorted(object, out, |key, value, out| match (key, value) {
        ("name", _) if full.is_some() => write_text(full.as_deref().unwrap_or_default(), out),
        ("items" | "values", value) => write_type(value, inner, out),
        ("fields", Value::Array(fields)) => {
            write_list(fields, out, |field, out| write_field(field, inner, out));
        }
        (_, value) => write_json(value, out),
    });
}

fn write_field(field: &Value, namespace: &str, out: &mut String) {
    let Value::Object(object) = field else { return write_json(field, out) };
    write_sorted(object, out, |key, value, out| match key {
        "type" => write_type(value, namespace, out),
        _ => write_json(value, out),
    });
}

/// Writes an object with its keys in order, without those that say nothing.
fn write_sorted(
    object: &Map<String, Value>,
    out: &mut String,
    mut write: impl FnMut(&str, &Value, &mut String),
) {
    let sorted: BTreeMap<&String, &Value> = object.iter().collect();
    out.push('{');
    let start = out.len();
    for (key, value) in sorted {
        let is_idle = match key.as_str() {
            "namespace" => object.contains_key("name"),
            "aliases" => value.as_array().is_some_and(Vec::is_empty),
            "order" => value.as_str() == Some("ascending"),
            _ => false,
        };
        if is_idle {
            continue;
        }
        if out.len() > start {
            out.push(',');
        }
        write_text(key, out);
        out.push(':');
        write(key, value, out);
    }
    out.push('}');
}

fn write_list(values: &[Value], out: &mut String, mut write: impl FnMut(&Value, &mut String)) {
    out.push('[');
    for (index, value) in values.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        write(value, out);
    }
    out.push(']');
}

fn write_json(value: &Value, out: &mut String) {
    match value {
        Value::Object(object) => {
            let sorted: BTreeMap<&String, &Value> = object.iter().collect();
            out.push('{');
            for (index, (key, value)) in sorted.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_text(key, out);
                out.push(':');
                write_json(value, out);
            }
            out.push('}');
        }
        Value::Array(values) => write_list(values, out, write_json),
        Value::Number(number) => out.push_str(&match (number.as_i64(), number.as_f64()) {
            (Some(number), _) => number.to_string(),
            (None, Some(float)) if float.is_finite() => format!("{float:?}"),
            (None, _) => number.to_string(),
        }),
        other => out.push_str(&other.to_string()),
    }
}

fn write_text(text: &str, out: &mut String) {
    out.push_str(&Value::String(text.to_owned()).to_string());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn same(left: &str, right: &str) {
        assert_eq!(normalise(left).unwrap(), normalise(right).unwrap());
    }

    #[test]
    fn spelling_does_not_matter() {
        same("\"string\"", " { \"type\" : \"string\" } ");
        same(
            r#"{"type":"record","name":"R","namespace":"a.b","fields":[
                {"name":"x","type":{"type":"fixed","name":"F","size":2}},{"name":"y","type":"F"}]}"#,
            r#"{"fields":[{"type":{"size":2,"type":"fixed","name":"a.b.F"},"name":"x"},
                {"name":"y","type":"a.b.F","order":"ascending"}],"name":"a.b.R","type":"record"}"#,
        );
    }

    #[test]
    fn meaning_matters() {
        let plain = normalise(r#"{"type":"bytes","logicalType":"decimal","scale":2}"#).unwrap();
        let scaled = normalise(r#"{"type":"bytes","logicalType":"decimal","scale":4}"#).unwrap();
        assert_ne!(plain, scaled);
    }
}
