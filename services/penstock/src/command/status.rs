//! `penstock status`.

use std::io::IsTerminal;
use std::process::ExitCode;

use cdc_control::v1::{Capture, Projection, State, StatusReply};
use futures_util::StreamExt;

use crate::cli::StatusArgs;
use crate::command::{connect, put, put_json};
use crate::report::{EXIT_FAILED, Problem};
use crate::view::{Paint, status};

const INTERVAL_MS: u32 = 1_000;

/// Clears the screen and goes to its top.
const CLEAR: &str = "\x1b[H\x1b[2J";

/// Shows the status once, or until interrupted; fails if something has halted.
///
/// # Errors
/// If no pipeline runs there, or it goes away.
pub async fn run(args: StatusArgs) -> Result<ExitCode, Problem> {
    let mut client = connect(&args.pipeline).await?;
    if !args.watch {
        let reply = client.status().await?;
        show(&reply, &args)?;
        return Ok(exit_code(&reply));
    }
    let mut replies = std::pin::pin!(client.watch(INTERVAL_MS).await?);
    while let Some(reply) = replies.next().await {
        let reply = reply?;
        if !args.json && std::io::stdout().is_terminal() {
            put(CLEAR)?;
        }
        show(&reply, &args)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn show(reply: &StatusReply, args: &StatusArgs) -> Result<(), Problem> {
    if args.json { put_json(reply) } else { put(&status::render(reply, Paint::stdout())) }
}

/// A script asks by the exit code whether anything needs a person.
fn exit_code(reply: &StatusReply) -> ExitCode {
    let capture = reply.capture.iter().map(Capture::state);
    let mut states = capture.chain(reply.projections.iter().map(Projection::state));
    if states.any(|state| state == State::Halted) {
        ExitCode::from(EXIT_FAILED)
    } else {
        ExitCode::SUCCESS
    }
}
