//! The stream: the snapshot's chunks first, then the log, through one `next`.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use cdc_model::Position;
use cdc_pipeline::port::{Acknowledge, ChangeBatch, ChangeStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::config::Config;
use crate::error::{Error, Halt};
use crate::guard::Guards;
use crate::position::StreamPosition;
use crate::relation::Resolver;
use crate::setup::Setup;
use crate::snapshot::Snapshot;
use crate::snapshot::progress::Progress;
use crate::snapshot::window::Window;
use crate::status::{Phase, StatusHandle};
use crate::watch::Watch;
use crate::wire::CopyReader;

pub(crate) mod decoder;
pub(crate) mod feedback;
pub(crate) mod link;
pub(crate) mod pump;

use decoder::Decoder;
use feedback::{Feedback, FeedbackTask};
use pump::{Pump, Queue};

/// Batches decoded ahead of whoever takes them.
const BATCHES_AHEAD: usize = 2;

/// The changes of a PostgreSQL database. Dropping it lets go of the slot.
pub struct PostgresStream {
    /// While it is being read.
    snapshot: Option<Box<Snapshot>>,
    /// Until the log is followed.
    follow: Option<Follow>,
    batches: mpsc::Receiver<Result<ChangeBatch, Error>>,
    queue: Queue,
    status: StatusHandle,
    tasks: JoinSet<()>,
    _feedback: FeedbackTask,
}

/// Everything needed to follow the log from a position.
pub(crate) struct Follow {
    pub(crate) config: Arc<Config>,
    pub(crate) guards: Guards,
    pub(crate) setup: Arc<Setup>,
    pub(crate) reader: CopyReader,
    pub(crate) position: StreamPosition,
    pub(crate) progress: Progress,
    pub(crate) activity: Arc<AtomicU64>,
    pub(crate) feedback: Feedback,
}

impl PostgresStream {
    pub(crate) fn new(
        snapshot: Option<Snapshot>,
        follow: Follow,
        task: FeedbackTask,
        status: StatusHandle,
    ) -> Self {
        let (queue, batches) = mpsc::channel(BATCHES_AHEAD);
        let mut tasks = JoinSet::new();
        let watch = Watch {
            config: follow.config.clone(),
            guards: follow.guards,
            setup: follow.setup.clone(),
            status: status.clone(),
            feedback: follow.feedback.clone(),
            activity: follow.activity.clone(),
        };
        tasks.spawn(watch.run(queue.clone()));
        let mut stream = Self {
            snapshot: snapshot.map(Box::new),
            follow: Some(follow),
            batches,
            queue,
            status,
            tasks,
            _feedback: task,
        };
        if stream.snapshot.is_some() {
            stream.status.set_phase(Phase::Snapshot);
        } else {
            stream.follow();
        }
        stream
    }

    /// Starts to follow the log.
    fn follow(&mut self) {
        let Some(follow) = self.follow.take() else { return };
        let Follow { config, guards, reader, position, progress, activity, feedback, .. } = follow;
        let window = Window::open(&progress, position.lsn);
        let pump = Pump {
            resolver: Resolver::new(config.clone()),
            config,
            guards,
            status: self.status.clone(),
            reader,
            feedback,
            decoder: Decoder::new(position, window),
            activity,
            received: position.lsn,
        };
        self.tasks.spawn(pump.run(self.queue.clone()));
        self.status.set_phase(Phase::Streaming);
    }

    async fn next_batch(&mut self) -> Result<ChangeBatch, Error> {
        if let Some(snapshot) = &mut self.snapshot {
            tokio::select! {
                biased;
                // During the snapshot only the watch puts anything here: a halt.
                Some(batch) = self.batches.recv() => return batch,
                batch = snapshot.next() => {
                    if let Some(batch) = batch? {
                        return Ok(batch);
                    }
                }
            }
            if let (Some(snapshot), Some(follow)) = (self.snapshot.take(), &mut self.follow) {
                follow.progress = snapshot.into_progress();
            }
            self.follow();
        }
        self.batches.recv().await.unwrap_or(Err(Error::Ended))
    }
}

impl ChangeStream for PostgresStream {
    type Error = Error;

    async fn next(&mut self) -> Result<ChangeBatch, Error> {
        let outcome = self.next_batch().await;
        if let Err(Error::Halt(halt)) = &outcome {
            self.status.set_phase(Phase::Halted { code: Halt::code(halt) });
        }
        outcome
    }
}

impl fmt::Debug for PostgresStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresStream")
            .field("is_snapshot", &self.snapshot.is_some())
            .finish_non_exhaustive()
    }
}

/// Tells the server what is durable. Keeps nothing alive: without its stream it does nothing.
#[derive(Debug, Clone)]
pub struct PostgresAcknowledger(pub(crate) Feedback);

impl Acknowledge for PostgresAcknowledger {
    fn acknowledge(&self, position: &Position) {
        match StreamPosition::decode(position) {
            Ok(position) => self.0.acknowledge(position.ack),
            // Nothing is acknowledged: the server keeps more than it must.
            Err(error) => tracing::error!(error = %error, "a foreign position was acknowledged"),
        }
    }
}
