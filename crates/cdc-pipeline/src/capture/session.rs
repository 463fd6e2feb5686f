//! One session of capture: from taking the source's lock until something is lost.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::capture::pending::{InFlight, Pending};
use crate::capture::{Backoff, Capture, Failure, ForeignCheckpoint};
use crate::error::ErrorClass;
use crate::port::{
    Acknowledge, AppendBatch, ChangeBatch, ChangeStream, Checkpoint, Encode, LogWriter, Opened,
    Source, StreamItem,
};
use crate::stats::{LoopStats, Newest, State};

/// After this long an append in flight is told as waiting.
const SLOW_APPEND: Duration = Duration::from_secs(5);

/// A session's stay in the loop's parts.
pub(super) struct Session<'a, S, W, E> {
    capture: &'a mut Capture<S, W, E>,
    backoff: &'a mut Backoff,
    shutdown: &'a CancellationToken,
    pending: Pending,
    /// What the log holds, as far as appends were answered.
    checkpoint: Checkpoint,
    has_message_schema: bool,
}

impl<'a, S: Source, W: LogWriter, E: Encode> Session<'a, S, W, E> {
    pub(super) fn new(
        capture: &'a mut Capture<S, W, E>,
        backoff: &'a mut Backoff,
        shutdown: &'a CancellationToken,
    ) -> Self {
        let pending = Pending::default();
        let checkpoint = Checkpoint::default();
        Self { capture, backoff, shutdown, pending, checkpoint, has_message_schema: false }
    }

    /// Runs until shutdown (`Ok`) or until something is lost.
    pub(super) async fn run(mut self) -> Result<(), Failure> {
        let shutdown = self.shutdown.clone();
        let Some(started) = shutdown.run_until_cancelled(self.start()).await else {
            return Ok(());
        };
        let (mut stream, acknowledger) = started?;
        self.capture.stats.set_state(State::Running);
        self.stream(&mut stream, &acknowledger).await
    }

    /// Locks, fences, checks, opens; makes the marks that the source asks for on the way.
    async fn start(&mut self) -> Result<(S::Stream, S::Acknowledger), Failure> {
        self.capture.source.acquire().await?;
        let mut checkpoint = self.capture.writer.open().await?;
        loop {
            match self.capture.source.open(checkpoint.as_ref()).await? {
                Opened::Ready(stream, acknowledger) => {
                    // A crash may have come between the append of this position and its
                    // acknowledgement, and an idle source would never bring another.
                    self.checkpoint = checkpoint.unwrap_or_default();
                    if let Some(position) = &self.checkpoint.position {
                        acknowledger.acknowledge(position);
                    }
                    return Ok((stream, acknowledger));
                }
                Opened::Mark(mut update) => {
                    let next = checkpoint.get_or_insert_with(Checkpoint::default);
                    update.sequence = next.sequence + 1;
                    next.apply(&update);
                    let batch = AppendBatch { records: Vec::new(), update: Some(update) };
                    self.capture.writer.append(batch.into()).await?;
                }
            }
        }
    }

    /// Reads and appends, one append in flight while the next batch is built.
    async fn stream(
        &mut self,
        stream: &mut S::Stream,
        acknowledger: &S::Acknowledger,
    ) -> Result<(), Failure> {
        let mut lost = None;
        loop {
            let is_ending = lost.is_some() || self.shutdown.is_cancelled();
            let is_reading = !is_ending && !self.capture.hold.is_paused();
            if !is_reading && self.pending.due(&self.capture.config.limits).is_none() {
                if is_ending {
                    return lost.map_or(Ok(()), Err);
                }
                self.rest().await;
                continue;
            }
            let in_flight = self.next_batch(stream, is_reading).await;
            let in_flight = match in_flight {
                Ok(Some(in_flight)) => in_flight,
                Ok(None) => continue,
                Err(failure) => {
                    lost = Some(failure);
                    continue;
                }
            };
            let found = self.append(stream, &in_flight, is_reading).await?;
            self.appended(&in_flight, acknowledger);
            lost = lost.or(found);
        }
    }

    /// Waits while an operator holds the loop.
    async fn rest(&mut self) {
        self.capture.stats.set_state(State::Paused);
        self.shutdown.run_until_cancelled(self.capture.hold.resumed()).await;
        self.capture.stats.set_state(State::Running);
    }

    /// Grows the pending batch until it is due, and takes it out.
    async fn next_batch(
        &mut self,
        stream: &mut S::Stream,
        is_reading: bool,
    ) -> Result<Option<InFlight>, Failure> {
        let due = self.pending.due(&self.capture.config.limits);
        let is_due = due.is_some_and(|due| due <= Instant::now());
        if is_due || !is_reading {
            return Ok(Some(self.pending.take(self.checkpoint.sequence + 1)));
        }
        let wait = async {
            match due {
                Some(due) => tokio::time::sleep_until(due).await,
                None => std::future::pending().await,
            }
        };
        let changes = tokio::select! {
            biased;
            () = self.shutdown.cancelled() => return Ok(None),
            () = self.capture.hold.paused() => return Ok(None),
            changes = stream.next() => changes?,
            () = wait => return Ok(None),
        };
        self.take_in(changes).await?;
        Ok(None)
    }

    /// Appends `in_flight`, meanwhile reading on. Returns what was lost of the source meanwhile.
    async fn append(
        &mut self,
        stream: &mut S::Stream,
        in_flight: &InFlight,
        mut is_reading: bool,
    ) -> Result<Option<Failure>, Failure> {
        let mut lost = None;
        let mut is_slow = false;
        let outcome = {
            let Capture { writer, encoder, config, clock, stats, .. } = &mut *self.capture;
            let mut intake = Intake {
                encoder,
                pending: &mut self.pending,
                has_message_schema: &mut self.has_message_schema,
                now: &|| clock.now(),
                stats,
            };
            let mut append = Box::pin(writer.append(in_flight.batch.clone()));
            let mut slow = std::pin::pin!(tokio::time::sleep(SLOW_APPEND));
            loop {
                let has_room = is_reading && intake.pending.has_room(&config.limits);
                let changes = tokio::select! {
                    biased;
                    outcome = append.as_mut() => break outcome,
                    () = self.shutdown.cancelled(), if is_reading => { is_reading = false; continue }
                    changes = stream.next(), if has_room => changes,
                    () = slow.as_mut(), if !is_slow => {
                        is_slow = true;
                        let reason = "the event log has not answered an append for 5 s".to_owned();
                        stats.set_state(State::Waiting { reason });
                        continue;
                    }
                };
                let taken = match changes {
                    Ok(changes) => intake.take_in(changes).await,
                    Err(error) => Err(error.into()),
                };
                if let Err(failure) = taken {
                    stats.retries.fetch_add(1, Ordering::Relaxed);
                    lost = Some(failure);
                    is_reading = false;
                }
            }
        };
        match outcome {
            Ok(()) if is_slow => self.capture.stats.set_state(State::Running),
            Ok(()) => {}
            Err(error) => self.recover(in_flight, error).await?,
        }
        Ok(lost)
    }

    /// Finds out what became of an append whose answer was lost, and repeats it if need be.
    async fn recover(&mut self, in_flight: &InFlight, error: W::Error) -> Result<(), Failure> {
        let mut expected = self.checkpoint.clone();
        if let Some(update) = &in_flight.batch.update {
            expected.apply(update);
        }
        let mut failure = Failure::from(error);
        loop {
            if failure.class == ErrorClass::Fenced {
                return Err(failure);
            }
            let waited = self.backoff.wait(&failure, &self.capture.stats, self.shutdown).await;
            if !waited.map_err(|halted| Failure { class: ErrorClass::Fatal, halted })? {
                return Err(failure);
            }
            let found = match self.capture.writer.open().await {
                Ok(checkpoint) => checkpoint.unwrap_or_default(),
                Err(error) => {
                    failure = error.into();
                    continue;
                }
            };
            // Compared whole: another instance that held the source meanwhile may have made an
            // append of its own with this number.
            if found == expected {
                break;
            }
            if found != self.checkpoint {
                let (found, expected) = (found.sequence, expected.sequence);
                return Err(ForeignCheckpoint { found, expected }.into());
            }
            match self.capture.writer.append(in_flight.batch.clone()).await {
                Ok(()) => break,
                Err(error) => failure = error.into(),
            }
        }
        self.capture.stats.set_state(State::Running);
        Ok(())
    }

    /// The batch is durable: now, and only now, the source may let go of it (I1).
    fn appended(&mut self, in_flight: &InFlight, acknowledger: &S::Acknowledger) {
        self.backoff.reset();
        let update = in_flight.batch.update.as_ref();
        if let Some(update) = update {
            self.checkpoint.apply(update);
        }
        if let Some(position) = update.and_then(|update| update.position.as_ref()) {
            acknowledger.acknowledge(position);
        }
        record(&self.capture.stats, in_flight, self.capture.clock.now());
    }

    async fn take_in(&mut self, changes: ChangeBatch) -> Result<(), Failure> {
        let clock = self.capture.clock.clone();
        let mut intake = Intake {
            encoder: &mut self.capture.encoder,
            pending: &mut self.pending,
            has_message_schema: &mut self.has_message_schema,
            now: &|| clock.now(),
            stats: &self.capture.stats,
        };
        intake.take_in(changes).await
    }
}

fn record(stats: &LoopStats, in_flight: &InFlight, now: cdc_model::Timestamp) {
    let payload = |r: &cdc_model::Record| {
        r.key.as_ref().map_or(0, bytes::Bytes::len) + r.value.as_ref().map_or(0, bytes::Bytes::len)
    };
    let bytes: usize = in_flight.batch.records.iter().map(payload).sum();
    let add = |counter: &std::sync::atomic::AtomicU64, n: usize| {
        counter.fetch_add(u64::try_from(n).unwrap_or(0), Ordering::Relaxed)
    };
    add(&stats.bytes, bytes);
    add(&stats.records, in_flight.batch.records.len());
    stats.events.fetch_add(in_flight.tally.events, Ordering::Relaxed);
    stats.count(in_flight.tally.tables.clone());
    stats.wrote(in_flight.tally.newest, now, in_flight.since.elapsed());
}

/// Encodes pieces of the stream into the pending batch.
struct Intake<'a, E> {
    encoder: &'a mut E,
    pending: &'a mut Pending,
    has_message_schema: &'a mut bool,
    now: &'a (dyn Fn() -> cdc_model::Timestamp + Sync),
    stats: &'a LoopStats,
}

impl<E: Encode> Intake<'_, E> {
    /// Takes in one piece, whole or, on an error, in part: then the session ends and the part with
    /// it, for it was never closed.
    async fn take_in(&mut self, changes: ChangeBatch) -> Result<(), Failure> {
        let now = (self.now)();
        let first = self.pending.records.len();
        let newest = changes.items.iter().rev().find_map(|item| match item {
            StreamItem::Change(event) => Some(Newest::of(event)),
            StreamItem::Schema(_) | StreamItem::Message(_) => None,
        });
        if let Some(newest) = newest {
            self.stats.took_in(newest, now);
        }
        for item in &changes.items {
            if let Err(failure) = self.encode(item, now).await {
                self.pending.records.truncate(first);
                return Err(failure);
            }
        }
        self.pending.close(changes.position, changes.entries, changes.size);
        Ok(())
    }

    async fn encode(
        &mut self,
        item: &StreamItem,
        now: cdc_model::Timestamp,
    ) -> Result<(), Failure> {
        match item {
            StreamItem::Change(event) => {
                self.encoder.encode(event, now, &mut self.pending.records)?;
                self.pending.tally.count(event);
            }
            StreamItem::Schema(table) => self.encoder.prepare(table).await?,
            StreamItem::Message(message) => {
                if !*self.has_message_schema {
                    self.encoder.prepare_messages().await?;
                    *self.has_message_schema = true;
                }
                self.encoder.encode_message(message, now, &mut self.pending.records)?;
            }
        }
        Ok(())
    }
}
