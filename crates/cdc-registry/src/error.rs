//! What can go wrong with a registry, and what an operator does about it.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use cdc_pipeline::port::{SchemaId, SchemaVersion, Subject};
use cdc_pipeline::{Classify, ErrorClass};

/// Result with the crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong with a registry.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A setting of the client makes no sense.
    #[error("registry setting {setting} is invalid: {reason}")]
    Config {
        /// The setting.
        setting: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// The schema is no valid Avro schema.
    #[error("schema of subject \"{subject}\" is invalid: {reason}")]
    InvalidSchema {
        /// The subject it was meant for.
        subject: Subject,
        /// What is wrong, and where.
        reason: String,
    },
    /// The subject's compatibility level forbids the schema.
    #[error("{0}")]
    Incompatible(Box<Objection>),
    /// The schema's values would mean something else than those of the last version.
    #[error("{0}")]
    Semantic(Box<Objection>),
    /// The registry cannot be reached or is not ready.
    #[error("registry {url} is unavailable: {cause}")]
    Unavailable {
        /// Its address, without credentials.
        url: String,
        /// Why.
        cause: Outage,
    },
    /// What answered is no registry, or speaks another dialect.
    #[error("{url} answered {status} with something else than a registry's answer: {reason}")]
    Malformed {
        /// The address, without credentials.
        url: String,
        /// The HTTP status.
        status: u16,
        /// What was wrong with the answer.
        reason: String,
    },
    /// The registry does not accept our credentials.
    #[error("registry {url} refused our credentials with HTTP status {status}")]
    Auth {
        /// Its address, without credentials.
        url: String,
        /// The HTTP status.
        status: u16,
    },
    /// An id that we know names something else now: the registry was emptied or exchanged.
    #[error("registry ids were reset: schema id {} {found}", .id.0)]
    IdsReset {
        /// The id.
        id: SchemaId,
        /// What the registry says about it now.
        found: &'static str,
    },
    /// The registry has no schema of this id.
    #[error("no schema has id {}", .0.0)]
    UnknownId(SchemaId),
    /// The registry's rules forbid the operation.
    #[error("registry refused \"{subject}\": {rule}")]
    Refused {
        /// The subject.
        subject: Subject,
        /// The rule.
        rule: Rule,
    },
    /// A subject accepted an incompatible schema, and its level could not be set back.
    #[error("compatibility of subject \"{subject}\" is still NONE, it was {level}")]
    LevelNotRestored {
        /// The subject.
        subject: Subject,
        /// What it was.
        level: String,
        /// Why it could not be set back.
        #[source]
        cause: Box<Error>,
    },
    /// Another process has the embedded store open.
    #[error("registry store {} is in use by another process", .dir.display())]
    StoreLocked {
        /// Its folder.
        dir: PathBuf,
    },
    /// The embedded store contradicts itself.
    #[error("registry store {} is corrupt: {reason}", .dir.display())]
    StoreCorrupt {
        /// Its folder.
        dir: PathBuf,
        /// What was found.
        reason: String,
    },
    /// The embedded store could not read or write.
    #[error("registry store {} could not be read or written", .dir.display())]
    StoreIo {
        /// Its folder.
        dir: PathBuf,
        /// Why.
        #[source]
        cause: Box<fjall::Error>,
    },
}

/// A schema that was refused as the next version of a subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Objection {
    /// The subject.
    pub subject: Subject,
    /// The schema's text.
    pub schema: Arc<str>,
    /// Why, each a sentence that names the place; not empty.
    pub reasons: Vec<String>,
    /// What changed since the last version, one line each, as [`crate::diff::lines`] writes them.
    pub changes: Vec<String>,
}

impl fmt::Display for Objection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "new schema of subject \"{}\" is incompatible", self.subject)?;
        if !self.changes.is_empty() {
            write!(f, "; changes: ")?;
            write_some(f, &self.changes, ", ")?;
        }
        if !self.reasons.is_empty() {
            write!(f, "; reasons: ")?;
            write_some(f, &self.reasons, "; ")?;
        }
        Ok(())
    }
}

/// Writes the first few lines and how many more there are.
fn write_some(f: &mut fmt::Formatter<'_>, lines: &[String], separator: &str) -> fmt::Result {
    const LINES_MAX: usize = 12;
    let shown: Vec<&str> = lines.iter().take(LINES_MAX).map(String::as_str).collect();
    write!(f, "{}", shown.join(separator))?;
    match lines.len().saturating_sub(LINES_MAX) {
        0 => Ok(()),
        more => write!(f, "{separator}and {more} more"),
    }
}

/// Why a registry cannot be used just now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outage {
    /// No connection; the text names the cause.
    Unreachable(String),
    /// No answer in time.
    Timeout(Duration),
    /// The server says it cannot serve now.
    Status {
        /// The HTTP status.
        status: u16,
        /// Confluent's error code.
        code: Option<u32>,
    },
}

impl fmt::Display for Outage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(cause) => f.write_str(cause),
            Self::Timeout(limit) => write!(f, "no answer within {limit:?}"),
            Self::Status { status, code: None } => write!(f, "HTTP status {status}"),
            Self::Status { status, code: Some(code) } => {
                write!(f, "HTTP status {status}, error code {code}")
            }
        }
    }
}

/// A registry's rule that an operation broke.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rule {
    /// The subject does not exist.
    SubjectNotFound,
    /// The subject has no such version.
    VersionNotFound,
    /// The subject was deleted softly already.
    SubjectSoftDeleted,
    /// Only a softly deleted subject can be deleted for good.
    SubjectNotSoftDeleted,
    /// The version was deleted softly already.
    VersionSoftDeleted,
    /// Only a softly deleted version can be deleted for good.
    VersionNotSoftDeleted,
    /// The registry or the subject is read-only.
    ReadOnly,
    /// The mode is `IMPORT`, which takes only schemas that come with an id.
    NotReadWrite,
    /// An id was given, which only the mode `IMPORT` takes.
    NotImport,
    /// `IMPORT` begins with nothing, and there are live versions.
    ImportNotEmpty,
    /// The id, or the version, belongs to another schema.
    IdTaken {
        /// The id.
        id: SchemaId,
    },
    /// Other schemas refer to the version.
    ReferenceExists {
        /// The version.
        version: SchemaVersion,
    },
    /// All 31 bits of ids are given.
    IdsUsedUp,
    /// The subject's name is not allowed.
    InvalidSubject,
    /// The schema is larger than the registry takes.
    SchemaTooLarge,
    /// The registry's global level forbids it, and no level of the subject can allow it.
    GlobalLevel,
    /// A rule of a server that this client does not know.
    Other {
        /// Confluent's error code, else the HTTP status.
        code: u32,
        /// What the server said.
        message: String,
    },
}

impl Rule {
    /// Returns Confluent's error code, whose first three digits are the HTTP status.
    pub fn error_code(&self) -> u32 {
        match self {
            Self::SubjectNotFound => 40401,
            Self::VersionNotFound => 40402,
            Self::SubjectSoftDeleted => 40404,
            Self::SubjectNotSoftDeleted => 40405,
            Self::VersionSoftDeleted => 40406,
            Self::VersionNotSoftDeleted => 40407,
            Self::ReadOnly
            | Self::NotReadWrite
            | Self::NotImport
            | Self::ImportNotEmpty
            | Self::IdTaken { .. } => 42205,
            Self::ReferenceExists { .. } => 42206,
            Self::IdsUsedUp => 50001,
            Self::InvalidSubject => 42208,
            Self::SchemaTooLarge => 42209,
            Self::GlobalLevel => 40901,
            Self::Other { code, .. } => *code,
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SubjectNotFound => "the subject does not exist",
            Self::VersionNotFound => "the subject has no such version",
            Self::SubjectSoftDeleted => "the subject was soft deleted",
            Self::SubjectNotSoftDeleted => "the subject must be soft deleted first",
            Self::VersionSoftDeleted => "the version was soft deleted",
            Self::VersionNotSoftDeleted => "the version must be soft deleted first",
            Self::ReadOnly => "it is read-only",
            Self::NotReadWrite => "its mode is not READWRITE",
            Self::NotImport => "its mode is not IMPORT, so no id may be given",
            Self::ImportNotEmpty => "it has live versions, so it cannot be imported into",
            Self::IdTaken { id } => {
                return write!(f, "id {}, or the version, belongs to another schema", id.0);
            }
            Self::ReferenceExists { version } => {
                return write!(f, "other schemas refer to version {}", version.0);
            }
            Self::IdsUsedUp => "all ids are given",
            Self::InvalidSubject => "the subject's name is not allowed",
            Self::SchemaTooLarge => "the schema is too large",
            Self::GlobalLevel => "its global compatibility level counts for every subject",
            Self::Other { code, message } => return write!(f, "error code {code}, {message}"),
        })
    }
}

impl Error {
    /// Returns the schema that was refused, and its subject: what an operator may accept.
    pub fn objection(&self) -> Option<&Objection> {
        match self {
            Self::Incompatible(objection) | Self::Semantic(objection) => Some(objection),
            _ => None,
        }
    }
}

impl Classify for Error {
    #[deny(clippy::wildcard_enum_match_arm)]
    fn class(&self) -> ErrorClass {
        match self {
            Self::Unavailable { .. } => ErrorClass::Transient,
            Self::Malformed { .. } => ErrorClass::Unknown,
            Self::UnknownId(_) => ErrorClass::Poison,
            Self::Config { .. }
            | Self::InvalidSchema { .. }
            | Self::Incompatible(_)
            | Self::Semantic(_)
            | Self::Auth { .. }
            | Self::IdsReset { .. }
            | Self::Refused { .. }
            | Self::LevelNotRestored { .. }
            | Self::StoreLocked { .. }
            | Self::StoreCorrupt { .. }
            | Self::StoreIo { .. } => ErrorClass::Fatal,
        }
    }

    fn code(&self) -> Option<&'static str> {
        Some(match self {
            Self::Config { .. } => "REGISTRY_CONFIG",
            Self::InvalidSchema { .. } => "INVALID_SCHEMA",
            Self::Incompatible(_) => "SCHEMA_INCOMPATIBLE",
            Self::Semantic(_) => "SCHEMA_SEMANTIC",
            Self::Unavailable { .. } => "REGISTRY_UNAVAILABLE",
            Self::Malformed { .. } => "REGISTRY_MALFORMED",
            Self::Auth { .. } => "REGISTRY_AUTH",
            Self::IdsReset { .. } => "REGISTRY_IDS_RESET",
            Self::UnknownId(_) => "SCHEMA_UNKNOWN_ID",
            Self::Refused { .. } => "REGISTRY_REFUSED",
            Self::LevelNotRestored { .. } => "REGISTRY_LEVEL_NOT_RESTORED",
            Self::StoreLocked { .. } => "REGISTRY_STORE_LOCKED",
            Self::StoreCorrupt { .. } => "REGISTRY_STORE_CORRUPT",
            Self::StoreIo { .. } => "REGISTRY_STORE_IO",
        })
    }

    fn remedy(&self) -> Option<String> {
        Some(match self {
            Self::Config { setting, .. } => format!("correct {setting} and start again"),
            Self::InvalidSchema { .. } => {
                "rename the table or column whose name Avro does not allow, or exclude it"
                    .to_owned()
            }
            Self::Incompatible(objection) => format!(
                "undo the change of the table, or tell the readers of the topic and accept it: \
                 penstock schema accept {}",
                objection.subject
            ),
            Self::Semantic(objection) => format!(
                "readers with their own schema would see wrong values; undo the change of the \
                 column, or let them take the new schema first and accept it: \
                 penstock schema accept {}",
                objection.subject
            ),
            Self::Unavailable { url, .. } => {
                format!("start the registry or correct its address ({url}); we keep trying")
            }
            Self::Malformed { .. } => {
                "check the registry's address and path, and any proxy before it".to_owned()
            }
            Self::Auth { .. } => "correct the registry's user, password or token".to_owned(),
            Self::IdsReset { .. } => {
                "restore the registry's schemas from its backup (topic _schemas) or point to the \
                 registry that wrote them; with other ids, records already in the log would be \
                 read with the wrong schema"
                    .to_owned()
            }
            Self::UnknownId(_) => {
                "check that this is the registry the record was written with".to_owned()
            }
            Self::Refused { rule: Rule::ReadOnly, .. } => {
                "set the registry's mode to READWRITE, or register the schema by hand".to_owned()
            }
            Self::Refused { rule: Rule::GlobalLevel, .. } => {
                "set the registry's global compatibility to NONE, accept again, and set it back"
                    .to_owned()
            }
            Self::Refused { .. } => "check the subject in the registry".to_owned(),
            Self::LevelNotRestored { subject, level, .. } => {
                format!("set the compatibility of subject \"{subject}\" back to {level} by hand")
            }
            Self::StoreLocked { .. } => {
                "stop the other process, or give this one a data folder of its own".to_owned()
            }
            Self::StoreCorrupt { dir, .. } => {
                format!(
                    "restore {} from a backup; do not delete it, its ids are in the log",
                    dir.display()
                )
            }
            Self::StoreIo { dir, .. } => {
                format!(
                    "check the disk under {} (space, permissions) and start again",
                    dir.display()
                )
            }
        })
    }
}
