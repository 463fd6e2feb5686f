//! What a registry once said, kept so that known schemas go on while it is away.
//!
//! Ids never change their meaning, so nothing here grows stale; a contradiction means that the
//! registry was emptied or exchanged, which is fatal: records in the log would be read with the
//! wrong schema.
//!
//! # Invariants
//! - Bounded in bytes of texts and names; the least recently used goes first.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cdc_pipeline::port::{SchemaId, Subject};

use crate::avro::Schema;
use crate::canonical::Fingerprint;
use crate::error::{Error, Result};

/// Default bound, in bytes.
pub(crate) const BYTES_MAX: usize = 32 << 20;

/// What an entry takes beside its text.
const ENTRY_BYTES: usize = 128;

#[derive(Debug)]
pub(crate) struct Cache {
    known: Mutex<Known>,
}

#[derive(Debug)]
struct Known {
    ids: Recent<(Subject, Fingerprint), SchemaId>,
    schemas: Recent<SchemaId, Entry>,
}

#[derive(Debug, Clone)]
struct Entry {
    text: Arc<str>,
    fingerprint: Fingerprint,
}

impl Cache {
    /// Makes an empty cache of at most `bytes_max` bytes.
    pub(crate) fn new(bytes_max: usize) -> Self {
        let known =
            Known { ids: Recent::new(bytes_max / 4), schemas: Recent::new(bytes_max / 4 * 3) };
        Self { known: Mutex::new(known) }
    }

    /// Returns the id that `schema` was registered with under `subject`.
    pub(crate) fn id(&self, subject: &Subject, schema: &str) -> Option<SchemaId> {
        let key = (subject.clone(), Fingerprint::of_bytes(schema.as_bytes()));
        self.lock().ids.get(&key).copied()
    }

    /// Returns the text of the schema with `id`.
    pub(crate) fn schema(&self, id: SchemaId) -> Option<Arc<str>> {
        self.lock().schemas.get(&id).map(|entry| Arc::clone(&entry.text))
    }

    /// Returns the schema used last, to probe the registry with.
    pub(crate) fn any(&self) -> Option<SchemaId> {
        self.lock().schemas.newest()
    }

    /// Remembers that `id` names `schema`.
    ///
    /// # Errors
    /// [`Error::IdsReset`] if it was known to name another.
    pub(crate) fn insert_schema(&self, id: SchemaId, schema: &str) -> Result<()> {
        let fingerprint = fingerprint(schema);
        let mut known = self.lock();
        match known.schemas.get(&id) {
            Some(entry) if entry.fingerprint == fingerprint => Ok(()),
            Some(_) => Err(Error::IdsReset { id, found: "names another schema now" }),
            None => {
                let entry = Entry { text: schema.into(), fingerprint };
                known.schemas.insert(id, entry, schema.len() + ENTRY_BYTES);
                Ok(())
            }
        }
    }

    /// Remembers that `schema` has `id` under `subject`.
    ///
    /// # Errors
    /// [`Error::IdsReset`] if `id` was known to name another schema.
    pub(crate) fn insert(&self, subject: &Subject, schema: &str, id: SchemaId) -> Result<()> {
        self.insert_schema(id, schema)?;
        let key = (subject.clone(), Fingerprint::of_bytes(schema.as_bytes()));
        self.lock().ids.insert(key, id, subject.0.len() + ENTRY_BYTES);
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn fingerprint(text: &str) -> Fingerprint {
    match Schema::parse(text) {
        Ok(schema) => Fingerprint::of(&schema),
        Err(_) => Fingerprint::of_bytes(text.as_bytes()),
    }
}

/// A map bounded in bytes that forgets what was used least recently.
#[derive(Debug)]
struct Recent<K, V> {
    entries: BTreeMap<K, Slot<V>>,
    /// When each was used last, by a count of uses.
    uses: BTreeMap<u64, K>,
    clock: u64,
    bytes: usize,
    bytes_max: usize,
}

#[derive(Debug)]
struct Slot<V> {
    value: V,
    used: u64,
    bytes: usize,
}

impl<K: Ord + Clone, V> Recent<K, V> {
    fn new(bytes_max: usize) -> Self {
        Self { entries: BTreeMap::new(), uses: BTreeMap::new(), clock: 0, bytes: 0, bytes_max }
    }

    fn get(&mut self, key: &K) -> Option<&V> {
        let slot = self.entries.get_mut(key)?;
        self.clock += 1;
        if let Some(key) = self.uses.remove(&slot.used) {
            self.uses.insert(self.clock, key);
        }
        slot.used = self.clock;
        Some(&slot.value)
    }

    fn newest(&self) -> Option<K> {
        self.uses.last_key_value().map(|(_, key)| key.clone())
    }

    /// An entry larger than the bound is not kept.
    fn insert(&mut self, key: K, value: V, bytes: usize) {
        self.remove(&key);
        if bytes > self.bytes_max {
            return;
        }
        while self.bytes + bytes > self.bytes_max {
            let Some((_, oldest)) = self.uses.first_key_value() else { break };
            let oldest = oldest.clone();
            self.remove(&oldest);
        }
        self.clock += 1;
        self.uses.insert(self.clock, key.clone());
        self.entries.insert(key, Slot { value, used: self.clock, bytes });
        self.bytes += bytes;
    }

    fn remove(&mut self, key: &K) {
        if let Some(slot) = self.entries.remove(key) {
            self.uses.remove(&slot.used);
            self.bytes -= slot.bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_recently_used_goes_first() {
        let mut recent = Recent::new(30);
        for key in 1..=3 {
            recent.insert(key, (), 10);
        }
        recent.get(&1);
        recent.insert(4, (), 10);
        assert_eq!(recent.entries.keys().copied().collect::<Vec<_>>(), [1, 3, 4]);
        assert_eq!(recent.newest(), Some(4));
        recent.insert(5, (), 31);
        recent.insert(1, (), 25);
        assert_eq!(recent.entries.keys().copied().collect::<Vec<_>>(), [1]);
        assert_eq!((recent.bytes, recent.uses.len()), (25, 1));
    }

    #[test]
    fn an_id_with_another_schema_is_a_reset() {
        let cache = Cache::new(1 << 20);
        let subject = Subject::new("t-value");
        cache.insert(&subject, "\"string\"", SchemaId(1)).unwrap();
        cache.insert(&subject, "{\"type\":\"string\"}", SchemaId(1)).unwrap();
        let error = cache.insert(&subject, "\"long\"", SchemaId(1)).unwrap_err();
        assert!(matches!(error, Error::IdsReset { id: SchemaId(1), .. }));
        assert_eq!(cache.id(&subject, "\"string\""), Some(SchemaId(1)));
        assert_eq!(cache.id(&subject, "\"long\""), None);
    }
}
