//! Puts together what a pipeline tells about itself.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cdc_control::v1;
use cdc_model::{Lsn, TableName};
use cdc_pipeline::stats::{Histogram, LoopStats, State};
use cdc_source_postgres::{Phase, Status, TableStatus};

use crate::pipeline::{Log, PROJECTION};
use crate::running::Running;
use crate::running::sample::{Rate, Sample};

pub(super) fn reply(running: &Running) -> v1::StatusReply {
    let pipeline = running.pipeline();
    let sample = running.sampler.last();
    let now = running.clock.now().0;
    v1::StatusReply {
        pipeline: pipeline.id().to_string(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        uptime_ms: millis(running.started.elapsed()),
        mode: match pipeline.log() {
            Log::Local(_) => v1::Mode::Embedded,
            Log::Kafka(..) => v1::Mode::Kafka,
        }
        .into(),
        data_dir: pipeline.config().data_dir.display().to_string(),
        source: Some(source(running, &sample)),
        capture: Some(capture(pipeline.capture_stats(), &sample, now)),
        projections: vec![projection(pipeline.project_stats(), &sample, now)],
        tables: tables(running, &sample),
        topics: sample.topics.iter().map(topic).collect(),
        now_ms: now / 1_000,
    }
}

/// Returns why data does not flow, if it does not.
pub(super) fn obstacle(running: &Running) -> Option<String> {
    let pipeline = running.pipeline();
    let loops = [("capture", pipeline.capture_stats()), (PROJECTION, pipeline.project_stats())];
    loops.into_iter().find_map(|(name, stats)| match stats.state() {
        State::Running => None,
        State::Starting => Some(format!("{name} is starting")),
        State::Waiting { reason } => Some(format!("{name} waits: {reason}")),
        State::Halted(halted) => Some(format!("{name} halted: {} {halted}", halted.code)),
        State::Stopped => Some(format!("{name} stopped")),
    })
}

fn source(running: &Running, sample: &Sample) -> v1::Source {
    let status = running.pipeline().source_status();
    let config = &running.pipeline().config().source;
    let (state, phase) = phase(&status, &running.pipeline().capture_stats().state());
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

fn phase(status: &Status, capture: &State) -> (v1::State, String) {
    match (&status.phase, capture) {
        (_, State::Stopped) => (v1::State::Stopped, "stopped".to_owned()),
        (_, State::Halted(halted)) => (v1::State::Halted, format!("halted: {}", halted.code)),
        (Phase::Halted { code }, _) => (v1::State::Halted, format!("halted: {code}")),
        (_, State::Waiting { reason }) => (v1::State::Waiting, format!("waiting: {reason}")),
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
    let progress = |(table, status): (&TableName, &TableStatus)| {
        let rate = sample.snapshot.get(table).map_or(0.0, Rate::per_second);
        let left = status.snapshot_rows_estimated.saturating_sub(status.snapshot_rows);
        let is_moving = rate > 0.0 && !status.is_snapshot_done;
        v1::SnapshotProgress {
            table: table.to_string(),
            rows_done: status.snapshot_rows,
            rows_estimated: Some(status.snapshot_rows_estimated),
            rows_per_second: is_moving.then_some(rate),
            eta_seconds: is_moving.then(|| left as f64 / rate),
            is_done: status.is_snapshot_done,
        }
    };
    let has_snapshot = |table: &TableStatus| table.snapshot_rows > 0 || !table.is_snapshot_done;
    status.tables.iter().filter(|(_, table)| has_snapshot(table)).map(progress).collect()
}

fn capture(stats: &LoopStats, sample: &Sample, now: i64) -> v1::Capture {
    let (state, reason, halt) = cdc_control::state(&stats.state());
    let (committed_at, _) = stats.freshness();
    v1::Capture {
        state: state.into(),
        reason,
        halt,
        events: load(&stats.events),
        records: load(&stats.records),
        bytes: load(&stats.bytes),
        events_per_second: sample.captured.per_second(),
        latency_p50_ms: quantile(&stats.latency, 0.5),
        latency_p99_ms: quantile(&stats.latency, 0.99),
        last_commit_age_ms: committed_at.map(|at| u64::try_from((now - at.0) / 1_000).unwrap_or(0)),
        retries: load(&stats.retries),
    }
}

#[expect(clippy::cast_precision_loss, reason = "seconds to be shown")]
fn projection(stats: &LoopStats, sample: &Sample, now: i64) -> v1::Projection {
    let (state, reason, halt) = cdc_control::state(&stats.state());
    let lag_records = stats.lag_records();
    let (committed_at, _) = stats.freshness();
    let behind = committed_at.map(|at| (now - at.0).max(0) as f64 / 1e6);
    v1::Projection {
        name: PROJECTION.to_owned(),
        state: state.into(),
        reason,
        halt,
        lag_records: Some(lag_records),
        lag_seconds: if lag_records == 0 { Some(0.0) } else { behind },
        rows_applied: load(&stats.events),
        events_per_second: sample.applied.per_second(),
        latency_p50_ms: quantile(&stats.latency, 0.5),
        latency_p99_ms: quantile(&stats.latency, 0.99),
        dead_letters: load(&stats.dead_letters),
        parked_keys: stats.parked_keys(),
        retries: load(&stats.retries),
    }
}

fn tables(running: &Running, sample: &Sample) -> Vec<v1::Table> {
    let captured = running.pipeline().capture_stats().tables();
    let names: BTreeSet<&TableName> = captured.keys().chain(sample.rows.keys()).collect();
    let table = |name: &TableName| {
        let counts = captured.get(name).copied().unwrap_or_default();
        v1::Table {
            name: name.to_string(),
            creates: counts.creates,
            updates: counts.updates,
            deletes: counts.deletes,
            reads: counts.reads,
            truncates: counts.truncates,
            rows_in_projection: sample.rows.get(name).copied(),
        }
    };
    names.into_iter().map(table).collect()
}

fn topic(meta: &cdc_pipeline::port::TopicMeta) -> v1::Topic {
    let records: i64 = meta.partitions.iter().map(|(_, end)| end.0).sum();
    v1::Topic {
        name: meta.topic.to_string(),
        partitions: u32::try_from(meta.partitions.len()).unwrap_or(u32::MAX),
        records: u64::try_from(records).ok(),
    }
}

fn load(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn quantile(histogram: &Histogram, q: f64) -> Option<f64> {
    histogram.quantile(q).map(|duration| duration.as_secs_f64() * 1e3)
}
