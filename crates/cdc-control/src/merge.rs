//! One picture of several processes.

use crate::v1;

/// Puts together what several processes tell: each part comes from the process that runs it. Where
/// two run the same part, the one that leads wins over the one that waits for it; where replicas
/// share a store, each with partitions of its own, their shares are added up.
pub fn merge(statuses: Vec<v1::StatusReply>) -> v1::StatusReply {
    let mut merged = v1::StatusReply::default();
    for status in statuses {
        take_identity(&mut merged, &status);
        if leads(merged.capture.as_ref().map(v1::Capture::state), status.capture.as_ref()) {
            merged.source = status.source;
            merged.capture = status.capture;
        }
        for projection in status.projections {
            let known = merged.projections.iter_mut().find(|known| known.name == projection.name);
            match known {
                Some(known) if are_shares(known, &projection) => share(known, projection),
                Some(known) if rank(known.state()) >= rank(projection.state()) => {}
                Some(known) => *known = projection,
                None => merged.projections.push(projection),
            }
        }
        for table in status.tables {
            match merged.tables.iter_mut().find(|known| known.name == table.name) {
                Some(known) => add(known, &table),
                None => merged.tables.push(table),
            }
        }
        for topic in status.topics {
            match merged.topics.iter_mut().find(|known| known.name == topic.name) {
                Some(known) => known.records = known.records.max(topic.records),
                None => merged.topics.push(topic),
            }
        }
        merged.services.extend(status.services);
    }
    for projection in &mut merged.projections {
        if projection.partitions_held < projection.partitions_total {
            // What is nobody's may be behind.
            projection.complete_age_ms = None;
        }
    }
    merged.projections.sort_by(|a, b| a.name.cmp(&b.name));
    merged.tables.sort_by(|a, b| a.name.cmp(&b.name));
    merged.topics.sort_by(|a, b| a.name.cmp(&b.name));
    merged.services.sort_by(|a, b| (&a.name, &a.instance).cmp(&(&b.name, &b.instance)));
    merged
}

fn take_identity(merged: &mut v1::StatusReply, status: &v1::StatusReply) {
    let set = |known: &mut String, new: &String| {
        if known.is_empty() {
            known.clone_from(new);
        }
    };
    set(&mut merged.pipeline, &status.pipeline);
    set(&mut merged.version, &status.version);
    set(&mut merged.data_dir, &status.data_dir);
    if merged.mode() == v1::Mode::Unspecified {
        merged.mode = status.mode;
    }
    merged.uptime_ms = merged.uptime_ms.max(status.uptime_ms);
    merged.now_ms = merged.now_ms.max(status.now_ms);
}

fn leads(known: Option<v1::State>, found: Option<&v1::Capture>) -> bool {
    match (known, found) {
        (_, None) => false,
        (None, Some(_)) => true,
        (Some(known), Some(found)) => rank(found.state()) > rank(known),
    }
}

/// What runs says more than what waits, and a halt more than a process that only starts.
fn rank(state: v1::State) -> u8 {
    match state {
        v1::State::Unspecified | v1::State::Stopped => 0,
        v1::State::Starting => 1,
        v1::State::Waiting => 2,
        v1::State::Halted => 3,
        v1::State::Paused => 4,
        v1::State::Snapshot | v1::State::Running => 5,
    }
}

/// Whether these are what replicas do of one projection: somebody has not all of its partitions.
fn are_shares(known: &v1::Projection, found: &v1::Projection) -> bool {
    let is_share = |one: &v1::Projection| one.partitions_held < one.partitions_total;
    let know_all = known.partitions_total > 0 && found.partitions_total > 0;
    know_all && (is_share(known) || is_share(found))
}

/// Adds what one more replica does. The projection is as well as the worst of them.
fn share(known: &mut v1::Projection, found: v1::Projection) {
    let both = |a: Option<u64>, b: Option<u64>| Some(a? + b?);
    let later = |a: Option<f64>, b: Option<f64>| a.into_iter().chain(b).reduce(f64::max);
    let total = known.partitions_total.max(found.partitions_total);
    let held = known.partitions_held + found.partitions_held;
    let complete = match (known.partitions_held, found.partitions_held) {
        (_, 0) => known.complete_age_ms,
        (0, _) => found.complete_age_ms,
        _ => known.complete_age_ms.zip(found.complete_age_ms).map(|(a, b)| a.max(b)),
    };
    let whole = v1::Projection {
        lag_records: both(known.lag_records, found.lag_records),
        lag_seconds: later(known.lag_seconds, found.lag_seconds),
        rows_applied: known.rows_applied + found.rows_applied,
        events_per_second: known.events_per_second + found.events_per_second,
        latency_p50_ms: later(known.latency_p50_ms, found.latency_p50_ms),
        latency_p99_ms: later(known.latency_p99_ms, found.latency_p99_ms),
        read_p50_ms: later(known.read_p50_ms, found.read_p50_ms),
        read_p99_ms: later(known.read_p99_ms, found.read_p99_ms),
        dead_letters: known.dead_letters + found.dead_letters,
        parked_keys: known.parked_keys + found.parked_keys,
        parked_records: both(known.parked_records, found.parked_records),
        retries: known.retries + found.retries,
        records_applied: known.records_applied + found.records_applied,
        records_total: known.records_total + found.records_total,
        complete_age_ms: complete,
        partitions_held: held,
        partitions_total: total,
        ..v1::Projection::default()
    };
    let (worse, other) = match concern(found.state()) > concern(known.state()) {
        true => (found, &*known),
        false => (std::mem::take(known), &found),
    };
    // Each sees the whole store's rows.
    let rows = if worse.rows.is_empty() { other.rows.clone() } else { worse.rows };
    let v1::Projection { name, state, reason, halt, kind, .. } = worse;
    *known = v1::Projection { name, state, reason, halt, kind, rows, ..whole };
}

/// How much a replica's state concerns whoever looks.
fn concern(state: v1::State) -> u8 {
    match state {
        v1::State::Running => 0,
        v1::State::Unspecified | v1::State::Stopped | v1::State::Snapshot => 1,
        v1::State::Paused => 2,
        v1::State::Starting => 3,
        v1::State::Waiting => 4,
        v1::State::Halted => 5,
    }
}

/// Captured counts come from capture, rows from a projection.
fn add(known: &mut v1::Table, found: &v1::Table) {
    for (known, found) in [
        (&mut known.creates, found.creates),
        (&mut known.updates, found.updates),
        (&mut known.deletes, found.deletes),
        (&mut known.reads, found.reads),
        (&mut known.truncates, found.truncates),
    ] {
        *known = found.max(*known);
    }
    known.rows_in_projection = known.rows_in_projection.or(found.rows_in_projection);
}

#[cfg(test)]
mod tests;
