//! The suite that every sink passes.

use cdc_model::TableSchema;
use cdc_sink_search::{Row, SearchError, SearchSink};
use serde_json::Value as Json;
use tempfile::TempDir;
use testkit::contract::sink::SinkFixture;

use crate::world::config;

struct Fixture(TempDir);

impl SinkFixture for Fixture {
    type Sink = SearchSink;

    async fn open(&self) -> SearchSink {
        SearchSink::open(self.0.path(), config()).await.unwrap()
    }

    async fn rows(&self, sink: &mut SearchSink, table: &TableSchema) -> Vec<Vec<Option<String>>> {
        let text = |value: &Json| match value {
            Json::Null => None,
            Json::String(text) => Some(text.clone()),
            other => Some(other.to_string()),
        };
        let columns = |row: &Row| table.columns.iter().map(|c| text(&row[&*c.name])).collect();
        let rows = match sink.query_handle().rows(&table.name.to_string(), 10_000).await {
            Ok(rows) => rows,
            Err(SearchError::UnknownTable { .. }) => Vec::new(),
            Err(error) => panic!("{error}"),
        };
        let mut rows: Vec<Vec<_>> = rows.iter().map(columns).collect();
        rows.sort();
        rows
    }
}

testkit::sink_contract!(async { Fixture(tempfile::tempdir().unwrap()) });
