//! What the cluster and its topics are now.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cdc_model::{Topic, TopicId};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::types::RDKafkaErrorCode as Code;

use crate::context::Context;
use crate::wire::{ClusterInfo, TopicInfo, code_of};
use crate::{Error, KafkaConfig, Result, connection};

/// A topic, or why it cannot be described.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Described {
    /// It is there.
    Found { id: TopicId, partitions: i32, is_internal: bool },
    /// It does not exist.
    Missing,
    /// The broker does not tell.
    Refused(Code),
}

/// The cluster as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cluster {
    pub(crate) id: Arc<str>,
    pub(crate) topics: BTreeMap<Topic, Described>,
}

/// Describes all topics, or those named. Fails quickly where nobody answers.
pub(crate) async fn describe(config: &Arc<KafkaConfig>, names: Option<&[&str]>) -> Result<Cluster> {
    match connection::ask(config, names).await? {
        Some(info) => Ok(of_info(info)),
        None => {
            let config = Arc::clone(config);
            let names = names.map(|names| names.iter().map(|n| (*n).to_owned()).collect());
            tokio::task::spawn_blocking(move || by_client(&config, names))
                .await
                .unwrap_or(Err(Error::NotOpen { what: "client" }))
        }
    }
}

fn of_info(info: ClusterInfo) -> Cluster {
    let topics = info.topics.into_iter().map(|topic| (Topic::new(&*topic.name), of_topic(&topic)));
    Cluster { topics: topics.collect(), id: Arc::from(info.id.unwrap_or_default()) }
}

fn of_topic(topic: &TopicInfo) -> Described {
    match topic.error {
        0 => Described::Found {
            id: TopicId(URL_SAFE_NO_PAD.encode(topic.id).into()),
            partitions: i32::try_from(topic.partitions).unwrap_or(i32::MAX),
            is_internal: topic.is_internal,
        },
        3 => Described::Missing,
        code => Described::Refused(code_of(code)),
    }
}

/// Describes by the client library, which tells no ids: those are then made of the cluster's id
/// and the topic's name.
fn by_client(config: &KafkaConfig, names: Option<Vec<String>>) -> Result<Cluster> {
    let failed = |error: &rdkafka::error::KafkaError, context: &Context| {
        let code = error.rdkafka_error_code().unwrap_or(Code::Unknown);
        let told = context.last_error();
        let (code, reason) = told.map_or((code, None), |(code, text)| (code, Some(text)));
        Error::of_code("describing topics", &config.bootstrap_servers, code, reason)
    };
    let client: BaseConsumer<Context> = config
        .inspector()
        .create_with_context(Context::default())
        .map_err(|error| Error::of_property(&error))?;
    let context = client.client().context();
    let mut topics = BTreeMap::new();
    let names: Vec<Option<String>> = match names {
        None => vec![None],
        Some(names) => names.into_iter().map(Some).collect(),
    };
    let fetch_id = || client.client().fetch_cluster_id(config.request_timeout);
    let mut id: Arc<str> = Arc::from("");
    for name in names {
        let metadata = client.fetch_metadata(name.as_deref(), config.request_timeout);
        drop(client.poll(std::time::Duration::ZERO));
        let metadata = metadata.map_err(|error| failed(&error, context))?;
        if id.is_empty() {
            id = Arc::from(fetch_id().unwrap_or_default());
        }
        for topic in metadata.topics() {
            let described = match topic.error().map(Code::from) {
                None => Described::Found {
                    id: TopicId(format!("{id}/{}", topic.name()).into()),
                    partitions: i32::try_from(topic.partitions().len()).unwrap_or(i32::MAX),
                    is_internal: topic.name().starts_with("__"),
                },
                Some(Code::UnknownTopicOrPartition) => Described::Missing,
                Some(code) => Described::Refused(code),
            };
            topics.insert(Topic::new(topic.name()), described);
        }
    }
    Ok(Cluster { id, topics })
}
