//! Reads the session as fast as its batches are taken, and cuts it into batches: whatever has
//! arrived, up to a bound in bytes.
//!
//! While the server sends what was committed long ago, the pump lets the socket fill between reads:
//! else it would be woken for every row, which costs both sides more than the row itself. How far
//! behind the server is, its own clock tells: when it sent, less when the transaction committed.
//!
//! A permit of the queue is had before the first byte is read, so at most the queue's batches and
//! one more are in memory; when nobody takes them, the socket fills and the server waits. Status
//! updates go on meanwhile, from a task of their own.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cdc_model::{Lsn, Timestamp};
use cdc_pipeline::port::{ChangeBatch, StreamItem};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::config::Config;
use crate::error::{Error, Halt};
use crate::guard::Guards;
use crate::position::StreamPosition;
use crate::publication;
use crate::relation::{Relation, Resolver, Shape};
use crate::sql::Sql;
use crate::status::StatusHandle;
use crate::stream::decoder::{Decoder, Need};
use crate::stream::feedback::Feedback;
use crate::wire::{CopyMessage, CopyReader};

/// Batches of the stream, or what ended it.
pub(crate) type Queue = mpsc::Sender<Result<ChangeBatch, Error>>;

/// From how far behind on the pump prefers throughput to latency.
const BEHIND: Duration = Duration::from_millis(100);
/// How long the socket may then fill between two reads.
const PAUSE: Duration = Duration::from_millis(1);
/// How long a batch may then take to fill.
const FILL: Duration = Duration::from_millis(20);

/// What the pump works with.
pub(crate) struct Pump {
    pub(crate) config: Arc<Config>,
    pub(crate) guards: Guards,
    pub(crate) status: StatusHandle,
    pub(crate) reader: CopyReader,
    pub(crate) feedback: Feedback,
    pub(crate) decoder: Decoder,
    pub(crate) resolver: Resolver,
    /// Counts changes; tells the heartbeat that the source is not idle.
    pub(crate) activity: Arc<AtomicU64>,
    /// End of the log data received.
    pub(crate) received: Lsn,
}

/// One batch in the making.
struct Cut {
    batch: ChangeBatch,
    start: StreamPosition,
    /// Until when it may go on filling; set when the pump is found to be behind.
    fills_until: Option<Instant>,
    /// When the server sent the last message.
    sent_at: Timestamp,
}

impl Cut {
    /// Returns whether it is worth to wait for more, given when what it holds was committed.
    fn may_fill(&mut self, committed_at: Option<Timestamp>, bytes_max: usize) -> bool {
        let lag = committed_at.map_or(0, |at| self.sent_at.0.saturating_sub(at.0));
        let is_behind = u64::try_from(lag).is_ok_and(|lag| Duration::from_micros(lag) >= BEHIND);
        if !is_behind || self.batch.size >= bytes_max {
            return false;
        }
        let now = Instant::now();
        now < *self.fills_until.get_or_insert(now + FILL)
    }
}

/// What the server said of its log when nothing was in flight.
#[derive(Debug, Clone, Copy)]
struct Idle {
    /// When a position may next be made of it.
    due: Instant,
    wal_end: Lsn,
}

impl Pump {
    /// Runs until the session or the receiver ends.
    pub(crate) async fn run(mut self, queue: Queue) {
        let mut idle = Idle { due: Instant::now(), wal_end: Lsn::ZERO };
        while let Ok(permit) = queue.reserve().await {
            let outcome = self.fill(&mut idle).await;
            let has_failed = outcome.is_err();
            permit.send(match outcome {
                Ok(batch) => Ok(batch),
                Err(error) => Err(explain(&self.config, error).await),
            });
            if has_failed {
                return;
            }
        }
    }

    /// Fills one batch; not empty of both items and position.
    async fn fill(&mut self, idle: &mut Idle) -> Result<ChangeBatch, Error> {
        let mut cut = Cut {
            batch: ChangeBatch::default(),
            start: self.decoder.position(),
            fills_until: None,
            sent_at: Timestamp::default(),
        };
        loop {
            let has_idle = idle.wal_end > self.decoder.position().lsn && self.decoder.is_between();
            let due = cut.fills_until.unwrap_or(idle.due);
            let message = tokio::select! {
                biased;
                message = self.reader.read() => Some(message.map_err(Error::wire("reading the log"))?),
                () = tokio::time::sleep_until(due), if has_idle || cut.fills_until.is_some() => None,
            };
            match message {
                Some(message) => {
                    self.take(message, &mut cut, idle).await?;
                    self.drain(&mut cut, idle).await?;
                    let bytes_max = self.config.batch_bytes_max;
                    if cut.may_fill(self.decoder.committed_at(), bytes_max) {
                        self.reader.rest();
                        tokio::time::sleep(PAUSE).await;
                        continue;
                    }
                }
                None => self.decoder.idle(idle.wal_end),
            }
            // Costs nothing where the position moves anyway.
            if self.decoder.position() != cut.start {
                self.decoder.idle(idle.wal_end);
            }
            if let Some(batch) = self.finish(&mut cut) {
                idle.due = Instant::now() + self.config.idle_interval;
                return Ok(batch);
            }
            cut.fills_until = None;
        }
    }

    /// Takes what has already arrived.
    async fn drain(&mut self, cut: &mut Cut, idle: &mut Idle) -> Result<(), Error> {
        while cut.batch.size < self.config.batch_bytes_max {
            let next = self.reader.try_read_buffered().map_err(Error::wire("reading the log"))?;
            let Some(message) = next else { return Ok(()) };
            self.take(message, cut, idle).await?;
        }
        Ok(())
    }

    async fn take(
        &mut self,
        message: CopyMessage,
        cut: &mut Cut,
        idle: &mut Idle,
    ) -> Result<(), Error> {
        match message {
            CopyMessage::XLogData { start, end, sent_at, data } => {
                cut.sent_at = sent_at;
                self.received = self.received.max(end.max(start));
                cut.batch.size += data.len();
                if let Need::Relation(relation) =
                    self.decoder.consume(data, start, &mut cut.batch)?
                {
                    self.define(relation).await?;
                }
            }
            CopyMessage::Keepalive { wal_end, is_reply_requested, .. } => {
                self.received = self.received.max(wal_end);
                self.feedback.received(self.received);
                if self.decoder.is_between() {
                    idle.wal_end = wal_end;
                }
                if is_reply_requested {
                    idle.due = Instant::now();
                    self.feedback.reply();
                }
                let received = self.received;
                self.status.update(|status| {
                    status.received = received;
                    status.wal_end = status.wal_end.max(wal_end);
                });
            }
            CopyMessage::Notice { severity, code, message } if severity == "WARNING" => {
                if self.guards.publication {
                    return Err(Halt::ServerWarned { message, code }.into());
                }
            }
            CopyMessage::Notice { message, .. } => {
                tracing::info!(notice = %message, "the server noted");
            }
        }
        Ok(())
    }

    /// Closes the batch, if there is anything in it.
    fn finish(&mut self, cut: &mut Cut) -> Option<ChangeBatch> {
        let position = self.decoder.position();
        if position == cut.start && cut.batch.items.is_empty() {
            cut.batch.size = 0;
            return None;
        }
        let mut batch = std::mem::take(&mut cut.batch);
        batch.position = Some(position.encode());
        self.decoder.close_window();
        self.activity.fetch_add(self.decoder.take_activity(), Ordering::Relaxed);
        self.feedback.received(self.received);
        self.count(&batch);
        Some(batch)
    }

    fn count(&self, batch: &ChangeBatch) {
        self.status.update(|status| {
            status.received = self.received;
            status.wal_end = status.wal_end.max(self.received);
            let mut run: Option<(&cdc_model::TableName, u64)> = None;
            let mut add = |name: &cdc_model::TableName, changes| match status.tables.get_mut(name) {
                Some(table) => table.changes += changes,
                None => status.tables.entry(name.clone()).or_default().changes += changes,
            };
            for item in &batch.items {
                let StreamItem::Change(event) = item else { continue };
                match &mut run {
                    Some((name, changes)) if std::ptr::eq(*name, &event.table.name) => {
                        *changes += 1;
                    }
                    _ => {
                        if let Some((name, changes)) = run.replace((&event.table.name, 1)) {
                            add(name, changes);
                        }
                    }
                }
            }
            if let Some((name, changes)) = run {
                add(name, changes);
            }
        });
    }

    async fn define(&mut self, message: crate::pgoutput::Relation) -> Result<(), Error> {
        let shape = Shape::of_message(&message);
        let known = self.decoder.relation(shape.id).filter(|known| *known.shape == shape);
        // Sent again after every invalidation, mostly unchanged; labels of an enum may have grown.
        let relation: Relation =
            self.resolver.resolve(shape, known, self.decoder.open_xid()).await?;
        self.decoder.define(relation);
        Ok(())
    }
}

/// Says what an error means where its code alone does not tell.
async fn explain(config: &Config, error: Error) -> Error {
    // 42704, no such object: the slot's log does not know the publication (up to 17);
    // 55000 in a warning: the same (from 18 on).
    let is_publication = match &error {
        Error::Halt(Halt::ServerWarned { code, .. }) => code == "55000",
        error => error.sqlstate() == Some("42704"),
    };
    if !is_publication {
        return error;
    }
    let name = || config.publication.clone();
    let found = async {
        let sql = Sql::connect(&config.connect).await?;
        publication::find(&sql, &config.publication).await
    };
    match found.await {
        Ok(Some(_)) => Halt::PublicationAfterSlot { publication: name() }.into(),
        Ok(None) => Halt::PublicationMissing { publication: name() }.into(),
        Err(_) => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(sent_after: Duration, size: usize) -> Cut {
        let micros = i64::try_from(sent_after.as_micros()).unwrap();
        let batch = ChangeBatch { size, ..ChangeBatch::default() };
        Cut {
            batch,
            start: StreamPosition::between(Lsn::ZERO),
            fills_until: None,
            sent_at: Timestamp(micros),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_waits_for_more_only_while_the_server_is_behind() {
        let committed = Some(Timestamp(0));
        assert!(!cut(BEHIND / 2, 10).may_fill(committed, 100), "a commit of just now");
        assert!(!cut(BEHIND, 100).may_fill(committed, 100), "a full batch");
        assert!(!cut(BEHIND, 10).may_fill(None, 100), "no transaction yet");
        assert!(cut(BEHIND, 10).may_fill(committed, 100));
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_waits_for_more_for_a_bounded_time() {
        let mut cut = cut(BEHIND, 10);
        let begun = Instant::now();
        while cut.may_fill(Some(Timestamp(0)), 100) {
            tokio::time::advance(PAUSE).await;
        }
        assert_eq!(begun.elapsed(), FILL);
    }
}
