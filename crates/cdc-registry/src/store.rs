//! A schema registry of our own: a [`Catalog`] in memory, and every change of it on disk first.
//!
//! Every method that changes something returns after the change is on disk (one atomic batch,
//! fsynced). Reads see every change that has returned, and touch no disk. Methods that change
//! something block for a disk access, at most a few milliseconds: call them from a blocking thread.
//!
//! # Invariants
//! - Those of [`crate::catalog`].
//! - A schema's text is kept as it was first registered.
//!
//! # Failure
//! A crash leaves a change whole or absent. A store that contradicts itself is refused at
//! [`EmbeddedRegistry::open`]; a failed write halts, for the engine takes no more after it.

mod layout;
mod settings;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use cdc_pipeline::port::{RegisteredSchema, SchemaId, SchemaVersion, Subject};
use fjall::{Database, Keyspace, KeyspaceCreateOptions};

use crate::catalog::{Catalog, Check, Decided, Registration};
use crate::compatibility::Incompatibility;
use crate::error::Result;

pub use settings::Mode;

/// Schemas larger than this are refused, in bytes of text.
pub const SCHEMA_BYTES_MAX: usize = 1 << 20;

/// Which versions and subjects count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Include {
    /// Only those not deleted.
    Live,
    /// Softly deleted ones, too.
    Deleted,
}

/// How to delete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deletion {
    /// Hides it: lookups pass it by, ids still resolve.
    Soft,
    /// Removes what was softly deleted before.
    Permanent,
}

impl Deletion {
    /// Returns which versions it is about, and whose references forbid it.
    pub(crate) fn concerns(self) -> Include {
        match self {
            Self::Soft => Include::Live,
            Self::Permanent => Include::Deleted,
        }
    }
}

/// The registry; clones share it.
#[derive(Clone)]
pub struct EmbeddedRegistry {
    store: Arc<Store>,
}

struct Store {
    database: Database,
    keyspace: Keyspace,
    /// Held over each read-decide-write.
    writing: Mutex<()>,
    catalog: RwLock<Catalog>,
    dir: Box<Path>,
}

impl std::fmt::Debug for EmbeddedRegistry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EmbeddedRegistry").field("dir", &self.store.dir).finish()
    }
}

impl EmbeddedRegistry {
    /// Opens the store in `dir`, making it if there is none, and checks it.
    ///
    /// # Errors
    /// [`crate::Error::StoreLocked`], [`crate::Error::StoreCorrupt`], [`crate::Error::StoreIo`];
    /// all fatal.
    pub fn open(dir: &Path) -> Result<Self> {
        let failed = |error| layout::classify(dir, error);
        let database = Database::builder(dir)
            .cache_size(4 << 20)
            .max_journaling_size(64 << 20)
            .max_cached_files(Some(32))
            .worker_threads(1)
            .open()
            .map_err(failed)?;
        let keyspace = database
            .keyspace("registry", || KeyspaceCreateOptions::default().max_memtable_size(4 << 20))
            .map_err(failed)?;
        let mut store = Store {
            database,
            keyspace,
            writing: Mutex::new(()),
            catalog: RwLock::default(),
            dir: Box::from(dir),
        };
        store.catalog = RwLock::new(store.load()?);
        Ok(Self { store: Arc::new(store) })
    }

    /// Reads the catalogue. `read` must be quick: who changes something waits for it.
    pub fn read<T>(&self, read: impl FnOnce(&Catalog) -> T) -> T {
        read(&self.store.catalog.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Decides, makes the changes durable, and applies them; all writers take turns. Blocks.
    ///
    /// # Errors
    /// Those of `decide`, or of the store.
    pub fn write<T>(&self, decide: impl FnOnce(&Catalog) -> Result<Decided<T>>) -> Result<T> {
        let _writing = self.store.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let (answer, changes) = self.read(|catalog| {
            let (answer, changes) = decide(catalog)?;
            let batch = self.store.batch(catalog, &changes);
            Ok((answer, (!changes.is_empty()).then_some((changes, batch))))
        })?;
        if let Some((changes, batch)) = changes {
            self.store.commit(batch)?;
            let mut catalog = self.store.catalog.write().unwrap_or_else(PoisonError::into_inner);
            changes.iter().for_each(|change| catalog.apply(change));
        }
        Ok(answer)
    }

    /// Registers `schema` as the next version of `subject`, or returns the version that equals it.
    ///
    /// # Errors
    /// [`crate::Error::InvalidSchema`], [`crate::Error::Incompatible`], [`crate::Error::Refused`];
    /// or of the store.
    pub fn register(&self, subject: &Subject, schema: &str) -> Result<RegisteredSchema> {
        self.register_checked(subject, schema, Check::Level)
    }

    /// Registers `schema` whatever the compatibility level says.
    ///
    /// # Errors
    /// As [`EmbeddedRegistry::register`], save [`crate::Error::Incompatible`].
    pub fn accept(&self, subject: &Subject, schema: &str) -> Result<RegisteredSchema> {
        self.register_checked(subject, schema, Check::Form)
    }

    fn register_checked(
        &self,
        subject: &Subject,
        schema: &str,
        check: Check,
    ) -> Result<RegisteredSchema> {
        let wish = Registration { schema: schema.into(), id: None, version: None, check };
        self.write(|catalog| catalog.register(subject, &wish))
    }

    /// Returns the live version of `subject` that equals `schema`.
    ///
    /// # Errors
    /// [`crate::Error::InvalidSchema`].
    pub fn lookup(&self, subject: &Subject, schema: &str) -> Result<Option<RegisteredSchema>> {
        self.read(|catalog| catalog.lookup(subject, schema, Include::Live))
    }

    /// Tells why `schema` could not be registered under `subject`, or `None` if it could.
    ///
    /// # Errors
    /// As [`Catalog::check`].
    pub fn check(&self, subject: &Subject, schema: &str) -> Result<Option<Incompatibility>> {
        self.read(|catalog| catalog.check(subject, schema))
    }

    /// Returns the newest live version of `subject`.
    ///
    /// # Errors
    /// None: the catalogue is in memory.
    pub fn latest(&self, subject: &Subject) -> Result<Option<RegisteredSchema>> {
        Ok(self.read(|catalog| catalog.latest(subject, Include::Live)))
    }

    /// Returns one version of `subject`.
    ///
    /// # Errors
    /// None: the catalogue is in memory.
    pub fn version(
        &self,
        subject: &Subject,
        version: SchemaVersion,
        include: Include,
    ) -> Result<Option<RegisteredSchema>> {
        Ok(self.read(|catalog| catalog.version(subject, version, include)))
    }

    /// Returns the versions of `subject`, in order; none if there is no such subject.
    ///
    /// # Errors
    /// None: the catalogue is in memory.
    pub fn versions(&self, subject: &Subject, include: Include) -> Result<Vec<SchemaVersion>> {
        Ok(self.read(|catalog| catalog.versions(subject, include)))
    }

    /// Returns all subjects, in order of their names.
    ///
    /// # Errors
    /// None: the catalogue is in memory.
    pub fn subjects(&self, include: Include) -> Result<Vec<Subject>> {
        Ok(self.read(|catalog| catalog.subjects(include).cloned().collect()))
    }

    /// Returns the text of the schema with `id`, also if all its versions are softly deleted.
    ///
    /// # Errors
    /// None: the catalogue is in memory.
    pub fn schema(&self, id: SchemaId) -> Result<Option<Arc<str>>> {
        Ok(self.read(|catalog| catalog.schema(id).map(|schema| Arc::clone(&schema.text))))
    }

    /// Returns where the schema with `id` is a version.
    ///
    /// # Errors
    /// None: the catalogue is in memory.
    pub fn versions_of(
        &self,
        id: SchemaId,
        include: Include,
    ) -> Result<Vec<(Subject, SchemaVersion)>> {
        Ok(self.read(|catalog| catalog.versions_of(id, include)))
    }

    /// Deletes all versions of `subject` and returns them.
    ///
    /// # Errors
    /// As [`Catalog::delete_subject`]; or of the store.
    pub fn delete_subject(
        &self,
        subject: &Subject,
        deletion: Deletion,
    ) -> Result<Vec<SchemaVersion>> {
        self.write(|catalog| catalog.delete_subject(subject, deletion))
    }

    /// Deletes one version of `subject`.
    ///
    /// # Errors
    /// As [`Catalog::delete_version`]; or of the store.
    pub fn delete_version(
        &self,
        subject: &Subject,
        version: SchemaVersion,
        deletion: Deletion,
    ) -> Result<()> {
        self.write(|catalog| catalog.delete_version(subject, version, deletion))
    }
}
