//! The load dial and the breakages.

use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use tokio::time::Instant;

use crate::error::Error;
use crate::format::{folded, rate as rate_text};
use crate::guard;
use crate::lab::Note;
use crate::load::{RATE_MAX, bounded};
use crate::page::lab::{self as drawn, Lab};
use crate::page::{Frame, HOME, refusal};
use crate::route::live::{self, Next};
use crate::route::{Fields, Sent, fields};
use crate::shop::Shared;

const INTERVAL: Duration = Duration::from_secs(1);

/// How long the page waits for a process before it is shown without.
const PATIENCE: Duration = Duration::from_millis(400);

/// Characters of a projection's name at most.
const TARGET_CHARS_MAX: usize = 100;

/// Shows the lab.
pub(super) async fn page(State(shared): State<Shared>, headers: HeaderMap) -> Response {
    let frame = Frame::of(&shared, &headers, "/lab");
    if let Some(response) = closed(&shared, &frame, &headers) {
        return response;
    }
    let lab = look(&shared).await;
    drawn::lab(&frame, &lab, None).into_response()
}

/// Streams what changes of it.
pub(super) async fn live(State(shared): State<Shared>, headers: HeaderMap) -> Response {
    let frame = Frame::of(&shared, &headers, "/lab");
    if let Some(response) = closed(&shared, &frame, &headers) {
        return response;
    }
    let asked = shared.clone();
    live::stream(&shared, move |_| {
        let shared = asked.clone();
        async move {
            let lab = look(&shared).await;
            (drawn::live(&lab, shared.config.dashboard.as_deref()), Next::In(INTERVAL))
        }
    })
}

/// Refuses where the lab is not open. On loopback by default, only names of this machine lead in: no
/// page of another site may pretend to be this one by its name.
fn closed(shared: &Shared, frame: &Frame<'_>, headers: &HeaderMap) -> Option<Response> {
    let is_open = shared.config.is_lab_open();
    let is_asked_for = shared.config.has_lab == Some(true);
    if is_open && (is_asked_for || guard::is_local_name(headers)) {
        return None;
    }
    shared.metrics.refused("lab_closed");
    let more = "It is open where the shop listens on this machine alone, or with --lab true.";
    Some((StatusCode::FORBIDDEN, refusal(frame, "The lab is closed.", more)).into_response())
}

async fn look(shared: &Shared) -> Lab {
    let status = tokio::time::timeout(PATIENCE, shared.controls.recent_status()).await;
    Lab {
        wanted: *shared.rate.borrow(),
        reading: shared.load.reading(),
        placed: shared.load.placed(),
        status: status.ok(),
        notes: shared.notes.all(),
    }
}

/// A command that may be given, read from its form.
#[expect(clippy::result_large_err, reason = "it is the answer")]
fn commanded(shared: &Shared, headers: &HeaderMap, sent: Sent) -> Result<Fields, Response> {
    let frame = Frame::of(shared, headers, "/lab");
    if let Some(response) = closed(shared, &frame, headers) {
        return Err(response);
    }
    fields(sent, &frame)
}

fn back() -> Response {
    Redirect::to("/lab").into_response()
}

/// Sets the load dial.
pub(super) async fn rate(State(shared): State<Shared>, headers: HeaderMap, sent: Sent) -> Response {
    let fields = match commanded(&shared, &headers, sent) {
        Ok(fields) => fields,
        Err(response) => return response,
    };
    let text = match fields.get("preset") {
        "" => fields.get("rate").trim(),
        preset => preset,
    };
    let wanted = text.parse().ok().filter(|rate| (0.0..=RATE_MAX).contains(rate));
    match wanted {
        Some(wanted) => {
            shared.rate.send_replace(bounded(wanted));
            back()
        }
        None => {
            shared.metrics.refused("rate");
            let frame = Frame::of(&shared, &headers, "/lab");
            let what = format!("“{}” is no rate.", folded(text, 20));
            let more = format!("Type orders per second, from 0 to {}.", rate_text(RATE_MAX));
            let page = drawn::lab(&frame, &look(&shared).await, Some((&what, &more)));
            (StatusCode::UNPROCESSABLE_ENTITY, page).into_response()
        }
    }
}

/// Sends a value that the warehouse cannot hold.
pub(super) async fn poison(
    State(shared): State<Shared>,
    headers: HeaderMap,
    sent: Sent,
) -> Response {
    if let Err(response) = commanded(&shared, &headers, sent) {
        return response;
    }
    let outcome = shared.store.add_unholdable_product().await.map(|name| {
        format!("{name} weighs NaN. Its record comes to lie among the warehouse's dead letters.")
    });
    note(&shared, "Sent a value that cannot be held.", told(outcome), "/dead-letters");
    back()
}

/// Adds a column.
pub(super) async fn column(
    State(shared): State<Shared>,
    headers: HeaderMap,
    sent: Sent,
) -> Response {
    if let Err(response) = commanded(&shared, &headers, sent) {
        return response;
    }
    let outcome = match shared.store.add_column().await {
        Ok(Some(name)) => Ok(format!("products has a column {name} now, filled in one row.")),
        Ok(None) => Err("There are enough: drop columns named lab_… first.".to_owned()),
        Err(error) => told(Err(error)),
    };
    note(&shared, "Added a column.", outcome, "/schemas");
    back()
}

/// Holds a projection.
pub(super) async fn pause(
    State(shared): State<Shared>,
    headers: HeaderMap,
    sent: Sent,
) -> Response {
    hold(&shared, &headers, sent, true).await
}

/// Lets it go on.
pub(super) async fn resume(
    State(shared): State<Shared>,
    headers: HeaderMap,
    sent: Sent,
) -> Response {
    hold(&shared, &headers, sent, false).await
}

async fn hold(shared: &Shared, headers: &HeaderMap, sent: Sent, is_pause: bool) -> Response {
    let fields = match commanded(shared, headers, sent) {
        Ok(fields) => fields,
        Err(response) => return response,
    };
    let target = folded(fields.get("target"), TARGET_CHARS_MAX);
    let answer = if is_pause {
        shared.controls.pause(&target).await
    } else {
        shared.controls.resume(&target).await
    };
    shared.controls.forget_status().await;
    let (what, done) = if is_pause {
        (format!("Paused “{target}”."), "It stands still between two batches until it is resumed.")
    } else {
        (format!("Resumed “{target}”."), "It catches up with what came meanwhile.")
    };
    let outcome = answer.map(|()| done.to_owned()).map_err(|silence| silence.text());
    note(shared, &what, outcome, HOME);
    back()
}

fn told(outcome: Result<String, Error>) -> Result<String, String> {
    outcome.map_err(|error| format!("{}.", error.told()))
}

fn note(shared: &Shared, what: &str, outcome: Result<String, String>, shows_at: &'static str) {
    let is_refused = outcome.is_err();
    if is_refused {
        shared.metrics.refused("lab");
    }
    let outcome = outcome.unwrap_or_else(|why| why);
    tracing::info!(what, outcome = %outcome, "in the lab");
    let what = what.to_owned();
    let shows_at = (!is_refused).then_some(shows_at);
    shared.notes.add(Note { at: Instant::now(), what, outcome, is_refused, shows_at });
}
