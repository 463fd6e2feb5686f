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
//! - each projection with the source, row for row.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use cdc_model::{
    ChangeEvent, EventId, LogRecord, Lsn, Offset, Op, Record, TableName, TopicPartition, Value,
};
use cdc_pipeline::port::{Decode, DecodeError, Decoded, LogReader};
use cdc_pipeline::stats::LoopStats;
use cdc_runtime::Log;
use penstock::pipeline;
use projector::Projector;
use serde_json::{Map, Value as Json};
use testkit::server::postgres::Postgres;
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
    /// Rows that are equal in the source and each projection.
    pub(crate) rows: u64,
    /// Projections compared.
    pub(crate) copies: u32,
    /// Identities in the log by partition, in offset order.
    pub(crate) identities: BTreeMap<TopicPartition, Vec<String>>,
    pub(crate) rest: Duration,
}

impl fmt::Display for Agreed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (records, changes) = (grouped(self.records), grouped(self.changes));
        let (rows, rest) = (grouped(self.rows), self.rest.as_secs_f64());
        let copies = self.copies;
        write!(
            f,
            "{records} records once and in order, {changes} changes as the oracle has them, \
             {rows} rows equal in {copies} projections; at rest after {rest:.1} s"
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

/// What is compared.
pub(crate) struct Ground<'a> {
    /// The source.
    pub(crate) postgres: &'a Postgres,
    /// The log.
    pub(crate) log: Log,
    /// The projections, which somebody runs.
    pub(crate) projector: Arc<Projector>,
}

/// Runs the pipeline to rest and compares everything; `committed` is what the writers saw.
pub(crate) async fn audit(world: &World, since: Lsn, committed: &Counts) -> anyhow::Result<Agreed> {
    let started = Instant::now();
    world.postgres.sql("INSERT INTO marker SELECT count(*), 1 FROM marker").await;
    let truth = oracle::drain(&world.postgres).await?;
    compare_counts(committed, &oracle::count(&truth))?;
    let pipeline = pipeline::build(world.spec.config()?).await?;
    let ground = Ground {
        postgres: &world.postgres,
        log: pipeline.log().clone(),
        projector: pipeline.projector().clone(),
    };
    let shutdown = CancellationToken::new();
    let mut running = JoinSet::new();
    running.spawn(pipeline.clone().run(shutdown.clone()));
    let compared = tokio::select! {
        ended = running.join_next() => bail!("the pipeline ended: {ended:?}"),
        compared = ground.compare(&truth, since) => compared,
    };
    let rest = started.elapsed();
    shutdown.cancel();
    running.join_next().await.context("the pipeline runs")???;
    Ok(Agreed { rest, ..compared? })
}

impl Ground<'_> {
    /// Waits until everything has arrived everywhere, then compares.
    pub(crate) async fn compare(&self, truth: &Truth, since: Lsn) -> anyhow::Result<Agreed> {
        self.come_to_rest().await?;
        let mut logs = self.read().await?;
        for (table, columns) in COMPARED {
            let source = self.source_rows(table, columns).await?;
            let folded = logs.folded.remove(table).unwrap_or_default();
            compare_fold(table, folded, &source)?;
            compare_rows(table, &source, &self.warehouse_rows(table, columns).await?)?;
            logs.agreed.rows += u64::try_from(source.len())?;
            logs.agreed.copies = 1 + self.compare_documents(table, columns).await?;
        }
        for table in COMPARED.map(|(table, _)| table) {
            let logged = logs.streamed.remove(table).unwrap_or_default();
            let expected = truth.get(table).map_or(&[][..], Vec::as_slice);
            logs.agreed.changes += compare_changes(table, &logged, expected, since)?;
        }
        Ok(logs.agreed)
    }

    /// Waits until the newest marker is in the warehouse, and all that the log then held in each
    /// projection.
    async fn come_to_rest(&self) -> anyhow::Result<()> {
        let newest = self.postgres.value("SELECT max(id) FROM marker").await;
        let query = self.projector.query().context("there is a warehouse")?;
        let deadline = Instant::now() + REST_LIMIT;
        loop {
            let sql = "SELECT max(id) FROM public_marker";
            let found = query.query(sql, 1, QUERY_LIMIT).await;
            // The table may not be there yet.
            let found =
                found.ok().and_then(|table| table.rows.into_iter().flatten().next().flatten());
            if found.as_ref() == Some(&newest) && self.is_applied().await? {
                return Ok(());
            }
            let states: Vec<_> = self.stats().map(|(name, stats)| (name, stats.state())).collect();
            ensure!(
                Instant::now() < deadline,
                "marker {newest} but {found:?}, not at rest: {states:?}"
            );
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    fn stats(&self) -> impl Iterator<Item = (&'static str, &Arc<LoopStats>)> {
        let names = [projector::DUCKDB.0, projector::SEARCH.0, projector::AUDIT.0];
        names.into_iter().filter_map(|name| Some((name, self.projector.stats(name)?)))
    }

    async fn is_applied(&self) -> anyhow::Result<bool> {
        let topics = self.log.reader().topics().await?;
        let ours = topics.iter().filter(|meta| meta.topic.as_str().starts_with(PREFIX));
        let ends: Vec<_> =
            ours.flat_map(|meta| meta.topic_partitions().zip(&meta.partitions)).collect();
        Ok(self.stats().all(|(_, stats)| {
            let applied = stats.offsets();
            ends.iter()
                .all(|(partition, (_, end))| applied.get(partition).is_some_and(|next| next >= end))
        }))
    }

    async fn source_rows(&self, table: &str, columns: &str) -> anyhow::Result<Rows> {
        let mut rows = self.postgres.rows(&format!("SELECT {columns} FROM {table}")).await;
        rows.sort();
        Ok(rows)
    }

    async fn warehouse_rows(&self, table: &str, columns: &str) -> anyhow::Result<Rows> {
        let sql = format!("SELECT {columns} FROM public_{table}");
        let query = self.projector.query().context("there is a warehouse")?;
        let found = query.query(&sql, ROWS_MAX, QUERY_LIMIT).await?;
        ensure!(!found.is_cut, "{table}: too many rows to compare");
        let mut rows = found.rows;
        rows.sort();
        Ok(rows)
    }

    /// Compares the index and the audit log, where they are kept; returns how many there are.
    async fn compare_documents(&self, table: &str, columns: &str) -> anyhow::Result<u32> {
        let names: Vec<&str> = columns.split(", ").map(plain_column).collect();
        let mut count = 0;
        if let Some(search) = self.projector.search() {
            let source = self.source_rows(table, &names.join(", ")).await?;
            let rows = search.rows(&format!("public.{table}"), ROWS_MAX).await?;
            compare_rows(table, &source, &texts(&names, &rows)).context("the index")?;
            count += 1;
        }
        if let Some(audit) = self.projector.audit() {
            let source = self.source_rows(table, &names.join(", ")).await?;
            let rows = audit.rows(&TableName::new("public", table), ROWS_MAX).await?;
            compare_rows(table, &source, &texts(&names, &rows)).context("the audit log")?;
            ensure!(audit.verify().await?.is_intact(), "the audit log is not whole");
            count += 1;
        }
        Ok(count)
    }

    /// Reads the whole log.
    async fn read(&self) -> anyhow::Result<Logs> {
        let mut reader = self.log.reader();
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
        let mut decoder = self.projector.decoder();
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
}

/// Returns the column that an expression shows: `big` of `md5(big)`.
fn plain_column(expression: &str) -> &str {
    let inner = expression.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')'));
    inner.unwrap_or(expression)
}

/// Returns documents as rows of texts, sorted.
fn texts(names: &[&str], documents: &[Map<String, Json>]) -> Rows {
    let text = |value: &Json| match value {
        Json::Null => None,
        Json::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    };
    let row = |document: &Map<String, Json>| {
        names.iter().map(|name| document.get(*name).and_then(text)).collect()
    };
    let mut rows: Rows = documents.iter().map(row).collect();
    rows.sort();
    rows
}

pub(crate) fn compare_counts(committed: &Counts, truth: &Counts) -> anyhow::Result<()> {
    let mut truth = truth.clone();
    truth.retain(|(table, _), _| table != "marker");
    let mut committed = committed.clone();
    committed.retain(|_, count| *count > 0);
    ensure!(committed == truth, "writers committed {committed:?}, the oracle has {truth:?}");
    Ok(())
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

#[cfg(test)]
mod tests;
