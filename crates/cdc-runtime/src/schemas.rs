//! Subjects and their versions, for a person who looks at them.

use std::sync::Arc;

use cdc_control::v1;
use cdc_pipeline::port::{RegisteredSchema, SchemaVersion, Subject};
use cdc_registry::avro::Schema;
use cdc_registry::store::Include;
use cdc_registry::{Backend, Catalog, EmbeddedRegistry, Forwarded, Registry, RestClient, diff};
use http::Method;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use tonic::Status;

/// Subjects told at once.
const SUBJECTS_MAX: usize = 1_000;

/// What a subject's name keeps in a path.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Lists the subject called `name`, or all, with every version and what changed from one to the next.
///
/// # Errors
/// `NOT_FOUND` if there is no such subject, `UNAVAILABLE` while the registry is away.
pub async fn list(registry: &Registry, name: &str) -> Result<v1::ListSchemasReply, Status> {
    let source = match registry.backend() {
        Backend::Embedded(store) => Source::Embedded(store),
        Backend::Rest(client) => Source::Rest(client),
    };
    let names = if name.is_empty() { source.subjects().await? } else { vec![name.to_owned()] };
    let refused = registry.refused();
    let mut subjects = Vec::new();
    for name in names.into_iter().take(SUBJECTS_MAX) {
        let mut versions = source.versions(&name).await?;
        tell_changes(&mut versions);
        let objection = refused.iter().find(|objection| *objection.subject.0 == *name);
        subjects.push(v1::Subject {
            compatibility: source.compatibility(&name).await?,
            versions,
            refused: objection.map(|objection| v1::RefusedSchema {
                schema_json: objection.schema.to_string(),
                changes: objection.changes.clone(),
            }),
            name,
        });
    }
    found(subjects, name)
}

/// As [`list`], of what a catalogue in memory knows.
///
/// # Errors
/// `NOT_FOUND` if there is no such subject.
pub fn of_catalog(catalog: &Catalog, name: &str) -> Result<v1::ListSchemasReply, Status> {
    let wanted = catalog.subjects(Include::Live);
    let wanted = wanted.filter(|subject| name.is_empty() || *subject.0 == *name);
    let tell = |subject: &Subject| {
        let versions = catalog.versions(subject, Include::Live).into_iter();
        let version = |at| catalog.version(subject, at, Include::Live).map(version);
        let mut versions: Vec<_> = versions.filter_map(version).collect();
        tell_changes(&mut versions);
        v1::Subject {
            name: subject.to_string(),
            compatibility: catalog.effective_level(subject).name().to_owned(),
            versions,
            refused: None,
        }
    };
    found(wanted.take(SUBJECTS_MAX).map(tell).collect(), name)
}

fn found(subjects: Vec<v1::Subject>, name: &str) -> Result<v1::ListSchemasReply, Status> {
    if subjects.iter().all(|subject| subject.versions.is_empty()) && !name.is_empty() {
        return Err(Status::not_found(format!("there is no subject \"{name}\"")));
    }
    Ok(v1::ListSchemasReply { subjects })
}

fn version(found: RegisteredSchema) -> v1::SchemaVersion {
    v1::SchemaVersion {
        version: found.version.0,
        id: found.id.0,
        schema_json: found.schema.to_string(),
        changes: Vec::new(),
    }
}

fn tell_changes(versions: &mut [v1::SchemaVersion]) {
    let mut before: Option<Arc<Schema>> = None;
    for version in versions {
        let Ok(parsed) = Schema::parse(&version.schema_json) else { continue };
        if let Some(before) = &before {
            version.changes = diff::lines(before, &parsed);
        }
        before = Some(Arc::new(parsed));
    }
}

enum Source<'a> {
    Embedded(&'a EmbeddedRegistry),
    Rest(&'a RestClient),
}

impl Source<'_> {
    async fn subjects(&self) -> Result<Vec<String>, Status> {
        match self {
            Self::Embedded(store) => {
                let subjects = store.subjects(Include::Live).map_err(|error| failed(&error))?;
                Ok(subjects.into_iter().map(|subject| subject.to_string()).collect())
            }
            Self::Rest(client) => {
                let listed = get(client, "/subjects").await?;
                let names = listed.as_ref().and_then(serde_json::Value::as_array);
                let text = |name: &serde_json::Value| name.as_str().map(str::to_owned);
                Ok(names.map(|names| names.iter().filter_map(text).collect()).unwrap_or_default())
            }
        }
    }

    async fn versions(&self, name: &str) -> Result<Vec<v1::SchemaVersion>, Status> {
        match self {
            Self::Embedded(store) => {
                let subject = Subject::new(name);
                let numbers = store.versions(&subject, Include::Live);
                let told = |number: SchemaVersion| {
                    store.version(&subject, number, Include::Live).ok()?.map(version)
                };
                let numbers = numbers.map_err(|error| failed(&error))?;
                Ok(numbers.into_iter().filter_map(told).collect())
            }
            Self::Rest(client) => {
                let path = format!("/subjects/{}/versions", utf8_percent_encode(name, PLAIN));
                let numbers = get(client, &path).await?;
                let numbers = numbers.as_ref().and_then(serde_json::Value::as_array);
                let mut versions = Vec::new();
                for number in numbers.into_iter().flatten().filter_map(serde_json::Value::as_u64) {
                    let Some(found) = get(client, &format!("{path}/{number}")).await? else {
                        continue;
                    };
                    let number = |name: &str| {
                        found[name].as_u64().and_then(|n| u32::try_from(n).ok()).unwrap_or(0)
                    };
                    versions.push(v1::SchemaVersion {
                        version: number("version"),
                        id: number("id"),
                        schema_json: found["schema"].as_str().unwrap_or_default().to_owned(),
                        changes: Vec::new(),
                    });
                }
                Ok(versions)
            }
        }
    }

    async fn compatibility(&self, name: &str) -> Result<String, Status> {
        let subject = Subject::new(name);
        match self {
            Self::Embedded(store) => {
                let level = store.read(|catalog| catalog.effective_level(&subject));
                Ok(level.name().to_owned())
            }
            Self::Rest(client) => {
                let own = client.compatibility(Some(&subject)).await.map_err(|e| failed(&e))?;
                let level = match own {
                    Some(level) => Some(level),
                    None => client.compatibility(None).await.map_err(|e| failed(&e))?,
                };
                Ok(level.unwrap_or_default())
            }
        }
    }
}

async fn get(client: &RestClient, path: &str) -> Result<Option<serde_json::Value>, Status> {
    match client.forward(Method::GET, path, None).await.map_err(|error| failed(&error))? {
        Forwarded::Done(body) => serde_json::from_slice(&body)
            .map(Some)
            .map_err(|_| Status::unavailable("the registry answered with no JSON")),
        Forwarded::Refused { status: 404, .. } => Ok(None),
        Forwarded::Refused { message, .. } => Err(Status::unavailable(message)),
    }
}

fn failed(error: &cdc_registry::Error) -> Status {
    Status::unavailable(error.to_string())
}
