//! The suite that every sink passes, but for one law: an update that leaves out a column of a row
//! never seen is recorded as it was sent; the fold refuses it (`entries`).

use cdc_model::TableSchema;
use cdc_sink_audit::{AuditSink, Entry};
use serde_json::Value as Json;
use tempfile::TempDir;
use testkit::contract::sink::SinkFixture;

use crate::world::config;

struct Fixture(TempDir);

impl SinkFixture for Fixture {
    type Sink = AuditSink;

    async fn open(&self) -> AuditSink {
        AuditSink::open(self.0.path(), config()).await.unwrap()
    }

    async fn rows(&self, sink: &mut AuditSink, table: &TableSchema) -> Vec<Vec<Option<String>>> {
        let text = |value: &Json| match value {
            Json::Null => None,
            Json::String(text) => Some(text.clone()),
            other => Some(other.to_string()),
        };
        let columns = |row: &Entry| table.columns.iter().map(|c| text(&row[&*c.name])).collect();
        let rows = sink.query_handle().rows(&table.name, 10_000).await.unwrap();
        let mut rows: Vec<Vec<_>> = rows.iter().map(columns).collect();
        rows.sort();
        rows
    }
}

testkit::sink_contract!(@every async { Fixture(tempfile::tempdir().unwrap()) });
testkit::sink_contract!(@exclusive async { Fixture(tempfile::tempdir().unwrap()) });
