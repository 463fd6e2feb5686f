//! A Connect schema as Avro, with the properties by which Confluent's converter keeps what Avro
//! has no word for.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value as Json, json};

use crate::connect::{Field, Kind, Schema};
use crate::name;

/// Property of a field whose column has another name than Avro allows: that name.
pub(crate) const COLUMN_NAME: &str = "penstock.name";
/// Property of a field whose column has a default that the field's does not tell.
pub(crate) const COLUMN_DEFAULT: &str = "penstock.default";
/// Property of a field whose column was added to rows that were there: what those have in it.
pub(crate) const COLUMN_MISSING: &str = "penstock.missing";

/// Returns the Avro schema of a struct.
pub(crate) fn render(schema: &Schema) -> Json {
    inner(schema, "", &mut Vec::new())
}

/// A schema without its being optional; `namespace` is the enclosing one, `seen` the names
/// already defined.
fn inner(schema: &Schema, namespace: &str, seen: &mut Vec<String>) -> Json {
    let mut map = Map::new();
    match &schema.kind {
        Kind::Struct(fields) => return record(schema, fields, namespace, seen),
        Kind::Array(items) => {
            map.insert("type".into(), json!("array"));
            let item = inner(items, namespace, seen);
            let item = if items.optional { json!(["null", item]) } else { item };
            map.insert("items".into(), item);
        }
        Kind::Boolean => primitive(&mut map, "boolean"),
        Kind::Int16 => {
            primitive(&mut map, "int");
            map.insert("connect.type".into(), json!("int16"));
        }
        Kind::Int32 => primitive(&mut map, "int"),
        Kind::Int64 => primitive(&mut map, "long"),
        Kind::Float => primitive(&mut map, "float"),
        Kind::Double => primitive(&mut map, "double"),
        Kind::String => primitive(&mut map, "string"),
        Kind::Bytes => primitive(&mut map, "bytes"),
    }
    let number = |key: &str| {
        let parameter = schema.parameters.iter().find(|(name, _)| *name == key);
        parameter.and_then(|(_, value)| value.parse::<u32>().ok())
    };
    let scale = number("scale");
    if let Some(scale) = scale {
        map.insert("scale".into(), json!(scale));
        map.insert("precision".into(), json!(number("connect.decimal.precision").unwrap_or(64)));
    }
    properties(&mut map, schema);
    if scale.is_some() {
        map.insert("logicalType".into(), json!("decimal"));
    }
    match map.get("type") {
        Some(plain) if map.len() == 1 => plain.clone(),
        _ => Json::Object(map),
    }
}

fn primitive(map: &mut Map<String, Json>, ty: &str) {
    map.insert("type".into(), json!(ty));
}

/// The properties that stand for Connect's own, in the converter's order.
fn properties(map: &mut Map<String, Json>, schema: &Schema) {
    if let Some(doc) = schema.doc {
        map.insert("connect.doc".into(), json!(doc));
    }
    if let Some(version) = schema.version {
        map.insert("connect.version".into(), json!(version));
    }
    if !schema.parameters.is_empty() {
        let pairs = schema.parameters.iter();
        let parameters = pairs.map(|(key, value)| ((*key).to_owned(), json!(value))).collect();
        map.insert("connect.parameters".into(), Json::Object(parameters));
    }
    if let Some(default) = default(schema) {
        map.insert("connect.default".into(), default);
    }
    if let Some(name) = &schema.name {
        map.insert("connect.name".into(), json!(name));
    }
}

/// The default as Avro writes it: bytes as the characters of their numbers.
fn default(schema: &Schema) -> Option<Json> {
    let default = schema.default.clone()?;
    match (&schema.kind, default) {
        (Kind::Bytes, Json::String(base64)) => {
            let bytes = STANDARD.decode(base64).ok()?;
            Some(json!(bytes.iter().map(|byte| char::from(*byte)).collect::<String>()))
        }
        (_, default) => Some(default),
    }
}

fn record(schema: &Schema, fields: &[Field], namespace: &str, seen: &mut Vec<String>) -> Json {
    let full = name::full(schema.name.as_deref().unwrap_or("ConnectDefault"));
    let (own, local) = full.rsplit_once('.').unwrap_or(("", &full));
    if seen.contains(&full) {
        return json!(if own == namespace { local } else { &full });
    }
    seen.push(full.clone());
    let mut map = Map::new();
    primitive(&mut map, "record");
    map.insert("name".into(), json!(local));
    if own != namespace {
        map.insert("namespace".into(), json!(own));
    }
    let names = name::fields(fields.iter().map(|field| field.name.as_str()));
    let pairs = fields.iter().zip(names);
    map.insert(
        "fields".into(),
        pairs.map(|(field, name)| of_field(field, &name, own, seen)).collect(),
    );
    properties(&mut map, &Schema { name: Some(full.clone()), ..schema.clone() });
    Json::Object(map)
}

fn of_field(field: &Field, name: &str, namespace: &str, seen: &mut Vec<String>) -> Json {
    let schema = inner(&field.schema, namespace, seen);
    let default = default(&field.schema);
    let (ty, default) = match (field.schema.optional, default) {
        (true, None) => (json!(["null", schema]), Some(Json::Null)),
        (true, Some(default)) => (json!([schema, "null"]), Some(default)),
        (false, default) => (schema, default),
    };
    let mut map = Map::new();
    map.insert("name".into(), json!(name));
    map.insert("type".into(), ty);
    if let Some(default) = default {
        map.insert("default".into(), default);
    }
    if name != field.name {
        map.insert(COLUMN_NAME.into(), json!(field.name));
    }
    if let Some(mark) = &field.mark {
        map.insert(COLUMN_DEFAULT.into(), mark.clone());
    }
    if let Some(missing) = &field.missing {
        map.insert(COLUMN_MISSING.into(), json!(missing));
    }
    Json::Object(map)
}

/// Returns whether two key schemas have the same names and types: whether a key written under one
/// has the same bytes under the other (design D8). Defaults and comments do not count.
pub(crate) fn same_key(a: &Json, b: &Json) -> bool {
    bare(a) == bare(b)
}

fn bare(schema: &Json) -> Json {
    const IGNORED: [&str; 6] =
        ["default", "doc", "connect.default", "connect.doc", COLUMN_DEFAULT, "aliases"];
    match schema {
        Json::Object(map) => {
            // A plain type and an object that only names it are the same.
            let kept = map.iter().filter(|(key, _)| !IGNORED.contains(&key.as_str()));
            let kept: Map<_, _> = kept.map(|(key, value)| (key.clone(), bare(value))).collect();
            match kept.get("type") {
                Some(ty) if kept.len() == 1 => ty.clone(),
                _ => Json::Object(kept),
            }
        }
        Json::Array(items) => items.iter().map(bare).collect(),
        _ => schema.clone(),
    }
}

/// Returns the names of the columns that may be null in an envelope's schema.
pub(crate) fn nullable_columns(envelope: &Json) -> Vec<String> {
    let row = envelope["fields"][0]["type"].as_array().into_iter().flatten();
    let fields = row.filter_map(|branch| branch["fields"].as_array()).flatten();
    let nullable = fields.filter(|field| {
        field["type"].as_array().is_some_and(|union| union.iter().any(|branch| branch == "null"))
    });
    nullable
        .filter_map(|field| field.get(COLUMN_NAME).or(field.get("name"))?.as_str())
        .map(str::to_owned)
        .collect()
}
