//! What can be wrong with settings.

use crate::layer::Origin;

/// The result of reading settings.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why settings are not accepted. Every variant says where the setting stands.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file is no TOML.
    #[error("{message}")]
    Syntax {
        /// What the parser says.
        message: String,
        /// Where.
        origin: Origin,
    },
    /// Nobody knows this setting.
    #[error("unknown setting \"{name}\"")]
    Unknown {
        /// Its name.
        name: String,
        /// The known one whose name is nearest, if one is near.
        nearest: Option<&'static str>,
        /// Where.
        origin: Origin,
    },
    /// Debezium knows it, we do not support it, and the data would differ from what it asks for.
    #[error("the setting \"{name}\" is not supported: {why}")]
    Unsupported {
        /// Its name.
        name: String,
        /// What it would do.
        why: String,
        /// Where.
        origin: Origin,
    },
    /// The value is not one that is accepted.
    #[error("the setting \"{name}\" is not valid: {problem}")]
    Value {
        /// Its name.
        name: String,
        /// What is accepted.
        problem: String,
        /// Where.
        origin: Origin,
    },
    /// It is given twice in one file, perhaps in two spellings.
    #[error("the setting \"{name}\" is given twice")]
    Twice {
        /// Its name.
        name: String,
        /// The second place.
        origin: Origin,
    },
    /// Two settings contradict each other.
    #[error("\"{name}\" and \"{other}\" cannot both be given")]
    Conflict {
        /// The one.
        name: &'static str,
        /// The other.
        other: &'static str,
        /// Where the first stands.
        origin: Origin,
    },
}

impl Error {
    /// Returns where the setting stands.
    pub fn origin(&self) -> &Origin {
        match self {
            Self::Syntax { origin, .. }
            | Self::Unknown { origin, .. }
            | Self::Unsupported { origin, .. }
            | Self::Value { origin, .. }
            | Self::Twice { origin, .. }
            | Self::Conflict { origin, .. } => origin,
        }
    }

    /// Returns what to do about it.
    pub fn remedy(&self) -> String {
        match self {
            Self::Syntax { .. } => "Correct the file; texts stand in double quotes.".to_owned(),
            Self::Unknown { nearest: Some(name), .. } => format!("Did you mean \"{name}\"?"),
            Self::Unknown { nearest: None, .. } => {
                "Remove it; docs/configuration.md lists every setting.".to_owned()
            }
            Self::Unsupported { .. } => {
                "Remove it if the data may be without it; nothing was started.".to_owned()
            }
            Self::Value { name, .. } => format!("Correct \"{name}\", or remove it."),
            Self::Twice { .. } => "Remove one of them.".to_owned(),
            Self::Conflict { name, .. } => format!("Remove \"{name}\" or the other."),
        }
    }
}
