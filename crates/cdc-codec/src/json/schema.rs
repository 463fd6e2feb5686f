//! A Connect schema as `JsonConverter` writes it into each record.

use serde_json::{Map, Value as Json, json};

use crate::connect::{Field, Kind, Schema};

/// Returns the schema's JSON.
pub(crate) fn render(schema: &Schema) -> Json {
    Json::Object(object(schema))
}

fn object(schema: &Schema) -> Map<String, Json> {
    let mut map = Map::new();
    let ty = match &schema.kind {
        Kind::Boolean => "boolean",
        Kind::Int16 => "int16",
        Kind::Int32 => "int32",
        Kind::Int64 => "int64",
        Kind::Float => "float",
        Kind::Double => "double",
        Kind::String => "string",
        Kind::Bytes => "bytes",
        Kind::Array(_) => "array",
        Kind::Struct(_) => "struct",
    };
    map.insert("type".into(), json!(ty));
    match &schema.kind {
        Kind::Struct(fields) => {
            map.insert("fields".into(), fields.iter().map(of_field).collect());
        }
        Kind::Array(items) => {
            map.insert("items".into(), render(items));
        }
        _ => {}
    }
    map.insert("optional".into(), json!(schema.optional));
    if let Some(name) = &schema.name {
        map.insert("name".into(), json!(name));
    }
    if let Some(version) = schema.version {
        map.insert("version".into(), json!(version));
    }
    if let Some(doc) = schema.doc {
        map.insert("doc".into(), json!(doc));
    }
    if !schema.parameters.is_empty() {
        let pairs = schema.parameters.iter();
        let parameters = pairs.map(|(key, value)| ((*key).to_owned(), json!(value))).collect();
        map.insert("parameters".into(), Json::Object(parameters));
    }
    if let Some(default) = &schema.default {
        map.insert("default".into(), default.clone());
    }
    map
}

fn of_field(field: &Field) -> Json {
    let mut map = object(&field.schema);
    map.insert("field".into(), json!(field.name));
    Json::Object(map)
}
