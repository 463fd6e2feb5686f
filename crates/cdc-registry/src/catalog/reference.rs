//! Schemas that use named types of others, as Confluent's references tell them.
//!
//! A reference names a version of a subject whose types the schema may use without defining them.
//! What is referred to may refer on; a schema is read with all of it, each part once, those first
//! that others need. Since a version must exist before it is referred to, no circle can be
//! registered; one that another registry left is read as far as it goes and then misses a type.

use std::collections::BTreeSet;
use std::sync::Arc;

use cdc_pipeline::port::{SchemaId, SchemaVersion, Subject};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::avro::{Invalid, Schema};
use crate::error::{Error, Result, Rule};
use crate::store::{Include, SCHEMA_BYTES_MAX};

use super::{Catalog, Change, SchemaText};

/// A schema is read with at most so many others, of so many bytes together.
const REFERENCES_MAX: usize = 1_000;
const REFERENCED_BYTES_MAX: usize = 4 * SCHEMA_BYTES_MAX;

/// The attribute that holds them.
const REFERENCES: &str = "references";

/// One schema's use of another.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Reference {
    /// What it is called by: in Avro the full name of the type that is used.
    pub name: String,
    /// Where the other is registered.
    pub subject: String,
    /// As which version.
    pub version: u32,
}

/// A schema that is looked for, checked or registered.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    /// Its text.
    pub text: &'a str,
    /// The schemas it uses; mostly none.
    pub references: &'a [Reference],
}

impl<'a> From<&'a str> for Candidate<'a> {
    fn from(text: &'a str) -> Self {
        Self { text, references: &[] }
    }
}

impl<'a> From<&'a String> for Candidate<'a> {
    fn from(text: &'a String) -> Self {
        Self::from(text.as_str())
    }
}

impl Candidate<'_> {
    /// Returns it as the catalogue keeps it.
    pub(crate) fn kept(&self) -> SchemaText {
        let attributes = (!self.references.is_empty()).then(|| {
            let references = json!(self.references);
            Arc::new(Map::from_iter([(REFERENCES.to_owned(), references)]))
        });
        SchemaText { text: self.text.into(), attributes }
    }
}

impl SchemaText {
    /// Returns the schemas it uses, or `None` if it is no Avro schema, or more is kept beside it,
    /// so that it cannot be compared.
    pub fn references(&self) -> Option<Vec<Reference>> {
        let Some(attributes) = &self.attributes else { return Some(Vec::new()) };
        match attributes.get(REFERENCES) {
            Some(references) if attributes.len() == 1 => Vec::deserialize(references).ok(),
            _ => None,
        }
    }
}

impl Catalog {
    /// Reads a schema with those that it uses.
    pub(super) fn parse(&self, subject: &Subject, candidate: Candidate<'_>) -> Result<Schema> {
        if candidate.text.len() > SCHEMA_BYTES_MAX {
            let rule = Rule::SchemaTooLarge;
            return Err(Error::Refused { subject: subject.clone(), rule });
        }
        let parsed = self.resolve(candidate.references).and_then(|texts| {
            let texts: Vec<&str> = texts.iter().map(AsRef::as_ref).collect();
            Schema::parse_with(candidate.text, &texts)
        });
        parsed.map_err(|error| Error::InvalidSchema {
            subject: subject.clone(),
            reason: error.to_string(),
        })
    }

    /// Reads a schema that is kept; `None` if it is no Avro schema that can be.
    pub(super) fn parse_kept(&self, kept: &SchemaText) -> Option<Schema> {
        let references = kept.references()?;
        let texts = self.resolve(&references).ok()?;
        let texts: Vec<&str> = texts.iter().map(AsRef::as_ref).collect();
        Schema::parse_with(&kept.text, &texts).ok()
    }

    /// Returns the texts of everything that `references` lead to, those first that others use.
    fn resolve(&self, references: &[Reference]) -> Result<Vec<Arc<str>>, Invalid> {
        let mut found = Resolution::default();
        found.take(self, references)?;
        Ok(found.texts)
    }

    /// Returns the ids of the schemas that refer to a version, each once and in order; `except`
    /// does not count.
    pub fn referrers(
        &self,
        (subject, version): (&Subject, SchemaVersion),
        include: Include,
        except: Option<&Subject>,
    ) -> Vec<SchemaId> {
        let refers = |schema: &SchemaText| {
            let references = schema.attributes.as_ref().and_then(|all| all.get(REFERENCES));
            let is_this = |reference: &Value| {
                reference["subject"] == *subject.0 && reference["version"] == version.0
            };
            references.and_then(Value::as_array).is_some_and(|all| all.iter().any(is_this))
        };
        let is_used = |id: SchemaId| {
            let mut places = self.versions_of(id, include).into_iter();
            places.any(|(place, _)| except.is_none_or(|except| place != *except))
        };
        let referring = self.schemas.iter().filter(|(_, entry)| refers(&entry.schema));
        referring.map(|(id, _)| *id).filter(|id| is_used(*id)).collect()
    }

    /// Refuses to take away a version that others refer to.
    pub(super) fn check_unreferenced(
        &self,
        subject: &Subject,
        version: SchemaVersion,
        include: Include,
        except: Option<&Subject>,
    ) -> Result<()> {
        if self.referrers((subject, version), include, except).is_empty() {
            return Ok(());
        }
        let rule = Rule::ReferenceExists { version };
        Err(Error::Refused { subject: subject.clone(), rule })
    }

    /// Removes the modes of all subjects, for a global mode that is to count everywhere.
    pub fn clear_modes(&self) -> Vec<Change> {
        let own = self.modes.keys().filter(|subject| subject.is_some());
        own.map(|subject| Change::Mode(subject.clone(), None)).collect()
    }
}

#[derive(Default)]
struct Resolution {
    texts: Vec<Arc<str>>,
    bytes: usize,
    /// Names met so far; a second one of a name is the same schema.
    names: BTreeSet<String>,
}

impl Resolution {
    fn take(&mut self, catalog: &Catalog, references: &[Reference]) -> Result<(), Invalid> {
        for Reference { name, subject, version } in references {
            if !self.names.insert(name.clone()) {
                continue;
            }
            let place = (Subject::new(subject.as_str()), SchemaVersion(*version));
            let found = catalog.version(&place.0, place.1, Include::Deleted);
            let found = found.and_then(|found| catalog.schema(found.id)).ok_or_else(|| {
                Invalid(format!(
                    "No schema reference found for subject \"{subject}\" and version {version}"
                ))
            })?;
            let deeper = found.references().ok_or_else(|| {
                Invalid(format!(
                    "version {version} of subject \"{subject}\", which is referred to, is no \
                     plain Avro schema"
                ))
            })?;
            self.bytes += found.text.len();
            if self.names.len() > REFERENCES_MAX || self.bytes > REFERENCED_BYTES_MAX {
                let bound = REFERENCED_BYTES_MAX >> 20;
                return Err(Invalid(format!(
                    "it refers to more than {REFERENCES_MAX} schemas, or {bound} MiB of them"
                )));
            }
            self.take(catalog, &deeper)?;
            self.texts.push(Arc::clone(&found.text));
        }
        Ok(())
    }
}
