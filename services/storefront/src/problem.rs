//! How a failure to start is told: what, why, and what to do about it.

use std::io::Write;
use std::process::ExitCode;

use cdc_pipeline::error::Classify;

use crate::error::{Error, chain};

/// Wrong usage or settings, as in `sysexits.h`.
pub(crate) const EXIT_USAGE: u8 = 64;

/// Failed.
const EXIT_FAILED: u8 = 1;

/// A failure as it is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) what: String,
    pub(crate) cause: String,
    pub(crate) fix: Option<String>,
    pub(crate) exit: u8,
}

impl Problem {
    /// Makes the problem of wrong usage or settings.
    pub(crate) fn usage(
        what: impl Into<String>,
        cause: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self { what: what.into(), cause: cause.into(), fix: Some(fix.into()), exit: EXIT_USAGE }
    }

    /// Prints it to stderr and returns the exit code.
    pub(crate) fn print(&self) -> ExitCode {
        let mut text = format!("error: {}\n", self.what);
        for (name, said) in [("cause", Some(&self.cause)), ("fix", self.fix.as_ref())] {
            if let Some(said) = said.filter(|said| !said.is_empty()) {
                text.push_str(&format!("  {name}: {said}\n"));
            }
        }
        // Nobody is left to tell if stderr is gone.
        drop(std::io::stderr().lock().write_all(text.as_bytes()));
        ExitCode::from(self.exit)
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let cause = std::error::Error::source(&error).map(chain).unwrap_or_default();
        Self { what: error.to_string(), cause, fix: error.remedy(), exit: EXIT_FAILED }
    }
}

impl From<std::io::Error> for Problem {
    fn from(error: std::io::Error) -> Self {
        let what = "the program cannot start".to_owned();
        Self { what, cause: error.to_string(), fix: None, exit: EXIT_FAILED }
    }
}
