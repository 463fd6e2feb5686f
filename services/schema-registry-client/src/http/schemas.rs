//! `/schemas`: by id, and all of them.

use cdc_pipeline::port::{RegisteredSchema, SchemaId, SchemaVersion, Subject};
use cdc_registry::Catalog;
use cdc_registry::catalog::SchemaText;
use cdc_registry::store::Include;
use serde_json::{Map, Value, json};

use crate::store::Store;

use super::place::Query;
use super::refusal::Refusal;
use super::{Answer, Answered};

/// Reads an id of a path; no other registry knows what is none.
pub(crate) fn parse_id(text: &str) -> Result<SchemaId, Refusal> {
    let id = text.trim().parse::<i32>().ok();
    let id = id.map(|id| u32::try_from(id).map_or(SchemaId(0), SchemaId));
    id.ok_or_else(|| Refusal::new(404, "HTTP 404 Not Found"))
}

pub(super) fn include(query: &Query) -> Include {
    if query.is("deleted") { Include::Deleted } else { Include::Live }
}

/// The body that tells a schema.
fn schema_body(schema: &SchemaText) -> Map<String, Value> {
    let mut body = Map::new();
    if let Some(attributes) = &schema.attributes {
        body.extend(attributes.iter().map(|(name, value)| (name.clone(), value.clone())));
    }
    body.insert("schema".to_owned(), Value::from(&*schema.text));
    body
}

/// The body that tells a version.
pub(super) fn versioned_body(
    catalog: &Catalog,
    subject: &Subject,
    found: &RegisteredSchema,
) -> Value {
    let mut body = Map::new();
    body.insert("subject".to_owned(), Value::from(&*subject.0));
    body.insert("version".to_owned(), Value::from(found.version.0));
    body.insert("id".to_owned(), Value::from(found.id.0));
    let plain = || SchemaText::avro(found.schema.clone());
    body.extend(schema_body(&catalog.schema(found.id).cloned().unwrap_or_else(plain)));
    if catalog.is_deleted(subject, found.version) {
        body.insert("deleted".to_owned(), Value::Bool(true));
    }
    Value::Object(body)
}

pub(super) fn by_id(store: &Store, id: &str, query: &Query) -> Answered {
    let id = parse_id(id)?;
    let (schema, last) = store.read(|catalog| (catalog.schema(id).cloned(), catalog.last_id()))?;
    let mut body = schema_body(&schema.ok_or_else(|| Refusal::schema_not_found(Some(id)))?);
    if query.is("fetchMaxId") {
        body.insert("maxId".to_owned(), Value::from(last));
    }
    Ok(Answer::Json(Value::Object(body)))
}

pub(super) fn text_by_id(store: &Store, id: &str) -> Answered {
    let id = parse_id(id)?;
    let schema = store.read(|catalog| catalog.schema(id).cloned())?;
    let schema = schema.ok_or_else(|| Refusal::schema_not_found(Some(id)))?;
    Ok(Answer::Text(schema.text.to_string()))
}

fn places(
    store: &Store,
    id: &str,
    query: &Query,
) -> Result<Vec<(Subject, SchemaVersion)>, Refusal> {
    let id = parse_id(id)?;
    let places = store
        .read(|catalog| catalog.schema(id).map(|_| catalog.versions_of(id, include(query))))?;
    let places = places.ok_or_else(|| Refusal::schema_not_found(None))?;
    let is_wanted = |subject: &Subject| query.get("subject").is_none_or(|only| only == &*subject.0);
    Ok(places.into_iter().filter(|(subject, _)| is_wanted(subject)).collect())
}

pub(super) fn subjects(store: &Store, id: &str, query: &Query) -> Answered {
    let mut names: Vec<String> =
        places(store, id, query)?.into_iter().map(|(subject, _)| subject.0.to_string()).collect();
    names.dedup();
    Ok(Answer::Json(json!(query.page(names))))
}

pub(super) fn versions(store: &Store, id: &str, query: &Query) -> Answered {
    let places = places(store, id, query)?.into_iter();
    let body = |(subject, version): (Subject, SchemaVersion)| json!({ "subject": &*subject.0, "version": version.0 });
    Ok(Answer::Json(json!(query.page(places.map(body).collect()))))
}

/// Whether a subject's name begins as asked; Confluent's sign for all contexts is no part of it.
pub(super) fn has_prefix(subject: &Subject, query: &Query) -> bool {
    let prefix = query.get("subjectPrefix").unwrap_or_default();
    let prefix = prefix.strip_prefix(":*:").or(prefix.strip_prefix(":.:")).unwrap_or(prefix);
    subject.0.starts_with(prefix)
}

pub(super) fn list(store: &Store, query: &Query) -> Answered {
    let include = include(query);
    let places = store.read(|catalog| {
        let mut places = Vec::new();
        for subject in catalog.subjects(include).filter(|subject| has_prefix(subject, query)) {
            let versions = catalog.versions(subject, include);
            let skipped = if query.is("latestOnly") { versions.len().saturating_sub(1) } else { 0 };
            let versions = versions.into_iter().skip(skipped);
            places.extend(versions.map(|version| (subject.clone(), version)));
        }
        let places = query.page(places).into_iter();
        let body = |(subject, version): (Subject, SchemaVersion)| {
            let found = catalog.version(&subject, version, Include::Deleted)?;
            Some(versioned_body(catalog, &subject, &found))
        };
        places.filter_map(body).collect::<Vec<_>>()
    })?;
    Ok(Answer::Json(Value::Array(places)))
}
