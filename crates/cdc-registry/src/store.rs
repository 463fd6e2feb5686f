//! A schema registry of our own: subjects, versions, ids, compatibility and modes in an embedded
//! store.
//!
//! Every method that changes something returns after the change is on disk (one atomic batch,
//! fsynced). Reads see every change that has returned. Methods block for a disk access, at most a
//! few milliseconds: call them from a blocking thread.
//!
//! # Invariants
//! - An id is given once and never again, whatever is deleted; an equal schema (by
//!   [`crate::canonical`]) has the same id in every subject.
//! - A schema's text is kept as it was first registered.
//! - A softly deleted version still counts for numbering and its id still resolves; a permanently
//!   deleted one is gone, and its schema's text with the last version that had it.
//!
//! # Failure
//! A crash leaves a change whole or absent. A store that contradicts itself is refused at
//! [`EmbeddedRegistry::open`]; a failed write halts, for the engine takes no more after it.

mod deletion;
mod layout;
mod settings;

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use cdc_pipeline::port::{RegisteredSchema, SchemaId, SchemaVersion, Subject};
use fjall::{Database, Keyspace, KeyspaceCreateOptions, OwnedWriteBatch, PersistMode};

use crate::avro::Schema;
use crate::canonical::Fingerprint;
use crate::compatibility::{self, Incompatibility};
use crate::error::{Error, Objection, Result, Rule};
use crate::{diff, subject};

use layout::{StoredSchema, StoredVersion};

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
    /// [`Error::StoreLocked`], [`Error::StoreCorrupt`], [`Error::StoreIo`]; all fatal.
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
        let registry = Self {
            store: Arc::new(Store {
                database,
                keyspace,
                writing: Mutex::new(()),
                dir: Box::from(dir),
            }),
        };
        registry.verify()?;
        Ok(registry)
    }

    /// Registers `schema` as the next version of `subject`, or returns the version that equals it.
    ///
    /// # Errors
    /// [`Error::InvalidSchema`], [`Error::Incompatible`], [`Error::Refused`]; or of the store.
    pub fn register(&self, subject: &Subject, schema: &str) -> Result<RegisteredSchema> {
        self.register_checked(subject, schema, true)
    }

    /// Registers `schema` whatever the compatibility level says.
    ///
    /// # Errors
    /// As [`EmbeddedRegistry::register`], save [`Error::Incompatible`].
    pub fn accept(&self, subject: &Subject, schema: &str) -> Result<RegisteredSchema> {
        self.register_checked(subject, schema, false)
    }

    fn register_checked(
        &self,
        subject: &Subject,
        schema: &str,
        is_checked: bool,
    ) -> Result<RegisteredSchema> {
        let schema = parse(subject, schema)?;
        let _writing = self.lock();
        if let Some(known) = self.find(subject, &schema)? {
            return Ok(known);
        }
        self.check_writable(subject)?;
        if is_checked && let Some(found) = self.incompatibility(subject, &schema)? {
            return Err(self.objection(subject, &schema, &found));
        }
        let fingerprint = Fingerprint::of(&schema);
        let mut batch = self.batch();
        let id = match self.store.id_of(&fingerprint)? {
            Some(id) => id,
            None => self.store.next_id()?,
        };
        if self.store.schema(id)?.is_none() {
            let stored = StoredSchema { schema: schema.text().to_string() };
            self.store.put_schema(&mut batch, id, &fingerprint, &stored)?;
        }
        let last = self.store.versions(subject)?.last().map_or(0, |(version, _)| version.0);
        let version = SchemaVersion(last + 1);
        let stored = StoredVersion { id: id.0, deleted: false };
        self.store.put_version(&mut batch, subject, version, &stored);
        self.commit(batch)?;
        let schema = self.store.schema(id)?.ok_or_else(|| self.store.lost(id))?;
        Ok(RegisteredSchema { id, version, schema: schema.schema.into() })
    }

    /// Returns the live version of `subject` that equals `schema`.
    ///
    /// # Errors
    /// [`Error::InvalidSchema`], or of the store.
    pub fn lookup(&self, subject: &Subject, schema: &str) -> Result<Option<RegisteredSchema>> {
        self.find(subject, &parse(subject, schema)?)
    }

    /// Tells why `schema` could not be registered under `subject`, or `None` if it could.
    ///
    /// # Errors
    /// [`Error::InvalidSchema`], or of the store.
    pub fn check(&self, subject: &Subject, schema: &str) -> Result<Option<Incompatibility>> {
        let schema = parse(subject, schema)?;
        if self.find(subject, &schema)?.is_some() {
            return Ok(None);
        }
        self.incompatibility(subject, &schema)
    }

    /// Returns the newest live version of `subject`.
    ///
    /// # Errors
    /// Of the store.
    pub fn latest(&self, subject: &Subject) -> Result<Option<RegisteredSchema>> {
        match self.versions(subject, Include::Live)?.last() {
            Some(version) => self.version(subject, *version, Include::Live),
            None => Ok(None),
        }
    }

    /// Returns one version of `subject`.
    ///
    /// # Errors
    /// Of the store.
    pub fn version(
        &self,
        subject: &Subject,
        version: SchemaVersion,
        include: Include,
    ) -> Result<Option<RegisteredSchema>> {
        let Some(stored) = self.store.version(subject, version)? else { return Ok(None) };
        if stored.deleted && include == Include::Live {
            return Ok(None);
        }
        let id = SchemaId(stored.id);
        let schema = self.store.schema(id)?.ok_or_else(|| self.store.lost(id))?;
        Ok(Some(RegisteredSchema { id, version, schema: schema.schema.into() }))
    }

    /// Returns the versions of `subject`, in order; none if there is no such subject.
    ///
    /// # Errors
    /// Of the store.
    pub fn versions(&self, subject: &Subject, include: Include) -> Result<Vec<SchemaVersion>> {
        let versions = self.store.versions(subject)?.into_iter();
        let counts = |stored: &StoredVersion| !stored.deleted || include == Include::Deleted;
        Ok(versions.filter(|(_, stored)| counts(stored)).map(|(version, _)| version).collect())
    }

    /// Returns all subjects, in order of their names.
    ///
    /// # Errors
    /// Of the store.
    pub fn subjects(&self, include: Include) -> Result<Vec<Subject>> {
        let mut subjects: Vec<Subject> = Vec::new();
        for (subject, _, stored) in self.store.all_versions()? {
            let counts = !stored.deleted || include == Include::Deleted;
            if counts && subjects.last() != Some(&subject) {
                subjects.push(subject);
            }
        }
        Ok(subjects)
    }

    /// Returns the text of the schema with `id`, also if all its versions are softly deleted.
    ///
    /// # Errors
    /// Of the store.
    pub fn schema(&self, id: SchemaId) -> Result<Option<Arc<str>>> {
        Ok(self.store.schema(id)?.map(|stored| stored.schema.into()))
    }

    /// Returns where the schema with `id` is a version.
    ///
    /// # Errors
    /// Of the store.
    pub fn versions_of(
        &self,
        id: SchemaId,
        include: Include,
    ) -> Result<Vec<(Subject, SchemaVersion)>> {
        let all = self.store.all_versions()?.into_iter();
        let of_id = all.filter(|(_, _, stored)| {
            stored.id == id.0 && (!stored.deleted || include == Include::Deleted)
        });
        Ok(of_id.map(|(subject, version, _)| (subject, version)).collect())
    }

    fn find(&self, subject: &Subject, schema: &Schema) -> Result<Option<RegisteredSchema>> {
        let Some(id) = self.store.id_of(&Fingerprint::of(schema))? else { return Ok(None) };
        let versions = self.store.versions(subject)?;
        let found = versions.iter().rev().find(|(_, stored)| !stored.deleted && stored.id == id.0);
        match found {
            Some((version, _)) => self.version(subject, *version, Include::Live),
            None => Ok(None),
        }
    }

    fn incompatibility(
        &self,
        subject: &Subject,
        schema: &Schema,
    ) -> Result<Option<Incompatibility>> {
        let versions = self.versions(subject, Include::Live)?.into_iter().rev();
        let schemas = versions.map(|version| self.parsed(subject, version));
        compatibility::check(self.effective_compatibility(subject)?, schema, schemas)
    }

    fn parsed(&self, subject: &Subject, version: SchemaVersion) -> Result<(SchemaVersion, Schema)> {
        let registered = self.version(subject, version, Include::Deleted)?;
        let registered = registered.ok_or_else(|| Error::Refused {
            subject: subject.clone(),
            rule: Rule::VersionNotFound,
        })?;
        let schema = Schema::parse(&registered.schema).map_err(|error| {
            self.store.corrupt(format!("schema {} is invalid: {error}", registered.id.0))
        })?;
        Ok((version, schema))
    }

    fn objection(&self, subject: &Subject, schema: &Schema, found: &Incompatibility) -> Error {
        let changes = match self.parsed(subject, found.version) {
            Ok((_, old)) => diff::lines(&old, schema),
            Err(error) => return error,
        };
        Error::Incompatible(Box::new(Objection {
            subject: subject.clone(),
            schema: Arc::clone(schema.text()),
            reasons: found.messages(),
            changes,
        }))
    }

    fn check_writable(&self, subject: &Subject) -> Result<()> {
        if !subject::is_valid(subject) {
            return Err(refused(subject, Rule::InvalidSubject));
        }
        match self.effective_mode(subject)? {
            Mode::ReadWrite => Ok(()),
            Mode::ReadOnly | Mode::ReadOnlyOverride | Mode::Import => {
                Err(refused(subject, Rule::ReadOnly))
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, ()> {
        self.store.writing.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn batch(&self) -> OwnedWriteBatch {
        self.store.database.batch().durability(Some(PersistMode::SyncAll))
    }

    fn commit(&self, batch: OwnedWriteBatch) -> Result<()> {
        batch.commit().map_err(|error| layout::classify(&self.store.dir, error))
    }
}

fn refused(subject: &Subject, rule: Rule) -> Error {
    Error::Refused { subject: subject.clone(), rule }
}

fn parse(subject: &Subject, schema: &str) -> Result<Schema> {
    if schema.len() > SCHEMA_BYTES_MAX {
        return Err(refused(subject, Rule::SchemaTooLarge));
    }
    Schema::parse(schema).map_err(|error| Error::InvalidSchema {
        subject: subject.clone(),
        reason: error.to_string(),
    })
}
