//! The suite that every sink passes.

use std::time::Duration;

use cdc_model::TableSchema;
use cdc_sink_duckdb::{DuckDbSink, QueryError};
use tempfile::TempDir;
use testkit::contract::sink::SinkFixture;

use crate::world::config;

struct Fixture(TempDir);

impl SinkFixture for Fixture {
    type Sink = DuckDbSink;

    async fn open(&self) -> DuckDbSink {
        DuckDbSink::open(self.0.path().join("w.duckdb"), config()).await.unwrap()
    }

    async fn rows(&self, sink: &mut DuckDbSink, table: &TableSchema) -> Vec<Vec<Option<String>>> {
        let columns: Vec<_> = table.columns.iter().map(|c| format!("\"{}\"", c.name)).collect();
        let name = format!("{}_{}", table.name.schema, table.name.table);
        let sql = format!("SELECT {} FROM {name} ORDER BY ALL", columns.join(", "));
        match sink.query_handle().query(&sql, 10_000, Duration::from_secs(30)).await {
            Ok(table) => table.rows,
            Err(QueryError::Failed { message }) if message.contains("does not exist") => Vec::new(),
            Err(error) => panic!("{error}"),
        }
    }
}

testkit::sink_contract!(async { Fixture(tempfile::tempdir().unwrap()) });
