//! The contract that every event log keeps, with one partition and with three.

use cdc_log_kafka::{KafkaLog, KafkaReader, KafkaWriter};
use cdc_model::Topic;
use testkit::contract::log::LogFixture;
use testkit::server::kafka::Kafka;

use crate::support::{config, unique};

struct Fixture {
    log: KafkaLog,
    suffix: String,
}

impl LogFixture for Fixture {
    type Writer = KafkaWriter;
    type Reader = KafkaReader;

    async fn writer(&self, pipeline: &str) -> KafkaWriter {
        self.log.writer(&format!("{pipeline}{}", self.suffix), "7-shop-slot")
    }

    async fn reader(&self) -> KafkaReader {
        self.log.reader()
    }

    fn topic(&self, name: &str) -> Topic {
        Topic::new(format!("{name}{}", self.suffix))
    }
}

async fn fixture(partitions: i32) -> Fixture {
    let kafka = Kafka::shared().await;
    let log = KafkaLog::new(cdc_log_kafka::KafkaConfig { partitions, ..config(kafka) }).unwrap();
    Fixture { log, suffix: unique("") }
}

mod one_partition {
    testkit::log_contract!(super::fixture(1));
}

mod three_partitions {
    testkit::log_contract!(super::fixture(3));
}
