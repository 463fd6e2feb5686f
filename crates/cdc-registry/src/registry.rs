//! The registry as the pipeline sees it: embedded or remote, with a cache and the semantic gate.
//!
//! ```text
//! register ─> cache ─hit─> id
//!               └miss─> known to the registry? ─yes─> id
//!                         └no─> semantic gate against the last version ─> register ─> id
//! ```
//!
//! # Failure
//! While a remote registry is away, what is in the cache goes on and everything else is transient.
//! A refused schema is remembered until it, or another, is accepted under its subject, so that
//! `penstock schema accept <subject>` needs no schema typed in.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use cdc_pipeline::port::{RegisteredSchema, SchemaId, SchemaRegistry, Subject, Verdict};

use crate::avro::Schema;
use crate::cache::{self, Cache};
use crate::client::{RestClient, RestConfig};
use crate::error::{Error, Objection, Outage, Result};
use crate::store::EmbeddedRegistry;
use crate::{diff, semantic};

/// Refused schemas remembered, one per subject.
const REFUSED_MAX: usize = 1_000;

/// A schema registry; clones share its cache.
#[derive(Debug, Clone)]
pub struct Registry {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    backend: Backend,
    cache: Cache,
    flights: Mutex<BTreeMap<Flight, Weak<tokio::sync::Mutex<()>>>>,
    refused: Mutex<BTreeMap<Subject, Arc<Objection>>>,
}

/// Where schemas are kept.
#[derive(Debug, Clone)]
pub enum Backend {
    /// In a store of our own.
    Embedded(EmbeddedRegistry),
    /// In a Confluent-compatible registry.
    Rest(RestClient),
}

/// What is asked for only once at a time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Flight {
    Subject(Subject),
    Id(SchemaId),
}

impl Registry {
    /// Opens the embedded registry in `dir`, making it if there is none. Blocks for disk access.
    ///
    /// # Errors
    /// As [`EmbeddedRegistry::open`].
    pub fn embedded(dir: &Path) -> Result<Self> {
        Ok(Self::new(Backend::Embedded(EmbeddedRegistry::open(dir)?)))
    }

    /// Uses a Confluent-compatible registry; connects to nothing yet.
    ///
    /// # Errors
    /// As [`RestClient::new`].
    pub fn rest(config: RestConfig) -> Result<Self> {
        Ok(Self::new(Backend::Rest(RestClient::new(config)?)))
    }

    /// Puts a cache of 32 MiB and the semantic gate before `backend`.
    pub fn new(backend: Backend) -> Self {
        Self::with_cache(backend, cache::BYTES_MAX)
    }

    /// Puts a cache of `bytes_max` bytes and the semantic gate before `backend`.
    pub fn with_cache(backend: Backend, bytes_max: usize) -> Self {
        let shared = Shared {
            backend,
            cache: Cache::new(bytes_max),
            flights: Mutex::default(),
            refused: Mutex::default(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Returns what is behind the cache.
    pub fn backend(&self) -> &Backend {
        &self.shared.backend
    }

    /// Returns the schemas that were refused and not accepted since, by subject.
    pub fn refused(&self) -> Vec<Arc<Objection>> {
        self.refusals().values().cloned().collect()
    }

    /// Registers `schema` under `subject` once, whatever its compatibility level and the semantic
    /// gate say, and leaves the level as it was. Lifts a halt on an incompatible change.
    ///
    /// # Errors
    /// [`Error::InvalidSchema`], [`Error::Refused`], [`Error::LevelNotRestored`]; transient while
    /// the registry is away.
    ///
    /// # Cancel safety
    /// Not safe with a remote registry: see [`RestClient::accept`].
    pub async fn accept(&self, subject: &Subject, schema: &str) -> Result<SchemaId> {
        parse(subject, schema)?;
        let flight = self.flight(Flight::Subject(subject.clone()));
        let _flight = flight.lock().await;
        let id = match self.known(subject, schema).await? {
            Some(known) => known.id,
            None => self.register_forced(subject, schema).await?,
        };
        self.shared.cache.insert(subject, schema, id)?;
        self.refusals().remove(subject);
        Ok(id)
    }

    /// Accepts the schema that was refused last under `subject`; `None` if none was.
    ///
    /// # Errors
    /// As [`Registry::accept`].
    pub async fn accept_refused(&self, subject: &Subject) -> Result<Option<SchemaId>> {
        let objection = self.refusals().get(subject).cloned();
        match objection {
            Some(objection) => self.accept(subject, &objection.schema).await.map(Some),
            None => Ok(None),
        }
    }

    async fn register_forced(&self, subject: &Subject, schema: &str) -> Result<SchemaId> {
        match &self.shared.backend {
            Backend::Rest(client) => client.accept(subject, schema).await,
            Backend::Embedded(registry) => {
                let schema = schema.to_owned();
                let registered = blocking(registry, subject, move |registry, subject| {
                    registry.accept(subject, &schema)
                });
                Ok(registered.await?.id)
            }
        }
    }

    async fn register_new(&self, subject: &Subject, schema: &str) -> Result<SchemaId> {
        let parsed = parse(subject, schema)?;
        if let Some(known) = self.known(subject, schema).await? {
            return Ok(known.id);
        }
        self.probe().await?;
        if let Some(objection) = self.semantic_objection(subject, &parsed).await? {
            return Err(Error::Semantic(Box::new(objection)));
        }
        match &self.shared.backend {
            Backend::Rest(client) => client.register(subject, schema).await,
            Backend::Embedded(registry) => {
                let schema = schema.to_owned();
                let registered = blocking(registry, subject, move |registry, subject| {
                    registry.register(subject, &schema)
                });
                Ok(registered.await?.id)
            }
        }
    }

    async fn known(&self, subject: &Subject, schema: &str) -> Result<Option<RegisteredSchema>> {
        match &self.shared.backend {
            Backend::Rest(client) => client.lookup(subject, schema).await,
            Backend::Embedded(registry) => {
                let schema = schema.to_owned();
                blocking(registry, subject, move |registry, subject| {
                    registry.lookup(subject, &schema)
                })
                .await
            }
        }
    }

    async fn fetch(&self, id: SchemaId) -> Result<Option<Arc<str>>> {
        match &self.shared.backend {
            Backend::Rest(client) => client.schema(id).await,
            Backend::Embedded(registry) => {
                let nowhere = Subject::new("");
                blocking(registry, &nowhere, move |registry, _| registry.schema(id)).await
            }
        }
    }

    /// Asks for one schema that the registry gave us before: an emptied registry does not know it,
    /// an exchanged one has another in its place. New ids are taken only after that.
    async fn probe(&self) -> Result<()> {
        let Some(id) = self.shared.cache.any() else { return Ok(()) };
        match self.fetch(id).await? {
            Some(schema) => self.shared.cache.insert_schema(id, &schema),
            None => Err(Error::IdsReset { id, found: "is not there any more" }),
        }
    }

    async fn semantic_objection(
        &self,
        subject: &Subject,
        schema: &Schema,
    ) -> Result<Option<Objection>> {
        let Some(latest) = self.latest(subject).await? else { return Ok(None) };
        let last = parse(subject, &latest.schema)?;
        let found = semantic::changes(schema, &last);
        if found.is_empty() {
            return Ok(None);
        }
        Ok(Some(Objection {
            subject: subject.clone(),
            schema: Arc::clone(schema.text()),
            reasons: found.iter().map(ToString::to_string).collect(),
            changes: diff::lines(&last, schema),
        }))
    }

    fn remember(&self, error: &Error) {
        let Some(objection) = error.objection() else { return };
        let mut refused = self.refusals();
        if refused.len() < REFUSED_MAX || refused.contains_key(&objection.subject) {
            refused.insert(objection.subject.clone(), Arc::new(objection.clone()));
        }
    }

    fn refusals(&self) -> MutexGuard<'_, BTreeMap<Subject, Arc<Objection>>> {
        self.shared.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the lock that all who ask for the same thing share.
    fn flight(&self, flight: Flight) -> Arc<tokio::sync::Mutex<()>> {
        let mut flights = self.shared.flights.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lock) = flights.get(&flight).and_then(Weak::upgrade) {
            return lock;
        }
        flights.retain(|_, lock| lock.strong_count() > 0);
        let lock = Arc::default();
        flights.insert(flight, Arc::downgrade(&lock));
        lock
    }
}

impl SchemaRegistry for Registry {
    type Error = Error;

    async fn register(&self, subject: &Subject, schema: &str) -> Result<SchemaId> {
        if let Some(id) = self.shared.cache.id(subject, schema) {
            return Ok(id);
        }
        let flight = self.flight(Flight::Subject(subject.clone()));
        let _flight = flight.lock().await;
        if let Some(id) = self.shared.cache.id(subject, schema) {
            return Ok(id);
        }
        let registered = self.register_new(subject, schema).await;
        let id = registered.inspect_err(|error| self.remember(error))?;
        self.shared.cache.insert(subject, schema, id)?;
        self.refusals().remove(subject);
        Ok(id)
    }

    async fn check(&self, subject: &Subject, schema: &str) -> Result<Verdict> {
        let parsed = parse(subject, schema)?;
        if self.known(subject, schema).await?.is_some() {
            return Ok(Verdict::Compatible);
        }
        let mut reasons = Vec::new();
        if let Some(objection) = self.semantic_objection(subject, &parsed).await? {
            reasons.extend(objection.reasons);
        }
        let verdict = match &self.shared.backend {
            Backend::Rest(client) => client.check(subject, schema).await?,
            Backend::Embedded(registry) => {
                let schema = schema.to_owned();
                let found = blocking(registry, subject, move |registry, subject| {
                    registry.check(subject, &schema)
                });
                found
                    .await?
                    .map_or(Verdict::Compatible, |found| Verdict::Incompatible(found.messages()))
            }
        };
        if let Verdict::Incompatible(found) = verdict {
            reasons.extend(found);
        }
        Ok(if reasons.is_empty() { Verdict::Compatible } else { Verdict::Incompatible(reasons) })
    }

    async fn latest(&self, subject: &Subject) -> Result<Option<RegisteredSchema>> {
        match &self.shared.backend {
            Backend::Rest(client) => client.latest(subject).await,
            Backend::Embedded(registry) => {
                blocking(registry, subject, EmbeddedRegistry::latest).await
            }
        }
    }

    async fn schema(&self, id: SchemaId) -> Result<Arc<str>> {
        if let Some(schema) = self.shared.cache.schema(id) {
            return Ok(schema);
        }
        let flight = self.flight(Flight::Id(id));
        let _flight = flight.lock().await;
        if let Some(schema) = self.shared.cache.schema(id) {
            return Ok(schema);
        }
        let schema = self.fetch(id).await?.ok_or(Error::UnknownId(id))?;
        self.shared.cache.insert_schema(id, &schema)?;
        Ok(schema)
    }
}

fn parse(subject: &Subject, schema: &str) -> Result<Schema> {
    Schema::parse(schema).map_err(|error| Error::InvalidSchema {
        subject: subject.clone(),
        reason: error.to_string(),
    })
}

/// Runs a store's method where blocking is allowed.
async fn blocking<T: Send + 'static>(
    registry: &EmbeddedRegistry,
    subject: &Subject,
    ask: impl FnOnce(&EmbeddedRegistry, &Subject) -> Result<T> + Send + 'static,
) -> Result<T> {
    let (registry, subject) = (registry.clone(), subject.clone());
    let answer = tokio::task::spawn_blocking(move || ask(&registry, &subject));
    match answer.await {
        Ok(answer) => answer,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(_) => Err(Error::Unavailable {
            url: "embedded".to_owned(),
            cause: Outage::Unreachable("the runtime is shutting down".to_owned()),
        }),
    }
}
