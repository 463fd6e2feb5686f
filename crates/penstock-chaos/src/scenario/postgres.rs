//! PostgreSQL restarted, crashed, and its walsender terminated, under load.

use std::time::Duration;

use super::{Run, start_streaming, until_acknowledged};
use crate::report::grouped;
use crate::world::World;

const RESTARTS: u32 = 3;

const TERMINATIONS: u32 = 20;

const TERMINATE: &str = "SELECT count(pg_terminate_backend(active_pid))
    FROM pg_replication_slots WHERE slot_name = 'penstock' AND active_pid IS NOT NULL";

pub(super) async fn run(run: &Run<'_>) -> anyhow::Result<()> {
    let world = World::start(false).await?;
    let (child, since) = start_streaming(&world).await?;
    let load = run.load(&world);
    for round in 1..=run.rounds(RESTARTS) {
        for (what, is_crash) in [("restarted", false), ("crashed", true)] {
            tokio::time::sleep(Duration::from_secs(3)).await;
            if is_crash {
                world.postgres.stop_immediate().await;
                world.postgres.start_again().await;
            } else {
                world.postgres.restart().await;
            }
            let took = until_acknowledged(&world, &child).await?;
            run.say(&format!(
                "round {round}: {what}, caught up {:.1} s later, {} rows committed",
                took.as_secs_f64(),
                grouped(load.rows()),
            ));
        }
    }
    let mut terminated = 0_u32;
    for _ in 0..TERMINATIONS {
        tokio::time::sleep(Duration::from_secs(1)).await;
        terminated += world.postgres.value(TERMINATE).await.parse::<u32>()?;
    }
    let took = until_acknowledged(&world, &child).await?;
    run.say(&format!(
        "its walsender terminated {terminated} times in {TERMINATIONS} s, caught up {:.1} s \
         later, {} rows committed",
        took.as_secs_f64(),
        grouped(load.rows()),
    ));
    child.kill9().await;
    run.finish(&world, load, since).await?;
    Ok(())
}
