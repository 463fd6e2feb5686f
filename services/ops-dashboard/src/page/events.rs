//! What is happening: a sample of the records as they are appended, and one of them whole.

use cdc_control::v1::TraceRung;
use maud::{Markup, html};

use crate::change::{self, Change};
use crate::format;
use crate::headline::Tone;
use crate::moment::Moment;
use crate::page::{self, Params, Parts, address, param};
use crate::tail::{Event, Sight};

/// Rows shown at a time.
pub(crate) const ROWS: usize = 40;

/// Topics offered in the filter.
const TOPICS_MAX: usize = 500;

/// Places of a record's way.
const PLACES_MAX: usize = 40;

/// Fields of a row in a list.
const FIELDS_SHORT: usize = 4;

/// Draws the parts that change.
pub(crate) fn parts(moment: &Moment, sight: &Sight, params: &Params) -> Parts {
    let mut parts = page::frame_parts(moment);
    parts.add("events", list(sight, moment, params));
    parts
}

/// Draws the page.
pub(crate) fn body(
    parts: &Parts,
    moment: &Moment,
    params: &Params,
    shown: Option<Option<Event>>,
    way: Option<&[TraceRung]>,
) -> Markup {
    let topic = param(params, "topic");
    html! {
        div.head {
            h1 { "Events" }
            form.filter method="get" action="/events" role="search" {
                label { "Topic"
                    input name="topic" list="topics" value=(topic) placeholder="all topics" data-search;
                }
                datalist #topics { @for topic in moment.status.topics.iter().take(TOPICS_MAX) { option value=(topic.name) {} } }
                button { "Show" }
                @if !topic.is_empty() { a href="/events" { "All topics" } }
            }
            button #pause type="button" aria-pressed="false" data-pauses="events" hidden { "Pause" }
        }
        @match shown {
            Some(Some(event)) => (whole(&event, moment, way)),
            Some(None) => div.notice { p { "This record is not kept any more: a sample of the last ones is." } p.remedy { "Read it with penstock tail --from-beginning, or look for its row in the query." } },
            None => {}
        }
        (parts.slot("events"))
    }
}

/// The newest, for the first screen.
pub(crate) fn short(sight: &Sight, now_ms: i64) -> Markup {
    html! {
        @if sight.events.is_empty() { (nothing(sight)) } @else {
            ol.events { @for event in &sight.events { li { (summary(event, "", now_ms)) } } }
            (sampled(sight))
        }
    }
}

fn list(sight: &Sight, moment: &Moment, params: &Params) -> Markup {
    html! {
        (sampled(sight))
        @if sight.events.is_empty() { (nothing(sight)) } @else {
            ol.events { @for event in &sight.events { li { (summary(event, param(params, "topic"), moment.at_ms)) } } }
        }
    }
}

fn nothing(sight: &Sight) -> Markup {
    html! {
        @match &sight.trouble {
            Some(refusal) => (page::refused("The event log cannot be followed", refusal)),
            None => (page::empty("Every change stands here as it is appended, the newest first. None has come since this page was opened.",
                Some("penstock tail --from-beginning"))),
        }
    }
}

fn sampled(sight: &Sight) -> Markup {
    let (came, kept) = sight.rates;
    html! {
        @if came > kept { p.sampled.u { "a sample: " (format::group(kept)) " of " (format::group(came)) " events/s" } }
    }
}

/// An op's letter and word, which says its colour.
pub(crate) fn op(op: &str) -> Markup {
    let (class, word) = match op {
        "c" => ("create", "create"),
        "u" => ("update", "update"),
        "d" => ("delete", "delete"),
        "r" => ("read", "read"),
        "t" => ("truncate", "truncate"),
        _ => ("other", "other"),
    };
    html! { span.op.(class) { (word) } }
}

fn summary(event: &Event, topic: &str, now_ms: i64) -> Markup {
    let record = &event.record;
    let href = address("/events", &[("topic", topic), ("show", &event.id())]);
    html! {
        (op(&record.op))
        a.table href=(href) { (format::folded_at(&event.table, 60)) }
        span.key { (format::folded_at(&record.key, 60)) }
        span.what { (short_change(event)) }
        span.when { (format::ago(record.timestamp_ms, now_ms)) }
    }
}

/// In a list: what an update changed, or the first fields of a row.
fn short_change(event: &Event) -> Markup {
    let Some(change) = &event.change else {
        return html! { (format::folded_at(&event.record.text, 120)) };
    };
    let is_update = change.has_before && change.has_after;
    let fields: Vec<_> =
        change.fields.iter().filter(|field| !is_update || field.is_changed()).collect();
    let more = fields.len().saturating_sub(FIELDS_SHORT);
    html! {
        @if is_update && fields.is_empty() { span.u { "no field changed" } }
        @for field in fields.iter().take(FIELDS_SHORT) {
            span.field {
                span.u { (format::folded_at(&field.name, 40)) " " }
                @if is_update {
                    del { (format::folded_at(field.before.as_deref().unwrap_or_default(), 40)) } span.u { " → " }
                }
                @let value = field.after.as_deref().or(field.before.as_deref());
                span { (format::folded_at(value.unwrap_or_default(), 40)) }
            }
        }
        @if more > 0 { span.u { "+" (more) @if more == 1 { " field" } @else { " fields" } } }
    }
}

/// Where its transaction has come to: the log, then each projection.
fn trace(committed_ms: i64, rungs: &[TraceRung], moment: &Moment) -> Markup {
    let projections = moment.status.projections.iter().map(|projection| projection.name.as_str());
    let places = moment.capture().map(|_| "appended").into_iter().chain(projections);
    let after = |place: &str| {
        let at_us = rungs.iter().filter(|rung| rung.name == place).map(|rung| rung.at_us).min()?;
        let passed = at_us.saturating_sub(committed_ms.saturating_mul(1_000)).max(0);
        Some(format::millis(format::real_signed(passed) / 1e3))
    };
    html! {
        h3 { "Where it is " span.u { "since its commit" } }
        ul.way {
            @for place in places.clone().take(PLACES_MAX) {
                @let after = after(place);
                li {
                    (page::state_mark(if after.is_some() { Tone::Ok } else { Tone::Unknown })) " "
                    @if place == "appended" { "appended" } @else { a href=(page::projection_href(place)) { (format::folded_at(place, 40)) } }
                    " "
                    @match after { Some(after) => { "after " (after.markup()) }, None => span.u { "not told" } }
                }
            }
        }
        @if places.clone().any(|place| after(place).is_none()) { p.u { "“Not told” is not there yet, or there before the process that would tell started." } }
    }
}

/// One record with all that is known of it.
fn whole(event: &Event, moment: &Moment, way: Option<&[TraceRung]>) -> Markup {
    let (record, now_ms) = (&event.record, moment.at_ms);
    let change = record.value_json.as_deref().and_then(change::read);
    html! {
        article.whole aria-labelledby="record" {
            div.head {
                h2 #record { (op(&record.op)) " " (event.table) }
                a href=(address("/events", &[("topic", &record.topic)])) { "More of this topic" }
                a href="/events" { "Close" }
            }
            dl.facts {
                dt { "Topic" } dd { code { (record.topic) } }
                dt { "Partition, offset" } dd { span.n { (record.partition) ", " (record.offset) } }
                dt { "Committed" } dd { (format::clock(record.timestamp_ms)) " " span.u { (format::ago(record.timestamp_ms, now_ms)) } }
                dt { "Key" } dd { code { @if record.key.is_empty() { "none" } @else { (format::folded(&record.key)) } } }
                dt { "Change" } dd { (format::folded(&record.text)) }
                @if let Some(position) = &record.commit_position { dt { "Commit" } dd { code { (position) } } }
            }
            @if let Some(rungs) = way { (trace(record.timestamp_ms, rungs, moment)) }
            @if let Some(change) = change { (diff(&change)) }
            @if let Some(json) = &record.value_json { (envelope(json)) }
        }
    }
}

/// Before and after, field by field.
pub(crate) fn diff(change: &Change) -> Markup {
    let cell = |value: &Option<String>| match value {
        Some(value) => html! { (format::folded(value)) },
        None => html! { span.u { (format::UNKNOWN) } },
    };
    html! {
        div.scroll tabindex="0" role="region" aria-label="Before and after" {
            table.diff {
                thead { tr { th { "Field" } th { "Before" } th { "After" } th { span.unseen { "Changed" } } } }
                tbody { @for field in &change.fields {
                    tr.changed[field.is_changed()] {
                        th scope="row" { (format::folded_at(&field.name, 63)) }
                        td.value { (cell(&field.before)) }
                        td.value { (cell(&field.after)) }
                        td { @if field.is_changed() { span.op.update { "changed" } } }
                    }
                } }
            }
        }
    }
}

/// Characters of an envelope shown.
const ENVELOPE_MAX: usize = 20_000;

/// The whole envelope, folded up.
pub(crate) fn envelope(json: &str) -> Markup {
    let pretty = serde_json::from_str::<serde_json::Value>(json)
        .and_then(|value| serde_json::to_string_pretty(&value))
        .unwrap_or_else(|_| json.to_owned());
    html! {
        details.envelope {
            summary { "Envelope " span.u { (format::bytes(u64::try_from(json.len()).unwrap_or(u64::MAX)).text()) } }
            pre tabindex="0" { code { (format::folded_at(&pretty, ENVELOPE_MAX)) } }
        }
    }
}
