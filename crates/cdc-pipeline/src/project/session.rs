//! One session of a projection: from resuming its sink until something is lost.

mod cursor;
mod settle;
mod share;

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use cdc_model::{LogRecord, Record, TableName, Timestamp, Topic};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::capture::{Backoff, Failure};
use crate::dead_letter::{SUFFIX, Stage, dead_letter};
use crate::error::{Classify, ErrorClass, chain};
use crate::port::{
    AppendBatch, Decode, DecodeError, Decoded, Fetched, LogReader, LogWriter, Membership, Share,
    Sharing, Sink, SinkBatch, SinkError, SinkState, TopicMeta,
};
use crate::project::pending::{ParkedKeys, Pending, Prepared};
use crate::project::{Error, Project};
use crate::stats::{LoopStats, Newest, Partitions, State, TableCounts};

use cursor::Cursor;

/// A session's stay in the loop's parts.
pub(super) struct Session<'a, R, D, K, L, M> {
    project: &'a mut Project<R, D, K, L>,
    membership: &'a mut M,
    backoff: &'a mut Backoff,
    shutdown: &'a CancellationToken,
    cursor: Cursor,
    pending: Pending,
    sink_state: SinkState,
    parked: ParkedKeys,
    has_dead_letter_writer: bool,
    /// Other replicas may write to the sink too.
    is_shared: bool,
    /// What this replica may write.
    share: Share,
    /// Topics of which a shared sink holds rows, whoever writes them.
    topics_held: BTreeSet<Topic>,
    /// Partitions of all topics followed.
    partitions_total: usize,
}

type Applying<'a, E> = Pin<Box<dyn Future<Output = Result<(), E>> + Send + 'a>>;

impl<'a, R: LogReader, D: Decode, K: Sink, L: LogWriter, M: Membership> Session<'a, R, D, K, L, M> {
    pub(super) fn new(
        project: &'a mut Project<R, D, K, L>,
        membership: &'a mut M,
        backoff: &'a mut Backoff,
        shutdown: &'a CancellationToken,
    ) -> Self {
        let sink_state = SinkState {
            generation: crate::port::Generation(1),
            epoch: crate::port::Epoch(0),
            offsets: BTreeMap::new(),
            parked: Vec::new(),
        };
        let is_shared = project.sink.kind().sharing == Sharing::Partitioned;
        Self {
            project,
            membership,
            backoff,
            shutdown,
            cursor: Cursor::default(),
            pending: Pending::default(),
            sink_state,
            parked: ParkedKeys::new(),
            has_dead_letter_writer: false,
            is_shared,
            share: Share::nothing(),
            topics_held: BTreeSet::new(),
            partitions_total: 0,
        }
    }

    /// Runs until shutdown (`Ok`) or until something is lost.
    pub(super) async fn run(mut self) -> Result<(), Failure> {
        let shutdown = self.shutdown.clone();
        let Some(started) = shutdown.run_until_cancelled(self.start()).await else {
            return Ok(());
        };
        started?;
        self.project.stats.set_state(State::Running);
        self.follow().await
    }

    async fn start(&mut self) -> Result<(), Failure> {
        // First: what an earlier session held is given up even while the sink is away.
        if let Some(share) = self.news().await? {
            self.share = share;
        }
        if self.is_shared {
            // The reader still has an earlier session's share.
            self.project.reader.assign(Vec::new()).await?;
        }
        self.resume().await?;
        for (partition, (_, next)) in &self.sink_state.offsets {
            self.project.stats.set_offset(partition.clone(), *next);
        }
        self.refresh().await?;
        Ok(())
    }

    async fn resume(&mut self) -> Result<(), Failure> {
        let resumed = self.project.sink.resume().await?;
        self.sink_state = if self.is_shared { self.claim_again(resumed).await? } else { resumed };
        self.parked = self.sink_state.parked.iter().cloned().collect();
        self.project.stats.set_parked_keys(self.parked.len());
        Ok(())
    }

    /// Looks for new topics and high watermarks, and reads the new topics too.
    async fn refresh(&mut self) -> Result<(), Failure> {
        let mut topics = self.topics().await?;
        if self.claim_new(&topics).await? {
            // Until the claim another replica may have gone on past the ends known so far.
            topics = self.topics().await?;
        }
        let known = self.cursor.next.len();
        for meta in &topics {
            for (partition, start) in self.cursor.take_up(meta, &self.share, &self.sink_state)? {
                self.pending.begin(partition, start);
            }
            for (partition, (_, end)) in meta.topic_partitions().zip(&meta.partitions) {
                if self.share.has(&partition) {
                    self.project.stats.set_end_offset(partition, *end);
                }
            }
        }
        let names: BTreeSet<_> = topics.iter().map(|meta| &meta.topic).collect();
        let held = self.sink_state.offsets.keys().map(|partition| &partition.topic);
        let gone = held.chain(&self.topics_held).find(|topic| !names.contains(topic));
        if let Some(topic) = gone {
            return Err(Error::TopicMissing { topic: topic.clone() }.into());
        }
        self.partitions_total = topics.iter().map(|meta| meta.partitions.len()).sum();
        self.tell_partitions();
        if self.cursor.next.len() > known {
            self.project.reader.assign(self.cursor.positions()).await?;
        }
        Ok(())
    }

    /// Lists the topics that are followed.
    async fn topics(&mut self) -> Result<Vec<TopicMeta>, Failure> {
        let follows = self.project.config.follows.clone();
        let mut topics = self.project.reader.topics().await?;
        topics.retain(|meta| !meta.topic.as_str().ends_with(SUFFIX) && follows(&meta.topic));
        Ok(topics)
    }

    fn tell_partitions(&self) {
        let (held, total) = (self.cursor.next.len(), self.partitions_total);
        self.project.stats.set_partitions(Partitions { held, total });
    }

    async fn follow(&mut self) -> Result<(), Failure> {
        let mut refresh_at = Instant::now() + self.project.config.refresh_interval;
        let mut lost = None;
        loop {
            let is_ending = lost.is_some() || self.shutdown.is_cancelled();
            let is_reading = !is_ending && !self.project.hold.is_paused();
            let due = self.pending.due(&self.project.config.limits);
            if !is_reading && due.is_none() {
                if is_ending {
                    return lost.map_or(Ok(()), Err);
                }
                self.rest().await?;
                continue;
            }
            // Asked for each batch too, for under load nothing below is reached.
            if self.is_shared
                && is_reading
                && let Some(share) = self.news().await?
            {
                self.take_share(share).await?;
                continue;
            }
            if !is_reading || due.is_some_and(|due| due <= Instant::now()) {
                lost = lost.or(self.apply_pending(is_reading).await?);
                continue;
            }
            if refresh_at <= Instant::now() {
                self.refresh().await?;
                refresh_at = Instant::now() + self.project.config.refresh_interval;
            }
            let wake_at = due.map_or(refresh_at, |due| due.min(refresh_at));
            let bytes_max = self.project.config.limits.bytes_max;
            let Project { reader, desk, hold, .. } = &mut *self.project;
            let fetched = tokio::select! {
                biased;
                () = self.shutdown.cancelled() => continue,
                () = hold.paused() => continue,
                request = desk.next() => {
                    self.answer(request).await?;
                    continue;
                }
                share = self.membership.next(&self.share) => {
                    self.take_share(share?).await?;
                    continue;
                }
                fetched = reader.poll(bytes_max) => fetched,
                () = tokio::time::sleep_until(wake_at) => continue,
            };
            let Project { decoder, stats, clock, .. } = &mut *self.project;
            let taken = match fetched {
                Ok(fetched) => {
                    let told = (&**stats, clock.now());
                    take_in(decoder, &mut self.pending, &mut self.cursor, fetched, told).await
                }
                Err(error) => Err(error.into()),
            };
            lost = taken.err();
        }
    }

    /// Applies the pending batch, meanwhile reading on. Returns what was lost of the log meanwhile.
    async fn apply_pending(&mut self, is_reading: bool) -> Result<Option<Failure>, Failure> {
        let SinkState { generation, epoch, .. } = self.sink_state;
        let topic_ids = &self.cursor.topic_ids;
        let mut prepared = self.pending.take(&mut self.parked, topic_ids, generation, epoch);
        let invalid = std::mem::take(&mut prepared.invalid);
        for (record, reason) in invalid {
            self.bury(&record, Stage::ValueConverter, &reason).await?;
        }
        let since = Instant::now();
        let mut lost = None;
        let mut is_first = true;
        let prepared = loop {
            let batch = Arc::new(prepared.batch);
            let (outcome, found) = self.apply(batch.clone(), is_reading && is_first).await;
            is_first = false;
            lost = lost.or(found);
            prepared.batch = Arc::unwrap_or_clone(batch);
            match outcome {
                Ok(()) => break prepared,
                Err(error) => self.recover(error, &mut prepared).await?,
            }
        };
        self.applied(&prepared, since);
        Ok(lost)
    }

    async fn apply(
        &mut self,
        batch: Arc<SinkBatch>,
        mut is_reading: bool,
    ) -> (Result<(), K::Error>, Option<Failure>) {
        let Project { reader, decoder, sink, config, stats, clock, .. } = &mut *self.project;
        let mut applying: Applying<'_, K::Error> = Box::pin(sink.apply(batch));
        let mut lost = None;
        loop {
            let has_room = is_reading && self.pending.has_room(&config.limits);
            let fetched = tokio::select! {
                biased;
                outcome = applying.as_mut() => return (outcome, lost),
                () = self.shutdown.cancelled(), if is_reading => { is_reading = false; continue }
                fetched = reader.poll(config.limits.bytes_max), if has_room => fetched,
            };
            let taken = match fetched {
                Ok(fetched) => {
                    let told = (&**stats, clock.now());
                    take_in(decoder, &mut self.pending, &mut self.cursor, fetched, told).await
                }
                Err(error) => Err(error.into()),
            };
            if let Err(failure) = taken {
                lost = Some(failure);
                is_reading = false;
            }
        }
    }

    /// Makes ready to apply again after an error: poison is parked, the sink resumed.
    async fn recover(&mut self, error: K::Error, prepared: &mut Prepared) -> Result<(), Failure> {
        let reason = chain(&error);
        if error.class() == ErrorClass::Fenced && !self.is_shared {
            let name = self.project.config.name.clone();
            return Err(Error::Superseded { name }.into());
        }
        let mut newly_parked = self.parked.clone();
        if let Some(index) = error.poisoned() {
            let at = prepared.records.get(index).cloned();
            let Some(record) = prepared.park_poisoned(index, &reason, &mut newly_parked) else {
                return Err(at.map_or(Failure::from(error), |record| without_key(&record, reason)));
            };
            self.bury(&record, Stage::TaskPut, &reason).await?;
        } else {
            self.wait(Failure::from(error)).await?;
        }
        while let Err(failure) = self.resume().await {
            self.wait(failure).await?;
        }
        // Not what the sink holds: the batch at hand, which is applied next, may end parked keys.
        self.parked = newly_parked;
        prepared.batch.epoch = self.sink_state.epoch;
        self.project.stats.set_state(State::Running);
        Ok(())
    }

    /// Waits before another attempt. Where others may write meanwhile, the session ends instead.
    async fn wait(&mut self, failure: Failure) -> Result<(), Failure> {
        if self.is_shared {
            return Err(failure);
        }
        let waited = self.backoff.wait(&failure, &self.project.stats, self.shutdown).await;
        match waited {
            Ok(true) => Ok(()),
            Ok(false) => Err(failure),
            Err(halted) => Err(Failure { class: ErrorClass::Fatal, halted }),
        }
    }

    /// Writes the copy of a record that can never be applied.
    async fn bury(&mut self, record: &LogRecord, stage: Stage, why: &str) -> Result<(), Failure> {
        if record.key.is_none() {
            return Err(without_key(record, why.to_owned()));
        }
        let count = self.project.stats.dead_letters.fetch_add(1, Ordering::Relaxed) + 1;
        let max = self.project.config.dead_letters_max;
        if count > max {
            return Err(Error::TooManyDeadLetters { count, max, reason: why.to_owned() }.into());
        }
        let copy = dead_letter(&self.project.config.name, record, stage, why);
        tracing::warn!(topic = %copy.topic, offset = record.offset.0, error = why, "dead letter");
        let batch = Arc::new(AppendBatch { records: vec![copy], update: None });
        while let Err(failure) = self.append_dead_letter(batch.clone()).await {
            self.has_dead_letter_writer = false;
            self.wait(failure).await?;
        }
        Ok(())
    }

    async fn append_dead_letter(&mut self, batch: Arc<AppendBatch>) -> Result<(), Failure> {
        if !self.has_dead_letter_writer {
            self.project.dead_letters.open().await?;
            self.has_dead_letter_writer = true;
        }
        Ok(self.project.dead_letters.append(batch).await?)
    }

    fn applied(&mut self, prepared: &Prepared, since: Instant) {
        self.backoff.reset();
        let stats = &self.project.stats;
        for range in &prepared.batch.ranges {
            let held = (range.topic_id.clone(), range.next);
            self.sink_state.offsets.insert(range.source.clone(), held);
            stats.set_offset(range.source.clone(), range.next);
            stats.set_end_offset(range.source.clone(), range.next);
        }
        stats.set_parked_keys(self.parked.len());
        let size = |r: &LogRecord| r.value.as_ref().map_or(0, Bytes::len);
        let bytes: usize = prepared.records.iter().map(size).sum();
        let count = |n: usize| u64::try_from(n).unwrap_or(0);
        stats.bytes.fetch_add(count(bytes), Ordering::Relaxed);
        stats.records.fetch_add(count(prepared.records.len()), Ordering::Relaxed);
        stats.events.fetch_add(count(prepared.batch.changes.len()), Ordering::Relaxed);
        stats.count(tally(&prepared.batch));
        let newest = prepared.batch.changes.last().map(|change| Newest::of(&change.event));
        stats.wrote(newest, self.project.clock.now(), since.elapsed());
    }
}

fn without_key(record: &LogRecord, reason: String) -> Failure {
    let partition = record.source.clone();
    Error::PoisonWithoutKey { partition, offset: record.offset.0, reason }.into()
}

fn tally(batch: &SinkBatch) -> BTreeMap<TableName, TableCounts> {
    let mut tally = crate::capture::Tally::default();
    for change in &batch.changes {
        tally.count(&change.event);
    }
    tally.settle();
    tally.tables
}

/// Decodes what was fetched into the pending batch.
async fn take_in<D: Decode>(
    decoder: &mut D,
    pending: &mut Pending,
    cursor: &mut Cursor,
    fetched: Fetched,
    (stats, now): (&LoopStats, Timestamp),
) -> Result<(), Failure> {
    let mut bytes = 0;
    let mut decoded = Vec::with_capacity(fetched.records.len());
    for record in fetched.records {
        bytes += record.value.as_ref().map_or(0, Bytes::len) + size_of::<Record>();
        let outcome = decode(decoder, &record).await?;
        // Before anything is taken in: what is not covered must not be applied.
        if matches!(outcome, Ok(Decoded::Moved(_)))
            && !cursor.has_one_partition(&record.source.topic)
        {
            return Err(Error::KeyChangeParts { topic: record.source.topic }.into());
        }
        decoded.push((record, outcome));
    }
    let newest = decoded.iter().rev().find_map(|(_, outcome)| match outcome {
        Ok(Decoded::Change(event)) => Some(Newest::of(event)),
        _ => None,
    });
    if let Some(newest) = newest {
        stats.took_in(newest, now);
    }
    for (record, outcome) in decoded {
        match outcome {
            Ok(Decoded::Change(event)) => pending.push_change(record, event),
            Ok(Decoded::Moved(event)) => pending.push_moved(record, event),
            Ok(Decoded::Skip) => {}
            Err(reason) => pending.push_invalid(record, reason),
        }
    }
    for (partition, next) in fetched.next {
        debug_assert!(cursor.topic_ids.contains_key(&partition), "{partition} is not read");
        cursor.next.insert(partition.clone(), next);
        pending.cover(partition, next);
    }
    pending.grow(bytes, Instant::now());
    Ok(())
}

/// Decodes one record; the inner error is poison.
async fn decode<D: Decode>(
    decoder: &mut D,
    record: &LogRecord,
) -> Result<Result<Decoded, String>, Failure> {
    loop {
        match decoder.decode(record) {
            Ok(decoded) => return Ok(Ok(decoded)),
            Err(DecodeError::Invalid(error)) => return Ok(Err(chain(&error))),
            Err(DecodeError::UnknownSchema(id)) => match decoder.learn(id).await {
                Ok(()) => {}
                Err(error) if error.class() == ErrorClass::Poison => return Ok(Err(chain(&error))),
                Err(error) => return Err(error.into()),
            },
        }
    }
}
