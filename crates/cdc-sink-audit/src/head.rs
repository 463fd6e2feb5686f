//! The file `head`: how far the log is acknowledged, beside the log itself.
//!
//! A chain alone cannot tell that its end was taken away. The head can: it is written, and synced,
//! after each commit's lines are durable and before `apply` returns `Ok`. What lies before it is
//! acknowledged and must be there, byte for byte; what lies after it was promised to nobody.
//!
//! It holds two slots of one sector, written in turn, so that a torn write leaves the older one.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use serde_json::json;

use crate::chain::{Chain, Hash, Line};

const SLOT: usize = 512;

/// How far the log is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// The segment's number.
    pub segment: u64,
    /// Its length in bytes up to the acknowledged line's end.
    pub bytes: u64,
    /// The acknowledged line's number in the whole log.
    pub seq: u64,
    /// The acknowledged line's hash.
    pub hash: Hash,
}

impl Head {
    pub(crate) fn new(segment: u64, bytes: u64, chain: &Chain) -> Self {
        Self { segment, bytes, seq: chain.seq.saturating_sub(1), hash: chain.prev }
    }

    fn slot(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(SLOT);
        let members = json!({"segment": self.segment, "bytes": self.bytes});
        let mut chain = Chain { seq: self.seq, prev: self.hash };
        chain.push(&mut out, "head", members.as_object().cloned().unwrap_or_default());
        out.pop();
        out.resize(SLOT - 1, b' ');
        out.push(b'\n');
        out
    }

    fn read(slot: &[u8]) -> Option<Self> {
        let line = Line::read(slot.trim_ascii_end())?;
        let number = |member| line.members.get(member)?.as_u64();
        let (segment, bytes) = (number("segment")?, number("bytes")?);
        let head = Self { segment, bytes, seq: line.seq, hash: line.prev };
        (head.slot() == slot).then_some(head)
    }
}

/// What the file says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Slots {
    /// The newest slot that can be read.
    pub(crate) newest: Option<Head>,
    /// Which of the two it is in.
    at: u64,
    /// Whether both can be read.
    pub(crate) is_whole: bool,
}

/// Reads the file; `None` if there is none.
pub(crate) fn read(dir: &Path) -> io::Result<Option<Slots>> {
    let bytes = match std::fs::read(dir.join("head")) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let slots = [bytes.get(..SLOT), bytes.get(SLOT..2 * SLOT)].map(|slot| Head::read(slot?));
    let is_whole = slots.iter().all(Option::is_some) && bytes.len() == 2 * SLOT;
    let (at, newest) = match slots {
        [Some(first), Some(second)] if second.seq > first.seq => (1, Some(second)),
        [None, second] => (1, second),
        [first, _] => (0, first),
    };
    Ok(Some(Slots { newest, at, is_whole }))
}

/// The file, open for writing.
#[derive(Debug)]
pub(crate) struct HeadFile {
    file: File,
    next_slot: u64,
}

impl HeadFile {
    /// Makes the file say `head` in both slots.
    pub(crate) fn open(dir: &Path, slots: Option<Slots>, head: &Head) -> io::Result<Self> {
        let path = dir.join("head");
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(path)?;
        let next_slot = slots.map_or(0, |slots| 1 - slots.at);
        let mut this = Self { file, next_slot };
        this.write(head)?;
        this.write(head)?;
        this.file.set_len(2 * SLOT as u64)?;
        this.file.sync_all()?;
        Ok(this)
    }

    /// Makes `head` durable.
    pub(crate) fn write(&mut self, head: &Head) -> io::Result<()> {
        self.file.write_all_at(&head.slot(), self.next_slot * SLOT as u64)?;
        self.next_slot = 1 - self.next_slot;
        self.file.sync_data()
    }
}
