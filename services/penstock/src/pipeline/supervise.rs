//! Runs capture and the projections side by side, and stops them in order.
//!
//! # Shutdown
//! Capture drains first; then the projections are told to stop, apply what they have read, and end.
//! What the log holds beyond that is read at the next start.

use std::sync::Arc;

use cdc_pipeline::Halted;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::pipeline::Pipeline;

enum Ended {
    Capture(Result<(), Halted>),
    Projector(Result<(), Halted>),
}

pub(super) async fn run(
    pipeline: Arc<Pipeline>,
    shutdown: CancellationToken,
) -> Result<(), Halted> {
    let drained = CancellationToken::new();
    let stopping = shutdown.child_token();
    let mut parts = JoinSet::new();
    let (capture, stop) = (pipeline.capture().clone(), stopping.clone());
    parts.spawn(async move { Ended::Capture(capture.run(stop).await) });
    let (projector, stop) = (pipeline.projector().clone(), drained.clone());
    parts.spawn(async move { Ended::Projector(projector.run(stop).await) });
    let mut outcome = Ok(());
    while let Some(ended) = parts.join_next().await {
        let ended = match ended {
            Ok(Ended::Capture(ended)) => {
                drained.cancel();
                ended
            }
            Ok(Ended::Projector(ended)) => ended,
            Err(error) => Err(panicked(&error)),
        };
        if ended.is_err() {
            stopping.cancel();
        }
        outcome = outcome.and(ended);
    }
    outcome
}

fn panicked(error: &JoinError) -> Halted {
    Halted {
        code: "PANICKED",
        message: format!("a part of the pipeline failed: {error}"),
        remedy: Some("This is a defect; please report it. A restart goes on.".to_owned()),
    }
}
