//! How a snapshot begins: under the snapshot a new slot exports, or, after an interruption, under
//! one taken now.

use std::sync::Arc;
use std::time::Duration;

use cdc_model::{Lsn, Timestamp, Transaction};

use crate::catalog::{self, Table};
use crate::config::Config;
use crate::error::{Error, Halt};
use crate::guard::Guards;
use crate::position::StreamPosition;
use crate::relation::Resolver;
use crate::snapshot::Plan;
use crate::snapshot::key;
use crate::snapshot::progress::{Progress, Range, TableProgress};
use crate::snapshot::reader::Source;
use crate::snapshot::view::{View, Visibility};
use crate::sql::{self, Sql};
use crate::status::StatusHandle;
use crate::watch::HEARTBEAT_PREFIX;

/// Between two looks at how far the log is flushed.
const FLUSH_POLL: Duration = Duration::from_millis(20);
/// A lock that cannot be had in this time is retried from the start.
const LOCK_TIMEOUT: &str = "30s";
/// Rows of a table's sample by which it is cut into ranges.
const SAMPLE_ROWS: f64 = 2_000.0;
/// Ranges per reader, so that uneven ones even out.
const RANGES_PER_READER: usize = 4;

/// Sessions that share one snapshot, and what they found.
pub(crate) struct Begin<'a> {
    pub(crate) config: &'a Arc<Config>,
    pub(crate) guards: Guards,
    pub(crate) status: &'a StatusHandle,
    pub(crate) locks: Sql,
    pub(crate) tables: Vec<Table>,
}

impl<'a> Begin<'a> {
    /// Locks the tables against everything that is not MVCC-safe.
    pub(crate) async fn lock(
        config: &'a Arc<Config>,
        guards: Guards,
        status: &'a StatusHandle,
        relations: &[u32],
    ) -> Result<Self, Error> {
        let doing = "locking the tables";
        let locks = Sql::connect(&config.connect).await?;
        locks.execute(&format!("BEGIN; SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'"), doing).await?;
        let names: Vec<String> = catalog::tables(&locks, Some(relations))
            .await?
            .iter()
            .map(|table| sql::table(&table.name))
            .collect();
        if !names.is_empty() {
            let names = names.join(", ONLY ");
            locks.execute(&format!("LOCK TABLE ONLY {names} IN ACCESS SHARE MODE"), doing).await?;
        }
        // As they are now that nothing can change them.
        let tables = catalog::tables(&locks, Some(relations)).await?;
        Ok(Self { config, guards, status, locks, tables })
    }

    /// Begins the first snapshot, under the one the slot exported as `name`.
    pub(crate) async fn exported(self, name: &str, consistent: Lsn) -> Result<Plan, Error> {
        let first = self.reader().await?;
        import(&first, name).await?;
        let view = View { lsn: consistent, visibility: None };
        let progress = Progress { views: vec![view], tables: Vec::new() };
        let mut readers = vec![first];
        self.more_readers(name, &mut readers).await?;
        self.plan(progress, readers, consistent).await
    }

    /// Takes an interrupted snapshot up again, under a view taken now.
    pub(crate) async fn resumed(
        self,
        mut progress: Progress,
        consistent: Lsn,
    ) -> Result<Plan, Error> {
        let doing = "taking a snapshot";
        let first = self.reader().await?;
        // A standby shows a commit before it says that it has replayed it, so that no position
        // there is known to be past all that a view sees.
        if first.text("SELECT pg_is_in_recovery()", doing).await? == "t" {
            return Err(Halt::ServerIsStandby.into());
        }
        first.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", doing).await?;
        let seen = first.text("SELECT pg_current_snapshot()", doing).await?;
        let lsn = first.lsn("SELECT pg_current_wal_insert_lsn()", doing).await?;
        let name = first.text("SELECT pg_export_snapshot()", doing).await?;
        let mut readers = vec![first];
        self.more_readers(&name, &mut readers).await?;
        self.wait_for_flush(lsn).await?;
        let visibility = Some(Visibility::parse(&seen)?);
        progress.views.push(View { lsn, visibility });
        self.plan(progress, readers, consistent).await
    }

    async fn reader(&self) -> Result<Sql, Error> {
        let sql = Sql::connect(&self.config.connect).await?;
        if !self.guards.tables {
            // Policies then hide rows instead of raising an error.
            sql.execute("SET row_security = on", "preparing a reader").await?;
        }
        Ok(sql)
    }

    async fn more_readers(&self, name: &str, readers: &mut Vec<Sql>) -> Result<(), Error> {
        while readers.len() < self.config.snapshot_readers.max(1) {
            let reader = self.reader().await?;
            import(&reader, name).await?;
            readers.push(reader);
        }
        Ok(())
    }

    /// Waits until no crash of the server can undo what the snapshot sees.
    async fn wait_for_flush(&self, lsn: Lsn) -> Result<(), Error> {
        let doing = "waiting for the log to be flushed";
        let sql = Sql::connect(&self.config.connect).await?;
        // Its commit flushes the log.
        let emit = format!("SELECT pg_logical_emit_message(true, '{HEARTBEAT_PREFIX}', '')");
        sql.execute("SET synchronous_commit = local", doing).await?;
        sql.execute(&emit, doing).await?;
        while sql.lsn("SELECT pg_current_wal_flush_lsn()", doing).await? < lsn {
            tokio::time::sleep(FLUSH_POLL).await;
        }
        Ok(())
    }

    /// Works out what is left to read.
    async fn plan(
        self,
        mut progress: Progress,
        readers: Vec<Sql>,
        consistent: Lsn,
    ) -> Result<Plan, Error> {
        let mut resolver = Resolver::new(self.config.clone());
        let relations = resolver.resolve_tables(&self.tables).await?;
        let first = readers.first().ok_or(Error::Ended)?;
        let (started, next_xid) = moment(first).await?;
        let lsn = progress.views.last().map_or(consistent, |view| view.lsn);
        let mut sources = Vec::new();
        let mut needs_truncate = Vec::new();
        let mut preamble = vec![progress.views_entry()];
        // A table dropped meanwhile needs no snapshot.
        progress.tables.retain(|known| {
            let exists = self.tables.iter().any(|table| table.oid == known.relation);
            if !exists {
                preamble.push((known.entry().0, None));
            }
            exists
        });
        for (table, relation) in self.tables.iter().zip(relations) {
            let found = progress.tables.iter().position(|known| known.relation == table.oid);
            let index = found.unwrap_or(progress.tables.len());
            let mut truncate = false;
            let names = chunk_key(table, &relation.schema);
            match found.and_then(|index| progress.tables.get_mut(index)) {
                // Its ranges are of columns that have another name, or are not its key any more.
                Some(known) if known.key != names => {
                    truncate = known.chunks > 0;
                    let source = Source::new(index, table, relation.clone(), &names);
                    let ranges = self.ranges(first, table, &source, &names).await?;
                    let fresh = new_table(table, names, ranges);
                    *known = TableProgress { chunks: known.chunks, ..fresh };
                }
                Some(known) => {
                    truncate = known.is_torn;
                    if known.filenode != table.filenode {
                        truncate = known.chunks > 0;
                        known.restart(table.filenode);
                    }
                }
                None => {
                    let source = Source::new(index, table, relation.clone(), &names);
                    let ranges = self.ranges(first, table, &source, &names).await?;
                    progress.tables.push(new_table(table, names, ranges));
                }
            }
            let Some(known) = progress.tables.get(index) else { continue };
            preamble.push(known.entry());
            self.estimate(table);
            sources.push(Arc::new(Source::new(index, table, relation, &known.key)));
            needs_truncate.push(truncate);
        }
        let transaction = Transaction {
            id: next_xid,
            commit_lsn: lsn,
            previous_commit_lsn: None,
            committed_at: started,
        };
        Ok(Plan {
            progress,
            sources,
            needs_truncate,
            transaction: Arc::new(transaction),
            position: StreamPosition::between(consistent).encode(),
            preamble,
            locks: self.locks,
            readers,
        })
    }

    fn estimate(&self, table: &Table) {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an estimate")]
        let rows = table.rows_estimated.max(0.0) as u64;
        self.status.update(|status| {
            let known = status.tables.entry(table.name.clone()).or_default();
            known.snapshot.get_or_insert_default().rows_estimated = rows;
        });
    }

    /// Cuts a table into ranges of about as many rows, by a sample of its keys.
    async fn ranges(
        &self,
        first: &Sql,
        table: &Table,
        source: &Source,
        key: &[String],
    ) -> Result<Vec<Range>, Error> {
        let whole = vec![Range { until: None, segments: Vec::new() }];
        let readers = self.config.snapshot_readers.max(1);
        let rows = table.rows_estimated;
        #[expect(clippy::cast_precision_loss, reason = "a threshold")]
        let is_small = rows < (self.config.chunk_rows_max * readers) as f64;
        if key.is_empty() || readers == 1 || is_small {
            return Ok(whole);
        }
        let percent = (100.0 * SAMPLE_ROWS / rows).clamp(0.01, 100.0);
        let columns = source.key_columns();
        let query = format!(
            "SELECT {columns} FROM ONLY {} TABLESAMPLE SYSTEM ({percent}) REPEATABLE (0) \
             ORDER BY {columns}",
            sql::table(&table.name)
        );
        let sample = first.texts(&query, "sampling a table's keys").await?;
        let count = readers * RANGES_PER_READER;
        let mut ends: Vec<key::KeyText> = (1..count)
            .filter_map(|part| sample.get(sample.len() * part / count))
            .filter_map(|key| key.iter().cloned().collect())
            .collect();
        ends.dedup();
        let ends = ends.into_iter().map(Some).chain([None]);
        Ok(ends.map(|until| Range { until, segments: Vec::new() }).collect())
    }
}

fn new_table(table: &Table, key: Vec<String>, ranges: Vec<Range>) -> TableProgress {
    TableProgress {
        relation: table.oid,
        filenode: table.filenode,
        key,
        ranges,
        chunks: 0,
        rows: 0,
        is_torn: false,
    }
}

/// Returns the names of the columns whose ranges are the table's chunks: its replica identity's,
/// if we can compute their order; else none.
fn chunk_key(table: &Table, schema: &cdc_model::TableSchema) -> Vec<String> {
    let names: Option<Vec<String>> = table
        .key()
        .iter()
        .map(|number| {
            let column = table.column(*number)?;
            let index = schema.column_index(&column.name)?;
            let ty = &schema.columns.get(index)?.ty;
            key::is_ordered(ty, column).then(|| column.name.to_string())
        })
        .collect();
    names.unwrap_or_default()
}

/// Returns when the snapshot was taken, and the first transaction id that was not assigned then:
/// the one that Debezium gives its snapshot's rows, which assigns it.
async fn moment(first: &Sql) -> Result<(Timestamp, u64), Error> {
    let doing = "taking a snapshot";
    let started = "SELECT (extract(epoch FROM now()) * 1000000)::int8";
    let started = first.text(started, doing).await?;
    // As transactions in the log are known: without their epoch.
    let next = "SELECT pg_snapshot_xmax(pg_current_snapshot())::text::int8 & 4294967295";
    let next = first.text(next, doing).await?;
    Ok((Timestamp(started.parse().unwrap_or_default()), next.parse().unwrap_or_default()))
}

async fn import(sql: &Sql, name: &str) -> Result<(), Error> {
    let text = format!(
        "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET TRANSACTION SNAPSHOT {}",
        sql::literal(name)
    );
    sql.execute(&text, "importing a snapshot").await
}

/// The exported snapshot is missing from the server's answer.
pub(crate) fn snapshot_name(name: Option<String>) -> Result<String, Error> {
    let what = || Halt::CheckpointCorrupt { what: "the slot exported no snapshot".to_owned() };
    name.ok_or_else(|| what().into())
}
