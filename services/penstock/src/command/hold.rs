//! `penstock pause` and `penstock resume`.

use std::process::ExitCode;

use crate::cli::TargetArgs;
use crate::command::{connect, put, refused};
use crate::report::Problem;

/// Holds capture or a projection between two batches.
///
/// # Errors
/// If no pipeline runs there, or it does not run the target.
pub async fn pause(args: TargetArgs) -> Result<ExitCode, Problem> {
    let mut client = connect(&args.pipeline).await?;
    client.pause(&args.target).await.map_err(|error| refused("nothing was paused", error))?;
    let warning = match args.target.as_str() {
        "capture" => "; the source keeps its log meanwhile",
        _ => "",
    };
    put(&format!("paused {}{warning}\n", args.target))?;
    Ok(ExitCode::SUCCESS)
}

/// Lets it go on.
///
/// # Errors
/// As [`pause`].
pub async fn resume(args: TargetArgs) -> Result<ExitCode, Problem> {
    let mut client = connect(&args.pipeline).await?;
    client.resume(&args.target).await.map_err(|error| refused("nothing was resumed", error))?;
    put(&format!("resumed {}\n", args.target))?;
    Ok(ExitCode::SUCCESS)
}
