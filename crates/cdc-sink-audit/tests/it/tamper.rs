//! Whoever changes, removes or inserts a byte is found, with file and line.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::LazyLock;

use cdc_pipeline::Classify as _;
use cdc_sink_audit::{Report, verify, verify_since};
use proptest::prelude::*;
use tempfile::TempDir;
use testkit::fixture::{insert, origin, table};

use crate::world::{World, refused, segments, small_segments};

/// The files of a closed log of several segments, by name.
type Files = BTreeMap<String, Vec<u8>>;

async fn log() -> Files {
    let mut world = World::new(small_segments()).await;
    for id in 0..6 {
        let events = vec![insert(&table("t"), origin(1, 0), id, "žluť"); 2];
        world.apply(events).await.unwrap();
    }
    let directory = world.close();
    let files = segments(directory.path()).into_iter().chain([directory.path().join("head")]);
    files.map(|file| (name(&file), std::fs::read(file).unwrap())).collect()
}

static LOG: LazyLock<Files> = LazyLock::new(|| {
    let build = || tokio::runtime::Runtime::new().unwrap().block_on(log());
    std::thread::spawn(build).join().unwrap()
});

/// Writes the log's files to a directory of their own.
fn written(files: &Files) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        std::fs::write(directory.path().join(name), bytes).unwrap();
    }
    directory
}

/// The names of the log's segments, oldest first.
fn names() -> Vec<&'static String> {
    LOG.keys().filter(|name| *name != "head").collect()
}

/// Verifies a copy of the log in which one segment's bytes were edited.
fn after(index: usize, edit: impl FnOnce(&mut Vec<u8>)) -> Report {
    let mut files = LOG.clone();
    edit(files.get_mut(names()[index]).unwrap());
    verify(written(&files).path()).unwrap()
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_str().unwrap().to_owned()
}

fn line_of(bytes: &[u8], at: usize) -> u64 {
    1 + bytes[..at].iter().filter(|byte| **byte == b'\n').count() as u64
}

/// A segment's index and an offset in it.
fn places() -> impl Strategy<Value = (usize, usize)> {
    let lengths: Vec<_> = names().iter().map(|name| LOG[*name].len()).collect();
    assert!(lengths.len() > 2, "{lengths:?}");
    (0..lengths.len()).prop_flat_map(move |index| (Just(index), 0..lengths[index]))
}

fn original(index: usize) -> (String, Vec<u8>) {
    let name = names()[index];
    (name.clone(), LOG[name].clone())
}

#[test]
fn an_untouched_log_is_intact() {
    let report = verify(written(&LOG).path()).unwrap();
    assert!(report.is_intact(), "{report:?}");
    assert_eq!((report.changes, report.commits, report.unacknowledged_bytes), (12, 6, 0));
    assert_eq!(report.segments, names().len() as u64);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..Default::default() })]

    #[test]
    fn a_changed_byte_is_found_where_it_is((index, at) in places(), mask in 1_u8..) {
        let (file, bytes) = original(index);
        let report = after(index, |bytes| bytes[at] ^= mask);
        prop_assert!(!report.is_intact());
        let found = &report.findings[0];
        prop_assert_eq!((&found.file, found.line), (&file, line_of(&bytes, at)));
    }

    #[test]
    fn a_removed_byte_is_found_where_it_was((index, at) in places()) {
        let (file, bytes) = original(index);
        let report = after(index, |bytes| {
            bytes.remove(at);
        });
        prop_assert!(!report.is_intact());
        let found = &report.findings[0];
        prop_assert_eq!((&found.file, found.line), (&file, line_of(&bytes, at)));
    }

    #[test]
    fn an_inserted_byte_is_found((index, at) in places(), byte: u8) {
        let (file, bytes) = original(index);
        let report = after(index, |bytes| bytes.insert(at, byte));
        prop_assert!(!report.is_intact());
        let found = &report.findings[0];
        prop_assert_eq!(&found.file, &file);
        // A line break put before a line break ends the line where it ended.
        prop_assert!(found.line - line_of(&bytes, at) <= 1, "{:?}", found);
    }

    #[test]
    fn a_removed_stretch_is_found((index, at) in places(), length in 1_usize..5_000) {
        let report = after(index, |bytes| {
            let end = bytes.len().min(at + length);
            bytes.drain(at..end);
        });
        prop_assert!(!report.is_intact());
    }
}

#[test]
fn whole_lines_taken_out_or_exchanged_are_found() {
    for index in 0..names().len() {
        let (_, bytes) = original(index);
        let lines: Vec<_> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
        for line in 0..lines.len() {
            let mut fewer = lines.clone();
            fewer.remove(line);
            assert!(!after(index, |bytes| *bytes = fewer.concat()).is_intact());
            let mut exchanged = lines.clone();
            exchanged.swap(line, (line + 1) % lines.len());
            assert!(!after(index, |bytes| *bytes = exchanged.concat()).is_intact());
            let mut doubled = lines.clone();
            doubled.insert(line, lines[line]);
            let report = after(index, |bytes| *bytes = doubled.concat());
            // Behind the log's end it is what a crash may leave.
            assert!(!report.is_intact() || report.unacknowledged_bytes > 0);
        }
    }
}

#[tokio::test]
async fn a_removed_file_is_found_and_halts() {
    for name in LOG.keys() {
        let mut files = LOG.clone();
        files.remove(name);
        let robbed = written(&files);
        let report = verify(robbed.path()).unwrap();
        assert_eq!(&report.findings[0].file, name, "{report:?}");
        let error = refused(robbed.path(), small_segments()).await;
        assert_eq!(error.code(), Some("AUDIT_DAMAGED"), "{error}");
        assert!(error.remedy().is_some());
    }
}

#[tokio::test]
async fn a_changed_byte_in_the_newest_segment_halts() {
    let index = names().len() - 1;
    let (_, bytes) = original(index);
    for at in (0..bytes.len()).step_by(7) {
        let mut files = LOG.clone();
        files.get_mut(names()[index]).unwrap()[at] ^= 4;
        let tampered = written(&files);
        let error = refused(tampered.path(), small_segments()).await;
        assert_eq!(error.code(), Some("AUDIT_DAMAGED"), "byte {at}: {error}");
    }
}

#[tokio::test]
async fn a_log_written_anew_is_told_from_the_one_noted() {
    let original = written(&LOG);
    let noted = verify(original.path()).unwrap().head.unwrap();
    assert!(verify_since(original.path(), &noted).unwrap().is_intact());
    let mut world = World::new(small_segments()).await;
    for id in 0..7 {
        let events = vec![insert(&table("t"), origin(1, 0), id, "forged"); 2];
        world.apply(events).await.unwrap();
    }
    let forged = world.close();
    assert!(verify(forged.path()).unwrap().is_intact());
    let report = verify_since(forged.path(), &noted).unwrap();
    assert!(!report.is_intact(), "{report:?}");
}
