//! The in-memory projection: exclusive, and shared.

use cdc_model::{TableSchema, Value};
use testkit::contract::sink::SinkFixture;
use testkit::memory::{MemorySink, MemoryStore};

#[derive(Default)]
struct Fixture(MemoryStore);

impl SinkFixture for Fixture {
    type Sink = MemorySink;

    async fn open(&self) -> MemorySink {
        self.0.sink()
    }

    async fn rows(&self, _: &mut MemorySink, table: &TableSchema) -> Vec<Vec<Option<String>>> {
        let rows = self.0.rows().remove(&table.name).unwrap_or_default();
        let text = |value: &Value| match value {
            Value::Int64(n) => n.to_string(),
            Value::Int32(n) => n.to_string(),
            Value::Text(text) => text.as_str().to_owned(),
            other => unreachable!("no such value in the suite: {other:?}"),
        };
        let columns = |row: testkit::memory::sink::StoredRow| {
            table.columns.iter().map(|c| row.get(&c.name).map(text)).collect()
        };
        let mut rows: Vec<Vec<Option<String>>> = rows.into_iter().map(columns).collect();
        rows.sort();
        rows
    }
}

mod exclusive {
    testkit::sink_contract!(async { super::Fixture::default() });
}

mod shared {
    use testkit::memory::MemoryStore;

    testkit::shared_sink_contract!(async { super::Fixture(MemoryStore::shared()) });
}
