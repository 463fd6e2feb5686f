//! The first offset and the high watermark of many partitions, in two requests.
//!
//! The high watermark, not the last stable offset: a commit is answered before its markers are
//! written, so that the latter may not yet cover what an append has promised.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cdc_model::{Offset, Partition, Topic, TopicPartition};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::{Offset as Wanted, TopicPartitionList};
use rdkafka::types::RDKafkaErrorCode as Code;

use crate::context::Context;
use crate::{Error, KafkaConfig, Result};

/// Answers questions by a client that is kept as long as it answers.
///
/// After any error another one is made: a client that saw a broker shut down may remember for ever
/// that its partitions have no leader, and not ask again, however long the broker is back.
pub(crate) struct Inspector {
    client: Mutex<Option<Client>>,
    config: Arc<KafkaConfig>,
}

/// Dropped on a thread of its own, for that may block.
struct Client(Option<BaseConsumer<Context>>);

impl Inspector {
    /// Connects when first asked.
    pub(crate) fn new(config: &Arc<KafkaConfig>) -> Self {
        Self { client: Mutex::default(), config: Arc::clone(config) }
    }

    /// Returns, for each partition, the first offset held and the high watermark. Blocks.
    pub(crate) fn ranges(&self, of: &[TopicPartition]) -> Result<Vec<(Offset, Offset)>> {
        if of.is_empty() {
            return Ok(Vec::new());
        }
        let kept = self.kept().take();
        let client = kept.map_or_else(|| Client::new(&self.config), Ok)?;
        let first = client.query(&self.config, of, Wanted::Beginning)?;
        let end = client.query(&self.config, of, Wanted::End)?;
        *self.kept() = Some(client);
        Ok(first.into_iter().zip(end).collect())
    }

    fn kept(&self) -> MutexGuard<'_, Option<Client>> {
        self.client.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Client {
    fn new(config: &KafkaConfig) -> Result<Self> {
        let client = config.inspector().create_with_context(Context::default());
        Ok(Self(Some(client.map_err(|error| Error::of_property(&error))?)))
    }

    fn query(
        &self,
        config: &KafkaConfig,
        of: &[TopicPartition],
        what: Wanted,
    ) -> Result<Vec<Offset>> {
        let client = self.0.as_ref().expect("invariant: taken only when dropped");
        let failed = |error: KafkaError| {
            drop(client.poll(std::time::Duration::ZERO));
            let code = error.rdkafka_error_code().unwrap_or(Code::Unknown);
            let reason = client.client().context().last_error().map(|(_, text)| text);
            Error::of_code("listing offsets", &config.bootstrap_servers, code, reason)
        };
        let mut list = TopicPartitionList::with_capacity(of.len());
        for TopicPartition { topic, partition } in of {
            list.add_partition_offset(topic.as_str(), partition.0, what).map_err(failed)?;
        }
        let found = client.offsets_for_times(list, config.request_timeout).map_err(failed)?;
        of.iter()
            .map(|TopicPartition { topic, partition }| {
                let element = found.find_partition(topic.as_str(), partition.0);
                let element = element.ok_or_else(|| failed(KafkaError::NoMessageReceived))?;
                element.error().map_err(failed)?;
                match element.offset() {
                    Wanted::Offset(offset) => Ok(Offset(offset)),
                    _ => Err(failed(KafkaError::NoMessageReceived)),
                }
            })
            .collect()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let client = self.0.take();
        std::thread::spawn(move || drop(client));
    }
}

/// Refuses the first of `from` that lies outside its range.
pub(crate) fn check(from: &[(TopicPartition, Offset)], ranges: &[(Offset, Offset)]) -> Result<()> {
    for ((partition, offset), (first, end)) in from.iter().zip(ranges) {
        if offset < first || offset > end {
            return Err(Error::OffsetOutOfRange {
                partition: partition.clone(),
                offset: *offset,
                first: *first,
                end: *end,
            });
        }
    }
    Ok(())
}

/// Names all partitions of `topic`.
pub(crate) fn partitions(topic: &Topic, count: i32) -> impl Iterator<Item = TopicPartition> {
    (0..count).map(|index| TopicPartition { topic: topic.clone(), partition: Partition(index) })
}
