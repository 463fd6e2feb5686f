//! Puts together what projections tell about themselves.

use std::sync::atomic::{AtomicU64, Ordering};

use cdc_control::v1;
use cdc_runtime::process::loop_obstacle;

use crate::projection::{DUCKDB, Projection};
use crate::sample::Sample;
use crate::service::Projector;

impl Projector {
    /// Fills in what projections know of a status: themselves, topics, rows by table. `now_us` is the
    /// time.
    pub fn fill(&self, status: &mut v1::StatusReply, now_us: i64) {
        let sample = self.sampler.last();
        let projections = self.projections.iter();
        status.projections.extend(projections.map(|one| projection(one, &sample, now_us)));
        status.topics.extend(sample.topics.iter().map(topic));
        for (name, rows) in &sample.rows {
            let name = name.to_string();
            match status.tables.iter_mut().find(|table| table.name == name) {
                Some(table) => table.rows_in_projection = Some(*rows),
                None => status.tables.push(v1::Table {
                    name,
                    rows_in_projection: Some(*rows),
                    ..v1::Table::default()
                }),
            }
        }
        status.tables.sort_by(|a, b| a.name.cmp(&b.name));
    }

    /// Returns why some projection does not follow, if one does not.
    pub fn obstacle(&self) -> Option<String> {
        let mut all = self.projections.iter();
        all.find_map(|projection| loop_obstacle(projection.name, projection.stats.state()))
    }
}

#[expect(clippy::cast_precision_loss, reason = "seconds to be shown")]
fn projection(projection: &Projection, sample: &Sample, now_us: i64) -> v1::Projection {
    let stats = &projection.stats;
    let (state, reason, halt) = cdc_control::state(&stats.state());
    let figures = sample.loops.get(projection.name).cloned().unwrap_or_default();
    let lag_records = stats.lag_records();
    let partitions = stats.partitions();
    let (committed_at, _) = stats.freshness();
    let behind = committed_at.map(|at| (now_us - at.0).max(0) as f64 / 1e6);
    let sum = |offsets: std::collections::BTreeMap<_, cdc_model::Offset>| -> u64 {
        offsets.values().map(|offset| u64::try_from(offset.0).unwrap_or(0)).sum()
    };
    let rows = (projection.name == DUCKDB.0).then_some(&sample.rows).into_iter().flatten();
    v1::Projection {
        name: projection.name.to_owned(),
        kind: projection.name.to_owned(),
        state: state.into(),
        reason,
        halt,
        lag_records: Some(lag_records),
        lag_seconds: if lag_records == 0 { Some(0.0) } else { behind },
        rows_applied: load(&stats.events),
        events_per_second: figures.applied.per_second(),
        latency_p50_ms: figures.visible.quantile_ms(0.5),
        latency_p99_ms: figures.visible.quantile_ms(0.99),
        read_p50_ms: figures.read.quantile_ms(0.5),
        read_p99_ms: figures.read.quantile_ms(0.99),
        dead_letters: load(&stats.dead_letters),
        parked_keys: stats.parked_keys(),
        retries: load(&stats.retries),
        records_applied: sum(stats.offsets()),
        records_total: sum(stats.end_offsets()),
        parked_records: figures.parked,
        partitions_held: small(partitions.held),
        partitions_total: small(partitions.total),
        complete_age_ms: figures.completeness.age_ms(),
        rows: rows
            .map(|(table, rows)| v1::TableRows { table: table.to_string(), rows: *rows })
            .collect(),
    }
}

fn topic(meta: &cdc_pipeline::port::TopicMeta) -> v1::Topic {
    let records: i64 = meta.partitions.iter().map(|(_, end)| end.0).sum();
    v1::Topic {
        name: meta.topic.to_string(),
        partitions: small(meta.partitions.len()),
        records: u64::try_from(records).ok(),
    }
}

fn small(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

fn load(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}
