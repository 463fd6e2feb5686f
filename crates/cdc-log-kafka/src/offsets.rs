//! The first offset and the high watermark of many partitions, in two requests.
//!
//! The high watermark, not the last stable offset: a commit is answered before its markers are
//! written, so that the latter may not yet cover what an append has promised.

use std::sync::Arc;

use cdc_model::{Offset, Partition, Topic, TopicPartition};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::{Offset as Wanted, TopicPartitionList};
use rdkafka::types::RDKafkaErrorCode as Code;

use crate::context::Context;
use crate::{Error, KafkaConfig, Result};

/// A client that only answers questions. Dropped on a thread of its own, for that may block.
pub(crate) struct Inspector {
    client: Option<BaseConsumer<Context>>,
    config: Arc<KafkaConfig>,
}

impl Inspector {
    /// Makes a client; connects when first asked.
    pub(crate) fn new(config: &Arc<KafkaConfig>) -> Result<Self> {
        let client = config
            .inspector()
            .create_with_context(Context::default())
            .map_err(|error| Error::of_property(&error))?;
        Ok(Self { client: Some(client), config: Arc::clone(config) })
    }

    /// Returns, for each partition, the first offset held and the high watermark. Blocks.
    pub(crate) fn ranges(&self, of: &[TopicPartition]) -> Result<Vec<(Offset, Offset)>> {
        if of.is_empty() {
            return Ok(Vec::new());
        }
        let (first, end) = (self.query(of, Wanted::Beginning)?, self.query(of, Wanted::End)?);
        Ok(first.into_iter().zip(end).collect())
    }

    fn query(&self, of: &[TopicPartition], what: Wanted) -> Result<Vec<Offset>> {
        let client = self.client.as_ref().expect("invariant: taken only when dropped");
        let failed = |error: KafkaError| {
            drop(client.poll(std::time::Duration::ZERO));
            let code = error.rdkafka_error_code().unwrap_or(Code::Unknown);
            let reason = client.client().context().last_error().map(|(_, text)| text);
            Error::of_code("listing offsets", &self.config.bootstrap_servers, code, reason)
        };
        let mut list = TopicPartitionList::with_capacity(of.len());
        for TopicPartition { topic, partition } in of {
            list.add_partition_offset(topic.as_str(), partition.0, what).map_err(failed)?;
        }
        let found = client.offsets_for_times(list, self.config.request_timeout).map_err(failed)?;
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

impl Drop for Inspector {
    fn drop(&mut self) {
        let client = self.client.take();
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
