//! What can go wrong before and while the shop is open, and what to do about each.

use std::error::Error as _;
use std::io;

use cdc_pipeline::error::{Classify, ErrorClass};
use sqlx::migrate::MigrateError;

/// The result of a storefront operation.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failure of the shop. Never holds a row's values or the database's password.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database's URL cannot be read.
    #[error("the database's URL cannot be read")]
    Url,
    /// The database does not answer, or refused while we were `doing` something.
    #[error("{doing} the shop's database")]
    Database {
        /// What we were doing.
        doing: &'static str,
        /// What the database said.
        #[source]
        source: sqlx::Error,
    },
    /// The database has tables of our names that are not ours.
    #[error("the database already has a table \"{table}\" that the shop did not make")]
    Foreign {
        /// Its name.
        table: String,
    },
    /// The shop's tables are not what this program knows.
    #[error("the shop's tables cannot be brought to this program's version")]
    Migrate(#[source] Box<MigrateError>),
    /// A control endpoint cannot be used.
    #[error("the control endpoint \"{endpoint}\" cannot be used")]
    Control {
        /// The endpoint.
        endpoint: String,
        /// Why not.
        #[source]
        source: cdc_control::Error,
    },
    /// Placing an order ended before it had an outcome.
    #[error("the order was interrupted")]
    Interrupted,
    /// Serving failed.
    #[error("serving the shop failed")]
    Serve(#[source] io::Error),
}

impl Classify for Error {
    #[deny(clippy::wildcard_enum_match_arm)]
    fn class(&self) -> ErrorClass {
        match self {
            Self::Database { .. } | Self::Interrupted => ErrorClass::Transient,
            Self::Url | Self::Foreign { .. } | Self::Migrate(_) | Self::Control { .. } => {
                ErrorClass::Fatal
            }
            Self::Serve(_) => ErrorClass::Unknown,
        }
    }

    #[deny(clippy::wildcard_enum_match_arm)]
    fn code(&self) -> Option<&'static str> {
        match self {
            Self::Foreign { .. } => Some("SHOP_FOREIGN_TABLES"),
            Self::Migrate(_) => Some("SHOP_MIGRATION"),
            Self::Url | Self::Database { .. } | Self::Control { .. } => None,
            Self::Interrupted | Self::Serve(_) => None,
        }
    }

    #[deny(clippy::wildcard_enum_match_arm)]
    fn remedy(&self) -> Option<String> {
        let text = match self {
            Self::Url => "Give --database postgres://USER:PASSWORD@HOST:PORT/DATABASE.",
            Self::Database { .. } => {
                "See that the database runs, that --database names it, and that its user may \
                 create tables."
            }
            Self::Foreign { .. } => "Give the shop a database of its own with --database.",
            Self::Migrate(_) => {
                "Start the version of the program that made the tables, or give the shop a fresh \
                 database."
            }
            Self::Control { .. } => "Give --control HOST:PORT or a pipeline's data directory.",
            Self::Interrupted | Self::Serve(_) => return None,
        };
        Some(text.to_owned())
    }
}

/// Turns an error of the database into one of ours that says what we were doing.
pub(crate) fn while_(doing: &'static str) -> impl Fn(sqlx::Error) -> Error {
    move |source| Error::Database { doing, source }
}

/// Writes an error with its causes in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        let said = source.to_string();
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        cause = source.source();
    }
    text
}

impl Error {
    /// Returns the error with its causes in one line.
    pub(crate) fn told(&self) -> String {
        match self.source() {
            Some(_) => chain(self),
            None => self.to_string(),
        }
    }
}
