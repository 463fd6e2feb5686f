//! How a failure is told: what, why, and what to do about it, in three lines and without a stack.

use std::fmt;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use cdc_pipeline::{Classify, Halted};
use cdc_source_postgres::wire;
use miette::{GraphicalReportHandler, GraphicalTheme, LabeledSpan, MietteDiagnostic, NamedSource};

use crate::process::EndpointError;

/// Wrong usage or settings, as in `sysexits.h`.
pub const EXIT_USAGE: u8 = 64;

/// Failed, or halted.
pub const EXIT_FAILED: u8 = 1;

/// A failure as it is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What failed.
    pub what: String,
    /// A halt's stable code.
    pub code: Option<&'static str>,
    /// Why.
    pub cause: Option<String>,
    /// The place in a file, ready to print.
    pub snippet: Option<String>,
    /// What to do.
    pub fix: Option<String>,
    /// The process's exit code.
    pub exit: u8,
}

impl Problem {
    /// Makes the problem of something that failed.
    pub fn failed(what: impl Into<String>) -> Self {
        let what = what.into();
        Self { what, code: None, cause: None, snippet: None, fix: None, exit: EXIT_FAILED }
    }

    /// Makes the problem of wrong usage or settings.
    pub fn usage(
        what: impl Into<String>,
        cause: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        let (cause, fix) = (Some(cause.into()), Some(fix.into()));
        Self { cause, fix, exit: EXIT_USAGE, ..Self::failed(what) }
    }

    /// Adds why.
    #[must_use]
    pub fn because(mut self, cause: impl Into<String>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    /// Adds what to do.
    #[must_use]
    pub fn with_fix(mut self, fix: Option<String>) -> Self {
        self.fix = fix;
        self
    }

    /// Prints it to stderr and returns the exit code.
    pub fn print(&self) -> ExitCode {
        let is_colourful = std::io::stderr().is_terminal() && crate::text::wants_colour();
        let text = self.render(is_colourful);
        // Nobody is left to tell if stderr is gone.
        drop(std::io::stderr().lock().write_all(text.as_bytes()));
        ExitCode::from(self.exit)
    }

    /// Renders it in lines of at most 80 columns.
    pub fn render(&self, is_colourful: bool) -> String {
        let style = |code: &str, text: &str| match is_colourful {
            true => format!("\x1b[{code}m{text}\x1b[0m"),
            false => text.to_owned(),
        };
        let what = match self.code {
            Some(code) => format!("{} ({code})", self.what),
            None => self.what.clone(),
        };
        let mut text = labelled(&style("1;31", "error:"), 7, &what);
        if let Some(cause) = &self.cause {
            text.push_str(&labelled(&style("1", "  cause:"), 9, cause));
        }
        if let Some(snippet) = &self.snippet {
            text.push_str(snippet);
        }
        if let Some(fix) = &self.fix {
            text.push_str(&labelled(&style("1;32", "  fix:"), 7, fix));
        }
        text
    }
}

fn labelled(label: &str, indent: usize, text: &str) -> String {
    let lines = crate::text::wrap(text, 79 - indent);
    let lines = lines.join(&format!("\n{}", " ".repeat(indent)));
    format!("{label} {}\n", lines.trim_start())
}

/// Tells a setting that is not accepted, with its place in the file.
pub fn config_problem(error: &cdc_config::Error) -> Problem {
    let cause = format!("it stands in {}", error.origin());
    let cause = cause.replace("in flag", "in the flag").replace("in env", "in the env");
    let mut problem = Problem::usage(error.to_string(), cause, error.remedy());
    if let cdc_config::Origin::File(span) = error.origin() {
        problem.snippet = snippet(span);
    }
    problem
}

fn snippet(span: &cdc_config::Span) -> Option<String> {
    let text = span.file().masked_text();
    let range = span.range().start.min(text.len())..span.range().end.min(text.len());
    let label = LabeledSpan::new_with_span(Some("here".to_owned()), range);
    let diagnostic = MietteDiagnostic::new("").with_label(label);
    let report = miette::Report::new(diagnostic)
        .with_source_code(NamedSource::new(span.file().path(), text));
    let handler = GraphicalReportHandler::new_themed(GraphicalTheme::unicode_nocolor())
        .with_context_lines(1)
        .with_width(80);
    let mut rendered = String::new();
    handler.render_report(&mut rendered, report.as_ref()).ok()?;
    // The message stands above already.
    let at = rendered.find('╭').map(|at| rendered.get(..at).and_then(|t| t.rfind('\n')));
    Some(format!("{}\n", rendered.get(at?? + 1..)?.trim_end()))
}

impl From<Halted> for Problem {
    fn from(halted: Halted) -> Self {
        let problem = Self::failed("the pipeline halted").because(halted.message);
        Self { code: Some(halted.code), ..problem.with_fix(halted.remedy) }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cause {
            Some(cause) => write!(f, "{}: {cause}", self.what),
            None => f.write_str(&self.what),
        }
    }
}

impl std::error::Error for Problem {}

impl From<anyhow::Error> for Problem {
    fn from(error: anyhow::Error) -> Self {
        let error = match error.downcast::<Self>() {
            Ok(problem) => return problem,
            Err(error) => error,
        };
        let (code, fix) = advice(&error);
        let mut chain: Vec<String> = Vec::new();
        for cause in error.chain().map(ToString::to_string) {
            // An outer error may tell the inner one already.
            if !chain.last().is_some_and(|last| last.ends_with(&cause)) {
                chain.push(cause);
            }
        }
        if code.is_some() && chain.len() == 1 {
            chain.insert(0, "cannot run".to_owned());
        }
        let what = chain.remove(0);
        let cause = (!chain.is_empty()).then(|| chain.join(": "));
        Self { code, cause, fix, ..Self::failed(what) }
    }
}

impl From<cdc_control::Error> for Problem {
    fn from(error: cdc_control::Error) -> Self {
        let fix = error.remedy();
        Self::from(anyhow::Error::new(error)).with_fix(fix)
    }
}

impl From<EndpointError> for Problem {
    fn from(error: EndpointError) -> Self {
        let fix = error.remedy();
        Self::from(anyhow::Error::new(error)).with_fix(fix)
    }
}

/// The first code and remedy that an error of the chain has.
fn advice(error: &anyhow::Error) -> (Option<&'static str>, Option<String>) {
    for cause in error.chain() {
        if let Some(halted) = cause.downcast_ref::<Halted>() {
            return (Some(halted.code), halted.remedy.clone());
        }
        if let Some(error) = classified(cause) {
            let found = (error.code(), error.remedy());
            if found != (None, None) {
                return found;
            }
        }
    }
    (None, None)
}

fn classified<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a dyn Classify> {
    fn of<E: Classify>(error: &E) -> &dyn Classify {
        error
    }
    let own = error.downcast_ref::<cdc_source_postgres::Error>().map(of);
    own.or_else(|| error.downcast_ref::<wire::Error>().map(of))
        .or_else(|| error.downcast_ref::<cdc_log_local::Error>().map(of))
        .or_else(|| error.downcast_ref::<cdc_log_kafka::Error>().map(of))
        .or_else(|| error.downcast_ref::<cdc_registry::Error>().map(of))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_halt_is_told_in_three_lines() {
        let halted = Halted {
            code: "SLOT_LOST",
            message: "reading the log: the slot is gone".to_owned(),
            remedy: Some("Make another.".to_owned()),
        };
        let expected = "error: the pipeline halted (SLOT_LOST)\n  cause: reading the log: the slot \
                        is gone\n  fix: Make another.\n";
        assert_eq!(Problem::from(halted).render(false), expected);
    }

    #[test]
    fn long_texts_are_wrapped_under_their_label() {
        let problem = Problem::failed("word ".repeat(40));
        let text = problem.render(false);
        assert!(text.lines().all(|line| line.len() <= 80), "{text}");
        assert!(text.lines().skip(1).all(|line| line.starts_with("       word")), "{text}");
    }
}
