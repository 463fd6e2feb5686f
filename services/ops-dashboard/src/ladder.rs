//! The way of a change: committed → received → appended, then read → applied in each projection,
//! with the time since its commit at each rung and the step between two. Pure.

use cdc_control::v1::{Projection, State};

use crate::moment::{CAPTURE, Moment};

/// A place that a change passes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Rung {
    pub(crate) name: &'static str,
    /// Milliseconds since the commit.
    pub(crate) p50_ms: Option<f64>,
    pub(crate) p99_ms: Option<f64>,
    /// The step from the rung before, at p50.
    pub(crate) step_ms: Option<f64>,
    pub(crate) is_slowest: bool,
}

/// A projection's part of the way.
#[derive(Debug, Clone)]
pub(crate) struct Lane {
    pub(crate) projection: Projection,
    pub(crate) is_stale: bool,
    pub(crate) read: Rung,
    pub(crate) applied: Rung,
}

/// The whole way.
#[derive(Debug, Clone)]
pub(crate) struct Ladder {
    pub(crate) committed: Rung,
    pub(crate) received: Rung,
    pub(crate) appended: Rung,
    pub(crate) lanes: Vec<Lane>,
    pub(crate) capture: Option<State>,
    pub(crate) events_per_second: Option<f64>,
    pub(crate) is_stale: bool,
    /// The slowest step's name.
    pub(crate) slowest: Option<String>,
}

impl Ladder {
    /// Reads it off a moment.
    pub(crate) fn of(moment: &Moment) -> Self {
        let capture = moment.capture();
        let of = |found: Option<(Option<f64>, Option<f64>)>| found.unwrap_or_default();
        let received = of(capture.map(|c| (c.received_p50_ms, c.received_p99_ms)));
        let appended = of(capture.map(|c| (c.latency_p50_ms, c.latency_p99_ms)));
        let lane = |projection: &Projection| Lane {
            is_stale: moment.is_stale(&projection.name),
            read: rung("read", (projection.read_p50_ms, projection.read_p99_ms), appended.0),
            applied: rung(
                "applied",
                (projection.latency_p50_ms, projection.latency_p99_ms),
                projection.read_p50_ms.or(appended.0),
            ),
            projection: projection.clone(),
        };
        let mut ladder = Self {
            committed: rung("committed", (Some(0.0), Some(0.0)), None),
            received: rung("received", received, Some(0.0)),
            appended: rung("appended", appended, received.0.or(Some(0.0))),
            lanes: moment.status.projections.iter().map(lane).collect(),
            capture: capture.map(cdc_control::v1::Capture::state),
            events_per_second: capture.map(|capture| capture.events_per_second),
            is_stale: moment.is_stale(CAPTURE),
            slowest: None,
        };
        ladder.mark_slowest();
        ladder
    }

    fn mark_slowest(&mut self) {
        let mut before = [&mut self.received, &mut self.appended].map(|rung| (String::new(), rung));
        before[0].0 = "committed → received".to_owned();
        before[1].0 = "received → appended".to_owned();
        // What was measured before a lane was held is no step of now.
        let running =
            |lane: &&mut Lane| lane.projection.state() == State::Running && !lane.is_stale;
        let lanes = self.lanes.iter_mut().filter(running).flat_map(|lane| {
            let name = &lane.projection.name;
            let names = [format!("appended → read ({name})"), format!("read → applied ({name})")];
            names.into_iter().zip([&mut lane.read, &mut lane.applied])
        });
        let steps = before.into_iter().chain(lanes);
        let steps = steps.filter_map(|(name, rung)| rung.step_ms.map(|step| (step, name, rung)));
        let slowest = steps.filter(|(step, _, _)| *step > 0.0).max_by(|a, b| a.0.total_cmp(&b.0));
        if let Some((_, name, rung)) = slowest {
            rung.is_slowest = true;
            self.slowest = Some(name);
        }
    }
}

fn rung(name: &'static str, latency: (Option<f64>, Option<f64>), before: Option<f64>) -> Rung {
    let (p50_ms, p99_ms) = latency;
    // Each rung's median is taken on its own, so a later one may come out smaller by a little.
    let step_ms = p50_ms.zip(before).map(|(p50, before)| (p50 - before).max(0.0));
    Rung { name, p50_ms, p99_ms, step_ms, is_slowest: false }
}
