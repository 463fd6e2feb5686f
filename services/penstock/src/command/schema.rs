//! `penstock schema accept`.

use std::process::ExitCode;

use crate::cli::AcceptArgs;
use crate::command::{connect, put};
use crate::report::Problem;
use crate::view::Paint;

/// Accepts the schema that was refused last under a subject.
///
/// # Errors
/// If no pipeline runs there, or no schema was refused.
pub async fn accept(args: AcceptArgs) -> Result<ExitCode, Problem> {
    let mut client = connect(&args.pipeline).await?;
    let reply = match client.accept_schema(&args.subject).await {
        Ok(reply) => reply,
        Err(cdc_control::Error::Refused(status)) => {
            let fix = "penstock status names the subject of a halt on an incompatible schema.";
            let problem = Problem::failed("nothing was accepted").because(status.message());
            return Err(problem.with_fix(Some(fix.to_owned())));
        }
        Err(error) => return Err(error.into()),
    };
    let diff: String = reply.diff.lines().map(|line| format!("  {line}\n")).collect();
    let (version, id) = (reply.version, reply.id);
    let done = Paint::stdout().good("accepted");
    put(&format!("{done} {} as version {version}, id {id}\n{diff}", args.subject))?;
    Ok(ExitCode::SUCCESS)
}
