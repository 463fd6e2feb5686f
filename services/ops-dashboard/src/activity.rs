//! The activity log: who told what to do what, when, and what came of it.
//!
//! One line of JSON before a command is given, and one with its outcome after it: a command whose
//! outcome is missing was cut off by a crash. A command that cannot be written down is not given.
//! The file is only appended to; at 16 MiB it is renamed to `activity.1.jsonl` and begun anew.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::fleet::lock;

/// Entries kept in memory.
const ENTRIES_MAX: usize = 1_000;

const FILE_BYTES_MAX: u64 = 16 << 20;

/// What of a file is read at the start.
const READ_BYTES_MAX: u64 = 1 << 20;

/// A command.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) id: u64,
    /// Unix time.
    pub(crate) at_ms: i64,
    /// The address it came from.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) who: String,
    /// A verb, such as pause.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) action: String,
    /// What it was told to.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) target: String,
    /// How many records it was to touch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) records: Option<u64>,
    /// What came of it; none while it is under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) outcome: Option<String>,
    /// Whether it was refused.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) is_refused: bool,
}

/// The log.
#[derive(Debug)]
pub(crate) struct Activity {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    entries: VecDeque<Entry>,
    next_id: u64,
    file: Option<(PathBuf, File)>,
}

impl Activity {
    /// Opens the log in `dir`, which is made if it is not there, or one in memory.
    pub(crate) fn open(dir: Option<&Path>) -> Result<Self> {
        let mut inner = Inner { entries: VecDeque::new(), next_id: 1, file: None };
        if let Some(dir) = dir {
            let path = dir.join("activity.jsonl");
            let failed = |source| Error::Activity { path: path.clone(), source };
            std::fs::create_dir_all(dir).map_err(failed)?;
            for line in last_lines(&path).map_err(failed)?.lines() {
                if let Ok(entry) = serde_json::from_str(line) {
                    inner.take(entry);
                }
            }
            let file = append(&path).map_err(failed)?;
            inner.file = Some((path, file));
        }
        Ok(Self { inner: Mutex::new(inner) })
    }

    /// Writes down that a command is about to be given; returns its number.
    pub(crate) fn begin(&self, entry: Entry) -> io::Result<u64> {
        let mut inner = lock(&self.inner);
        let id = inner.next_id;
        let entry = Entry { id, ..entry };
        inner.write(&entry)?;
        inner.take(entry);
        Ok(id)
    }

    /// Writes down what came of it.
    pub(crate) fn end(&self, id: u64, at_ms: i64, outcome: String, is_refused: bool) {
        let outcome = Some(outcome);
        let entry = Entry { id, at_ms, outcome, is_refused, ..Entry::default() };
        let mut inner = lock(&self.inner);
        if let Err(error) = inner.write(&entry) {
            tracing::error!(error = %error, id, "the outcome of a command was not written down");
        }
        inner.take(entry);
    }

    /// Returns the entries, newest first.
    pub(crate) fn entries(&self) -> Vec<Entry> {
        lock(&self.inner).entries.iter().rev().cloned().collect()
    }

    /// Returns one entry.
    pub(crate) fn entry(&self, id: u64) -> Option<Entry> {
        lock(&self.inner).entries.iter().rev().find(|entry| entry.id == id).cloned()
    }
}

impl Inner {
    fn take(&mut self, entry: Entry) {
        self.next_id = self.next_id.max(entry.id + 1);
        if entry.action.is_empty() {
            let begun = self.entries.iter_mut().rev().find(|begun| begun.id == entry.id);
            if let Some(begun) = begun {
                (begun.outcome, begun.is_refused) = (entry.outcome, entry.is_refused);
            }
            return;
        }
        self.entries.push_back(entry);
        if self.entries.len() > ENTRIES_MAX {
            self.entries.pop_front();
        }
    }

    fn write(&mut self, entry: &Entry) -> io::Result<()> {
        let Some((path, file)) = &mut self.file else { return Ok(()) };
        if file.metadata()?.len() > FILE_BYTES_MAX {
            std::fs::rename(&*path, path.with_file_name("activity.1.jsonl"))?;
            *file = append(path)?;
        }
        let mut line = serde_json::to_vec(entry)?;
        line.push(b'\n');
        file.write_all(&line)?;
        file.sync_data()
    }
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).open(path)
}

fn last_lines(path: &Path) -> io::Result<String> {
    let mut file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(String::new()),
        opened => opened?,
    };
    let start = file.metadata()?.len().saturating_sub(READ_BYTES_MAX);
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_and_its_outcome_survive_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let entry = |action: &str| Entry {
            at_ms: 5,
            who: "127.0.0.1".to_owned(),
            action: action.to_owned(),
            target: "duckdb".to_owned(),
            records: Some(3),
            ..Entry::default()
        };
        let log = Activity::open(Some(dir.path())).unwrap();
        let first = log.begin(entry("pause")).unwrap();
        log.end(first, 6, "done".to_owned(), false);
        log.begin(entry("resume")).unwrap();
        let expected = log.entries();
        drop(log);

        let log = Activity::open(Some(dir.path())).unwrap();
        assert_eq!(log.entries(), expected);
        let told: Vec<_> =
            expected.iter().map(|e| (e.action.as_str(), e.outcome.as_deref())).collect();
        assert_eq!(told, [("resume", None), ("pause", Some("done"))]);
        assert_eq!(log.begin(entry("pause")).unwrap(), 3);
    }

    #[test]
    fn memory_is_bounded() {
        let log = Activity::open(None).unwrap();
        for _ in 0..ENTRIES_MAX + 5 {
            log.begin(Entry { action: "pause".to_owned(), ..Entry::default() }).unwrap();
        }
        assert_eq!(log.entries().len(), ENTRIES_MAX);
        assert!(log.entry(1).is_none() && log.entry(6).is_some());
    }
}
