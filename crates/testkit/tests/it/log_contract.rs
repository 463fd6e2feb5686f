//! The in-memory event log, with one and with three partitions.

use cdc_model::Topic;
use testkit::contract::log::LogFixture;
use testkit::memory::{MemoryLog, MemoryReader, MemoryWriter};

struct Fixture(MemoryLog);

impl LogFixture for Fixture {
    type Writer = MemoryWriter;
    type Reader = MemoryReader;

    async fn writer(&self, pipeline: &str) -> MemoryWriter {
        self.0.writer(pipeline)
    }

    async fn reader(&self) -> MemoryReader {
        self.0.reader()
    }

    fn topic(&self, name: &str) -> Topic {
        Topic::new(name)
    }
}

async fn fixture(partitions: usize) -> Fixture {
    tokio::task::yield_now().await;
    Fixture(MemoryLog::new(partitions))
}

mod one_partition {
    testkit::log_contract!(super::fixture(1));
}

mod three_partitions {
    testkit::log_contract!(super::fixture(3));
}
