//! Reads a checkpoint back from its position topic.
//!
//! Called after `init_transactions`, so that nothing of this pipeline is open any more. The target
//! is the high watermark, taken without regard to transactions: a transaction of somebody else
//! that is open in this topic makes us wait, never miss what lies behind it. The topic's tail is a
//! control record and no message, so that reaching the target is a matter of the consumer's
//! position.
//!
//! A broker that is killed while it recovers from being killed may forget to mark the end of a
//! transaction (KIP-664 calls it hanging). Its records are acknowledged and stay unreadable until an
//! operator decides; we wait and say so.

use std::time::Duration;

use cdc_model::{Offset, Topic};
use rdkafka::Message;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::{Offset as At, TopicPartitionList};
use rdkafka::types::RDKafkaErrorCode as Code;
use tokio::time::Instant;

use crate::checkpoint::Stored;
use crate::code::{Kind, kind};
use crate::context::Context;
use crate::{Error, KafkaConfig, Result};

/// How long one poll waits.
const POLL: Duration = Duration::from_millis(100);

/// Returns what `topic` holds, or `None` if nothing. Blocks.
pub(crate) fn recover(config: &KafkaConfig, topic: &Topic) -> Result<Option<Stored>> {
    let inspector = client(&config.inspector())?;
    let watermarks = inspector.fetch_watermarks(topic.as_str(), 0, config.request_timeout);
    let (low, high) = watermarks.map_err(|error| failed(config, &inspector, &error))?;
    if low == high {
        return Ok(None);
    }
    let consumer = client(&config.reader())?;
    let reader = Recovery { config, topic, high, consumer };
    let stored = reader.run(low)?;
    if stored.checkpoint.sequence == 0 && stored != Stored::default() {
        let reason = "it holds entries but no position";
        let offset = Offset(high);
        return Err(Error::CheckpointUnreadable { topic: topic.clone(), offset, reason });
    }
    Ok(Some(stored))
}

fn client(settings: &rdkafka::ClientConfig) -> Result<BaseConsumer<Context>> {
    settings.create_with_context(Context::default()).map_err(|error| Error::of_property(&error))
}

fn failed(config: &KafkaConfig, client: &BaseConsumer<Context>, error: &KafkaError) -> Error {
    let code = error.rdkafka_error_code().unwrap_or(Code::Unknown);
    let reason = client.client().context().last_error().map(|(_, text)| text);
    Error::of_code("reading the checkpoint", &config.bootstrap_servers, code, reason)
}

struct Recovery<'a> {
    config: &'a KafkaConfig,
    topic: &'a Topic,
    high: i64,
    consumer: BaseConsumer<Context>,
}

impl Recovery<'_> {
    fn run(&self, low: i64) -> Result<Stored> {
        let failed = |error: KafkaError| failed(self.config, &self.consumer, &error);
        let mut list = TopicPartitionList::with_capacity(1);
        list.add_partition_offset(self.topic.as_str(), 0, At::Offset(low)).map_err(failed)?;
        self.consumer.assign(&list).map_err(failed)?;
        let mut stored = Stored::default();
        let mut moved_at = Instant::now();
        loop {
            let is_done = match self.consumer.poll(POLL) {
                Some(Ok(message)) => {
                    self.apply(&mut stored, &message)?;
                    moved_at = Instant::now();
                    message.offset() + 1 >= self.high
                }
                Some(Err(KafkaError::PartitionEOF(_))) => {
                    self.position()? >= self.high || self.is_at_end()?
                }
                None => self.position()? >= self.high,
                Some(Err(error)) => {
                    let error = failed(error);
                    if !is_transient(&error) {
                        return Err(error);
                    }
                    false
                }
            };
            if is_done {
                return Ok(stored);
            }
            if moved_at.elapsed() > self.config.request_timeout {
                return Err(self.stuck());
            }
        }
    }

    /// Says why the target is not reached. Nothing of ours is open any more, so a broker that
    /// answers, but not up to the target, has kept a transaction that its coordinator forgot.
    fn stuck(&self) -> Error {
        match self.position() {
            Ok(position) if (0..self.high).contains(&position) => Error::TransactionHangs {
                topic: self.topic.clone(),
                servers: self.config.bootstrap_servers.clone(),
                readable: Offset(position),
                end: Offset(self.high),
            },
            _ => {
                let timed_out = KafkaError::MessageConsumption(Code::OperationTimedOut);
                failed(self.config, &self.consumer, &timed_out)
            }
        }
    }

    fn apply(&self, stored: &mut Stored, message: &impl Message) -> Result<()> {
        stored.apply(message.key(), message.payload()).map_err(|reason| {
            let offset = Offset(message.offset());
            Error::CheckpointUnreadable { topic: self.topic.clone(), offset, reason }
        })
    }

    fn position(&self) -> Result<i64> {
        let list = self.consumer.position();
        let list = list.map_err(|error| failed(self.config, &self.consumer, &error))?;
        let element = list.find_partition(self.topic.as_str(), 0);
        Ok(match element.map(|element| element.offset()) {
            Some(At::Offset(offset)) => offset,
            _ => -1,
        })
    }

    /// Whether everything up to the target is readable; then reaching the end is reaching it, even
    /// where compaction left offsets without a record.
    fn is_at_end(&self) -> Result<bool> {
        let timeout = self.config.request_timeout;
        let watermarks = self.consumer.fetch_watermarks(self.topic.as_str(), 0, timeout);
        let watermarks = watermarks.map_err(|e| failed(self.config, &self.consumer, &e))?;
        Ok(watermarks.1 >= self.high)
    }
}

fn is_transient(error: &Error) -> bool {
    matches!(error, Error::Failed { source, .. } if kind(*source) == Kind::Transient)
}
