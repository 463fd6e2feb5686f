//! Kafka stopped, killed and frozen under load. Meanwhile the walsender's session stays up: the
//! server's `wal_sender_timeout` is a third of the time that Kafka is away.

use std::time::Duration;

use anyhow::ensure;

use super::{Run, start_streaming, until_acknowledged};
use crate::child::Child;
use crate::report::grouped;
use crate::world::World;

const STOPPED: Duration = Duration::from_secs(30);

const FROZEN: Duration = Duration::from_secs(20);

const KILLS: u32 = 5;

pub(super) async fn run(run: &Run<'_>) -> anyhow::Result<()> {
    let world = World::start(true).await?;
    let (child, since) = start_streaming(&world).await?;
    let load = run.load(&world);
    let kafka = world.kafka()?;
    tokio::time::sleep(Duration::from_secs(3)).await;

    let session = world.walsender().await;
    kafka.stop().await;
    tokio::time::sleep(STOPPED).await;
    let during = child.last_line();
    let is_kept = world.walsender().await == session;
    kafka.start_again().await;
    caught_up(run, &world, &child, &format!("stopped for {STOPPED:?} ({during})")).await?;
    ensure!(is_kept, "the walsender's session ended while kafka was stopped");

    for round in 1..=run.rounds(KILLS) {
        kafka.kill9().await;
        kafka.start_again().await;
        caught_up(run, &world, &child, &format!("round {round}: killed and started")).await?;
        tokio::time::sleep(Duration::from_secs(2)).await;
    }

    let session = world.walsender().await;
    kafka.pause();
    tokio::time::sleep(FROZEN).await;
    let is_kept = world.walsender().await == session;
    kafka.resume();
    caught_up(run, &world, &child, &format!("frozen for {FROZEN:?}")).await?;
    ensure!(is_kept, "the walsender's session ended while kafka was frozen");

    run.say(&format!("{} rows committed meanwhile", grouped(load.rows())));
    child.kill9().await;
    run.finish(&world, load, since).await?;
    Ok(())
}

async fn caught_up(run: &Run<'_>, world: &World, child: &Child, what: &str) -> anyhow::Result<()> {
    let took = until_acknowledged(world, child).await?;
    run.say(&format!("kafka {what}, caught up {:.1} s later", took.as_secs_f64()));
    Ok(())
}
