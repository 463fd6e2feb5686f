//! What clones, writers and readers of a log share: who may write, and what is committed.
//!
//! # Delivery, ordering, progress
//! Changes of the store run one at a time, where they may block. An append is one atomic batch of
//! the store (blocks, new topics, checkpoint), durable before it is published to readers.
//!
//! # Failure
//! A failed write leaves the store as it was for readers, and closed to writers: what reached the
//! disk is unknown, and a failed fsync must not be tried twice on the same file. The next opening
//! of a writer opens the store again from the disk, and its checkpoint tells what took effect.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};

use bytes::Bytes;
use cdc_model::{Position, TopicId, TopicPartition};
use cdc_pipeline::port::{AppendBatch, Checkpoint, CheckpointUpdate};
use fjall::{OwnedWriteBatch, PersistMode};
use tokio::sync::watch;

use crate::append::{self, Planned};
use crate::data_dir::{DataDir, io_error};
use crate::error::{Error, Result};
use crate::format::{disk_bytes, open_format, open_store};
use crate::identity::IdentityText;
use crate::layout::{self, PartitionNo, SegmentMeta};
use crate::store::{Segment, Store, Stored, TopicState, store_error};
use crate::witness::Witness;
use crate::{LocalLogConfig, LogStats, retention};

/// What clones, writers and readers of a log share.
pub(crate) struct Shared {
    /// Held through every change of the store; the epochs of the writers that may make one.
    pub(crate) appending: Mutex<BTreeMap<String, u64>>,
    /// `None` from a failed write until the store was opened again.
    pub(crate) store: RwLock<Option<Store>>,
    pub(crate) has_failed: AtomicBool,
    committed: watch::Sender<u64>,
    witness: Witness,
    uuid: String,
    pub(crate) config: LocalLogConfig,
    pub(crate) dir: PathBuf,
    _data_dir: DataDir,
}

impl Shared {
    /// Opens the log in `data_dir`.
    pub(crate) fn open(data_dir: DataDir, config: LocalLogConfig) -> Result<Self> {
        let dir = data_dir.path().join("log");
        let uuid = open_format(&dir)?;
        let witness = Witness::open(&dir.join("committed"))?;
        let store = open_store(&dir, &witness)?;
        Ok(Self {
            appending: Mutex::default(),
            store: RwLock::new(Some(store)),
            has_failed: AtomicBool::new(false),
            committed: watch::Sender::new(0),
            witness,
            uuid,
            config,
            dir,
            _data_dir: data_dir,
        })
    }

    /// Runs `work` where it may block.
    pub(crate) async fn run<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let shared = self.clone();
        match tokio::task::spawn_blocking(move || work(&shared)).await {
            Ok(result) => result,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => Err(Error::ShuttingDown),
            },
        }
    }

    /// Returns what tells of appends; its value is their count since the log was opened.
    pub(crate) fn subscribe(&self) -> watch::Receiver<u64> {
        self.committed.subscribe()
    }

    /// Lets `read` look at the store.
    pub(crate) fn with_store<T>(&self, read: impl FnOnce(&Store) -> Result<T>) -> Result<T> {
        let store = self.lock_store();
        read(store.as_ref().ok_or_else(|| self.stopped())?)
    }

    /// Returns the identity of the topic with this number.
    pub(crate) fn topic_id(&self, no: u32) -> TopicId {
        TopicId(format!("{}-{no}", self.uuid).into())
    }

    /// Fences the earlier writers of `pipeline`, opens the store again if it failed, and returns
    /// the new epoch and the checkpoint.
    pub(crate) fn open_writer(&self, pipeline: &str) -> Result<(u64, Option<Checkpoint>)> {
        let mut epochs = self.appending.lock().unwrap_or_else(PoisonError::into_inner);
        let epoch = epochs.entry(pipeline.to_owned()).or_default();
        *epoch += 1;
        if self.has_failed.load(Ordering::Acquire) {
            self.reopen()?;
        }
        let checkpoint = self.with_store(|store| {
            let Some(stored) = store.pipelines.get(pipeline) else { return Ok(None) };
            let entries = store.entries(&self.dir, pipeline)?;
            Ok(Some(Checkpoint {
                sequence: stored.sequence,
                position: stored.position.clone().map(Position),
                entries: entries.into_iter().map(|(key, value)| (key.into(), value)).collect(),
            }))
        })?;
        Ok((*epoch, checkpoint))
    }

    /// Appends `batch` for the writer with this epoch.
    pub(crate) fn append(
        &self,
        pipeline: &str,
        epoch: u64,
        identity: &mut IdentityText,
        batch: &AppendBatch,
    ) -> Result<()> {
        let epochs = self.appending.lock().unwrap_or_else(PoisonError::into_inner);
        if epochs.get(pipeline) != Some(&epoch) {
            return Err(Error::Fenced { pipeline: pipeline.to_owned() });
        }
        if batch.records.is_empty() && batch.update.is_none() {
            return Ok(());
        }
        let rolled = self.changing(|| {
            let (write, effect) =
                self.with_store(|store| self.prepare(store, pipeline, identity, batch))?;
            let rolled = effect.segment.is_some();
            write.commit().map_err(store_error(&self.dir, "append"))?;
            self.publish(effect);
            Ok(rolled)
        })?;
        if rolled {
            // The append is durable: what becomes of old segments does not change its answer.
            if let Err(error) = self.drop_segments() {
                tracing::warn!(%error, "could not drop old segments");
            }
        }
        drop(epochs);
        Ok(())
    }

    /// Runs a change of the store. After a failure nothing more is written until the store was
    /// opened again: what reached the disk is unknown, and a failed fsync is never tried twice.
    pub(crate) fn changing<T>(&self, change: impl FnOnce() -> Result<T>) -> Result<T> {
        if self.has_failed.load(Ordering::Acquire) {
            return Err(self.stopped());
        }
        self.check_space()?;
        let result = change();
        if result.as_ref().is_err_and(Error::is_store_failure) {
            self.has_failed.store(true, Ordering::Release);
        }
        result
    }

    fn check_space(&self) -> Result<()> {
        if self.config.free_bytes_min == 0 {
            return Ok(());
        }
        let free = fs4::available_space(&self.dir).map_err(io_error("measure", &self.dir))?;
        if free < self.config.free_bytes_min {
            return Err(Error::DiskFull { dir: self.dir.clone(), cause: None });
        }
        Ok(())
    }

    fn prepare(
        &self,
        store: &Store,
        pipeline: &str,
        identity: &mut IdentityText,
        batch: &AppendBatch,
    ) -> Result<(OwnedWriteBatch, Effect)> {
        if let Some(update) = &batch.update {
            let stored = store.pipelines.get(pipeline).map_or(0, |stored| stored.sequence);
            if update.sequence != stored + 1 {
                let (pipeline, found) = (pipeline.to_owned(), update.sequence);
                return Err(Error::SequenceGap { pipeline, stored, found });
            }
        }
        let now_ms = self.now_ms();
        let partitions = self.config.partitions;
        let mut planned = append::plan(&batch.records, &store.topics, partitions, identity, now_ms);
        let mut write = store.db.batch().durability(Some(self.durability()));
        let segment = self.roll(store, &mut write, now_ms)?;
        let keyspace = segment.as_ref().or(store.segments.last()).map(|s| &s.keyspace);
        let keyspace = keyspace.expect("invariant: the first append makes a segment");
        let mut bytes = 0;
        for block in std::mem::take(&mut planned.blocks) {
            bytes += block.bytes.len() as u64;
            write.insert(keyspace, layout::block_key(block.partition, block.first), block.bytes);
        }
        for topic in planned.topics.iter().filter(|topic| topic.is_new) {
            let partitions = u32::try_from(topic.next.len()).expect("invariant: made from an i32");
            let key = layout::key(b't', topic.topic.as_str().as_bytes());
            write.insert(&store.meta, key, layout::put_topic(topic.no, partitions));
        }
        let update = batch.update.as_ref();
        let stored = update.map(|update| put_checkpoint(store, &mut write, pipeline, update));
        let pipeline = stored.map(|stored| (pipeline.to_owned(), stored));
        Ok((write, Effect { planned, segment, pipeline, bytes, now_ms }))
    }

    /// Begins a new segment if there is none or the last one is full.
    fn roll(
        &self,
        store: &Store,
        write: &mut OwnedWriteBatch,
        now_ms: i64,
    ) -> Result<Option<Segment>> {
        let last = store.segments.last();
        if last.is_some_and(|last| !retention::is_full(&last.meta, &self.config, now_ms)) {
            return Ok(None);
        }
        if let Some(full) = last {
            write.insert(
                &store.meta,
                layout::segment_key(full.no),
                layout::put_segment(&full.meta),
            );
        }
        let no = last.map_or(0, |last| last.no + 1);
        let starts = store.next_offsets();
        let meta = SegmentMeta { created_ms: now_ms, last_ms: now_ms, bytes: 0, starts };
        let keyspace = store.make_segment(&self.dir, no)?;
        write.insert(&store.meta, layout::segment_key(no), layout::put_segment(&meta));
        Ok(Some(Segment { no, keyspace, meta }))
    }

    fn publish(&self, effect: Effect) {
        let mut guard = self.store.write().unwrap_or_else(PoisonError::into_inner);
        let store = guard.as_mut().expect("invariant: only who holds `appending` takes it away");
        store.segments.extend(effect.segment);
        for topic in effect.planned.topics {
            store.topics.insert(topic.topic, TopicState { no: topic.no, next: topic.next });
        }
        if let Some(last) = store.segments.last_mut() {
            last.meta.bytes += effect.bytes;
            last.meta.last_ms = effect.now_ms;
        }
        store.pipelines.extend(effect.pipeline);
        let sum = store.sum();
        drop(guard);
        self.bear_witness(sum);
        self.committed.send_modify(|count| *count += 1);
    }

    fn bear_witness(&self, sum: u64) {
        if self.config.fsync
            && let Err(error) = self.witness.write(sum)
        {
            // It only lags behind: damage to the last appends may go unnoticed.
            tracing::warn!(%error, "could not note how much is committed");
        }
    }

    fn reopen(&self) -> Result<()> {
        let failed = self.store.write().unwrap_or_else(PoisonError::into_inner).take();
        drop(failed);
        let store = self.open_once_released()?;
        self.bear_witness(store.sum());
        *self.store.write().unwrap_or_else(PoisonError::into_inner) = Some(store);
        self.has_failed.store(false, Ordering::Release);
        self.committed.send_modify(|count| *count += 1);
        tracing::info!(dir = %self.dir.display(), "the log was opened again");
        Ok(())
    }

    /// Returns the log's sizes.
    pub(crate) fn stats(&self) -> Result<LogStats> {
        let (segments, records) = self.with_store(|store| {
            let held = |topic: &TopicState| {
                let next = (0..).zip(&topic.next).map(|(partition, next)| {
                    next - store.first(PartitionNo { topic: topic.no, partition })
                });
                next.sum::<i64>().cast_unsigned()
            };
            let records = store.topics.iter().map(|(name, topic)| (name.clone(), held(topic)));
            Ok((store.segments.len(), records.collect()))
        })?;
        let disk_bytes = disk_bytes(&self.dir).map_err(io_error("measure", &self.dir))?;
        Ok(LogStats { disk_bytes, segments, records })
    }

    fn lock_store(&self) -> RwLockReadGuard<'_, Option<Store>> {
        self.store.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens the store as soon as the last reader has let go of the failed one.
    fn open_once_released(&self) -> Result<Store> {
        for _ in 0..20 {
            match open_store(&self.dir, &self.witness) {
                // Each attempt waits some 200 ms by itself.
                Err(Error::Store { cause: fjall::Error::Locked, .. }) => {}
                opened => return opened,
            }
        }
        Err(self.stopped())
    }

    pub(crate) fn stopped(&self) -> Error {
        Error::Stopped { dir: self.dir.clone() }
    }

    pub(crate) fn durability(&self) -> PersistMode {
        if self.config.fsync { PersistMode::SyncAll } else { PersistMode::Buffer }
    }

    pub(crate) fn now_ms(&self) -> i64 {
        self.config.clock.now().0.div_euclid(1_000)
    }
}

/// What an append changes in memory, once it is durable.
struct Effect {
    planned: Planned,
    segment: Option<Segment>,
    pipeline: Option<(String, Stored)>,
    bytes: u64,
    now_ms: i64,
}

fn put_checkpoint(
    store: &Store,
    write: &mut OwnedWriteBatch,
    pipeline: &str,
    update: &CheckpointUpdate,
) -> Stored {
    let known = || store.pipelines.get(pipeline).and_then(|stored| stored.position.clone());
    let position = update.position.as_ref().map(|position| position.0.clone()).or_else(known);
    let value = layout::put_checkpoint(update.sequence, position.as_deref());
    write.insert(&store.meta, layout::key(b'c', pipeline.as_bytes()), value);
    // A batch may name a key twice; the last one counts.
    let entries: BTreeMap<&str, &Option<Bytes>> =
        update.entries.iter().map(|(key, value)| (&**key, value)).collect();
    for (key, value) in entries {
        let key = layout::entry_key(pipeline, key);
        match value {
            Some(value) => write.insert(&store.meta, key, &**value),
            None => write.remove(&store.meta, key),
        }
    }
    Stored { sequence: update.sequence, position }
}

/// Returns the number of a partition that exists.
pub(crate) fn partition_no(store: &Store, partition: &TopicPartition) -> Result<PartitionNo> {
    let found = store.topics.get(&partition.topic).and_then(|topic| {
        let index = u32::try_from(partition.partition.0).ok()?;
        let exists = usize::try_from(index).ok()? < topic.next.len();
        exists.then_some(PartitionNo { topic: topic.no, partition: index })
    });
    found.ok_or_else(|| Error::UnknownPartition { partition: partition.clone() })
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("dir", &self.dir).finish_non_exhaustive()
    }
}
