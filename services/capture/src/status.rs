//! Puts together what capture tells about itself.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use cdc_control::v1;
use cdc_model::{Lsn, TableName};
use cdc_pipeline::stats::State;
use cdc_runtime::process::loop_obstacle;
use cdc_runtime::rates::{LOOK_INTERVAL, Rate, Recent};
use cdc_source_postgres::{Phase, Status, TableSnapshot};
use tokio::time::Instant;

use crate::service::{Capture, TARGET};

/// Looks at capture every half second.
#[derive(Debug, Default)]
pub(crate) struct Sampler(Mutex<Sample>);

#[derive(Debug, Clone, Default)]
struct Sample {
    captured: Rate,
    received: Recent,
    appended: Recent,
    snapshot: BTreeMap<TableName, Rate>,
}

impl Sampler {
    pub(crate) async fn run(&self, capture: &Capture) {
        loop {
            self.look(capture, Instant::now());
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    }

    fn look(&self, capture: &Capture, now: Instant) {
        let mut sample = self.lock();
        sample.captured.push(now, load(&capture.stats.events));
        sample.received.push(now, &capture.stats.intake);
        sample.appended.push(now, &capture.stats.latency);
        for (table, status) in capture.source_status().tables {
            if let Some(snapshot) = status.snapshot {
                sample.snapshot.entry(table).or_default().push(now, snapshot.rows);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Sample> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Capture {
    /// Fills in what capture knows of a status: source, capture, captured rows by table. `now_us` is
    /// the time.
    pub fn fill(&self, status: &mut v1::StatusReply, now_us: i64) {
        let sample = self.sampler.lock().clone();
        status.source = Some(self.source_part(&sample));
        status.capture = Some(self.capture_part(&sample, now_us));
        status.tables.extend(self.stats.tables().into_iter().map(|(name, counts)| v1::Table {
            name: name.to_string(),
            creates: counts.creates,
            updates: counts.updates,
            deletes: counts.deletes,
            reads: counts.reads,
            truncates: counts.truncates,
            rows_in_projection: None,
        }));
    }

    /// Returns why no change can be captured, if none can.
    pub fn obstacle(&self) -> Option<String> {
        loop_obstacle(TARGET, self.stats.state())
    }

    /// Returns whether it waits for another instance to go.
    pub fn is_standby(&self) -> bool {
        matches!(self.source_status().phase, Phase::WaitingForSlot { .. })
    }

    fn source_part(&self, sample: &Sample) -> v1::Source {
        let status = self.source_status();
        let config = &self.config.source;
        let (state, phase) = phase(&status, &self.stats.state());
        let lsn = |lsn: Lsn| (lsn != Lsn::ZERO).then(|| lsn.to_string());
        let is_known = status.wal_end != Lsn::ZERO && status.acknowledged != Lsn::ZERO;
        v1::Source {
            state: state.into(),
            phase,
            slot: config.slot.clone(),
            publication: config.publication.clone(),
            received_lsn: lsn(status.received),
            acknowledged_lsn: lsn(status.acknowledged),
            server_lsn: lsn(status.wal_end),
            lag_bytes: is_known.then(|| status.wal_end.0.saturating_sub(status.acknowledged.0)),
            retained_wal_bytes: status.retained_bytes,
            safe_wal_bytes: status.safe_wal_bytes,
            snapshot: snapshot(&status, sample),
            uncaptured_tables: status.uncaptured.iter().map(ToString::to_string).collect(),
            address: config.connect.address(),
        }
    }

    fn capture_part(&self, sample: &Sample, now_us: i64) -> v1::Capture {
        let stats = &self.stats;
        let (state, reason, halt) = cdc_control::state(&stats.state());
        let (committed_at, _) = stats.freshness();
        let age = |at: cdc_model::Timestamp| u64::try_from((now_us - at.0) / 1_000).unwrap_or(0);
        v1::Capture {
            state: state.into(),
            reason,
            halt,
            events: load(&stats.events),
            records: load(&stats.records),
            bytes: load(&stats.bytes),
            events_per_second: sample.captured.per_second(),
            latency_p50_ms: sample.appended.quantile_ms(0.5),
            latency_p99_ms: sample.appended.quantile_ms(0.99),
            received_p50_ms: sample.received.quantile_ms(0.5),
            received_p99_ms: sample.received.quantile_ms(0.99),
            last_commit_age_ms: committed_at.map(age),
            retries: load(&stats.retries),
        }
    }
}

fn phase(status: &Status, capture: &State) -> (v1::State, String) {
    match (&status.phase, capture) {
        (_, State::Stopped) => (v1::State::Stopped, "stopped".to_owned()),
        (_, State::Halted(halted)) => (v1::State::Halted, format!("halted: {}", halted.code)),
        (Phase::Halted { code }, _) => (v1::State::Halted, format!("halted: {code}")),
        (_, State::Waiting { reason }) => (v1::State::Waiting, format!("waiting: {reason}")),
        (_, State::Paused) => (v1::State::Paused, "paused".to_owned()),
        (Phase::Starting, _) => (v1::State::Starting, "starting".to_owned()),
        (Phase::WaitingForSlot { pid: Some(pid) }, _) => {
            (v1::State::Waiting, format!("waiting for the slot, which process {pid} serves"))
        }
        (Phase::WaitingForSlot { pid: None }, _) => {
            (v1::State::Waiting, "waiting for the slot".to_owned())
        }
        (Phase::Snapshot, _) => (v1::State::Snapshot, "reading the tables".to_owned()),
        (Phase::Streaming, _) => (v1::State::Running, "streaming".to_owned()),
    }
}

#[expect(clippy::cast_precision_loss, reason = "an estimate to be shown")]
fn snapshot(status: &Status, sample: &Sample) -> Vec<v1::SnapshotProgress> {
    let progress = |table: &TableName, snapshot: TableSnapshot| {
        let rate = sample.snapshot.get(table).map_or(0.0, Rate::per_second);
        let left = snapshot.rows_estimated.saturating_sub(snapshot.rows);
        let is_moving = rate > 0.0 && !snapshot.is_done;
        v1::SnapshotProgress {
            table: table.to_string(),
            rows_done: snapshot.rows,
            rows_estimated: Some(snapshot.rows_estimated),
            rows_per_second: is_moving.then_some(rate),
            eta_seconds: is_moving.then(|| left as f64 / rate),
            is_done: snapshot.is_done,
        }
    };
    status
        .tables
        .iter()
        .filter_map(|(table, known)| Some(progress(table, known.snapshot?)))
        .collect()
}

fn load(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}
