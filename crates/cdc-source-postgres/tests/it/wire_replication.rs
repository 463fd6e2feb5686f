//! Replication commands and the `CopyBoth` stream of real servers.

use std::sync::Arc;
use std::time::Duration;

use cdc_model::Lsn;
use cdc_pipeline::error::{Classify, ErrorClass};
use cdc_source_postgres::pgoutput::{Message, State, TupleColumn, decode};
use cdc_source_postgres::wire::{
    Connection, CopyMessage, CopyReader, CopyWriter, Error, SlotSnapshot,
};
use testkit::server::postgres::{Postgres, Version};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(60);
const OPTIONS: &[(&str, &str)] =
    &[("proto_version", "1"), ("publication_names", "p"), ("messages", "true")];

async fn connect(server: &Postgres) -> Connection {
    Connection::connect(&server.dsn("postgres").parse().unwrap(), true).await.unwrap()
}

/// Starts a server with a table `t(id)`, a publication `p` of it and a slot `s`.
async fn server_with_slot(version: Version) -> Postgres {
    let server = Postgres::start(version).await;
    server.sql("CREATE TABLE t (id int PRIMARY KEY, v text)").await;
    server.sql("CREATE PUBLICATION p FOR TABLE t").await;
    connect(&server).await.create_slot("s", false, SlotSnapshot::Nothing).await.unwrap();
    server
}

async fn start(server: &Postgres) -> Result<(CopyReader, CopyWriter), Error> {
    connect(server).await.start_replication("s", Lsn::ZERO, OPTIONS).await
}

/// Starts the stream as soon as the server has noticed that the last one's end is gone.
async fn start_again(server: &Postgres) -> (CopyReader, CopyWriter) {
    let attempts = async {
        loop {
            match start(server).await {
                Err(error) if error.sqlstate() == Some("55006") => {}
                outcome => return outcome.unwrap(),
            }
        }
    };
    timeout(PATIENCE, attempts).await.expect("the slot to be free within the test's patience")
}

async fn read(reader: &mut CopyReader) -> Result<CopyMessage, Error> {
    timeout(PATIENCE, reader.read()).await.expect("a message within the test's patience")
}

/// Returns the decoded message of a piece of log.
fn decoded(message: CopyMessage) -> Option<Message> {
    match message {
        CopyMessage::XLogData { data, .. } => Some(decode(data, &mut State::default()).unwrap()),
        CopyMessage::Keepalive { .. } => None,
        CopyMessage::Notice { severity, code, message } => panic!("{severity} {code} {message}"),
    }
}

#[tokio::test]
async fn the_server_says_who_it_is() {
    for version in Version::ALL {
        let server = Postgres::start(version).await;
        let mut connection = connect(&server).await;
        let system = connection.identify_system().await.unwrap();
        let expected = server.value("SELECT system_identifier FROM pg_control_system()").await;
        assert_eq!(system.system_id.to_string(), expected);
        assert_eq!((system.timeline, system.database.as_deref()), (1, Some("postgres")));
        assert!(system.flushed > Lsn::ZERO);
        assert_eq!(connection.parameter("server_encoding"), Some("UTF8"));
    }
}

#[tokio::test]
async fn a_failed_query_leaves_the_connection_usable() {
    let server = Postgres::start(Version::V18).await;
    let mut connection = connect(&server).await;
    let error = connection.query("SELECT 1; SELECT * FROM nowhere; SELECT 2").await.unwrap_err();
    assert_eq!((error.sqlstate(), error.class()), (Some("42P01"), ErrorClass::Unknown));
    let rows = connection.query("SELECT 1, NULL; SELECT ''").await.unwrap();
    assert_eq!(rows, [vec![Some("1".into()), None], vec![Some("".into())]]);
}

#[tokio::test]
async fn a_new_slots_snapshot_shows_what_its_stream_leaves_out() {
    for version in Version::ALL {
        let server = Postgres::start(version).await;
        server.sql("CREATE TABLE t (id int PRIMARY KEY, v text)").await;
        server.sql("CREATE PUBLICATION p FOR TABLE t; INSERT INTO t VALUES (1)").await;
        let mut connection = connect(&server).await;
        let slot = connection.create_slot("s", false, SlotSnapshot::Export).await.unwrap();
        server.sql("INSERT INTO t VALUES (2)").await;

        let mut reader =
            Connection::connect(&server.dsn("postgres").parse().unwrap(), false).await.unwrap();
        let snapshot = slot.snapshot_name.unwrap();
        let rows = reader
            .query(&format!(
                "BEGIN ISOLATION LEVEL REPEATABLE READ; SET TRANSACTION SNAPSHOT '{snapshot}'; \
                 SELECT id FROM public.t; COMMIT"
            ))
            .await
            .unwrap();
        assert_eq!(rows, [vec![Some("1".into())]]);

        let (mut reader, _writer) =
            connection.start_replication("s", slot.consistent_point, OPTIONS).await.unwrap();
        let insert = loop {
            if let Some(Message::Insert(insert)) = decoded(read(&mut reader).await.unwrap()) {
                break insert;
            }
        };
        let first = insert.new.columns().next().unwrap().unwrap();
        assert_eq!(first, TupleColumn::Text(b"2"));
    }
}

#[tokio::test]
async fn slots_in_use_missing_or_taken_are_told_by_their_sqlstate() {
    for version in Version::ALL {
        let server = server_with_slot(version).await;
        let failover = "SELECT to_jsonb(s) ->> 'failover' FROM pg_replication_slots s";
        let expected = (version == Version::V18).then_some("true".to_owned());
        assert_eq!(server.rows(failover).await, [[expected]]);

        let mut connection = connect(&server).await;
        let taken = connection.create_slot("s", false, SlotSnapshot::Nothing).await;
        assert_eq!(taken.unwrap_err().sqlstate(), Some("42710"));

        let (reader, writer) = start(&server).await.unwrap();
        let error = start(&server).await.unwrap_err();
        assert_eq!((error.sqlstate(), error.class()), (Some("55006"), ErrorClass::Transient));
        let error = connection.drop_slot("s", false).await.unwrap_err();
        assert_eq!(error.sqlstate(), Some("55006"));

        writer.finish().await.unwrap();
        drop(reader);
        connection.drop_slot("s", true).await.unwrap();
        let error = start(&server).await.unwrap_err();
        assert_eq!(error.sqlstate(), Some("42704"));
    }
}

/// A way to a server on which pieces of at most 20,000 bytes come when asked for.
struct NarrowWay {
    port: u16,
    asked: Arc<Notify>,
    arrived: Arc<Notify>,
    _carrying: JoinSet<std::io::Result<()>>,
}

impl NarrowWay {
    async fn to(server: &Postgres) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (asked, arrived) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let port = listener.local_addr().unwrap().port();
        let server_port = server.port();
        let mut carrying = JoinSet::new();
        let (wanted, sent) = (Arc::clone(&asked), Arc::clone(&arrived));
        carrying.spawn(async move {
            let (mut near, _) = listener.accept().await?;
            let mut far = TcpStream::connect(("127.0.0.1", server_port)).await?;
            let (mut from_client, mut to_client) = near.split();
            let (mut from_server, mut to_server) = far.split();
            let back = async {
                let mut piece = vec![0; 20_000];
                loop {
                    wanted.notified().await;
                    let length = from_server.read(&mut piece).await?;
                    if length == 0 {
                        return Ok(());
                    }
                    to_client.write_all(&piece[..length]).await?;
                    sent.notify_one();
                }
            };
            tokio::select! {
                _ = tokio::io::copy(&mut from_client, &mut to_server) => Ok(()),
                outcome = back => outcome,
            }
        });
        Self { port, asked, arrived, _carrying: carrying }
    }

    /// Asks for a piece and waits until it was sent on.
    async fn piece(&self) {
        self.asked.notify_one();
        self.arrived.notified().await;
    }

    /// Starts the stream through this way.
    async fn start(&self) -> (CopyReader, CopyWriter) {
        let dsn = format!("postgres://postgres@127.0.0.1:{}/postgres", self.port);
        let started = async {
            let connection = Connection::connect(&dsn.parse().unwrap(), true).await.unwrap();
            connection.start_replication("s", Lsn::ZERO, OPTIONS).await.unwrap()
        };
        let pieces = async {
            loop {
                self.piece().await;
            }
        };
        tokio::select! {
            halves = started => halves,
            () = pieces => unreachable!("pieces are asked for without end"),
        }
    }
}

#[tokio::test]
async fn reads_dropped_half_way_lose_no_message() {
    let server = server_with_slot(Version::V18).await;
    server.sql("INSERT INTO t SELECT i, repeat('x', 5000) FROM generate_series(1, 4000) i").await;
    let way = NarrowWay::to(&server).await;
    let (mut reader, _writer) = way.start().await;
    let (mut rows, mut dropped, mut buffered) = (0, 0, 0);
    loop {
        // A read that has to wait is dropped as soon as the next piece is on its way.
        let message = tokio::select! {
            biased;
            message = read(&mut reader) => message.unwrap(),
            () = way.piece() => {
                dropped += 1;
                continue;
            }
        };
        let mut next = Some(message);
        while let Some(message) = next {
            match decoded(message) {
                Some(Message::Insert(insert)) => {
                    rows += 1;
                    let id = insert.new.columns().next().unwrap().unwrap();
                    let expected = rows.to_string();
                    assert_eq!(id, TupleColumn::Text(expected.as_bytes()));
                }
                Some(Message::Commit(_)) => {
                    assert_eq!(rows, 4000);
                    assert!(dropped > 0 && buffered > 0, "{dropped} {buffered}");
                    return;
                }
                _ => {}
            }
            next = reader.try_read_buffered().unwrap();
            buffered += usize::from(next.is_some());
        }
    }
}

#[tokio::test]
async fn status_updates_move_the_slot_and_are_answered() {
    let server = server_with_slot(Version::V15).await;
    let (mut reader, mut writer) = start(&server).await.unwrap();
    server.sql("INSERT INTO t VALUES (1)").await;
    let commit = loop {
        if let Some(Message::Commit(commit)) = decoded(read(&mut reader).await.unwrap()) {
            break commit;
        }
    };
    writer.send_status(commit.end_lsn, commit.end_lsn, commit.end_lsn, true).await.unwrap();
    let wal_end = loop {
        if let CopyMessage::Keepalive { wal_end, .. } = read(&mut reader).await.unwrap() {
            break wal_end;
        }
    };
    assert!(wal_end >= commit.end_lsn, "{wal_end} {}", commit.end_lsn);
    let confirmed = server.value("SELECT confirmed_flush_lsn FROM pg_replication_slots").await;
    assert_eq!(confirmed.parse(), Ok(commit.end_lsn));
}

#[tokio::test]
async fn the_end_of_the_stream_is_transient() {
    for version in Version::ALL {
        let server = server_with_slot(version).await;
        let (mut reader, writer) = start_again(&server).await;
        writer.finish().await.unwrap();
        let error = last_error(&mut reader).await;
        assert!(matches!(error, Error::Closed), "{error:?}");

        let (mut reader, _writer) = start_again(&server).await;
        server.sql("SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots").await;
        let error = last_error(&mut reader).await;
        assert_eq!(error.class(), ErrorClass::Transient, "{error:?}");

        let (mut reader, _writer) = start_again(&server).await;
        server.kill9().await;
        let error = last_error(&mut reader).await;
        assert_eq!(error.class(), ErrorClass::Transient, "{error:?}");
    }
}

async fn last_error(reader: &mut CopyReader) -> Error {
    loop {
        match read(reader).await {
            Ok(CopyMessage::Keepalive { .. }) => {}
            Ok(message) => panic!("{message:?}"),
            Err(error) => return error,
        }
    }
}
