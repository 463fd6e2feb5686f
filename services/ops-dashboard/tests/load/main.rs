//! What a dashboard costs: CPU time of a process of its own, of any profile, that is told of 10,000
//! events a second by a made-up pipeline and shows them on three open pages.
//!
//! ```sh
//! cargo build --release -p ops-dashboard
//! cargo test -p ops-dashboard --test load -- target/release/ops-dashboard
//! ```
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a measurement"
)]

use std::process::{ExitCode, Stdio};
use std::time::Duration;

use tokio::process::Command;
use tokio::task::JoinSet;

use scripted::{Script, World};
use site::Site;

#[expect(dead_code, reason = "the other tests use more of it")]
#[path = "../it/scripted.rs"]
mod scripted;
#[expect(dead_code, reason = "the other tests use more of it")]
#[path = "../it/site.rs"]
mod site;

const SPAN: Duration = Duration::from_secs(30);

/// Linux tells times in this unit on every architecture that anybody runs this on (`USER_HZ`).
const TICKS_PER_SECOND: f64 = 100.0;

#[tokio::main]
async fn main() -> ExitCode {
    let Some(program) = std::env::args().nth(1) else {
        eprintln!("which dashboard? Give the path of a binary ops-dashboard.");
        return ExitCode::FAILURE;
    };
    for events_per_second in [1_000, 10_000] {
        for tables in [2, 10_000] {
            let share = measure(&program, events_per_second, tables).await;
            println!("{events_per_second} events/s, {tables} tables: {share:.2} % of a core");
        }
    }
    ExitCode::SUCCESS
}

async fn measure(program: &str, events_per_second: u64, tables: u64) -> f64 {
    let mut world = World::new();
    let mut status = scripted::flowing();
    let one = status.tables[0].clone();
    let table = |index| cdc_control::v1::Table { name: format!("public.t{index}"), ..one.clone() };
    status.tables = (0..tables).map(table).collect();
    let endpoint = world.endpoint(&Script::moving_at(events_per_second, status)).await;
    let address = ([127, 0, 0, 1], testkit::server::free_port()).into();
    let mut dashboard = Command::new(program)
        .args(["--control", &endpoint, "--listen", &format!("{address}")])
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let site = Site::new(address);
    testkit::server::until("it is ready", SPAN, async || {
        site.get("/readyz").send().await.is_ok_and(|answer| answer.status().is_success())
    })
    .await;
    let mut pages = JoinSet::new();
    for path in ["/live/overview", "/live/events", "/live/source"] {
        let mut stream = site.get(path).send().await.unwrap();
        pages.spawn(async move { while let Ok(Some(_)) = stream.chunk().await {} });
    }
    site.page_with("/events", "a sample: ").await;
    let before = cpu_ticks(dashboard.id().unwrap());
    drop(tokio::time::timeout(SPAN, pages.join_next()).await);
    let ticks = cpu_ticks(dashboard.id().unwrap()) - before;
    dashboard.kill().await.unwrap();
    100.0 * ticks as f64 / (TICKS_PER_SECOND * SPAN.as_secs_f64())
}

/// User and system time of a process, by `/proc/PID/stat`.
fn cpu_ticks(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<_> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    fields[11..13].iter().map(|field| field.parse::<u64>().unwrap()).sum()
}
