//! Compares what we wrote with what Debezium emitted: every record of a scenario, in every format,
//! and every Avro schema to the byte.
//!
//! Only what the goldens' README lists is normalised; what else differs is in
//! `docs/debezium-compatibility.md`, and in [`scenario`] as a [`Deviation`] that must really occur.
#![expect(clippy::missing_panics_doc, clippy::unwrap_used, reason = "a difference ends the test")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use apache_avro::types::Value as Avro;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use cdc_model::{Headers, LogRecord, Record, Topic};
use cdc_pipeline::port::{SchemaId, SchemaRegistry};
use serde_json::{Map, Value as Json, json};

pub mod scenario;

pub use scenario::{Deviation, Scenario};

/// How the records of a configuration are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Avro in Confluent's frame.
    Avro,
    /// JSON without schema.
    Json,
    /// JSON with its schema in each record.
    JsonWithSchema,
}

impl Format {
    /// Every format that was recorded.
    pub const ALL: [Self; 3] = [Self::Avro, Self::Json, Self::JsonWithSchema];

    fn name(self) -> &'static str {
        match self {
            Self::Avro => "avro",
            Self::Json => "json",
            Self::JsonWithSchema => "json_schema",
        }
    }
}

/// A record that we wrote.
#[derive(Debug, Clone)]
pub struct Written {
    topic: Topic,
    key: Option<Bytes>,
    value: Option<Bytes>,
    headers: Headers,
}

impl From<Record> for Written {
    fn from(Record { topic, key, value, headers, .. }: Record) -> Self {
        Self { topic, key, value, headers }
    }
}

impl From<LogRecord> for Written {
    fn from(LogRecord { source, key, value, headers, .. }: LogRecord) -> Self {
        Self { topic: source.topic, key, value, headers }
    }
}

impl Scenario {
    /// Returns the folder of its SQL and its goldens.
    pub fn folder(&self) -> PathBuf {
        let testkit = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        testkit.join("../cdc-codec/testdata/goldens").join(self.name)
    }

    fn read(&self, format: Format, end: &str) -> String {
        let path = self.folder().join(format!("{}{}.{end}", self.variant, format.name()));
        std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// Returns the topics' prefix, which is the connector's name.
    pub fn prefix(&self, format: Format) -> String {
        format!("{}_{}{}", self.name, self.variant, format.name())
    }

    /// Returns the name of the database that Debezium captured.
    pub fn database(&self) -> String {
        format!("g_{}", self.name)
    }

    /// Returns how many records Debezium wrote to the topics that are compared.
    pub fn record_count(&self, format: Format) -> usize {
        self.golden_topics(format).values().map(Vec::len).sum()
    }

    /// Asserts that `written` is what Debezium wrote, but for what is listed.
    pub async fn compare<R: SchemaRegistry>(
        &self,
        format: Format,
        written: &[Written],
        registry: &R,
    ) {
        let mut ours = self.our_topics(format, written, registry).await;
        let mut golden = self.golden_topics(format);
        if format == Format::Avro {
            self.compare_schemas(written, registry).await;
        }
        self.leave_out(&mut ours);
        self.leave_out(&mut golden);
        self.deviate(&mut golden, format);
        assert_eq!(ours.keys().collect::<Vec<_>>(), golden.keys().collect::<Vec<_>>());
        for (topic, ours) in &ours {
            let golden = &golden[topic];
            assert_eq!(ours.len(), golden.len(), "{format:?} {topic}");
            for (offset, (ours, golden)) in ours.iter().zip(golden).enumerate() {
                let place = format!("{format:?} {topic} {offset}");
                same(&ours.key, &golden.key, &format!("{place} key"));
                same(&ours.value, &golden.value, &format!("{place} value"));
                assert_eq!(ours.headers, golden.headers, "{place}");
            }
        }
    }

    async fn our_topics<R: SchemaRegistry>(
        &self,
        format: Format,
        written: &[Written],
        registry: &R,
    ) -> Topics {
        let prefix = self.prefix(format);
        let mut topics = Topics::new();
        for record in written {
            let mut plain = Plain { key: Json::Null, value: Json::Null, headers: Vec::new() };
            for (side, bytes) in [(&mut plain.key, &record.key), (&mut plain.value, &record.value)]
            {
                let Some(bytes) = bytes else { continue };
                *side = match format {
                    Format::Avro => {
                        from_avro(&registry.schema(schema_id(bytes)).await.unwrap(), &bytes[5..])
                    }
                    Format::Json | Format::JsonWithSchema => serde_json::from_slice(bytes).unwrap(),
                };
            }
            let headers = record.headers.iter().filter(|h| !h.name.starts_with("penstock."));
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
            plain.headers = headers.map(|h| (h.name.to_string(), text(&h.value))).collect();
            normalise(&mut plain.value);
            let topic = record.topic.as_str().strip_prefix(&prefix).unwrap().to_owned();
            topics.entry(topic).or_default().push(plain);
        }
        topics
    }

    fn golden_topics(&self, format: Format) -> Topics {
        let prefix = self.prefix(format);
        let schemas: BTreeMap<String, String> = match format {
            Format::Avro => serde_json::from_str(&self.read(format, "schemas.json")).unwrap(),
            Format::Json | Format::JsonWithSchema => BTreeMap::new(),
        };
        let mut topics = Topics::new();
        for line in self.read(format, "jsonl").lines() {
            let line: Json = serde_json::from_str(line).unwrap();
            let topic = line["topic"].as_str().unwrap().strip_prefix(&prefix).unwrap().to_owned();
            if self.skipped.contains(&topic.as_str()) {
                continue;
            }
            let side = |name: &str| match &line[name] {
                Json::String(text) => serde_json::from_str(text).unwrap(),
                Json::Object(avro) => {
                    let bytes = STANDARD.decode(avro["b64"].as_str().unwrap()).unwrap();
                    from_avro(&schemas[&avro["schema_id"].to_string()], &bytes[5..])
                }
                _ => Json::Null,
            };
            let mut plain = Plain { key: side("key"), value: side("value"), headers: Vec::new() };
            normalise(&mut plain.value);
            for header in line["headers"].as_array().unwrap() {
                let (name, text) = (header[0].as_str().unwrap(), header[1].as_str().unwrap());
                if !name.starts_with("__debezium.context.") {
                    plain.headers.push((name.to_owned(), text.to_owned()));
                }
            }
            topics.entry(topic).or_default().push(plain);
        }
        topics
    }

    fn leave_out(&self, topics: &mut Topics) {
        for (topic, columns) in &self.left_out {
            for plain in topics.get_mut(*topic).into_iter().flatten() {
                leave_out(&mut plain.value, columns);
            }
        }
    }

    /// Edits the golden where we deviate, and checks that it needed the edit.
    fn deviate(&self, golden: &mut Topics, format: Format) {
        let schema = format == Format::JsonWithSchema;
        for Deviation { topic, offsets, path, ours } in &self.deviations {
            for offset in *offsets {
                let plain = &mut golden.get_mut(*topic).unwrap()[*offset];
                if *path == "header" {
                    assert_ne!(plain.headers[0].1, *ours, "{topic} {offset}: no deviation");
                    plain.headers[0].1 = ours.as_str().unwrap().to_owned();
                    continue;
                }
                let (side, rest) = path.split_once('.').unwrap_or((path, ""));
                let mut place = if side == "key" { &mut plain.key } else { &mut plain.value };
                if schema && !place.is_null() {
                    place = &mut place["payload"];
                }
                for part in rest.split('.').filter(|part| !part.is_empty()) {
                    place =
                        place.get_mut(part).unwrap_or_else(|| panic!("{topic} {offset} {path}"));
                }
                assert_ne!(place, ours, "{topic} {offset} {path}: no deviation");
                *place = ours.clone();
            }
        }
        if schema {
            // The schema in the record is compared with what the Avro schemas' edits make of it.
            for topic in golden.values_mut() {
                for plain in topic {
                    self.edit_json_schema(&mut plain.value);
                    self.edit_json_schema(&mut plain.key);
                }
            }
        }
    }

    /// The deviations of schemas, as far as they show in JSON.
    fn edit_json_schema(&self, side: &mut Json) {
        let Some(schema) = side.get_mut("schema") else { return };
        let is_index_key = schema["name"] == "toast_keys_json_schema.public.ri_index.Key";
        let Some(fields) = schema.get_mut("fields").and_then(Json::as_array_mut) else { return };
        if is_index_key {
            *fields = vec![json!({"type": "string", "optional": false, "field": "code"})];
        }
        for image in fields.iter_mut().take(2) {
            let columns = image.get_mut("fields").and_then(Json::as_array_mut);
            for field in columns.into_iter().flatten() {
                match (self.name, field["field"].as_str().unwrap()) {
                    ("types_numeric", "nneg") => {
                        field["parameters"] =
                            json!({"scale": "0", "connect.decimal.precision": "5"});
                    }
                    ("types_numeric", "bi") if field["optional"] == false => {
                        *field = json!({"type": "int64", "optional": false, "default": 0, "field": "bi"});
                    }
                    _ => {}
                }
            }
        }
    }

    async fn compare_schemas<R: SchemaRegistry>(&self, written: &[Written], registry: &R) {
        let format = Format::Avro;
        let prefix = self.prefix(format);
        let golden: BTreeMap<String, String> =
            serde_json::from_str(&self.read(format, "schemas.json")).unwrap();
        let mut golden: BTreeSet<String> = golden.into_values().collect();
        for topic in &self.skipped {
            golden.retain(|text| !text.contains(&format!("\"namespace\":\"{prefix}{topic}\"")));
            golden.retain(|text| *topic != ".transaction" || !text.contains("TransactionMetadata"));
        }
        let mut ours = BTreeSet::new();
        for bytes in written.iter().flat_map(|record| [&record.key, &record.value]).flatten() {
            ours.insert(registry.schema(schema_id(bytes)).await.unwrap().to_string());
        }
        for (topic, columns) in &self.left_out {
            let namespace = format!("{prefix}{topic}");
            let without = |text: String| without(&text, &namespace, columns);
            golden = golden.into_iter().map(without).collect();
            ours = ours.into_iter().map(without).collect();
        }
        for (from, to) in &self.schema_edits {
            assert!(golden.iter().any(|text| text.contains(from)), "no schema has {from}");
            golden = golden.into_iter().map(|text| text.replace(from, to)).collect();
        }
        for text in &ours {
            assert!(golden.contains(text), "not among the goldens: {text}");
        }
        for text in &golden {
            assert!(ours.contains(text), "golden that we lack: {text}");
        }
    }
}

/// A record in the form that is compared: key, value, headers.
#[derive(Debug, Clone)]
struct Plain {
    key: Json,
    value: Json,
    headers: Vec<(String, String)>,
}

/// The records of each topic, named without the prefix, in order.
type Topics = BTreeMap<String, Vec<Plain>>;

fn schema_id(bytes: &[u8]) -> SchemaId {
    assert_eq!(bytes[0], 0, "Confluent's frame");
    SchemaId(u32::from_be_bytes(bytes[1..5].try_into().unwrap()))
}

/// Takes out what varies from run to run: the README's list.
fn normalise(value: &mut Json) {
    let wrapped = value.get("payload").is_some();
    let value = if wrapped { &mut value["payload"] } else { value };
    let Json::Object(envelope) = value else { return };
    for name in ["ts_ms", "ts_us", "ts_ns"] {
        if let Some(time) = envelope.get_mut(name) {
            *time = json!("varies");
        }
    }
    let Some(Json::Object(source)) = envelope.get_mut("source") else { return };
    for name in ["ts_ms", "ts_us", "ts_ns", "lsn", "sequence", "txId"] {
        // That a value is there does not vary.
        if let Some(value) = source.get_mut(name).filter(|value| !value.is_null()) {
            *value = json!("varies");
        }
    }
}

fn leave_out(value: &mut Json, columns: &[&str]) {
    if value.get("schema").is_some() {
        for image in [0, 1] {
            let fields = value["schema"]["fields"][image]["fields"].as_array_mut().unwrap();
            fields.retain(|field| !columns.contains(&field["field"].as_str().unwrap()));
        }
    }
    let wrapped = value.get("payload").is_some();
    let payload = if wrapped { &mut value["payload"] } else { value };
    for image in ["before", "after"] {
        if let Some(row) = payload.get_mut(image).and_then(Json::as_object_mut) {
            row.retain(|name, _| !columns.contains(&name.as_str()));
        }
    }
}

/// A schema's text without some columns.
fn without(text: &str, namespace: &str, columns: &[&str]) -> String {
    let mut schema: Json = serde_json::from_str(text).unwrap();
    if schema["name"] == "Envelope" && schema["namespace"] == namespace {
        let fields = schema["fields"][0]["type"][1]["fields"].as_array_mut().unwrap();
        fields.retain(|field| !columns.contains(&field["name"].as_str().unwrap()));
    }
    schema.to_string()
}

/// Decodes with the stock library, as Connect's JSON would have it.
fn from_avro(schema: &str, mut bytes: &[u8]) -> Json {
    let schema = apache_avro::Schema::parse_str(schema).unwrap();
    let reader = apache_avro::reader::datum::GenericDatumReader::builder(&schema).build().unwrap();
    let value = reader.read_value(&mut bytes).unwrap();
    assert!(bytes.is_empty());
    plain(value)
}

fn plain(value: Avro) -> Json {
    let float = |value: f64, text: String| match value {
        _ if value.is_nan() => json!("NaN"),
        _ if value.is_infinite() => json!(if value > 0.0 { "Infinity" } else { "-Infinity" }),
        _ => serde_json::from_str(&text).unwrap(),
    };
    match value {
        Avro::Null => Json::Null,
        Avro::Boolean(value) => json!(value),
        Avro::Int(value) => json!(value),
        Avro::Long(value) => json!(value),
        Avro::Float(value) => float(f64::from(value), format!("{value:?}")),
        Avro::Double(value) => float(value, format!("{value:?}")),
        Avro::Bytes(bytes) => json!(STANDARD.encode(bytes)),
        Avro::Decimal(decimal) => {
            json!(STANDARD.encode(<Vec<u8>>::try_from(decimal).unwrap()))
        }
        Avro::String(text) => json!(text),
        Avro::Union(_, value) => plain(*value),
        Avro::Array(items) => items.into_iter().map(plain).collect(),
        Avro::Record(fields) => {
            Json::Object(fields.into_iter().map(|(name, value)| (name, plain(value))).collect())
        }
        Avro::Map(map) => {
            Json::Object(map.into_iter().map(|(k, v)| (k, plain(v))).collect::<Map<_, _>>())
        }
        other => panic!("{other:?}"),
    }
}

/// Compares with the order of members; floats by value, for shortest digits differ.
fn same(ours: &Json, golden: &Json, place: &str) {
    match (ours, golden) {
        (Json::Object(a), Json::Object(b)) => {
            assert_eq!(a.keys().collect::<Vec<_>>(), b.keys().collect::<Vec<_>>(), "{place}");
            for (name, value) in a {
                same(value, &b[name], &format!("{place}.{name}"));
            }
        }
        (Json::Array(a), Json::Array(b)) => {
            assert_eq!(a.len(), b.len(), "{place}");
            for (index, (a, b)) in a.iter().zip(b).enumerate() {
                same(a, b, &format!("{place}[{index}]"));
            }
        }
        (Json::Number(a), Json::Number(b)) if a != b => {
            let read = |n: &serde_json::Number| n.to_string().parse::<f64>().unwrap();
            let single = |n: &serde_json::Number| n.to_string().parse::<f32>().unwrap();
            let fractional =
                a.to_string().contains(['.', 'E']) && b.to_string().contains(['.', 'E']);
            assert!(
                fractional && (read(a) == read(b) || single(a) == single(b)),
                "{place}: {a} {b}"
            );
        }
        _ => assert_eq!(ours, golden, "{place}"),
    }
}
