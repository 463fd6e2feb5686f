//! A control endpoint that tells what a test wants: a real server, over TCP, whose pipeline is made
//! up.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cdc_control::v1::{self, State};
use cdc_control::{Control, Settlement, TailStream};
use cdc_pipeline::Clock;
use futures_util::StreamExt;
use ops_dashboard::{Dashboard, DashboardConfig, Endpoint};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tonic::Status;

/// What a made-up pipeline tells and was told.
#[derive(Default)]
pub(crate) struct Script {
    pub(crate) status: Mutex<v1::StatusReply>,
    pub(crate) letters: Mutex<Vec<v1::DeadLetter>>,
    pub(crate) subjects: Mutex<Vec<v1::Subject>>,
    /// Whether it answers nothing any more.
    pub(crate) is_silent: AtomicBool,
    /// Whether its numbers move, and events come.
    pub(crate) is_moving: bool,
    /// A record that is told to who follows, once.
    pub(crate) event: Mutex<Option<v1::TailEvent>>,
    pub(crate) events_per_second: u64,
    pub(crate) calls: Mutex<Vec<String>>,
    beats: AtomicU64,
}

impl Script {
    pub(crate) fn new(status: v1::StatusReply) -> Arc<Self> {
        Arc::new(Self { status: Mutex::new(status), ..Self::default() })
    }

    /// As [`Script::new`], with numbers that move and events that come.
    pub(crate) fn moving(status: v1::StatusReply) -> Arc<Self> {
        Self::moving_at(1_000, status)
    }

    /// As [`Script::moving`], at so many whole thousands of events a second.
    pub(crate) fn moving_at(events_per_second: u64, status: v1::StatusReply) -> Arc<Self> {
        let status = Mutex::new(status);
        Arc::new(Self { status, is_moving: true, events_per_second, ..Self::default() })
    }

    pub(crate) fn called(&self) -> Vec<String> {
        self.calls.lock().unwrap().clone()
    }

    fn call(&self, text: String) {
        self.calls.lock().unwrap().push(text);
    }

    fn hold(&self, target: &str, state: State) -> Result<(), Status> {
        let mut status = self.status.lock().unwrap();
        if target == "capture"
            && let Some(capture) = &mut status.capture
        {
            capture.set_state(state);
            return Ok(());
        }
        let projection = status.projections.iter_mut().find(|p| p.name == target);
        let projection = projection.ok_or_else(|| Status::not_found("there is no such target"))?;
        projection.set_state(state);
        Ok(())
    }
}

impl Control for Script {
    async fn status(&self) -> Result<v1::StatusReply, Status> {
        if self.is_silent.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        let mut status = self.status.lock().unwrap().clone();
        status.now_ms = now_ms();
        if self.is_moving {
            let beat = self.beats.fetch_add(1, Ordering::SeqCst);
            wave(&mut status, beat);
        }
        Ok(status)
    }

    async fn stop(&self) -> Result<(), Status> {
        self.call("stop".to_owned());
        Ok(())
    }

    async fn query(&self, request: v1::QueryRequest) -> Result<v1::QueryReply, Status> {
        self.call(format!("query {}", request.sql));
        if request.sql.contains("broken") {
            return Err(Status::invalid_argument("Parser Error: syntax error at \"broken\""));
        }
        let column = |name: &str, kind: &str| v1::Column { name: name.into(), r#type: kind.into() };
        let row = |cells: [Option<&str>; 4]| v1::Row {
            cells: cells.map(|text| v1::Cell { text: text.map(str::to_owned) }).into(),
        };
        Ok(v1::QueryReply {
            columns: vec![
                column("id", "BIGINT"),
                column("customer", "VARCHAR"),
                column("total", "DECIMAL(10,2)"),
                column("note", "VARCHAR"),
            ],
            rows: vec![
                row([Some("1041"), Some("Ada Lovelace"), Some("129.90"), None]),
                row([Some("1042"), Some(MARKUP), Some("12.00"), Some("leave at the door")]),
                row([Some("1043"), Some("Grace Hopper"), Some("1,204.55"), Some(&"x".repeat(500))]),
            ],
            is_cut: true,
        })
    }

    async fn tail(&self, request: v1::TailRequest) -> Result<TailStream, Status> {
        let topic = request.topic.unwrap_or_default();
        if !self.is_moving {
            let event = self.event.lock().unwrap().clone().map(Ok);
            let events = futures_util::stream::iter(event).chain(futures_util::stream::pending());
            return Ok(Box::pin(events));
        }
        let is_sample = request.per_second_max > 0;
        let beat = if is_sample { 50 } else { 1 };
        let step = self.events_per_second / 1_000 * beat;
        let ticks = tokio::time::interval(Duration::from_millis(beat));
        let events = futures_util::stream::unfold((ticks, 0), move |(mut ticks, at)| async move {
            ticks.tick().await;
            let shown = if is_sample { at..at + 1 } else { at..at + step };
            let event = move |at| v1::TailEvent {
                passed_over: if is_sample { step - 1 } else { 0 },
                ..event(if is_sample { at / step } else { at })
            };
            Some((futures_util::stream::iter(shown.map(event)), (ticks, at + step)))
        });
        let events = events.flatten();
        let wanted = move |event: &v1::TailEvent| topic.is_empty() || event.topic == topic;
        let wanted = events.filter(move |event| std::future::ready(wanted(event)));
        Ok(Box::pin(wanted.map(Ok)))
    }

    async fn accept_schema(
        &self,
        request: v1::AcceptSchemaRequest,
    ) -> Result<v1::AcceptSchemaReply, Status> {
        self.call(format!("accept {}", request.subject));
        Ok(v1::AcceptSchemaReply { id: 9, version: 3, diff: String::new() })
    }

    async fn pause(&self, target: String) -> Result<(), Status> {
        self.hold(&target, State::Paused)?;
        self.call(format!("pause {target}"));
        Ok(())
    }

    async fn resume(&self, target: String) -> Result<(), Status> {
        self.hold(&target, State::Running)?;
        self.call(format!("resume {target}"));
        Ok(())
    }

    async fn trace(&self, request: v1::TraceRequest) -> Result<v1::TraceReply, Status> {
        self.call(format!("trace {}", request.position));
        let rung = |name: &str| v1::TraceRung { name: name.into(), at_us: now_ms() * 1_000 };
        Ok(v1::TraceReply { rungs: vec![rung("appended"), rung("duckdb")] })
    }

    async fn list_dead_letters(
        &self,
        request: v1::ListDeadLettersRequest,
    ) -> Result<v1::ListDeadLettersReply, Status> {
        let letters = self.letters.lock().unwrap();
        let is_it = |letter: &v1::DeadLetter, id: &v1::LetterId| {
            (&letter.topic, letter.partition, letter.offset) == (&id.topic, id.partition, id.offset)
        };
        if let Some(id) = &request.only {
            let found = letters.iter().find(|letter| is_it(letter, id));
            let of_key = letters.iter().filter(|other| found.is_some_and(|l| l.key == other.key));
            let (total, letters) = (count(of_key.count()), found.cloned().into_iter().collect());
            return Ok(v1::ListDeadLettersReply { letters, total });
        }
        let is_wanted = |letter: &&v1::DeadLetter| {
            request.projection.is_empty() || letter.projection == request.projection
        };
        let wanted: Vec<_> = letters.iter().filter(is_wanted).cloned().collect();
        let total = count(wanted.len());
        let wanted = wanted.into_iter().skip(request.skip as usize);
        let letters = wanted.take(request.limit as usize).collect();
        Ok(v1::ListDeadLettersReply { letters, total })
    }

    async fn settle_dead_letters(
        &self,
        request: v1::SettleRequest,
        settlement: Settlement,
    ) -> Result<v1::SettleReply, Status> {
        let ids: Vec<String> = request.letters.iter().map(|id| id.offset.to_string()).collect();
        self.call(format!("{settlement:?} {} {}", request.projection, ids.join(",")));
        let settled = count(self.letters.lock().unwrap().len());
        Ok(v1::SettleReply { settled, refused: vec![] })
    }

    async fn list_schemas(
        &self,
        request: v1::ListSchemasRequest,
    ) -> Result<v1::ListSchemasReply, Status> {
        let subjects = self.subjects.lock().unwrap();
        let wanted =
            subjects.iter().filter(|s| request.subject.is_empty() || s.name == request.subject);
        Ok(v1::ListSchemasReply { subjects: wanted.cloned().collect() })
    }

    async fn search(&self, request: v1::SearchRequest) -> Result<v1::SearchReply, Status> {
        if request.query.contains("nothing") {
            return Ok(v1::SearchReply::default());
        }
        let hit = |table: &str, key: &str, snippet: &str, start: u32, end: u32| v1::SearchHit {
            table: table.into(),
            key: key.into(),
            score: 7.31,
            snippet: snippet.into(),
            matches: vec![v1::TextRange { start, end }],
            row_json: format!("{{\"note\":\"{}\"}}", snippet.replace('"', "\\\"")),
        };
        Ok(v1::SearchReply {
            hits: vec![
                hit("public.customers", "{\"id\":7}", "Ada Lovelace, ada@example.com", 0, 3),
                hit("public.orders", "{\"id\":1042}", MARKUP, 1, 4),
            ],
        })
    }
}

/// What a row may hold, and a page must not run.
pub(crate) const MARKUP: &str = "<img src=x onerror=alert(1)><script>alert(2)</script>";

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap()
}

pub(crate) fn now_ms() -> i64 {
    Clock::system().now().0 / 1_000
}

/// Moves the numbers as a shop's evening would.
fn wave(status: &mut v1::StatusReply, beat: u64) {
    let t = beat as f64;
    let swing = (t / 9.0).sin() + 0.4 * (t / 3.7).sin();
    let rate = 1_180.0 + 160.0 * swing;
    if let Some(capture) = &mut status.capture {
        capture.events += beat * 1_180;
        capture.records += beat * 1_180;
        capture.events_per_second = rate;
        capture.last_commit_age_ms = Some(40 + beat * 37 % 300);
        capture.latency_p50_ms = Some(3.1 + 0.3 * swing);
        capture.latency_p99_ms = Some(11.0 + 2.0 * swing);
    }
    for (index, projection) in status.projections.iter_mut().enumerate() {
        let step = index as f64;
        projection.events_per_second = rate * (1.0 - 0.01 * step);
        projection.records_total += beat * 1_180;
        projection.records_applied += beat * 1_180;
        projection.lag_records = Some(4 + beat * 7 % 13);
        projection.lag_seconds = Some(0.01 + 0.004 * step);
        projection.latency_p50_ms = Some(8.0 + 5.0 * step + swing);
        let spike = if beat.is_multiple_of(67) { 60.0 } else { 0.0 };
        projection.latency_p99_ms = Some(36.0 + 12.0 * step + 5.0 * swing + spike);
    }
    if let Some(source) = &mut status.source {
        source.retained_wal_bytes = Some((48 << 20) + beat * 5_000);
    }
}

const STATES: [&str; 4] = ["placed", "paid", "packed", "shipped"];

fn event(at: u64) -> v1::TailEvent {
    let id = 1_000 + at % 40;
    let state = |step: u64| STATES.get(usize::try_from(at % 3 + step).unwrap()).copied();
    let (op, before, after) = match at % 7 {
        0 => ("c", None, Some("placed")),
        6 => ("d", Some("shipped"), None),
        _ => ("u", state(0), state(1)),
    };
    let is_customer = at.is_multiple_of(5);
    let table = if is_customer { "customers" } else { "orders" };
    let name = if at.is_multiple_of(35) { MARKUP } else { "Ada Lovelace" };
    let row = |state: &str| match is_customer {
        true => serde_json::json!({"id": id, "name": name, "tier": state}),
        false => serde_json::json!({
            "id": id, "status": state, "total": "129.90", "customer_id": at % 9
        }),
    };
    let envelope = serde_json::json!({
        "op": op,
        "table": format!("public.{table}"),
        "before": before.map(row),
        "after": after.map(row),
        "lsn": "16/B374D848",
    });
    v1::TailEvent {
        topic: format!("shop.public.{table}"),
        partition: 0,
        offset: i64::try_from(at).unwrap(),
        timestamp_ms: now_ms() - 40,
        op: op.to_owned(),
        text: format!("{op} public.{table} {{id={id}}}"),
        key: format!("{{\"id\":{id}}}"),
        value_json: Some(envelope.to_string()),
        commit_position: Some("16/B374D848".to_owned()),
        passed_over: 0,
    }
}

fn projection(name: &str, kind: &str, state: State) -> v1::Projection {
    let mut projection = v1::Projection {
        name: name.into(),
        kind: kind.into(),
        lag_records: Some(9),
        lag_seconds: Some(0.02),
        rows_applied: 2_412_000,
        events_per_second: 1_178.0,
        latency_p50_ms: Some(8.2),
        latency_p99_ms: Some(41.0),
        read_p50_ms: Some(4.4),
        read_p99_ms: Some(14.0),
        complete_age_ms: Some(300),
        records_applied: 2_411_991,
        records_total: 2_412_000,
        rows: vec![
            v1::TableRows { table: "public.customers".into(), rows: 18_204 },
            v1::TableRows { table: "public.orders".into(), rows: 402_113 },
        ],
        ..v1::Projection::default()
    };
    projection.set_state(state);
    projection
}

/// All is well.
pub(crate) fn flowing() -> v1::StatusReply {
    let mut capture = v1::Capture {
        events: 2_412_000,
        records: 2_412_310,
        bytes: 912_000_000,
        events_per_second: 1_180.0,
        latency_p50_ms: Some(3.1),
        latency_p99_ms: Some(11.0),
        last_commit_age_ms: Some(200),
        received_p50_ms: Some(0.9),
        received_p99_ms: Some(4.0),
        ..v1::Capture::default()
    };
    capture.set_state(State::Running);
    let mut source = v1::Source {
        phase: "streaming".into(),
        slot: "penstock_shop".into(),
        publication: "penstock_shop".into(),
        received_lsn: Some("16/B374D848".into()),
        acknowledged_lsn: Some("16/B374D848".into()),
        server_lsn: Some("16/B374D848".into()),
        lag_bytes: Some(0),
        retained_wal_bytes: Some(48 << 20),
        safe_wal_bytes: Some(10 << 30),
        address: "db.example:5432".into(),
        ..v1::Source::default()
    };
    source.set_state(State::Running);
    let table = |name: &str, creates, rows| v1::Table {
        name: name.into(),
        creates,
        updates: creates * 3,
        deletes: creates / 9,
        reads: 18_000,
        rows_in_projection: Some(rows),
        ..v1::Table::default()
    };
    let topic = |name: &str| v1::Topic { name: name.into(), partitions: 6, records: Some(900_000) };
    let mut status = v1::StatusReply {
        pipeline: "shop".into(),
        version: "0.1.0".into(),
        uptime_ms: 4_300_000,
        data_dir: "/var/lib/penstock".into(),
        source: Some(source),
        capture: Some(capture),
        projections: vec![
            projection("audit", "audit", State::Running),
            projection("duckdb", "duckdb", State::Running),
            projection("search", "search", State::Running),
        ],
        tables: vec![
            table("public.customers", 310, 18_204),
            table("public.orders", 40_113, 402_113),
        ],
        topics: vec![topic("shop.public.customers"), topic("shop.public.orders")],
        services: vec![v1::Service {
            name: "penstock".into(),
            instance: "db-1:4121".into(),
            version: "0.1.0".into(),
            uptime_ms: 4_300_000,
            ..v1::Service::default()
        }],
        ..v1::StatusReply::default()
    };
    status.set_mode(v1::Mode::Embedded);
    status
}

/// Nothing was captured yet, and nothing is known.
pub(crate) fn empty() -> v1::StatusReply {
    let mut capture = v1::Capture::default();
    capture.set_state(State::Running);
    v1::StatusReply {
        pipeline: "fresh".into(),
        capture: Some(capture),
        ..v1::StatusReply::default()
    }
}

/// A projection halted with markup in its words, another waits, records are parked, the slot fills.
pub(crate) fn broken() -> v1::StatusReply {
    let mut status = flowing();
    let duckdb = &mut status.projections[1];
    duckdb.set_state(State::Halted);
    duckdb.halt = Some(v1::Halt {
        code: "SINK_DISK_FULL".into(),
        message: format!(
            "applying a batch to the warehouse: no space left on device, row {MARKUP}"
        ),
        remedy: "Make space on the warehouse's disk; it goes on from where it stopped.".into(),
    });
    duckdb.lag_seconds = Some(840.0);
    duckdb.complete_age_ms = Some(840_000);
    duckdb.lag_records = Some(991_200);
    duckdb.records_applied = 1_420_800;
    duckdb.events_per_second = 0.0;
    let search = &mut status.projections[2];
    search.set_state(State::Waiting);
    search.reason = "the index is locked by another instance".into();
    search.dead_letters = 45;
    search.parked_keys = 3;
    if let Some(source) = &mut status.source {
        source.retained_wal_bytes = Some(9 << 30);
        source.safe_wal_bytes = Some(0);
        source.uncaptured_tables = vec!["public.returns".into(), "public.vouchers".into()];
        source.snapshot = vec![v1::SnapshotProgress {
            table: "public.events_archive".into(),
            rows_done: 410_000,
            rows_estimated: Some(1_900_000),
            rows_per_second: Some(41_000.0),
            eta_seconds: Some(36.0),
            is_done: false,
        }];
    }
    status
}

/// Parked records: markup, binary, a long value.
pub(crate) fn letters() -> Vec<v1::DeadLetter> {
    let letter = |offset: i64| v1::DeadLetter {
        projection: "search".into(),
        topic: "shop.public.orders".into(),
        partition: 2,
        offset,
        timestamp_ms: now_ms() - 60_000 + offset,
        reason: format!("the value of \"note\" is no text: {MARKUP}"),
        is_follower: offset % 3 != 0,
        key: format!("{{\"id\":{}}}", offset % 3),
        value_json: Some(
            serde_json::json!({"op": "u", "table": "public.orders",
                "before": {"id": offset % 3, "note": "a"},
                "after": {"id": offset % 3, "note": format!("{MARKUP}{}", "y".repeat(400))}})
            .to_string(),
        ),
        raw_key: Some(vec![0, 0, 0, 0, 7, 2]),
        raw_value: Some((0..=255).cycle().take(1_000).collect()),
        headers: vec![
            v1::RecordHeader { name: "penstock.id".into(), value: b"16/B374D848:3".to_vec() },
            v1::RecordHeader { name: "binary".into(), value: vec![0, 255, 7] },
        ],
        schema_id: Some(7),
    };
    (0..45).map(letter).collect()
}

/// A subject with two versions, and one whose third was refused.
pub(crate) fn subjects() -> Vec<v1::Subject> {
    let schema = r#"{"type":"record","name":"Envelope","fields":[{"name":"before","type":["null","string"]}]}"#;
    let version = |version: u32, id: u32, changes: &[&str]| v1::SchemaVersion {
        version,
        id,
        schema_json: schema.into(),
        changes: changes.iter().map(|line| (*line).to_owned()).collect(),
    };
    let added = "+ column \"voucher\" (text, nullable)";
    let subject = |name: &str, refused: Option<v1::RefusedSchema>| v1::Subject {
        name: name.into(),
        compatibility: "BACKWARD".into(),
        versions: vec![version(1, 3, &[]), version(2, 7, &[added])],
        refused,
    };
    let refused = v1::RefusedSchema {
        schema_json: schema.into(),
        changes: vec![
            format!("- column \"total\" (numeric), {MARKUP}"),
            "+ column \"total\" (text): readers that take a number fail".into(),
        ],
    };
    vec![
        subject("shop.public.customers-value", None),
        subject("shop.public.orders-value", Some(refused)),
    ]
}

/// Dashboards and the endpoints they ask; everything ends with it.
pub(crate) struct World {
    tasks: JoinSet<()>,
    shutdown: CancellationToken,
}

impl World {
    pub(crate) fn new() -> Self {
        Self { tasks: JoinSet::new(), shutdown: CancellationToken::new() }
    }

    /// Serves a script; returns its address.
    pub(crate) async fn endpoint(&mut self, script: &Arc<Script>) -> String {
        let listener = listener().await;
        let address = listener.local_addr().unwrap().to_string();
        let (script, until) = (Arc::clone(script), self.shutdown.clone());
        self.tasks.spawn(async move {
            drop(cdc_control::serve_tcp(script, listener, None, until).await);
        });
        address
    }

    /// Serves a dashboard that asks those endpoints.
    pub(crate) async fn dashboard(&mut self, config: DashboardConfig) -> SocketAddr {
        let listener = listener().await;
        let address = listener.local_addr().unwrap();
        let (dashboard, shutdown) = (Dashboard::new(config).unwrap(), self.shutdown.clone());
        self.tasks.spawn(async move { dashboard.serve(listener, shutdown).await.unwrap() });
        address
    }

    /// Ends everything, and waits until it has.
    pub(crate) async fn end(&mut self) {
        self.shutdown.cancel();
        while self.tasks.join_next().await.is_some() {}
    }

    /// Serves one script and one dashboard that asks it.
    pub(crate) async fn of(&mut self, script: &Arc<Script>) -> SocketAddr {
        let endpoint = self.endpoint(script).await;
        self.dashboard(config(&[endpoint])).await
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

pub(crate) fn config(endpoints: &[String]) -> DashboardConfig {
    DashboardConfig {
        endpoints: endpoints.iter().cloned().map(Endpoint::Address).collect(),
        interval: Duration::from_millis(100),
        ..DashboardConfig::default()
    }
}

async fn listener() -> TcpListener {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap()
}
