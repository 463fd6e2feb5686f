//! Read-only SQL on the warehouse while it is written.
//!
//! # What keeps it read-only
//! 1. DuckDB's own parser must find exactly one SELECT (`json_serialize_sql`, to which the text is
//!    a value: nothing of it runs), which calls no function from a list of those that reach beyond
//!    the query.
//! 2. It runs in a transaction that DuckDB was told is read-only, on a connection of its own, as a
//!    subquery.
//! 3. The instance has no access to files or the network, loads no extensions, and its settings are
//!    locked.
//!
//! It shares DuckDB's memory and threads with the writer: a query that takes all memory fails, and
//! the writer's apply may fail with it and is retried.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use duckdb::{Connection, InterruptHandle};
use serde_json::Value as Json;
use tokio::sync::oneshot;

use crate::error::Result;
use crate::warehouse::Warehouse;

/// Functions that run other statements, change the instance, or read memory by address.
const FORBIDDEN: [&str; 14] = [
    "arrow_scan",
    "arrow_scan_dumb",
    "check_peg_parser",
    "checkpoint",
    "disable_logging",
    "enable_logging",
    "force_checkpoint",
    "json_execute_serialized_sql",
    "pandas_scan",
    "query",
    "query_table",
    "truncate_duckdb_logs",
    "write_log",
    "getenv",
];

/// How often an interrupted query is interrupted again, in case it had only begun.
const INTERRUPT_AGAIN: Duration = Duration::from_millis(20);

/// A handle for read-only SQL. Cloning it is cheap.
#[derive(Debug, Clone)]
pub struct Query {
    warehouse: Arc<Warehouse>,
}

/// The result of a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Its columns.
    pub columns: Vec<QueryColumn>,
    /// Its rows; each value in DuckDB's text form, `None` for NULL.
    pub rows: Vec<Vec<Option<String>>>,
    /// Whether there were more rows than asked for.
    pub is_cut: bool,
}

/// A column of a result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueryColumn {
    /// Its name.
    pub name: String,
    /// Its type in DuckDB's spelling.
    pub ty: String,
}

/// Why a query brought nothing.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// It is not one read-only statement.
    #[error("only one SELECT may be asked: {why}")]
    Refused {
        /// What else it is.
        why: String,
    },
    /// DuckDB could not run it.
    #[error("{message}")]
    Failed {
        /// What DuckDB says about it.
        message: String,
    },
    /// It took too long.
    #[error("the query took longer than {} ms", limit.as_millis())]
    TimedOut {
        /// How long it might.
        limit: Duration,
    },
    /// The warehouse is closing or being reopened.
    #[error("the warehouse could not be read now")]
    Unavailable(#[source] Box<crate::Error>),
}

impl From<duckdb::Error> for QueryError {
    fn from(error: duckdb::Error) -> Self {
        Self::Failed { message: error.to_string() }
    }
}

/// Interrupts a query that nobody waits for any more.
struct Interrupt(Arc<InterruptHandle>);

impl Drop for Interrupt {
    fn drop(&mut self) {
        self.0.interrupt();
    }
}

impl Query {
    pub(crate) fn new(warehouse: Arc<Warehouse>) -> Self {
        Self { warehouse }
    }

    /// Runs one SELECT and returns up to `rows_max` rows. It sees what was committed when it began.
    ///
    /// # Errors
    /// See [`QueryError`].
    ///
    /// # Cancel safety
    /// Safe: a dropped call interrupts the query.
    pub async fn query(
        &self,
        sql: &str,
        rows_max: usize,
        limit: Duration,
    ) -> Result<Table, QueryError> {
        let access = Arc::clone(&self.warehouse.access);
        let slots = Arc::clone(&access.slots);
        let timed_out = || QueryError::TimedOut { limit };
        let Ok(permit) = tokio::time::timeout(limit, slots.acquire_owned()).await else {
            return Err(timed_out());
        };
        let sql = sql.to_owned();
        let (started, handle) = oneshot::channel();
        let mut task = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            access.read(
                |handle| drop(started.send(handle)),
                |connection| run(connection, &sql, rows_max),
            )
        });
        let finish = |joined: Result<Result<Result<_, _>>, tokio::task::JoinError>| match joined {
            Ok(Ok(result)) => result,
            Ok(Err(error)) => Err(QueryError::Unavailable(Box::new(error))),
            Err(error) => Err(QueryError::Failed { message: error.to_string() }),
        };
        let Ok(handle) = handle.await else { return finish(task.await) };
        let interrupt = Interrupt(handle);
        if let Ok(joined) = tokio::time::timeout(limit, &mut task).await {
            return finish(joined);
        }
        loop {
            interrupt.0.interrupt();
            if tokio::time::timeout(INTERRUPT_AGAIN, &mut task).await.is_ok() {
                return Err(timed_out());
            }
        }
    }

    /// Copies the warehouse, as of its last commit, to a file of its own at `path`, replacing one
    /// that is there. Nothing is applied meanwhile.
    ///
    /// # Errors
    /// Those of files and of DuckDB.
    pub async fn export(&self, path: impl AsRef<Path>) -> Result<()> {
        crate::sink::export(&self.warehouse, path.as_ref().to_owned()).await
    }
}

fn run(connection: &Connection, sql: &str, rows_max: usize) -> Result<Table, QueryError> {
    check(connection, sql)?;
    let sql = sql.trim_end().trim_end_matches(';');
    connection.execute_batch("BEGIN TRANSACTION READ ONLY")?;
    let mut describe = connection.prepare(&format!("DESCRIBE SELECT * FROM (\n{sql}\n)"))?;
    let columns = describe
        .query_map([], |row| Ok(QueryColumn { name: row.get(0)?, ty: row.get(1)? }))?
        .collect::<duckdb::Result<Vec<_>>>()?;
    let limit = rows_max.saturating_add(1);
    let sql = format!("SELECT CAST(COLUMNS(*) AS VARCHAR) FROM (\n{sql}\n) LIMIT {limit}");
    let mut statement = connection.prepare(&sql)?;
    let mut rows = statement
        .query_map([], |row| (0..columns.len()).map(|index| row.get(index)).collect())?
        .collect::<duckdb::Result<Vec<Vec<Option<String>>>>>()?;
    let is_cut = rows.len() > rows_max;
    rows.truncate(rows_max);
    Ok(Table { columns, rows, is_cut })
}

/// Refuses everything but one SELECT without forbidden functions.
fn check(connection: &Connection, sql: &str) -> Result<(), QueryError> {
    let refused = |why: &str| QueryError::Refused { why: why.to_owned() };
    let parsed: String = connection.query_row(
        "SELECT CAST(json_serialize_sql(CAST(? AS VARCHAR)) AS VARCHAR)",
        [sql],
        |row| row.get(0),
    )?;
    let parsed: Json =
        serde_json::from_str(&parsed).map_err(|_| refused("it is nested too deeply"))?;
    if parsed.get("error") != Some(&Json::Bool(false)) {
        let message = parsed.get("error_message").and_then(Json::as_str).unwrap_or_default();
        return Err(match parsed.get("error_type").and_then(Json::as_str) {
            Some("not implemented") => refused("this is another statement"),
            _ => QueryError::Failed { message: message.to_owned() },
        });
    }
    match parsed.get("statements").and_then(Json::as_array).map(Vec::len) {
        Some(1) => {}
        _ => return Err(refused("there are several statements")),
    }
    match forbidden(&parsed) {
        None => Ok(()),
        Some(name) => Err(QueryError::Refused { why: format!("it calls {name}") }),
    }
}

/// Returns the first forbidden function called anywhere in a parsed statement.
fn forbidden(node: &Json) -> Option<&'static str> {
    match node {
        Json::Object(fields) => fields.iter().find_map(|(key, value)| match value {
            Json::String(name) if key == "function_name" => {
                FORBIDDEN.into_iter().find(|forbidden| name.eq_ignore_ascii_case(forbidden))
            }
            _ => forbidden(value),
        }),
        Json::Array(items) => items.iter().find_map(forbidden),
        _ => None,
    }
}
