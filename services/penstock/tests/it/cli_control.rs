//! The commands that ask a running pipeline, against a scripted one.

use std::sync::Arc;
use std::time::Duration;

use cdc_control::{Client, Control, SOCKET, TailStream, serve, v1};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use crate::penstock::run_beside;

struct Scripted;

impl Control for Scripted {
    async fn status(&self) -> Result<v1::StatusReply, Status> {
        let mut source = v1::Source { slot: "penstock_shop".into(), ..Default::default() };
        source.set_state(v1::State::Snapshot);
        source.phase = "snapshot".into();
        source.lag_bytes = Some(5 << 20);
        source.snapshot.push(v1::SnapshotProgress {
            table: "public.orders".into(),
            rows_done: 400_000,
            rows_estimated: Some(1_000_000),
            rows_per_second: Some(300_000.0),
            eta_seconds: Some(2.0),
            is_done: false,
        });
        let mut capture = v1::Capture { events: 400_000, ..Default::default() };
        capture.set_state(v1::State::Halted);
        capture.halt = Some(v1::Halt {
            code: "SLOT_LOST".into(),
            message: "the slot \"penstock_shop\" is gone ".repeat(4),
            remedy: "Drop it and begin anew.".into(),
        });
        let mut status =
            v1::StatusReply { pipeline: "7-shop-penstock_shop".into(), ..Default::default() };
        status.set_mode(v1::Mode::Embedded);
        status.source = Some(source);
        status.capture = Some(capture);
        status.tables.push(v1::Table {
            name: "public.orders".into(),
            reads: 400_000,
            ..Default::default()
        });
        Ok(status)
    }

    async fn query(&self, request: v1::QueryRequest) -> Result<v1::QueryReply, Status> {
        if request.sql != "SELECT 1" {
            return Err(Status::invalid_argument(
                "Parser Error: syntax error\n\nLINE 1: SELEC\n        ^",
            ));
        }
        Ok(v1::QueryReply {
            columns: vec![v1::Column { name: "one".into(), r#type: "INTEGER".into() }],
            rows: vec![v1::Row { cells: vec![v1::Cell { text: Some("1".into()) }] }],
            is_cut: false,
        })
    }

    async fn tail(&self, request: v1::TailRequest) -> Result<TailStream, Status> {
        let event = v1::TailEvent {
            topic: request.topic.unwrap_or_default(),
            op: "c".into(),
            text: "c public.t id=1".into(),
            key: "{\"id\":1}".into(),
            ..Default::default()
        };
        Ok(Box::pin(tokio_stream::iter([Ok(event)])))
    }

    async fn accept_schema(
        &self,
        request: v1::AcceptSchemaRequest,
    ) -> Result<v1::AcceptSchemaReply, Status> {
        match request.subject.as_str() {
            "known" => {
                Ok(v1::AcceptSchemaReply { id: 7, version: 2, diff: "a: int -> long".into() })
            }
            subject => Err(Status::not_found(format!("no schema was refused under \"{subject}\""))),
        }
    }

    async fn stop(&self) -> Result<(), Status> {
        Ok(())
    }
}

/// A scripted pipeline in a directory, whose path may be longer than a socket's may be.
struct Served {
    dir: tempfile::TempDir,
    shutdown: CancellationToken,
    tasks: JoinSet<cdc_control::Result<()>>,
}

impl Served {
    async fn start(name: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let inner = dir.path().join(name);
        std::fs::create_dir(&inner).unwrap();
        let shutdown = CancellationToken::new();
        let (token, socket) = (shutdown.clone(), inner.join(SOCKET));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { serve(Arc::new(Scripted), &socket, token).await });
        let served = Self { dir, shutdown, tasks };
        served.wait(&inner).await;
        served
    }

    async fn wait(&self, dir: &std::path::Path) {
        let answers = async {
            while Client::connect(dir).await.is_err() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), answers).await.expect("the socket answers");
    }

    async fn stop(mut self) {
        self.shutdown.cancel();
        let ended = tokio::time::timeout(Duration::from_secs(10), self.tasks.join_next()).await;
        ended.expect("streams end with the pipeline").unwrap().unwrap().unwrap();
    }
}

const NAME: &str = "p";

#[tokio::test(flavor = "multi_thread")]
async fn status_fits_the_screen_and_fails_on_a_halt() {
    let served = Served::start(NAME).await;
    let ran = run_beside(served.dir.path(), &["status", "--data-dir", NAME]).await;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    for word in ["SLOT_LOST", "begin anew", "40 %", "300000/s", "2.0 s left", "5.0 MiB behind"] {
        assert!(ran.stdout.contains(word), "no {word} in\n{}", ran.stdout);
    }
    ran.fits();
    let ran = run_beside(served.dir.path(), &["status", "--data-dir", NAME, "--json"]).await;
    let json: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(json["capture"]["state"], "halted");
    assert_eq!(json["mode"], "embedded");
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn query_prints_tables_json_and_csv_and_shows_bad_sql() {
    let served = Served::start(NAME).await;
    let query = async |args: &[&str]| {
        let mut all = vec!["query", "--data-dir", NAME];
        all.extend(args);
        run_beside(served.dir.path(), &all).await
    };
    assert_eq!(query(&["SELECT 1"]).await.stdout, "one\n───\n  1\n(1 row)\n");
    assert_eq!(query(&["SELECT 1", "--json"]).await.stdout, "{\"one\":1}\n");
    assert_eq!(query(&["SELECT 1", "--csv"]).await.stdout, "one\n1\n");
    query(&["SELEC"]).await.refused(1, &["cannot be run", "syntax error", "LINE 1: SELEC"]);
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tail_and_schema_accept_say_what_happened() {
    let served = Served::start(NAME).await;
    let dir = served.dir.path();
    let ran = run_beside(dir, &["tail", "shop.public.t", "--data-dir", NAME]).await;
    assert_eq!(ran.stdout, "00:00:00.000 + public.t id=1\n");
    let ran = run_beside(dir, &["tail", "t", "--json", "--data-dir", NAME]).await;
    let json: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(json["key"]["id"], 1);
    let ran = run_beside(dir, &["schema", "accept", "known", "--data-dir", NAME]).await;
    assert_eq!(ran.stdout, "accepted known as version 2, id 7\n  a: int -> long\n");
    let ran = run_beside(dir, &["schema", "accept", "other", "--data-dir", NAME]).await;
    ran.refused(1, &["nothing was accepted", "no schema was refused under \"other\""]);
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_ends_when_the_pipeline_stops() {
    let served = Served::start(NAME).await;
    let mut client = Client::connect(&served.dir.path().join(NAME)).await.unwrap();
    let mut watch = std::pin::pin!(client.watch(100).await.unwrap());
    tokio_stream::StreamExt::next(&mut watch).await.unwrap().unwrap();
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_path_still_has_its_socket() {
    let name = "long".repeat(50);
    let served = Served::start(&name).await;
    let ran = run_beside(served.dir.path(), &["query", "SELECT 1", "--data-dir", &name]).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_left_by_a_killed_process_is_replaced_and_a_live_one_is_not() {
    let served = Served::start(NAME).await;
    let socket = served.dir.path().join(NAME).join(SOCKET);
    let mode = std::os::unix::fs::PermissionsExt::mode(&socket.metadata().unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    let second = serve(Arc::new(Scripted), &socket, CancellationToken::new()).await;
    assert!(matches!(second, Err(cdc_control::Error::AlreadyServed { .. })));
    served.stop().await;

    let dir = tempfile::tempdir().unwrap();
    let stale = dir.path().join(SOCKET);
    drop(std::os::unix::net::UnixListener::bind(&stale).unwrap());
    let error = Client::connect(dir.path()).await.unwrap_err();
    assert!(matches!(error, cdc_control::Error::NotRunning { .. }), "{error}");
    let token = CancellationToken::new();
    let serving = serve(Arc::new(Scripted), &stale, token.clone());
    let ask = async {
        while Client::connect(dir.path()).await.is_err() {
            tokio::task::yield_now().await;
        }
        token.cancel();
    };
    let both = async { tokio::join!(serving, ask) };
    let (served, ()) = tokio::time::timeout(Duration::from_secs(10), both).await.unwrap();
    served.unwrap();
}
