//! A writer that ends at any moment leaves whole batches: documents and offsets agree.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use cdc_pipeline::port::{Sink, SinkState};
use cdc_sink_search::SearchSink;
use testkit::fixture::{insert, origin, table};

use crate::world::{World, batch, config, copy};

const PATH: &str = "PENSTOCK_TEST_CRASH_PATH";
const BATCH: i64 = 20;
const KEYS: i64 = 50;

fn next_offset(state: &SinkState) -> i64 {
    state.offsets.values().next().map_or(0, |(_, offset)| offset.0)
}

/// Does nothing unless the test below starts it in a process of its own.
#[tokio::test]
async fn a_process_that_writes_until_it_is_killed() {
    #[expect(clippy::disallowed_methods, reason = "a test binary takes no arguments of ours")]
    let Ok(path) = std::env::var(PATH) else { return };
    let mut sink = SearchSink::open(path, config()).await.unwrap();
    let mut state = sink.resume().await.unwrap();
    loop {
        let first = next_offset(&state);
        let event = |n: i64| insert(&table("t"), origin(1, 0), n % KEYS, n.to_string());
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

/// What rows there are after the first `next` events.
fn expected(next: i64) -> Vec<String> {
    let last = |id: i64| (next - 1 - id) / KEYS * KEYS + id;
    let mut rows: Vec<_> = (0..KEYS.min(next)).map(|id| format!("{id}|{}", last(id))).collect();
    rows.sort();
    rows
}

async fn is_whole(path: &Path, applied: i64) -> SearchSink {
    let mut sink = SearchSink::open(path, config()).await.unwrap();
    let next = next_offset(&sink.resume().await.unwrap());
    assert!(next >= applied, "{applied} was applied, {next} is held");
    assert_eq!(next % BATCH, 0, "part of a batch is held");
    let rows = sink.query_handle().rows("public.t", 1_000).await.unwrap();
    let mut rows: Vec<_> = rows.iter().map(crate::world::joined).collect();
    rows.sort();
    assert_eq!(rows, expected(next));
    sink
}

#[tokio::test]
async fn twelve_kills_lose_and_double_nothing() {
    let directory = tempfile::tempdir().unwrap();
    for round in 0..12 {
        let applied = write_and_kill(directory.path(), 1 + round % 5);
        drop(is_whole(directory.path(), applied).await);
    }
}

/// Before the rename of `meta.json`, all that a commit wrote is files that nothing names.
#[tokio::test]
async fn a_commit_without_its_rename_never_was() {
    let mut world = World::new().await;
    let events = |first: i64| {
        let event = |n: i64| insert(&table("t"), origin(1, 0), n % KEYS, n.to_string());
        (first..first + BATCH).map(event).collect::<Vec<_>>()
    };
    world.apply(events(0)).await.unwrap();
    let meta = std::fs::read(world.path().join("meta.json")).unwrap();
    world.apply(events(BATCH)).await.unwrap();
    // A copy of a live index: what a crash leaves, with the older meta.json.
    let crashed = copy(world.path());
    std::fs::write(crashed.path().join("meta.json"), meta).unwrap();
    let before: Vec<_> = world.rows("public.t").await;
    assert_eq!(before.len(), usize::try_from(2 * BATCH).unwrap());
    let mut sink = is_whole(crashed.path(), BATCH).await;
    let state = sink.resume().await.unwrap();
    assert_eq!(next_offset(&state), BATCH);
    sink.apply(Arc::new(batch(&state, 0, events(BATCH)))).await.unwrap();
    drop(sink);
    drop(is_whole(crashed.path(), 2 * BATCH).await);
}

/// The future is dropped, the work is not: what it came to is what the next resume tells.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_apply_is_whole_or_not_there() {
    let mut world = World::new().await;
    for round in 0..8 {
        let first = next_offset(&world.state);
        let event = |n: i64| insert(&table("t"), origin(1, 0), n % KEYS, n.to_string());
        let batch = batch(&world.state, 0, (first..first + BATCH).map(event).collect());
        let patience = std::time::Duration::from_micros(300) * round;
        let applying = world.sink.apply(Arc::new(batch));
        drop(tokio::time::timeout(patience, applying).await);
        if round % 2 == 0 {
            world.state = world.sink.resume().await.unwrap();
        } else {
            world = world.reopen().await;
        }
        let next = next_offset(&world.state);
        assert_eq!(next % BATCH, 0);
        let mut rows = world.rows_or_none("public.t").await;
        rows.sort();
        assert_eq!(rows, expected(next));
    }
}
