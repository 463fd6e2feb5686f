//! The contract of event logs, with one and with three partitions.

use cdc_log_local::{LocalLog, LocalLogConfig, LocalReader, LocalWriter};
use cdc_model::Topic;
use tempfile::TempDir;
use testkit::contract::log::LogFixture;

use crate::support::config;

struct Fixture {
    log: LocalLog,
    _dir: TempDir,
}

impl LogFixture for Fixture {
    type Writer = LocalWriter;
    type Reader = LocalReader;

    async fn writer(&self, pipeline: &str) -> LocalWriter {
        self.log.writer(pipeline, "incarnation")
    }

    async fn reader(&self) -> LocalReader {
        self.log.reader()
    }

    fn topic(&self, name: &str) -> Topic {
        Topic::new(name)
    }
}

async fn fixture(config: LocalLogConfig) -> Fixture {
    tokio::task::yield_now().await;
    let dir = tempfile::tempdir().unwrap();
    Fixture { log: LocalLog::open(dir.path(), config).unwrap(), _dir: dir }
}

mod one_partition {
    testkit::log_contract!(super::fixture(super::config()));
}

mod three_partitions {
    use super::{LocalLogConfig, config};
    testkit::log_contract!(super::fixture(LocalLogConfig { partitions: 3, ..config() }));
}

/// Every append begins a new segment, so that each law meets their borders.
mod tiny_segments {
    use super::{LocalLogConfig, config};
    testkit::log_contract!(super::fixture(LocalLogConfig { segment_bytes: 1, ..config() }));
}
