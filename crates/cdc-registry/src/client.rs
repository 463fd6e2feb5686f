//! A client of Confluent's schema registry API, as Confluent's, Karapace's and Apicurio's
//! registries serve it.
//!
//! Every call is bounded: in time per request, in requests, in bytes of the answer. All calls may
//! be repeated without harm, so an outage or a lost answer is tried again, at the next address first.
//! Errors are told apart by HTTP status and error code, never by text.
//!
//! Source: <https://docs.confluent.io/platform/current/schema-registry/develop/api.html>

mod config;
mod transport;

use std::sync::Arc;

use cdc_pipeline::port::{RegisteredSchema, SchemaId, SchemaVersion, Subject, Verdict};
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::avro::Schema;
use crate::diff;
use crate::error::{Error, Objection, Result, Rule};
use crate::subject::{self, path_segment};

use transport::{Refusal, Transport};

pub use config::{Credentials, RestConfig};

/// Error codes that mean: there is no such thing. 404 is what older servers write.
const ABSENT: [u32; 7] = [404, 40401, 40402, 40403, 40404, 40406, 40408];

/// A registry's own answer to a request passed on to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Forwarded {
    /// It did what was asked; the body as it came.
    Done(Vec<u8>),
    /// It will not.
    Refused {
        /// The HTTP status.
        status: u16,
        /// Its error code.
        code: u32,
        /// What it said.
        message: String,
    },
}

/// The client; clones share its connections.
#[derive(Debug, Clone)]
pub struct RestClient {
    transport: Arc<Transport>,
}

#[derive(Deserialize)]
struct Registered {
    id: u32,
    #[serde(default)]
    version: u32,
    #[serde(default)]
    schema: Option<String>,
}

#[derive(Deserialize)]
struct SchemaText {
    schema: String,
}

#[derive(Deserialize)]
struct Checked {
    is_compatible: bool,
    #[serde(default)]
    messages: Vec<String>,
    /// Apicurio's, instead of `messages`.
    #[serde(default)]
    reason: Option<String>,
}

#[derive(Deserialize)]
struct Level {
    #[serde(rename = "compatibilityLevel", alias = "compatibility")]
    level: Option<String>,
}

impl RestClient {
    /// Makes a client; connects to nothing yet.
    ///
    /// # Errors
    /// [`Error::Config`] (fatal) if an address or a certificate is no good.
    pub fn new(config: RestConfig) -> Result<Self> {
        Ok(Self { transport: Arc::new(Transport::new(config)?) })
    }

    /// Returns the first address, without credentials.
    pub fn url(&self) -> &str {
        self.transport.url()
    }

    /// Passes a request on: `path` is what follows the registry's address, with its query, as it
    /// goes over the wire. Sent again while the registry does not answer, so only for what may be
    /// repeated, as all of the API may.
    ///
    /// # Errors
    /// [`Error::Auth`]; transient while the registry is away.
    pub async fn forward(
        &self,
        method: Method,
        path: &str,
        body: Option<&str>,
    ) -> Result<Forwarded> {
        let answer = self.transport.call_for(method, path, body, Some).await?;
        Ok(match answer {
            Ok(body) => Forwarded::Done(body),
            Err(Refusal { status, code, message }) => Forwarded::Refused { status, code, message },
        })
    }

    /// Registers `schema` under `subject` and returns its id; idempotent.
    ///
    /// # Errors
    /// [`Error::Incompatible`] with what changed and why not, [`Error::InvalidSchema`],
    /// [`Error::Refused`], [`Error::Auth`]; transient while the registry is away.
    pub async fn register(&self, subject: &Subject, schema: &str) -> Result<SchemaId> {
        let path = format!("/subjects/{}/versions", segment(subject)?);
        let answer = self.transport.call(Method::POST, &path, Some(&body(schema))).await?;
        match answer {
            Ok(Registered { id, .. }) => Ok(SchemaId(id)),
            Err(refusal) if refusal.is_conflict() => {
                Err(self.objection(subject, schema, refusal).await)
            }
            Err(refusal) => Err(refused(subject, refusal)),
        }
    }

    /// Returns the live version of `subject` that equals `schema`, if there is one.
    ///
    /// # Errors
    /// [`Error::Refused`], [`Error::Auth`]; transient while the registry is away.
    pub async fn lookup(
        &self,
        subject: &Subject,
        schema: &str,
    ) -> Result<Option<RegisteredSchema>> {
        let path = format!("/subjects/{}", segment(subject)?);
        let answer = self.transport.call(Method::POST, &path, Some(&body(schema))).await?;
        present(subject, answer.map(|found| registered(found, schema)))
    }

    /// Tells whether `schema` could be registered under `subject`.
    ///
    /// # Errors
    /// [`Error::InvalidSchema`], [`Error::Refused`], [`Error::Auth`]; transient while the registry
    /// is away.
    pub async fn check(&self, subject: &Subject, schema: &str) -> Result<Verdict> {
        let path = format!("/compatibility/subjects/{}/versions?verbose=true", segment(subject)?);
        let answer = self.transport.call(Method::POST, &path, Some(&body(schema))).await?;
        Ok(match present(subject, answer)? {
            None | Some(Checked { is_compatible: true, .. }) => Verdict::Compatible,
            Some(Checked { messages, reason, .. }) if messages.is_empty() => {
                let reason = reason.unwrap_or_else(|| "the registry gives no reason".to_owned());
                Verdict::Incompatible(vec![reason])
            }
            Some(Checked { messages, .. }) => Verdict::Incompatible(messages),
        })
    }

    /// Returns the newest live version of `subject`.
    ///
    /// # Errors
    /// [`Error::Refused`], [`Error::Auth`]; transient while the registry is away.
    pub async fn latest(&self, subject: &Subject) -> Result<Option<RegisteredSchema>> {
        let path = format!("/subjects/{}/versions/latest", segment(subject)?);
        let answer = self.transport.call(Method::GET, &path, None).await?;
        present(subject, answer.map(|found| registered(found, "")))
    }

    /// Returns the text of the schema with `id`, or `None` if the registry knows none.
    ///
    /// # Errors
    /// [`Error::Refused`], [`Error::Auth`]; transient while the registry is away.
    pub async fn schema(&self, id: SchemaId) -> Result<Option<Arc<str>>> {
        let path = format!("/schemas/ids/{}", id.0);
        let answer = self.transport.call(Method::GET, &path, None).await?;
        let place = || Subject::new(format!("schema id {}", id.0));
        let found: Option<SchemaText> = present(&place(), answer)?;
        Ok(found.map(|found| found.schema.into()))
    }

    /// Returns the compatibility level set for `subject` itself, or globally for `None`. Apicurio
    /// answers `NONE` where none is set.
    ///
    /// # Errors
    /// [`Error::Refused`], [`Error::Auth`]; transient while the registry is away.
    pub async fn compatibility(&self, subject: Option<&Subject>) -> Result<Option<String>> {
        let answer = self.transport.call(Method::GET, &config_path(subject)?, None).await?;
        Ok(present(&place(subject), answer)?.and_then(|Level { level }| level))
    }

    /// Sets the compatibility level of `subject`, or the global one; no level removes it.
    ///
    /// # Errors
    /// [`Error::Refused`], [`Error::Auth`]; transient while the registry is away.
    pub async fn set_compatibility(
        &self,
        subject: Option<&Subject>,
        level: Option<&str>,
    ) -> Result<()> {
        let path = config_path(subject)?;
        let answer = match level {
            Some(level) => {
                let body = json!({ "compatibility": level }).to_string();
                self.transport.call::<Value>(Method::PUT, &path, Some(&body)).await?
            }
            None => self.transport.call::<Value>(Method::DELETE, &path, None).await?,
        };
        match answer {
            Ok(_) => Ok(()),
            Err(refusal) if level.is_none() && ABSENT.contains(&refusal.code) => Ok(()),
            Err(refusal) => Err(refused(&place(subject), refusal)),
        }
    }

    /// Registers `schema` under `subject` whatever its level says: sets the level to `NONE`,
    /// registers, and sets it back.
    ///
    /// # Errors
    /// As [`RestClient::register`]; [`Rule::GlobalLevel`] if the registry has no level `NONE` for
    /// one subject (Apicurio with a global level); [`Error::LevelNotRestored`] if the level stays
    /// `NONE`, whether or not the schema was registered.
    ///
    /// # Cancel safety
    /// Not safe: dropped half-way, the level may stay `NONE`.
    pub async fn accept(&self, subject: &Subject, schema: &str) -> Result<SchemaId> {
        let level = self.compatibility(Some(subject)).await?;
        self.set_compatibility(Some(subject), Some("NONE")).await?;
        let registered = self.register(subject, schema).await;
        match self.set_compatibility(Some(subject), level.as_deref()).await {
            Ok(()) => registered.map_err(|error| match error {
                Error::Incompatible(_) => {
                    Error::Refused { subject: subject.clone(), rule: Rule::GlobalLevel }
                }
                error => error,
            }),
            Err(cause) => Err(Error::LevelNotRestored {
                subject: subject.clone(),
                level: level.unwrap_or_else(|| "the global level".to_owned()),
                cause: Box::new(cause),
            }),
        }
    }

    /// The reasons and changes are for people: without them the halt stands.
    async fn objection(&self, subject: &Subject, schema: &str, refusal: Refusal) -> Error {
        let reasons = match self.check(subject, schema).await {
            Ok(Verdict::Incompatible(reasons)) => reasons,
            Ok(Verdict::Compatible) | Err(_) => vec![refusal.message],
        };
        let changes = match self.latest(subject).await {
            Ok(Some(latest)) => changes(&latest.schema, schema),
            Ok(None) | Err(_) => Vec::new(),
        };
        Error::Incompatible(Box::new(Objection {
            subject: subject.clone(),
            schema: schema.into(),
            reasons,
            changes,
        }))
    }
}

fn changes(old: &str, new: &str) -> Vec<String> {
    match (Schema::parse(old), Schema::parse(new)) {
        (Ok(old), Ok(new)) => diff::lines(&old, &new),
        _ => Vec::new(),
    }
}

fn config_path(subject: Option<&Subject>) -> Result<String> {
    Ok(match subject {
        Some(subject) => format!("/config/{}", segment(subject)?),
        None => "/config".to_owned(),
    })
}

fn place(subject: Option<&Subject>) -> Subject {
    subject.cloned().unwrap_or_else(|| Subject::new("global level"))
}

fn segment(subject: &Subject) -> Result<String> {
    if subject::is_valid(subject) {
        Ok(path_segment(&subject.0))
    } else {
        Err(Error::Refused { subject: subject.clone(), rule: Rule::InvalidSubject })
    }
}

fn body(schema: &str) -> String {
    json!({ "schema": schema }).to_string()
}

fn registered(found: Registered, asked: &str) -> RegisteredSchema {
    RegisteredSchema {
        id: SchemaId(found.id),
        version: SchemaVersion(found.version),
        schema: found.schema.as_deref().unwrap_or(asked).into(),
    }
}

/// Takes "there is none" for an answer.
fn present<T>(subject: &Subject, answer: Result<T, Refusal>) -> Result<Option<T>> {
    match answer {
        Ok(found) => Ok(Some(found)),
        Err(refusal) if ABSENT.contains(&refusal.code) => Ok(None),
        Err(refusal) => Err(refused(subject, refusal)),
    }
}

fn refused(subject: &Subject, refusal: Refusal) -> Error {
    let subject = subject.clone();
    let rule = match refusal.code {
        42201 => return Error::InvalidSchema { subject, reason: refusal.message },
        40401 => Rule::SubjectNotFound,
        40402 => Rule::VersionNotFound,
        40404 => Rule::SubjectSoftDeleted,
        40405 => Rule::SubjectNotSoftDeleted,
        40406 => Rule::VersionSoftDeleted,
        40407 => Rule::VersionNotSoftDeleted,
        42205 => Rule::ReadOnly,
        42208 => Rule::InvalidSubject,
        42209 => Rule::SchemaTooLarge,
        code => Rule::Other { code, message: refusal.message },
    };
    Error::Refused { subject, rule }
}
