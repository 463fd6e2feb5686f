//! The pipeline killed with signal 9 at random moments, from its first start on: while it makes
//! slot and publication, in the snapshot, while it starts again, while it streams.

use std::time::Duration;

use anyhow::ensure;
use cdc_model::Lsn;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::{PATIENCE, Run, is_acknowledged, start_streaming};
use crate::child::Child;
use crate::report::grouped;
use crate::world::World;

const ROUNDS: u32 = 30;

/// When it is killed, in milliseconds after its start.
const KILLED_AFTER_MS: std::ops::Range<u64> = 200..3_000;

/// The same after it has opened everything local, in the first rounds.
const KILLED_IN_SETUP_MS: std::ops::Range<u64> = 0..150;

/// The same after its snapshot has begun.
const KILLED_IN_SNAPSHOT_MS: std::ops::Range<u64> = 0..600;

pub(super) async fn run(run: &Run<'_>, with_kafka: bool) -> anyhow::Result<()> {
    let world = World::start(with_kafka).await?;
    let load = run.load(&world);
    let mut rng = SmallRng::seed_from_u64(run.seed);
    let mut since = Since::Unknown;
    let rounds = run.rounds(ROUNDS);
    for round in 1..=rounds {
        let child = world.child()?;
        if round <= rounds / 10 {
            child.until_said("built", PATIENCE).await?;
            pause(&mut rng, KILLED_IN_SETUP_MS).await;
        } else if round <= rounds / 3 && begins_snapshot(&child).await? {
            pause(&mut rng, KILLED_IN_SNAPSHOT_MS).await;
        } else {
            pause(&mut rng, KILLED_AFTER_MS).await;
        }
        ensure!(child.is_running(), "the pipeline ended by itself: {}", child.output());
        let last = child.last_line();
        child.kill9().await;
        since = since.look(&world, &child).await?;
        let rows = grouped(load.rows());
        run.say(&format!("round {round}/{rounds}: killed, {rows} rows committed, {last}"));
    }
    let since = if let Since::Known(since) = since {
        since
    } else {
        // Never got that far: let it, so that there is something to compare change by change.
        let (child, since) = start_streaming(&world).await?;
        pause(&mut rng, KILLED_AFTER_MS).await;
        child.kill9().await;
        since
    };
    run.finish(&world, load, since).await?;
    Ok(())
}

async fn pause(rng: &mut SmallRng, range: std::ops::Range<u64>) {
    tokio::time::sleep(Duration::from_millis(rng.random_range(range))).await;
}

/// Waits until it reads the tables, or is past that; returns whether it reads them.
async fn begins_snapshot(child: &Child) -> anyhow::Result<bool> {
    child.until_said_any(&["phase Snapshot", "phase Streaming"], PATIENCE).await?;
    Ok(!child.has_said("phase Streaming"))
}

/// When every change must be in the log as a change. A pipeline that follows the log may still hold
/// the last chunk of its snapshot; killed then, it reads that chunk again under a later snapshot.
#[derive(Debug, Clone, Copy)]
enum Since {
    Unknown,
    /// It followed the log when the log's end was here.
    Followed(Lsn),
    /// Later than anything a snapshot read, for the log was acknowledged beyond the above.
    Known(Lsn),
}

impl Since {
    async fn look(self, world: &World, child: &Child) -> anyhow::Result<Self> {
        Ok(match self {
            Self::Unknown if child.has_said("phase Streaming") => {
                Self::Followed(world.wal_end().await?)
            }
            Self::Followed(end) if is_acknowledged(world, end).await => {
                Self::Known(world.wal_end().await?)
            }
            same => same,
        })
    }
}
