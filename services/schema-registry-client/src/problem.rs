//! How a failure to start is told: what, why, and what to do about it.

use std::io::Write;
use std::process::ExitCode;

use cdc_pipeline::Classify;
use cdc_runtime::process::EndpointError;

/// Wrong usage or settings, as in `sysexits.h`.
pub(crate) const EXIT_USAGE: u8 = 64;

/// Failed.
pub(crate) const EXIT_FAILED: u8 = 1;

/// A failure as it is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) what: String,
    pub(crate) cause: Option<String>,
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
        let (cause, fix) = (Some(cause.into()), Some(fix.into()));
        Self { what: what.into(), cause, fix, exit: EXIT_USAGE }
    }

    /// Prints it to stderr and returns the exit code.
    pub(crate) fn print(&self) -> ExitCode {
        // Nobody is left to tell if stderr is gone.
        drop(std::io::stderr().lock().write_all(self.render().as_bytes()));
        ExitCode::from(self.exit)
    }

    fn render(&self) -> String {
        let mut text = format!("error: {}\n", self.what);
        if let Some(cause) = &self.cause {
            text.push_str(&format!("  cause: {cause}\n"));
        }
        if let Some(fix) = &self.fix {
            text.push_str(&format!("  fix: {fix}\n"));
        }
        text
    }
}

impl From<EndpointError> for Problem {
    fn from(error: EndpointError) -> Self {
        let (fix, cause) = (error.remedy(), std::error::Error::source(&error));
        let cause = cause.map(ToString::to_string);
        Self { what: error.to_string(), cause, fix, exit: EXIT_USAGE }
    }
}

impl From<anyhow::Error> for Problem {
    fn from(error: anyhow::Error) -> Self {
        let registry = error.chain().find_map(|e| e.downcast_ref::<cdc_registry::Error>());
        let kafka = error.chain().find_map(|e| e.downcast_ref::<cdc_log_kafka::Error>());
        let fix = registry.and_then(Classify::remedy).or_else(|| kafka.and_then(Classify::remedy));
        let mut chain = error.chain().map(ToString::to_string);
        let what = chain.next().unwrap_or_default();
        let causes: Vec<String> = chain.filter(|cause| !what.contains(cause.as_str())).collect();
        let cause = (!causes.is_empty()).then(|| causes.join(": "));
        Self { what, cause, fix, exit: EXIT_FAILED }
    }
}
