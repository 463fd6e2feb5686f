//! `/subjects`: names, versions, registering, looking up, deleting.

use std::sync::Arc;

use cdc_pipeline::port::{RegisteredSchema, SchemaVersion, Subject};
use cdc_registry::Catalog;
use cdc_registry::catalog::{Check, Registration};
use cdc_registry::store::{Deletion, Include};
use serde_json::{Value, json};

use crate::service::Shared;
use crate::store::Store;

use super::place::Query;
use super::refusal::Refusal;
use super::schemas::{has_prefix, include, versioned_body};
use super::wish::{Wish, parse_version};
use super::{Answer, Answered, Call};

pub(super) fn list(store: &Store, query: &Query) -> Answered {
    let is_only_deleted = query.is("deletedOnly");
    let include = if is_only_deleted { Include::Deleted } else { include(query) };
    let names: Vec<String> = store.read(|catalog| {
        let subjects = catalog.subjects(include).filter(|subject| has_prefix(subject, query));
        let is_wanted =
            |subject: &&Subject| !is_only_deleted || !catalog.has_subject(subject, Include::Live);
        subjects.filter(is_wanted).map(|subject| subject.0.to_string()).collect()
    })?;
    Ok(Answer::Json(json!(query.page(names))))
}

pub(super) fn versions(store: &Store, subject: &str, query: &Query) -> Answered {
    let subject = Subject::new(subject);
    let is_only_deleted = query.is("deletedOnly");
    let include = if is_only_deleted { Include::Deleted } else { include(query) };
    let versions = store.read(|catalog| {
        let versions = catalog.versions(&subject, include);
        let is_wanted =
            |version: &SchemaVersion| !is_only_deleted || catalog.is_deleted(&subject, *version);
        let is_known = !versions.is_empty();
        is_known.then(|| versions.into_iter().filter(is_wanted).map(|v| v.0).collect::<Vec<_>>())
    })?;
    let versions = versions.ok_or_else(|| Refusal::subject_not_found(&subject))?;
    Ok(Answer::Json(json!(query.page(versions))))
}

/// Finds a version of a path.
fn find(
    catalog: &Catalog,
    subject: &Subject,
    version: Option<SchemaVersion>,
    include: Include,
) -> Result<RegisteredSchema, Refusal> {
    let found = match version {
        Some(version) => catalog.version(subject, version, include),
        None => catalog.latest(subject, include),
    };
    found.ok_or_else(|| match version {
        Some(version) if catalog.has_subject(subject, include) => {
            Refusal::version_not_found(version.0)
        }
        _ => Refusal::subject_not_found(subject),
    })
}

pub(super) fn version(store: &Store, subject: &str, at: &str, query: &Query) -> Answered {
    let (subject, at) = (Subject::new(subject), parse_version(at)?);
    let body = store.read(|catalog| {
        let found = find(catalog, &subject, at, include(query))?;
        Ok(versioned_body(catalog, &subject, &found))
    })?;
    body.map(Answer::Json)
}

pub(super) fn version_text(store: &Store, subject: &str, at: &str, query: &Query) -> Answered {
    let (subject, at) = (Subject::new(subject), parse_version(at)?);
    let found = store.read(|catalog| find(catalog, &subject, at, include(query)))?;
    found.map(|found| Answer::Text(found.schema.to_string()))
}

/// Which schemas refer to a version, of those that another registry left in the topic.
pub(super) fn referenced_by(store: &Store, subject: &str, at: &str) -> Answered {
    let (subject, at) = (Subject::new(subject), parse_version(at)?);
    let ids = store.read(|catalog| {
        let version = find(catalog, &subject, at, Include::Deleted)?.version;
        Ok(referrers(catalog, &subject, version))
    })?;
    ids.map(|ids| Answer::Json(json!(ids)))
}

fn referrers(catalog: &Catalog, subject: &Subject, version: SchemaVersion) -> Vec<u32> {
    let mut ids = Vec::new();
    for other in catalog.subjects(Include::Live) {
        for (_, found) in catalog.all(other).filter(|(_, found)| !found.is_deleted) {
            let attributes = catalog.schema(found.id).and_then(|schema| schema.attributes.as_ref());
            let references = attributes.and_then(|all| all.get("references")?.as_array());
            let is_this = |reference: &Value| {
                reference["subject"] == *subject.0 && reference["version"] == version.0
            };
            if references.is_some_and(|all| all.iter().any(is_this)) {
                ids.push(found.id.0);
            }
        }
    }
    ids.sort_unstable();
    ids.dedup();
    ids
}

pub(super) fn lookup(shared: &Shared, subject: &str, call: &Call) -> Answered {
    let subject = Subject::new(subject);
    let schema = Wish::parse(&call.body)?.schema(call.query.is("normalize"));
    let include = include(&call.query);
    let found = shared.store.read(|catalog| {
        let found = catalog.lookup(&subject, &schema, include);
        let found = found.map_err(|error| Refusal::of(&error, &subject, None))?;
        match found {
            Some(found) => Ok(versioned_body(catalog, &subject, &found)),
            None if catalog.has_subject(&subject, include) => Err(Refusal::schema_not_found(None)),
            None => Err(Refusal::subject_not_found(&subject)),
        }
    })?;
    found.map(Answer::Json)
}

/// Contexts would need ids of their own.
fn check_context(subject: &Subject) -> Result<(), Refusal> {
    if subject.0.starts_with(":.") { Err(Refusal::invalid_subject(subject)) } else { Ok(()) }
}

pub(super) async fn register(shared: &Arc<Shared>, subject: &str, call: &Call) -> Answered {
    let subject = Subject::new(subject);
    check_context(&subject)?;
    let wish = Wish::parse(&call.body)?;
    let (id, version) = (wish.id()?, wish.version()?);
    let schema = wish.schema(call.query.is("normalize"));
    if id.is_none() && version.is_none() {
        // What producers ask at every start: known is known, whatever became of the journal.
        let lookup = |catalog: &Catalog| catalog.lookup(&subject, &schema, Include::Live);
        if let Ok(Some(known)) = shared.store.read(lookup)? {
            return Ok(Answer::Json(json!({ "id": known.id.0 })));
        }
    }
    let check = match (call.query.is("force"), shared.has_semantic_gate) {
        (true, _) => Check::Form,
        (false, true) => Check::Meaning,
        (false, false) => Check::Level,
    };
    let decide = {
        let subject = subject.clone();
        move |catalog: &Catalog| {
            catalog.register(&subject, &Registration { schema: &schema, id, version, check })
        }
    };
    let registered = shared.store.write(decide).await;
    let registered = registered.map_err(|error| error.refusal(&subject, version))?;
    Ok(Answer::Json(json!({ "id": registered.id.0 })))
}

fn deletion(query: &Query) -> Deletion {
    if query.is("permanent") { Deletion::Permanent } else { Deletion::Soft }
}

pub(super) async fn delete(shared: &Arc<Shared>, subject: &str, query: &Query) -> Answered {
    let (subject, deletion) = (Subject::new(subject), deletion(query));
    let deleted = {
        let subject = subject.clone();
        shared.store.write(move |catalog| catalog.delete_subject(&subject, deletion)).await
    };
    let deleted = deleted.map_err(|error| error.refusal(&subject, None))?;
    Ok(Answer::Json(json!(deleted.iter().map(|version| version.0).collect::<Vec<_>>())))
}

pub(super) async fn delete_version(
    shared: &Arc<Shared>,
    (subject, at): (&str, &str),
    query: &Query,
) -> Answered {
    let (subject, at, deletion) = (Subject::new(subject), parse_version(at)?, deletion(query));
    let version = match at {
        Some(version) => version,
        None => {
            let find = |catalog: &Catalog| find(catalog, &subject, None, Include::Live);
            shared.store.read(find)??.version
        }
    };
    let deleted = {
        let subject = subject.clone();
        shared.store.write(move |catalog| catalog.delete_version(&subject, version, deletion)).await
    };
    deleted.map_err(|error| error.refusal(&subject, Some(version)))?;
    Ok(Answer::Json(json!(version.0)))
}
