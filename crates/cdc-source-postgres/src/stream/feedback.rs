//! Tells the server what it may discard, by a task of its own that never waits for the log: while
//! the log is away the session stays up, because status updates go on.

use std::sync::Arc;
use std::time::Duration;

use cdc_model::Lsn;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::status::StatusHandle;
use crate::wire::CopyWriter;

/// The shortest time between two updates that nobody asked for.
const GAP: Duration = Duration::from_millis(10);

/// What the server is told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Reported {
    received: Lsn,
    acknowledged: Lsn,
    /// How often the server has asked for a reply.
    requests: u64,
}

/// The handle to the task; the task ends when the [`FeedbackTask`] is dropped.
#[derive(Debug, Clone)]
pub(crate) struct Feedback(Arc<watch::Sender<Reported>>);

/// Keeps the task alive.
#[derive(Debug)]
pub(crate) struct FeedbackTask(#[expect(dead_code, reason = "ends the task on drop")] JoinSet<()>);

impl Feedback {
    /// Starts the task, which sends at least every `interval`.
    pub(crate) fn start(
        writer: CopyWriter,
        interval: Duration,
        status: StatusHandle,
    ) -> (Self, FeedbackTask) {
        let sender = watch::Sender::new(Reported::default());
        let receiver = sender.subscribe();
        let mut tasks = JoinSet::new();
        tasks.spawn(run(writer, receiver, interval, status));
        (Self(Arc::new(sender)), FeedbackTask(tasks))
    }

    /// Notes that everything up to `lsn` has arrived.
    pub(crate) fn received(&self, lsn: Lsn) {
        self.0.send_if_modified(|reported| {
            reported.received = reported.received.max(lsn);
            // Not worth an update by itself.
            false
        });
    }

    /// Allows the server to discard everything up to `lsn`; never goes back.
    pub(crate) fn acknowledge(&self, lsn: Lsn) {
        self.0.send_if_modified(|reported| {
            let moved = lsn > reported.acknowledged;
            reported.acknowledged = reported.acknowledged.max(lsn);
            moved
        });
    }

    /// Returns what was last acknowledged.
    pub(crate) fn acknowledged(&self) -> Lsn {
        self.0.borrow().acknowledged
    }

    /// Answers the server's request for a reply.
    pub(crate) fn reply(&self) {
        self.0.send_modify(|reported| reported.requests += 1);
    }
}

async fn run(
    mut writer: CopyWriter,
    mut receiver: watch::Receiver<Reported>,
    interval: Duration,
    status: StatusHandle,
) {
    let mut sent = Reported::default();
    loop {
        let now = *receiver.borrow_and_update();
        let write = now.received.max(now.acknowledged);
        let outcome = writer.send_status(write, now.acknowledged, now.acknowledged, false).await;
        if let Err(error) = outcome {
            // The reading half sees the same and reports it.
            tracing::debug!(error = %error, "status update not sent");
            return;
        }
        status.update(|status| status.acknowledged = now.acknowledged);
        let sent_at = Instant::now();
        let requests = sent.requests.max(now.requests);
        sent = now;
        let _timeout = tokio::time::timeout(interval, async {
            // Ends with the sender: then there is nothing more to tell, but the session stays up.
            if receiver.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
            if receiver.borrow().requests == requests {
                tokio::time::sleep_until(sent_at + GAP).await;
            }
        })
        .await;
    }
}
