//! The schema registry away: tables whose schemas are known go on, a new schema waits for it.

use std::time::Duration;

use anyhow::ensure;
use testkit::server::apicurio::Apicurio;

use super::{PATIENCE, Run, is_acknowledged, start_streaming, until_acknowledged};
use crate::door::Door;
use crate::report::grouped;
use crate::world::World;

const AWAY: Duration = Duration::from_secs(20);

pub(super) async fn run(run: &Run<'_>) -> anyhow::Result<()> {
    let apicurio = Apicurio::start().await;
    let url = apicurio.url();
    let port: String =
        url.chars().skip("http://127.0.0.1:".len()).take_while(char::is_ascii_digit).collect();
    let door = Door::to(port.parse()?).await?;
    let mut world = World::start(false).await?;
    world.spec.registry = Some(url.replace(&port, &door.port().to_string()));
    let (child, since) = start_streaming(&world).await?;
    let load = run.load(&world);
    tokio::time::sleep(Duration::from_secs(5)).await;
    until_acknowledged(&world, &child).await?;

    door.set_open(false);
    tokio::time::sleep(AWAY).await;
    let took = until_acknowledged(&world, &child).await?;
    run.say(&format!(
        "away for {AWAY:?}: known schemas went on, acknowledged {:.1} s later, {} rows committed",
        took.as_secs_f64(),
        grouped(load.rows()),
    ));

    world.postgres.sql("ALTER TABLE item ADD added integer").await;
    child.until_says("capture waits", PATIENCE).await?;
    let waiting = child.last_line();
    let before = world.wal_end().await?;
    tokio::time::sleep(Duration::from_secs(5)).await;
    ensure!(!is_acknowledged(&world, before).await, "it went on without the new schema");
    run.say(&format!("still away: a new schema waits ({waiting})"));

    door.set_open(true);
    let took = until_acknowledged(&world, &child).await?;
    run.say(&format!("back: caught up {:.1} s later", took.as_secs_f64()));
    child.kill9().await;
    run.finish(&world, load, since).await?;
    Ok(())
}
