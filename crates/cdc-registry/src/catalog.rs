//! What a registry knows, in memory: subjects, versions, schemas, levels and modes. Pure: no disk,
//! no clock.
//!
//! ```text
//! request ──decide──> changes ──journal (embedded store, or the topic _schemas)──> apply
//!            │                                                                       │
//!            └────────────── reads the catalogue as it is ──────────────────────────<┘
//! ```
//!
//! A decision reads the catalogue and returns changes; whoever keeps the journal makes them durable
//! and only then applies them. So the embedded store and the topic obey the same rules, and what is
//! read back from either is applied by the same code.
//!
//! # Invariants
//! - An id is given once and never again, whatever is deleted; an equal schema (by
//!   [`crate::canonical`]) gets the same id in every subject.
//! - A softly deleted version still counts for numbering and its id still resolves; a permanently
//!   deleted one is gone, and its schema's text with the last version that had it.

mod decision;
mod reference;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cdc_pipeline::port::{RegisteredSchema, SchemaId, SchemaVersion, Subject};
use serde_json::{Map, Value};

use crate::avro::Schema;
use crate::canonical::{self, Fingerprint};
use crate::compatibility::Compatibility;
use crate::store::{Include, Mode};

pub use decision::{Check, Decided, Registration};
pub use reference::{Candidate, Reference};

/// A schema's text, and what else was registered with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaText {
    /// The text, as it was registered.
    pub text: Arc<str>,
    /// What another registry keeps beside an Avro schema (`schemaType`, `references`, `metadata`,
    /// `ruleSet`), word for word. A schema that has any but `references` is served, and never
    /// compared.
    pub attributes: Option<Arc<Map<String, Value>>>,
}

impl SchemaText {
    /// Makes the text of an Avro schema.
    pub fn avro(text: impl Into<Arc<str>>) -> Self {
        Self { text: text.into(), attributes: None }
    }

    /// Tells whether it is the same schema, however it is spelt.
    pub fn is_equal(&self, other: &Self) -> bool {
        self == other || self.fingerprint() == other.fingerprint()
    }

    /// Returns by what it is equal to others.
    pub(crate) fn fingerprint(&self) -> Fingerprint {
        if let Some(mut references) = self.references().filter(|all| !all.is_empty()) {
            references.sort_unstable();
            let text = canonical::respell(&self.text).unwrap_or_else(|| self.text.to_string());
            let references = serde_json::json!(references);
            return Fingerprint::of_bytes(format!("{references}\n{text}").as_bytes());
        }
        if let Some(attributes) = &self.attributes {
            let whole = Value::Object(Map::clone(attributes)).to_string();
            return Fingerprint::of_bytes(format!("{whole}\n{}", self.text).as_bytes());
        }
        match Schema::parse(&self.text) {
            Ok(schema) => Fingerprint::of(&schema),
            Err(_) => Fingerprint::of_bytes(self.text.as_bytes()),
        }
    }
}

/// One step from a catalogue to the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A schema is known by its id, without a version yet.
    Schema {
        /// Its id.
        id: SchemaId,
        /// Its text.
        schema: SchemaText,
    },
    /// A version is there, or is softly deleted.
    Version {
        /// Its subject.
        subject: Subject,
        /// Its number.
        version: SchemaVersion,
        /// Its schema's id.
        id: SchemaId,
        /// Its schema.
        schema: SchemaText,
        /// Whether it is softly deleted.
        is_deleted: bool,
    },
    /// A version is gone for good.
    Remove {
        /// Its subject.
        subject: Subject,
        /// Its number.
        version: SchemaVersion,
    },
    /// All versions up to this one are softly deleted.
    DeleteSubject {
        /// The subject.
        subject: Subject,
        /// The last version.
        through: SchemaVersion,
    },
    /// The compatibility level of a subject, or the global one; none removes it.
    Level(Option<Subject>, Option<Compatibility>),
    /// The mode of a subject, or the global one; none removes it.
    Mode(Option<Subject>, Option<Mode>),
}

/// A version in the catalogue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Version {
    /// Its schema's id.
    pub id: SchemaId,
    /// Whether it is softly deleted.
    pub is_deleted: bool,
}

#[derive(Debug, Clone)]
struct Entry {
    schema: SchemaText,
    /// Where it is a version.
    places: BTreeSet<(Subject, SchemaVersion)>,
}

/// What a registry knows.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    subjects: BTreeMap<Subject, BTreeMap<SchemaVersion, Version>>,
    schemas: BTreeMap<SchemaId, Entry>,
    /// The id of each schema that ever was; outlives the schema.
    ids: BTreeMap<Fingerprint, SchemaId>,
    last_id: u32,
    /// Whether some schema has several ids, which only an import brings about.
    has_twins: bool,
    levels: BTreeMap<Option<Subject>, Compatibility>,
    modes: BTreeMap<Option<Subject>, Mode>,
}

impl Catalog {
    /// Returns all subjects, in order of their names.
    pub fn subjects(&self, include: Include) -> impl Iterator<Item = &Subject> {
        let counts = move |version: &Version| !version.is_deleted || include == Include::Deleted;
        self.subjects
            .iter()
            .filter(move |(_, versions)| versions.values().any(counts))
            .map(|(subject, _)| subject)
    }

    /// Tells whether `subject` has a version.
    pub fn has_subject(&self, subject: &Subject, include: Include) -> bool {
        self.all(subject).any(|(_, found)| !found.is_deleted || include == Include::Deleted)
    }

    /// Returns the versions of `subject` in order, deleted or not.
    pub fn all(
        &self,
        subject: &Subject,
    ) -> impl DoubleEndedIterator<Item = (SchemaVersion, Version)> {
        let versions = self.subjects.get(subject).into_iter().flatten();
        versions.map(|(version, found)| (*version, *found))
    }

    /// Returns the versions of `subject` that count, in order; none if there is no such subject.
    pub fn versions(&self, subject: &Subject, include: Include) -> Vec<SchemaVersion> {
        let counts = |found: &Version| !found.is_deleted || include == Include::Deleted;
        self.all(subject).filter(|(_, found)| counts(found)).map(|(version, _)| version).collect()
    }

    /// Returns one version of `subject`.
    pub fn version(
        &self,
        subject: &Subject,
        version: SchemaVersion,
        include: Include,
    ) -> Option<RegisteredSchema> {
        let found = self.subjects.get(subject)?.get(&version)?;
        if found.is_deleted && include == Include::Live {
            return None;
        }
        let schema = Arc::clone(&self.schema(found.id)?.text);
        Some(RegisteredSchema { id: found.id, version, schema })
    }

    /// Tells whether a version is softly deleted.
    pub fn is_deleted(&self, subject: &Subject, version: SchemaVersion) -> bool {
        let found = self.subjects.get(subject).and_then(|versions| versions.get(&version));
        found.is_some_and(|found| found.is_deleted)
    }

    /// Returns the newest version of `subject` that counts.
    pub fn latest(&self, subject: &Subject, include: Include) -> Option<RegisteredSchema> {
        let counts = |found: &Version| !found.is_deleted || include == Include::Deleted;
        let (version, _) = self.all(subject).rev().find(|(_, found)| counts(found))?;
        self.version(subject, version, include)
    }

    /// Returns the schema with `id`, also if all its versions are softly deleted.
    pub fn schema(&self, id: SchemaId) -> Option<&SchemaText> {
        self.schemas.get(&id).map(|entry| &entry.schema)
    }

    /// Returns where the schema with `id` is a version.
    pub fn versions_of(&self, id: SchemaId, include: Include) -> Vec<(Subject, SchemaVersion)> {
        let places = self.schemas.get(&id).into_iter().flat_map(|entry| &entry.places);
        let counts = |(subject, version): &&(Subject, SchemaVersion)| {
            include == Include::Deleted || !self.is_deleted(subject, *version)
        };
        places.filter(counts).cloned().collect()
    }

    /// Returns how many schemas there are.
    pub fn schemas_len(&self) -> usize {
        self.schemas.len()
    }

    /// Returns the highest id ever given, 0 before the first.
    pub fn last_id(&self) -> u32 {
        self.last_id
    }

    /// Notes that ids up to this one were given.
    pub fn raise_last_id(&mut self, id: u32) {
        self.last_id = self.last_id.max(id);
    }

    /// Returns the level set for `subject`, or globally for `None`.
    pub fn level(&self, subject: Option<&Subject>) -> Option<Compatibility> {
        self.levels.get(&subject.cloned()).copied()
    }

    /// Returns the level that counts for `subject`: its own, else the global one, else `BACKWARD`.
    pub fn effective_level(&self, subject: &Subject) -> Compatibility {
        self.level(Some(subject)).or_else(|| self.level(None)).unwrap_or_default()
    }

    /// Returns the mode set for `subject`, or globally for `None`.
    pub fn mode(&self, subject: Option<&Subject>) -> Option<Mode> {
        self.modes.get(&subject.cloned()).copied()
    }

    /// Returns the mode that counts for `subject`, or globally for `None`.
    pub fn effective_mode(&self, subject: Option<&Subject>) -> Mode {
        let global = self.mode(None).unwrap_or_default();
        match subject.and_then(|subject| self.mode(Some(subject))) {
            Some(own) if global != Mode::ReadOnlyOverride => own,
            _ => global,
        }
    }

    pub(crate) fn id_of(&self, fingerprint: &Fingerprint) -> Option<SchemaId> {
        self.ids.get(fingerprint).copied()
    }

    pub(crate) fn remember_id(&mut self, fingerprint: Fingerprint, id: SchemaId) {
        self.has_twins |= *self.ids.entry(fingerprint).or_insert(id) != id;
        self.raise_last_id(id.0);
    }

    /// Takes one step. Steps come from a decision, or from a journal in its order; one that is
    /// there already changes nothing.
    pub fn apply(&mut self, change: &Change) {
        match change {
            Change::Schema { id, schema } => drop(self.entry(*id, schema)),
            Change::Version { subject, version, id, schema, is_deleted } => {
                self.entry(*id, schema).places.insert((subject.clone(), *version));
                let version_now = Version { id: *id, is_deleted: *is_deleted };
                let versions = self.subjects.entry(subject.clone()).or_default();
                let before = versions.insert(*version, version_now);
                if let Some(before) = before.filter(|before| before.id != *id) {
                    self.forget_place(before.id, subject, *version);
                }
            }
            Change::Remove { subject, version } => {
                let Some(versions) = self.subjects.get_mut(subject) else { return };
                let removed = versions.remove(version);
                if versions.is_empty() {
                    self.subjects.remove(subject);
                }
                if let Some(removed) = removed {
                    self.forget_place(removed.id, subject, *version);
                }
            }
            Change::DeleteSubject { subject, through } => {
                let versions = self.subjects.get_mut(subject).into_iter().flatten();
                for (_, found) in versions.filter(|(version, _)| *version <= through) {
                    found.is_deleted = true;
                }
            }
            Change::Level(subject, level) => set(&mut self.levels, subject, *level),
            Change::Mode(subject, mode) => set(&mut self.modes, subject, *mode),
        }
    }

    /// Tells whether a step is there already, to find out what became of one whose outcome is
    /// unknown.
    pub fn holds(&self, change: &Change) -> bool {
        match change {
            Change::Schema { id, .. } => self.schemas.contains_key(id),
            Change::Version { subject, version, id, is_deleted, .. } => {
                let wanted = Version { id: *id, is_deleted: *is_deleted };
                let found = self.subjects.get(subject).and_then(|all| all.get(version));
                found.is_some_and(|found| *found == wanted)
            }
            Change::Remove { subject, version } => {
                self.all(subject).all(|(found, _)| found != *version)
            }
            Change::DeleteSubject { subject, through } => {
                self.all(subject).all(|(at, found)| at > *through || found.is_deleted)
            }
            Change::Level(subject, level) => self.level(subject.as_ref()) == *level,
            Change::Mode(subject, mode) => self.mode(subject.as_ref()) == *mode,
        }
    }

    fn entry(&mut self, id: SchemaId, schema: &SchemaText) -> &mut Entry {
        let is_known = self.schemas.get(&id).is_some_and(|entry| entry.schema == *schema);
        if !is_known {
            self.remember_id(schema.fingerprint(), id);
        }
        let new = || Entry { schema: schema.clone(), places: BTreeSet::new() };
        self.schemas.entry(id).or_insert_with(new)
    }

    fn forget_place(&mut self, id: SchemaId, subject: &Subject, version: SchemaVersion) {
        let Some(entry) = self.schemas.get_mut(&id) else { return };
        entry.places.remove(&(subject.clone(), version));
        if entry.places.is_empty() {
            self.schemas.remove(&id);
        }
    }

    /// Returns the ids that no version has any more once `changes` are applied.
    pub(crate) fn orphans(&self, changes: &[Change]) -> BTreeSet<SchemaId> {
        let mut gone: BTreeMap<SchemaId, usize> = BTreeMap::new();
        for change in changes {
            let Change::Remove { subject, version } = change else { continue };
            let found = self.subjects.get(subject).and_then(|versions| versions.get(version));
            if let Some(found) = found {
                *gone.entry(found.id).or_default() += 1;
            }
        }
        let is_orphan = |id: &SchemaId, count: usize| {
            self.schemas.get(id).is_some_and(|entry| entry.places.len() <= count)
        };
        gone.into_iter().filter(|(id, count)| is_orphan(id, *count)).map(|(id, _)| id).collect()
    }
}

fn set<T>(
    settings: &mut BTreeMap<Option<Subject>, T>,
    subject: &Option<Subject>,
    value: Option<T>,
) {
    match value {
        Some(value) => drop(settings.insert(subject.clone(), value)),
        None => drop(settings.remove(subject)),
    }
}

#[cfg(test)]
mod tests;
