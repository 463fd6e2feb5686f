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
mod tests {
    use super::*;

    fn of_capture(state: v1::State) -> v1::StatusReply {
        let mut capture = v1::Capture::default();
        capture.set_state(state);
        v1::StatusReply {
            pipeline: "p".into(),
            source: Some(v1::Source { phase: state.word().into(), ..Default::default() }),
            capture: Some(capture),
            tables: vec![v1::Table { name: "t".into(), creates: 3, ..Default::default() }],
            services: vec![v1::Service { name: "capture".into(), ..Default::default() }],
            ..Default::default()
        }
    }

    fn of_projector(name: &str, state: v1::State) -> v1::StatusReply {
        let mut projection = v1::Projection { name: name.into(), ..Default::default() };
        projection.set_state(state);
        v1::StatusReply {
            projections: vec![projection],
            tables: vec![v1::Table {
                name: "t".into(),
                rows_in_projection: Some(7),
                ..Default::default()
            }],
            ..Default::default()
        }
    }

    #[test]
    fn each_part_comes_from_the_process_that_runs_it() {
        let merged = merge(vec![
            of_capture(v1::State::Running),
            of_projector("duckdb", v1::State::Running),
            of_projector("audit", v1::State::Halted),
        ]);
        assert_eq!(merged.pipeline, "p");
        let names: Vec<_> = merged.projections.iter().map(|p| p.name.as_str()).collect();
        assert_eq!(names, ["audit", "duckdb"]);
        assert_eq!((merged.tables[0].creates, merged.tables[0].rows_in_projection), (3, Some(7)));
    }

    #[test]
    fn a_process_without_parts_adds_its_line_alone() {
        let mut service =
            v1::Service { name: "schema-registry-client".into(), ..Default::default() };
        service.set_state(v1::State::Waiting);
        let registry = || v1::StatusReply { services: vec![service.clone()], ..Default::default() };
        let capture = || of_capture(v1::State::Running);
        for told in [vec![registry(), capture()], vec![capture(), registry()]] {
            let merged = merge(told);
            assert_eq!(merged.capture.map(|capture| capture.state()), Some(v1::State::Running));
            assert!(merged.source.is_some() && merged.projections.is_empty());
            let told: Vec<_> = merged.services.iter().map(|s| (&*s.name, s.state())).collect();
            let expected = [
                ("capture", v1::State::Unspecified),
                ("schema-registry-client", v1::State::Waiting),
            ];
            assert_eq!(told, expected);
        }
    }

    fn of_replica(held: u32, state: v1::State, complete_age_ms: Option<u64>) -> v1::StatusReply {
        let mut status = of_projector("pg", state);
        let projection = &mut status.projections[0];
        projection.reason = state.word().into();
        (projection.partitions_held, projection.partitions_total) = (held, 6);
        (projection.records_applied, projection.records_total) = (10, 12);
        (projection.lag_records, projection.lag_seconds) = (Some(2), Some(f64::from(held)));
        (projection.rows_applied, projection.complete_age_ms) = (9, complete_age_ms);
        status
    }

    #[test]
    fn shares_of_a_store_are_added_up() {
        use v1::State::{Halted, Running};
        let merged = merge(vec![
            of_replica(1, Running, Some(40)),
            of_replica(2, Running, Some(900)),
            of_replica(3, Running, Some(70)),
        ]);
        let whole = &merged.projections[..];
        assert_eq!(whole.len(), 1);
        assert_eq!((whole[0].records_applied, whole[0].records_total), (30, 36));
        assert_eq!((whole[0].lag_records, whole[0].lag_seconds), (Some(6), Some(3.0)));
        assert_eq!((whole[0].partitions_held, whole[0].partitions_total), (6, 6));
        assert_eq!((whole[0].rows_applied, whole[0].complete_age_ms), (27, Some(900)));

        for states in [[Running, Halted], [Halted, Running]] {
            let merged = merge(states.map(|state| of_replica(3, state, Some(5))).into());
            assert_eq!(merged.projections[0].state(), Halted);
            assert_eq!(merged.projections[0].reason, Halted.word());
        }
    }

    #[test]
    fn with_a_partition_of_nobody_nothing_is_said_to_be_complete() {
        let replicas = |held| vec![of_replica(2, v1::State::Running, Some(5)); held];
        assert_eq!(merge(replicas(2)).projections[0].complete_age_ms, None);
        assert_eq!(merge(replicas(3)).projections[0].complete_age_ms, Some(5));
        let mut more = replicas(3);
        more.push(of_replica(0, v1::State::Running, None));
        assert_eq!(merge(more).projections[0].complete_age_ms, Some(5));
        let unsure = vec![
            of_replica(3, v1::State::Running, None),
            of_replica(3, v1::State::Running, Some(5)),
        ];
        assert_eq!(merge(unsure).projections[0].complete_age_ms, None);
    }

    #[test]
    fn who_leads_wins_over_who_waits_in_either_order() {
        use v1::State::{Running, Waiting};
        for states in [[Running, Waiting], [Waiting, Running]] {
            let merged = merge(states.map(of_capture).into());
            assert_eq!(merged.source.map(|source| source.phase).as_deref(), Some("running"));
            assert_eq!(merged.services.len(), 2);
            let merged = merge(states.map(|state| of_projector("duckdb", state)).into());
            assert_eq!(merged.projections.len(), 1);
            assert_eq!(merged.projections[0].state(), Running);
        }
    }
}
