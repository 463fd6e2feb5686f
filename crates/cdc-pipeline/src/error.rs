//! What a loop does about an error is decided by its class, and the class by its type: each
//! adapter maps its errors in one exhaustive match, by code and never by text.

use std::error::Error;
use std::fmt;

/// What an error means for whoever runs the failed operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorClass {
    /// May heal by itself and is known to: connection refused, broker down, deadlock. Retried
    /// without end, at a bounded pace.
    Transient,
    /// Not known: retried like [`ErrorClass::Transient`], but after a bounded number of attempts
    /// it is [`ErrorClass::Fatal`].
    Unknown,
    /// Another instance has taken over: this one is the standby now. It starts over by waiting for
    /// the source's lock, and writes nothing until it holds it.
    Fenced,
    /// This one record can never succeed. A projection parks its key; capture halts.
    Poison,
    /// Going on would lose or corrupt data, or needs a person. The pipeline halts and acknowledges
    /// nothing more.
    Fatal,
}

impl fmt::Display for ErrorClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Transient => "transient",
            Self::Unknown => "unknown",
            Self::Fenced => "fenced",
            Self::Poison => "poison",
            Self::Fatal => "fatal",
        })
    }
}

/// An error that says what to do about it.
pub trait Classify: Error + Send + Sync + 'static {
    /// Returns the error's class.
    fn class(&self) -> ErrorClass;

    /// Returns the stable code of a halt, such as `SLOT_LOST`, which metrics, pages and scripts may
    /// rely on. Present on every [`ErrorClass::Fatal`] error.
    fn code(&self) -> Option<&'static str> {
        None
    }

    /// Returns what the operator does about it: one or two sentences, with the command if there
    /// is one. Present on every [`ErrorClass::Fatal`] error.
    fn remedy(&self) -> Option<String> {
        None
    }
}

#[deny(clippy::wildcard_enum_match_arm)]
impl Classify for std::convert::Infallible {
    fn class(&self) -> ErrorClass {
        match *self {}
    }
}

/// Renders an error and its causes in one line, outermost first, separated by `: `.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let line = error.to_string();
        if !text.ends_with(&line) {
            text.push_str(": ");
            text.push_str(&line);
        }
        cause = error.source();
    }
    text
}
