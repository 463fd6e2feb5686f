//! Runs the processes of one simulation, kills them, and brings everything to rest.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use cdc_model::Timestamp;
use cdc_pipeline::Clock;
use cdc_pipeline::batch::BatchLimits;
use cdc_pipeline::capture::{Capture, CaptureConfig};
use cdc_pipeline::port::{AppendBatch, Checkpoint, LogWriter};
use cdc_pipeline::project::{Project, ProjectConfig};
use cdc_pipeline::retry::{Halted, RetryPolicy};
use cdc_pipeline::stats::LoopStats;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tokio_util::sync::CancellationToken;

use crate::fault::{Faults, Faulty};
use crate::memory::{
    MemoryDatabase, MemoryGroup, MemoryLog, MemoryReader, MemorySink, MemoryStore, MemoryWriter,
};
use crate::sim::crash::CrashAfter;
use crate::sim::replicas::Replicas;
use crate::sim::{Plan, SimCodec, check, workload};

/// What a run that held came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// Records in the log.
    pub records: usize,
    /// Times capture was started.
    pub captures: usize,
    /// Times the projector was started.
    pub projectors: usize,
    /// Records parked.
    pub parked: usize,
    /// Times a partition was dealt to a replica.
    pub dealt: u64,
    /// Batches that the store refused because of who brought them.
    pub fenced: u64,
}

pub(super) const PIPELINE: &str = "sim";

/// How long the workload and everything after it may take, in simulated time.
const PATIENCE: Duration = Duration::from_secs(24 * 3_600);

pub(super) struct World<'a, C> {
    pub(super) plan: &'a Plan,
    pub(super) codec: &'a C,
    pub(super) database: MemoryDatabase,
    pub(super) log: MemoryLog,
    pub(super) store: MemoryStore,
    pub(super) largest_append: Arc<AtomicUsize>,
    pub(super) replicas: Replicas,
    faults: Faults,
    captures: AtomicUsize,
    projectors: AtomicUsize,
}

type Projector<C> = Project<
    Faulty<MemoryReader>,
    <C as SimCodec>::Decoder,
    Faulty<MemorySink>,
    Faulty<MemoryWriter>,
>;

/// Plays the plan to its end and checks everything.
pub(super) async fn play<C: SimCodec>(plan: &Plan, codec: &C) -> Result<Summary, String> {
    let world = World::new(plan, codec);
    let dice = &mut SmallRng::seed_from_u64(plan.seed ^ 0x5eed);
    workload::prepare(&world.database, plan, dice);
    let calm = CancellationToken::new();
    let rest = CancellationToken::new();
    let scenes = async {
        let (workload, captures, standbys, projectors) = tokio::join!(
            world.drive(dice, &calm, &rest),
            world.keep_capturing(&calm, &rest, 1),
            world.keep_standing_by(&calm, &rest),
            world.keep_projectors(&calm, &rest),
        );
        projectors.and(captures).and(standbys).and(workload)
    };
    let played = tokio::time::timeout(PATIENCE, scenes).await;
    played.map_err(|_| "never came to rest".to_owned())??;
    check::all(&world)?;
    Ok(Summary {
        records: world.log.records().values().map(Vec::len).sum(),
        captures: world.captures.load(Ordering::Relaxed),
        projectors: world.projectors.load(Ordering::Relaxed),
        parked: world.store.parked().len(),
        dealt: world.replicas.group.dealt(),
        fenced: world.store.fenced(),
    })
}

impl<'a, C: SimCodec> World<'a, C> {
    fn new(plan: &'a Plan, codec: &'a C) -> Self {
        let database = MemoryDatabase::default();
        let log = MemoryLog::new(plan.partitions);
        let is_shared = plan.replicas > 0;
        let store = if is_shared { MemoryStore::shared() } else { MemoryStore::default() };
        let replicas = Replicas::new(MemoryGroup::new(&log, plan.seed ^ 0x9089));
        if plan.poison_rate > 0.0 {
            store.refuse(Some(workload::poison()));
        }
        let durable = log.clone();
        let position = move || durable.checkpoint(PIPELINE).and_then(|c| c.position);
        database.check_acknowledgements(Box::new(position));
        let faults = Faults::dice(plan.fault_rate, plan.delay_max, plan.seed ^ 0xfa17);
        Self {
            plan,
            codec,
            database,
            log,
            store,
            largest_append: Arc::default(),
            replicas,
            faults,
            captures: AtomicUsize::new(0),
            projectors: AtomicUsize::new(0),
        }
    }

    /// Plays the workload, then makes everything calm and waits until nothing lags.
    async fn drive(
        &self,
        dice: &mut SmallRng,
        calm: &CancellationToken,
        rest: &CancellationToken,
    ) -> Result<(), String> {
        for _ in 0..self.plan.transactions {
            let pause = if dice.random_bool(0.2) { 5_000 } else { 50 };
            tokio::time::sleep(Duration::from_millis(dice.random_range(0..pause))).await;
            workload::commit(&self.database, self.plan, dice);
            if dice.random_bool(self.plan.kill_rate) {
                self.database.kill_session();
            }
            if dice.random_bool(0.2) {
                self.database.make_noise();
            }
        }
        self.faults.stop();
        calm.cancel();
        for _ in 0..10_000 {
            tokio::time::sleep(Duration::from_secs(1)).await;
            if check::is_at_rest(self) {
                rest.cancel();
                return Ok(());
            }
        }
        rest.cancel();
        Err(format!("stuck: {}", check::progress(self)))
    }

    pub(super) fn lifetime(&self, dice: &mut SmallRng, calm: &CancellationToken) -> Option<u64> {
        let bound = self.plan.polls_max.filter(|_| !calm.is_cancelled())?;
        Some(dice.random_range(1..=bound))
    }

    /// Starts capture again whenever it dies.
    async fn keep_capturing(
        &self,
        calm: &CancellationToken,
        rest: &CancellationToken,
        seed: u64,
    ) -> Result<(), String> {
        let dice = &mut SmallRng::seed_from_u64(self.plan.seed ^ seed);
        while !rest.is_cancelled() {
            let lifetime = self.lifetime(dice, calm);
            let seed = dice.random();
            match CrashAfter::new(self.capture(seed, rest), lifetime).await {
                None | Some(Ok(())) => {}
                Some(Err(halted)) => return Err(format!("capture halted: {halted:?}")),
            }
            tokio::time::sleep(Duration::from_millis(dice.random_range(0..500))).await;
        }
        Ok(())
    }

    /// Now and then starts a second capture beside the first.
    async fn keep_standing_by(
        &self,
        calm: &CancellationToken,
        rest: &CancellationToken,
    ) -> Result<(), String> {
        if self.plan.takeover_rate == 0.0 {
            return Ok(());
        }
        self.keep_capturing(calm, rest, 0x2d).await
    }

    async fn capture(&self, seed: u64, rest: &CancellationToken) -> Result<(), Halted> {
        self.captures.fetch_add(1, Ordering::Relaxed);
        let writer = Measured { writer: self.log.writer(PIPELINE), largest: &self.largest_append };
        let config = CaptureConfig { limits: self.limits(), retry: retry(), seed };
        let capture = Capture {
            source: self.database.source(self.plan.cut),
            writer: Faulty::new(writer, self.faults.clone()),
            encoder: self.codec.encoder(),
            config,
            clock: clock(),
            stats: Arc::new(LoopStats::default()),
            hold: cdc_pipeline::Hold::default(),
        };
        capture.run(rest.clone()).await
    }

    async fn keep_projectors(
        &self,
        calm: &CancellationToken,
        rest: &CancellationToken,
    ) -> Result<(), String> {
        match self.plan.replicas {
            0 => self.keep_projecting(calm, rest).await,
            _ => self.keep_replicas(calm, rest).await,
        }
    }

    /// Starts the projector again whenever it dies; sometimes a second one takes over.
    async fn keep_projecting(
        &self,
        calm: &CancellationToken,
        rest: &CancellationToken,
    ) -> Result<(), String> {
        let dice = &mut SmallRng::seed_from_u64(self.plan.seed ^ 0xb0b);
        while !rest.is_cancelled() {
            let lifetime = self.lifetime(dice, calm);
            let first = CrashAfter::new(self.project(dice.random(), rest), lifetime);
            let outcome = if !calm.is_cancelled() && dice.random_bool(self.plan.takeover_rate) {
                let lifetime = self.lifetime(dice, calm);
                let second = CrashAfter::new(self.project(dice.random(), rest), lifetime);
                let (first, second) = tokio::join!(first, second);
                first.or(second)
            } else {
                first.await
            };
            match outcome {
                Some(Err(halted)) if halted.code != "SINK_FENCED" => {
                    return Err(format!("projector halted: {halted:?}"));
                }
                None | Some(_) => {}
            }
            tokio::time::sleep(Duration::from_millis(dice.random_range(0..500))).await;
        }
        Ok(())
    }

    async fn project(&self, seed: u64, rest: &CancellationToken) -> Result<(), Halted> {
        self.projection(seed, "sim-dlq").run(rest.clone()).await
    }

    /// A projector, whose dead letters are written as `letters`.
    pub(super) fn projection(&self, seed: u64, letters: &str) -> Projector<C> {
        self.projectors.fetch_add(1, Ordering::Relaxed);
        let mut config = ProjectConfig::new("sim", |_| true);
        config.limits = self.limits();
        config.retry = retry();
        config.seed = seed;
        config.dead_letters_max = u64::MAX;
        Project {
            reader: Faulty::new(self.log.reader(), self.faults.clone()),
            decoder: self.codec.decoder(),
            sink: Faulty::new(self.store.sink(), self.faults.clone()),
            dead_letters: Faulty::new(self.log.writer(letters), self.faults.clone()),
            config,
            clock: clock(),
            stats: Arc::new(LoopStats::default()),
            hold: cdc_pipeline::Hold::default(),
            desk: cdc_pipeline::project::DeskQueue::default(),
        }
    }

    fn limits(&self) -> BatchLimits {
        BatchLimits { bytes_max: self.plan.batch_bytes_max, ..BatchLimits::default() }
    }
}

fn retry() -> RetryPolicy {
    RetryPolicy::default()
}

fn clock() -> Clock {
    Clock::new(|| Timestamp(0))
}

/// Notes the largest append.
struct Measured<'a> {
    writer: MemoryWriter,
    largest: &'a AtomicUsize,
}

impl LogWriter for Measured<'_> {
    type Error = crate::memory::log::Error;

    async fn open(&mut self) -> Result<Option<Checkpoint>, Self::Error> {
        self.writer.open().await
    }

    async fn append(&mut self, batch: Arc<AppendBatch>) -> Result<(), Self::Error> {
        let size = |record: &cdc_model::Record| {
            record.key.as_ref().map_or(0, Bytes::len) + record.value.as_ref().map_or(0, Bytes::len)
        };
        self.largest.fetch_max(batch.records.iter().map(size).sum(), Ordering::Relaxed);
        self.writer.append(batch).await
    }
}
