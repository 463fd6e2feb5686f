//! The open log: one per directory and process, shared by every handle to it.
//!
//! A lock on a file in the directory keeps other processes out. Within this one, opening a
//! directory again gives another handle to the same log, and epochs tell its writers apart.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};

use cdc_pipeline::port::{Epoch, Generation, ParkedRecord, SettleBatch, SinkBatch, SinkState};

use crate::config::AuditConfig;
use crate::error::{Error, Result, while_};
use crate::journal::Journal;
use crate::state::State;

static OPEN: Mutex<BTreeMap<PathBuf, Weak<Log>>> = Mutex::new(BTreeMap::new());
static CLOSED: Condvar = Condvar::new();

/// An open log.
#[derive(Debug)]
pub(crate) struct Log {
    pub(crate) dir: PathBuf,
    config: AuditConfig,
    writer: Mutex<Writer>,
    lock: Option<File>,
}

#[derive(Debug)]
struct Writer {
    /// None after every error: the files tell what came of it.
    journal: Option<Journal>,
    is_resumed: bool,
}

impl Log {
    /// Opens `dir`, or joins whoever in this process has. Blocks.
    pub(crate) fn open(dir: &Path, config: AuditConfig) -> Result<Arc<Self>> {
        std::fs::create_dir_all(dir).map_err(while_("making", dir))?;
        let dir = dir.canonicalize().map_err(while_("finding", dir))?;
        let mut open = lock(&OPEN);
        loop {
            match open.get(&dir).map(Weak::upgrade) {
                None => break,
                Some(Some(log)) => return log.joined_by(&config),
                // Its last handle is gone, and it is about to close.
                Some(None) => open = CLOSED.wait(open).unwrap_or_else(PoisonError::into_inner),
            }
        }
        let lock = take_lock(&dir)?;
        let journal = Journal::open(&dir, &config)?;
        let writer = Mutex::new(Writer { journal: Some(journal), is_resumed: false });
        let log = Arc::new(Self { dir: dir.clone(), config, writer, lock: Some(lock) });
        open.insert(dir, Arc::downgrade(&log));
        Ok(log)
    }

    fn joined_by(self: Arc<Self>, config: &AuditConfig) -> Result<Arc<Self>> {
        let found = &self.config.pipeline;
        if *found == config.pipeline {
            return Ok(self);
        }
        let (found, wanted) = (found.clone(), config.pipeline.clone());
        Err(Error::Foreign { found, wanted })
    }

    pub(crate) fn resume(&self) -> Result<SinkState> {
        let mut writer = lock(&self.writer);
        writer.is_resumed = false;
        let mut journal = match writer.journal.take() {
            Some(journal) => journal,
            None => Journal::open(&self.dir, &self.config)?,
        };
        let state = journal.take_over()?;
        *writer = Writer { journal: Some(journal), is_resumed: true };
        Ok(state)
    }

    pub(crate) fn apply(&self, batch: &SinkBatch) -> Result<()> {
        let check = |journal: &Journal| check(journal.state(), batch);
        self.write(check, |journal| journal.record(batch))
    }

    pub(crate) fn settle(&self, batch: &SettleBatch) -> Result<()> {
        let check = |journal: &Journal| {
            check_writer(journal.state(), batch.epoch, batch.generation).map(|()| true)
        };
        self.write(check, |journal| journal.settle(batch))
    }

    pub(crate) fn parked(&self, limit: usize) -> Result<(Vec<ParkedRecord>, u64)> {
        let writer = lock(&self.writer);
        let journal = writer.journal.as_ref().filter(|_| writer.is_resumed);
        journal.ok_or(Error::NotResumed)?.parked(limit)
    }

    /// Writes if `check` says that there is something to write.
    fn write(
        &self,
        check: impl FnOnce(&Journal) -> Result<bool>,
        write: impl FnOnce(&mut Journal) -> Result<()>,
    ) -> Result<()> {
        let mut writer = lock(&self.writer);
        let is_resumed = writer.is_resumed;
        let journal = writer.journal.take().filter(|_| is_resumed);
        let mut journal = journal.ok_or(Error::NotResumed)?;
        let outcome = check(&journal);
        if !matches!(outcome, Ok(true)) {
            writer.journal = Some(journal);
            return outcome.map(drop);
        }
        write(&mut journal)?;
        writer.journal = Some(journal);
        Ok(())
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        lock(&self.writer).journal = None;
        self.lock = None;
        lock(&OPEN).remove(&self.dir);
        CLOSED.notify_all();
    }
}

/// Refuses a batch that is not this log's next. Returns whether anything of it is new.
fn check(state: &State, batch: &SinkBatch) -> Result<bool> {
    check_writer(state, batch.epoch, batch.generation)?;
    let mut is_new = false;
    for range in &batch.ranges {
        let Some((id, held)) = state.offsets.get(&range.source) else {
            is_new = true;
            continue;
        };
        let partition = || range.source.clone();
        if *id != range.topic_id {
            let (held, found) = (id.clone(), range.topic_id.clone());
            return Err(Error::TopicRecreated { partition: partition(), held, found });
        }
        if range.first > *held {
            let (held, first) = (*held, range.first);
            return Err(Error::OffsetGap { partition: partition(), held, first });
        }
        is_new |= range.next > *held;
    }
    Ok(is_new)
}

/// Refuses whoever is not this log's writer.
fn check_writer(state: &State, epoch: Epoch, wanted: Generation) -> Result<()> {
    if epoch != state.epoch {
        return Err(Error::Fenced { epoch, newest: state.epoch });
    }
    if wanted != state.generation {
        return Err(Error::WrongGeneration { wanted, held: state.generation });
    }
    Ok(())
}

fn take_lock(dir: &Path) -> Result<File> {
    let path = dir.join("lock");
    let file = OpenOptions::new().write(true).create(true).truncate(false).open(&path);
    let file = file.map_err(while_("opening", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::Locked { dir: dir.to_owned() }),
        Err(TryLockError::Error(source)) => Err(while_("locking", &path)(source)),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
