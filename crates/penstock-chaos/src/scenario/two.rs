//! A second process on the same data directory is refused. One with a directory of its own on the
//! same slot waits for the slot, and halts when it gets it: the slot's position is in the other
//! directory, and to start from anywhere else would lose or double.

use std::time::Duration;

use anyhow::ensure;

use super::{PATIENCE, Run, start_streaming, until_acknowledged};
use crate::world::World;

pub(super) async fn run(run: &Run<'_>) -> anyhow::Result<()> {
    let world = World::start(false).await?;
    let (first, since) = start_streaming(&world).await?;
    let load = run.load(&world);

    let second = world.child()?;
    let said = second.until_ended(PATIENCE).await?;
    ensure!(said.contains("is in use by process"), "no word of the lock: {said}");
    until_acknowledged(&world, &first).await?;
    run.say(&format!("on the same directory: {}", last(&said)));

    let mut other = world.spec.clone();
    other.data_dir = world.path("other");
    let second = world.child_of(&other)?;
    second.until_says("WaitingForSlot", PATIENCE).await?;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let waiting = second.last_line();
    until_acknowledged(&world, &first).await?;
    run.say(&format!("on the same slot: {waiting}"));

    first.kill9().await;
    let said = second.until_ended(PATIENCE).await?;
    ensure!(said.contains("Halted {"), "it did not halt: {said}");
    run.say(&format!("the first one killed: {}", last(&said)));

    let again = world.child()?;
    again.until_said("phase Streaming", PATIENCE).await?;
    until_acknowledged(&world, &again).await?;
    run.say("the first one started again: goes on where it was");
    again.kill9().await;
    run.finish(&world, load, since).await?;
    Ok(())
}

fn last(text: &str) -> &str {
    text.lines().rfind(|line| !line.is_empty()).unwrap_or_default()
}
