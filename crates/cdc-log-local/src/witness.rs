//! A count, kept beside the store, of how much it must hold.
//!
//! The store repairs a torn end of its journal by cutting it off, and cannot tell a torn end from
//! a damaged middle: a flipped bit could so take back appends that were answered `Ok`. Every append
//! raises the sum of all next offsets and all checkpoint sequences; this file holds the last such
//! sum. A store that comes back with less has lost something, and is not used.
//!
//! # Failure
//! The file is written after each append without waiting for the disk, so it may lag behind after a
//! power failure, never run ahead. A crash of the process alone leaves it exact.

use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::data_dir::{io_error, replace};
use crate::error::Result;
use crate::store::corrupt;

const BYTES: usize = 12;

/// The file.
#[derive(Debug)]
pub(crate) struct Witness {
    path: PathBuf,
    file: File,
}

impl Witness {
    /// Makes the file, with 0 in it.
    pub(crate) fn create(path: &Path) -> Result<()> {
        replace(path, &encode(0))
    }

    /// Opens the file, which must be there.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open(path);
        if file.as_ref().is_err_and(|error| error.kind() == ErrorKind::NotFound) {
            let dir = path.parent().unwrap_or(path);
            return Err(corrupt(dir, "the file committed is missing"));
        }
        Ok(Self { path: path.to_owned(), file: file.map_err(io_error("open", path))? })
    }

    /// Returns the last sum written, or `None` if the file is damaged.
    pub(crate) fn read(&self) -> Result<Option<u64>> {
        let mut bytes = [0; BYTES + 1];
        let len = self.file.read_at(&mut bytes, 0).map_err(io_error("read", &self.path))?;
        Ok(decode(&bytes[..len]))
    }

    pub(crate) fn write(&self, sum: u64) -> Result<()> {
        self.file.write_all_at(&encode(sum), 0).map_err(io_error("write", &self.path))
    }
}

fn encode(sum: u64) -> [u8; BYTES] {
    let mut bytes = [0; BYTES];
    bytes[..8].copy_from_slice(&sum.to_le_bytes());
    bytes[8..].copy_from_slice(&crc32fast::hash(&sum.to_le_bytes()).to_le_bytes());
    bytes
}

fn decode(bytes: &[u8]) -> Option<u64> {
    let sum = u64::from_le_bytes(*bytes.first_chunk()?);
    (bytes == encode(sum)).then_some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flipped_bit_is_noticed() {
        let whole = encode(1_234_567_890_123);
        assert_eq!(decode(&whole), Some(1_234_567_890_123));
        for bit in 0..whole.len() * 8 {
            let mut bytes = whole;
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode(&bytes), None, "bit {bit}");
        }
    }
}
