//! Confluent's records of the topic `_schemas`, to and from changes of the catalogue. Pure.
//!
//! ```text
//! {"keytype":"SCHEMA","subject":"s","version":1,"magic":1}
//!     {"subject":"s","version":1,"id":7,"schema":"…","deleted":false}   none: removed for good
//! {"keytype":"CONFIG","subject":"s","magic":0}          {"compatibilityLevel":"FULL"}
//! {"keytype":"MODE","subject":"s","magic":0}            {"mode":"READONLY"}
//! {"keytype":"DELETE_SUBJECT","subject":"s","magic":0}  {"subject":"s","version":3}
//! {"keytype":"NOOP","magic":0}                          ours: {"last_id":7}
//! ```
//!
//! The order of a key's properties counts, for compaction compares bytes. The key of a global
//! setting has no subject; older registries wrote `"subject":null`, which is read, too.
//!
//! # Ids
//! A schema removed for good leaves nothing behind once the topic was compacted, not even its id.
//! So that the highest id is not given again, our removals also write a `NOOP` that tells it. Other
//! registries ignore its value, and may overwrite it.

use std::sync::Arc;

use bytes::Bytes;
use cdc_pipeline::port::{SchemaId, SchemaVersion, Subject};
use cdc_registry::Catalog;
use cdc_registry::catalog::{Change, SchemaText};
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// What a record says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Said {
    /// A change of the catalogue.
    Change(Change),
    /// Ids up to this one were given.
    LastId(u32),
    /// Nothing that concerns the catalogue.
    Nothing,
    /// Something that cannot be understood, and why.
    Unreadable(&'static str),
}

#[derive(Deserialize)]
struct Key {
    keytype: String,
    #[serde(default)]
    subject: Option<String>,
    #[serde(default)]
    version: Option<u32>,
}

#[derive(Deserialize)]
struct SchemaValue {
    id: u32,
    schema: String,
    #[serde(default)]
    deleted: bool,
    #[serde(flatten)]
    others: Map<String, Value>,
}

/// What is kept beside a schema's text.
const ATTRIBUTES: [&str; 4] = ["schemaType", "references", "metadata", "ruleSet"];

/// Reads a record.
pub(crate) fn read(key: Option<&[u8]>, value: Option<&[u8]>) -> Said {
    let key = key.and_then(|key| serde_json::from_slice::<Key>(key).ok());
    let Some(key) = key else { return Said::Unreadable("its key is none of a registry's") };
    if key.subject.as_deref().is_some_and(|s| s.starts_with(":.") && !s.starts_with(":.:")) {
        return Said::Unreadable("it is of a context, and only the default one is served");
    }
    let plain = |name: String| name.strip_prefix(":.:").map(str::to_owned).unwrap_or(name);
    let subject = key.subject.map(plain).map(Subject::new);
    match (key.keytype.as_str(), subject) {
        ("SCHEMA", Some(subject)) => match key.version {
            Some(version) => schema(subject, SchemaVersion(version), value),
            None => Said::Unreadable("its key has no version"),
        },
        ("CONFIG", subject) => setting(value, "compatibilityLevel", |level| {
            Some(Change::Level(subject, level.map(str::parse).transpose().ok()?))
        }),
        ("MODE", subject) => setting(value, "mode", |mode| {
            Some(Change::Mode(subject, mode.map(str::parse).transpose().ok()?))
        }),
        ("DELETE_SUBJECT", Some(subject)) => deletion(subject, value),
        ("NOOP", _) => {
            let value = value.and_then(|value| serde_json::from_slice::<Value>(value).ok());
            let last = value.and_then(|value| value.get("last_id")?.as_u64());
            last.and_then(|last| u32::try_from(last).ok()).map_or(Said::Nothing, Said::LastId)
        }
        ("SCHEMA" | "DELETE_SUBJECT", None) => Said::Unreadable("its key has no subject"),
        _ => Said::Nothing,
    }
}

fn schema(subject: Subject, version: SchemaVersion, value: Option<&[u8]>) -> Said {
    let Some(value) = value else { return Said::Change(Change::Remove { subject, version }) };
    let Ok(mut value) = serde_json::from_slice::<SchemaValue>(value) else {
        return Said::Unreadable("its value is no schema");
    };
    value.others.retain(|name, value| {
        let is_empty = value.is_null() || value.as_array().is_some_and(Vec::is_empty);
        ATTRIBUTES.contains(&name.as_str()) && !is_empty && *value != "AVRO"
    });
    let attributes = (!value.others.is_empty()).then(|| Arc::new(value.others));
    let schema = SchemaText { text: value.schema.into(), attributes };
    let (id, is_deleted) = (SchemaId(value.id), value.deleted);
    Said::Change(Change::Version { subject, version, id, schema, is_deleted })
}

fn setting(
    value: Option<&[u8]>,
    name: &str,
    change: impl FnOnce(Option<&str>) -> Option<Change>,
) -> Said {
    let parsed = value.map(serde_json::from_slice::<Value>).transpose();
    let Ok(parsed) = parsed else { return Said::Unreadable("its value is no JSON") };
    let found = parsed.as_ref().and_then(|value| value.get(name)?.as_str());
    change(found).map_or(Said::Unreadable("its value is not known here"), Said::Change)
}

fn deletion(subject: Subject, value: Option<&[u8]>) -> Said {
    let Some(value) = value else { return Said::Nothing };
    let value = serde_json::from_slice::<Value>(value).ok();
    let through = value.and_then(|value| u32::try_from(value.get("version")?.as_u64()?).ok());
    match through {
        Some(through) => {
            Said::Change(Change::DeleteSubject { subject, through: SchemaVersion(through) })
        }
        None => Said::Unreadable("its value has no version"),
    }
}

type Entry = (Bytes, Option<Bytes>);

/// Writes `changes` of `catalog` as records.
pub(crate) fn write(catalog: &Catalog, changes: &[Change]) -> Vec<Entry> {
    let mut records: Vec<Entry> = changes.iter().filter_map(entry).collect();
    if changes.iter().any(|change| matches!(change, Change::Remove { .. })) {
        let value = json!({ "last_id": catalog.last_id() });
        records.push((text(&json!({ "keytype": "NOOP", "magic": 0 })), Some(text(&value))));
    }
    records
}

fn text(value: &Value) -> Bytes {
    value.to_string().into()
}

fn setting_key(kind: &str, subject: Option<&Subject>) -> Value {
    match subject {
        Some(subject) => json!({ "keytype": kind, "subject": &*subject.0, "magic": 0 }),
        None => json!({ "keytype": kind, "magic": 0 }),
    }
}

fn entry(change: &Change) -> Option<Entry> {
    let version_key = |subject: &Subject, version: SchemaVersion| {
        let (subject, version) = (&*subject.0, version.0);
        json!({ "keytype": "SCHEMA", "subject": subject, "version": version, "magic": 1 })
    };
    let (key, value) = match change {
        Change::Schema { .. } => return None,
        Change::Version { subject, version, id, schema, is_deleted } => {
            let mut value = Map::new();
            value.insert("subject".to_owned(), Value::from(&*subject.0));
            value.insert("version".to_owned(), Value::from(version.0));
            value.insert("id".to_owned(), Value::from(id.0));
            if let Some(attributes) = &schema.attributes {
                value.extend(attributes.iter().map(|(name, value)| (name.clone(), value.clone())));
            }
            value.insert("schema".to_owned(), Value::from(&*schema.text));
            value.insert("deleted".to_owned(), Value::from(*is_deleted));
            (version_key(subject, *version), Some(Value::Object(value)))
        }
        Change::Remove { subject, version } => (version_key(subject, *version), None),
        Change::DeleteSubject { subject, through } => (
            json!({ "keytype": "DELETE_SUBJECT", "subject": &*subject.0, "magic": 0 }),
            Some(json!({ "subject": &*subject.0, "version": through.0 })),
        ),
        Change::Level(subject, level) => (
            setting_key("CONFIG", subject.as_ref()),
            level.map(|level| json!({ "compatibilityLevel": level.name() })),
        ),
        Change::Mode(subject, mode) => {
            (setting_key("MODE", subject.as_ref()), mode.map(|mode| json!({ "mode": mode.name() })))
        }
    };
    Some((text(&key), value.map(|value| text(&value))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(key: &str, value: &str) -> Said {
        read(Some(key.as_bytes()), (value != "null").then_some(value.as_bytes()))
    }

    #[test]
    fn keys_are_written_byte_for_byte_as_confluents() {
        let subject = Subject::new("t-value");
        let written =
            |change: Change| String::from_utf8(entry(&change).unwrap().0.to_vec()).unwrap();
        let version = SchemaVersion(1);
        assert_eq!(
            written(Change::Remove { subject: subject.clone(), version }),
            r#"{"keytype":"SCHEMA","subject":"t-value","version":1,"magic":1}"#
        );
        assert_eq!(
            written(Change::Level(Some(subject.clone()), None)),
            r#"{"keytype":"CONFIG","subject":"t-value","magic":0}"#
        );
        assert_eq!(written(Change::Level(None, None)), r#"{"keytype":"CONFIG","magic":0}"#);
        assert_eq!(written(Change::Mode(None, None)), r#"{"keytype":"MODE","magic":0}"#);
        assert_eq!(
            written(Change::DeleteSubject { subject, through: version }),
            r#"{"keytype":"DELETE_SUBJECT","subject":"t-value","magic":0}"#
        );
    }

    #[test]
    fn what_is_written_is_read_back() {
        let subject = Subject::new("a \"b\" ü");
        let (version, id) = (SchemaVersion(2), SchemaId(7));
        let attributes = json!({ "schemaType": "JSON", "references": [{ "name": "x" }] });
        let attributes = attributes.as_object().cloned().map(Arc::new);
        let foreign = SchemaText { text: "{}".into(), attributes };
        for change in [
            Change::Remove { subject: subject.clone(), version },
            Change::Version {
                subject: subject.clone(),
                version,
                id,
                schema: SchemaText::avro("\"int\""),
                is_deleted: true,
            },
            Change::Version {
                subject: subject.clone(),
                version,
                id,
                schema: foreign,
                is_deleted: false,
            },
            Change::DeleteSubject { subject: subject.clone(), through: version },
            Change::Level(Some(subject.clone()), "FULL".parse().ok()),
            Change::Level(None, None),
            Change::Mode(Some(subject), "READONLY".parse().ok()),
            Change::Mode(None, None),
        ] {
            let (key, value) = entry(&change).unwrap();
            assert_eq!(read(Some(&key), value.as_deref()), Said::Change(change));
        }
    }

    #[test]
    fn what_another_registry_wrote_is_understood_or_left_alone() {
        let schema = r#"{"subject":"s","version":1,"id":3,"md5":"x","guid":"y","schemaType":"AVRO",
            "references":[],"metadata":null,"schema":"\"int\"","deleted":false}"#;
        let found = said(r#"{"keytype":"SCHEMA","subject":":.:s","version":1,"magic":1}"#, schema);
        let Said::Change(Change::Version { subject, schema, .. }) = found else {
            panic!("{found:?}")
        };
        assert_eq!((&*subject.0, schema), ("s", SchemaText::avro("\"int\"")));
        let level = said(
            r#"{"keytype":"CONFIG","subject":null,"magic":0}"#,
            r#"{"compatibilityLevel":"FULL","normalize":true}"#,
        );
        assert_eq!(level, Said::Change(Change::Level(None, "FULL".parse().ok())));
        let noop = r#"{"keytype":"NOOP","magic":0}"#;
        assert_eq!(said(noop, ""), Said::Nothing);
        assert_eq!(said(noop, r#"{"last_id":9}"#), Said::LastId(9));
        assert_eq!(said(r#"{"keytype":"ASSOC","magic":0}"#, "{}"), Said::Nothing);
        for (key, value) in [
            ("x", "{}"),
            (r#"{"keytype":"SCHEMA","subject":"s","magic":1}"#, "{}"),
            (r#"{"keytype":"SCHEMA","subject":"s","version":1,"magic":1}"#, "{}"),
            (r#"{"keytype":"SCHEMA","subject":":.x:s","version":1,"magic":1}"#, "null"),
            (r#"{"keytype":"CONFIG","magic":0}"#, r#"{"compatibilityLevel":"LOUD"}"#),
            (r#"{"keytype":"DELETE_SUBJECT","subject":"s","magic":0}"#, "{}"),
        ] {
            assert!(matches!(said(key, value), Said::Unreadable(_)), "{key} {value}");
        }
    }
}
