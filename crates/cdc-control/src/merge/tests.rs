//! Who wins where two tell of the same part, and what shares add up to.

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
    let mut service = v1::Service { name: "schema-registry-client".into(), ..Default::default() };
    service.set_state(v1::State::Waiting);
    let registry = || v1::StatusReply { services: vec![service.clone()], ..Default::default() };
    let capture = || of_capture(v1::State::Running);
    for told in [vec![registry(), capture()], vec![capture(), registry()]] {
        let merged = merge(told);
        assert_eq!(merged.capture.map(|capture| capture.state()), Some(v1::State::Running));
        assert!(merged.source.is_some() && merged.projections.is_empty());
        let told: Vec<_> = merged.services.iter().map(|s| (&*s.name, s.state())).collect();
        let expected =
            [("capture", v1::State::Unspecified), ("schema-registry-client", v1::State::Waiting)];
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
    let unsure =
        vec![of_replica(3, v1::State::Running, None), of_replica(3, v1::State::Running, Some(5))];
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
