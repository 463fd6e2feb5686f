//! `penstock doctor`: whether a database is fit to be captured. Changes nothing on it.

use std::process::ExitCode;

use cdc_source_postgres::preflight::{self, Severity};

use crate::cli::DoctorArgs;
use crate::command::{block_on, put, put_json};
use crate::report::{EXIT_FAILED, Problem};
use crate::settings::{self, RunSettings};
use crate::view::{Paint, doctor};

/// Checks the source and prints what was found.
///
/// # Errors
/// Wrong settings; a finding is no error of the command.
pub fn run(args: &DoctorArgs) -> Result<ExitCode, Problem> {
    let layers = settings::layers(args.settings.config.as_deref(), &args.settings.flags())?;
    let settings = RunSettings::from_layers(&layers)?;
    let source = settings.pipeline.source;
    block_on(async move {
        let findings = preflight::check(&source).await;
        if args.json {
            put_json(&doctor::json(&findings))?;
        } else {
            let (database, address) = (&source.connect.database, source.connect.address());
            let text = doctor::render(&findings, Paint::stdout());
            put(&format!("database {database} at {address}\n\n{text}"))?;
        }
        let is_fit = findings.iter().all(|finding| finding.severity != Severity::Error);
        Ok(if is_fit { ExitCode::SUCCESS } else { ExitCode::from(EXIT_FAILED) })
    })
}
