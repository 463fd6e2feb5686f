//! What can go wrong between us and Kafka.

use std::io;
use std::sync::Arc;

use cdc_model::{Offset, Topic, TopicId, TopicPartition};
use cdc_pipeline::{Classify, ErrorClass};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode as Code;

use crate::code::{Kind, kind};
use crate::config::is_secret;

/// An error of the Kafka event log.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A setting cannot be used.
    #[error("kafka property \"{name}\" {reason}")]
    Property {
        /// The property.
        name: String,
        /// Why not.
        reason: String,
    },
    /// No broker answered.
    #[error("kafka at {servers} could not be reached")]
    Unreachable {
        /// The addresses tried.
        servers: String,
        /// Why the last of them failed.
        #[source]
        source: io::Error,
    },
    /// The broker does not accept who we say we are.
    #[error("kafka at {servers} refused the login: {reason}")]
    Authentication {
        /// The addresses tried.
        servers: String,
        /// What it said.
        reason: String,
    },
    /// We may not do this.
    #[error("kafka does not allow {action} on {resource}")]
    Authorization {
        /// What was tried.
        action: &'static str,
        /// On what.
        resource: String,
    },
    /// A record is larger than its topic, or we, allow.
    #[error(
        "a record for topic \"{topic}\" is larger than max.message.bytes allows ({limit} bytes here)"
    )]
    TooLarge {
        /// The topic.
        topic: String,
        /// Our own limit, in bytes; the topic's may be smaller.
        limit: u32,
    },
    /// An offset to read from is not held.
    #[error(
        "{partition} does not hold offset {}: it holds {} to {}", offset.0, first.0, end.0
    )]
    OffsetOutOfRange {
        /// The partition.
        partition: TopicPartition,
        /// The offset asked for.
        offset: Offset,
        /// The first offset still held.
        first: Offset,
        /// The first offset not yet written.
        end: Offset,
    },
    /// A topic that was written to is gone.
    #[error("topic \"{topic}\" does not exist any more")]
    TopicMissing {
        /// The topic.
        topic: Topic,
    },
    /// A topic that was written to was deleted and made again.
    #[error("topic \"{topic}\" is another one than was written to: {found} instead of {stored}")]
    TopicReplaced {
        /// The topic.
        topic: Topic,
        /// Its identity when it was first written to.
        stored: TopicId,
        /// Its identity now.
        found: TopicId,
    },
    /// A topic that was written to has another number of partitions.
    #[error("topic \"{topic}\" has {found} partitions instead of {stored}")]
    PartitionsChanged {
        /// The topic.
        topic: Topic,
        /// Their number when it was first written to.
        stored: i32,
        /// Their number now.
        found: i32,
    },
    /// A topic cannot be made.
    #[error("topic \"{topic}\" could not be created")]
    TopicRefused {
        /// The topic.
        topic: Topic,
        /// What the broker said.
        #[source]
        source: Code,
    },
    /// A topic is not made as it must be.
    #[error("topic \"{topic}\" {reason}")]
    TopicUnfit {
        /// The topic.
        topic: Topic,
        /// What is wrong with it.
        reason: String,
    },
    /// The brokers belong to another cluster than before.
    #[error("the brokers belong to cluster {found} instead of {stored}")]
    ClusterChanged {
        /// The cluster before.
        stored: Arc<str>,
        /// The cluster now.
        found: Arc<str>,
    },
    /// Another writer has opened this pipeline.
    #[error("another writer has taken over \"{transactional_id}\"")]
    Fenced {
        /// What both call themselves.
        transactional_id: Arc<str>,
    },
    /// The position topic holds something we did not write, or wrote in a later version.
    #[error("the checkpoint in topic \"{topic}\" at offset {} is unreadable: {reason}", offset.0)]
    CheckpointUnreadable {
        /// The position topic.
        topic: Topic,
        /// Where.
        offset: Offset,
        /// What is wrong there.
        reason: &'static str,
    },
    /// A transaction was left open that nobody will end.
    #[error(
        "topic \"{topic}\" on kafka at {servers} is readable up to offset {} of {} only: a \
         transaction hangs there; kafka-transactions.sh find-hanging names it",
        readable.0,
        end.0
    )]
    TransactionHangs {
        /// The topic.
        topic: Topic,
        /// The cluster.
        servers: String,
        /// First offset of the transaction.
        readable: Offset,
        /// The high watermark.
        end: Offset,
    },
    /// The client library reported a failure.
    #[error("{action} on kafka at {servers} failed{}", detail(.reason))]
    Failed {
        /// What was tried.
        action: &'static str,
        /// The cluster.
        servers: String,
        /// What the client said besides, if anything.
        reason: Option<String>,
        /// The code.
        #[source]
        source: Code,
    },
    /// A writer was used after an error without being opened again, or a reader's thread ended.
    #[error("the {what} is not open")]
    NotOpen {
        /// `writer` or `reader`.
        what: &'static str,
    },
}

fn detail(reason: &Option<String>) -> String {
    reason.as_ref().map_or_else(String::new, |reason| format!(" ({reason})"))
}

/// What calls of this crate return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// Names the property that a client's configuration was refused for, without secrets.
    pub(crate) fn of_property(error: &KafkaError) -> Self {
        match error {
            KafkaError::ClientConfig(_, text, name, _) => {
                let reason = if is_secret(name) { "has a value that cannot be used" } else { text };
                Self::Property { name: name.clone(), reason: format!("is refused: {reason}") }
            }
            other => Self::Property {
                name: "(several)".to_owned(),
                reason: format!("are refused: {other}"),
            },
        }
    }

    /// Makes the error of a failed call, from its code.
    pub(crate) fn of_code(
        action: &'static str,
        servers: &str,
        source: Code,
        reason: Option<String>,
    ) -> Self {
        let servers = servers.to_owned();
        match kind(source) {
            Kind::Authentication => Self::Authentication {
                servers,
                reason: reason.unwrap_or_else(|| source.to_string()),
            },
            Kind::Authorization => Self::Authorization { action, resource: resource(source) },
            Kind::Transient
            | Kind::Fenced
            | Kind::TooLarge
            | Kind::OutOfRange
            | Kind::Refused
            | Kind::Unknown => Self::Failed { action, servers, reason, source },
        }
    }
}

fn resource(code: Code) -> String {
    let resource = match code {
        Code::TopicAuthorizationFailed => "the topic",
        Code::GroupAuthorizationFailed => "the consumer group",
        Code::TransactionalIdAuthorizationFailed => "the transactional id",
        _ => "the cluster",
    };
    resource.to_owned()
}

#[deny(clippy::wildcard_enum_match_arm)]
impl Classify for Error {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Unreachable { source, .. } if source.kind() == io::ErrorKind::InvalidData => {
                ErrorClass::Unknown
            }
            // The first may end by itself, where the broker still knows of it.
            Self::TransactionHangs { .. } | Self::Unreachable { .. } => ErrorClass::Transient,
            Self::Fenced { .. } => ErrorClass::Fenced,
            Self::NotOpen { .. } => ErrorClass::Unknown,
            Self::Failed { source, .. } => match kind(*source) {
                Kind::Transient => ErrorClass::Transient,
                Kind::Fenced => ErrorClass::Fenced,
                Kind::Authentication
                | Kind::Authorization
                | Kind::TooLarge
                | Kind::OutOfRange
                | Kind::Refused => ErrorClass::Fatal,
                Kind::Unknown => ErrorClass::Unknown,
            },
            Self::Property { .. }
            | Self::Authentication { .. }
            | Self::Authorization { .. }
            | Self::TooLarge { .. }
            | Self::OffsetOutOfRange { .. }
            | Self::TopicMissing { .. }
            | Self::TopicReplaced { .. }
            | Self::PartitionsChanged { .. }
            | Self::TopicRefused { .. }
            | Self::TopicUnfit { .. }
            | Self::ClusterChanged { .. }
            | Self::CheckpointUnreadable { .. } => ErrorClass::Fatal,
        }
    }

    fn code(&self) -> Option<&'static str> {
        match self {
            Self::Property { .. } => Some("KAFKA_CONFIG"),
            Self::Authentication { .. } => Some("KAFKA_AUTH"),
            Self::Authorization { .. } => Some("KAFKA_ACL"),
            Self::TooLarge { .. } => Some("KAFKA_TOO_LARGE"),
            Self::OffsetOutOfRange { .. } => Some("OFFSET_OUT_OF_RANGE"),
            Self::TopicMissing { .. } => Some("TOPIC_MISSING"),
            Self::TopicReplaced { .. } => Some("TOPIC_RECREATED"),
            Self::PartitionsChanged { .. } => Some("TOPIC_PARTITIONS_CHANGED"),
            Self::TopicRefused { .. } => Some("KAFKA_TOPIC_REFUSED"),
            Self::TopicUnfit { .. } => Some("KAFKA_TOPIC_UNFIT"),
            Self::ClusterChanged { .. } => Some("KAFKA_CLUSTER_CHANGED"),
            Self::CheckpointUnreadable { .. } => Some("CHECKPOINT_UNREADABLE"),
            Self::Failed { source, .. } => match kind(*source) {
                Kind::Authentication => Some("KAFKA_AUTH"),
                Kind::Authorization => Some("KAFKA_ACL"),
                Kind::TooLarge => Some("KAFKA_TOO_LARGE"),
                Kind::OutOfRange => Some("OFFSET_OUT_OF_RANGE"),
                Kind::Refused => Some("KAFKA_REFUSED"),
                Kind::Transient | Kind::Fenced | Kind::Unknown => None,
            },
            Self::TransactionHangs { .. }
            | Self::Unreachable { .. }
            | Self::Fenced { .. }
            | Self::NotOpen { .. } => None,
        }
    }

    fn remedy(&self) -> Option<String> {
        match self {
            Self::Property { name, .. } => Some(format!("Correct or remove the property {name}.")),
            Self::Authentication { .. } => Some(
                "Check security.protocol, sasl.mechanism, sasl.username and sasl.password.".into(),
            ),
            Self::Authorization { resource, .. } => Some(format!(
                "Grant this principal the ACL for {resource}: Describe, Read, Write and Create on \
                 its topics, Describe and Write on its transactional ids (one, and the same \
                 with -b), Read on its group."
            )),
            Self::TooLarge { topic, limit } => Some(format!(
                "Raise max.message.bytes of topic {topic} (kafka-configs.sh --alter --entity-type \
                 topics --entity-name {topic} --add-config max.message.bytes=…), and \
                 message_bytes_max here if the record is over {limit} bytes; or exclude the column."
            )),
            Self::OffsetOutOfRange { .. } => Some(
                "The projection and the topic do not fit together any more: rebuild the \
                 projection from the topic's first offset, and turn retention off \
                 (retention.ms=-1)."
                    .into(),
            ),
            Self::TopicMissing { topic } | Self::TopicReplaced { topic, .. } => Some(format!(
                "What topic {topic} held is gone. Restore it, or start a pipeline under another \
                 id, which takes a new snapshot."
            )),
            Self::PartitionsChanged { topic, .. } => Some(format!(
                "Keys of topic {topic} would move to other partitions and lose their order. \
                 Start a pipeline under another id, with another topic prefix."
            )),
            Self::TopicRefused { topic, .. } => Some(format!(
                "Create topic {topic} by hand with retention.ms=-1, or mend the setting the \
                 broker names."
            )),
            Self::TopicUnfit { topic, .. } => Some(format!(
                "Name another topic, or make {topic} again with one partition and \
                 cleanup.policy=compact."
            )),
            Self::ClusterChanged { .. } => Some(
                "Point bootstrap.servers at the cluster that was written to, or start a pipeline \
                 under another id."
                    .into(),
            ),
            Self::CheckpointUnreadable { topic, .. } => Some(format!(
                "Run a version that is at least as new as the one that wrote topic {topic}."
            )),
            Self::Failed { source, .. } => match kind(*source) {
                Kind::Transient | Kind::Fenced | Kind::Unknown => None,
                Kind::Authentication
                | Kind::Authorization
                | Kind::TooLarge
                | Kind::OutOfRange
                | Kind::Refused => Some("Mend what the broker names, then start again.".into()),
            },
            Self::TransactionHangs { .. }
            | Self::Unreachable { .. }
            | Self::Fenced { .. }
            | Self::NotOpen { .. } => None,
        }
    }
}
