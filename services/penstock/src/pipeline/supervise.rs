//! Runs the loops of a pipeline side by side, and stops them in order.
//!
//! # Shutdown
//! Capture drains first; then the projection is told to stop, applies what it has read, and ends.
//! What the log holds beyond that is read at the next start.

use std::sync::Arc;
use std::time::Duration;

use cdc_pipeline::Halted;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::pipeline::{Log, PROJECTION, Pipeline};

/// How often the log is told how far the projection is, so that it may drop segments.
const RETENTION_INTERVAL: Duration = Duration::from_secs(5);

/// Halts that `penstock schema accept` lifts.
const SCHEMA_HALTS: [&str; 2] = ["SCHEMA_INCOMPATIBLE", "SCHEMA_SEMANTIC"];

enum Ended {
    Capture(Result<(), Halted>),
    Projection(Result<(), Halted>),
    Retention,
}

pub(super) async fn run(
    pipeline: Arc<Pipeline>,
    shutdown: CancellationToken,
) -> Result<(), Halted> {
    let drained = CancellationToken::new();
    let stopping = shutdown.child_token();
    let mut loops = JoinSet::new();
    let (capture, stop) = (pipeline.clone(), stopping.clone());
    loops.spawn(async move { Ended::Capture(keep_capturing(&capture, stop).await) });
    let (projection, stop) = (pipeline.clone(), drained.clone());
    loops.spawn(async move { Ended::Projection(projection.project(stop).await) });
    let (retention, stop) = (pipeline, drained.clone());
    loops.spawn(async move {
        stop.run_until_cancelled(keep_retention(&retention)).await;
        Ended::Retention
    });
    let mut outcome = Ok(());
    while let Some(ended) = loops.join_next().await {
        let ended = match ended {
            Ok(Ended::Capture(ended)) => {
                drained.cancel();
                ended
            }
            Ok(Ended::Projection(ended)) => ended,
            Ok(Ended::Retention) => Ok(()),
            Err(error) => Err(Halted {
                code: "PANICKED",
                message: format!("a part of the pipeline failed: {error}"),
                remedy: Some("This is a defect; please report it. A restart goes on.".to_owned()),
            }),
        };
        if ended.is_err() {
            stopping.cancel();
        }
        outcome = outcome.and(ended);
    }
    outcome
}

/// Runs capture; after a halt on a schema, again once it is accepted.
async fn keep_capturing(pipeline: &Pipeline, shutdown: CancellationToken) -> Result<(), Halted> {
    loop {
        let mut accepted = pipeline.accepted.subscribe();
        let captured = Box::pin(pipeline.capture(shutdown.clone())).await;
        let Err(halted) = captured else { return Ok(()) };
        if !SCHEMA_HALTS.contains(&halted.code) {
            return Err(halted);
        }
        tokio::select! {
            changed = accepted.changed() => if changed.is_err() { return Err(halted) },
            () = shutdown.cancelled() => return Err(halted),
        }
    }
}

async fn keep_retention(pipeline: &Pipeline) {
    let Log::Local(log) = pipeline.log() else { return std::future::pending().await };
    loop {
        tokio::time::sleep(RETENTION_INTERVAL).await;
        let offsets = pipeline.project_stats().offsets().into_iter().collect();
        let noted = log.projection_applied(PROJECTION, offsets).await;
        let swept = match noted {
            Ok(()) => log.enforce_retention().await.map(drop),
            Err(error) => Err(error),
        };
        if let Err(error) = swept {
            tracing::warn!(error = %error, "retention is not enforced");
        }
    }
}
