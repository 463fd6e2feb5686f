//! A schema registry in memory. It accepts every schema unless told that one is incompatible:
//! the rules of compatibility are `cdc-registry`'s.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

use cdc_pipeline::port::{
    RegisteredSchema, SchemaId, SchemaRegistry, SchemaVersion, Subject, Verdict,
};
use cdc_pipeline::{Classify, ErrorClass};

/// What can go wrong in a [`MemoryRegistry`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The subject was told to refuse.
    #[error("schema is incompatible with subject \"{0}\"")]
    Incompatible(Subject),
    /// No schema has this id.
    #[error("no schema has id {}", .0.0)]
    UnknownId(SchemaId),
}

impl Classify for Error {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Incompatible(_) => ErrorClass::Fatal,
            Self::UnknownId(_) => ErrorClass::Poison,
        }
    }
}

#[derive(Debug, Default)]
struct State {
    schemas: Vec<Arc<str>>,
    subjects: BTreeMap<Subject, Vec<SchemaId>>,
    refusing: BTreeSet<Subject>,
}

/// The registry; clones share it.
#[derive(Debug, Clone, Default)]
pub struct MemoryRegistry {
    state: Arc<Mutex<State>>,
}

impl MemoryRegistry {
    /// Makes `subject` refuse every schema it does not hold yet.
    pub fn refuse(&self, subject: Subject) {
        self.lock().refusing.insert(subject);
    }

    /// Returns the ids registered so far, which are `1..=count`.
    pub fn count(&self) -> usize {
        self.lock().schemas.len()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("invariant: no holder panics")
    }
}

impl State {
    fn id_of(&self, schema: &str) -> Option<SchemaId> {
        let index = self.schemas.iter().position(|known| &**known == schema)?;
        Some(SchemaId(u32::try_from(index).ok()? + 1))
    }

    fn text(&self, id: SchemaId) -> Option<Arc<str>> {
        let index = usize::try_from(id.0.checked_sub(1)?).ok()?;
        self.schemas.get(index).cloned()
    }
}

impl SchemaRegistry for MemoryRegistry {
    type Error = Error;

    async fn register(&self, subject: &Subject, schema: &str) -> Result<SchemaId, Error> {
        tokio::task::yield_now().await;
        let mut state = self.lock();
        let id = state.id_of(schema);
        let versions = state.subjects.get(subject);
        if let Some(id) = id.filter(|id| versions.is_some_and(|v| v.contains(id))) {
            return Ok(id);
        }
        if state.refusing.contains(subject) {
            return Err(Error::Incompatible(subject.clone()));
        }
        let id = id.unwrap_or_else(|| {
            state.schemas.push(schema.into());
            SchemaId(u32::try_from(state.schemas.len()).expect("invariant: few schemas"))
        });
        state.subjects.entry(subject.clone()).or_default().push(id);
        Ok(id)
    }

    async fn check(&self, subject: &Subject, schema: &str) -> Result<Verdict, Error> {
        tokio::task::yield_now().await;
        let state = self.lock();
        let is_known = state.id_of(schema).is_some_and(|id| {
            state.subjects.get(subject).is_some_and(|versions| versions.contains(&id))
        });
        if is_known || !state.refusing.contains(subject) {
            return Ok(Verdict::Compatible);
        }
        Ok(Verdict::Incompatible(vec!["told to refuse".to_owned()]))
    }

    async fn latest(&self, subject: &Subject) -> Result<Option<RegisteredSchema>, Error> {
        tokio::task::yield_now().await;
        let state = self.lock();
        let latest = state.subjects.get(subject).and_then(|versions| {
            let id = *versions.last()?;
            let version = SchemaVersion(u32::try_from(versions.len()).ok()?);
            Some(RegisteredSchema { id, version, schema: state.text(id)? })
        });
        Ok(latest)
    }

    async fn schema(&self, id: SchemaId) -> Result<Arc<str>, Error> {
        tokio::task::yield_now().await;
        self.lock().text(id).ok_or(Error::UnknownId(id))
    }
}
