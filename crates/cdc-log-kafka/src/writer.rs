//! The writing half: records and checkpoint in one transaction.
//!
//! # Two producers take turns
//! The broker answers a commit once it is decided and writes its markers afterwards; until they are
//! written it refuses that producer's next transaction, and the client library asks again 20 ms
//! later. So appends go to two producers in turn: the markers of one are written while the other
//! appends. Order is as with one, for an append begins after the one before was answered.
//!
//! Fencing is as with one, too. Both names are taken over in the same order, the first before the
//! second, before the checkpoint is read, and the first append is the first name's. A writer whose
//! append by the first name succeeded has taken over the second before anybody else took over the
//! first; so whoever does, and then takes over the second, fences both, and reads the checkpoint
//! after whatever was appended in between.
//!
//! # Failure
//! Any error, and any call that was dropped, ends the session: its producers are abandoned on their
//! own threads. `open` makes new ones under the same `transactional.id`s. The broker then settles
//! what the old ones left open before it lets the new ones in, so that the checkpoint read back
//! afterwards is the outcome, whatever answer was lost.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use cdc_model::{Position, Record, Topic};
use cdc_pipeline::port::{AppendBatch, Checkpoint, CheckpointUpdate, LogWriter};
use tokio::time::Instant;

use crate::checkpoint::{KeyValue, Stored, records};
use crate::describe::{Cluster, describe};
use crate::producer::{Job, Name, Producer};
use crate::recover::recover;
use crate::topic::{KnownTopic, Purpose, ensure, existing, position_topic, transactional_ids};
use crate::{Error, KafkaConfig, Result};

/// How often the topics written to are checked to be still the same.
const VERIFY_EVERY: Duration = Duration::from_secs(30);

/// Writes one pipeline's records and checkpoint. Made by [`crate::KafkaLog::writer`].
pub struct KafkaWriter {
    config: Arc<KafkaConfig>,
    /// In the order of taking over.
    transactional_ids: [Arc<str>; 2],
    incarnation: Arc<str>,
    position_topic: Topic,
    /// The cluster first seen; another one behind the same addresses halts.
    cluster: Option<Arc<str>>,
    session: Option<Session>,
}

/// From `open` to the first error.
struct Session {
    /// Whose turn it is comes first.
    producers: [Producer; 2],
    cluster: Arc<str>,
    /// The newest position, which every append writes anew.
    position: Option<Position>,
    /// Topics in the checkpoint, as they were when first written to.
    recorded: BTreeMap<Topic, KnownTopic>,
    /// Topics seen to exist in this session.
    known: BTreeMap<Topic, KnownTopic>,
    partitions: Arc<BTreeMap<Topic, i32>>,
    has_position_topic: bool,
    verified_at: Instant,
}

impl KafkaWriter {
    pub(crate) fn new(config: Arc<KafkaConfig>, pipeline: &str, incarnation: &str) -> Self {
        Self {
            transactional_ids: transactional_ids(&config.prefix, pipeline),
            position_topic: position_topic(&config.prefix, pipeline),
            incarnation: Arc::from(incarnation),
            cluster: None,
            session: None,
            config,
        }
    }

    /// Returns the topic that keeps this pipeline's checkpoint.
    pub fn position_topic(&self) -> &Topic {
        &self.position_topic
    }

    async fn take_over(&self, transactional_id: &Arc<str>) -> Result<Producer> {
        let name = Name {
            transactional_id: Arc::clone(transactional_id),
            incarnation: Arc::clone(&self.incarnation),
        };
        Producer::start(&self.config, name).await
    }

    async fn recover(&self) -> Result<(Cluster, Option<Stored>)> {
        // Asked by name, for a topic that we may not see is missing in a list of all.
        let cluster = describe(&self.config, Some(&[self.position_topic.as_str()])).await?;
        let described = cluster.topics.get(&self.position_topic);
        if existing(&self.config, &self.position_topic, described, None)?.is_none() {
            return Ok((cluster, None));
        }
        let (config, topic) = (Arc::clone(&self.config), self.position_topic.clone());
        let reading = tokio::task::spawn_blocking(move || recover(&config, &topic));
        let stored = reading.await.unwrap_or(Err(Error::NotOpen { what: "writer" }))?;
        Ok((cluster, Some(stored.unwrap_or_default())))
    }

    fn check_cluster(&mut self, cluster: &Cluster, stored: Option<&Stored>) -> Result<()> {
        let before = stored.map(|stored| &stored.cluster).filter(|id| !id.is_empty());
        let before = before.or(self.cluster.as_ref());
        if let Some(stored) = before.filter(|before| **before != cluster.id) {
            let (stored, found) = (Arc::clone(stored), Arc::clone(&cluster.id));
            return Err(Error::ClusterChanged { stored, found });
        }
        self.cluster = Some(Arc::clone(&cluster.id));
        Ok(())
    }
}

impl LogWriter for KafkaWriter {
    type Error = Error;

    async fn open(&mut self) -> Result<Option<Checkpoint>> {
        self.session = None;
        // Says at once that nobody is there, where the client library would go on trying.
        let cluster = describe(&self.config, Some(&[self.position_topic.as_str()])).await?;
        self.check_cluster(&cluster, None)?;
        let [first, second] = &self.transactional_ids;
        let producers = [self.take_over(first).await?, self.take_over(second).await?];
        let (cluster, stored) = self.recover().await?;
        self.check_cluster(&cluster, stored.as_ref())?;
        let has_position_topic = stored.is_some();
        let stored = stored.unwrap_or_default();
        let mut session = Session {
            producers,
            cluster: cluster.id,
            position: stored.checkpoint.position.clone(),
            recorded: stored.topics,
            known: BTreeMap::new(),
            partitions: Arc::default(),
            has_position_topic,
            verified_at: Instant::now(),
        };
        session.verify(&self.config).await?;
        self.session = Some(session);
        Ok((stored.checkpoint.sequence > 0).then_some(stored.checkpoint))
    }

    async fn append(&mut self, batch: Arc<AppendBatch>) -> Result<()> {
        // Put back only after success: an error, and a dropped call, end the session.
        let mut session = self.session.take().ok_or(Error::NotOpen { what: "writer" })?;
        session.append(&self.config, &self.position_topic, batch).await?;
        self.session = Some(session);
        Ok(())
    }
}

impl Session {
    async fn append(
        &mut self,
        config: &Arc<KafkaConfig>,
        position_topic: &Topic,
        batch: Arc<AppendBatch>,
    ) -> Result<()> {
        self.learn(config, &batch.records).await?;
        if self.verified_at.elapsed() >= VERIFY_EVERY {
            self.verify(config).await?;
        }
        let checkpoint = match &batch.update {
            None => None,
            Some(update) => {
                self.ensure_position_topic(config, position_topic).await?;
                Some((position_topic.clone(), self.checkpoint(update)))
            }
        };
        let is_recording = checkpoint.is_some();
        let partitions = Arc::clone(&self.partitions);
        self.producers[0].append(Job { batch, partitions, checkpoint }).await?;
        self.producers.swap(0, 1);
        if is_recording && self.recorded.len() < self.known.len() {
            self.recorded.extend(self.known.iter().map(|(t, k)| (t.clone(), k.clone())));
        }
        Ok(())
    }

    fn checkpoint(&mut self, update: &CheckpointUpdate) -> Vec<KeyValue> {
        if let Some(position) = &update.position {
            self.position = Some(position.clone());
        }
        let is_new = |topic: &&Topic| !self.recorded.contains_key(*topic);
        let new = self.known.keys().filter(is_new);
        let new = new.map(|topic| (topic.clone(), self.known[topic].clone())).collect();
        records(update, self.position.as_ref(), &self.cluster, &new)
    }

    /// Makes sure that the topics of `records` exist, and of how many partitions.
    async fn learn(&mut self, config: &Arc<KafkaConfig>, records: &[Record]) -> Result<()> {
        let mut new: Vec<Topic> = Vec::new();
        let mut last: Option<&Topic> = None;
        for Record { topic, .. } in records {
            if last.is_some_and(|last| Arc::ptr_eq(&last.0, &topic.0)) {
                continue;
            }
            last = Some(topic);
            if !self.known.contains_key(topic) && !new.contains(topic) {
                new.push(topic.clone());
            }
        }
        if !new.is_empty() {
            let found = ensure(config, &new, &self.recorded, Purpose::Records).await?;
            self.add(found);
        }
        Ok(())
    }

    fn add(&mut self, found: BTreeMap<Topic, KnownTopic>) {
        self.known.extend(found);
        let partitions = self.known.iter().map(|(topic, known)| (topic.clone(), known.partitions));
        self.partitions = Arc::new(partitions.collect());
    }

    async fn ensure_position_topic(
        &mut self,
        config: &Arc<KafkaConfig>,
        topic: &Topic,
    ) -> Result<()> {
        if !self.has_position_topic {
            let names = [topic.clone()];
            ensure(config, &names, &BTreeMap::new(), Purpose::Position).await?;
            self.has_position_topic = true;
        }
        Ok(())
    }

    /// Halts if a topic written to is not what it was.
    async fn verify(&mut self, config: &Arc<KafkaConfig>) -> Result<()> {
        let mut expected = self.recorded.clone();
        expected.extend(self.known.clone());
        if !expected.is_empty() {
            let names: Vec<&str> = expected.keys().map(Topic::as_str).collect();
            let cluster = describe(config, Some(&names)).await?;
            for (topic, known) in &expected {
                existing(config, topic, cluster.topics.get(topic), Some(known))?;
            }
            self.add(expected);
        }
        self.verified_at = Instant::now();
        Ok(())
    }
}

impl fmt::Debug for KafkaWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaWriter")
            .field("transactional_ids", &self.transactional_ids)
            .field("is_open", &self.session.is_some())
            .finish_non_exhaustive()
    }
}
