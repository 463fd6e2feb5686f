//! What each subcommand does.

pub mod dlq;
pub mod doctor;
pub mod hold;
pub mod query;
pub mod run;
pub mod schema;
pub mod search;
pub mod status;
pub mod tail;

use std::future::Future;
use std::io::{ErrorKind, Write};
use std::process::ExitCode;

use cdc_control::Client;
use cdc_runtime::settings::read_secret;

use crate::cli::PipelineArgs;
use crate::report::Problem;

/// Runs a command on a runtime of its own.
///
/// # Errors
/// The command's, or that no runtime can be had.
pub fn block_on(
    command: impl Future<Output = Result<ExitCode, Problem>>,
) -> Result<ExitCode, Problem> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime
        .map_err(|error| Problem::failed("cannot start threads").because(error.to_string()))?;
    let outcome = runtime.block_on(command);
    // A blocking call in flight must not hold up the end.
    runtime.shutdown_background();
    outcome
}

/// Connects to the running pipeline, or to one of its services.
///
/// # Errors
/// If none runs there, or the token cannot be read.
pub(crate) async fn connect(args: &PipelineArgs) -> Result<Client, Problem> {
    let Some(address) = &args.control else { return Ok(Client::connect(&args.data_dir).await?) };
    let read = |path| read_secret("--control-token-file", path);
    let token = args.control_token_file.as_deref().map(read).transpose()?;
    Ok(Client::of_address(address, token.as_deref().map(str::trim))?)
}

/// Turns a refusal into a problem that shows its words.
pub(crate) fn refused(what: &str, error: cdc_control::Error) -> Problem {
    match error {
        cdc_control::Error::Refused(status) => Problem::failed(what).because(status.message()),
        error => error.into(),
    }
}

/// Writes to stdout at once. A reader that went away, such as `head`, ends the process quietly.
///
/// # Errors
/// If stdout cannot be written to.
pub(crate) fn put(text: &str) -> Result<(), Problem> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => std::process::exit(0),
        Err(error) => Err(Problem::failed("cannot write the output").because(error.to_string())),
    }
}

/// Writes a value as one line of JSON.
///
/// # Errors
/// As [`put`].
pub(crate) fn put_json(value: &impl serde::Serialize) -> Result<(), Problem> {
    let text = serde_json::to_string(value)
        .map_err(|error| Problem::failed("cannot write JSON").because(error.to_string()))?;
    put(&format!("{text}\n"))
}
