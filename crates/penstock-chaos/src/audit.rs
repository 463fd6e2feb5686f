//! Whether anything was lost, doubled or put into another order.
//!
//! Once the writers have stopped, the pipeline runs to rest in this process; then these must agree:
//!
//! - what the writers saw committed, with what the oracle's slot tells, by table and operation;
//! - the changes in the log that were committed after `since`, with the oracle's: the same ones, in
//!   the same order, each once (before `since` a snapshot was at work, and a change may be in the
//!   log as a row read);
//! - the identities in the log: none twice, those of streamed changes increasing;
//! - the log folded by key, with the source;
//! - the warehouse with the source, row for row.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use cdc_model::{ChangeEvent, EventId, LogRecord, Lsn, Offset, Op, Record, TopicPartition, Value};
use cdc_pipeline::port::{Decode, DecodeError, Decoded, LogReader};
use penstock::pipeline::{self, Pipeline};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::child::PREFIX;
use crate::oracle::{self, Change, Counts, Truth};
use crate::report::grouped;
use crate::world::{COMPARED, World};

/// How long a pipeline may take to come to rest.
const REST_LIMIT: Duration = Duration::from_secs(300);

const QUERY_LIMIT: Duration = Duration::from_secs(60);

const ROWS_MAX: usize = 5_000_000;

/// What was compared.
#[derive(Debug, Default)]
pub(crate) struct Agreed {
    /// Records in the log.
    pub(crate) records: u64,
    /// Changes that were compared one by one with the oracle's.
    pub(crate) changes: u64,
    /// Rows that are equal in source and warehouse.
    pub(crate) rows: u64,
    /// Identities in the log by partition, in offset order.
    pub(crate) identities: BTreeMap<TopicPartition, Vec<String>>,
    rest: Duration,
}

impl fmt::Display for Agreed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (records, changes) = (grouped(self.records), grouped(self.changes));
        let (rows, rest) = (grouped(self.rows), self.rest.as_secs_f64());
        write!(
            f,
            "{records} records once and in order, {changes} changes as the oracle has them, \
             {rows} rows equal; at rest after {rest:.1} s"
        )
    }
}

/// A change in the log.
struct Logged {
    commit_lsn: Lsn,
    change: Change,
}

/// What the log holds, by table.
#[derive(Default)]
struct Logs {
    streamed: BTreeMap<String, Vec<Logged>>,
    folded: BTreeMap<String, Folded>,
    agreed: Agreed,
}

/// A table as the log leaves it: how often each row is there.
type Folded = BTreeMap<(i64, Option<i64>), i64>;

/// Runs the pipeline to rest and compares everything; `committed` is what the writers saw.
pub(crate) async fn audit(world: &World, since: Lsn, committed: &Counts) -> anyhow::Result<Agreed> {
    let started = Instant::now();
    world.postgres.sql("INSERT INTO marker SELECT count(*), 1 FROM marker").await;
    let truth = oracle::drain(&world.postgres).await?;
    compare_counts(committed, &oracle::count(&truth))?;
    let pipeline = pipeline::build(world.spec.config()?).await?;
    let shutdown = CancellationToken::new();
    let mut running = JoinSet::new();
    running.spawn(pipeline.clone().run(shutdown.clone()));
    let compared = tokio::select! {
        ended = running.join_next() => bail!("the pipeline ended: {ended:?}"),
        compared = compare(world, &pipeline, &truth, since) => compared,
    };
    let rest = started.elapsed();
    shutdown.cancel();
    running.join_next().await.context("the pipeline runs")???;
    Ok(Agreed { rest, ..compared? })
}

async fn compare(
    world: &World,
    pipeline: &Arc<Pipeline>,
    truth: &Truth,
    since: Lsn,
) -> anyhow::Result<Agreed> {
    come_to_rest(world, pipeline).await?;
    let mut logs = read(pipeline).await?;
    for (table, columns) in COMPARED {
        let source = source_rows(world, table, columns).await?;
        let folded = logs.folded.remove(table).unwrap_or_default();
        compare_fold(table, folded, &source)?;
        let warehouse = warehouse_rows(pipeline, table, columns).await?;
        compare_rows(table, &source, &warehouse)?;
        logs.agreed.rows += u64::try_from(source.len())?;
    }
    for table in COMPARED.map(|(table, _)| table) {
        let logged = logs.streamed.remove(table).unwrap_or_default();
        let expected = truth.get(table).map_or(&[][..], Vec::as_slice);
        logs.agreed.changes += compare_changes(table, &logged, expected, since)?;
    }
    Ok(logs.agreed)
}

/// Waits until the newest marker is in the warehouse, and all that the log then held.
async fn come_to_rest(world: &World, pipeline: &Arc<Pipeline>) -> anyhow::Result<()> {
    let newest = world.postgres.value("SELECT max(id) FROM marker").await;
    let deadline = Instant::now() + REST_LIMIT;
    loop {
        let sql = "SELECT max(id) FROM public_marker";
        let found = pipeline.query().query(sql, 1, QUERY_LIMIT).await;
        // The table may not be there yet.
        let found = found.ok().and_then(|table| table.rows.into_iter().flatten().next().flatten());
        if found.as_ref() == Some(&newest) && is_applied(pipeline).await? {
            return Ok(());
        }
        let state = (pipeline.capture_stats().state(), pipeline.project_stats().state());
        ensure!(Instant::now() < deadline, "marker {newest} but {found:?}, not at rest: {state:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn is_applied(pipeline: &Arc<Pipeline>) -> anyhow::Result<bool> {
    let applied = pipeline.project_stats().offsets();
    let topics = pipeline.log().reader().topics().await?;
    let ours = topics.iter().filter(|meta| meta.topic.as_str().starts_with(PREFIX));
    Ok(ours
        .flat_map(|meta| meta.topic_partitions().zip(&meta.partitions))
        .all(|(partition, (_, end))| applied.get(&partition).is_some_and(|next| next >= end)))
}

fn compare_counts(committed: &Counts, truth: &Counts) -> anyhow::Result<()> {
    let mut truth = truth.clone();
    truth.retain(|(table, _), _| table != "marker");
    let mut committed = committed.clone();
    committed.retain(|_, count| *count > 0);
    ensure!(committed == truth, "writers committed {committed:?}, the oracle has {truth:?}");
    Ok(())
}

/// Reads the whole log.
async fn read(pipeline: &Arc<Pipeline>) -> anyhow::Result<Logs> {
    let mut reader = pipeline.log().reader();
    let topics = reader.topics().await?;
    let ours = topics.iter().filter(|meta| meta.topic.as_str().starts_with(PREFIX));
    let mut ends: BTreeMap<TopicPartition, Offset> = BTreeMap::new();
    let mut from = Vec::new();
    for (partition, (first, end)) in
        ours.flat_map(|meta| meta.topic_partitions().zip(meta.partitions.clone()))
    {
        if first < end {
            ends.insert(partition.clone(), end);
        }
        from.push((partition, first));
    }
    reader.assign(from).await?;
    let mut decoder = pipeline.decoder();
    let mut logs = Logs::default();
    let mut seen = Seen::default();
    while !ends.is_empty() {
        let polled = tokio::time::timeout(QUERY_LIMIT, reader.poll(4 << 20)).await;
        let fetched = polled.with_context(|| format!("no more records before {ends:?}"))??;
        for record in &fetched.records {
            logs.agreed.records += 1;
            let identity = seen.check(record)?;
            logs.agreed.identities.entry(record.source.clone()).or_default().push(identity);
            loop {
                match decoder.decode(record) {
                    Ok(Decoded::Change(event) | Decoded::Moved(event)) => logs.take(&event)?,
                    Ok(Decoded::Skip) => {}
                    Err(DecodeError::UnknownSchema(id)) => {
                        decoder.learn(id).await?;
                        continue;
                    }
                    Err(DecodeError::Invalid(error)) => bail!(error),
                }
                break;
            }
        }
        for (partition, next) in fetched.next {
            if ends.get(&partition).is_some_and(|end| next >= *end) {
                ends.remove(&partition);
            }
        }
    }
    Ok(logs)
}

/// Identities met so far.
#[derive(Default)]
struct Seen {
    all: BTreeSet<(TopicPartition, String)>,
    last: BTreeMap<TopicPartition, (Lsn, u64, u64)>,
}

impl Seen {
    fn check(&mut self, record: &LogRecord) -> anyhow::Result<String> {
        let at = format!("{} at {}", record.source, record.offset.0);
        let id = record.header(Record::ID_HEADER).with_context(|| format!("{at}: no identity"))?;
        let id = String::from_utf8(id.to_vec())?;
        let is_new = self.all.insert((record.source.clone(), id.clone()));
        ensure!(is_new, "{at}: {id} a second time");
        if let Some(place) = streamed_place(&id) {
            let last = self.last.insert(record.source.clone(), place);
            ensure!(last.is_none_or(|last| last < place), "{at}: {id} comes after {last:?}");
        }
        Ok(id)
    }
}

/// Reads `<incarnation>:<commit LSN>:<seq>:<sub>`; a snapshot's row is none.
fn streamed_place(id: &str) -> Option<(Lsn, u64, u64)> {
    let mut parts = id.split(':').skip(1);
    let lsn = parts.next()?.parse().ok()?;
    Some((lsn, parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

impl Logs {
    fn take(&mut self, event: &ChangeEvent) -> anyhow::Result<()> {
        let name = event.table.name.table.to_string();
        let column = |row: Option<&[Value]>, name: &str| {
            let index = event.table.column_index(name)?;
            match row?.get(index)? {
                Value::Int64(value) => Some(*value),
                Value::Int32(value) => Some(i64::from(*value)),
                _ => None,
            }
        };
        let before = event.before.as_ref().map(|image| &image.row[..]);
        let after = event.after.as_deref();
        let row = if event.op == Op::Delete { before } else { after };
        let id = column(row, "id").unwrap_or_default();
        let v = column(after, "v");
        let op = event.op.code().chars().next().unwrap_or('?');
        if let EventId::Streamed { commit_lsn, .. } = event.id() {
            let change = Change { op, id, v };
            self.streamed.entry(name.clone()).or_default().push(Logged { commit_lsn, change });
        }
        let folded = self.folded.entry(name.clone()).or_default();
        match event.op {
            Op::Truncate => folded.clear(),
            Op::Delete if name == "keyless" => {
                let count = folded.entry((id, column(before, "v"))).or_default();
                *count -= 1;
                ensure!(*count >= 0, "{name}: a row with id {id} was deleted that is not there");
            }
            Op::Delete => forget(folded, id),
            Op::Update => {
                forget(folded, id);
                folded.insert((id, v), 1);
            }
            Op::Create | Op::Read => *folded.entry((id, v)).or_default() += 1,
        }
        Ok(())
    }
}

fn forget(folded: &mut Folded, id: i64) {
    let of_id: Vec<_> = folded.range((id, None)..=(id, Some(i64::MAX))).map(|(k, _)| *k).collect();
    for key in of_id {
        folded.remove(&key);
    }
}

fn compare_changes(
    table: &str,
    logged: &[Logged],
    expected: &[(Lsn, Change)],
    since: Lsn,
) -> anyhow::Result<u64> {
    let logged: Vec<_> = logged.iter().filter(|l| l.commit_lsn >= since).collect();
    let expected: Vec<_> = expected.iter().filter(|(end, _)| *end > since).collect();
    let same = logged.iter().zip(&expected).take_while(|(l, e)| l.change == e.1).count();
    let show = |change: Option<String>| change.unwrap_or_else(|| "nothing".to_owned());
    ensure!(
        same == logged.len() && same == expected.len(),
        "{table}: after {same} equal changes the log has {} ({} in all), the oracle {} ({})",
        show(logged.get(same).map(|l| format!("{:?} of {}", l.change, l.commit_lsn))),
        logged.len(),
        show(expected.get(same).map(|e| format!("{:?} of the commit before {}", e.1, e.0))),
        expected.len(),
    );
    Ok(u64::try_from(same)?)
}

type Rows = Vec<Vec<Option<String>>>;

fn compare_fold(table: &str, folded: Folded, source: &Rows) -> anyhow::Result<()> {
    let mut expected = Folded::new();
    for row in source {
        let number = |index: usize| row.get(index).cloned().flatten().and_then(|t| t.parse().ok());
        let id = number(0).with_context(|| format!("{table}: a row without id"))?;
        *expected.entry((id, number(1))).or_default() += 1;
    }
    let folded: Folded = folded.into_iter().filter(|(_, count)| *count > 0).collect();
    let (missing, extra) = differing(&expected, &folded);
    ensure!(
        folded == expected,
        "{table}: the log folded has {} rows and the source {}; only in the source {missing:?}, \
         only in the log {extra:?}",
        folded.len(),
        expected.len(),
    );
    Ok(())
}

type Few = Vec<((i64, Option<i64>), i64)>;

/// Returns some of what only one of two maps has.
fn differing(left: &Folded, right: &Folded) -> (Few, Few) {
    let only = |a: &Folded, b: &Folded| {
        a.iter().filter(|(k, n)| b.get(k) != Some(n)).map(|(k, n)| (*k, *n)).take(5).collect()
    };
    (only(left, right), only(right, left))
}

fn compare_rows(table: &str, source: &Rows, warehouse: &Rows) -> anyhow::Result<()> {
    let same = source.iter().zip(warehouse).take_while(|(a, b)| a == b).count();
    ensure!(
        source == warehouse,
        "{table}: the source has {} rows, the warehouse {}; at {same}: {:?} and {:?}",
        source.len(),
        warehouse.len(),
        source.get(same),
        warehouse.get(same),
    );
    Ok(())
}

async fn source_rows(world: &World, table: &str, columns: &str) -> anyhow::Result<Rows> {
    let mut rows = world.postgres.rows(&format!("SELECT {columns} FROM {table}")).await;
    rows.sort();
    Ok(rows)
}

async fn warehouse_rows(
    pipeline: &Arc<Pipeline>,
    table: &str,
    columns: &str,
) -> anyhow::Result<Rows> {
    let sql = format!("SELECT {columns} FROM public_{table}");
    let found = pipeline.query().query(&sql, ROWS_MAX, QUERY_LIMIT).await?;
    ensure!(!found.is_cut, "{table}: too many rows to compare");
    let mut rows = found.rows;
    rows.sort();
    Ok(rows)
}

#[cfg(test)]
mod tests;
