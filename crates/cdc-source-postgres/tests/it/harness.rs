//! A log and a projection in memory, and a source over a real server: what a test drives.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use cdc_model::{ChangeEvent, EventId, LogicalMessage, Op, Row, TableSchema, Value};
use cdc_pipeline::error::Classify as _;
use cdc_pipeline::port::{
    Acknowledge as _, ChangeBatch, ChangeStream as _, Checkpoint, CheckpointUpdate, Opened,
    Source as _, StreamItem,
};
use cdc_source_postgres::{
    Config, Error, Guards, PostgresAcknowledger, PostgresSource, PostgresStream, value,
};
pub(crate) use testkit::server::postgres::{Postgres, Version};

/// Longer than anything a test waits for.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// A row as the server prints it; `None` is NULL.
pub(crate) type Texts = Vec<Option<String>>;

/// What is durable: the checkpoint, and the fold of everything emitted.
#[derive(Default)]
pub(crate) struct Log {
    pub(crate) checkpoint: Option<Checkpoint>,
    pub(crate) tables: BTreeMap<String, Table>,
    pub(crate) events: Vec<ChangeEvent>,
    pub(crate) messages: Vec<LogicalMessage>,
    pub(crate) schemas: Vec<std::sync::Arc<TableSchema>>,
    ids: BTreeSet<EventId>,
    /// Largest batch, in items.
    pub(crate) batch_items_max: usize,
}

/// A projection's table.
#[derive(Debug, Default, Clone, PartialEq)]
pub(crate) struct Table {
    rows: Vec<Texts>,
    keyed: BTreeMap<Texts, Texts>,
}

impl Table {
    /// Returns all rows, sorted.
    pub(crate) fn rows(&self) -> Vec<Texts> {
        let mut rows: Vec<Texts> = self.rows.iter().chain(self.keyed.values()).cloned().collect();
        rows.sort();
        rows
    }
}

/// A session: a stream that is open, and its acknowledger.
pub(crate) struct Session {
    /// Kept as the pipeline keeps it.
    _source: PostgresSource,
    pub(crate) stream: PostgresStream,
    pub(crate) acknowledger: PostgresAcknowledger,
}

/// Settings for a test: small chunks, quick timers.
pub(crate) fn config(server: &Postgres, tables: &str) -> Config {
    let connect = server.dsn("postgres").parse().unwrap();
    let mut config =
        Config::new(connect, "penstock_test", "penstock_test", tables.parse().unwrap());
    config.chunk_rows_max = 100;
    config.heartbeat_interval = Duration::ZERO;
    config.idle_interval = Duration::from_millis(50);
    config.guard_interval = Duration::from_millis(100);
    config
}

/// Opens a source from where `log` stands.
pub(crate) async fn open(config: &Config, log: &mut Log) -> Result<Session, Error> {
    open_with(config, Guards::all(), log).await
}

/// Opens a source without some of its checks.
pub(crate) async fn open_with(
    config: &Config,
    guards: Guards,
    log: &mut Log,
) -> Result<Session, Error> {
    let mut source = PostgresSource::with_guards(config.clone(), guards);
    source.acquire().await?;
    loop {
        match source.open(log.checkpoint.as_ref()).await? {
            Opened::Mark(update) => log.update(update),
            Opened::Ready(stream, acknowledger) => {
                return Ok(Session { _source: source, stream, acknowledger });
            }
        }
    }
}

impl Session {
    /// Takes one batch into the log and acknowledges it.
    pub(crate) async fn step(&mut self, log: &mut Log) -> Result<(), Error> {
        let batch =
            tokio::time::timeout(LIMIT, self.stream.next()).await.expect("a batch in time")?;
        log.append(batch);
        if let Some(position) = log.checkpoint.as_ref().and_then(|c| c.position.as_ref()) {
            self.acknowledger.acknowledge(position);
        }
        Ok(())
    }

    /// Takes batches until `is_done`.
    pub(crate) async fn until(&mut self, log: &mut Log, mut is_done: impl FnMut(&Log) -> bool) {
        tokio::time::timeout(LIMIT, async {
            while !is_done(log) {
                self.step(log).await.unwrap();
            }
        })
        .await
        .expect("the condition in time");
    }

    /// Takes batches until everything committed so far has arrived.
    pub(crate) async fn catch_up(&mut self, server: &Postgres, log: &mut Log) {
        static MARKS: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
        let mark = MARKS.fetch_add(1, std::sync::atomic::Ordering::Relaxed).to_string();
        server.sql(&format!("SELECT pg_logical_emit_message(true, 'test', '{mark}')")).await;
        self.until(log, |log| log.messages.iter().any(|m| m.content == mark.as_bytes())).await;
    }

    /// Takes batches until the stream fails, and returns the halt's code.
    pub(crate) async fn halt(&mut self, log: &mut Log) -> &'static str {
        tokio::time::timeout(LIMIT, async {
            loop {
                if let Err(error) = self.step(log).await {
                    return code(&error);
                }
            }
        })
        .await
        .expect("a halt in time")
    }
}

/// Returns the code of a halt, which always has a remedy.
pub(crate) fn code(error: &Error) -> &'static str {
    assert!(error.remedy().is_some_and(|text| !text.is_empty()), "{error:?}");
    error.code().unwrap_or_else(|| panic!("no code: {error:?}"))
}

impl Log {
    fn update(&mut self, mut update: CheckpointUpdate) {
        let checkpoint = self.checkpoint.get_or_insert_default();
        update.sequence = checkpoint.sequence + 1;
        checkpoint.apply(&update);
    }

    /// Appends a batch atomically.
    pub(crate) fn append(&mut self, batch: ChangeBatch) {
        self.batch_items_max = self.batch_items_max.max(batch.items.len());
        for item in batch.items {
            match item {
                StreamItem::Change(event) => self.change(event),
                StreamItem::Message(message) => self.messages.push(message),
                StreamItem::Schema(schema) => self.schemas.push(schema),
            }
        }
        self.update(CheckpointUpdate {
            sequence: 0,
            position: batch.position,
            entries: batch.entries,
        });
    }

    fn change(&mut self, event: ChangeEvent) {
        assert!(self.ids.insert(event.id()), "doubled: {} {event:?}", event.id());
        let name = event.table.name.to_string();
        assert!(self.schemas.contains(&event.table), "no schema before its first row: {name}");
        let table = self.tables.entry(name).or_default();
        if event.op == Op::Truncate {
            *table = Table::default();
        }
        let key = |row: &Row| -> Texts { event.table.key.iter().map(|i| text(&row[*i])).collect() };
        let old = event.before.as_ref().map(|image| &image.row).or(event.after.as_ref());
        if event.table.has_key() {
            let known = old.and_then(|row| table.keyed.remove(&key(row)));
            if let Some(after) = &event.after {
                table.keyed.insert(key(after), merge(after, known));
            }
        } else {
            if let Some(before) = &event.before {
                let before: Texts = before.row.iter().map(text).collect();
                let at = table.rows.iter().position(|row| *row == before);
                table.rows.swap_remove(at.expect("a delete of a row that is there"));
            }
            table.rows.extend(event.after.as_ref().map(|row| merge(row, None)));
        }
        self.events.push(event);
    }

    /// Asserts that a table's projection equals the server's.
    #[track_caller]
    pub(crate) fn assert_equals(&self, table: &str, mut expected: Vec<Texts>) {
        expected.sort();
        let found = self.tables.get(table).cloned().unwrap_or_default().rows();
        if found != expected {
            let (here, there): (BTreeSet<_>, BTreeSet<_>) =
                (found.iter().collect(), expected.iter().collect());
            let missing: Vec<_> = there.difference(&here).take(5).collect();
            let extra: Vec<_> = here.difference(&there).take(5).collect();
            let (found, expected) = (found.len(), expected.len());
            panic!(
                "{table}: {found} rows, expected {expected}; missing {missing:?}, extra {extra:?}"
            );
        }
    }
}

/// Fills in columns that the server did not send.
fn merge(row: &Row, known: Option<Texts>) -> Texts {
    let fill = |(index, value): (usize, &Value)| match (value, &known) {
        (Value::Unchanged, Some(known)) => known[index].clone(),
        (Value::Unchanged, None) => panic!("an unchanged column of a row nobody has"),
        (value, _) => text(value),
    };
    row.iter().enumerate().map(fill).collect()
}

/// Returns a value as the server prints it.
pub(crate) fn text(value: &Value) -> Option<String> {
    (!matches!(value, Value::Null)).then(|| value::text(value))
}

/// Sets up a table `t(id, v)` with `rows` rows.
pub(crate) async fn table(server: &Postgres, rows: u32) {
    server
        .sql(&format!(
            "CREATE TABLE t (id int PRIMARY KEY, v text);
             INSERT INTO t SELECT i, 'row ' || i FROM generate_series(1, {rows}) i;
             ANALYZE t"
        ))
        .await;
}
