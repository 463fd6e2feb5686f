//! One picture of several processes.

use crate::v1;

/// Puts together what several processes tell: each part comes from the process that runs it. Where
/// two run the same part, the one that leads wins over the one that waits for it.
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
