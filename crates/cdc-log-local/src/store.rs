//! The opened store: fjall's database, and in memory what decides where appends and reads go.
//!
//! # Failure
//! Everything here is rebuilt from the store when it is opened: topics, segments and checkpoints
//! from the keyspace `meta`, next offsets from the last block of each partition in the newest
//! segment. A crash between making or dropping a segment's keyspace and writing that down leaves a
//! keyspace that `meta` does not name; it is removed at the next opening.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use bytes::Bytes;
use cdc_model::Topic;
use fjall::{CompressionType, Database, Keyspace, KeyspaceCreateOptions, Slice};

use crate::block::Block;
use crate::data_dir::{io_error, is_full};
use crate::error::{Error, Result};
use crate::layout::{self, Offsets, PartitionNo, SegmentMeta};

/// Bytes of a segment kept in memory before they are written as a table.
const MEMTABLE_BYTES: u64 = 16 << 20;

/// The opened store.
pub(crate) struct Store {
    pub(crate) db: Database,
    pub(crate) meta: Keyspace,
    pub(crate) topics: BTreeMap<Topic, TopicState>,
    /// Oldest first; the last one takes the appends.
    pub(crate) segments: Vec<Segment>,
    pub(crate) pipelines: BTreeMap<String, Stored>,
    pub(crate) projections: BTreeMap<String, Offsets>,
}

/// A topic and how far its partitions reach.
#[derive(Debug, Clone)]
pub(crate) struct TopicState {
    pub(crate) no: u32,
    /// Next offset of each partition.
    pub(crate) next: Vec<i64>,
}

/// The part of a checkpoint that is kept in memory.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub(crate) sequence: u64,
    pub(crate) position: Option<Bytes>,
}

/// A segment.
#[derive(Clone)]
pub(crate) struct Segment {
    pub(crate) no: u64,
    pub(crate) keyspace: Keyspace,
    pub(crate) meta: SegmentMeta,
}

impl Segment {
    /// Returns the partition's next offset when this segment was begun.
    pub(crate) fn start(&self, partition: PartitionNo) -> i64 {
        self.meta.starts.get(&partition).copied().unwrap_or(0)
    }
}

impl Store {
    /// Opens the store in `dir`, made if there is none.
    pub(crate) fn open(dir: &Path) -> Result<Self> {
        let db = open_database(dir)?;
        let fail = store_error(dir, "open a keyspace");
        let meta = db.keyspace(layout::META, || options(4 << 20)).map_err(fail)?;
        let mut store = Self {
            db,
            meta,
            topics: BTreeMap::new(),
            segments: Vec::new(),
            pipelines: BTreeMap::new(),
            projections: BTreeMap::new(),
        };
        store.read_meta(dir)?;
        store.remove_strays(dir)?;
        store.read_ends(dir)?;
        Ok(store)
    }

    /// Returns the sum that [`crate::witness`] keeps.
    pub(crate) fn sum(&self) -> u64 {
        let next =
            self.topics.values().flat_map(|topic| &topic.next).map(|next| next.cast_unsigned());
        let sequences = self.pipelines.values().map(|stored| stored.sequence);
        next.chain(sequences).fold(0, u64::wrapping_add)
    }

    /// Returns the first offset that the partition still holds.
    pub(crate) fn first(&self, partition: PartitionNo) -> i64 {
        self.segments.first().map_or(0, |segment| segment.start(partition))
    }

    /// Returns every partition with its next offset.
    pub(crate) fn next_offsets(&self) -> Offsets {
        let of_topic = |topic: &TopicState| {
            let no = topic.no;
            let next = (0..).zip(topic.next.clone());
            next.map(move |(partition, next)| (PartitionNo { topic: no, partition }, next))
        };
        self.topics.values().flat_map(of_topic).collect()
    }

    /// Makes the keyspace of segment `no`.
    pub(crate) fn make_segment(&self, dir: &Path, no: u64) -> Result<Keyspace> {
        let made = self.db.keyspace(&layout::segment_name(no), || options(MEMTABLE_BYTES));
        made.map_err(store_error(dir, "make a segment"))
    }

    /// Reads the checkpoint entries of `pipeline`, by key.
    pub(crate) fn entries(&self, dir: &Path, pipeline: &str) -> Result<Vec<(String, Bytes)>> {
        let prefix = layout::entries_prefix(pipeline);
        let mut entries = Vec::new();
        for item in self.meta.prefix(&prefix) {
            let (key, value) =
                item.into_inner().map_err(store_error(dir, "read the checkpoint"))?;
            let name = key.get(prefix.len()..).and_then(|name| std::str::from_utf8(name).ok());
            let name =
                name.ok_or_else(|| corrupt(dir, "a checkpoint entry has no readable key"))?;
            entries.push((name.to_owned(), to_bytes(value)));
        }
        Ok(entries)
    }

    fn read_meta(&mut self, dir: &Path) -> Result<()> {
        let unreadable = || corrupt(dir, "a record of the keyspace meta cannot be read");
        let mut segments = Vec::new();
        for item in self.meta.iter() {
            let (key, value) = item.into_inner().map_err(store_error(dir, "read its meta data"))?;
            let value = to_bytes(value);
            let (kind, name) = key.split_first().ok_or_else(unreadable)?;
            let text = || std::str::from_utf8(name).map_err(|_| unreadable());
            match kind {
                b't' => {
                    let (no, partitions) = layout::topic(value).ok_or_else(unreadable)?;
                    let next = (0..partitions).map(|_| 0).collect();
                    self.topics.insert(Topic::new(text()?), TopicState { no, next });
                }
                b'c' => {
                    let (sequence, position) = layout::checkpoint(value).ok_or_else(unreadable)?;
                    self.pipelines.insert(text()?.to_owned(), Stored { sequence, position });
                }
                b'p' => {
                    let offsets = layout::offsets(value).ok_or_else(unreadable)?;
                    self.projections.insert(text()?.to_owned(), offsets);
                }
                b's' => {
                    let no = name.try_into().map(u64::from_be_bytes).map_err(|_| unreadable())?;
                    segments.push((no, layout::segment(value).ok_or_else(unreadable)?));
                }
                b'e' => {}
                _ => return Err(unreadable()),
            }
        }
        segments.into_iter().try_for_each(|(no, meta)| self.attach_segment(dir, no, meta))
    }

    fn attach_segment(&mut self, dir: &Path, no: u64, mut meta: SegmentMeta) -> Result<()> {
        if !self.db.keyspace_exists(&layout::segment_name(no)) {
            return Err(corrupt(dir, &format!("segment {no} is missing")));
        }
        let keyspace = self.make_segment(dir, no)?;
        if meta.bytes == 0 {
            meta.bytes = keyspace.disk_space();
        }
        self.segments.push(Segment { no, keyspace, meta });
        Ok(())
    }

    fn remove_strays(&self, dir: &Path) -> Result<()> {
        let names = self.segments.iter().map(|segment| layout::segment_name(segment.no));
        let known: BTreeSet<String> = names.collect();
        for name in self.db.list_keyspace_names() {
            if name.starts_with(layout::SEGMENT_PREFIX) && !known.contains(&*name) {
                let fail = store_error(dir, "remove an unfinished segment");
                let stray = self.db.keyspace(&name, KeyspaceCreateOptions::default);
                stray.and_then(|stray| self.db.delete_keyspace(stray)).map_err(fail)?;
            }
        }
        Ok(())
    }

    fn read_ends(&mut self, dir: &Path) -> Result<()> {
        let Some(newest) = self.segments.last() else { return Ok(()) };
        for topic in self.topics.values_mut() {
            for (index, next) in (0..).zip(&mut topic.next) {
                let partition = PartitionNo { topic: topic.no, partition: index };
                let last = last_block(dir, &newest.keyspace, partition, i64::MAX)?;
                *next = match last {
                    None => newest.start(partition),
                    Some((first, block)) => first + i64::from(block.remaining()),
                };
            }
        }
        Ok(())
    }
}

/// Returns the last block of `partition` that begins at or before `offset`, with where it begins.
pub(crate) fn last_block(
    dir: &Path,
    segment: &Keyspace,
    partition: PartitionNo,
    offset: i64,
) -> Result<Option<(i64, Block)>> {
    let range = layout::block_key(partition, 0)..=layout::block_key(partition, offset);
    segment.range(range).next_back().map(|item| read_block(dir, item)).transpose()
}

/// Reads and checks one block, with where it begins.
pub(crate) fn read_block(dir: &Path, item: fjall::Guard) -> Result<(i64, Block)> {
    let (key, value) = item.into_inner().map_err(store_error(dir, "read a block"))?;
    let first = layout::block_first(&key);
    let first = first.ok_or_else(|| corrupt(dir, "a block has no readable key"))?;
    let block = Block::open(to_bytes(value));
    let block = block.ok_or_else(|| corrupt(dir, "a block does not match its checksum"))?;
    Ok((first, block))
}

fn to_bytes(value: Slice) -> Bytes {
    Bytes::from_owner(value)
}

/// Makes the error for damaged content.
pub(crate) fn corrupt(dir: &Path, what: &str) -> Error {
    Error::Corrupt { dir: dir.to_owned(), what: what.to_owned() }
}

/// Makes errors of a fjall operation: by its kind, a full disk, damage, or neither.
pub(crate) fn store_error<'a>(
    dir: &'a Path,
    what: &'static str,
) -> impl Fn(fjall::Error) -> Error + 'a {
    use std::io::ErrorKind;
    move |cause| {
        let dir = dir.to_owned();
        match cause {
            fjall::Error::Io(cause) | fjall::Error::Storage(fjall::LsmError::Io(cause)) => {
                match cause.kind() {
                    _ if is_full(&cause) => Error::DiskFull { dir, cause: Some(cause) },
                    ErrorKind::UnexpectedEof | ErrorKind::InvalidData | ErrorKind::NotFound => {
                        Error::Corrupt { dir, what: format!("could not {what}: {cause}") }
                    }
                    _ => Error::Store { dir, what, cause: fjall::Error::Io(cause) },
                }
            }
            fjall::Error::Poisoned | fjall::Error::Locked | fjall::Error::KeyspaceDeleted => {
                Error::Store { dir, what, cause }
            }
            // All others say that what was read makes no sense.
            damage => Error::Corrupt { dir, what: format!("could not {what}: {damage:?}") },
        }
    }
}

fn options(memtable_bytes: u64) -> KeyspaceCreateOptions {
    KeyspaceCreateOptions::default().max_memtable_size(memtable_bytes)
}

fn open_database(dir: &Path) -> Result<Database> {
    let path = dir.join("store");
    let is_finished = path.join("version").try_exists().map_err(io_error("read", &path))?;
    if path.exists() && !is_finished {
        // A crash interrupted its making; it never held anything.
        fs::remove_dir_all(&path).map_err(io_error("remove", &path))?;
    }
    let builder = Database::builder(&path)
        .cache_size(16 << 20)
        .worker_threads(2)
        // It costs more CPU time than the bytes it saves.
        .journal_compression(CompressionType::None)
        .max_journaling_size(128 << 20);
    // Damage that fjall does not expect makes it panic.
    match catch_unwind(AssertUnwindSafe(|| builder.open())) {
        Ok(opened) => opened.map_err(store_error(dir, "open the store")),
        Err(_) => Err(corrupt(dir, "the store cannot be opened")),
    }
}
