//! `/subjects`: names, versions, registering, looking up, deleting.

use std::sync::Arc;

use cdc_pipeline::port::{RegisteredSchema, SchemaVersion, Subject};
use cdc_registry::Catalog;
use cdc_registry::catalog::{Check, Registration};
use cdc_registry::store::{Deletion, Include};
use serde_json::json;

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
    let is_signed = query.is("deletedAsNegative");
    let versions = store.read(|catalog| {
        let is_deleted = |version: &SchemaVersion| catalog.is_deleted(&subject, *version);
        let is_wanted =
            |version: &SchemaVersion| is_signed || !is_only_deleted || is_deleted(version);
        let told = |version: SchemaVersion| {
            let is_negative = is_signed && is_deleted(&version);
            if is_negative { -i64::from(version.0) } else { i64::from(version.0) }
        };
        let all = if is_signed { Include::Deleted } else { include };
        let versions = catalog.versions(&subject, all).into_iter();
        let is_known = catalog.has_subject(&subject, include);
        is_known.then(|| versions.filter(is_wanted).map(told).collect::<Vec<_>>())
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

/// Which schemas refer to a version.
pub(super) fn referenced_by(store: &Store, subject: &str, at: &str, query: &Query) -> Answered {
    let (subject, at) = (Subject::new(subject), parse_version(at)?);
    let ids = store.read(|catalog| {
        let version = find(catalog, &subject, at, Include::Deleted)?.version;
        let ids = catalog.referrers((&subject, version), include(query), None);
        Ok(ids.into_iter().map(|id| id.0).collect())
    })?;
    ids.map(|ids: Vec<u32>| Answer::Json(json!(query.page(ids))))
}

/// The newest version with some metadata, which only schemas of another registry have.
pub(super) fn with_metadata(store: &Store, subject: &str, query: &Query) -> Answered {
    let subject = Subject::new(subject);
    let include = include(query);
    let wanted: Vec<_> = query.all("key").zip(query.all("value")).collect();
    let has_all = |catalog: &Catalog, found: &RegisteredSchema| {
        let schema = catalog.schema(found.id);
        let attributes = schema.and_then(|schema| schema.attributes.as_ref());
        let properties = attributes.and_then(|all| all.get("metadata")?.get("properties"));
        wanted.iter().all(|(key, value)| properties.is_some_and(|all| all[*key] == **value))
    };
    let found = store.read(|catalog| {
        let versions = catalog.versions(&subject, include).into_iter().rev();
        let mut versions = versions.filter_map(|at| catalog.version(&subject, at, include));
        match versions.find(|found| has_all(catalog, found)) {
            Some(found) => Ok(versioned_body(catalog, &subject, &found)),
            None if catalog.has_subject(&subject, include) => Err(Refusal::schema_not_found(None)),
            None => Err(Refusal::subject_not_found(&subject)),
        }
    })?;
    found.map(Answer::Json)
}

pub(super) fn lookup(shared: &Shared, subject: &str, call: &Call) -> Answered {
    let subject = Subject::new(subject);
    let wish = Wish::parse(&call.body)?;
    let include = include(&call.query);
    let found = shared.store.read(|catalog| {
        let draft = wish.draft(catalog, call.query.is("normalize"))?;
        let found = catalog.lookup(&subject, draft.candidate(), include);
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
    let is_normalised = call.query.is("normalize");
    let draft = shared.store.read(|catalog| wish.draft(catalog, is_normalised))??;
    if id.is_none() && version.is_none() {
        // What producers ask at every start: known is known, whatever became of the journal.
        let lookup = |catalog: &Catalog| catalog.lookup(&subject, draft.candidate(), Include::Live);
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
            let schema = draft.candidate();
            catalog.register(&subject, &Registration { schema, id, version, check })
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
