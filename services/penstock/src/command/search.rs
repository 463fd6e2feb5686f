//! `penstock search`.

use std::process::ExitCode;

use cdc_control::v1::SearchHit;

use crate::cli::SearchArgs;
use crate::command::{connect, put, put_json, refused};
use crate::report::Problem;
use crate::view::{Paint, WIDTH, fold};

/// Searches in full text and prints the hits, the best first.
///
/// # Errors
/// If no pipeline runs there, it has no full-text projection, or the query cannot be read.
pub async fn run(args: SearchArgs) -> Result<ExitCode, Problem> {
    let mut client = connect(&args.pipeline).await?;
    let found = client.search(&args.query, args.limit.max(1)).await;
    let found = found.map_err(|error| {
        let fix = "Start the pipeline with projections = \"duckdb, search\" to have an index.";
        refused("the search cannot be made", error).with_fix(Some(fix.to_owned()))
    })?;
    let paint = Paint::stdout();
    for hit in &found.hits {
        if args.json {
            put_json(hit)?;
        } else {
            put(&line(hit, paint))?;
        }
    }
    if found.hits.is_empty() && !args.json {
        put("nothing found\n")?;
    }
    Ok(ExitCode::SUCCESS)
}

fn line(hit: &SearchHit, paint: Paint) -> String {
    let place = fold(&format!("{} {}", hit.table, hit.key), 36);
    let snippet = fold(&hit.snippet, WIDTH - place.chars().count() - 2);
    format!("{}  {snippet}\n", paint.head(&place))
}
