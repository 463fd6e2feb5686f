//! What a demonstration looks like: a screen that changes in place, or plain lines where there is
//! no terminal.
#![expect(clippy::print_stdout, reason = "this is the program's output")]

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use cdc_control::{Control, v1};
use tokio::time::Instant;
use tokio_stream::StreamExt;

use crate::demo::{CATCH_UP_LIMIT, Comparison, Shop, verify};
use crate::load::LoadStats;
use crate::running::Running;

/// Width that every line fits.
const WIDTH: usize = 80;

/// Events shown.
const EVENTS: usize = 6;

const SCREEN_INTERVAL: Duration = Duration::from_millis(250);
const LINE_INTERVAL: Duration = Duration::from_secs(2);

/// What is on the screen besides the status.
#[derive(Default)]
struct Scene {
    events: VecDeque<String>,
    verified: Option<(Instant, Duration, Comparison)>,
    lines_drawn: usize,
}

/// Shows the pipeline until the caller has seen enough.
pub(super) async fn show(
    running: &Arc<Running>,
    shop: &Shop,
    load: &LoadStats,
    verify_every: Duration,
) {
    let is_terminal = std::io::stdout().is_terminal();
    let mut scene = Scene::default();
    let mut redraw =
        tokio::time::interval(if is_terminal { SCREEN_INTERVAL } else { LINE_INTERVAL });
    let mut verify = tokio::time::interval(verify_every);
    verify.reset();
    let mut tail = None;
    loop {
        let next_event = async {
            match &mut tail {
                Some(stream) => StreamExt::next(stream).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = redraw.tick() => {
                let status = running.status();
                if is_terminal {
                    scene.draw(&status, shop, load);
                } else {
                    println!("{}", headline(&status));
                }
            }
            _ = verify.tick() => {
                scene.verified = compare(running, shop).await;
                if let (false, Some((_, took, found))) = (is_terminal, &scene.verified) {
                    println!("{}", verdict(found, *took));
                }
            }
            event = next_event => match event {
                Some(Ok(event)) => scene.push(&event),
                Some(Err(_)) | None => tail = None,
            }
        }
        if tail.is_none() && is_terminal {
            tail = running.tail(v1::TailRequest::default()).await.ok();
        }
    }
}

/// Holds the shop, lets the warehouse catch up, and compares.
async fn compare(running: &Running, shop: &Shop) -> Option<(Instant, Duration, Comparison)> {
    let _still = shop.hold().await;
    let begun = Instant::now();
    loop {
        let found = verify::compare(shop.client(), running.pipeline().query()).await.ok();
        let took = begun.elapsed();
        match found {
            Some(found) if found.is_equal() || took > CATCH_UP_LIMIT => {
                return Some((Instant::now(), took, found));
            }
            None if took > CATCH_UP_LIMIT => return None,
            Some(_) | None => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

/// One line that says whether data flows, how late, and whether anything is lost.
fn headline(status: &v1::StatusReply) -> String {
    let projection = status.projections.first().cloned().unwrap_or_default();
    let state = v1::State::try_from(projection.state).unwrap_or_default();
    let source = status.source.clone().unwrap_or_default();
    let flowing = match state {
        v1::State::Running => "● flowing".to_owned(),
        v1::State::Halted => "■ halted".to_owned(),
        _ => format!("▲ {}", source.phase),
    };
    let late = match (projection.latency_p50_ms, projection.latency_p99_ms) {
        (Some(p50), Some(p99)) => format!("{p50:.0} ms behind (p99 {p99:.0} ms)"),
        _ => "no change yet".to_owned(),
    };
    let rate = projection.events_per_second;
    let dead = projection.dead_letters;
    format!("{flowing} · {rate:.0} events/s · {late} · {dead} dead letters")
}

fn verdict(found: &Comparison, took: Duration) -> String {
    let (tables, rows) = (found.tables.len(), grouped(found.rows()));
    if found.is_equal() {
        let took = took.as_millis();
        return format!("= equal: {rows} rows in {tables} tables, row for row ({took} ms)");
    }
    let differing: usize = found.tables.iter().map(|table| table.differing_rows).sum();
    format!("≠ NOT EQUAL: {} rows differ", grouped(differing))
}

impl Scene {
    fn push(&mut self, event: &v1::TailEvent) {
        self.events.push_back(event.text.clone());
        while self.events.len() > EVENTS {
            self.events.pop_front();
        }
    }

    fn draw(&mut self, status: &v1::StatusReply, shop: &Shop, load: &LoadStats) {
        let mut lines = vec![
            "penstock demo: a shop's PostgreSQL → event log → DuckDB warehouse".to_owned(),
            String::new(),
            headline(status),
            String::new(),
            format!(
                "{:<24}{:>10}{:>10}{:>10}{:>12}",
                "table", "inserts", "updates", "deletes", "warehouse"
            ),
        ];
        for table in &status.tables {
            let rows = table.rows_in_projection.map_or_else(|| "…".to_owned(), grouped);
            let inserts = grouped(table.creates + table.reads);
            let (updates, deletes) = (grouped(table.updates), grouped(table.deletes));
            let name = &table.name;
            lines.push(format!("{name:<24}{inserts:>10}{updates:>10}{deletes:>10}{rows:>12}"));
        }
        lines.push(String::new());
        lines.push(match &self.verified {
            Some((at, took, found)) => {
                format!("{}, {} s ago", verdict(found, *took), at.elapsed().as_secs())
            }
            None => "= comparing source and warehouse row for row in a few seconds".to_owned(),
        });
        lines.push(String::new());
        lines.push(format!(
            "latest of {} transactions",
            grouped(load.transactions.load(Ordering::Relaxed))
        ));
        let shown = self.events.iter().map(|event| format!("  {event}"));
        let blank = std::iter::repeat_n(String::new(), EVENTS - self.events.len());
        lines.extend(shown.chain(blank));
        lines.push(String::new());
        lines.push(format!("psql   {}", shop.dsn()));
        lines.push(format!("query  penstock query --data-dir {} \\", status.data_dir));
        lines.push("         'SELECT status, count(*) FROM public_orders GROUP BY 1'".to_owned());
        lines.push("stop   Ctrl-C; started again, it goes on where it was".to_owned());
        self.print(&lines);
    }

    /// Draws over what was drawn before.
    fn print(&mut self, lines: &[String]) {
        let mut screen = String::new();
        if self.lines_drawn > 0 {
            let moved = write!(screen, "\x1b[{}A", self.lines_drawn);
            moved.expect("invariant: writing to a string succeeds");
        }
        for line in lines {
            let cut: String = line.chars().take(WIDTH).collect();
            screen.push_str(&cut);
            screen.push_str("\x1b[K\n");
        }
        screen.push_str("\x1b[J");
        self.lines_drawn = lines.len();
        print!("{screen}");
    }
}

/// Prints what a check found, as JSON.
pub(super) fn print_summary(
    running: &Running,
    load: &LoadStats,
    found: &Comparison,
    seconds: Duration,
) {
    let status = running.status();
    let projection = status.projections.first().cloned().unwrap_or_default();
    let capture = status.capture.unwrap_or_default();
    let table = |table: &verify::TableComparison| {
        serde_json::json!({
            "name": table.name,
            "source_rows": table.source_rows,
            "warehouse_rows": table.warehouse_rows,
            "differing_rows": table.differing_rows,
        })
    };
    let summary = serde_json::json!({
        "equal": found.is_equal(),
        "seconds": seconds.as_secs(),
        "transactions": load.transactions.load(Ordering::Relaxed),
        "rows_changed": load.rows.load(Ordering::Relaxed),
        "events_captured": capture.events,
        "commit_to_log_ms": {"p50": capture.latency_p50_ms, "p99": capture.latency_p99_ms},
        "commit_to_warehouse_ms": {
            "p50": projection.latency_p50_ms, "p99": projection.latency_p99_ms,
        },
        "dead_letters": projection.dead_letters,
        "tables": found.tables.iter().map(table).collect::<Vec<_>>(),
    });
    println!("{summary:#}");
}

fn grouped(number: impl ToString) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}
