//! Writers that change the source while faults happen, and remember what they saw committed.
//!
//! Each writer owns a range of ids, so that writers never wait for one another's rows. A commit
//! whose answer was lost is settled by looking for a token the transaction wrote. Its id would not
//! do: ids that a crash forgot are given to other transactions (`pg_xact_status` then tells of those).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tokio::task::JoinSet;
use tokio_postgres::{Client, Error, NoTls, SimpleQueryMessage};
use tokio_util::sync::CancellationToken;

use crate::oracle::Counts;

/// Ids of one writer.
const ID_RANGE: i64 = 1_000_000_000;

/// Rows of `item` that a writer keeps; beyond that it deletes its oldest.
const KEPT_ROWS: i64 = 6_000;

const RECONNECT_DELAY: Duration = Duration::from_millis(50);

/// How hard to write.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Intensity {
    /// Writers at the same time.
    pub(crate) writers: u64,
    /// Rows a second of each.
    pub(crate) rate: f64,
    /// Rows of the largest transactions.
    pub(crate) rows_max: i64,
}

/// Writers at work.
pub(crate) struct Load {
    writers: JoinSet<anyhow::Result<Counts>>,
    stop: CancellationToken,
    rows: Arc<AtomicU64>,
}

impl Load {
    /// Starts writers on `dsn`; `seed` decides all they do.
    pub(crate) fn start(dsn: &str, seed: u64, intensity: Intensity) -> Self {
        let stop = CancellationToken::new();
        let rows: Arc<AtomicU64> = Arc::default();
        let mut writers = JoinSet::new();
        for number in 1..=intensity.writers {
            let first = i64::try_from(number).unwrap_or(1) * ID_RANGE;
            let writer = Writer {
                dsn: dsn.to_owned(),
                rng: SmallRng::seed_from_u64(seed.wrapping_mul(1_000).wrapping_add(number)),
                intensity,
                truncates: number == 1,
                span: Span { low: first, next: first },
                committed: Counts::new(),
                in_doubt: None,
                rows: rows.clone(),
            };
            writers.spawn(writer.run(stop.clone()));
        }
        Self { writers, stop, rows }
    }

    /// Returns how many row changes were committed so far.
    pub(crate) fn rows(&self) -> u64 {
        self.rows.load(Ordering::Relaxed)
    }

    /// Ends the writers and returns what they saw committed.
    pub(crate) async fn stop(mut self) -> anyhow::Result<Counts> {
        self.stop.cancel();
        let mut total = Counts::new();
        while let Some(committed) = self.writers.join_next().await {
            for (what, count) in committed?? {
                *total.entry(what).or_default() += count;
            }
        }
        Ok(total)
    }
}

/// A writer's live ids in `item`: `low..next`, with holes.
#[derive(Debug, Clone, Copy)]
struct Span {
    low: i64,
    next: i64,
}

struct Writer {
    dsn: String,
    rng: SmallRng,
    intensity: Intensity,
    truncates: bool,
    span: Span,
    committed: Counts,
    in_doubt: Option<Pending>,
    rows: Arc<AtomicU64>,
}

/// A transaction under way.
struct Pending {
    token: String,
    span: Span,
    changes: BTreeMap<(String, char), u64>,
}

/// A statement, and what one row of it counts as.
struct Step {
    sql: String,
    table: &'static str,
    ops: &'static [char],
}

impl Writer {
    async fn run(mut self, stop: CancellationToken) -> anyhow::Result<Counts> {
        while !stop.is_cancelled() || self.in_doubt.is_some() {
            // The server is away now and then; what it says about that is not ours to judge.
            let Ok((client, connection)) = tokio_postgres::connect(&self.dsn, NoTls).await else {
                tokio::time::sleep(RECONNECT_DELAY).await;
                continue;
            };
            let mut driver = JoinSet::new();
            driver.spawn(connection);
            if let Err(error) = self.write(&client, &stop).await {
                let is_statement = error.as_db_error().is_some_and(|e| !is_shutdown(e.code()));
                if is_statement {
                    return Err(error).context("a writer's statement");
                }
            }
        }
        Ok(self.committed)
    }

    async fn write(&mut self, client: &Client, stop: &CancellationToken) -> Result<(), Error> {
        self.settle(client).await?;
        while !stop.is_cancelled() {
            let rows = self.transaction(client).await?;
            let pause = Duration::from_secs_f64((rows as f64 + 2.0) / self.intensity.rate);
            stop.run_until_cancelled(tokio::time::sleep(pause)).await;
        }
        Ok(())
    }

    /// Finds out what became of a transaction whose commit was not answered.
    async fn settle(&mut self, client: &Client) -> Result<(), Error> {
        let Some(pending) = &self.in_doubt else { return Ok(()) };
        // Waits for the transaction, should its session still be at work.
        let token = &pending.token;
        let sql = format!("INSERT INTO chaos.token VALUES ('{token}') ON CONFLICT DO NOTHING");
        if affected(client, &sql).await? == 0 {
            self.adopt();
        }
        self.in_doubt = None;
        Ok(())
    }

    fn adopt(&mut self) -> u64 {
        let Some(pending) = self.in_doubt.take() else { return 0 };
        self.span = pending.span;
        let rows = pending.changes.values().sum();
        for (what, count) in pending.changes {
            *self.committed.entry(what).or_default() += count;
        }
        self.rows.fetch_add(rows, Ordering::Relaxed);
        rows
    }

    async fn transaction(&mut self, client: &Client) -> Result<u64, Error> {
        client.batch_execute("BEGIN").await?;
        let token = format!("{:032x}", self.rng.random::<u128>());
        client.batch_execute(&format!("INSERT INTO chaos.token VALUES ('{token}')")).await?;
        let mut pending = Pending { token, span: self.span, changes: BTreeMap::new() };
        if self.truncates && self.rng.random_bool(0.03) {
            client.batch_execute("TRUNCATE scratch").await?;
            *pending.changes.entry(("scratch".to_owned(), 't')).or_default() += 1;
        }
        for _ in 0..self.rng.random_range(1..=4) {
            let step = self.step(&mut pending.span);
            let is_undone = self.rng.random_bool(0.05);
            if is_undone {
                client.batch_execute("SAVEPOINT s").await?;
            }
            let rows = affected(client, &step.sql).await?;
            if is_undone {
                client.batch_execute("ROLLBACK TO s").await?;
                continue;
            }
            for op in step.ops {
                *pending.changes.entry((step.table.to_owned(), *op)).or_default() += rows;
            }
        }
        if self.rng.random_bool(0.05) {
            client.batch_execute("ROLLBACK").await?;
            return Ok(0);
        }
        self.in_doubt = Some(pending);
        client.batch_execute("COMMIT").await?;
        Ok(self.adopt())
    }

    fn step(&mut self, span: &mut Span) -> Step {
        let rows_max = self.intensity.rows_max;
        let rows = match self.rng.random_range(0..20) {
            0 => self.rng.random_range(1..=rows_max),
            1..=3 => self.rng.random_range(1..=(rows_max / 10).max(1)),
            _ => self.rng.random_range(1..=20),
        };
        if span.next - span.low > KEPT_ROWS {
            let from = span.low;
            span.low = span.next - KEPT_ROWS / 2;
            let sql = format!("DELETE FROM item WHERE id >= {from} AND id < {}", span.low);
            return Step { sql, table: "item", ops: &['d'] };
        }
        let from = self.rng.random_range(span.low..=span.next);
        let until = from + rows;
        let range = format!("id >= {from} AND id < {}", until.min(span.next));
        let new = span.next;
        match self.rng.random_range(0..20) {
            0..=7 => {
                span.next += rows;
                insert_items(new, rows)
            }
            8..=11 => {
                let sql =
                    format!("UPDATE item SET v = v + 1, amount = amount + 0.01 WHERE {range}");
                Step { sql, table: "item", ops: &['u'] }
            }
            12 => {
                let sql = format!(
                    "UPDATE item SET v = v + 1, note = NULL, big = repeat(md5(v::text), 80) \
                     WHERE id % 5 = 0 AND {range}"
                );
                Step { sql, table: "item", ops: &['u'] }
            }
            13..=14 => {
                // Above every id in use, in the same order: no row meets another's key.
                let by = new - from.min(new);
                span.next += rows;
                let sql = format!("UPDATE item SET id = id + {by}, v = v + 1 WHERE {range}");
                Step { sql, table: "item", ops: &['d', 'c'] }
            }
            15 => {
                Step { sql: format!("DELETE FROM item WHERE {range}"), table: "item", ops: &['d'] }
            }
            16..=17 => {
                span.next += rows;
                let sql = format!(
                    "INSERT INTO scratch SELECT i, 1 FROM generate_series({new}, {}) i",
                    new + rows - 1
                );
                Step { sql, table: "scratch", ops: &['c'] }
            }
            18 => {
                let sql = format!(
                    "INSERT INTO keyless SELECT {new} + i % 3, 1, 'k' FROM generate_series(1, 9) i"
                );
                Step { sql, table: "keyless", ops: &['c'] }
            }
            _ => {
                let sql = format!(
                    "DELETE FROM keyless WHERE ctid IN (SELECT ctid FROM keyless \
                     WHERE id >= {low} AND id < {end} ORDER BY id LIMIT 4)",
                    low = new / ID_RANGE * ID_RANGE,
                    end = (new / ID_RANGE + 1) * ID_RANGE,
                );
                Step { sql, table: "keyless", ops: &['d'] }
            }
        }
    }
}

fn insert_items(new: i64, rows: i64) -> Step {
    let sql = format!(
        "INSERT INTO item SELECT i, 1, i % 1000 * 0.25, 'note ' || i, \
         CASE WHEN i % 5 = 0 THEN repeat(md5(i::text), 90) WHEN i % 3 = 0 THEN 'short' END \
         FROM generate_series({new}, {}) i",
        new + rows - 1
    );
    Step { sql, table: "item", ops: &['c'] }
}

fn is_shutdown(code: &tokio_postgres::error::SqlState) -> bool {
    let code = code.code();
    code.starts_with("57P") || code.starts_with("08") || code == "25P03"
}

async fn affected(client: &Client, sql: &str) -> Result<u64, Error> {
    let messages = client.simple_query(sql).await?;
    let rows = messages.iter().find_map(|message| match message {
        SimpleQueryMessage::CommandComplete(rows) => Some(*rows),
        _ => None,
    });
    Ok(rows.unwrap_or_default())
}
