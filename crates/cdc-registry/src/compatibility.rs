//! Confluent's compatibility levels: what a new version must be able to read, or be read by.
//!
//! | level | the new schema reads | is read by | versions |
//! |---|---|---|---|
//! | `BACKWARD` (default) | old data | | the last |
//! | `FORWARD` | | old readers | the last |
//! | `FULL` | old data | old readers | the last |
//! | `…_TRANSITIVE` | as above | as above | all |
//! | `NONE` | | | |
//!
//! Whether a reader can read a writer is Avro's schema resolution, see `resolution`. Logical types
//! are no part of it: that is what [`crate::semantic`] is for.
//!
//! Source: <https://docs.confluent.io/platform/current/schema-registry/fundamentals/schema-evolution.html>

mod resolution;

pub(crate) use resolution::{counterpart, promotes};

use std::fmt;
use std::str::FromStr;

use cdc_pipeline::port::SchemaVersion;

use crate::avro::Schema;

/// A compatibility level.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Compatibility {
    /// Anything goes.
    None,
    /// The new schema reads data of the last version.
    #[default]
    Backward,
    /// The new schema reads data of every version.
    BackwardTransitive,
    /// The last version reads data of the new schema.
    Forward,
    /// Every version reads data of the new schema.
    ForwardTransitive,
    /// `BACKWARD` and `FORWARD`.
    Full,
    /// `BACKWARD_TRANSITIVE` and `FORWARD_TRANSITIVE`.
    FullTransitive,
}

impl Compatibility {
    /// All levels.
    pub const ALL: [Self; 7] = [
        Self::None,
        Self::Backward,
        Self::BackwardTransitive,
        Self::Forward,
        Self::ForwardTransitive,
        Self::Full,
        Self::FullTransitive,
    ];

    /// Returns the level's name in the REST API.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "NONE",
            Self::Backward => "BACKWARD",
            Self::BackwardTransitive => "BACKWARD_TRANSITIVE",
            Self::Forward => "FORWARD",
            Self::ForwardTransitive => "FORWARD_TRANSITIVE",
            Self::Full => "FULL",
            Self::FullTransitive => "FULL_TRANSITIVE",
        }
    }

    /// Tells whether every version counts, not only the last.
    pub fn is_transitive(self) -> bool {
        match self {
            Self::BackwardTransitive | Self::ForwardTransitive | Self::FullTransitive => true,
            Self::None | Self::Backward | Self::Forward | Self::Full => false,
        }
    }

    fn reads_old(self) -> bool {
        match self {
            Self::Backward | Self::BackwardTransitive | Self::Full | Self::FullTransitive => true,
            Self::None | Self::Forward | Self::ForwardTransitive => false,
        }
    }

    fn is_read_by_old(self) -> bool {
        match self {
            Self::Forward | Self::ForwardTransitive | Self::Full | Self::FullTransitive => true,
            Self::None | Self::Backward | Self::BackwardTransitive => false,
        }
    }
}

impl fmt::Display for Compatibility {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The text is no compatibility level.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownLevel;

impl FromStr for Compatibility {
    type Err = UnknownLevel;

    fn from_str(name: &str) -> Result<Self, UnknownLevel> {
        Self::ALL.into_iter().find(|level| level.name() == name).ok_or(UnknownLevel)
    }
}

/// One reason why a reader cannot read a writer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// What kind of reason.
    pub kind: DifferenceKind,
    /// Where in the reader's schema, as a JSON pointer such as `/fields/1/type`.
    pub path: String,
    /// The reason as a sentence.
    pub description: String,
    /// What it is about: a field's name, the missing symbols, the two types.
    pub detail: String,
}

/// The kinds of reasons, named as Avro and Confluent name them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DifferenceKind {
    /// The types cannot be resolved.
    TypeMismatch,
    /// Named types with other names.
    NameMismatch,
    /// A field that the writer lacks has no default.
    ReaderFieldMissingDefaultValue,
    /// The reader's enum lacks symbols and has no default.
    MissingEnumSymbols,
    /// The reader's union lacks a branch.
    MissingUnionBranch,
    /// Fixed types of other sizes.
    FixedSizeMismatch,
}

impl DifferenceKind {
    /// Returns the kind's name in the REST API.
    pub fn name(self) -> &'static str {
        match self {
            Self::TypeMismatch => "TYPE_MISMATCH",
            Self::NameMismatch => "NAME_MISMATCH",
            Self::ReaderFieldMissingDefaultValue => "READER_FIELD_MISSING_DEFAULT_VALUE",
            Self::MissingEnumSymbols => "MISSING_ENUM_SYMBOLS",
            Self::MissingUnionBranch => "MISSING_UNION_BRANCH",
            Self::FixedSizeMismatch => "FIXED_SIZE_MISMATCH",
        }
    }
}

impl fmt::Display for Difference {
    /// In the form of Confluent's verbose messages.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, description, detail, .. } = self;
        let kind = kind.name();
        write!(f, "{{errorType:'{kind}', description:'{description}', additionalInfo:'{detail}'}}")
    }
}

/// A version that a new schema is incompatible with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incompatibility {
    /// The level asked for.
    pub level: Compatibility,
    /// The version.
    pub version: SchemaVersion,
    /// Why; not empty.
    pub differences: Vec<Difference>,
}

impl Incompatibility {
    /// Returns the reasons as Confluent's verbose check lists them.
    pub fn messages(&self) -> Vec<String> {
        let mut messages: Vec<_> = self.differences.iter().map(Difference::to_string).collect();
        messages.push(format!("{{oldSchemaVersion: {}}}", self.version.0));
        messages.push(format!("{{compatibility: '{}'}}", self.level));
        messages
    }
}

/// Returns why `new` may not follow `old` under `level`; nothing if it may.
pub fn compare(level: Compatibility, new: &Schema, old: &Schema) -> Vec<Difference> {
    let mut differences = Vec::new();
    if level.reads_old() {
        differences.extend(resolution::differences(new, old, ["new", "old"]));
    }
    if level.is_read_by_old() {
        differences.extend(resolution::differences(old, new, ["old", "new"]));
    }
    differences
}

/// Returns the first of `versions`, newest first, that forbids `new` under `level`, or `None` if
/// `new` may follow them. Reads only as many of `versions` as the level needs.
///
/// # Errors
/// The first error of `versions`.
pub fn check<E>(
    level: Compatibility,
    new: &Schema,
    versions: impl IntoIterator<Item = Result<(SchemaVersion, Schema), E>>,
) -> Result<Option<Incompatibility>, E> {
    let count = match level {
        Compatibility::None => 0,
        level if level.is_transitive() => usize::MAX,
        _ => 1,
    };
    for version in versions.into_iter().take(count) {
        let (version, old) = version?;
        let differences = compare(level, new, &old);
        if !differences.is_empty() {
            return Ok(Some(Incompatibility { level, version, differences }));
        }
    }
    Ok(None)
}
