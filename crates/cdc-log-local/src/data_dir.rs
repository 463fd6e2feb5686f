//! The data directory as a whole: one process at a time, one pipeline for ever.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// A data directory that this process holds until the value is dropped, or the process ends in
/// whatever way: the system releases the lock.
///
/// # Files
/// - `lock`: locked while in use; holds the process id of the last user.
/// - `pipeline`: the identity of the pipeline whose directory it is, in one line.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    _lock: File,
}

impl DataDir {
    /// Takes the directory `path`, made if it does not exist, for `pipeline`. Without a pipeline,
    /// whose it is goes unchecked and unmarked.
    ///
    /// # Errors
    /// [`Error::Locked`] (fatal) while another holder lives, in this process or another;
    /// [`Error::Foreign`] (fatal) if another pipeline made it.
    pub fn claim(path: &Path, pipeline: Option<&str>) -> Result<Self> {
        fs::create_dir_all(path).map_err(io_error("create", path))?;
        let dir = Self { path: path.to_owned(), _lock: lock(path)? };
        if let Some(pipeline) = pipeline {
            dir.mark(pipeline)?;
        }
        Ok(dir)
    }

    /// Returns where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn mark(&self, pipeline: &str) -> Result<()> {
        let marker = self.path.join("pipeline");
        match fs::read_to_string(&marker) {
            Ok(found) if found.trim_end() == pipeline => Ok(()),
            Ok(found) => Err(Error::Foreign {
                dir: self.path.clone(),
                found: found.trim_end().to_owned(),
                expected: pipeline.to_owned(),
            }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                replace(&marker, format!("{pipeline}\n").as_bytes())
            }
            Err(error) => Err(io_error("read", &marker)(error)),
        }
    }
}

fn lock(dir: &Path) -> Result<File> {
    let path = dir.join("lock");
    let open = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
    let mut file = open.map_err(io_error("open", &path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut pid = String::new();
            let read = file.read_to_string(&mut pid);
            let pid = read.ok().map(|_| pid.trim_end().to_owned()).filter(|pid| !pid.is_empty());
            let pid = pid.unwrap_or_else(|| "?".to_owned());
            return Err(Error::Locked { dir: dir.to_owned(), pid });
        }
        Err(TryLockError::Error(error)) => return Err(io_error("lock", &path)(error)),
    }
    let pid = format!("{}\n", std::process::id());
    // A full disk is no reason to stay away: the lock holds, only its owner's name is missing.
    if let Err(error) = file.set_len(0).and_then(|()| file.write_all(pid.as_bytes())) {
        tracing::debug!(%error, "could not write the process id into the lock file");
    }
    Ok(file)
}

/// Writes a whole small file so that after a crash it is there in full or not at all.
pub(crate) fn replace(path: &Path, content: &[u8]) -> Result<()> {
    let new = path.with_extension("new");
    let write = || -> std::io::Result<()> {
        let mut file = File::create(&new)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&new, path)?;
        path.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())
    };
    write().map_err(io_error("write", path))
}

/// Says what was tried on which file; a full disk is a class of its own.
pub(crate) fn io_error(what: &'static str, path: &Path) -> impl Fn(std::io::Error) -> Error {
    let path = path.to_owned();
    move |cause| {
        if is_full(&cause) {
            let dir = path.parent().unwrap_or(&path).to_owned();
            return Error::DiskFull { dir, cause: Some(cause) };
        }
        Error::Io { what, path: path.clone(), cause }
    }
}

/// Whether the error says that there is no room.
pub(crate) fn is_full(error: &std::io::Error) -> bool {
    use std::io::ErrorKind;
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
}
