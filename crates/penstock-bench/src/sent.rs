//! A load of single-row commits at a steady rate, over several connections.

use std::time::Duration;

use anyhow::Context;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};

use crate::rows;
use crate::world::World;

/// Connections that commit; one alone waits for each fsync.
const CONNECTIONS: u64 = 8;

/// Inserts rows 1 to `rows`, each in a transaction of its own, `rate` a second; returns how long
/// each commit took, in µs.
pub(crate) async fn load(world: &World, rate: u64, rows: u64) -> anyhow::Result<Vec<u32>> {
    let mut connections = JoinSet::new();
    let started = Instant::now() + Duration::from_millis(50);
    for number in 0..CONNECTIONS {
        let client = world.postgres.client().await;
        let sql =
            format!("INSERT INTO bench SELECT {} FROM (SELECT $1::bigint AS i) r", rows::COLUMNS);
        let statement = client.prepare(&sql).await?;
        connections.spawn(async move {
            let gap = Duration::from_secs_f64(CONNECTIONS as f64 / rate as f64);
            let offset = Duration::from_secs_f64(number as f64 / rate as f64);
            let mut ticks = tokio::time::interval_at(started + offset, gap);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
            let mut took = Vec::new();
            let mut id = number + 1;
            while id <= rows {
                ticks.tick().await;
                let sent = Instant::now();
                let key = i64::try_from(id).unwrap_or(i64::MAX);
                client.execute(&statement, &[&key]).await?;
                took.push(u32::try_from(sent.elapsed().as_micros()).unwrap_or(u32::MAX));
                id += CONNECTIONS;
            }
            anyhow::Ok(took)
        });
    }
    let mut all = Vec::new();
    while let Some(took) = connections.join_next().await {
        all.extend(took?.context("committing")?);
    }
    Ok(all)
}
