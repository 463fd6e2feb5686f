//! The ladder as one drawing: lying on a wide screen, upright on a narrow one.
//!
//! Places are percentages and everything within a place is in pixels, so that text keeps its size at
//! every width.

use maud::{Markup, html};

use crate::format;
use crate::headline::{Tone, synced};
use crate::ladder::{Ladder, Lane, Rung};
use crate::page::projection_href;

/// Lanes drawn; the table below the drawing has all.
const LANES_MAX: usize = 6;

/// A lane's height in the lying drawing, in pixels.
const LANE: usize = 96;

/// Where the lying drawing's rungs are, in percent.
const COMMITTED: f64 = 0.5;
const RECEIVED: f64 = 18.0;
const APPENDED: f64 = 36.0;
const FORK: f64 = 50.0;
const READ: f64 = 66.0;
const APPLIED: f64 = 83.0;

/// Draws it in both ways; the page's style shows one.
pub(crate) fn draw(ladder: &Ladder) -> Markup {
    let lanes: Vec<&Lane> = ladder.lanes.iter().take(LANES_MAX).collect();
    let more = ladder.lanes.len().saturating_sub(LANES_MAX);
    html! {
        figure.ladder aria-label="The way of a change, with the time since its commit at each rung" {
            (lying(ladder, &lanes))
            (upright(ladder, &lanes))
            @if more > 0 { figcaption { a href="#projections" { (more) " more projections below" } } }
        }
    }
}

/// A pipe's width by its throughput: a step for each power of ten.
fn width(events_per_second: Option<f64>) -> String {
    let decades = (1.0 + events_per_second.unwrap_or(0.0).max(0.0)).log10();
    format!("{:.1}", (2.0 + 2.0 * decades).min(14.0))
}

fn tone_class(tone: Tone) -> &'static str {
    match tone {
        Tone::Halted => "halted",
        Tone::Behind => "behind",
        Tone::Paused => "paused",
        Tone::Ok | Tone::Busy | Tone::Unknown => "flows",
    }
}

fn capture_class(ladder: &Ladder) -> String {
    let tone = ladder.capture.map_or(Tone::Unknown, Tone::of);
    format!("pipe {}{}", tone_class(tone), if ladder.is_stale { " old" } else { "" })
}

fn lane_class(lane: &Lane) -> String {
    let tone = Tone::of(lane.projection.state());
    format!("pipe {}{}", tone_class(tone), if lane.is_stale { " old" } else { "" })
}

/// How a lane stands, as mark and word; what is old is no state of now.
fn told(lane: &Lane) -> (Tone, &'static str) {
    let state = lane.projection.state();
    if lane.is_stale { (Tone::Unknown, "silent") } else { (Tone::of(state), state.word()) }
}

fn lying(ladder: &Ladder, lanes: &[&Lane]) -> Markup {
    let height = lanes.len().max(1) * LANE + 24;
    let middle = height / 2;
    let y = |index: usize| index * LANE + LANE / 2 + 12;
    let (first, last) = (y(0), y(lanes.len().saturating_sub(1)));
    let trunk = capture_class(ladder);
    let thick = width(ladder.events_per_second);
    html! {
        svg.lying width="100%" height=(height) role="group" aria-label="Ladder" {
            line class=(trunk) x1=(at(COMMITTED)) x2=(at(FORK)) y1=(middle) y2=(middle) stroke-width=(thick) {}
            @if lanes.len() > 1 {
                line class=(trunk) x1=(at(FORK)) x2=(at(FORK)) y1=(first) y2=(last) stroke-width=(thick) stroke-linecap="round" {}
            }
            (step(RECEIVED, middle, &ladder.received))
            (step(APPENDED, middle, &ladder.appended))
            (node(COMMITTED, middle, "/source", &ladder.committed, &[]))
            (node(RECEIVED, middle, "/source", &ladder.received, &[]))
            (node(APPENDED, middle, "/events", &ladder.appended, &[]))
            @if lanes.is_empty() {
                svg.node x=(at(FORK)) y=(middle) overflow="visible" { text x="12" y="4" { "no projection yet" } }
            }
            @for (index, lane) in lanes.iter().enumerate() {
                @let (y, class, projection) = (y(index), lane_class(lane), &lane.projection);
                @let href = projection_href(&projection.name);
                line class=(class) x1=(at(FORK)) x2=(at(APPLIED)) y1=(y) y2=(y) stroke-width=(width(Some(projection.events_per_second))) {}
                svg.node x=(at(FORK)) y=(y) overflow="visible" {
                    a href=(href) { text.name x="12" y="-32" { (short(&projection.name, 32)) } }
                    svg.node x="12" y="12" width="12" height="12" { (crate::page::state_mark(told(lane).0)) }
                    text.u x="28" y="22" { (told(lane).1) }
                }
                (step(READ, y, &lane.read))
                (step(APPLIED, y, &lane.applied))
                (node(READ, y, &href, &lane.read, &[]))
                (node(APPLIED, y, &href, &lane.applied, &[arrears(lane)]))
            }
        }
    }
}

fn at(percent: f64) -> String {
    format!("{percent}%")
}

/// A rung: its name above, the time since the commit below.
fn node(x: f64, y: usize, href: &str, rung: &Rung, lines: &[String]) -> Markup {
    html! {
        svg.node x=(at(x)) y=(y) overflow="visible" {
            circle.rung cx="0" cy="0" r="5" {}
            a href=(href) { text.name x="0" y="-14" { (rung.name) } }
            @if rung.name == "committed" {
                text.u x="0" y="22" { "at the source" }
            } @else {
                text x="0" y="22" { (format::known_text(rung.p50_ms.map(format::millis))) }
                text.u x="0" y="38" { "p99 " (format::known_text(rung.p99_ms.map(format::millis))) }
            }
            @for (index, line) in lines.iter().enumerate() {
                text.u x="64" y=(22 + index * 16) { (line) }
            }
        }
    }
}

/// The step to a rung, written on the pipe before it.
fn step(x: f64, y: usize, rung: &Rung) -> Markup {
    html! {
        @if let Some(step) = rung.step_ms {
            svg.node x=(at(x)) y=(y) overflow="visible" {
                text.step.slowest[rung.is_slowest] x="-12" y="-14" text-anchor="end" {
                    "+" (format::millis(step).text()) @if rung.is_slowest { " slowest" }
                }
            }
        }
    }
}

/// What a projection lacks.
fn arrears(lane: &Lane) -> String {
    let lag = lane.projection.lag_records.map(|records| match records {
        0 => "up to date".to_owned(),
        records => format!("{} to go", format::group(records)),
    });
    let share = synced(&lane.projection).filter(|share| share.number != "100").map(|q| q.text());
    let told: Vec<String> = lag.into_iter().chain(share).collect();
    if told.is_empty() { format!("{} to go", format::UNKNOWN) } else { told.join(", ") }
}

/// Heights of the upright drawing's places, in pixels.
const RUNG: usize = 60;
const BRANCH: usize = 100;

fn upright(ladder: &Ladder, lanes: &[&Lane]) -> Markup {
    let below = 3 * RUNG;
    let height = below + if lanes.is_empty() { 32 } else { lanes.len() * BRANCH };
    let y = |index: usize| below + index * BRANCH + 12;
    let trunk = capture_class(ladder);
    let thick = width(ladder.events_per_second);
    let end = lanes.len().checked_sub(1).map_or(2 * RUNG + 16, y);
    html! {
        svg.upright width="100%" height=(height) role="group" aria-label="Ladder" {
            line class=(trunk) x1="10" x2="10" y1="16" y2=(end) stroke-width=(thick) {}
            (row(16, 10, "/source", &ladder.committed))
            (row(RUNG + 16, 10, "/source", &ladder.received))
            (row(2 * RUNG + 16, 10, "/events", &ladder.appended))
            @if lanes.is_empty() { text x="32" y=(below + 16) { "no projection yet" } }
            @for (index, lane) in lanes.iter().enumerate() {
                @let (y, projection) = (y(index), &lane.projection);
                line class=(lane_class(lane)) x1="10" x2="32" y1=(y) y2=(y) stroke-width=(width(Some(projection.events_per_second))) {}
                circle.rung cx="32" cy=(y) r="5" {}
                a href=(projection_href(&projection.name)) { text.name x="48" y=(y + 5) { (short(&projection.name, 24)) } }
                text.u x="48" y=(y + 23) { (told(lane).1) " · " (arrears(lane)) }
                (line("read", y + 41, &lane.read))
                (line("applied", y + 59, &lane.applied))
                (upright_step(48, y + 77, if lane.read.is_slowest { &lane.read } else { &lane.applied }))
            }
        }
    }
}

fn row(y: usize, x: usize, href: &str, rung: &Rung) -> Markup {
    html! {
        circle.rung cx=(x) cy=(y) r="5" {}
        a href=(href) { text.name x="32" y=(y + 5) { (rung.name) } }
        @if rung.name != "committed" {
            text x="32" y=(y + 23) {
                (format::known_text(rung.p50_ms.map(format::millis)))
                tspan.u { " · p99 " (format::known_text(rung.p99_ms.map(format::millis))) }
            }
            (upright_step(32, y + 39, rung))
        } @else { text.u x="32" y=(y + 23) { "at the source" } }
    }
}

fn line(name: &str, y: usize, rung: &Rung) -> Markup {
    html! {
        text x="48" y=(y) {
            tspan.u { (name) " " }
            (format::known_text(rung.p50_ms.map(format::millis)))
            tspan.u { " · p99 " (format::known_text(rung.p99_ms.map(format::millis))) }
        }
    }
}

/// The slowest step stands on a line of its own, below all others of its place.
fn upright_step(x: usize, y: usize, rung: &Rung) -> Markup {
    html! {
        @if rung.is_slowest && let Some(step) = rung.step_ms {
            text.step.slowest x=(x) y=(y) { "+" (format::millis(step).text()) " until " (rung.name) ", slowest" }
        }
    }
}

fn short(name: &str, max: usize) -> String {
    match name.char_indices().nth(max) {
        Some((at, _)) => format!("{}…", name.get(..at).unwrap_or_default()),
        None => name.to_owned(),
    }
}
