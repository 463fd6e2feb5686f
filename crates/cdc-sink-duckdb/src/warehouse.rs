//! The open file: one DuckDB instance per file and process, shared by every handle to it.
//!
//! DuckDB's lock on the file keeps other processes out, and nothing within this one: two instances
//! of one file in a process would destroy it. So a list of open files is kept; opening a file again
//! gives another handle to the same instance, and epochs tell its writers apart.
//!
//! That lock is also lost as soon as this process closes any descriptor of the file. The one that
//! exports read from is therefore opened after DuckDB's and closed after it.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock, Weak};
use std::thread::JoinHandle;

use duckdb::{Config, Connection, InterruptHandle};
use tokio::sync::{Semaphore, mpsc};

use crate::catalog;
use crate::config::DuckDbConfig;
use crate::error::{Cause, Error, Result, while_};
use crate::worker::{Command, Worker};

static OPEN: Mutex<BTreeMap<PathBuf, Weak<Warehouse>>> = Mutex::new(BTreeMap::new());
static CLOSED: Condvar = Condvar::new();

/// An open warehouse and the thread that writes to it.
#[derive(Debug)]
pub(crate) struct Warehouse {
    pub(crate) access: Arc<Access>,
    commands: Option<mpsc::Sender<Command>>,
    thread: Option<JoinHandle<()>>,
}

impl Warehouse {
    /// Opens `path`, or joins whoever in this process has. Blocks.
    pub(crate) fn open(path: &Path, config: DuckDbConfig) -> Result<Arc<Self>> {
        let path = canonical(path)?;
        let mut open = lock(&OPEN);
        loop {
            match open.get(&path).map(Weak::upgrade) {
                None => break,
                Some(Some(warehouse)) => return warehouse.joined_by(&config),
                // Its last handle is gone, and it is about to close.
                Some(None) => open = CLOSED.wait(open).unwrap_or_else(PoisonError::into_inner),
            }
        }
        let warehouse = Arc::new(Self::start(path.clone(), config)?);
        open.insert(path, Arc::downgrade(&warehouse));
        Ok(warehouse)
    }

    fn joined_by(self: Arc<Self>, config: &DuckDbConfig) -> Result<Arc<Self>> {
        let found = &self.access.config.pipeline;
        if *found == config.pipeline {
            return Ok(self);
        }
        let (found, wanted) = (found.clone(), config.pipeline.clone());
        Err(Error::Foreign { found, wanted })
    }

    fn start(path: PathBuf, config: DuckDbConfig) -> Result<Self> {
        let access = Arc::new(Access {
            slots: Arc::new(Semaphore::new(config.queries_max.max(1))),
            path,
            config,
            instance: RwLock::new(None),
            running: Mutex::default(),
        });
        let connection = access.open()?;
        let (commands, receiver) = mpsc::channel(1);
        let worker = Worker::new(Arc::clone(&access), connection);
        let thread = std::thread::Builder::new()
            .name("duckdb-writer".to_owned())
            .spawn(move || worker.run(receiver))
            .map_err(|source| Error::File { doing: "starting the writer of", source })?;
        Ok(Self { access, commands: Some(commands), thread: Some(thread) })
    }

    /// Returns the way to the writing thread; `None` only while closing.
    pub(crate) fn commands(&self) -> Option<&mpsc::Sender<Command>> {
        self.commands.as_ref()
    }
}

impl Drop for Warehouse {
    /// Waits for what is being applied, then closes the file.
    fn drop(&mut self) {
        self.commands = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the warehouse's writer panicked");
        }
        self.access.close();
        lock(&OPEN).remove(&self.access.path);
        CLOSED.notify_all();
    }
}

/// The file's one name: two names for it must not become two instances.
fn canonical(path: &Path) -> Result<PathBuf> {
    let failed = |source| Error::File { doing: "finding", source };
    if path.exists() {
        return path.canonicalize().map_err(failed);
    }
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let name = path.file_name().ok_or_else(|| failed(std::io::ErrorKind::InvalidInput.into()))?;
    Ok(parent.canonicalize().map_err(failed)?.join(name))
}

/// What writing thread, queries and export share.
pub(crate) struct Access {
    pub(crate) path: PathBuf,
    pub(crate) config: DuckDbConfig,
    /// Queries that may still begin.
    pub(crate) slots: Arc<Semaphore>,
    /// Held for reading by each query, for writing while the file is opened or closed.
    instance: RwLock<Option<Instance>>,
    running: Mutex<(u64, BTreeMap<u64, Arc<InterruptHandle>>)>,
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access").field("path", &self.path).finish_non_exhaustive()
    }
}

/// Fields are dropped in this order.
#[derive(Debug)]
struct Instance {
    root: Mutex<Connection>,
    file: File,
}

impl Access {
    /// Opens the file, and returns the writer's connection.
    pub(crate) fn open(&self) -> Result<Connection> {
        let mut instance = self.instance.write().unwrap_or_else(PoisonError::into_inner);
        let root = connect(&self.path, &self.config).map_err(opening)?;
        let file =
            File::open(&self.path).map_err(|source| Error::File { doing: "opening", source })?;
        let writer = root.try_clone().map_err(opening)?;
        match catalog::prepare(&writer, &self.config.pipeline) {
            Ok(()) => {}
            Err(Error::DuckDb { source, .. }) => return Err(classified(source)),
            Err(error) => return Err(error),
        }
        *instance = Some(Instance { root: Mutex::new(root), file });
        Ok(writer)
    }

    /// Ends all queries and closes the file. The writer has dropped its connection before.
    pub(crate) fn close(&self) {
        for handle in lock(&self.running).1.values() {
            handle.interrupt();
        }
        *self.instance.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Runs `query` on a connection of its own; `started` gets what can interrupt it. Blocks.
    pub(crate) fn read<T>(
        &self,
        started: impl FnOnce(Arc<InterruptHandle>),
        query: impl FnOnce(&Connection) -> T,
    ) -> Result<T> {
        let instance = self.instance.read().unwrap_or_else(PoisonError::into_inner);
        let gone = || Error::File { doing: "reading", source: std::io::ErrorKind::NotFound.into() };
        let root = &instance.as_ref().ok_or_else(gone)?.root;
        let connection = lock(root).try_clone().map_err(while_("connecting to"))?;
        let handle = connection.interrupt_handle();
        let number = {
            let mut running = lock(&self.running);
            running.0 += 1;
            let number = running.0;
            running.1.insert(number, Arc::clone(&handle));
            number
        };
        started(handle);
        let result = query(&connection);
        lock(&self.running).1.remove(&number);
        Ok(result)
    }

    /// Gives `read` the open file.
    pub(crate) fn with_file<T>(&self, read: impl FnOnce(&File) -> T) -> Option<T> {
        let instance = self.instance.read().unwrap_or_else(PoisonError::into_inner);
        instance.as_ref().map(|instance| read(&instance.file))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn connect(path: &Path, config: &DuckDbConfig) -> duckdb::Result<Connection> {
    let config = Config::default()
        .max_memory(&format!("{}MiB", config.memory_limit_mib.max(64)))?
        .threads(config.threads.max(1).into())?
        .with("checkpoint_threshold", format!("{}MiB", config.checkpoint_mib.max(1)))?
        .with("autoinstall_known_extensions", "false")?
        .enable_autoload_extension(false)?
        .enable_external_access(false)?
        .with("lock_configuration", "true")?;
    Connection::open_with_flags(path, config)
}

fn opening(error: duckdb::Error) -> Error {
    classified(error.into())
}

/// Tells apart why a file could not be opened. DuckDB reports all of it as one kind, so that its
/// words decide; words not known here leave the error as it is, to be tried again.
fn classified(source: Cause) -> Error {
    let detail = source.detail();
    if detail.starts_with("Could not set lock on file") {
        let holder = detail.split_once("(PID ").and_then(|(_, rest)| rest.split(')').next());
        return Error::Locked { holder: holder.and_then(|pid| pid.parse().ok()), source };
    }
    let damage = ["not a valid DuckDB", "Corrupt", "corrupt", "checksum", "replaying WAL"];
    let is_damaged = matches!(source.kind(), "Serialization Error" | "INTERNAL Error")
        || damage.iter().any(|words| detail.contains(words));
    if is_damaged { Error::Corrupt { source } } else { Error::DuckDb { doing: "opening", source } }
}
