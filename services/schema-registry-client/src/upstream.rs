//! In front of another registry: what it says is passed on and remembered; while it is away, what
//! is remembered is served.
//!
//! | request | upstream there | upstream away |
//! |---|---|---|
//! | a schema by its id | from memory if known, else asked | from memory |
//! | other reads, lookups | asked | from memory, marked `x-penstock-cached: true` |
//! | registering what is registered | asked | its known id |
//! | anything that changes something | asked | refused, 503 with 50003 |
//!
//! Ids never change their meaning, so they are served from memory for ever. Everything else may
//! have changed behind us, so it is asked as long as somebody answers. Nothing is ever said not to
//! exist from memory: what is not remembered is answered 503.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::http::Method;
use cdc_pipeline::Classify;
use cdc_pipeline::port::{SchemaId, SchemaVersion, Subject};
use cdc_registry::catalog::{Change, SchemaText};
use cdc_registry::store::{Deletion, Include};
use cdc_registry::{Catalog, Compatibility, EmbeddedRegistry, Error, Forwarded, RestClient};
use serde_json::{Map, Value};
use tokio::time::Instant;

use crate::http::place::Place;
use crate::http::refusal::Refusal;
use crate::http::{self, Answer, Answered, Call, Wish};
use crate::service::Shared;
use crate::store::upstream_needed;

/// How long an upstream that did not answer is left alone: nobody waits for it meanwhile.
const REST: Duration = Duration::from_secs(1);

/// The registry asked, and what it said.
#[derive(Debug)]
pub(crate) struct Upstream {
    pub(crate) client: RestClient,
    pub(crate) memory: EmbeddedRegistry,
    absence: Mutex<Option<Absence>>,
}

/// That it did not answer last.
#[derive(Debug, Clone)]
pub(crate) struct Absence {
    /// When it may be asked again.
    until: Instant,
    pub(crate) reason: String,
    pub(crate) remedy: Option<String>,
}

impl Upstream {
    pub(crate) fn new(client: RestClient, memory: EmbeddedRegistry) -> Self {
        Self { client, memory, absence: Mutex::default() }
    }

    /// Returns why the upstream did not answer when it was asked last, if so.
    pub(crate) fn absence(&self) -> Option<Absence> {
        self.absence.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn may_be_asked(&self) -> bool {
        self.absence().is_none_or(|absence| Instant::now() >= absence.until)
    }

    /// Asks for something small, and notes whether it is answered.
    pub(crate) async fn probe(&self) {
        let asked = self.client.forward(Method::GET, "/schemas/types", None).await;
        self.note(asked.as_ref().err());
    }

    fn note(&self, failure: Option<&Error>) {
        let absence = failure.map(|error| Absence {
            until: Instant::now() + REST,
            reason: error.to_string(),
            remedy: error.remedy(),
        });
        let url = self.client.url();
        let mut known = self.absence.lock().unwrap_or_else(PoisonError::into_inner);
        match (&*known, &absence) {
            (Some(_), None) => tracing::info!(url, "the upstream registry answers again"),
            (None, Some(Absence { reason, .. })) => {
                tracing::warn!(url, reason, "the upstream is away; what is known is served");
            }
            _ => {}
        }
        *known = absence;
    }

    /// Remembers changes that are true upstream; a failure costs only that they are asked again.
    async fn remember(
        &self,
        decide: impl FnOnce(&Catalog) -> Vec<Change> + Send + 'static,
    ) -> Result<(), Refusal> {
        let memory = self.memory.clone();
        let writing = tokio::task::spawn_blocking(move || {
            memory.write(|catalog| {
                let mut changes = decide(catalog);
                for change in &changes {
                    check_id(catalog, change)?;
                }
                changes.retain(|change| !catalog.holds(change));
                Ok(((), changes))
            })
        });
        match writing.await {
            Ok(Err(error @ Error::IdsReset { .. })) => {
                tracing::error!(error = %error, "the upstream registry contradicts itself");
                Err(Refusal::new(
                    50001,
                    format!("the upstream registry contradicts itself: {error}"),
                ))
            }
            Ok(Err(error)) => {
                tracing::warn!(error = %error, "what the upstream said is not remembered");
                Ok(())
            }
            Ok(Ok(())) | Err(_) => Ok(()),
        }
    }
}

/// An id that names another schema than before: the upstream was emptied or exchanged.
fn check_id(catalog: &Catalog, change: &Change) -> cdc_registry::Result<()> {
    let (Change::Schema { id, schema } | Change::Version { id, schema, .. }) = change else {
        return Ok(());
    };
    match catalog.schema(*id) {
        Some(known) if !known.is_equal(schema) => {
            Err(Error::IdsReset { id: *id, found: "names another schema now" })
        }
        _ => Ok(()),
    }
}

/// Answers a request to the registry.
pub(crate) async fn answer(shared: &Arc<Shared>, upstream: &Upstream, call: &Call) -> Answered {
    if let (&Method::GET, Place::SchemaById(id) | Place::SchemaTextById(id)) =
        (&call.method, &call.place)
    {
        let id = http::parse_id(id)?;
        let is_known = upstream.memory.read(|catalog| catalog.schema(id).is_some());
        shared.metrics.cache(is_known);
        if is_known && !call.query.is("fetchMaxId") {
            return http::local(shared, call).await;
        }
    }
    if !upstream.may_be_asked() {
        return remembered(shared, call).await;
    }
    let body = match call.body.is_empty() {
        true => None,
        false => Some(std::str::from_utf8(&call.body).map_err(Refusal::malformed)?),
    };
    let asked = upstream.client.forward(call.method.clone(), &call.target, body).await;
    upstream.note(asked.as_ref().err());
    match asked {
        Ok(Forwarded::Done(body)) => {
            learn(upstream, call, &body).await?;
            Ok(Answer::Bytes(body))
        }
        Ok(Forwarded::Refused { status, code, message }) => Err(Refusal { status, code, message }),
        Err(error) => {
            tracing::debug!(error = %error, "asking the upstream registry");
            remembered(shared, call).await
        }
    }
}

/// Answers from memory what memory can tell.
async fn remembered(shared: &Arc<Shared>, call: &Call) -> Answered {
    let can_tell = match (call.method.as_str(), &call.place) {
        (
            "GET",
            Place::MetadataId
            | Place::MetadataVersion
            | Place::MetadataDeployment
            | Place::Mode(_)
            | Place::WithMetadata(_)
            | Place::ReferencedBy(..),
        ) => false,
        ("GET", _) | ("POST", Place::Root | Place::Subject(_) | Place::Versions(_)) => true,
        _ => false,
    };
    if !can_tell {
        return Err(upstream_needed());
    }
    match http::local(shared, call).await {
        Ok(answer) => Ok(Answer::Cached(Box::new(answer))),
        Err(refusal) if refusal.status == 404 => Err(upstream_needed()),
        // What it refers to may only not be known here.
        Err(refusal) if refusal.code == 42201 && has_references(call) => Err(upstream_needed()),
        Err(refusal) => Err(refusal),
    }
}

fn has_references(call: &Call) -> bool {
    Wish::parse(&call.body).is_ok_and(|wish| wish.has_references())
}

/// Takes from an answer what is worth remembering.
async fn learn(upstream: &Upstream, call: &Call, body: &[u8]) -> Result<(), Refusal> {
    let told = || serde_json::from_slice::<Map<String, Value>>(body).unwrap_or_default();
    match (call.method.as_str(), &call.place) {
        ("GET", Place::SchemaById(id)) => {
            let id = http::parse_id(id)?;
            let Some(schema) = schema_text(&told()) else { return Ok(()) };
            upstream.remember(move |_| vec![Change::Schema { id, schema }]).await
        }
        ("GET", Place::Version(subject, _)) | ("POST", Place::Subject(subject)) => {
            let change = version(subject, &told());
            upstream.remember(move |_| change.into_iter().collect()).await
        }
        ("POST", Place::Versions(subject)) => registered(upstream, subject, call).await,
        ("GET", Place::Config(subject)) => {
            let level = told().get("compatibilityLevel").and_then(level);
            let subject = subject.as_deref().map(Subject::new);
            let is_own = !call.query.is("defaultToGlobal");
            let change = level.filter(|_| is_own).map(|level| Change::Level(subject, Some(level)));
            upstream.remember(move |_| change.into_iter().collect()).await
        }
        ("PUT", Place::Config(subject)) => {
            let level = told().get("compatibility").and_then(level);
            let subject = subject.as_deref().map(Subject::new);
            upstream.remember(move |_| vec![Change::Level(subject, level)]).await
        }
        ("DELETE", Place::Config(subject)) => {
            let subject = subject.as_deref().map(Subject::new);
            upstream.remember(move |_| vec![Change::Level(subject, None)]).await
        }
        ("DELETE", Place::Subject(subject)) => {
            let (subject, deletion) = (Subject::new(subject.as_str()), deletion(call));
            let decide = move |catalog: &Catalog| {
                let decided = catalog.delete_subject(&subject, deletion);
                decided.map(|(_, changes)| changes).unwrap_or_default()
            };
            upstream.remember(decide).await
        }
        ("DELETE", Place::Version(subject, _)) => {
            let (subject, deletion) = (Subject::new(subject.as_str()), deletion(call));
            let number: Option<u32> = serde_json::from_slice(body).ok();
            let Some(number) = number.map(SchemaVersion) else { return Ok(()) };
            let decide = move |catalog: &Catalog| {
                let decided = catalog.delete_version(&subject, number, deletion);
                decided.map(|((), changes)| changes).unwrap_or_default()
            };
            upstream.remember(decide).await
        }
        _ => Ok(()),
    }
}

fn deletion(call: &Call) -> Deletion {
    if call.query.is("permanent") { Deletion::Permanent } else { Deletion::Soft }
}

fn level(value: &Value) -> Option<Compatibility> {
    value.as_str()?.parse().ok()
}

fn schema_text(told: &Map<String, Value>) -> Option<SchemaText> {
    let text = told.get("schema")?.as_str()?;
    let kept = ["schemaType", "references", "metadata", "ruleSet"];
    let is_kept = |value: &Value| {
        !value.is_null() && *value != "AVRO" && !value.as_array().is_some_and(Vec::is_empty)
    };
    let attributes: Map<String, Value> = kept
        .into_iter()
        .filter_map(|name| Some((name.to_owned(), told.get(name).filter(|v| is_kept(v))?.clone())))
        .collect();
    let attributes = (!attributes.is_empty()).then(|| Arc::new(attributes));
    Some(SchemaText { text: text.into(), attributes })
}

fn number(told: &Map<String, Value>, name: &str) -> Option<u32> {
    u32::try_from(told.get(name)?.as_u64()?).ok().filter(|number| *number > 0)
}

fn version(subject: &str, told: &Map<String, Value>) -> Option<Change> {
    Some(Change::Version {
        subject: Subject::new(subject),
        version: SchemaVersion(number(told, "version")?),
        id: SchemaId(number(told, "id")?),
        schema: schema_text(told)?,
        is_deleted: told.get("deleted").and_then(Value::as_bool).unwrap_or_default(),
    })
}

/// The answer to a registration tells an id only; the same body is looked up, once, for the version.
async fn registered(upstream: &Upstream, subject: &str, call: &Call) -> Result<(), Refusal> {
    let Ok(wish) = Wish::parse(&call.body) else { return Ok(()) };
    let subject = Subject::new(subject);
    let is_known = upstream.memory.read(|catalog| {
        let draft = wish.draft(catalog, false).ok()?;
        catalog.lookup(&subject, draft.candidate(), Include::Live).ok()?
    });
    if is_known.is_some() {
        return Ok(());
    }
    let path = call.target.split('?').next().unwrap_or_default().trim_end_matches('/');
    let path = path.trim_end_matches("/versions");
    let body = std::str::from_utf8(&call.body).map_err(Refusal::malformed)?;
    let asked = upstream.client.forward(Method::POST, path, Some(body)).await;
    let Ok(Forwarded::Done(told)) = asked else { return Ok(()) };
    let told = serde_json::from_slice::<Map<String, Value>>(&told).unwrap_or_default();
    let change = version(&subject.0, &told);
    upstream.remember(move |_| change.into_iter().collect()).await
}
