//! Copies the warehouse into a file that anyone may open.
//!
//! The file and its write-ahead log, read while nothing is written, are what a crash at this moment
//! would leave: DuckDB's recovery makes a whole database of them.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use duckdb::Connection;

use crate::error::{Error, Result, while_};
use crate::warehouse::Access;

const CHUNK: usize = 1 << 20;

/// Copies the warehouse to `target`, which appears whole or not at all. Called by the writer, so
/// that nothing is written meanwhile.
pub(crate) fn export(access: &Access, connection: &Connection, target: &Path) -> Result<()> {
    // Only to make the log short: with queries running it may be refused.
    drop(connection.execute_batch("CHECKPOINT"));
    let partial = beside(target, ".partial");
    let failed = |source| Error::File { doing: "copying", source };
    let copied = access.with_file(|file| copy(file, &partial));
    copied.unwrap_or_else(|| Err(io::ErrorKind::NotFound.into())).map_err(failed)?;
    let log = beside(&access.path, ".wal");
    if log.exists() {
        fs::copy(&log, beside(&partial, ".wal")).map_err(failed)?;
    }
    let settle = || -> duckdb::Result<()> {
        let copy = Connection::open(&partial)?;
        copy.execute_batch("CHECKPOINT")?;
        copy.close().map_err(|(_, error)| error)
    };
    settle().map_err(while_("settling a copy of"))?;
    File::open(&partial).and_then(|file| file.sync_all()).map_err(failed)?;
    fs::rename(&partial, target).map_err(failed)
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn copy(from: &File, to: &Path) -> io::Result<()> {
    let mut out = File::create(to)?;
    let mut buffer = vec![0; CHUNK];
    let mut offset = 0;
    loop {
        let count = from.read_at(&mut buffer, offset)?;
        let Some(read) = buffer.get(..count).filter(|read| !read.is_empty()) else {
            return out.flush();
        };
        out.write_all(read)?;
        offset += count as u64;
    }
}
