//! Deleting in two steps, as Confluent does: softly first, then for good.

use std::collections::BTreeSet;

use cdc_pipeline::port::{SchemaId, SchemaVersion, Subject};

use crate::error::{Result, Rule};

use super::layout::StoredVersion;
use super::{Deletion, EmbeddedRegistry, refused};

impl EmbeddedRegistry {
    /// Deletes all versions of `subject` and returns them.
    ///
    /// # Errors
    /// [`crate::Error::Refused`] if there is no such subject, if it is softly deleted already, or
    /// not yet; or of the store.
    pub fn delete_subject(
        &self,
        subject: &Subject,
        deletion: Deletion,
    ) -> Result<Vec<SchemaVersion>> {
        let _writing = self.lock();
        self.check_writable(subject)?;
        let versions = self.store.versions(subject)?;
        let is_live = versions.iter().any(|(_, stored)| !stored.deleted);
        let rule = match deletion {
            _ if versions.is_empty() => Some(Rule::SubjectNotFound),
            Deletion::Soft if !is_live => Some(Rule::SubjectSoftDeleted),
            Deletion::Permanent if is_live => Some(Rule::SubjectNotSoftDeleted),
            Deletion::Soft | Deletion::Permanent => None,
        };
        if let Some(rule) = rule {
            return Err(refused(subject, rule));
        }
        let affected: Vec<_> = match deletion {
            Deletion::Soft => versions.into_iter().filter(|(_, stored)| !stored.deleted).collect(),
            Deletion::Permanent => versions,
        };
        self.delete(subject, &affected, deletion)?;
        Ok(affected.into_iter().map(|(version, _)| version).collect())
    }

    /// Deletes one version of `subject`.
    ///
    /// # Errors
    /// [`crate::Error::Refused`] if there is no such version, if it is softly deleted already, or
    /// not yet; or of the store.
    pub fn delete_version(
        &self,
        subject: &Subject,
        version: SchemaVersion,
        deletion: Deletion,
    ) -> Result<()> {
        let _writing = self.lock();
        self.check_writable(subject)?;
        let Some(stored) = self.store.version(subject, version)? else {
            let is_known = !self.store.versions(subject)?.is_empty();
            let rule = if is_known { Rule::VersionNotFound } else { Rule::SubjectNotFound };
            return Err(refused(subject, rule));
        };
        match (deletion, stored.deleted) {
            (Deletion::Soft, true) => Err(refused(subject, Rule::VersionSoftDeleted)),
            (Deletion::Permanent, false) => Err(refused(subject, Rule::VersionNotSoftDeleted)),
            (Deletion::Soft, false) | (Deletion::Permanent, true) => {
                self.delete(subject, &[(version, stored)], deletion)
            }
        }
    }

    fn delete(
        &self,
        subject: &Subject,
        versions: &[(SchemaVersion, StoredVersion)],
        deletion: Deletion,
    ) -> Result<()> {
        let mut batch = self.batch();
        for (version, stored) in versions {
            match deletion {
                Deletion::Soft => {
                    let stored = StoredVersion { deleted: true, ..stored.clone() };
                    self.store.put_version(&mut batch, subject, *version, &stored);
                }
                Deletion::Permanent => self.store.remove_version(&mut batch, subject, *version),
            }
        }
        if deletion == Deletion::Permanent {
            for id in self.orphans(subject, versions)? {
                self.store.remove_schema(&mut batch, id);
            }
        }
        self.commit(batch)
    }

    /// Returns the ids that no version has any more once `versions` of `subject` are gone.
    fn orphans(
        &self,
        subject: &Subject,
        versions: &[(SchemaVersion, StoredVersion)],
    ) -> Result<BTreeSet<SchemaId>> {
        let mut ids: BTreeSet<_> = versions.iter().map(|(_, stored)| SchemaId(stored.id)).collect();
        for (other, version, stored) in self.store.all_versions()? {
            let goes = other == *subject && versions.iter().any(|(gone, _)| *gone == version);
            if !goes {
                ids.remove(&SchemaId(stored.id));
            }
        }
        Ok(ids)
    }
}
