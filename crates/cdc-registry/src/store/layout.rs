//! How the catalogue lies in the store's keyspace.
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
//! Numbers are big-endian, so that versions are in order. Readers of the JSON ignore what they do
//! not know.

use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use cdc_pipeline::port::{SchemaId, SchemaVersion, Subject};
use fjall::{OwnedWriteBatch, PersistMode};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::canonical::Fingerprint;
use crate::catalog::{Catalog, Change, SchemaText};
use crate::error::{Error, Result};

use super::Store;

const LAYOUT: u32 = 1;

#[derive(Debug, Clone, Serialize, Deserialize)]
struct StoredSchema {
    schema: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    attributes: Option<Map<String, Value>>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct StoredVersion {
    id: u32,
    #[serde(default)]
    deleted: bool,
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

fn version_key(subject: &Subject, version: SchemaVersion) -> Vec<u8> {
    [b"s".as_slice(), subject.0.as_bytes(), b"\0", &version.0.to_be_bytes()].concat()
}

fn setting_key(kind: u8, subject: Option<&Subject>) -> Vec<u8> {
    [&[kind], subject.map_or("", |subject| &*subject.0).as_bytes()].concat()
}

fn json<T: Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).expect("invariant: these types are JSON")
}

/// Reading.
impl Store {
    fn corrupt(&self, reason: String) -> Error {
        Error::StoreCorrupt { dir: self.dir.to_path_buf(), reason }
    }

    fn unreadable(&self, key: &[u8]) -> Error {
        self.corrupt(format!("entry {} is unreadable", key.escape_ascii()))
    }

    fn number(&self, key: &[u8]) -> Result<Option<u32>> {
        let value = self.keyspace.get(key).map_err(|error| classify(&self.dir, error))?;
        let Some(value) = value else { return Ok(None) };
        let bytes = <[u8; 4]>::try_from(&*value).map_err(|_| self.unreadable(key))?;
        Ok(Some(u32::from_be_bytes(bytes)))
    }

    fn scan(&self, prefix: &[u8]) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let entries = self.keyspace.prefix(prefix).map(|entry| {
            let (key, value) = entry.into_inner().map_err(|error| classify(&self.dir, error))?;
            Ok((key.to_vec(), value.to_vec()))
        });
        entries.collect()
    }

    /// Reads the whole catalogue. Refuses a store of another layout, or one that contradicts
    /// itself.
    pub(super) fn load(&self) -> Result<Catalog> {
        let layout = self.number(b"v")?.unwrap_or(LAYOUT);
        if layout != LAYOUT {
            let reason = format!("its layout is {layout}, this program knows {LAYOUT}");
            return Err(self.corrupt(reason));
        }
        let last = self.number(b"n")?.unwrap_or(0);
        let mut catalog = Catalog::default();
        for (key, value) in self.scan(b"f")? {
            let fingerprint = key.strip_prefix(b"f").and_then(|key| <[u8; 32]>::try_from(key).ok());
            let id = <[u8; 4]>::try_from(value.as_slice()).map(u32::from_be_bytes).ok();
            let (Some(fingerprint), Some(id)) = (fingerprint, id) else {
                return Err(self.unreadable(&key));
            };
            catalog.remember_id(Fingerprint::from_bytes(fingerprint), SchemaId(id));
        }
        for (key, value) in self.scan(b"i")? {
            self.load_schema(&mut catalog, &key, &value, last)?;
        }
        for (key, value) in self.scan(b"s")? {
            self.load_version(&mut catalog, &key, &value)?;
        }
        for (key, value) in self.scan(b"c")? {
            let (subject, level) = self.setting(&key, &value)?;
            catalog.apply(&Change::Level(subject, Some(level)));
        }
        for (key, value) in self.scan(b"m")? {
            let (subject, mode) = self.setting(&key, &value)?;
            catalog.apply(&Change::Mode(subject, Some(mode)));
        }
        catalog.raise_last_id(last);
        Ok(catalog)
    }

    fn load_schema(
        &self,
        catalog: &mut Catalog,
        key: &[u8],
        value: &[u8],
        last: u32,
    ) -> Result<()> {
        let unreadable = || self.unreadable(key);
        let stored: StoredSchema = serde_json::from_slice(value).map_err(|_| unreadable())?;
        let id = key.last_chunk::<4>().map(|id| u32::from_be_bytes(*id)).ok_or_else(unreadable)?;
        let attributes = stored.attributes.map(Arc::new);
        let schema = SchemaText { text: stored.schema.into(), attributes };
        if catalog.id_of(&schema.fingerprint()).is_none() || id == 0 || id > last {
            return Err(self.corrupt(format!("schema {} has another id", key.escape_ascii())));
        }
        catalog.apply(&Change::Schema { id: SchemaId(id), schema });
        Ok(())
    }

    fn load_version(&self, catalog: &mut Catalog, key: &[u8], value: &[u8]) -> Result<()> {
        let split = key.strip_prefix(b"s").and_then(|key| key.split_last_chunk::<4>());
        let parts = split.and_then(|(name, version)| {
            let name = std::str::from_utf8(name.strip_suffix(b"\0")?).ok()?;
            Some((Subject::new(name), SchemaVersion(u32::from_be_bytes(*version))))
        });
        let stored: Option<StoredVersion> = serde_json::from_slice(value).ok();
        let (Some((subject, version)), Some(stored)) = (parts, stored) else {
            return Err(self.unreadable(key));
        };
        let id = SchemaId(stored.id);
        let Some(schema) = catalog.schema(id).cloned() else {
            let reason = format!("a version refers to schema {}, which is not there", id.0);
            return Err(self.corrupt(reason));
        };
        let is_deleted = stored.deleted;
        catalog.apply(&Change::Version { subject, version, id, schema, is_deleted });
        Ok(())
    }

    fn setting<T: FromStr>(&self, key: &[u8], value: &[u8]) -> Result<(Option<Subject>, T)> {
        let name = key.get(1..).and_then(|name| std::str::from_utf8(name).ok());
        let value = std::str::from_utf8(value).ok().and_then(|value| value.parse().ok());
        let (Some(name), Some(value)) = (name, value) else { return Err(self.unreadable(key)) };
        Ok(((!name.is_empty()).then(|| Subject::new(name)), value))
    }
}

/// Writing.
impl Store {
    /// Writes down how `changes` of `catalog` lie on the disk.
    pub(super) fn batch(&self, catalog: &Catalog, changes: &[Change]) -> OwnedWriteBatch {
        let mut batch = self.database.batch().durability(Some(PersistMode::SyncAll));
        batch.insert(&self.keyspace, b"v".as_slice(), LAYOUT.to_be_bytes().as_slice());
        let mut last_id = catalog.last_id();
        for change in changes {
            if let Change::Schema { id, .. } | Change::Version { id, .. } = change {
                last_id = last_id.max(id.0);
            }
            self.put(&mut batch, catalog, change);
        }
        for id in catalog.orphans(changes) {
            batch.remove(&self.keyspace, schema_key(id));
        }
        batch.insert(&self.keyspace, b"n".as_slice(), last_id.to_be_bytes().as_slice());
        batch
    }

    fn put(&self, batch: &mut OwnedWriteBatch, catalog: &Catalog, change: &Change) {
        let keyspace = &self.keyspace;
        let mut put_version = |subject: &Subject, version, id: SchemaId, deleted| {
            let stored = StoredVersion { id: id.0, deleted };
            batch.insert(keyspace, version_key(subject, version), json(&stored));
        };
        match change {
            Change::Schema { id, schema } => self.put_schema(batch, catalog, *id, schema),
            Change::Version { subject, version, id, schema, is_deleted } => {
                put_version(subject, *version, *id, *is_deleted);
                self.put_schema(batch, catalog, *id, schema);
            }
            Change::Remove { subject, version } => {
                batch.remove(keyspace, version_key(subject, *version));
            }
            Change::DeleteSubject { subject, through } => {
                for (version, found) in catalog.all(subject).filter(|(at, _)| at <= through) {
                    put_version(subject, version, found.id, true);
                }
            }
            Change::Level(subject, level) => {
                let name = level.map(crate::Compatibility::name);
                self.put_setting(batch, b'c', subject.as_ref(), name);
            }
            Change::Mode(subject, mode) => {
                let name = mode.map(super::Mode::name);
                self.put_setting(batch, b'm', subject.as_ref(), name);
            }
        }
    }

    fn put_schema(
        &self,
        batch: &mut OwnedWriteBatch,
        catalog: &Catalog,
        id: SchemaId,
        schema: &SchemaText,
    ) {
        if catalog.schema(id).is_some() {
            return;
        }
        let stored = StoredSchema {
            schema: schema.text.to_string(),
            attributes: schema.attributes.as_deref().cloned(),
        };
        batch.insert(&self.keyspace, schema_key(id), json(&stored));
        let fingerprint = schema.fingerprint();
        if catalog.id_of(&fingerprint).is_none() {
            let number = id.0.to_be_bytes();
            batch.insert(&self.keyspace, fingerprint_key(&fingerprint), number.as_slice());
        }
    }

    fn put_setting(
        &self,
        batch: &mut OwnedWriteBatch,
        kind: u8,
        subject: Option<&Subject>,
        name: Option<&str>,
    ) {
        let key = setting_key(kind, subject);
        match name {
            Some(name) => batch.insert(&self.keyspace, key, name.as_bytes()),
            None => batch.remove(&self.keyspace, key),
        }
    }

    pub(super) fn commit(&self, batch: OwnedWriteBatch) -> Result<()> {
        batch.commit().map_err(|error| classify(&self.dir, error))
    }
}
