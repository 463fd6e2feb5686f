//! A writer that ends at any byte leaves whole batches, and nothing acknowledged is lost unseen.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use cdc_model::{ChangeEvent, Offset};
use cdc_pipeline::Classify as _;
use cdc_pipeline::port::{Sink, SinkState};
use cdc_sink_audit::{AuditSink, verify};
use sha2::Digest as _;
use testkit::fixture::{insert, origin, table, update};

use crate::world::{World, batch, config, copy, refused, segments, small_segments, t};

const PATH: &str = "PENSTOCK_TEST_CRASH_PATH";
const BATCH: i64 = 20;
const KEYS: i64 = 50;

fn next_offset(state: &SinkState) -> i64 {
    state.offsets.values().next().map_or(0, |(_, offset)| offset.0)
}

fn second_batch() -> Vec<ChangeEvent> {
    vec![update(&table("t"), origin(2, 0), testkit::fixture::row(1, "b"))]
}

/// Opens what a crash left in `path`, and checks that it is whole and goes on.
async fn goes_on(path: &Path, is_applied: bool) {
    let mut sink = AuditSink::open(path, config()).await.unwrap();
    let state = sink.resume().await.unwrap();
    assert_eq!(next_offset(&state), if is_applied { 2 } else { 1 });
    let mut again = state;
    again.offsets.values_mut().for_each(|(_, next)| *next = Offset(1));
    sink.apply(Arc::new(batch(&again, 0, second_batch()))).await.unwrap();
    let query = sink.query_handle();
    assert_eq!(query.count(&t()).await.unwrap(), 2);
    assert_eq!(query.rows(&t(), 9).await.unwrap()[0]["v"], "b");
    drop(sink);
    let report = verify(path).unwrap();
    assert!(report.is_intact() && report.unacknowledged_bytes == 0, "{report:?}");
}

#[tokio::test]
async fn a_batch_cut_at_any_byte_is_cut_off_whole() {
    let mut world = World::new(config()).await;
    world.apply(vec![insert(&table("t"), origin(1, 0), 1, "a")]).await.unwrap();
    let before = copy(world.path());
    world.apply(second_batch()).await.unwrap();
    let after = world.close();
    let whole = std::fs::read(&segments(after.path())[0]).unwrap();
    let begun = std::fs::metadata(&segments(before.path())[0]).unwrap().len();
    for end in usize::try_from(begun).unwrap()..=whole.len() {
        // The crash came before the head was moved: nobody was told of the batch.
        let crashed = copy(before.path());
        std::fs::write(&segments(crashed.path())[0], &whole[..end]).unwrap();
        goes_on(crashed.path(), end == whole.len()).await;
        if end < whole.len() && end % 16 == 0 {
            // The head was moved: what is missing was acknowledged.
            let robbed = copy(after.path());
            std::fs::write(&segments(robbed.path())[0], &whole[..end]).unwrap();
            let error = refused(robbed.path(), config()).await;
            assert_eq!(error.code(), Some("AUDIT_DAMAGED"), "{error}");
            assert!(!verify(robbed.path()).unwrap().is_intact());
        }
    }
}

#[tokio::test]
async fn holes_behind_the_head_are_cut_off() {
    let mut world = World::new(config()).await;
    world.apply(vec![insert(&table("t"), origin(1, 0), 1, "a")]).await.unwrap();
    let before = copy(world.path());
    world.apply(second_batch()).await.unwrap();
    let after = world.close();
    let whole = std::fs::read(&segments(after.path())[0]).unwrap();
    let begun = std::fs::metadata(&segments(before.path())[0]).unwrap().len();
    let mut holed = whole.clone();
    holed[usize::try_from(begun).unwrap()..][..100].fill(0);
    std::fs::write(&segments(before.path())[0], &holed).unwrap();
    goes_on(before.path(), false).await;
}

#[tokio::test]
async fn a_new_segment_cut_at_any_byte_is_begun_again() {
    let mut world = World::new(small_segments()).await;
    while segments(world.path()).len() < 2 {
        let id = next_offset(&world.state);
        world.apply(vec![insert(&table("t"), origin(1, 0), id, "a")]).await.unwrap();
    }
    let count = next_offset(&world.state) - 1;
    let directory = world.close();
    let [first, second] = &segments(directory.path())[..] else { panic!("two segments") };
    let sealed = std::fs::read(first).unwrap();
    let lines: Vec<_> = sealed.split_inclusive(|byte| *byte == b'\n').collect();
    let seal = lines.last().unwrap().len();
    let begun = std::fs::read(second).unwrap();
    let first_line = begun.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    // The head as it was before the seal: two more entries would have moved it.
    let head = head_at(1, &sealed[..sealed.len() - seal]);
    for end in [0, 1, first_line / 2, first_line - 1, first_line] {
        let crashed = copy(directory.path());
        std::fs::write(crashed.path().join("head"), &head).unwrap();
        std::fs::write(&segments(crashed.path())[1], &begun[..end]).unwrap();
        is_whole_with(crashed.path(), count).await;
    }
    for end in [sealed.len() - seal, sealed.len() - seal + 1, sealed.len() - 1, sealed.len()] {
        let crashed = copy(directory.path());
        std::fs::write(crashed.path().join("head"), &head).unwrap();
        std::fs::remove_file(&segments(crashed.path())[1]).unwrap();
        std::fs::write(&segments(crashed.path())[0], &sealed[..end]).unwrap();
        is_whole_with(crashed.path(), count).await;
    }
}

/// The two slots of a head at the end of `bytes`, the whole of segment `number` so far.
fn head_at(number: u64, bytes: &[u8]) -> Vec<u8> {
    let last = bytes.split(|byte| *byte == b'\n').rfind(|line| !line.is_empty()).unwrap();
    let last: serde_json::Value = serde_json::from_slice(last).unwrap();
    let body = format!(
        "{{\"prev\":{},\"seq\":{},\"kind\":\"head\",\"segment\":{number},\"bytes\":{}",
        last["hash"],
        last["seq"],
        bytes.len()
    );
    let hash = sha2::Sha256::digest(format!("{body}}}"));
    let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    let slot = format!("{:<511}\n", format!("{body},\"hash\":\"{hash}\"}}"));
    slot.repeat(2).into_bytes()
}

async fn is_whole_with(path: &Path, count: i64) {
    let mut sink = AuditSink::open(path, small_segments()).await.unwrap();
    let state = sink.resume().await.unwrap();
    assert_eq!(next_offset(&state), count);
    assert_eq!(i64::try_from(sink.query_handle().count(&t()).await.unwrap()).unwrap(), count);
    drop(sink);
    let report = verify(path).unwrap();
    assert!(report.is_intact() && report.unacknowledged_bytes == 0, "{report:?}");
}

/// Does nothing unless the test below starts it in a process of its own.
#[tokio::test]
async fn a_process_that_writes_until_it_is_killed() {
    #[expect(clippy::disallowed_methods, reason = "a test binary takes no arguments of ours")]
    let Ok(path) = std::env::var(PATH) else { return };
    let mut sink = AuditSink::open(path, small_segments()).await.unwrap();
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

#[tokio::test]
async fn twelve_kills_lose_and_double_nothing() {
    let directory = tempfile::tempdir().unwrap();
    for round in 0..12 {
        let applied = write_and_kill(directory.path(), 1 + round % 5);
        let mut sink = AuditSink::open(directory.path(), small_segments()).await.unwrap();
        let next = next_offset(&sink.resume().await.unwrap());
        assert!(next >= applied, "round {round}: {applied} was applied, {next} is held");
        assert_eq!(next % BATCH, 0, "round {round}: part of a batch is held");
        let count = sink.query_handle().count(&t()).await.unwrap();
        assert_eq!(i64::try_from(count).unwrap(), next, "round {round}");
        drop(sink);
        let report = verify(directory.path()).unwrap();
        assert!(report.is_intact(), "round {round}: {report:?}");
    }
}
