//! Topics: how ours are named and made, and whether those written to are still the same.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cdc_model::{Topic, TopicId};
use cdc_pipeline::partition::murmur2;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::types::RDKafkaErrorCode as Code;
use tokio::time::Instant;

use crate::context::Context;
use crate::describe::{Described, describe};
use crate::{Error, KafkaConfig, Result};

/// A topic that is written to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KnownTopic {
    pub(crate) id: TopicId,
    pub(crate) partitions: i32,
}

/// The last part of the names of position topics.
const POSITION: &str = ".position";

/// Returns the topic that keeps the checkpoint of `pipeline`.
pub(crate) fn position_topic(prefix: &str, pipeline: &str) -> Topic {
    Topic::new(format!("{prefix}.{}{POSITION}", legal(pipeline)))
}

/// Returns what the producers of a writer of `pipeline` call themselves.
pub(crate) fn transactional_ids(prefix: &str, pipeline: &str) -> [Arc<str>; 2] {
    let first = format!("{prefix}-{}", legal(pipeline));
    [first.as_str().into(), format!("{first}-b").into()]
}

/// Whether `topic` is the log's own.
pub(crate) fn is_internal(prefix: &str, topic: &str) -> bool {
    let is_position = topic
        .strip_prefix(prefix)
        .is_some_and(|rest| rest.starts_with('.') && rest.ends_with(POSITION));
    is_position || topic.starts_with("__")
}

/// Replaces what a topic's name may not hold; names that differ stay different, for a changed one
/// gets a hash.
fn legal(pipeline: &str) -> String {
    let is_legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if pipeline.chars().all(is_legal) {
        return pipeline.to_owned();
    }
    let replaced: String = pipeline.chars().map(|c| if is_legal(c) { c } else { '_' }).collect();
    format!("{replaced}-{:08x}", murmur2(pipeline.as_bytes()))
}

/// What a topic is for, which decides how it is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Records: kept for ever.
    Records,
    /// A checkpoint: the newest of each key is kept.
    Position,
}

/// Describes `names` and creates those that are missing and were not written to before, which
/// `recorded` tells.
pub(crate) async fn ensure(
    config: &Arc<KafkaConfig>,
    names: &[Topic],
    recorded: &BTreeMap<Topic, KnownTopic>,
    purpose: Purpose,
) -> Result<BTreeMap<Topic, KnownTopic>> {
    let deadline = Instant::now() + config.request_timeout;
    let mut found = BTreeMap::new();
    loop {
        let asked: Vec<&str> = names.iter().map(Topic::as_str).collect();
        let cluster = describe(config, Some(&asked)).await?;
        let mut missing = Vec::new();
        for name in names {
            match existing(config, name, cluster.topics.get(name), recorded.get(name))? {
                Some(topic) => drop(found.insert(name.clone(), topic)),
                None => missing.push(name),
            }
        }
        if missing.is_empty() {
            return Ok(found);
        }
        if Instant::now() >= deadline {
            return Err(Error::Failed {
                action: "creating topics",
                servers: config.bootstrap_servers.clone(),
                reason: Some(format!("\"{}\" does not appear", missing[0])),
                source: Code::LeaderNotAvailable,
            });
        }
        create(config, &missing, purpose).await?;
        // What was created is known to the other brokers an instant later.
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Checks that `name` is what it was when it was first written to; `None` if it is to be created.
pub(crate) fn existing(
    config: &KafkaConfig,
    name: &Topic,
    described: Option<&Described>,
    recorded: Option<&KnownTopic>,
) -> Result<Option<KnownTopic>> {
    let (id, partitions) = match described {
        Some(Described::Found { id, partitions, .. }) => (id.clone(), *partitions),
        Some(Described::Missing) | None => {
            return match recorded {
                None => Ok(None),
                Some(_) => Err(Error::TopicMissing { topic: name.clone() }),
            };
        }
        Some(Described::Refused(Code::TopicAuthorizationFailed)) => {
            let resource = format!("topic \"{name}\"");
            return Err(Error::Authorization { action: "describing", resource });
        }
        Some(Described::Refused(Code::InvalidTopic)) => {
            return Err(Error::TopicRefused { topic: name.clone(), source: Code::InvalidTopic });
        }
        Some(Described::Refused(code)) => {
            let reason = Some(format!("topic \"{name}\""));
            return Err(Error::of_code("describing", &config.bootstrap_servers, *code, reason));
        }
    };
    match recorded {
        Some(known) if known.id != id => {
            Err(Error::TopicReplaced { topic: name.clone(), stored: known.id.clone(), found: id })
        }
        Some(known) if known.partitions != partitions => Err(Error::PartitionsChanged {
            topic: name.clone(),
            stored: known.partitions,
            found: partitions,
        }),
        _ => Ok(Some(KnownTopic { id, partitions })),
    }
}

async fn create(config: &Arc<KafkaConfig>, names: &[&Topic], purpose: Purpose) -> Result<()> {
    let admin: AdminClient<Context> = config
        .admin()
        .create_with_context(Context::default())
        .map_err(|error| Error::of_property(&error))?;
    let bytes_max = u64::from(config.message_bytes_max).saturating_add(4096).min(i32::MAX as u64);
    let bytes_max = bytes_max.to_string();
    let new: Vec<NewTopic<'_>> = names
        .iter()
        .map(|name| match purpose {
            Purpose::Records => {
                NewTopic::new(name.as_str(), config.partitions, replication(config))
                    .set("cleanup.policy", "delete")
                    .set("retention.ms", "-1")
                    .set("retention.bytes", "-1")
                    .set("max.message.bytes", &bytes_max)
            }
            // Small segments: the checkpoint is read from the first one that is left.
            Purpose::Position => NewTopic::new(name.as_str(), 1, replication(config))
                .set("cleanup.policy", "compact")
                .set("segment.bytes", "4194304")
                .set("min.cleanable.dirty.ratio", "0.1")
                .set("max.message.bytes", &bytes_max),
        })
        .collect();
    let options = AdminOptions::new()
        .request_timeout(Some(config.request_timeout))
        .operation_timeout(Some(config.request_timeout));
    let created = admin.create_topics(&new, &options).await;
    std::thread::spawn(move || drop(admin));
    let failed = |code| Error::of_code("creating topics", &config.bootstrap_servers, code, None);
    let created = created.map_err(|e| failed(e.rdkafka_error_code().unwrap_or(Code::Unknown)))?;
    for (result, name) in created.into_iter().zip(names) {
        match result {
            Ok(_) | Err((_, Code::TopicAlreadyExists)) => {}
            Err((_, Code::TopicAuthorizationFailed | Code::ClusterAuthorizationFailed)) => {
                let resource = format!("topic \"{name}\"");
                return Err(Error::Authorization { action: "creating", resource });
            }
            Err((_, code)) if crate::code::kind(code) == crate::code::Kind::Transient => {
                return Err(failed(code));
            }
            Err((_, source)) => {
                return Err(Error::TopicRefused { topic: (*name).clone(), source });
            }
        }
    }
    Ok(())
}

fn replication(config: &KafkaConfig) -> TopicReplication<'static> {
    TopicReplication::Fixed(config.replication_factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_legal_and_stay_apart() {
        assert_eq!(position_topic("penstock", "7-shop-s").as_str(), "penstock.7-shop-s.position");
        let ids = transactional_ids("penstock", "7-shop-s");
        assert_eq!(ids.each_ref().map(|id| &**id), ["penstock-7-shop-s", "penstock-7-shop-s-b"]);
        let (a, b) = (legal("my shop"), legal("my_shop"));
        assert_ne!(a, b);
        assert!(a.starts_with("my_shop-"), "{a}");
    }

    #[test]
    fn the_logs_own_topics_are_known() {
        for (topic, expected) in [
            ("penstock.p.position", true),
            ("__transaction_state", true),
            ("shop.public.orders", false),
            ("shop.position", false),
            ("penstocks.position", false),
        ] {
            assert_eq!(is_internal("penstock", topic), expected, "{topic}");
        }
    }
}
