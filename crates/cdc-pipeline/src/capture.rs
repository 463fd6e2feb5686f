//! The capture loop: source → encode → append → acknowledge.
//!
//! # Order of start
//! Lock the source, fence the log and read the checkpoint, check the source against it, stream.
//! The order is what lets a second instance wait as a standby without disturbing the first.
//!
//! # Delivery
//! A piece of the stream is appended together with the position after it, and the source is
//! acknowledged only from a position whose append returned `Ok` (I1). One append is in flight
//! while the next batch is built; there is never a second.
//!
//! # Failure
//! - **Crash anywhere**: the log's checkpoint is the only memory. What was not appended is
//!   streamed again; what was is skipped, because the source opens strictly after the position.
//! - **Lost answer of an append**: the writer is opened again, which fences the stray request, and
//!   the checkpoint tells whether the batch took effect. If it did, it counts as `Ok`; if not, the
//!   very same batch is appended again; if the checkpoint is neither, someone else wrote, and the
//!   session starts over. The whole checkpoint is compared, for a second instance that got the
//!   source's lock meanwhile may have made an append with the same sequence.
//! - **Source lost**: the append in flight is awaited, then a new session starts.
//! - **Fenced**: this instance is the standby now; the next session waits for the source's lock.

mod pending;
mod session;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tokio_util::sync::CancellationToken;

use crate::batch::BatchLimits;
use crate::clock::Clock;
use crate::error::{Classify, ErrorClass, chain};
use crate::hold::Hold;
use crate::port::{Encode, LogWriter, Source};
use crate::retry::{Attempts, Decision, Halted, RetryPolicy};
use crate::stats::{LoopStats, State};

use session::Session;

pub(crate) use pending::Tally;

/// What the capture loop may take.
#[derive(Debug, Clone, Copy)]
pub struct CaptureConfig {
    /// Bounds of one append. Default 4 MiB: two of them, as records, are most of a capture's memory
    /// (`docs/benchmarks.md`).
    pub limits: BatchLimits,
    /// How failures are retried.
    pub retry: RetryPolicy,
    /// Seed of the retries' jitter.
    pub seed: u64,
}

impl Default for CaptureConfig {
    fn default() -> Self {
        let limits = BatchLimits { bytes_max: 4 << 20, ..BatchLimits::default() };
        Self { limits, retry: RetryPolicy::default(), seed: 0 }
    }
}

/// A capture loop and what it runs on.
#[derive(Debug)]
pub struct Capture<S, W, E> {
    /// Where changes come from.
    pub source: S,
    /// Where records go.
    pub writer: W,
    /// Turns the one into the other.
    pub encoder: E,
    /// Its settings.
    pub config: CaptureConfig,
    /// Wall-clock time, for the records' `ts_ms`.
    pub clock: Clock,
    /// What it tells about itself.
    pub stats: Arc<LoopStats>,
    /// Holds it when an operator wants.
    pub hold: Hold,
}

/// Why a session ended before it was asked to: the class decides, the halt tells.
pub(crate) struct Failure {
    pub(crate) class: ErrorClass,
    pub(crate) halted: Halted,
}

impl<E: Classify> From<E> for Failure {
    fn from(error: E) -> Self {
        Self { class: error.class(), halted: Halted::new(&error) }
    }
}

impl<S: Source, W: LogWriter, E: Encode> Capture<S, W, E> {
    /// Runs until `shutdown`, then drains: what was read is appended and acknowledged.
    ///
    /// # Errors
    /// [`Halted`] when going on would lose data or needs a person. Nothing more was acknowledged.
    pub async fn run(mut self, shutdown: CancellationToken) -> Result<(), Halted> {
        let mut backoff = Backoff::new(self.config);
        loop {
            self.stats.set_state(State::Starting);
            let session = Session::new(&mut self, &mut backoff, &shutdown);
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

/// Attempts so far, and the dice for their delays.
pub(crate) struct Backoff {
    attempts: Attempts,
    policy: RetryPolicy,
    dice: SmallRng,
}

impl Backoff {
    pub(crate) fn new(config: CaptureConfig) -> Self {
        Self::of(config.retry, config.seed)
    }

    pub(crate) fn of(policy: RetryPolicy, seed: u64) -> Self {
        Self { attempts: Attempts::default(), policy, dice: SmallRng::seed_from_u64(seed) }
    }

    pub(crate) fn reset(&mut self) {
        self.attempts.reset();
    }

    /// Waits before the next attempt; returns whether there is to be one, which a shutdown denies.
    pub(crate) async fn wait(
        &mut self,
        failure: &Failure,
        stats: &LoopStats,
        shutdown: &CancellationToken,
    ) -> Result<bool, Halted> {
        let Halted { code, message, .. } = &failure.halted;
        match self.attempts.fail(&self.policy, failure.class, self.dice.random()) {
            Decision::Halt => {
                tracing::error!(code, error = message, "halted");
                stats.set_state(State::Halted(failure.halted.clone()));
                Err(failure.halted.clone())
            }
            Decision::Retry(delay) => {
                tracing::warn!(code, error = message, ?delay, "will retry");
                stats.retries.fetch_add(1, Ordering::Relaxed);
                stats.set_state(State::Waiting { reason: message.clone() });
                Ok(shutdown.run_until_cancelled(tokio::time::sleep(delay)).await.is_some())
            }
        }
    }
}

/// A log whose checkpoint is neither the one before the append in question nor the one after it.
#[derive(Debug, thiserror::Error)]
#[error("another writer made append {found} while append {expected} was in flight")]
pub(crate) struct ForeignCheckpoint {
    pub(crate) found: u64,
    pub(crate) expected: u64,
}

impl Classify for ForeignCheckpoint {
    fn class(&self) -> ErrorClass {
        ErrorClass::Fenced
    }
}

impl std::fmt::Debug for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.class, chain(&self.halted))
    }
}
