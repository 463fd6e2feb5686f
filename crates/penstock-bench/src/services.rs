//! The same loops as services: processes whose metrics are scraped each second and whose control
//! the dashboard watches, beside the loops in this process, over the same rows.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context, ensure};
use cdc_control::v1::{Source, StatusReply};
use cdc_model::Topic;
use cdc_sink_duckdb::{DuckDbConfig, DuckDbSink};
use penstock_stack::{ROLE, Role};
use rustix::process::Signal;
use testkit::server::process::{ServerProcess, User, command};
use testkit::server::{free_port, until};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::capture::per_row;
use crate::pipeline::{Log, LogKind, Pipeline};
use crate::process;
use crate::project::{Projection, check_rows};
use crate::report::{RATE, Report, Run, note};
use crate::verify;
use crate::world::{TRANSACTION_ROWS, World};

/// What to capture and project.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Rows, in transactions of 1,000.
    #[arg(long, default_value_t = 1_000_000)]
    rows: u64,
    /// How often to repeat.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
}

const PATIENCE: Duration = Duration::from_secs(120);
/// How often a service is asked how far it is.
const LOOK: Duration = Duration::from_millis(50);
/// As Prometheus often does, and more often than it mostly does.
const SCRAPE: Duration = Duration::from_secs(1);

/// Where a service listens; the same in every round, for the dashboard watches it.
#[derive(Debug, Clone, Copy)]
struct At {
    http: u16,
    control: u16,
}

/// The services around the two that are measured, and where those listen.
struct Around {
    dir: PathBuf,
    kafka: String,
    registry: At,
    capture: At,
    projector: At,
    /// Stopped when dropped.
    _running: [ServerProcess; 2],
}

/// A service that is measured.
struct Service {
    process: ServerProcess,
    control: cdc_control::Client,
    _scraping: JoinSet<()>,
}

/// Runs the benchmark.
pub(crate) async fn run(args: &Args) -> anyhow::Result<Report> {
    let rows = args.rows;
    ensure!(rows > 0 && rows.is_multiple_of(TRANSACTION_ROWS), "--rows takes whole thousands");
    let world = World::start(true).await?;
    let around = Around::start(&world).await?;
    set_up(&world, &around, args.rounds).await?;
    world.load(rows, false).await?;
    let title = format!("services: {rows} rows, captured and projected here and by services");
    let mut report = Report::new(title);
    for round in 0..args.rounds {
        let [here, there] = names(round);
        let captured = capture_here(&world, &here, rows).await?;
        let by_service = capture_there(&world, &around, &there, rows).await?;
        add_both(&mut report, captured, by_service);
        let projected = project_here(&world, &here, rows + 1).await?;
        let by_service = project_there(&around, &there, rows + 1).await?;
        add_both(&mut report, projected, by_service);
    }
    Ok(report)
}

fn add_both(report: &mut Report, here: Run, there: Run) {
    let rate = |run: &Run| run.figure(RATE).unwrap_or(f64::NAN);
    let ratio = rate(&there) / rate(&here);
    report.add(here);
    report.add(there.with("of the rate here", ratio));
}

/// The pipeline in this process, and that of the services.
fn names(round: usize) -> [String; 2] {
    [format!("here{round}"), format!("there{round}")]
}

/// Sets each pipeline up on the empty table, up to a durable position.
async fn set_up(world: &World, around: &Around, rounds: usize) -> anyhow::Result<()> {
    note("setting the pipelines up");
    let (mut here, mut there) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        let [here_name, there_name] = names(round);
        let pipeline = Pipeline::new(world, LogKind::Kafka, &here_name)?;
        let mut capture = pipeline.start();
        capture.until_streaming().await?;
        here.push((pipeline, capture));
        let mut service = around.capture_at(At::free(), world, &there_name)?;
        service.until(|status| status.source.as_ref().is_some_and(is_streaming)).await?;
        there.push(service);
    }
    // Once this row is in a log, so is all of the set-up before it.
    world.client.batch_execute("INSERT INTO bench (id) VALUES (0)").await?;
    for (_pipeline, mut capture) in here {
        capture.until_events(1).await?;
        capture.stop().await?;
    }
    for mut service in there {
        service.until(|status| captured(status) >= 1).await?;
        service.stop().await?;
    }
    Ok(())
}

async fn capture_here(world: &World, name: &str, rows: u64) -> anyhow::Result<Run> {
    let pipeline = Pipeline::new(world, LogKind::Kafka, name)?;
    process::forget_peak()?;
    let (cpu, started) = (process::own_cpu()?, Instant::now());
    let mut capture = pipeline.start();
    capture.until_events(rows).await?;
    let seconds = seconds(started);
    let cost = per_row(process::own_cpu()? - cpu, rows);
    let peak = process::peak_mib()?;
    let bytes = capture.stats.bytes.load(Ordering::Relaxed);
    capture.stop().await?;
    verify::check(&pipeline.log, &topic(name), 0, rows + 1).await?;
    world.drop_slot(name).await?;
    let run = Run::timed("capture here", rows, bytes, seconds);
    Ok(run.with("ours µs/row", cost).with("peak MiB", peak))
}

async fn capture_there(
    world: &World,
    around: &Around,
    name: &str,
    rows: u64,
) -> anyhow::Result<Run> {
    let started = Instant::now();
    let mut service = around.capture_at(around.capture, world, name)?;
    let status = service.until(|status| captured(status) >= rows).await?;
    let bytes = status.capture.map_or(0, |capture| capture.bytes);
    let run = service.measured(Run::timed("capture, a service", rows, bytes, seconds(started)))?;
    service.stop().await?;
    let log = Log::open(world, LogKind::Kafka, name)?;
    verify::check(&log, &topic(name), 0, rows + 1).await?;
    world.drop_slot(name).await?;
    Ok(run)
}

async fn project_here(world: &World, name: &str, records: u64) -> anyhow::Result<Run> {
    let pipeline = Pipeline::new(world, LogKind::Kafka, name)?;
    let Log::Kafka(log) = &pipeline.log else { unreachable!("it is asked for above") };
    let file = world.dir.path().join(format!("{name}.duckdb"));
    let sink = DuckDbSink::open(file, DuckDbConfig::new(name)).await?;
    let query = sink.query_handle();
    process::forget_peak()?;
    let (cpu, started) = (process::own_cpu()?, Instant::now());
    let dead_letters = log.writer(&format!("{name}-dead-letters"), "bench");
    let mut projection = Projection::of(log.reader(), dead_letters, &pipeline.registry, name, sink);
    projection.until_events(records).await?;
    let seconds = seconds(started);
    let cost = per_row(process::own_cpu()? - cpu, records);
    let peak = process::peak_mib()?;
    let bytes = projection.stop().await?.bytes.load(Ordering::Relaxed);
    check_rows(&query, 0, records).await?;
    let run = Run::timed("projection here", records, bytes, seconds);
    Ok(run.with("ours µs/row", cost).with("peak MiB", peak))
}

async fn project_there(around: &Around, name: &str, records: u64) -> anyhow::Result<Run> {
    let started = Instant::now();
    let mut service = around.projector(name)?;
    let is_through = |status: &StatusReply| {
        status.projections.iter().map(|it| it.records_applied).sum::<u64>() >= records
    };
    service.until(is_through).await?;
    let run = Run::timed("projection, a service", records, 0, seconds(started));
    let run = service.measured(run)?;
    let sql = "SELECT count(*), count(DISTINCT id), min(id) FROM public_bench";
    let found = service.control.query(sql, 1).await?.rows;
    let found: Vec<_> = found.into_iter().flat_map(|row| row.cells).map(|cell| cell.text).collect();
    let expected = [records.to_string(), records.to_string(), "0".to_owned()].map(Some);
    ensure!(found == expected, "the warehouse has {found:?} and not {records} rows");
    service.stop().await?;
    Ok(run)
}

fn topic(name: &str) -> Topic {
    Topic::new(format!("{name}.public.bench"))
}

fn seconds(started: Instant) -> f64 {
    started.elapsed().as_secs_f64()
}

fn captured(status: &StatusReply) -> u64 {
    status.capture.as_ref().map_or(0, |capture| capture.events)
}

fn is_streaming(source: &Source) -> bool {
    source.phase == "streaming"
}

impl At {
    fn free() -> Self {
        Self { http: free_port(), control: free_port() }
    }
}

impl Around {
    async fn start(world: &World) -> anyhow::Result<Self> {
        note("starting the services");
        let kafka = world.kafka.as_ref().context("Kafka was started")?.bootstrap();
        let [registry, capture, projector] = [At::free(), At::free(), At::free()];
        let page = At::free();
        let dir = world.dir.path().to_owned();
        let registry_process = spawn(
            &dir,
            Role::Registry,
            "registry",
            &[
                ("PENSTOCK_REGISTRY_LISTEN", local(registry.http)),
                ("PENSTOCK_REGISTRY_KAFKA", kafka.clone()),
                ("PENSTOCK_REGISTRY_CONTROL__LISTEN", local(registry.control)),
            ],
        )?;
        let watched = [capture, projector, registry].map(|at| local(at.control)).join(",");
        let page = spawn(
            &dir,
            Role::Dashboard,
            "page",
            &[
                ("PENSTOCK_DASHBOARD_LISTEN", local(page.http)),
                ("PENSTOCK_DASHBOARD_CONTROL", watched),
            ],
        )?;
        let is_ready = async || {
            let answer = penstock_stack::get(registry.http, "/readyz").await;
            answer.is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
        };
        until("the registry is ready", PATIENCE, is_ready).await;
        Ok(Self { dir, kafka, registry, capture, projector, _running: [registry_process, page] })
    }

    /// Starts capture of the table as the pipeline `name`.
    fn capture_at(&self, at: At, world: &World, name: &str) -> anyhow::Result<Service> {
        let own = [
            ("PENSTOCK__SOURCE", world.postgres.dsn("postgres")),
            ("PENSTOCK__TABLES", "public.bench".to_owned()),
            ("PENSTOCK__SLOT__NAME", name.to_owned()),
            ("PENSTOCK__PUBLICATION__NAME", name.to_owned()),
        ];
        self.service(Role::Capture, at, name, &own)
    }

    /// Starts a projection of the pipeline `name` into DuckDB.
    fn projector(&self, name: &str) -> anyhow::Result<Service> {
        let own = [("PENSTOCK__PROJECTIONS", "duckdb".to_owned())];
        self.service(Role::Projector, self.projector, name, &own)
    }

    fn service(
        &self,
        role: Role,
        at: At,
        name: &str,
        own: &[(&str, String)],
    ) -> anyhow::Result<Service> {
        let mut pairs = vec![
            ("PENSTOCK__TOPIC__PREFIX", name.to_owned()),
            ("PENSTOCK__KAFKA", self.kafka.clone()),
            ("PENSTOCK__REGISTRY", format!("http://{}", local(self.registry.http))),
            ("PENSTOCK__LISTEN", local(at.http)),
            ("PENSTOCK__CONTROL__LISTEN", local(at.control)),
        ];
        pairs.extend_from_slice(own);
        let process = spawn(&self.dir, role, &format!("{}-{name}", role.name()), &pairs)?;
        let control = cdc_control::Client::of_address(&local(at.control), None)?;
        let mut scraping = JoinSet::new();
        scraping.spawn(async move {
            loop {
                // Nothing listens at first.
                drop(penstock_stack::get(at.http, "/metrics").await);
                tokio::time::sleep(SCRAPE).await;
            }
        });
        Ok(Service { process, control, _scraping: scraping })
    }
}

/// Starts a service in a folder of its own in `dir`.
fn spawn(
    dir: &Path,
    role: Role,
    name: &str,
    pairs: &[(&str, String)],
) -> anyhow::Result<ServerProcess> {
    let own = dir.join(name);
    std::fs::create_dir_all(&own).context("making a service's folder")?;
    let program = std::env::current_exe().context("the path of this program")?;
    let mut command = command(program, User::Same, Signal::KILL);
    command.env(ROLE, role.name()).current_dir(&own).envs(pairs.iter().cloned());
    let log = dir.join(format!("{name}.log"));
    Ok(ServerProcess::spawn(role.name(), command, Signal::TERM, &log))
}

fn local(port: u16) -> String {
    format!("127.0.0.1:{port}")
}

impl Service {
    /// Waits until its status is as wanted.
    async fn until(
        &mut self,
        is_wanted: impl Fn(&StatusReply) -> bool,
    ) -> anyhow::Result<StatusReply> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.control.status().await.ok().filter(&is_wanted) {
                return Ok(status);
            }
            let has_ended = self.process.exit_status().is_some() || Instant::now() > deadline;
            ensure!(!has_ended, "a service is not as far:\n{}", self.process.log_tail());
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Adds what its process took so far.
    fn measured(&self, run: Run) -> anyhow::Result<Run> {
        let pid = i64::from(self.process.pid());
        let rows = run.figure("rows").context("a run of rows")?;
        Ok(run
            .with("ours µs/row", process::cpu(pid)? as f64 / rows)
            .with("peak MiB", process::peak_mib_of(&pid.to_string())?))
    }

    async fn stop(self) -> anyhow::Result<()> {
        self.process.stop(Signal::TERM, PATIENCE).await;
        let ended_well = self.process.exit_status().is_some_and(|status| status.success());
        ensure!(ended_well, "a service did not stop well:\n{}", self.process.log_tail());
        Ok(())
    }
}
