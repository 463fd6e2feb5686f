//! One moment of everything that is asked, with what is old marked as old. Pure.
//!
//! What answers is told by `cdc_control::merge`. What does not answer any more keeps its last numbers
//! in the picture, unless a process that answers runs the same part: the dead leader of two does not
//! hide the one that took over.

use std::collections::{BTreeMap, BTreeSet};

use cdc_control::v1::{Capture, Projection, Service, State, StatusReply, Table};

use crate::outlook::Outlook;
use crate::verify::{Sight, Verification};

/// The part of a status that is capture, beside the projections' names.
pub(crate) const CAPTURE: &str = "capture";

/// An endpoint and what it told last.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seat {
    /// Where it is asked.
    pub(crate) endpoint: String,
    /// Its last answer.
    pub(crate) status: Option<StatusReply>,
    /// When that came, as Unix time.
    pub(crate) seen_ms: Option<i64>,
    /// Whether that is recent.
    pub(crate) is_fresh: bool,
    /// Why it does not answer, and what to do about it.
    pub(crate) trouble: Option<(String, String)>,
}

/// One moment.
#[derive(Debug, Clone)]
pub(crate) struct Moment {
    pub(crate) status: StatusReply,
    pub(crate) seats: Vec<Seat>,
    /// Parts whose numbers are old.
    pub(crate) stale: BTreeSet<String>,
    pub(crate) at_ms: i64,
    /// Since when each part is in its state, as far as it was seen.
    pub(crate) since: BTreeMap<String, (State, i64)>,
    pub(crate) outlook: Outlook,
    /// Rates of the last minutes by projection.
    pub(crate) sparks: BTreeMap<String, Vec<Option<f64>>>,
    /// Whether every endpoint was asked once.
    pub(crate) is_complete: bool,
    pub(crate) verification: Verification,
}

impl Seat {
    /// Returns what runs there, as far as it has told, or where that is.
    pub(crate) fn label(&self) -> &str {
        let services = self.status.iter().flat_map(|status| &status.services);
        let name = services.map(|service| service.name.as_str()).find(|name| !name.is_empty());
        name.unwrap_or(&self.endpoint)
    }
}

impl Moment {
    /// Puts together what the endpoints told; `before` is the moment before.
    pub(crate) fn new(seats: Vec<Seat>, at_ms: i64, before: Option<&Self>) -> Self {
        let fresh = seats.iter().filter(|seat| seat.is_fresh).filter_map(of_seat).collect();
        let fresh = merge(fresh);
        let old = seats.iter().filter(|seat| !seat.is_fresh).filter_map(of_seat).collect();
        let (old, stale) = without(merge(old), &fresh);
        let mut status = merge(vec![fresh, old]);
        let silent = seats.iter().filter(|seat| seat.status.is_none());
        status.services.extend(
            silent.map(|seat| Service { address: seat.endpoint.clone(), ..Service::default() }),
        );
        let since = since(&status, at_ms, before.map(|before| &before.since));
        let is_complete = seats.iter().all(|seat| seat.status.is_some() || seat.trouble.is_some());
        let (outlook, sparks) = (Outlook::Unknown, BTreeMap::new());
        let fresh = seats.iter().filter(|seat| seat.is_fresh);
        let told_ms = fresh.filter_map(|seat| seat.seen_ms).min().unwrap_or(at_ms);
        let sight = Sight { status: &status, told_ms, now_ms: at_ms, stale: &stale };
        let known = before.map(|before| before.verification.clone()).unwrap_or_default();
        let verification = known.next(&sight);
        Self { status, seats, stale, at_ms, since, outlook, sparks, is_complete, verification }
    }

    /// Returns whether a part's numbers are old.
    pub(crate) fn is_stale(&self, part: &str) -> bool {
        self.stale.contains(part)
    }

    /// Returns whether nothing that is asked answers.
    pub(crate) fn is_silent(&self) -> bool {
        self.seats.iter().all(|seat| !seat.is_fresh)
    }

    /// Returns the endpoints that do not answer.
    pub(crate) fn absent(&self) -> impl Iterator<Item = &Seat> {
        self.seats.iter().filter(|seat| !seat.is_fresh)
    }

    /// Returns when anything answered last.
    pub(crate) fn newest_ms(&self) -> Option<i64> {
        self.seats.iter().filter_map(|seat| seat.seen_ms).max()
    }

    /// Returns capture, if any process tells it.
    pub(crate) fn capture(&self) -> Option<&Capture> {
        self.status.capture.as_ref()
    }

    /// Returns a projection by name.
    pub(crate) fn projection(&self, name: &str) -> Option<&Projection> {
        self.status.projections.iter().find(|projection| projection.name == name)
    }

    /// Returns since when a part is in its state.
    pub(crate) fn since_ms(&self, part: &str) -> Option<i64> {
        self.since.get(part).map(|(_, at)| *at)
    }

    /// Returns the pipeline's name, or what stands for it. The number of the database's system that
    /// it may begin with tells people nothing.
    pub(crate) fn name(&self) -> &str {
        let name = self.status.pipeline.as_str();
        let is_number = |part: &str| part.len() > 9 && part.bytes().all(|b| b.is_ascii_digit());
        match name.split_once('-') {
            _ if name.is_empty() => "no pipeline",
            Some((number, rest)) if is_number(number) && !rest.is_empty() => rest,
            _ => name,
        }
    }

    /// Returns how long ago the position was told that every rung was last seen to have passed.
    pub(crate) fn verified_ago_ms(&self) -> Option<i64> {
        Some(self.at_ms.saturating_sub(self.verification.last.as_ref()?.at_ms))
    }

    /// Returns the records parked in all projections.
    pub(crate) fn dead_letters(&self) -> u64 {
        self.status.projections.iter().map(parked).sum()
    }
}

/// Returns how many records a projection has parked.
pub(crate) fn parked(projection: &Projection) -> u64 {
    projection.parked_records.unwrap_or(projection.dead_letters)
}

/// A seat's status with its process marked as seen.
fn of_seat(seat: &Seat) -> Option<StatusReply> {
    let mut status = seat.status.clone()?;
    if status.services.is_empty() {
        let (version, uptime_ms) = (status.version.clone(), status.uptime_ms);
        let name = "penstock".to_owned();
        status.services.push(Service { name, version, uptime_ms, ..Service::default() });
    }
    for service in &mut status.services {
        if service.address.is_empty() {
            service.address.clone_from(&seat.endpoint);
        }
        service.seen_ms = seat.seen_ms.unwrap_or_default();
        service.is_reachable = seat.is_fresh;
    }
    Some(status)
}

/// Takes away what `fresh` tells better, and returns what remains with the names of its parts.
fn without(mut old: StatusReply, fresh: &StatusReply) -> (StatusReply, BTreeSet<String>) {
    let mut stale = BTreeSet::new();
    if fresh.capture.is_some() {
        old.capture = None;
        old.source = None;
    }
    old.projections
        .retain(|projection| fresh.projections.iter().all(|p| p.name != projection.name));
    stale.extend(old.capture.iter().map(|_| CAPTURE.to_owned()));
    stale.extend(old.projections.iter().map(|projection| projection.name.clone()));
    (old, stale)
}

/// Merges statuses. Tables are put together by name first: there may be ten thousand.
fn merge(mut statuses: Vec<StatusReply>) -> StatusReply {
    let mut tables: BTreeMap<String, Vec<Table>> = BTreeMap::new();
    for status in &mut statuses {
        for table in std::mem::take(&mut status.tables) {
            tables.entry(table.name.clone()).or_default().push(table);
        }
    }
    let mut merged = cdc_control::merge(statuses);
    merged.tables = tables.into_values().filter_map(of_tables).collect();
    merged
}

fn of_tables(mut told: Vec<Table>) -> Option<Table> {
    if told.len() < 2 {
        return told.pop();
    }
    let alone = |table| StatusReply { tables: vec![table], ..StatusReply::default() };
    cdc_control::merge(told.into_iter().map(alone).collect()).tables.pop()
}

type Since = BTreeMap<String, (State, i64)>;

fn since(status: &StatusReply, at_ms: i64, before: Option<&Since>) -> Since {
    let capture = status.capture.iter().map(|capture| (CAPTURE.to_owned(), capture.state()));
    let projections = status.projections.iter().map(|p| (p.name.clone(), p.state()));
    let kept = |part: &str, state| {
        let known = before.and_then(|before| before.get(part));
        known.filter(|(known, _)| *known == state).map(|(_, at)| *at)
    };
    let parts = capture.chain(projections);
    parts
        .map(|(part, state)| (part.clone(), (state, kept(&part, state).unwrap_or(at_ms))))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seat(endpoint: &str, is_fresh: bool, capture: Option<State>, projection: &str) -> Seat {
        let capture = capture.map(|state| {
            let mut capture = Capture::default();
            capture.set_state(state);
            capture
        });
        let projection = Projection { name: projection.to_owned(), ..Projection::default() };
        let projections = if projection.name.is_empty() { vec![] } else { vec![projection] };
        let status = StatusReply { capture, projections, ..StatusReply::default() };
        let (status, seen_ms) = (Some(status), Some(1));
        Seat { endpoint: endpoint.to_owned(), status, seen_ms, is_fresh, trouble: None }
    }

    #[test]
    fn what_does_not_answer_stays_and_is_marked() {
        let seats = vec![
            seat("a:1", true, Some(State::Running), ""),
            seat("b:1", false, None, "duckdb"),
            Seat { endpoint: "c:1".to_owned(), ..Seat::default() },
        ];
        let moment = Moment::new(seats, 10, None);
        assert!(moment.is_stale("duckdb") && !moment.is_stale(CAPTURE) && !moment.is_silent());
        let told = |s: &Service| (s.address.clone(), s.is_reachable, s.seen_ms);
        let services: Vec<_> = moment.status.services.iter().map(told).collect();
        let expected =
            [("a:1".into(), true, 1), ("b:1".into(), false, 1), ("c:1".into(), false, 0)];
        assert_eq!(services, expected);
        assert!(!moment.is_complete);
    }

    #[test]
    fn a_dead_leader_does_not_hide_who_waits_to_take_over() {
        let seats = vec![
            seat("a:1", false, Some(State::Running), ""),
            seat("b:1", true, Some(State::Waiting), ""),
        ];
        let moment = Moment::new(seats, 10, None);
        assert_eq!(moment.capture().map(Capture::state), Some(State::Waiting));
        assert!(moment.stale.is_empty());
    }

    #[test]
    fn a_state_is_timed_from_when_it_changed() {
        let seats = |state| vec![seat("a:1", true, Some(state), "")];
        let first = Moment::new(seats(State::Running), 10, None);
        let second = Moment::new(seats(State::Running), 20, Some(&first));
        let third = Moment::new(seats(State::Halted), 30, Some(&second));
        let at = [&first, &second, &third].map(|moment| moment.since_ms(CAPTURE));
        assert_eq!(at, [Some(10), Some(10), Some(30)]);
    }
}
