//! What may be done with a catalogue, and which changes do it.

use std::sync::Arc;

use cdc_pipeline::port::{RegisteredSchema, SchemaId, SchemaVersion, Subject};

use crate::avro::Schema;
use crate::compatibility::{self, Compatibility, Incompatibility};
use crate::error::{Error, Objection, Result, Rule};
use crate::store::{Deletion, Include, Mode};
use crate::{diff, semantic, subject};

use super::{Candidate, Catalog, Change, SchemaText, Version};

/// An answer, and the changes that make it true. No changes: it was true already.
pub type Decided<T> = (T, Vec<Change>);

/// What a schema is checked for before it is registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// Nothing but its form.
    Form,
    /// The subject's compatibility level.
    Level,
    /// The level, and that values keep their meaning ([`crate::semantic`]) unless the level is
    /// `NONE`.
    Meaning,
}

/// A wish to register a schema.
#[derive(Debug, Clone, Copy)]
pub struct Registration<'a> {
    /// The schema.
    pub schema: Candidate<'a>,
    /// The id it must get; only where the mode is `IMPORT`.
    pub id: Option<SchemaId>,
    /// The version it must get; outside `IMPORT` only the next one.
    pub version: Option<SchemaVersion>,
    /// What it is checked for.
    pub check: Check,
}

impl Catalog {
    /// Registers a schema as the next version of `subject`, or finds the version that equals it.
    ///
    /// # Errors
    /// [`Error::InvalidSchema`], [`Error::Incompatible`], [`Error::Semantic`], [`Error::Refused`].
    pub fn register(
        &self,
        subject: &Subject,
        wish: &Registration<'_>,
    ) -> Result<Decided<RegisteredSchema>> {
        let schema = self.parse(subject, wish.schema)?;
        let kept = wish.schema.kept();
        if wish.id.is_none()
            && wish.version.is_none()
            && let Some(known) = self.find(subject, &kept, Include::Live)
        {
            return Ok((known, Vec::new()));
        }
        let mode = self.check_registering(subject, wish.id.is_some())?;
        if mode != Mode::Import {
            self.check_schema(subject, &schema, wish.check)?;
        }
        let version = self.next_version(subject, wish.version, mode)?;
        let id = self.next_id(subject, &kept, wish.id)?;
        if let Some(held) = self.version(subject, version, Include::Deleted) {
            let is_same = held.id == id && !self.is_deleted(subject, version);
            let taken = || refused(subject, Rule::IdTaken { id });
            return if is_same { Ok((held, Vec::new())) } else { Err(taken()) };
        }
        let text = self.schema(id).cloned().unwrap_or(kept);
        let registered = RegisteredSchema { id, version, schema: Arc::clone(&text.text) };
        let change = Change::Version {
            subject: subject.clone(),
            version,
            id,
            schema: text,
            is_deleted: false,
        };
        Ok((registered, vec![change]))
    }

    /// Returns the newest version of `subject` that equals `schema`.
    ///
    /// # Errors
    /// [`Error::InvalidSchema`], [`Error::Refused`] if it is too large.
    pub fn lookup<'a>(
        &self,
        subject: &Subject,
        schema: impl Into<Candidate<'a>>,
        include: Include,
    ) -> Result<Option<RegisteredSchema>> {
        let schema = schema.into();
        self.parse(subject, schema)?;
        Ok(self.find(subject, &schema.kept(), include))
    }

    /// Tells why `schema` could not be registered under `subject`, or `None` if it could.
    ///
    /// # Errors
    /// [`Error::InvalidSchema`], [`Error::Refused`] if it is too large; [`Error::Incompatible`] if
    /// a version cannot be compared at all.
    pub fn check<'a>(
        &self,
        subject: &Subject,
        schema: impl Into<Candidate<'a>>,
    ) -> Result<Option<Incompatibility>> {
        let candidate = schema.into();
        let schema = self.parse(subject, candidate)?;
        if self.find(subject, &candidate.kept(), Include::Live).is_some() {
            return Ok(None);
        }
        self.incompatibility(subject, &schema)
    }

    /// As [`Catalog::check`], against one version only, whatever the level says of others.
    ///
    /// # Errors
    /// As [`Catalog::check`].
    pub fn check_against<'a>(
        &self,
        subject: &Subject,
        schema: impl Into<Candidate<'a>>,
        version: SchemaVersion,
    ) -> Result<Option<Incompatibility>> {
        let schema = self.parse(subject, schema.into())?;
        let level = self.effective_level(subject);
        compatibility::check(level, &schema, [self.parsed(subject, &schema, version)])
    }

    /// Tells how values would change their meaning if `schema` followed the newest version of
    /// `subject`, one sentence each.
    ///
    /// # Errors
    /// [`Error::InvalidSchema`], [`Error::Refused`] if it is too large.
    pub fn meaning_changes<'a>(
        &self,
        subject: &Subject,
        schema: impl Into<Candidate<'a>>,
    ) -> Result<Vec<String>> {
        let schema = self.parse(subject, schema.into())?;
        Ok(self.semantic_objection(subject, &schema).map(|found| found.reasons).unwrap_or_default())
    }

    /// Deletes all versions of `subject`.
    ///
    /// # Errors
    /// [`Error::Refused`] if there is no such subject, if it is softly deleted already, or not yet,
    /// or read-only, or if schemas of other subjects refer to it.
    pub fn delete_subject(
        &self,
        subject: &Subject,
        deletion: Deletion,
    ) -> Result<Decided<Vec<SchemaVersion>>> {
        self.check_changing(Some(subject))?;
        let is_live = self.has_subject(subject, Include::Live);
        let rule = match deletion {
            _ if !self.has_subject(subject, Include::Deleted) => Some(Rule::SubjectNotFound),
            Deletion::Soft if !is_live => Some(Rule::SubjectSoftDeleted),
            Deletion::Permanent if is_live => Some(Rule::SubjectNotSoftDeleted),
            Deletion::Soft | Deletion::Permanent => None,
        };
        if let Some(rule) = rule {
            return Err(refused(subject, rule));
        }
        let include = deletion.concerns();
        for version in self.versions(subject, include) {
            self.check_unreferenced(subject, version, include, Some(subject))?;
        }
        match deletion {
            Deletion::Soft => {
                let versions = self.versions(subject, Include::Live);
                let through = versions.last().copied().unwrap_or(SchemaVersion(0));
                let change = Change::DeleteSubject { subject: subject.clone(), through };
                Ok((versions, vec![change]))
            }
            Deletion::Permanent => {
                let versions = self.versions(subject, Include::Deleted);
                let changes = self.removal(subject, &versions);
                Ok((versions, changes))
            }
        }
    }

    /// Deletes one version of `subject`.
    ///
    /// # Errors
    /// [`Error::Refused`] if there is no such version, if it is softly deleted already, or not yet,
    /// or read-only, or if other schemas refer to it.
    pub fn delete_version(
        &self,
        subject: &Subject,
        version: SchemaVersion,
        deletion: Deletion,
    ) -> Result<Decided<()>> {
        self.check_changing(Some(subject))?;
        let found = self.all(subject).find(|(number, _)| *number == version);
        let Some((_, Version { id, is_deleted })) = found else {
            let is_known = self.has_subject(subject, Include::Deleted);
            let rule = if is_known { Rule::VersionNotFound } else { Rule::SubjectNotFound };
            return Err(refused(subject, rule));
        };
        if deletion == Deletion::Permanent || !is_deleted {
            self.check_unreferenced(subject, version, deletion.concerns(), None)?;
        }
        let changes = match (deletion, is_deleted) {
            (Deletion::Soft, true) => return Err(refused(subject, Rule::VersionSoftDeleted)),
            (Deletion::Permanent, false) => {
                return Err(refused(subject, Rule::VersionNotSoftDeleted));
            }
            (Deletion::Permanent, true) => self.removal(subject, &[version]),
            (Deletion::Soft, false) => {
                let schema = self.schema(id).cloned().ok_or(Error::UnknownId(id))?;
                let subject = subject.clone();
                vec![Change::Version { subject, version, id, schema, is_deleted: true }]
            }
        };
        Ok(((), changes))
    }

    /// Removes versions, and the subject's settings with its last one.
    fn removal(&self, subject: &Subject, versions: &[SchemaVersion]) -> Vec<Change> {
        let removed = |version: &SchemaVersion| Change::Remove {
            subject: subject.clone(),
            version: *version,
        };
        let mut changes: Vec<_> = versions.iter().rev().map(removed).collect();
        let own = || Some(subject.clone());
        if self.all(subject).all(|(version, _)| versions.contains(&version)) {
            if self.mode(Some(subject)).is_some() {
                changes.push(Change::Mode(own(), None));
            }
            if self.level(Some(subject)).is_some() {
                changes.push(Change::Level(own(), None));
            }
        }
        changes
    }

    /// Sets the level of `subject`, or the global one; `None` removes it. Returns what it was.
    ///
    /// # Errors
    /// [`Error::Refused`] if it is read-only.
    pub fn set_level(
        &self,
        subject: Option<&Subject>,
        level: Option<Compatibility>,
    ) -> Result<Decided<Option<Compatibility>>> {
        self.check_changing(subject)?;
        Ok((self.level(subject), vec![Change::Level(subject.cloned(), level)]))
    }

    /// Sets the mode of `subject`, or the global one; `None` removes it. Returns what it was.
    /// `IMPORT` is for what is empty: unless forced, live versions forbid it, and softly deleted
    /// ones are removed for good.
    ///
    /// # Errors
    /// [`Error::Refused`] with [`Rule::ImportNotEmpty`].
    pub fn set_mode(
        &self,
        subject: Option<&Subject>,
        mode: Option<Mode>,
        is_forced: bool,
    ) -> Result<Decided<Option<Mode>>> {
        if let Some(subject) = subject.filter(|subject| !subject::is_valid(subject)) {
            return Err(refused(subject, Rule::InvalidSubject));
        }
        let mut changes = Vec::new();
        let begins = mode == Some(Mode::Import) && self.effective_mode(subject) != Mode::Import;
        if begins && !is_forced {
            let all = self.subjects(Include::Deleted);
            let concerned = all.filter(|found| subject.is_none_or(|subject| subject == *found));
            for found in concerned {
                if self.has_subject(found, Include::Live) {
                    return Err(refused(found, Rule::ImportNotEmpty));
                }
                let versions = self.versions(found, Include::Deleted).into_iter();
                let removed = |version| Change::Remove { subject: found.clone(), version };
                changes.extend(versions.map(removed));
            }
        }
        changes.push(Change::Mode(subject.cloned(), mode));
        Ok((self.mode(subject), changes))
    }

    fn find(
        &self,
        subject: &Subject,
        schema: &SchemaText,
        include: Include,
    ) -> Option<RegisteredSchema> {
        let fingerprint = schema.fingerprint();
        let id = self.id_of(&fingerprint)?;
        let is_equal = |found: &Version| {
            let text = || self.schema(found.id).map(SchemaText::fingerprint);
            found.id == id || self.has_twins && text() == Some(fingerprint)
        };
        let counts = |found: &Version| !found.is_deleted || include == Include::Deleted;
        let mut all = self.all(subject).rev();
        let (version, _) = all.find(|(_, found)| counts(found) && is_equal(found))?;
        self.version(subject, version, include)
    }

    fn check_registering(&self, subject: &Subject, has_id: bool) -> Result<Mode> {
        if !subject::is_valid(subject) {
            return Err(refused(subject, Rule::InvalidSubject));
        }
        let mode = self.effective_mode(Some(subject));
        let rule = match (mode, has_id) {
            (Mode::ReadOnly | Mode::ReadOnlyOverride, _) => Rule::ReadOnly,
            (Mode::Import, false) => Rule::NotReadWrite,
            (Mode::ReadWrite, true) => Rule::NotImport,
            (Mode::ReadWrite, false) | (Mode::Import, true) => return Ok(mode),
        };
        Err(refused(subject, rule))
    }

    fn check_changing(&self, subject: Option<&Subject>) -> Result<()> {
        if let Some(subject) = subject.filter(|subject| !subject::is_valid(subject)) {
            return Err(refused(subject, Rule::InvalidSubject));
        }
        match self.effective_mode(subject) {
            Mode::ReadWrite | Mode::Import => Ok(()),
            Mode::ReadOnly | Mode::ReadOnlyOverride => {
                let everything = || Subject::new("");
                Err(refused(&subject.cloned().unwrap_or_else(everything), Rule::ReadOnly))
            }
        }
    }

    fn check_schema(&self, subject: &Subject, schema: &Schema, check: Check) -> Result<()> {
        if check == Check::Form {
            return Ok(());
        }
        if let Some(found) = self.incompatibility(subject, schema)? {
            let changes = match self.parsed(subject, schema, found.version) {
                Ok((_, old)) => diff::lines(&old, schema),
                Err(error) => return Err(error),
            };
            return Err(Error::Incompatible(Box::new(Objection {
                subject: subject.clone(),
                schema: Arc::clone(schema.text()),
                reasons: found.messages(),
                changes,
            })));
        }
        let is_gated =
            check == Check::Meaning && self.effective_level(subject) != Compatibility::None;
        match self.semantic_objection(subject, schema).filter(|_| is_gated) {
            Some(objection) => Err(Error::Semantic(Box::new(objection))),
            None => Ok(()),
        }
    }

    fn semantic_objection(&self, subject: &Subject, schema: &Schema) -> Option<Objection> {
        let latest = self.latest(subject, Include::Live)?;
        let (_, last) = self.parsed(subject, schema, latest.version).ok()?;
        let found = semantic::changes(schema, &last);
        if found.is_empty() {
            return None;
        }
        Some(Objection {
            subject: subject.clone(),
            schema: Arc::clone(schema.text()),
            reasons: found.iter().map(ToString::to_string).collect(),
            changes: diff::lines(&last, schema),
        })
    }

    fn next_version(
        &self,
        subject: &Subject,
        wanted: Option<SchemaVersion>,
        mode: Mode,
    ) -> Result<SchemaVersion> {
        let last = self.all(subject).next_back().map_or(0, |(version, _)| version.0);
        let next = SchemaVersion(last.saturating_add(1));
        match wanted {
            Some(wanted) if wanted != next && mode != Mode::Import => {
                let reason = "Version is not one more than previous version".to_owned();
                Err(Error::InvalidSchema { subject: subject.clone(), reason })
            }
            Some(wanted) => Ok(wanted),
            None => Ok(next),
        }
    }

    fn next_id(
        &self,
        subject: &Subject,
        schema: &SchemaText,
        wanted: Option<SchemaId>,
    ) -> Result<SchemaId> {
        let fingerprint = schema.fingerprint();
        if let Some(id) = wanted {
            let held = self.schema(id).map(SchemaText::fingerprint);
            let is_taken = held.is_some_and(|held| held != fingerprint);
            let is_id = (1..=i32::MAX.unsigned_abs()).contains(&id.0);
            let taken = || refused(subject, Rule::IdTaken { id });
            return if is_taken || !is_id { Err(taken()) } else { Ok(id) };
        }
        // The wire format has 31 bits for it.
        let new = || self.last_id.checked_add(1).filter(|id| *id <= i32::MAX.unsigned_abs());
        let id = self.id_of(&fingerprint).or_else(|| new().map(SchemaId));
        id.ok_or_else(|| refused(subject, Rule::IdsUsedUp))
    }

    fn incompatibility(
        &self,
        subject: &Subject,
        schema: &Schema,
    ) -> Result<Option<Incompatibility>> {
        let versions = self.versions(subject, Include::Live).into_iter().rev();
        let schemas = versions.map(|version| self.parsed(subject, schema, version));
        compatibility::check(self.effective_level(subject), schema, schemas)
    }

    /// Parses a version that `new` is compared with.
    fn parsed(
        &self,
        subject: &Subject,
        new: &Schema,
        version: SchemaVersion,
    ) -> Result<(SchemaVersion, Schema)> {
        let found = self.version(subject, version, Include::Deleted);
        let found = found.ok_or_else(|| refused(subject, Rule::VersionNotFound))?;
        match self.schema(found.id).and_then(|kept| self.parse_kept(kept)) {
            Some(schema) => Ok((version, schema)),
            None => Err(Error::Incompatible(Box::new(Objection {
                subject: subject.clone(),
                schema: Arc::clone(new.text()),
                reasons: vec![format!(
                    "version {} is no plain Avro schema and cannot be compared with",
                    version.0
                )],
                changes: Vec::new(),
            }))),
        }
    }
}

fn refused(subject: &Subject, rule: Rule) -> Error {
    Error::Refused { subject: subject.clone(), rule }
}
