//! A writer killed at any moment leaves whole batches: rows and offsets agree.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use cdc_model::ChangeEvent;
use cdc_pipeline::port::{Sink, SinkState};
use cdc_sink_duckdb::DuckDbSink;
use testkit::fixture::{insert, origin, table};

use crate::world::{World, batch, config};

const PATH: &str = "PENSTOCK_TEST_CRASH_PATH";
const BATCH: i64 = 200;
const KEYS: i64 = 500;

fn event(offset: i64) -> ChangeEvent {
    insert(&table("t"), origin(1, 0), offset % KEYS, offset.to_string())
}

fn next_offset(state: &SinkState) -> i64 {
    state.offsets.values().next().map_or(0, |(_, offset)| offset.0)
}

/// Does nothing unless the test below starts it in a process of its own.
#[tokio::test]
async fn a_process_that_writes_until_it_is_killed() {
    #[expect(clippy::disallowed_methods, reason = "a test binary takes no arguments of ours")]
    let Ok(path) = std::env::var(PATH) else { return };
    let mut sink = DuckDbSink::open(path, config()).await.unwrap();
    let mut state = sink.resume().await.unwrap();
    loop {
        let first = next_offset(&state);
        let batch = batch(&state, 0, (first..first + BATCH).map(event).collect());
        let range = &batch.ranges[0];
        state.offsets.insert(range.source.clone(), (range.topic_id.clone(), range.next));
        sink.apply(Arc::new(batch)).await.unwrap();
        let mut out = std::io::stdout().lock();
        writeln!(out, "applied {}", first + BATCH).unwrap();
        out.flush().unwrap();
    }
}

/// Starts the writer, lets it apply `count` batches, and kills it in the midst of the next.
/// Returns what it last said was applied.
fn write_and_kill(path: &Path, count: usize) -> i64 {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "crash::a_process_that_writes_until_it_is_killed", "--nocapture"])
        .env(PATH, path)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let applied = lines
        .filter_map(|line| line.split_once("applied ")?.1.trim().parse().ok())
        .take(count)
        .last()
        .expect("the writer applied something");
    child.kill().unwrap();
    child.wait().unwrap();
    applied
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_kills_at_commit_lose_and_double_nothing() {
    let world = World::new().await;
    let World { directory, sink, .. } = world;
    drop(sink);
    let path = directory.path().join("w.duckdb");
    for round in 0..20 {
        let applied = write_and_kill(&path, 1 + round % 5);
        let mut sink = DuckDbSink::open(&path, config()).await.unwrap();
        let state = sink.resume().await.unwrap();
        let next = next_offset(&state);
        assert!(next >= applied, "round {round}: {applied} was applied, {next} is held");
        assert_eq!(next % BATCH, 0, "round {round}: part of a batch is held");
        let mut expected: Vec<_> =
            (0..KEYS.min(next)).map(|id| (next - 1 - id) / KEYS * KEYS + id).collect();
        expected.sort_unstable_by_key(|offset| offset % KEYS);
        let expected: Vec<_> =
            expected.iter().map(|offset| format!("{}|{offset}", offset % KEYS)).collect();
        let world = World { directory: tempfile::tempdir().unwrap(), sink, state };
        assert_eq!(world.rows("FROM public_t ORDER BY id").await, expected, "round {round}");
    }
}
