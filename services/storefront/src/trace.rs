//! What became of an order after its commit, rung by rung. Pure.
//!
//! The commit's time is the database's, a rung's time that of the process which saw it there: with
//! two clocks a rung may seem to come first, and is then told as 0 ms.

use cdc_control::v1;

use crate::format::real;

/// The name that control gives to the event log.
const APPENDED: &str = "appended";

/// One place that an order comes to.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Rung {
    /// What comes after “it is”: `in the warehouse`.
    pub(crate) place: String,
    pub(crate) reached: Reached,
}

/// Whether it is there.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Reached {
    /// Since so many milliseconds after the commit.
    After(f64),
    /// Not yet, while everything runs.
    NotYet,
    /// Not before what is told here is over.
    Held(String),
}

/// Puts together what is expected, by the status, and what has come, by the trace.
pub(crate) fn rungs(commit_us: i64, come: &[v1::TraceRung], status: &v1::StatusReply) -> Vec<Rung> {
    let mut expected: Vec<(String, String, Option<String>)> = Vec::new();
    let capture = status.capture.as_ref();
    let has_log = come.iter().any(|rung| rung.name == APPENDED);
    if capture.is_some() || has_log {
        let held =
            capture.and_then(|c| hindrance("Capture", c.state(), &c.reason, c.halt.as_ref()));
        expected.push((APPENDED.to_owned(), "in the log".to_owned(), held));
    }
    let mut projections: Vec<&v1::Projection> = status.projections.iter().collect();
    projections.sort_by_key(|projection| (order(&projection.kind), projection.name.clone()));
    for projection in projections {
        let halt = projection.halt.as_ref();
        let held = hindrance("It", projection.state(), &projection.reason, halt);
        let place = place(&projection.kind, &projection.name);
        expected.push((projection.name.clone(), place, held));
    }
    let unexpected =
        come.iter().filter(|rung| !expected.iter().any(|(name, ..)| *name == rung.name));
    let unexpected: Vec<_> =
        unexpected.map(|rung| (rung.name.clone(), place("", &rung.name), None)).collect();
    expected.extend(unexpected);
    let rung = |(name, place, held): (String, String, Option<String>)| {
        let at_us = come.iter().filter(|rung| rung.name == name).map(|rung| rung.at_us).min();
        let reached = match (at_us, held) {
            (Some(at_us), _) => Reached::After(real(at_us.saturating_sub(commit_us).max(0)) / 1e3),
            (None, Some(why)) => Reached::Held(why),
            (None, None) => Reached::NotYet,
        };
        Rung { place, reached }
    };
    expected.into_iter().map(rung).collect()
}

/// Whether there is nothing to wait for.
pub(crate) fn is_complete(rungs: &[Rung]) -> bool {
    let is_there = |rung: &Rung| matches!(rung.reached, Reached::After(_));
    !rungs.is_empty() && rungs.iter().all(is_there)
}

fn order(kind: &str) -> u8 {
    match kind {
        "duckdb" => 0,
        "search" => 1,
        "audit" => 2,
        _ => 3,
    }
}

fn place(kind: &str, name: &str) -> String {
    match (kind, name) {
        ("duckdb", _) | ("", "duckdb" | "warehouse") => "in the warehouse".to_owned(),
        ("search", _) | ("", "search") => "searchable".to_owned(),
        ("audit", _) | ("", "audit") => "in the audit log".to_owned(),
        (_, name) => format!("in “{name}”"),
    }
}

/// Says why something does not move, if it does not.
fn hindrance(
    what: &str,
    state: v1::State,
    reason: &str,
    halt: Option<&v1::Halt>,
) -> Option<String> {
    let because = |word: &str| {
        if reason.is_empty() {
            format!("{what} {word}.")
        } else {
            format!("{what} {word}: {reason}.")
        }
    };
    match state {
        v1::State::Unspecified | v1::State::Running | v1::State::Snapshot => None,
        v1::State::Starting => Some(because("is starting")),
        v1::State::Waiting => Some(because("waits")),
        v1::State::Paused => Some(because("is paused")),
        v1::State::Stopped => Some(because("has stopped")),
        v1::State::Halted => Some(match halt {
            Some(halt) => format!("{what} halted: {} ({}).", halt.message, halt.code),
            None => because("halted"),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rung(name: &str, at_us: i64) -> v1::TraceRung {
        v1::TraceRung { name: name.to_owned(), at_us }
    }

    fn projection(name: &str, kind: &str, state: v1::State) -> v1::Projection {
        let (name, kind) = (name.to_owned(), kind.to_owned());
        v1::Projection { name, kind, state: state.into(), ..Default::default() }
    }

    #[test]
    fn rungs_come_in_the_order_of_the_ladder_and_no_clock_makes_them_negative() {
        let running = v1::State::Running;
        let status = v1::StatusReply {
            capture: Some(v1::Capture { state: running.into(), ..Default::default() }),
            projections: vec![
                projection("audit", "audit", v1::State::Paused),
                projection("search", "search", running),
                projection("wh", "duckdb", running),
            ],
            ..Default::default()
        };
        let come = [rung("wh", 1_023_000), rung("appended", 999_000)];
        let found = rungs(1_000_000, &come, &status);
        let expected = [
            ("in the log", Reached::After(0.0)),
            ("in the warehouse", Reached::After(23.0)),
            ("searchable", Reached::NotYet),
            ("in the audit log", Reached::Held("It is paused.".to_owned())),
        ];
        let expected =
            expected.map(|(place, reached)| Rung { place: place.to_owned(), reached }).to_vec();
        assert_eq!(found, expected);
        assert!(!is_complete(&found));
    }

    #[test]
    fn of_two_who_tell_the_same_rung_the_earlier_counts() {
        let come = [rung("appended", 9_000), rung("appended", 5_000), rung("lake", 7_000)];
        let found = rungs(1_000, &come, &v1::StatusReply::default());
        assert_eq!(found[0].reached, Reached::After(4.0));
        assert_eq!(found[1].place, "in “lake”");
        assert!(is_complete(&found) && !is_complete(&[]));
    }
}
