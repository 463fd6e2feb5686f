//! The project loop: read → decode → apply, rows and offsets together (I3).
//!
//! # Delivery
//! The sink's own offsets are the only memory: the loop reads on from them after every error, and
//! the sink ignores what it already holds. One apply is in flight while the next batch is read and
//! decoded.
//!
//! # Order
//! A key's changes stay in one partition and are applied in its order (I2). A change that can
//! never be applied is parked together with every later one of its key, in the sink's transaction;
//! a copy goes to the dead-letter topic first. A poisoned record without a key has no key to park:
//! the projection halts.
//!
//! # Failure
//! After any error of an apply its outcome is unknown: the sink is resumed, which fences strays
//! and reads its offsets, and the very same batch is applied again under the new epoch.
//!
//! # Several replicas
//! A sink that is shared is written by several loops, each with its share of the partitions
//! ([`Project::run_shared`]). A partition changes hands in four steps: its owner awaits what is being
//! applied and drops what it has read; tells its membership that it holds it no more; the next owner
//! claims it of the sink, which fences whatever the first still has under way; and reads on from the
//! offset and the parked keys that the claim returned. The first two may be missing (the owner froze,
//! died, or does not know yet): the claim alone is what no record is lost or doubled by.
//!
//! There, somebody else may have written between a failed apply and the next attempt, so nothing is
//! kept across one but poison: the session ends, and the next begins with what the sink says. After
//! poison nothing was applied; the batch goes on if the offsets are the same after claiming again.

mod desk;
mod pending;
mod session;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use cdc_model::{Topic, TopicPartition};
use tokio_util::sync::CancellationToken;

use crate::batch::BatchLimits;
use crate::capture::Backoff;
use crate::error::{Classify, ErrorClass};
use crate::hold::Hold;
use crate::port::{Decode, LogReader, LogWriter, Membership, Sharing, Sink, Sole};
use crate::retry::{Halted, RetryPolicy};
use crate::stats::{LoopStats, State};

use session::Session;

pub use desk::{Desk, DeskError, DeskQueue, Selection, Settled, desk};

/// What the project loop may take.
#[derive(Clone)]
pub struct ProjectConfig {
    /// The projection's name, as in dead letters and status.
    pub name: Arc<str>,
    /// Which topics it follows; asked again for each new topic.
    pub follows: Arc<dyn Fn(&Topic) -> bool + Send + Sync>,
    /// How often new topics and high watermarks are looked for. Default 500 ms.
    pub refresh_interval: Duration,
    /// Bounds of one apply.
    pub limits: BatchLimits,
    /// How failures are retried.
    pub retry: RetryPolicy,
    /// How many records may become dead letters before the projection halts, counted since it last
    /// started: a mistake in a schema must not empty a topic into its dead letters. Default 1,000.
    pub dead_letters_max: u64,
    /// Seed of the retries' jitter.
    pub seed: u64,
}

impl ProjectConfig {
    /// Returns the defaults for a projection called `name` that follows the topics for which
    /// `follows` returns true.
    pub fn new(
        name: impl Into<Arc<str>>,
        follows: impl Fn(&Topic) -> bool + Send + Sync + 'static,
    ) -> Self {
        Self {
            name: name.into(),
            follows: Arc::new(follows),
            refresh_interval: Duration::from_millis(500),
            limits: BatchLimits::default(),
            retry: RetryPolicy::default(),
            dead_letters_max: 1_000,
            seed: 0,
        }
    }
}

impl fmt::Debug for ProjectConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProjectConfig").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A project loop and what it runs on.
#[derive(Debug)]
pub struct Project<R, D, K, L> {
    /// Where records come from.
    pub reader: R,
    /// Reads them.
    pub decoder: D,
    /// Where rows go.
    pub sink: K,
    /// Where copies of dead letters go.
    pub dead_letters: L,
    /// Its settings.
    pub config: ProjectConfig,
    /// Wall-clock time, for latencies.
    pub clock: crate::Clock,
    /// What it tells about itself.
    pub stats: Arc<LoopStats>,
    /// Holds it when an operator wants.
    pub hold: Hold,
    /// Where parked records are asked for and settled.
    pub desk: DeskQueue,
}

impl<R: LogReader, D: Decode, K: Sink, L: LogWriter> Project<R, D, K, L> {
    /// Runs until `shutdown`, then drains: what was read is applied.
    ///
    /// # Errors
    /// [`Halted`] when going on would lose data or needs a person. The sink's rows and offsets stay
    /// as they were.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), Halted> {
        self.run_as(Sole, shutdown).await
    }

    /// Runs as one of several replicas that write to one shared sink: this one the partitions that
    /// `membership` deals to it. Each replica's dead letters need a writer of their own.
    ///
    /// # Errors
    /// As [`Project::run`]; at once if the sink is exclusive.
    pub async fn run_shared(
        self,
        membership: impl Membership,
        shutdown: CancellationToken,
    ) -> Result<(), Halted> {
        if self.sink.kind().sharing == Sharing::Exclusive {
            let halted = Halted::new(&Error::SinkExclusive { name: self.config.name.clone() });
            self.stats.set_state(State::Halted(halted.clone()));
            return Err(halted);
        }
        self.run_as(membership, shutdown).await
    }

    async fn run_as(
        mut self,
        mut membership: impl Membership,
        shutdown: CancellationToken,
    ) -> Result<(), Halted> {
        let mut backoff = Backoff::of(self.config.retry, self.config.seed);
        loop {
            self.stats.set_state(State::Starting);
            let session = Session::new(&mut self, &mut membership, &mut backoff, &shutdown);
            let Err(failure) = session.run().await else {
                self.stats.set_state(State::Stopped);
                return Ok(());
            };
            if !backoff.wait(&failure, &self.stats, &shutdown).await? {
                self.stats.set_state(State::Stopped);
                return Ok(());
            }
        }
    }
}

/// Why a projection cannot go on, whatever its adapters say.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The topic was deleted and made again under the same name.
    #[error("topic \"{topic}\" was deleted and made again since the projection read it")]
    TopicRecreated {
        /// The topic.
        topic: Topic,
    },
    /// The topic is gone.
    #[error("topic \"{topic}\", of which the projection holds rows, is gone")]
    TopicMissing {
        /// The topic.
        topic: Topic,
    },
    /// The log no longer holds what the projection must read next.
    #[error("{partition} holds offsets {first}..{end}, but the projection goes on at {wanted}")]
    OffsetOutOfRange {
        /// The partition.
        partition: TopicPartition,
        /// First offset the log holds.
        first: i64,
        /// Its high watermark.
        end: i64,
        /// The sink's next offset.
        wanted: i64,
    },
    /// The log's beginning is gone, and the projection is new.
    #[error("{partition} begins at offset {first}: a new projection would miss what came before")]
    BaseMissing {
        /// The partition.
        partition: TopicPartition,
        /// First offset the log holds.
        first: i64,
    },
    /// A record without a key can never be applied, and there is no key to park.
    #[error("record {offset} of {partition} has no key and cannot be applied: {reason}")]
    PoisonWithoutKey {
        /// The partition.
        partition: TopicPartition,
        /// The record's offset.
        offset: i64,
        /// Why it cannot be applied.
        reason: String,
    },
    /// A key change needs columns of the old row, and the two records may part.
    #[error(
        "a key of topic \"{topic}\" changed in a row with a large column that did not, and with \
         several partitions the column cannot be carried over"
    )]
    KeyChangeParts {
        /// The topic.
        topic: Topic,
    },
    /// Too many dead letters.
    #[error("{count} records became dead letters, more than the {max} allowed; the last: {reason}")]
    TooManyDeadLetters {
        /// How many.
        count: u64,
        /// The bound.
        max: u64,
        /// The last one's reason.
        reason: String,
    },
    /// Another projector took the store over.
    #[error("another projector has taken over projection \"{name}\"")]
    Superseded {
        /// The projection.
        name: Arc<str>,
    },
    /// Another replica wrote to a partition between two attempts of this one.
    #[error("another replica of projection \"{name}\" has written to a partition of this one's")]
    PartitionTaken {
        /// The projection.
        name: Arc<str>,
    },
    /// Partitions of an exclusive sink cannot be dealt out.
    #[error("the store of projection \"{name}\" admits one writer, and cannot be shared")]
    SinkExclusive {
        /// The projection.
        name: Arc<str>,
    },
}

impl Classify for Error {
    fn class(&self) -> ErrorClass {
        match self {
            Self::TopicRecreated { .. }
            | Self::TopicMissing { .. }
            | Self::OffsetOutOfRange { .. }
            | Self::BaseMissing { .. }
            | Self::PoisonWithoutKey { .. }
            | Self::KeyChangeParts { .. }
            | Self::TooManyDeadLetters { .. }
            | Self::Superseded { .. }
            | Self::SinkExclusive { .. } => ErrorClass::Fatal,
            Self::PartitionTaken { .. } => ErrorClass::Fenced,
        }
    }

    fn code(&self) -> Option<&'static str> {
        Some(match self {
            Self::TopicRecreated { .. } => "TOPIC_RECREATED",
            Self::TopicMissing { .. } => "TOPIC_MISSING",
            Self::OffsetOutOfRange { .. } => "OFFSET_OUT_OF_RANGE",
            Self::BaseMissing { .. } => "PROJECTION_BASE_MISSING",
            Self::PoisonWithoutKey { .. } => "POISON_WITHOUT_KEY",
            Self::KeyChangeParts { .. } => "KEY_CHANGE_WITHOUT_ROW",
            Self::TooManyDeadLetters { .. } => "TOO_MANY_DEAD_LETTERS",
            Self::Superseded { .. } => "SINK_FENCED",
            Self::PartitionTaken { .. } => "PARTITION_TAKEN",
            Self::SinkExclusive { .. } => "SINK_EXCLUSIVE",
        })
    }

    fn remedy(&self) -> Option<String> {
        Some(match self {
            Self::TopicRecreated { .. }
            | Self::TopicMissing { .. }
            | Self::OffsetOutOfRange { .. }
            | Self::BaseMissing { .. } => "The projection cannot be brought up to date from this \
                log. Start over with an empty data directory, which takes a new snapshot, or \
                restore the topic."
                .to_owned(),
            Self::PoisonWithoutKey { .. } => "Give the table a primary key or REPLICA IDENTITY \
                FULL, or change the value at the source, and start over with a new snapshot."
                .to_owned(),
            Self::KeyChangeParts { .. } => {
                "Run ALTER TABLE ... REPLICA IDENTITY FULL on the table, \
                so that its key changes carry every column, and start over with a new snapshot."
                    .to_owned()
            }
            Self::TooManyDeadLetters { .. } => "Look at the dead-letter topic for what they have \
                in common; restarting allows as many again."
                .to_owned(),
            Self::Superseded { .. } => {
                "Stop the other projector, then start this one again.".to_owned()
            }
            Self::PartitionTaken { .. } => return None,
            Self::SinkExclusive { .. } => {
                "Run one replica of it; others wait until the store is free.".to_owned()
            }
        })
    }
}
