//! The port to a schema registry.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use crate::error::Classify;

/// A subject's name; for a topic `<topic>-key` and `<topic>-value` (`TopicNameStrategy`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subject(pub Arc<str>);

impl Subject {
    /// Makes a subject.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self(name.into())
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A schema's id, unique in its registry; never changes its meaning. From 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SchemaId(pub u32);

/// A schema's version within a subject, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SchemaVersion(pub u32);

/// A schema as a registry keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegisteredSchema {
    /// Its id.
    pub id: SchemaId,
    /// Its version in the subject asked for.
    pub version: SchemaVersion,
    /// Its text, as it was registered.
    pub schema: Arc<str>,
}

/// Whether a schema may become a subject's next version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It may.
    Compatible,
    /// It may not, for these reasons, each a sentence that names the place.
    Incompatible(Vec<String>),
}

/// Keeps Avro schemas under subjects and gives each an id.
///
/// Methods take `&self`: one client serves all tasks of a process.
pub trait SchemaRegistry: Send + Sync {
    /// What can go wrong.
    type Error: Classify;

    /// Returns the id of `schema` under `subject`, registering it if it is new. Idempotent.
    ///
    /// # Errors
    /// Fatal if it is incompatible with the subject's versions, with the reasons; transient while
    /// the registry is away.
    fn register(
        &self,
        subject: &Subject,
        schema: &str,
    ) -> impl Future<Output = Result<SchemaId, Self::Error>> + Send;

    /// Tells whether `schema` could be registered under `subject`, without doing so.
    ///
    /// # Errors
    /// Transient while the registry is away.
    fn check(
        &self,
        subject: &Subject,
        schema: &str,
    ) -> impl Future<Output = Result<Verdict, Self::Error>> + Send;

    /// Returns the newest version of `subject`, or `None` if it has none.
    ///
    /// # Errors
    /// Transient while the registry is away.
    fn latest(
        &self,
        subject: &Subject,
    ) -> impl Future<Output = Result<Option<RegisteredSchema>, Self::Error>> + Send;

    /// Returns the text of the schema with `id`.
    ///
    /// # Errors
    /// Poison if there is none, transient while the registry is away and `id` was never seen.
    fn schema(&self, id: SchemaId) -> impl Future<Output = Result<Arc<str>, Self::Error>> + Send;
}
