//! The files of a log, and reading one line by line in bounded memory.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result, while_};

/// The longest line that is read. PostgreSQL's largest values are a gigabyte, but no record of the
/// event log comes near this.
const LINE_BYTES_MAX: u64 = 256 << 20;

/// Returns the name of the segment numbered `number`, from 1.
pub(crate) fn name(number: u64) -> String {
    format!("segment-{number:012}.jsonl")
}

/// Returns the numbers of the segments in `dir`, in order.
pub(crate) fn list(dir: &Path) -> Result<Vec<u64>> {
    let failed = while_("listing", dir);
    let mut numbers = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(&failed)? {
        let file = entry.map_err(&failed)?.file_name();
        let Some(digits) = file.to_str().and_then(|name| name.strip_prefix("segment-")) else {
            continue;
        };
        let digits = digits.strip_suffix(".jsonl").unwrap_or_default();
        numbers.extend(digits.parse::<u64>().ok().filter(|number| *name(*number) == *file));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// Refuses a log that is not numbered from 1 without gaps. Returns the last number, 0 for none.
pub(crate) fn last(numbers: &[u64]) -> Result<u64> {
    match (1..).zip(numbers).find(|(wanted, found)| wanted != *found) {
        None => Ok(numbers.last().copied().unwrap_or(0)),
        Some((wanted, _)) => {
            Err(Error::Damaged { file: name(wanted), line: 0, why: "the file is missing" })
        }
    }
}

/// Reads a segment.
#[derive(Debug)]
pub(crate) struct Lines {
    path: PathBuf,
    reader: BufReader<File>,
    buffer: Vec<u8>,
    /// Bytes read so far, line breaks included.
    pub(crate) bytes: u64,
    /// Lines read so far: the number of the last one, from 1.
    pub(crate) line: u64,
}

/// What [`Lines::next`] found.
#[derive(Debug)]
pub(crate) enum Next<'a> {
    /// A line, without its line break.
    Line(&'a [u8]),
    /// Bytes at the end without a line break, or more than any line has.
    Torn,
    /// Nothing more.
    End,
}

impl Lines {
    pub(crate) fn open(dir: &Path, number: u64) -> Result<Self> {
        let path = dir.join(name(number));
        let file = File::open(&path).map_err(while_("opening", &path))?;
        let (reader, buffer) = (BufReader::with_capacity(1 << 16, file), Vec::new());
        Ok(Self { path, reader, buffer, bytes: 0, line: 0 })
    }

    pub(crate) fn next(&mut self) -> Result<Next<'_>> {
        self.buffer.clear();
        let mut bounded = (&mut self.reader).take(LINE_BYTES_MAX);
        let read = bounded.read_until(b'\n', &mut self.buffer);
        let read = read.map_err(while_("reading", &self.path))?;
        if read == 0 {
            return Ok(Next::End);
        }
        self.line += 1;
        self.bytes += read as u64;
        Ok(match self.buffer.strip_suffix(b"\n") {
            Some(line) => Next::Line(line),
            None => Next::Torn,
        })
    }
}
