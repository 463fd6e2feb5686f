//! The load dial, and ways to break things.

use cdc_control::v1;
use maud::{Markup, html};

use crate::control::{Heard, Silence};
use crate::format::{millis, plural, rate};
use crate::lab::{Note, word};
use crate::load::{RATE_MAX, Reading};
use crate::page::{Frame, Tone, notice, page, state_mark};

/// Rates that are one press away.
const RATES: [&str; 6] = ["0", "1", "10", "100", "1000", "5000"];

/// What the page tells.
#[derive(Debug, Clone)]
pub(crate) struct Lab {
    pub(crate) wanted: f64,
    pub(crate) reading: Reading,
    pub(crate) placed: u64,
    /// None while nobody has answered.
    pub(crate) status: Option<Result<Heard<v1::StatusReply>, Silence>>,
    pub(crate) notes: Vec<Note>,
}

/// Draws the page.
pub(crate) fn lab(frame: &Frame<'_>, lab: &Lab, problem: Option<(&str, &str)>) -> Markup {
    let body = html! {
        div.lead {
            h1 { "Lab" }
            p { "Turn up the orders, then break something and see what Penstock makes of it." }
        }
        @if let Some((what, more)) = problem { (notice(Tone::Bad, what, more)) }
        div.lab {
            section.dial aria-labelledby="dial" {
                h2 #dial { "Load" }
                p { "Orders that nobody sent, each a transaction of its own. They take no stock." }
                form method="post" action="/lab/rate" {
                    fieldset.rates {
                        legend.unseen { "Orders per second" }
                        @for value in RATES {
                            @let is_set = value.parse().is_ok_and(|value: f64| (value - lab.wanted).abs() < 0.05);
                            button name="preset" value=(value) aria-pressed=(is_set) { (rate(value.parse().unwrap_or(0.0))) }
                        }
                    }
                }
                form.own method="post" action="/lab/rate" {
                    label for="rate" { "Orders per second" }
                    input #rate name="rate" value=(rate_value(lab.wanted)) inputmode="decimal" size="6" maxlength="12" autocomplete="off"
                        aria-description=(format!("From 0 to {RATE_MAX}"));
                    button { "Set" }
                }
            }
            div.now data-live="/lab/live" { (live(lab, frame.dashboard)) }
            section.break aria-labelledby="break" {
            h2 #break { "Break something" }
            div.breakages {
                (breakage("/lab/poison", "A value that cannot be held",
                    "Adds a product that weighs NaN: a DECIMAL of the warehouse cannot hold that, so the record is parked with its key and everything else flows on.",
                    "Send it", frame.dashboard("/dead-letters")))
                (breakage("/lab/column", "A column that was not there",
                    "Runs ALTER TABLE … ADD COLUMN on products while orders come in: a new schema is registered and every copy grows the column.",
                    "Add it", frame.dashboard("/schemas")))
            }
            }
        }
    };
    page(frame, "Lab", &body)
}

fn breakage(action: &str, title: &str, text: &str, label: &str, shows: Option<String>) -> Markup {
    html! {
        form.breakage method="post" action=(action) {
            h3 { (title) }
            p { (text) }
            p.actions {
                button { (label) }
                @if let Some(href) = shows { " " a href=(href) { "Where it shows" } }
            }
        }
    }
}

/// Draws what changes of it.
pub(crate) fn live(lab: &Lab, dashboard: Option<&str>) -> Markup {
    html! {
        section.achieved aria-label="Achieved" {
            p.big { (rate(lab.reading.achieved)) span.unit { " orders/s" } }
            p.quiet { "achieved of " (rate(lab.wanted)) " asked for; " (plural(lab.placed, "order")) " since the shop opened" }
            @if let Some(trouble) = &lab.reading.trouble { (notice(Tone::Bad, "No order was placed.", &format!("{trouble}. It goes on by itself once the database takes orders."))) }
        }
        section.projections aria-labelledby="projections" {
            h2 #projections { "Hold a projection" }
            p { "Stops it between two batches: the others go on, and it catches up when it is resumed." }
            @match &lab.status {
                None => p.quiet { "Asking…" },
                Some(Err(silence)) => (notice(Tone::Held, "No projection is known.", &silence.text())),
                Some(Ok(heard)) if heard.told.projections.is_empty() && heard.absent.is_empty() => p.quiet { "The processes that answer run no projection." },
                Some(Ok(heard)) => {
                    ul.states { @for projection in &heard.told.projections { (one(projection)) } }
                    @for said in &heard.absent { (notice(Tone::Held, "A process does not answer for its part.", said)) }
                },
            }
        }
        @if !lab.notes.is_empty() {
            section.notes aria-labelledby="notes" {
                h2 #notes { "What was done" }
                ul { @for entry in &lab.notes { (note(entry, dashboard)) } }
            }
        }
    }
}

fn one(projection: &v1::Projection) -> Markup {
    let state = projection.state();
    let tone = match state {
        v1::State::Running => Tone::Ok,
        v1::State::Halted => Tone::Bad,
        v1::State::Paused | v1::State::Stopped => Tone::Held,
        _ => Tone::Waiting,
    };
    let is_paused = state == v1::State::Paused;
    let (action, label) =
        if is_paused { ("/lab/resume", "Resume") } else { ("/lab/pause", "Pause") };
    let parked = projection.parked_records.unwrap_or(projection.dead_letters);
    let facts = [
        projection
            .lag_records
            .filter(|n| *n > 0)
            .map(|n| format!("{} behind", plural(n, "record"))),
        Some(parked).filter(|parked| *parked > 0).map(|parked| plural(parked, "dead letter")),
        projection
            .latency_p50_ms
            .filter(|_| state == v1::State::Running)
            .map(|ms| format!("{} from commit", millis(ms))),
    ];
    let facts: Vec<String> = facts.into_iter().flatten().collect();
    html! {
        li {
            span.state { (state_mark(tone)) " " strong { (projection.name) } " " (word(state)) }
            span.quiet { (facts.join(" · ")) }
            form method="post" action=(action) {
                input type="hidden" name="target" value=(projection.name);
                button id=(format!("hold-{}", projection.name)) { (label) span.unseen { " " (projection.name) } }
            }
        }
    }
}

fn note(note: &Note, dashboard: Option<&str>) -> Markup {
    let age = millis(note.at.elapsed().as_secs_f64().floor() * 1e3);
    let tone = if note.is_refused { Tone::Bad } else { Tone::Ok };
    html! {
        li {
            p { (state_mark(tone)) " " strong { (note.what) } " " span.quiet { (age) " ago" } }
            p { (note.outcome) }
            @if let (Some(dashboard), Some(path)) = (dashboard, note.shows_at) {
                p { a href=(format!("{dashboard}{path}")) { "See it on the dashboard" } }
            }
        }
    }
}

fn rate_value(rate: f64) -> String {
    format!("{rate}")
}
