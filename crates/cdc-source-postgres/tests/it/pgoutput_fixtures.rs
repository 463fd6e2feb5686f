//! Bytes captured from real servers, against what we decode them to.
//!
//! `cargo x fixtures` captures them again. The same bytes feed the property tests.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use cdc_model::Lsn;
use cdc_source_postgres::pgoutput::{Message, State, decode};
use cdc_source_postgres::wire::{Connection, CopyMessage};
use testkit::server::postgres::{Postgres, Version};

use crate::pgoutput_render::Renderer;

const PATIENCE: Duration = Duration::from_secs(60);
const START_OF_CAPTURE: &str = "-- captured from here\n";
const END_OF_CAPTURE: &str = "end of capture";

fn path(file: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "testdata", "pgoutput", file].iter().collect()
}

/// Checks `NAME.pgN.hex` against `NAME.pgN.txt`, after capturing it anew if that was asked for.
async fn check(name: &str, version: Version, options: &[(&str, &str)]) {
    let stem = format!("{name}.pg{}", version.major());
    let hex_path = path(&format!("{stem}.hex"));
    if std::env::var_os("UPDATE_FIXTURES").is_some() {
        let hex = capture(name, version, options).await;
        std::fs::write(&hex_path, hex).unwrap();
    }
    let hex = std::fs::read_to_string(&hex_path).unwrap();
    let mut renderer = Renderer::default();
    let mut text = String::new();
    for line in hex.lines() {
        let (lsn, data) = line.split_once(' ').unwrap();
        writeln!(text, "{} @{lsn}", renderer.line(unhex(data))).unwrap();
    }
    expect_test::expect_file![path(&format!("{stem}.txt"))].assert_eq(&text);
}

/// Runs a scenario on a real server and returns what it streamed.
async fn capture(name: &str, version: Version, options: &[(&str, &str)]) -> String {
    let settings = [("logical_decoding_work_mem", "64kB"), ("max_prepared_transactions", "5")];
    let server = Postgres::start_with(version, &settings).await;
    let sql = std::fs::read_to_string(path(&format!("{name}.sql"))).unwrap();
    let (set_up, captured) = sql.split_once(START_OF_CAPTURE).unwrap();
    run(&server, set_up).await;
    let two_phase = name == "two_phase";
    server
        .sql(&format!(
            "SELECT pg_create_logical_replication_slot('fixture', 'pgoutput', false, {two_phase})"
        ))
        .await;
    run(&server, captured).await;
    server.sql(&format!("SELECT pg_logical_emit_message(true, '{END_OF_CAPTURE}', '')")).await;

    let connection =
        Connection::connect(&server.dsn("postgres").parse().unwrap(), true).await.unwrap();
    let (mut reader, _writer) =
        connection.start_replication("fixture", Lsn::ZERO, options).await.unwrap();
    let mut hex = String::new();
    let mut state = State::default();
    loop {
        let message = tokio::time::timeout(PATIENCE, reader.read()).await.unwrap().unwrap();
        let CopyMessage::XLogData { start, data, .. } = message else { continue };
        write!(hex, "{start} ").unwrap();
        for byte in &data {
            write!(hex, "{byte:02x}").unwrap();
        }
        hex.push('\n');
        match decode(data, &mut state).unwrap() {
            Message::Message(message) if &*message.prefix == END_OF_CAPTURE => return hex,
            _ => {}
        }
    }
}

/// Runs statements, a line each, in one session.
async fn run(server: &Postgres, sql: &str) {
    let client = server.client().await;
    for line in sql.lines() {
        client.batch_execute(line).await.unwrap();
    }
}

fn unhex(text: &str) -> Bytes {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    assert!(rest.is_empty());
    let byte = |pair: &[u8; 2]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    pairs.iter().map(byte).collect()
}

#[tokio::test]
async fn every_change_decodes_to_its_canonical_text() {
    for version in Version::ALL {
        let options =
            [("proto_version", "1"), ("publication_names", "fixture"), ("messages", "true")];
        check("core", version, &options).await;
    }
}

#[tokio::test]
async fn streamed_transactions_decode_to_their_canonical_text() {
    for (version, proto_version, streaming) in
        [(Version::V15, "2", "on"), (Version::V18, "4", "parallel")]
    {
        let options = [
            ("proto_version", proto_version),
            ("publication_names", "fixture"),
            ("messages", "true"),
            ("streaming", streaming),
        ];
        check("streamed", version, &options).await;
    }
}

#[tokio::test]
async fn prepared_transactions_decode_to_their_canonical_text() {
    for version in Version::ALL {
        let options = [
            ("proto_version", "3"),
            ("publication_names", "fixture"),
            ("messages", "true"),
            ("streaming", "on"),
        ];
        check("two_phase", version, &options).await;
    }
}
