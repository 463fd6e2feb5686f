//! The Kafka event log: makes writers and readers.

use std::sync::Arc;

use crate::{KafkaConfig, KafkaMember, KafkaReader, KafkaWriter, Result};

/// An event log on a Kafka cluster. Cheap to clone; holds no connection.
#[derive(Debug, Clone)]
pub struct KafkaLog {
    config: Arc<KafkaConfig>,
}

impl KafkaLog {
    /// Makes a log with these settings. Does not connect.
    ///
    /// # Errors
    /// Fatal if a setting is unknown, invalid, or carries a guarantee of ours.
    pub fn new(config: KafkaConfig) -> Result<Self> {
        config.check()?;
        Ok(Self { config: Arc::new(config) })
    }

    /// Returns a writer for `pipeline`, to be opened before use. The records' identities begin
    /// with `incarnation`, which names the source as it is now.
    pub fn writer(&self, pipeline: &str, incarnation: &str) -> KafkaWriter {
        KafkaWriter::new(Arc::clone(&self.config), pipeline, incarnation)
    }

    /// Returns a reader with nothing assigned.
    pub fn reader(&self) -> KafkaReader {
        KafkaReader::new(Arc::clone(&self.config))
    }

    /// Returns a seat in the consumer group `group`, for one of several replicas of a projection that
    /// follow the topics whose names begin with `prefix`. It joins when it is first asked.
    ///
    /// With an `instance`, which no other replica has at the same time, a replica that ends and comes
    /// back within `session.timeout.ms` finds its partitions waiting.
    pub fn member(&self, group: &str, instance: Option<&str>, prefix: &str) -> KafkaMember {
        KafkaMember::new(Arc::clone(&self.config), group, instance, prefix)
    }
}
