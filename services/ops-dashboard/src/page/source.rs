//! The source: the slot and how long it lasts, the snapshot, the captured tables.

use cdc_control::v1::{SnapshotProgress, Source};
use maud::{Markup, html};

use crate::fleet::{Fleet, RETAINED};
use crate::format::{self, known};
use crate::headline::{Tone, headroom};
use crate::history::Range;
use crate::moment::{CAPTURE, Moment};
use crate::outlook::Outlook;
use crate::page::chart::{self, Chart};
use crate::page::overview::{bar, hold_from, text_or};
use crate::page::{self, Params, Parts, empty, param, state, tables};

/// Unfinished tables of a snapshot shown, and tables that came too late.
const LISTED_MAX: usize = 50;

/// Draws the parts that change.
pub(crate) fn parts(moment: &Moment, params: &Params) -> Parts {
    let mut parts = page::frame_parts(moment);
    parts.add("facts", html! { div.faded[moment.is_stale(CAPTURE)] { (facts(moment)) } });
    parts.add("verified", verified(moment));
    parts.add("snapshot", snapshot(moment));
    parts.add("tables", html! { div.faded[moment.is_silent()] { (captured(moment, params)) } });
    parts
}

/// Draws the page.
pub(crate) fn body(parts: &Parts, fleet: &Fleet, params: &Params) -> Markup {
    let range = Range::parse(param(params, "range"));
    let series = vec![(RETAINED.to_owned(), "retained".to_owned())];
    let title = "WAL that the slot keeps the server from removing";
    let chart = Chart { id: "chart-wal", title, unit: "bytes", series };
    html! {
        h1 { "Source" }
        (parts.slot("facts"))
        section aria-labelledby="wal" {
            div.head { h2 #wal { "Retained WAL" } (chart::ranges("/source", params, range)) }
            (chart.markup(range, &fleet.columns(range, &[RETAINED.to_owned()])))
        }
        section aria-labelledby="verified-title" {
            h2 #verified-title { "Is anything lost?" }
            (parts.slot("verified"))
            p.u {
                "Positions are compared, each told by another witness: the server’s log, the event log, and the offsets that a store commits with its rows. "
                "The contents of rows are not; nor are tables that are not captured."
            }
        }
        (parts.slot("snapshot"))
        section aria-labelledby="tables-title" {
            div.head { h2 #tables-title { "Captured tables " span.u { "since the process started" } } (tables::filter("/source", params, "Filter tables")) }
            (parts.slot("tables"))
        }
    }
}

fn facts(moment: &Moment) -> Markup {
    let Some(source) = &moment.status.source else {
        return empty(
            "No process that is asked has a source: the replication slot, the snapshot and the captured tables stand here.",
            Some("penstock run --source postgres://USER:PASSWORD@HOST:PORT/DATABASE"),
        );
    };
    let capture = moment.capture();
    html! {
        div.columns {
            dl.facts {
                dt { "State" } dd { (state(Tone::of(source.state()), source.state().word())) " " span.u { (phase(source)) } @if moment.is_stale(CAPTURE) { " " span.u { "as last told" } } }
                dt { "Server" } dd { code { (text_or(&source.address)) } }
                dt { "Slot" } dd { code { (text_or(&source.slot)) } }
                dt { "Publication" } dd { code { (text_or(&source.publication)) } }
                dt { "Capture" } dd {
                    @match capture {
                        Some(capture) if moment.is_stale(CAPTURE) => (state(Tone::of(capture.state()), capture.state().word())),
                        Some(capture) => { (state(Tone::of(capture.state()), capture.state().word())) " " (hold_from(CAPTURE, capture.state(), "/source")) }
                        None => (format::UNKNOWN),
                    }
                }
                @if let Some(capture) = capture {
                    dt { "Events" } dd { (format::count(capture.events, "").markup()) span.u { " · " } (format::rate(capture.events_per_second, "/s").markup()) }
                    dt { "Records" } dd { (format::count(capture.records, "").markup()) span.u { " · " (format::bytes(capture.bytes).text()) } }
                    dt { "Retries" } dd { (format::count(capture.retries, "").markup()) }
                }
            }
            (positions(source, moment))
        }
    }
}

fn positions(source: &Source, moment: &Moment) -> Markup {
    let lsn =
        |position: &Option<String>| position.clone().unwrap_or_else(|| format::UNKNOWN.to_owned());
    let limit = match (moment.outlook, source.safe_wal_bytes) {
        (Outlook::Unlimited, _) => {
            Some("The server sets no limit (max_slot_wal_keep_size = -1): its disk is the limit.")
        }
        (Outlook::Lost, _) => Some(
            "The limit is passed: the server may remove what the slot needs at its next checkpoint.",
        ),
        (Outlook::Unknown, _) => Some("Too little was seen yet to estimate."),
        (Outlook::Steady, _) => Some("What is retained does not grow."),
        (Outlook::Left(_), _) => Some("At the pace of the last 5 minutes."),
    };
    let safe = source.safe_wal_bytes.and_then(|bytes| u64::try_from(bytes).ok());
    html! {
        dl.facts {
            dt { "Server is at" } dd { code { (lsn(&source.server_lsn)) } }
            dt { "Received" } dd { code { (lsn(&source.received_lsn)) } }
            dt { "Acknowledged" } dd { code { (lsn(&source.acknowledged_lsn)) } span.u { " · " (format::known_text(source.lag_bytes.map(format::bytes))) " behind" } }
            dt { "Retained WAL" } dd { (known(source.retained_wal_bytes.map(format::bytes))) }
            dt { "May still be written" } dd { @if source.retained_wal_bytes.is_some() && safe.is_none() && moment.outlook == Outlook::Unlimited { "as much as the disk holds" } @else { (known(safe.map(format::bytes))) } }
            dt { "Until the slot is lost" } dd { (text_or(&headroom(moment))) @if let Some(limit) = limit { br; span.u { (limit) } } }
        }
    }
}

fn verified(moment: &Moment) -> Markup {
    let verification = &moment.verification;
    html! {
        @match &verification.last {
            None => p { (page::state_mark(Tone::Unknown)) " No check has passed every rung since this page’s server started." },
            Some(last) => {
                p { (page::state_mark(Tone::Ok)) " " strong { "Nothing" } " that the source had committed before " code { (last.position) } ", where its log was " (format::ago(last.at_ms, moment.at_ms)) ", is missing:" }
                ul.proof {
                    li { "capture acknowledged that position to the server, which it does once everything before it is in the event log;" }
                    li { "after that, " (names(&last.projections)) " passed the end of every partition of the log: each record is applied, or parked (" (format::group(moment.dead_letters())) " now)." }
                }
                p.u { "All of it was seen by " (format::clock(last.seen_ms)) "." }
            }
        }
        @if let Some(check) = &verification.under_way {
            p.u { "Under way: everything before " code { (check.position) } ", since " (format::clock(check.begun_ms)) ". It waits for " (verification.waits_for) "." }
        } @else if !verification.waits_for.is_empty() {
            p.u { "The next check waits for " (verification.waits_for) "." }
        }
    }
}

/// “a, b and c”.
fn names(names: &[String]) -> String {
    match names {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

fn snapshot(moment: &Moment) -> Markup {
    let Some(source) = &moment.status.source else { return html! {} };
    let open: Vec<_> = source.snapshot.iter().filter(|progress| !progress.is_done).collect();
    let done = source.snapshot.len() - open.len();
    html! {
        @if !source.uncaptured_tables.is_empty() {
            div.notice {
                p { (page::state_mark(Tone::Behind)) " " strong { (source.uncaptured_tables.len()) " tables match and came too late to be captured" } }
                p.remedy { "Add them to the publication and start capture anew." }
                ul.names { @for table in source.uncaptured_tables.iter().take(LISTED_MAX) { li { code { (format::folded_at(table, 127)) } } } }
                @let more = source.uncaptured_tables.len().saturating_sub(LISTED_MAX);
                @if more > 0 { p.u { "and " (more) " more" } }
            }
        }
        @if !source.snapshot.is_empty() {
            section {
                h2 { "Snapshot " span.u { (done) " of " (source.snapshot.len()) " tables done" } }
                @if !open.is_empty() {
                    div.scroll tabindex="0" role="region" aria-label="Snapshot" {
                        table.wide {
                            thead { tr { th { "Table" } th.r { "Rows" } th.r { "Estimated" } th.r { "Done" } th.r { "Rate" } th.r { "Left" } } }
                            tbody { @for progress in open.iter().take(LISTED_MAX) { (progress_row(progress)) } }
                        }
                    }
                }
            }
        }
    }
}

/// What the state's word leaves open: "halted: CODE" tells it again.
fn phase(source: &Source) -> &str {
    let phase = source.phase.as_str();
    phase
        .strip_prefix(source.state().word())
        .map_or(phase, |rest| rest.trim_start_matches([':', ' ']))
}

fn progress_row(progress: &SnapshotProgress) -> Markup {
    let estimated = progress.rows_estimated.filter(|rows| *rows > 0);
    // An estimate is no total: it is not done before it says so.
    let share = estimated
        .and_then(|rows| format::percent(progress.rows_done.min(rows.saturating_sub(1)), rows));
    html! {
        tr {
            th scope="row" { (format::folded_at(&progress.table, 127)) }
            td.r { (format::count(progress.rows_done, "").markup()) }
            td.r { (known(estimated.map(|rows| format::count(rows, "")))) }
            td.r { (known(share)) (bar(progress.rows_done, estimated.unwrap_or(0))) }
            td.r { (known(progress.rows_per_second.map(|rate| format::rate(rate, "/s")))) }
            td.r { (known(progress.eta_seconds.map(format::seconds))) }
        }
    }
}

fn captured(moment: &Moment, params: &Params) -> Markup {
    if moment.status.tables.is_empty() {
        return empty("Each captured table has a row here once a change of it was captured.", None);
    }
    tables::list(&moment.status.tables, "/source", params)
}
