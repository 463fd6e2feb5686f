//! How the store lies in its keyspace.
//!
//! | key | value |
//! |---|---|
//! | `v` | the layout's version, u32 |
//! | `n` | the highest id ever given, u32 |
//! | `i` id u32 | JSON [`StoredSchema`] |
//! | `f` fingerprint | its id, u32; outlives the schema |
//! | `s` subject `00` version u32 | JSON [`StoredVersion`] |
//! | `c` subject | compatibility level by name; empty subject: global |
//! | `m` subject | mode by name; empty subject: global |
//!
//! Numbers are big-endian, so that versions are in order. JSON leaves room for references and other
//! schema types: readers ignore what they do not know.

use std::path::Path;

use cdc_pipeline::port::{SchemaId, SchemaVersion, Subject};
use fjall::OwnedWriteBatch;
use serde::{Deserialize, Serialize};

use crate::avro::Schema;
use crate::canonical::Fingerprint;
use crate::error::{Error, Result};

use super::{EmbeddedRegistry, Store};

const LAYOUT: u32 = 1;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct StoredSchema {
    pub(super) schema: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct StoredVersion {
    pub(super) id: u32,
    #[serde(default)]
    pub(super) deleted: bool,
}

/// Tells a locked, a corrupt and an unusable store apart.
pub(super) fn classify(dir: &Path, error: fjall::Error) -> Error {
    let dir = dir.to_path_buf();
    match &error {
        fjall::Error::Locked => Error::StoreLocked { dir },
        fjall::Error::Io(_)
        | fjall::Error::Storage(fjall::LsmError::Io(_))
        | fjall::Error::Poisoned => Error::StoreIo { dir, cause: Box::new(error) },
        _ => Error::StoreCorrupt { dir, reason: error.to_string() },
    }
}

fn schema_key(id: SchemaId) -> Vec<u8> {
    [b"i".as_slice(), &id.0.to_be_bytes()].concat()
}

fn fingerprint_key(fingerprint: &Fingerprint) -> Vec<u8> {
    [b"f".as_slice(), fingerprint.as_bytes()].concat()
}

fn subject_prefix(subject: &Subject) -> Vec<u8> {
    [b"s".as_slice(), subject.0.as_bytes(), b"\0"].concat()
}

fn version_key(subject: &Subject, version: SchemaVersion) -> Vec<u8> {
    [subject_prefix(subject).as_slice(), &version.0.to_be_bytes()].concat()
}

fn json<T: Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).expect("invariant: these types are JSON")
}

impl Store {
    pub(super) fn corrupt(&self, reason: String) -> Error {
        Error::StoreCorrupt { dir: self.dir.to_path_buf(), reason }
    }

    pub(super) fn lost(&self, id: SchemaId) -> Error {
        self.corrupt(format!("a version refers to schema {}, which is not there", id.0))
    }

    pub(super) fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        let value = self.keyspace.get(key).map_err(|error| classify(&self.dir, error))?;
        Ok(value.map(|value| value.to_vec()))
    }

    fn get_number(&self, key: &[u8]) -> Result<Option<u32>> {
        let Some(value) = self.get(key)? else { return Ok(None) };
        let bytes = <[u8; 4]>::try_from(value.as_slice());
        bytes.map(|bytes| Some(u32::from_be_bytes(bytes))).map_err(|_| self.unreadable(key))
    }

    fn get_json<T: for<'de> Deserialize<'de>>(&self, key: &[u8]) -> Result<Option<T>> {
        let Some(value) = self.get(key)? else { return Ok(None) };
        serde_json::from_slice(&value).map(Some).map_err(|_| self.unreadable(key))
    }

    fn unreadable(&self, key: &[u8]) -> Error {
        self.corrupt(format!("entry {} is unreadable", key.escape_ascii()))
    }

    fn scan(&self, prefix: &[u8]) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let entries = self.keyspace.prefix(prefix).map(|entry| {
            let (key, value) = entry.into_inner().map_err(|error| classify(&self.dir, error))?;
            Ok((key.to_vec(), value.to_vec()))
        });
        entries.collect()
    }

    pub(super) fn schema(&self, id: SchemaId) -> Result<Option<StoredSchema>> {
        self.get_json(&schema_key(id))
    }

    pub(super) fn id_of(&self, fingerprint: &Fingerprint) -> Result<Option<SchemaId>> {
        Ok(self.get_number(&fingerprint_key(fingerprint))?.map(SchemaId))
    }

    pub(super) fn next_id(&self) -> Result<SchemaId> {
        let last = self.get_number(b"n")?.unwrap_or(0);
        // The wire format has 31 bits for it.
        match last.checked_add(1).filter(|id| *id <= i32::MAX.unsigned_abs()) {
            Some(id) => Ok(SchemaId(id)),
            None => Err(self.corrupt("all ids are given".to_owned())),
        }
    }

    pub(super) fn put_schema(
        &self,
        batch: &mut OwnedWriteBatch,
        id: SchemaId,
        fingerprint: &Fingerprint,
        schema: &StoredSchema,
    ) -> Result<()> {
        let number = id.0.to_be_bytes();
        batch.insert(&self.keyspace, schema_key(id), json(schema));
        batch.insert(&self.keyspace, fingerprint_key(fingerprint), number.as_slice());
        batch.insert(&self.keyspace, b"v".as_slice(), LAYOUT.to_be_bytes().as_slice());
        if id.0 > self.get_number(b"n")?.unwrap_or(0) {
            batch.insert(&self.keyspace, b"n".as_slice(), number.as_slice());
        }
        Ok(())
    }

    pub(super) fn remove_schema(&self, batch: &mut OwnedWriteBatch, id: SchemaId) {
        batch.remove(&self.keyspace, schema_key(id));
    }

    pub(super) fn version(
        &self,
        subject: &Subject,
        version: SchemaVersion,
    ) -> Result<Option<StoredVersion>> {
        self.get_json(&version_key(subject, version))
    }

    pub(super) fn put_version(
        &self,
        batch: &mut OwnedWriteBatch,
        subject: &Subject,
        version: SchemaVersion,
        stored: &StoredVersion,
    ) {
        batch.insert(&self.keyspace, version_key(subject, version), json(stored));
    }

    pub(super) fn remove_version(
        &self,
        batch: &mut OwnedWriteBatch,
        subject: &Subject,
        version: SchemaVersion,
    ) {
        batch.remove(&self.keyspace, version_key(subject, version));
    }

    /// All versions of a subject, deleted or not, in order.
    pub(super) fn versions(
        &self,
        subject: &Subject,
    ) -> Result<Vec<(SchemaVersion, StoredVersion)>> {
        let entries = self.scan(&subject_prefix(subject))?.into_iter();
        let versions = entries.map(|(key, value)| {
            let (_, version, stored) = self.version_entry(&key, &value)?;
            Ok((version, stored))
        });
        versions.collect()
    }

    /// All versions of all subjects, in order.
    pub(super) fn all_versions(&self) -> Result<Vec<(Subject, SchemaVersion, StoredVersion)>> {
        let entries = self.scan(b"s")?.into_iter();
        entries.map(|(key, value)| self.version_entry(&key, &value)).collect()
    }

    fn version_entry(
        &self,
        key: &[u8],
        value: &[u8],
    ) -> Result<(Subject, SchemaVersion, StoredVersion)> {
        let split = key.strip_prefix(b"s").and_then(|key| key.split_last_chunk::<4>());
        let parts = split.and_then(|(name, version)| {
            let name = std::str::from_utf8(name.strip_suffix(b"\0")?).ok()?;
            Some((Subject::new(name), SchemaVersion(u32::from_be_bytes(*version))))
        });
        let stored = serde_json::from_slice(value).ok();
        match (parts, stored) {
            (Some((subject, version)), Some(stored)) => Ok((subject, version, stored)),
            _ => Err(self.unreadable(key)),
        }
    }
}

impl EmbeddedRegistry {
    /// Refuses a store of another layout, or one that contradicts itself.
    pub(super) fn verify(&self) -> Result<()> {
        let store = &self.store;
        let layout = store.get_number(b"v")?.unwrap_or(LAYOUT);
        if layout != LAYOUT {
            return Err(
                store.corrupt(format!("its layout is {layout}, this program knows {LAYOUT}"))
            );
        }
        let last = store.get_number(b"n")?.unwrap_or(0);
        for (key, value) in store.scan(b"i")? {
            let stored: StoredSchema =
                serde_json::from_slice(&value).map_err(|_| store.unreadable(&key))?;
            let id = key.last_chunk::<4>().map(|id| SchemaId(u32::from_be_bytes(*id)));
            let schema = Schema::parse(&stored.schema).map_err(|_| store.unreadable(&key))?;
            let known = store.id_of(&Fingerprint::of(&schema))?;
            if known != id || id.is_none_or(|id| id.0 == 0 || id.0 > last) {
                return Err(store.corrupt(format!("schema {} has another id", key.escape_ascii())));
            }
        }
        for (_, _, stored) in store.all_versions()? {
            if store.schema(SchemaId(stored.id))?.is_none() {
                return Err(store.lost(SchemaId(stored.id)));
            }
        }
        Ok(())
    }
}
