//! The dead-letter topic's records: a copy, for people and tools, of what a projection parked.
//!
//! A copy is written before the sink's transaction that parks the record, so that a crash between
//! the two doubles the copy and never loses it; readers deduplicate by
//! (`__connect.errors.topic`, `.partition`, `.offset`). What is parked, and in which order, is the
//! sink's to know.
//!
//! Header names are Kafka Connect's, from `DeadLetterQueueReporter` (KIP-298).

use bytes::Bytes;
use cdc_model::{Header, Headers, LogRecord, Placement, Record, Topic};

/// Suffix of a topic's dead-letter topic.
pub const SUFFIX: &str = ".dlq";

/// Where in a projection's work a record failed; Connect's `stage`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Its bytes could not be decoded.
    ValueConverter,
    /// The sink cannot hold it.
    TaskPut,
}

impl Stage {
    fn as_str(self) -> &'static str {
        match self {
            Self::ValueConverter => "VALUE_CONVERTER",
            Self::TaskPut => "TASK_PUT",
        }
    }
}

/// Makes the dead-letter record of `record`: its bytes and headers unchanged, and why it failed.
pub fn dead_letter(projection: &str, record: &LogRecord, stage: Stage, reason: &str) -> Record {
    let text =
        |name: &'static str, value: String| Header { name: name.into(), value: Bytes::from(value) };
    let mut headers: Headers = record.headers.clone();
    headers.extend([
        text("__connect.errors.topic", record.source.topic.to_string()),
        text("__connect.errors.partition", record.source.partition.0.to_string()),
        text("__connect.errors.offset", record.offset.0.to_string()),
        text("__connect.errors.connector.name", projection.to_owned()),
        text("__connect.errors.task.id", "0".to_owned()),
        text("__connect.errors.stage", stage.as_str().to_owned()),
        text("__connect.errors.class.name", format!("penstock.sink.{projection}")),
        text("__connect.errors.exception.class.name", "penstock.Poison".to_owned()),
        text("__connect.errors.exception.message", reason.to_owned()),
        text("__connect.errors.exception.stacktrace", String::new()),
    ]);
    Record {
        topic: Topic::new(format!("{}{SUFFIX}", record.source.topic)),
        placement: if record.key.is_some() { Placement::ByKey } else { Placement::Fixed },
        key: record.key.clone(),
        value: record.value.clone(),
        headers,
        id: None,
    }
}
