//! The first screen.

use maud::{Markup, html};

use crate::fleet::Fleet;
use crate::format::{self, known};
use crate::headline::{Claim, Headline, Press, Tone, Trouble, headroom, synced};
use crate::history::Range;
use crate::ladder::Ladder;
use crate::moment::{CAPTURE, Moment};
use crate::page::chart::{self, Chart};
use crate::page::{self, Params, Parts, command, empty, events, ladder, param, state};
use crate::tail::Sight;

/// Events shown at a time.
pub(crate) const EVENTS: usize = 8;

/// Projections in the table.
const PROJECTIONS_MAX: usize = 200;

/// Draws the parts that change.
pub(crate) fn parts(moment: &Moment, sight: &Sight) -> Parts {
    let headline = Headline::of(moment);
    let mut parts = page::frame_parts(moment);
    parts.add("headline", html! { (claims(&headline, moment)) (page::announcement(&headline)) });
    parts.add("troubles", troubles(&headline, moment));
    parts.add(
        "ladder",
        html! { div.faded[moment.is_silent()] { (ladder::draw(&Ladder::of(moment))) } },
    );
    parts.add("projections", projections(moment));
    parts.add("events", events::short(sight, moment.at_ms));
    parts.add("source", source(moment));
    parts
}

/// Draws the page.
pub(crate) fn body(parts: &Parts, fleet: &Fleet, moment: &Moment, params: &Params) -> Markup {
    let range = Range::parse(param(params, "range"));
    html! {
        h1.unseen { "Overview" }
        (parts.slot("headline"))
        (parts.slot("troubles"))
        section aria-labelledby="way" {
            h2 #way { "From commit to projection " span.u { "p50 since the commit" } }
            (parts.slot("ladder"))
        }
        section aria-labelledby="projections-title" {
            h2 #projections-title { "Projections" }
            (parts.slot("projections"))
        }
        section aria-labelledby="charts" {
            div.head { h2 #charts { "Over time" } (chart::ranges("/", params, range)) }
            (charts(fleet, moment, range))
        }
        div.columns {
            section aria-labelledby="events-title" {
                div.head { h2 #events-title { "Last events" } a href="/events" { "All events" } }
                (parts.slot("events"))
            }
            section aria-labelledby="source-title" {
                div.head { h2 #source-title { "Source" } a href="/source" { "All of the source" } }
                (parts.slot("source"))
            }
        }
    }
}

fn claims(headline: &Headline, moment: &Moment) -> Markup {
    html! {
        div.claims.faded[moment.is_silent()] {
            @for (name, claim) in [("Data", &headline.flow), ("Lag", &headline.late), ("Loss", &headline.safe)] {
                (one(name, claim))
            }
        }
    }
}

fn one(name: &str, claim: &Claim) -> Markup {
    html! {
        div.claim {
            p.unseen { (name) ":" }
            p.words { (page::state_mark(claim.tone)) span { (claim.words) } }
            p.detail {
                @if let Some(proof) = &claim.proof { a href="/source#verified" { (proof) } @if !claim.detail.is_empty() { " · " } }
                (claim.detail)
            }
        }
    }
}

/// Troubles shown; more are counted.
const TROUBLES_MAX: usize = 6;

fn troubles(headline: &Headline, moment: &Moment) -> Markup {
    let more = headline.troubles.len().saturating_sub(TROUBLES_MAX);
    html! {
        @if !headline.troubles.is_empty() {
            div.troubles {
                @for trouble in headline.troubles.iter().take(TROUBLES_MAX) { (one_trouble(trouble, moment.at_ms)) }
                @if more > 0 { p.u { "and " (more) " more" } }
            }
        }
    }
}

fn one_trouble(trouble: &Trouble, now_ms: i64) -> Markup {
    let class = match trouble.tone {
        Tone::Halted => "trouble halted",
        Tone::Behind => "trouble behind",
        _ => "trouble",
    };
    html! {
        div class=(class) {
            div {
                p.what {
                    (page::state_mark(trouble.tone)) strong { (trouble.what) }
                    @if let Some(since) = trouble.since_ms { span.u { "since " (format::clock(since)) ", " (format::ago(since, now_ms)) } }
                }
                @if !trouble.reason.is_empty() { p.reason { (format::folded_at(&trouble.reason, 400)) } }
                p { (trouble.meaning) }
                @if !trouble.remedy.is_empty() { p.remedy { (trouble.remedy) } }
            }
            @match &trouble.press {
                Some(Press::Resume(target)) => (command("/command/resume", "Resume", &[("target", target), ("back", "/")])),
                Some(Press::Go(label, href)) => a.button href=(href) { (label) },
                None => {}
            }
        }
    }
}

fn projections(moment: &Moment) -> Markup {
    let all = &moment.status.projections;
    let more = all.len().saturating_sub(PROJECTIONS_MAX);
    html! {
        @if all.is_empty() {
            (empty("Each projection has a row here: what it has applied, how late it is, and how fast it goes.",
                Some("penstock run --source postgres://USER:PASSWORD@HOST:PORT/DATABASE")))
        } @else {
            div.scroll tabindex="0" role="region" aria-label="Projections" {
                table.wide {
                    thead { tr {
                        th { "Projection" } th { "State" } th.r { "Rows" } th.r { "Synced" } th.r { "Lag" } th.r { "Lag in time" }
                        th.r { "Rate" } th { "Last 5 min" } th.r { "Dead letters" } th { span.unseen { "Press" } }
                    } }
                    tbody { @for projection in all.iter().take(PROJECTIONS_MAX) { (row(moment, projection)) } }
                }
            }
            @if more > 0 { p.u { "and " (more) " more" } }
        }
    }
}

fn row(moment: &Moment, projection: &cdc_control::v1::Projection) -> Markup {
    let name = projection.name.as_str();
    let is_stale = moment.is_stale(name);
    let parked = crate::moment::parked(projection);
    let rows = (!projection.rows.is_empty()).then(|| projection.rows.iter().map(|t| t.rows).sum());
    html! {
        tr.faded[is_stale] {
            th scope="row" { a href=(page::projection_href(name)) { (format::folded_at(name, 40)) } @if projection.kind != name { " " span.u { (projection.kind) } } }
            td { (state(Tone::of(projection.state()), projection.state().word())) @if is_stale { span.u { " as last told" } } }
            td.r { (known(rows.map(|rows| format::count(rows, "")))) }
            td.r { (known(synced(projection))) (bar(projection.records_applied, projection.records_total)) }
            td.r { (known(projection.lag_records.map(|records| format::count(records, "records")))) }
            td.r { (known(projection.lag_seconds.map(format::seconds))) }
            td.r { (format::rate(projection.events_per_second, "/s").markup()) }
            td { (chart::spark(moment.sparks.get(name))) }
            td.r {
                @if parked > 0 { a href=(page::letters_href(name)) { (page::state_mark(Tone::Behind)) " " (format::group(parked)) } }
                @else { span.n { "0" } }
            }
            td { @if !is_stale { (hold(name, projection.state())) } }
        }
    }
}

/// Pauses or resumes capture or a projection.
pub(crate) fn hold(target: &str, state: cdc_control::v1::State) -> Markup {
    hold_from(target, state, "/")
}

/// As [`hold`], and comes back to another page.
pub(crate) fn hold_from(target: &str, state: cdc_control::v1::State, back: &str) -> Markup {
    use cdc_control::v1::State;
    let fields = [("target", target), ("back", back)];
    let is_capture = target == CAPTURE;
    match state {
        State::Paused if is_capture => command("/command/resume", "Resume capture", &fields),
        State::Paused => command("/command/resume", "Resume", &fields),
        State::Running | State::Snapshot | State::Waiting if is_capture => {
            command("/command/pause", "Pause capture", &fields)
        }
        State::Running | State::Snapshot | State::Waiting => {
            command("/command/pause", "Pause", &fields)
        }
        _ => html! {},
    }
}

/// A share as a bar of 64 pixels.
pub(crate) fn bar(part: u64, whole: u64) -> Markup {
    if whole == 0 {
        return html! {};
    }
    let width = format::real(part.min(whole)) / format::real(whole) * 64.0;
    html! {
        svg.share width="64" height="4" aria-hidden="true" {
            rect.all width="64" height="4" {}
            rect.part width=(format!("{width:.1}")) height="4" {}
        }
    }
}

fn charts(fleet: &Fleet, moment: &Moment, range: Range) -> Markup {
    let projections = moment.status.projections.iter().take(4);
    let mut late = vec![("appended/p50".to_owned(), "log p50".to_owned())];
    for projection in projections {
        let name = &projection.name;
        late.push((format!("{name}/p50"), format!("{name} p50")));
        late.push((format!("{name}/p99"), format!("{name} p99")));
    }
    let rate = vec![("events_per_second".to_owned(), "events/s".to_owned())];
    let rate =
        Chart { id: "chart-rate", title: "Throughput, events/s", unit: "rate", series: rate };
    let title = "Commit to visible, p50 and p99, logarithmic";
    let late = Chart { id: "chart-late", title, unit: "ms", series: late };
    let names = |chart: &Chart<'_>| -> Vec<String> {
        chart.series.iter().map(|(name, _)| name.clone()).collect()
    };
    html! {
        div.charts {
            (rate.markup(range, &fleet.columns(range, &names(&rate))))
            (late.markup(range, &fleet.columns(range, &names(&late))))
        }
    }
}

fn source(moment: &Moment) -> Markup {
    let Some(source) = &moment.status.source else {
        return empty(
            "The replication slot, what it keeps the server from removing, and how long that can go on.",
            Some("penstock doctor --source postgres://USER:PASSWORD@HOST:PORT/DATABASE"),
        );
    };
    let headroom = headroom(moment);
    html! {
        dl.facts.faded[moment.is_stale(CAPTURE)] {
            dt { "State" } dd { (state(Tone::of(source.state()), if source.phase.is_empty() { source.state().word() } else { &source.phase })) }
            dt { "Slot" } dd { code { (text_or(&source.slot)) } }
            dt { "Publication" } dd { code { (text_or(&source.publication)) } }
            dt { "Not acknowledged" } dd { (known(source.lag_bytes.map(format::bytes))) }
            dt { "Retained WAL" } dd { (known(source.retained_wal_bytes.map(format::bytes))) }
            dt { "Until the slot is lost" } dd { (text_or(&headroom)) }
            dt { "Not captured" } dd { @if source.uncaptured_tables.is_empty() { "no table" } @else { (page::state_mark(Tone::Behind)) " " (source.uncaptured_tables.len()) " tables" } }
        }
        @if let Some(capture) = moment.capture().filter(|_| !moment.is_stale(CAPTURE)) { (hold(CAPTURE, capture.state())) }
    }
}

/// Text, or “–” if there is none.
pub(crate) fn text_or(text: &str) -> &str {
    if text.is_empty() { format::UNKNOWN } else { text }
}
