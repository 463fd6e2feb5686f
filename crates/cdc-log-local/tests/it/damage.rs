//! A flipped bit anywhere is an error or without effect: never other content, never a shorter log.

use std::fs;
use std::path::{Path, PathBuf};

use cdc_log_local::{Error, LocalLog};
use cdc_model::{LogRecord, Topic};
use cdc_pipeline::port::{Checkpoint, LogWriter};
use cdc_pipeline::{Classify, ErrorClass};

use crate::support::{batch, config, noise, open, read_from, writer};

async fn read_everything(
    dir: &Path,
    topic: &Topic,
) -> Result<(Vec<LogRecord>, Option<Checkpoint>), Error> {
    let log = LocalLog::open(dir, config())?;
    let records = read_from(&mut log.reader(), topic, 0).await?;
    let checkpoint = log.writer("p", "incarnation").open().await?;
    Ok((records, checkpoint))
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn flip(file: &Path, at: usize) {
    use std::os::unix::fs::FileExt;
    let file = fs::OpenOptions::new().read(true).write(true).open(file).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at as u64).unwrap();
    file.write_all_at(&[byte[0] ^ 0x10], at as u64).unwrap();
}

/// Flips a bit of `file` in copies of `dir`, at each of `places`; returns how often it was noticed.
async fn check_flips(
    dir: &Path,
    file: &Path,
    places: impl Iterator<Item = usize>,
    topic: &Topic,
) -> usize {
    let whole = read_everything(dir, topic).await.unwrap();
    let mut noticed = 0;
    for place in places {
        let damaged = tempfile::tempdir().unwrap();
        copy(dir, damaged.path());
        flip(&damaged.path().join(file), place);
        match read_everything(damaged.path(), topic).await {
            Ok(read) => assert!(read == whole, "byte {place} of {}", file.display()),
            Err(error) => {
                let class = (error.class(), error.code());
                assert_eq!(class, (ErrorClass::Fatal, Some("LOG_CORRUPT")), "{place}: {error}");
                let remedy = error.remedy().unwrap();
                assert!(remedy.contains(&damaged.path().display().to_string()), "{remedy}");
                noticed += 1;
            }
        }
    }
    noticed
}

/// Every third byte of a small journal: tags, lengths, checksums and payload of each append.
#[tokio::test]
async fn a_damaged_journal_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let topic = Topic::new("t");
    let log = open(dir.path());
    let mut appender = writer(&log).await;
    for sequence in 1..=3 {
        appender.append(batch(sequence, noise(&topic, sequence, 1, 20))).await.unwrap();
    }
    drop((appender, log));
    let file = Path::new("log/store/0.jnl");
    let journal = fs::read(dir.path().join(file)).unwrap();
    let used = journal.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    // A file of 64 MB, most of it a hole, is slow to copy: keep what is used and a little more.
    let sized = fs::OpenOptions::new().write(true).open(dir.path().join(file)).unwrap();
    sized.set_len(used as u64 + 4_096).unwrap();
    let noticed = check_flips(dir.path(), file, (0..used).step_by(3), &topic).await;
    assert!(noticed > used / 6, "{noticed} of {used}");
}

#[tokio::test]
async fn damaged_small_files_are_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let topic = Topic::new("t");
    let log = open(dir.path());
    writer(&log).await.append(batch(1, noise(&topic, 1, 1, 20))).await.unwrap();
    drop(log);
    let journal = dir.path().join("log/store/0.jnl");
    fs::OpenOptions::new().write(true).open(journal).unwrap().set_len(8_192).unwrap();
    assert_eq!(check_flips(dir.path(), Path::new("log/committed"), 0..12, &topic).await, 12);
    for missing in ["log/format", "log/committed", "log/store/0.jnl", "log/store/keyspaces"] {
        let damaged = tempfile::tempdir().unwrap();
        copy(dir.path(), damaged.path());
        let path = damaged.path().join(missing);
        if path.is_dir() {
            fs::remove_dir_all(path).unwrap();
        } else {
            fs::remove_file(path).unwrap();
        }
        let error = read_everything(damaged.path(), &topic).await.unwrap_err();
        assert_eq!(error.code(), Some("LOG_CORRUPT"), "{missing}: {error}");
    }
}

fn tables(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(tables(&path));
        } else if path.parent().unwrap().ends_with("tables") {
            found.push(path);
        }
    }
    found
}

/// Enough data that most of it has left the journal.
#[tokio::test]
async fn a_damaged_table_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let topic = Topic::new("t");
    let log =
        LocalLog::open(dir.path(), cdc_log_local::LocalLogConfig { fsync: false, ..config() });
    let log = log.unwrap();
    let mut appender = writer(&log).await;
    for sequence in 1..=24 {
        appender.append(batch(sequence, noise(&topic, sequence, 10, 100_000))).await.unwrap();
    }
    drop((appender, log));
    let table = tables(dir.path()).into_iter().max_by_key(|t| fs::metadata(t).unwrap().len());
    let table = table.expect("some of it is in a table");
    let len = usize::try_from(fs::metadata(&table).unwrap().len()).unwrap();
    let file = table.strip_prefix(dir.path()).unwrap();
    let places = (1..=3).map(|n| len * n / 4).chain([0, len - 1]);
    let noticed = check_flips(dir.path(), file, places, &topic).await;
    assert!(noticed >= 3, "{noticed} of 5");
}
