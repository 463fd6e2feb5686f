//! The open index: one per directory and process, shared by every handle to it.
//!
//! A lock on a file in the directory keeps other processes out. Within this one, opening a
//! directory again gives another handle to the same index, and epochs tell its writers apart.
//!
//! # How a commit becomes durable
//! tantivy writes and syncs new segments, then replaces `meta.json`, which names them and carries
//! the payload, by a rename. It does not sync the directory after the rename; we do, before `Ok`:
//! without it a power failure could bring the commit before back. Whatever fails on the way is an
//! unknown outcome: the writer is dropped, and the next `resume` reads `meta.json`.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock, Weak, mpsc};
use std::time::Duration;

use cdc_pipeline::port::{Epoch, ParkedRecord, SettleBatch, SinkBatch, SinkState};
use tantivy::directory::MmapDirectory;
use tantivy::indexer::{IndexWriterOptions, LogMergePolicy};
use tantivy::{Index, IndexReader, IndexWriter, ReloadPolicy, TantivyError};
use tokio::sync::Semaphore;

use crate::apply::{Plan, plan, plan_settling};
use crate::config::SearchConfig;
use crate::document::{Fields, Step, schema};
use crate::error::{Error, Result, while_, while_file};
use crate::layout::Layout;
use crate::state::State;
use crate::view::{Layouts, View};

const OPENING: &str = "opening";
const WRITING: &str = "writing";

/// Blocks of documents kept unpacked, of 16 KiB each.
const CACHED_BLOCKS: usize = 64;

/// How long closing waits for a merge that is under way.
const CLOSE_WAIT: Duration = Duration::from_secs(1);

static OPEN: Mutex<BTreeMap<PathBuf, Weak<SearchIndex>>> = Mutex::new(BTreeMap::new());
static CLOSED: Condvar = Condvar::new();

/// An open index.
pub(crate) struct SearchIndex {
    pub(crate) dir: PathBuf,
    config: SearchConfig,
    index: Index,
    reader: IndexReader,
    fields: Fields,
    writer: Mutex<Writer>,
    view: RwLock<Arc<View>>,
    /// Queries that may still begin.
    pub(crate) slots: Arc<Semaphore>,
    lock: Option<File>,
}

/// Both none after every error: the files tell what came of it.
#[derive(Default)]
struct Writer {
    tantivy: Option<IndexWriter>,
    /// None until resumed.
    state: Option<State>,
}

impl fmt::Debug for SearchIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SearchIndex").field("dir", &self.dir).finish_non_exhaustive()
    }
}

impl SearchIndex {
    /// Opens `dir`, or joins whoever in this process has. Blocks.
    pub(crate) fn open(dir: &Path, config: SearchConfig) -> Result<Arc<Self>> {
        std::fs::create_dir_all(dir).map_err(while_file("making", dir))?;
        let dir = dir.canonicalize().map_err(while_file("finding", dir))?;
        let mut open = lock(&OPEN);
        loop {
            match open.get(&dir).map(Weak::upgrade) {
                None => break,
                Some(Some(index)) => {
                    // If this is the last handle by now, closing takes the lock.
                    drop(open);
                    return index.joined_by(&config);
                }
                // Its last handle is gone, and it is about to close.
                Some(None) => open = CLOSED.wait(open).unwrap_or_else(PoisonError::into_inner),
            }
        }
        let index = Arc::new(Self::start(dir.clone(), config)?);
        open.insert(dir, Arc::downgrade(&index));
        Ok(index)
    }

    fn joined_by(self: Arc<Self>, config: &SearchConfig) -> Result<Arc<Self>> {
        let found = &self.config.pipeline;
        if *found == config.pipeline {
            return Ok(self);
        }
        let (found, wanted) = (found.clone(), config.pipeline.clone());
        Err(Error::Foreign { found, wanted })
    }

    fn start(dir: PathBuf, config: SearchConfig) -> Result<Self> {
        let lock = take_lock(&dir)?;
        let (schema, fields) = schema();
        let directory = MmapDirectory::open(&dir).map_err(TantivyError::from);
        let directory = directory.map_err(while_(OPENING))?;
        let index = Index::open_or_create(directory, schema).map_err(while_(OPENING))?;
        let payload = index.load_metas().map_err(while_(OPENING))?.payload;
        State::read(payload.as_deref(), &config.pipeline)?;
        let reader = index
            .reader_builder()
            .reload_policy(ReloadPolicy::Manual)
            .doc_store_cache_num_blocks(CACHED_BLOCKS)
            .try_into()
            .map_err(while_(OPENING))?;
        let view = view(&reader, fields)?;
        Ok(Self {
            dir,
            index,
            reader,
            fields,
            writer: Mutex::default(),
            view: RwLock::new(Arc::new(view)),
            slots: Arc::new(Semaphore::new(config.queries_max.max(1))),
            config,
            lock: Some(lock),
        })
    }

    /// Returns the index as of the last commit.
    pub(crate) fn view(&self) -> Arc<View> {
        Arc::clone(&self.view.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn show(&self, view: View) {
        *self.view.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(view);
    }

    pub(crate) fn resume(&self) -> Result<SinkState> {
        let mut writer = lock(&self.writer);
        let tantivy = std::mem::take(&mut *writer).tantivy;
        let mut tantivy = match tantivy {
            Some(tantivy) => tantivy,
            None => self.start_writer()?,
        };
        self.reader.reload().map_err(while_("reloading"))?;
        let view = view(&self.reader, self.fields)?;
        let payload = self.index.load_metas().map_err(while_("reading"))?.payload;
        let mut state = State::read(payload.as_deref(), &self.config.pipeline)?;
        view.bodies("parked", |body| state.take_parked(body))?;
        state.epoch = Epoch(state.epoch.0 + 1);
        let layouts = Arc::clone(&view.layouts);
        self.show(view);
        self.commit(&mut tantivy, &state, layouts)?;
        let resumed = state.sink_state();
        *writer = Writer { tantivy: Some(tantivy), state: Some(state) };
        Ok(resumed)
    }

    fn start_writer(&self) -> Result<IndexWriter> {
        let options = IndexWriterOptions::builder()
            .num_worker_threads(1)
            .memory_budget_per_thread(usize::from(self.config.memory_mib).max(15) << 20)
            .num_merge_threads(1)
            .build();
        let writer = self.index.writer_with_options(options).map_err(|error| match error {
            TantivyError::LockFailure(..) => Error::Locked { dir: self.dir.clone() },
            error => while_(OPENING)(error),
        })?;
        let mut policy = LogMergePolicy::default();
        // A segment that is half deleted is written anew: rows that change leave their old versions.
        policy.set_del_docs_ratio_before_merge(0.5);
        writer.set_merge_policy(Box::new(policy));
        Ok(writer)
    }

    pub(crate) fn apply(&self, batch: &SinkBatch) -> Result<()> {
        self.write(|view, state| {
            let is_new = state.check(batch)?;
            is_new.then(|| plan(view, state, batch)).transpose()
        })
    }

    pub(crate) fn settle(&self, batch: &SettleBatch) -> Result<()> {
        self.write(|view, state| {
            state.check_writer(batch.epoch, batch.generation)?;
            let plan = plan_settling(view, state, batch)?;
            Ok((!plan.steps.is_empty()).then_some(plan))
        })
    }

    pub(crate) fn parked(&self, limit: usize) -> Result<(Vec<ParkedRecord>, u64)> {
        let writer = lock(&self.writer);
        let state = writer.state.as_ref().ok_or(Error::NotResumed)?;
        let parked = self.view().parked(state.parked.keys().take(limit))?;
        Ok((parked, state.parked.len() as u64))
    }

    /// Carries out what `decide` plans, if anything, as one commit.
    fn write(&self, decide: impl FnOnce(&View, &State) -> Result<Option<Plan>>) -> Result<()> {
        let mut writer = lock(&self.writer);
        let Some(state) = &writer.state else { return Err(Error::NotResumed) };
        let Some(plan) = decide(&self.view(), state)? else { return Ok(()) };
        let tantivy = std::mem::take(&mut *writer).tantivy;
        let mut tantivy = tantivy.ok_or(Error::NotResumed)?;
        for step in plan.steps {
            match step {
                Step::Remove(term) => drop(tantivy.delete_term(term)),
                Step::Add(document) => {
                    tantivy.add_document(document).map_err(while_(WRITING))?;
                }
            }
        }
        self.commit(&mut tantivy, &plan.state, plan.layouts)?;
        *writer = Writer { tantivy: Some(tantivy), state: Some(plan.state) };
        Ok(())
    }

    /// Makes all steps so far durable together with `state`, and shows them.
    fn commit(
        &self,
        tantivy: &mut IndexWriter,
        state: &State,
        layouts: Arc<Layouts>,
    ) -> Result<()> {
        let failed = while_("committing to");
        let mut prepared = tantivy.prepare_commit().map_err(&failed)?;
        prepared.set_payload(&state.payload(&self.config.pipeline));
        prepared.commit().map_err(&failed)?;
        let synced = File::open(&self.dir).and_then(|dir| dir.sync_all());
        synced.map_err(while_file("syncing", &self.dir))?;
        self.reader.reload().map_err(while_("reloading"))?;
        self.show(View { searcher: self.reader.searcher(), fields: self.fields, layouts });
        Ok(())
    }
}

impl Drop for SearchIndex {
    /// Waits for a merge of segments that is under way, though not for a long one: that ends in the
    /// background, and only then may the index be opened again.
    fn drop(&mut self) {
        let closing = Closing { dir: self.dir.clone(), lock: self.lock.take() };
        let Some(tantivy) = std::mem::take(&mut *lock(&self.writer)).tantivy else { return };
        let (closed, is_closed) = mpsc::channel::<()>();
        let close = move || {
            // A merge that failed has changed nothing.
            drop(tantivy.wait_merging_threads());
            drop((closing, closed));
        };
        if let Ok(_thread) = std::thread::Builder::new().name("search-close".into()).spawn(close) {
            // An error says that it is done, or that it takes longer.
            _ = is_closed.recv_timeout(CLOSE_WAIT);
        }
    }
}

/// An index that is about to close; with it, others may open the directory.
struct Closing {
    dir: PathBuf,
    lock: Option<File>,
}

impl Drop for Closing {
    fn drop(&mut self) {
        self.lock = None;
        lock(&OPEN).remove(&self.dir);
        CLOSED.notify_all();
    }
}

/// Reads the newest commit that `reader` has loaded.
fn view(reader: &IndexReader, fields: Fields) -> Result<View> {
    let mut view = View { searcher: reader.searcher(), fields, layouts: Arc::default() };
    let mut layouts = Layouts::new();
    view.bodies("table", |body| {
        let layout = Layout::from_json(body).ok_or(Error::Corrupt { source: None })?;
        layouts.insert(layout.topic.clone(), layout);
        Ok(())
    })?;
    view.layouts = Arc::new(layouts);
    Ok(view)
}

fn take_lock(dir: &Path) -> Result<File> {
    let path = dir.join("penstock.lock");
    let file = OpenOptions::new().write(true).create(true).truncate(false).open(&path);
    let file = file.map_err(while_file("opening", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::Locked { dir: dir.to_owned() }),
        Err(TryLockError::Error(source)) => Err(while_file("locking", &path)(source)),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
