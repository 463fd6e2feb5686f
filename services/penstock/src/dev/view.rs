//! What `penstock dev` looks like: a screen that changes in place, or plain lines where there is no
//! terminal.
#![expect(clippy::print_stdout, reason = "this is the program's output")]

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::io::IsTerminal;
use std::time::Duration;

use cdc_control::{Control, v1};
use tokio::time::Instant;
use tokio_stream::StreamExt;

use crate::dev::equality::{Comparison, Copy, TableComparison};
use crate::dev::site::Site;
use crate::view::count;

/// Width that every line fits.
const WIDTH: usize = 80;

/// Events shown.
const EVENTS: usize = 5;

const SCREEN_INTERVAL: Duration = Duration::from_millis(250);
const LINE_INTERVAL: Duration = Duration::from_secs(5);

/// How long it rests between two comparisons, and at least so many times as long as one took.
const VERIFY_INTERVAL: Duration = Duration::from_secs(15);
const VERIFY_SHARE: u32 = 20;

/// What is on the screen besides the status.
#[derive(Default)]
struct Scene {
    events: VecDeque<String>,
    verified: Option<Verified>,
    lines_drawn: usize,
}

struct Verified {
    at: Instant,
    took: Duration,
    found: Comparison,
}

/// Shows the pipeline until the caller has seen enough.
pub(super) async fn show(site: &Site<'_>) -> anyhow::Result<()> {
    let is_terminal = std::io::stdout().is_terminal();
    if !is_terminal {
        println!("{}\n", addresses(site).join("\n"));
    }
    let mut scene = Scene::default();
    let mut redraw =
        tokio::time::interval(if is_terminal { SCREEN_INTERVAL } else { LINE_INTERVAL });
    let mut verify_at = Instant::now() + VERIFY_INTERVAL;
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
                let status = site.status();
                if is_terminal {
                    scene.draw(site, &status);
                } else {
                    println!("{}", headline(&status));
                }
            }
            () = tokio::time::sleep_until(verify_at) => {
                if let Ok((found, took)) = super::compare(site).await {
                    if !is_terminal {
                        println!("{}", verdict(&found, took, &site.status()));
                    }
                    let at = Instant::now();
                    verify_at = at + VERIFY_INTERVAL.max(took * VERIFY_SHARE);
                    scene.verified = Some(Verified { at, took, found });
                } else {
                    verify_at = Instant::now() + VERIFY_INTERVAL;
                }
            }
            event = next_event => match event {
                Some(Ok(event)) => scene.push(&event),
                Some(Err(_)) | None => tail = None,
            }
        }
        if tail.is_none() && is_terminal {
            tail = site.running().tail(v1::TailRequest::default()).await.ok();
        }
    }
}

fn addresses(site: &Site<'_>) -> [String; 3] {
    let address = site.address();
    [
        format!("dashboard  http://{address}/"),
        format!("shop       http://{address}/shop"),
        "stop       Ctrl-C; started again, it goes on where it was".to_owned(),
    ]
}

/// One line that says whether data flows, how late, and whether anything is set aside.
fn headline(status: &v1::StatusReply) -> String {
    let capture = status.capture.clone().unwrap_or_default();
    let source = status.source.clone().unwrap_or_default();
    let mut states = status.projections.iter().map(|one| (one.name.as_str(), one.state()));
    let odd = states.find(|(_, state)| *state != v1::State::Running);
    let flowing = match (capture.state(), odd) {
        (v1::State::Halted, _) => "■ capture halted".to_owned(),
        (v1::State::Running, None) => "● flowing".to_owned(),
        (v1::State::Running, Some((name, state))) => format!("▲ {name} {}", state.word()),
        (_, _) => format!("▲ {}", source.phase),
    };
    let slowest = status
        .projections
        .iter()
        .filter_map(|one| Some((one.latency_p50_ms?, one.latency_p99_ms?, one.name.as_str())));
    let late = match slowest.max_by(|a, b| a.0.total_cmp(&b.0)) {
        Some((p50, p99, name)) => format!("{name} {p50:.0} ms behind (p99 {p99:.0})"),
        None => "no change yet".to_owned(),
    };
    let (rate, dead) = (capture.events_per_second, dead_letters(status));
    format!("{flowing} · {rate:.0} events/s · {late} · {dead} dead letters")
}

fn dead_letters(status: &v1::StatusReply) -> u64 {
    status.projections.iter().map(|one| one.dead_letters).sum()
}

fn verdict(found: &Comparison, took: Duration, status: &v1::StatusReply) -> String {
    let (tables, rows, took) = (found.tables.len(), count(found.rows()), took.as_millis());
    let (projections, dead) = (status.projections.len(), dead_letters(status));
    if let Some(finding) = &found.audit {
        return format!("■ THE AUDIT LOG WAS ALTERED: {finding}");
    }
    match (found.differing_rows(), dead) {
        (0, _) => format!(
            "= equal: {rows} rows of {tables} tables in {projections} projections ({took} ms)"
        ),
        (differing, 0) => format!("≠ NOT EQUAL: {} rows differ", count(differing)),
        (differing, dead) => format!(
            "▲ {} rows differ: {} dead letters wait (/dead-letters)",
            count(differing),
            count(dead)
        ),
    }
}

impl Scene {
    fn push(&mut self, event: &v1::TailEvent) {
        self.events.push_back(event.text.clone());
        while self.events.len() > EVENTS {
            self.events.pop_front();
        }
    }

    fn draw(&mut self, site: &Site<'_>, status: &v1::StatusReply) {
        let mut lines = vec![
            "A shop's PostgreSQL → event log → warehouse, full-text index, audit log".to_owned(),
            String::new(),
            headline(status),
            match &self.verified {
                Some(Verified { at, took, found }) => {
                    format!("{}, {} s ago", verdict(found, *took, status), at.elapsed().as_secs())
                }
                None => "= source and projections are compared in a few seconds".to_owned(),
            },
            String::new(),
            format!(
                "{:<24}{:>10}{:>10}{:>10}{:>12}",
                "table", "inserts", "updates", "deletes", "warehouse"
            ),
        ];
        for table in &status.tables {
            let rows = table.rows_in_projection.map_or_else(|| "…".to_owned(), count);
            let inserts = count(table.creates + table.reads);
            let (updates, deletes) = (count(table.updates), count(table.deletes));
            let name = &table.name;
            lines.push(format!("{name:<24}{inserts:>10}{updates:>10}{deletes:>10}{rows:>12}"));
        }
        lines.push(String::new());
        lines.push(format!("latest of {} orders", count(site.storefront().placed())));
        let shown = self.events.iter().map(|event| format!("  {event}"));
        let blank = std::iter::repeat_n(String::new(), EVENTS - self.events.len());
        lines.extend(shown.chain(blank));
        lines.push(String::new());
        lines.extend(addresses(site));
        lines.push(format!("psql       {}", site.dsn()));
        lines.push(format!("query      penstock query --data-dir {} \\", status.data_dir));
        lines.push("           'SELECT status, count(*) FROM public_orders GROUP BY 1'".to_owned());
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
    site: &Site<'_>,
    found: &Comparison,
    seconds: Duration,
    took: Duration,
) {
    let status = site.status();
    let capture = status.capture.clone().unwrap_or_default();
    let table = |table: &TableComparison| {
        let of = |figure: fn(&Copy) -> usize| -> serde_json::Map<_, _> {
            let copies = table.projections.iter();
            copies.map(|copy| (copy.projection.to_owned(), figure(copy).into())).collect()
        };
        serde_json::json!({
            "name": table.name,
            "source_rows": table.source_rows,
            "rows": of(|copy| copy.rows),
            "differing_rows": of(|copy| copy.differing_rows),
        })
    };
    let micros = |ms: f64| (ms * 1e3).round() / 1e3;
    let latency = |p50: Option<f64>, p99: Option<f64>| serde_json::json!({"p50": p50.map(micros), "p99": p99.map(micros)});
    let visible = status
        .projections
        .iter()
        .map(|one| (one.name.clone(), latency(one.latency_p50_ms, one.latency_p99_ms)));
    let summary = serde_json::json!({
        "equal": found.is_equal(),
        "seconds": seconds.as_secs(),
        "orders": site.storefront().placed(),
        "events_captured": capture.events,
        "commit_to_log_ms": latency(capture.latency_p50_ms, capture.latency_p99_ms),
        "commit_to_visible_ms": visible.collect::<serde_json::Map<_, _>>(),
        "caught_up_ms": u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        "dead_letters": dead_letters(&status),
        "audit_log": found.audit.as_deref().unwrap_or("whole"),
        "tables": found.tables.iter().map(table).collect::<Vec<_>>(),
    });
    println!("{summary:#}");
}
