//! Whether anything is lost: a position of the source that every rung has passed, and when. Pure.
//!
//! A check begins with the newest position that the source's server has told, and passes when
//!
//! 1. capture has acknowledged that position, which it does only with what is durable in the event
//!    log (I1), so that every captured change before it is there;
//! 2. the log, asked after that for the end of each partition, was passed at every one of them by the
//!    offsets which each projection's store commits with its rows (I3, `complete_age_ms`), so that
//!    every record of those changes is applied there or parked.
//!
//! Then the next begins. What is verified is the time at which the position was told.
//!
//! ```text
//! server's log ──position──> capture acknowledges ──then──> log's ends ──> each store's offsets
//! ```
//!
//! # Clocks
//! Processes tell ages, not times, and an age is counted from when its answer came here: clocks that
//! disagree change nothing.
//!
//! # Not here
//! Contents are not compared. A row that a store holds wrong, or that somebody changed in it, passes;
//! so does a table that is not captured, of which the page tells elsewhere.

use std::collections::BTreeSet;

use cdc_control::v1::StatusReply;
use cdc_model::Lsn;

/// How far a check has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Check {
    /// When its position was told.
    pub(crate) begun_ms: i64,
    pub(crate) position: Lsn,
    /// When everything up to there was seen to be in the log.
    pub(crate) appended_ms: Option<i64>,
}

/// A check that has passed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Verified {
    /// When its position was told.
    pub(crate) at_ms: i64,
    /// When the last rung was seen to have passed.
    pub(crate) seen_ms: i64,
    pub(crate) position: Lsn,
    /// Whose stores have passed.
    pub(crate) projections: Vec<String>,
}

/// The check under way, and the last that has passed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Verification {
    pub(crate) under_way: Option<Check>,
    pub(crate) last: Option<Verified>,
    /// What the check under way waits for, in words.
    pub(crate) waits_for: String,
}

/// What a check looks at.
#[derive(Debug)]
pub(crate) struct Sight<'a> {
    pub(crate) status: &'a StatusReply,
    /// When the oldest of the answers in it came.
    pub(crate) told_ms: i64,
    pub(crate) now_ms: i64,
    /// Parts whose numbers are old.
    pub(crate) stale: &'a BTreeSet<String>,
}

impl Verification {
    /// Goes on with what is seen now.
    #[must_use]
    pub(crate) fn next(&self, sight: &Sight<'_>) -> Self {
        let mut next = self.clone();
        let Some((server, acknowledged)) = positions(sight) else {
            "capture, which does not tell its positions".clone_into(&mut next.waits_for);
            return next;
        };
        // A server whose log begins anew has other positions.
        let known = self.under_way.filter(|check| check.position <= server);
        let begun = Check { begun_ms: sight.told_ms, position: server, appended_ms: None };
        let mut check = known.unwrap_or(begun);
        if check.appended_ms.is_none() && acknowledged >= check.position {
            check.appended_ms = Some(sight.now_ms);
        }
        next.under_way = Some(check);
        next.waits_for = match check.appended_ms {
            None => "capture, which has not acknowledged it".to_owned(),
            Some(appended_ms) => match lacking(sight, appended_ms) {
                Some(lacking) => lacking,
                None => return passed(check, sight),
            },
        };
        next
    }
}

fn positions(sight: &Sight<'_>) -> Option<(Lsn, Lsn)> {
    let source = sight.status.source.as_ref();
    let source = source.filter(|_| !sight.stale.contains(crate::moment::CAPTURE))?;
    let read = |position: &Option<String>| position.as_ref()?.parse().ok();
    Some((read(&source.server_lsn)?, read(&source.acknowledged_lsn)?))
}

/// Names the projection that has not passed the ends which the log has had since `appended_ms`.
fn lacking(sight: &Sight<'_>, appended_ms: i64) -> Option<String> {
    if sight.status.projections.is_empty() {
        return Some("a projection: none is told".to_owned());
    }
    let lacks = |projection: &&cdc_control::v1::Projection| {
        let age = projection.complete_age_ms.and_then(|age| i64::try_from(age).ok());
        let asked_ms = age.map(|age| sight.told_ms.saturating_sub(age));
        sight.stale.contains(&projection.name) || asked_ms.is_none_or(|at| at < appended_ms)
    };
    let first = sight.status.projections.iter().find(lacks)?;
    Some(format!("{}, which has not passed the log’s end", first.name))
}

fn passed(check: Check, sight: &Sight<'_>) -> Verification {
    let names = sight.status.projections.iter().map(|projection| projection.name.clone());
    let last = Some(Verified {
        at_ms: check.begun_ms,
        seen_ms: sight.now_ms,
        position: check.position,
        projections: names.collect(),
    });
    Verification { under_way: None, last, waits_for: String::new() }
}

#[cfg(test)]
mod tests {
    use cdc_control::v1::{Projection, Source};

    use super::*;

    fn status(server: &str, acknowledged: &str, ages: &[Option<u64>]) -> StatusReply {
        let source = Source {
            server_lsn: Some(server.to_owned()),
            acknowledged_lsn: Some(acknowledged.to_owned()),
            ..Source::default()
        };
        let projection = |(index, age): (usize, &Option<u64>)| Projection {
            name: format!("p{index}"),
            complete_age_ms: *age,
            ..Projection::default()
        };
        let projections = ages.iter().enumerate().map(projection).collect();
        StatusReply { source: Some(source), projections, ..StatusReply::default() }
    }

    fn run(moments: &[(i64, StatusReply)], stale: &str) -> Verification {
        moments.iter().fold(Verification::default(), |before, (now_ms, status)| {
            let stale = BTreeSet::from([stale.to_owned()]);
            let sight = Sight { status, told_ms: now_ms - 10, now_ms: *now_ms, stale: &stale };
            before.next(&sight)
        })
    }

    #[test]
    fn a_position_is_verified_once_every_rung_has_passed_it() {
        let moments = [
            (100, status("0/50", "0/40", &[Some(5), Some(5)])),
            // Acknowledged now: ends that the log told before say nothing of it.
            (200, status("0/90", "0/50", &[Some(5), Some(5)])),
            (300, status("0/90", "0/50", &[Some(50), Some(150)])),
            (400, status("0/90", "0/90", &[Some(50), Some(150)])),
        ];
        let at = |count: usize| run(&moments[..count], "");
        assert_eq!(at(1).waits_for, "capture, which has not acknowledged it");
        assert_eq!(at(2).waits_for, "p0, which has not passed the log’s end");
        assert_eq!(at(3).waits_for, "p1, which has not passed the log’s end");
        let (at_ms, seen_ms) = (90, 400);
        let projections = vec!["p0".to_owned(), "p1".to_owned()];
        let expected = Verified { at_ms, seen_ms, position: Lsn(0x50), projections };
        assert_eq!(at(4).last, Some(expected));
        assert_eq!(at(4).under_way, None);
    }

    #[test]
    fn what_is_old_or_not_told_verifies_nothing() {
        let well =
            [(100, status("0/50", "0/50", &[Some(0)])), (200, status("0/50", "0/50", &[Some(0)]))];
        assert!(run(&well, "").last.is_some());
        assert_eq!(run(&well, "p0").last, None);
        assert_eq!(run(&well, crate::moment::CAPTURE).last, None);
        let silent = well.clone().map(|(at, mut status)| {
            status.projections[0].complete_age_ms = None;
            (at, status)
        });
        assert_eq!(run(&silent, "").last, None);
        let bare = well.map(|(at, status)| (at, StatusReply { projections: vec![], ..status }));
        assert_eq!(run(&bare, "").last, None);
    }

    #[test]
    fn a_server_that_begins_anew_begins_another_check() {
        let moments = [
            (100, status("9/50", "0/0", &[Some(0)])),
            (200, status("0/10", "0/10", &[Some(0)])),
            (300, status("0/10", "0/10", &[Some(0)])),
        ];
        assert_eq!(run(&moments, "").last.map(|last| last.position), Some(Lsn(0x10)));
    }
}
