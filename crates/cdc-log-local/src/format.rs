//! The files beside the store: `format`, which names the log, and `committed`, its witness.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use uuid::Uuid;

use crate::data_dir::{io_error, replace};
use crate::error::{Error, Result};
use crate::store::{Store, corrupt};
use crate::witness::Witness;

/// First line of the file `format`.
const FORMAT: &str = "penstock-log-1";

/// Returns the log's uuid, from the file `format`; makes a new log if there is none.
pub(crate) fn open_format(dir: &Path) -> Result<String> {
    fs::create_dir_all(dir).map_err(io_error("create", dir))?;
    let path = dir.join("format");
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            if dir.join("store").exists() {
                return Err(corrupt(dir, "the file format is missing"));
            }
            Witness::create(&dir.join("committed"))?;
            let text = format!("{FORMAT}\n{}\n", Uuid::new_v4());
            replace(&path, text.as_bytes())?;
            text
        }
        Err(error) if error.kind() == ErrorKind::InvalidData => String::new(),
        Err(error) => return Err(io_error("read", &path)(error)),
    };
    let mut lines = text.lines();
    let format = lines.next().unwrap_or_default();
    if format != FORMAT {
        let (dir, found) = (dir.to_owned(), format.to_owned());
        return Err(Error::Format { dir, found, supported: FORMAT });
    }
    let uuid = lines.next().and_then(|line| Uuid::parse_str(line).ok());
    let uuid = uuid.ok_or_else(|| corrupt(dir, "the file format names no log"))?;
    Ok(uuid.to_string())
}

/// Opens the store and checks that nothing it ever held is missing.
pub(crate) fn open_store(dir: &Path, witness: &Witness) -> Result<Store> {
    let expected = witness.read()?;
    let expected = expected.ok_or_else(|| corrupt(dir, "the file committed makes no sense"))?;
    let store = Store::open(dir)?;
    let found = store.sum();
    if found < expected {
        let what = format!("appends are missing from its end ({} of {expected})", expected - found);
        return Err(corrupt(dir, &what));
    }
    Ok(store)
}

/// Returns what the files under `dir` take on disk.
pub(crate) fn disk_bytes(dir: &Path) -> std::io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        // Files may vanish while the store tidies up.
        let Ok(meta) = entry.metadata() else { continue };
        bytes += meta.blocks() * 512;
        if meta.is_dir() {
            bytes += disk_bytes(&entry.path()).unwrap_or(0);
        }
    }
    Ok(bytes)
}
