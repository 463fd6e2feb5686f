//! One moment of a pipeline, on one screen: is data flowing, how late is it, is anything lost?

use cdc_control::v1::{Halt, Projection, SnapshotProgress, Source, State, StatusReply, Table};

use crate::view::table::{self, Column};
use crate::view::{Paint, bytes, count, fold, seconds, wrap};

/// Renders a status.
pub fn render(status: &StatusReply, paint: Paint) -> String {
    let mut text = String::new();
    let uptime = seconds_of_ms(status.uptime_ms);
    text.push_str(&format!("{} {}\n", paint.head("penstock"), paint.dim(&status.version)));
    row(&mut text, "pipeline", &fold(&status.pipeline, 66));
    row(&mut text, "log", &format!("{}, up {uptime}", status.mode().word()));
    text.push('\n');
    if let Some(source) = &status.source {
        render_source(&mut text, source, paint);
    }
    render_capture(&mut text, status, paint);
    for projection in &status.projections {
        render_projection(&mut text, projection, paint);
    }
    if !status.tables.is_empty() {
        text.push('\n');
        text.push_str(&tables(&status.tables, paint));
    }
    text
}

fn render_source(text: &mut String, source: &Source, paint: Paint) {
    let phase = if source.phase.is_empty() { source.state().word() } else { &source.phase };
    row(text, "source", &format!("{} {}", mark(source.state(), paint), fold(phase, 60)));
    let position = |lsn: &Option<String>| lsn.clone().unwrap_or_else(|| "-".to_owned());
    let (acknowledged, server) = (position(&source.acknowledged_lsn), position(&source.server_lsn));
    let lag = source.lag_bytes.map_or_else(|| "?".to_owned(), bytes);
    row(text, "", &format!("acknowledged {acknowledged} of {server}, {lag} behind"));
    let retained = match source.retained_wal_bytes {
        Some(retained) => format!("keeps {} of WAL", bytes(retained)),
        None => "not asked yet".to_owned(),
    };
    let headroom = match source.safe_wal_bytes {
        None => "no limit set".to_owned(),
        Some(left) => match u64::try_from(left) {
            Ok(left) => format!("{} before the slot is lost", bytes(left)),
            Err(_) => paint.bad("the slot may be lost at any moment"),
        },
    };
    row(text, "", &format!("slot {}: {retained}; {headroom}", fold(&source.slot, 24)));
    for progress in source.snapshot.iter().filter(|progress| !progress.is_done) {
        row(text, "", &snapshot(progress));
    }
    if !source.uncaptured_tables.is_empty() {
        let tables = source.uncaptured_tables.join(", ");
        row(text, "", &paint.warn(&fold(&format!("not captured, came later: {tables}"), 66)));
    }
}

fn snapshot(progress: &SnapshotProgress) -> String {
    let table = fold(&progress.table, 28);
    let mut text = format!("snapshot {table}: {} rows", count(progress.rows_done));
    if let Some(estimated) = progress.rows_estimated.filter(|rows| *rows > 0) {
        let percent = (progress.rows_done.min(estimated) * 100) / estimated;
        text.push_str(&format!(", {percent} %"));
    }
    if let Some(rate) = progress.rows_per_second {
        text.push_str(&format!(", {rate:.0}/s"));
    }
    if let Some(eta) = progress.eta_seconds {
        text.push_str(&format!(", {} left", seconds(eta)));
    }
    text
}

fn render_capture(text: &mut String, status: &StatusReply, paint: Paint) {
    let Some(capture) = &status.capture else { return };
    let state = mark(capture.state(), paint);
    let rate = capture.events_per_second;
    let events = count(capture.events);
    row(
        text,
        "capture",
        &format!("{state} {}, {events} events, {rate:.0}/s", capture.state().word()),
    );
    let age = capture.last_commit_age_ms.map_or_else(|| "?".to_owned(), seconds_of_ms);
    let latency = latency(capture.latency_p50_ms, capture.latency_p99_ms);
    row(text, "", &format!("commit to log {latency}; newest commit {age} ago"));
    trouble(text, &capture.reason, capture.halt.as_ref(), paint);
}

fn render_projection(text: &mut String, projection: &Projection, paint: Paint) {
    let (state, word) = (mark(projection.state(), paint), projection.state().word());
    let rows = count(projection.rows_applied);
    let rate = projection.events_per_second;
    row(text, &projection.name, &format!("{state} {word}, {rows} rows applied, {rate:.0}/s"));
    let lag = projection.lag_records.map_or_else(|| "?".to_owned(), count);
    let late = projection.lag_seconds.map_or_else(|| "?".to_owned(), seconds);
    let latency = latency(projection.latency_p50_ms, projection.latency_p99_ms);
    row(text, "", &format!("lag {lag} records, {late}; commit to visible {latency}"));
    if projection.dead_letters + projection.parked_keys > 0 {
        let (letters, keys) = (projection.dead_letters, projection.parked_keys);
        row(text, "", &paint.warn(&format!("{letters} dead letters, {keys} keys parked")));
    }
    trouble(text, &projection.reason, projection.halt.as_ref(), paint);
}

fn trouble(text: &mut String, reason: &str, halt: Option<&Halt>, paint: Paint) {
    let mut lines = |label: &str, content: &str| {
        let wrapped = wrap(content, 64 - label.len()).join(&format!("\n{}", " ".repeat(14)));
        row(text, "", &format!("{label}{wrapped}"));
    };
    if !reason.is_empty() {
        lines(&paint.warn("waits: "), reason);
    }
    if let Some(halt) = halt {
        lines(&paint.bad(&format!("{}: ", halt.code)), &halt.message);
        if !halt.remedy.is_empty() {
            lines(&paint.good("fix: "), &halt.remedy);
        }
    }
}

fn latency(p50_ms: Option<f64>, p99_ms: Option<f64>) -> String {
    match (p50_ms, p99_ms) {
        (Some(p50), Some(p99)) => format!("p50 {}, p99 {}", seconds(p50 / 1e3), seconds(p99 / 1e3)),
        _ => "not measured yet".to_owned(),
    }
}

fn tables(tables: &[Table], paint: Paint) -> String {
    let columns = [
        Column::left("table"),
        Column::right("read"),
        Column::right("created"),
        Column::right("updated"),
        Column::right("deleted"),
        Column::right("rows now"),
    ];
    let row = |table: &Table| {
        let rows = table.rows_in_projection.map_or_else(|| "?".to_owned(), count);
        let [reads, creates, updates, deletes] =
            [table.reads, table.creates, table.updates, table.deletes].map(count);
        vec![table.name.clone(), reads, creates, updates, deletes, rows]
    };
    table::render(&columns, &tables.iter().map(row).collect::<Vec<_>>(), paint)
}

fn mark(state: State, paint: Paint) -> String {
    match state {
        State::Running => paint.good("●"),
        State::Snapshot | State::Starting | State::Waiting | State::Paused => paint.warn("◐"),
        State::Halted => paint.bad("✗"),
        State::Stopped | State::Unspecified => paint.dim("○"),
    }
}

fn row(text: &mut String, label: &str, content: &str) {
    text.push_str(&format!("  {:<10}  {content}\n", fold(label, 10)));
}

#[expect(clippy::cast_precision_loss, reason = "shown in three digits")]
fn seconds_of_ms(ms: u64) -> String {
    seconds(ms as f64 / 1e3)
}
