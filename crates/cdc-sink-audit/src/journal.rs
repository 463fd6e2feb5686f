//! The log, open for writing.
//!
//! # How a batch becomes durable
//! Its lines and the commit line after them are appended to the segment in one write and synced;
//! then the head is moved and synced; then `apply` returns `Ok`. After any error the journal is
//! dropped, and the files are read anew.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cdc_model::{TableName, TableSchema};
use cdc_pipeline::port::{Epoch, ParkedRecord, SettleBatch, SinkBatch, SinkChange, SinkState};
use serde_json::json;

use crate::chain::{Chain, Line};
use crate::config::AuditConfig;
use crate::entry;
use crate::error::{Error, Result, while_};
use crate::head::{self, Head, HeadFile};
use crate::json::{Object, definition, object};
use crate::recover::{End, FORMAT, damaged, find_end};
use crate::segment::{self, Lines, Next};
use crate::state::State;

/// The log's newest segment, and what is known of the whole.
#[derive(Debug)]
pub(crate) struct Journal {
    dir: PathBuf,
    config: AuditConfig,
    segment: u64,
    file: File,
    bytes: u64,
    lines: u64,
    chain: Chain,
    state: State,
    head: HeadFile,
    /// The definitions that this segment tells, by table.
    tables: BTreeMap<TableName, Arc<TableSchema>>,
}

impl Journal {
    /// Opens the log in `dir` at its end, making it if there is none.
    pub(crate) fn open(dir: &Path, config: &AuditConfig) -> Result<Self> {
        let slots = head::read(dir).map_err(while_("reading", &dir.join("head")))?;
        let end = find_end(dir, &config.pipeline, slots)?;
        let (end, is_new) = match end {
            Some(end) => (end, false),
            None => (begin(dir, 1, config, Chain::default(), State::default())?, true),
        };
        let end = if end.is_sealed {
            begin(dir, end.segment + 1, config, end.chain, end.state)?
        } else {
            end
        };
        let path = dir.join(segment::name(end.segment));
        let file = cut(&path, end.bytes).map_err(while_("cutting", &path))?;
        if is_new {
            sync_dir(dir)?;
        }
        let now = Head::new(end.segment, end.bytes, &end.chain);
        let failed = while_("writing", dir);
        let head = HeadFile::open(dir, slots, &now).map_err(failed)?;
        sync_dir(dir)?;
        Ok(Self {
            dir: dir.to_owned(),
            config: config.clone(),
            segment: end.segment,
            file,
            bytes: end.bytes,
            lines: end.lines,
            chain: end.chain,
            state: end.state,
            head,
            tables: BTreeMap::new(),
        })
    }

    pub(crate) fn state(&self) -> &State {
        &self.state
    }

    /// Takes the next epoch.
    pub(crate) fn take_over(&mut self) -> Result<SinkState> {
        let epoch = Epoch(self.state.epoch.0 + 1);
        let mut out = Vec::new();
        self.chain.push(&mut out, "open", object(json!({"epoch": epoch.0})));
        self.append(&out, 1)?;
        self.state.epoch = epoch;
        Ok(self.state.sink_state())
    }

    /// Records `batch`, which was checked.
    pub(crate) fn record(&mut self, batch: &SinkBatch) -> Result<()> {
        self.make_room()?;
        let mut out = Vec::new();
        let first = self.chain.seq;
        for (index, change) in batch.changes.iter().enumerate() {
            if !self.state.is_applied(&change.source, change.offset) {
                self.push_change(&mut out, index, change)?;
            }
        }
        for park in &batch.park {
            if !self.state.is_applied(&park.record.source, park.record.offset) {
                self.chain.push(&mut out, "park", entry::park(park));
            }
        }
        let ranges = batch.ranges.iter().filter(|range| {
            let held = self.state.offsets.get(&range.source);
            held.is_none_or(|(_, held)| range.next > *held)
        });
        self.chain.push(&mut out, "commit", entry::commit(batch, ranges));
        self.append(&out, self.chain.seq - first)?;
        self.state.apply(batch, self.segment);
        Ok(())
    }

    /// Records what became of parked records; those that are parked no more are passed over.
    pub(crate) fn settle(&mut self, batch: &SettleBatch) -> Result<()> {
        self.make_room()?;
        let mut out = Vec::new();
        let first = self.chain.seq;
        for (index, settlement) in batch.settlements.iter().enumerate() {
            let (source, offset) = (settlement.source.clone(), settlement.offset);
            if self.state.parked.remove(&(source.clone(), offset)).is_none() {
                continue;
            }
            self.chain.push(&mut out, "settle", entry::settle(settlement));
            if let Some(event) = settlement.change.clone() {
                self.push_change(&mut out, index, &SinkChange { source, offset, event })?;
            }
        }
        if out.is_empty() {
            return Ok(());
        }
        self.chain.push(&mut out, "commit", entry::settled(batch));
        self.append(&out, self.chain.seq - first)
    }

    /// Reads the first `limit` parked records, and counts all.
    pub(crate) fn parked(&self, limit: usize) -> Result<(Vec<ParkedRecord>, u64)> {
        let wanted: BTreeMap<_, _> = self.state.parked.iter().take(limit).collect();
        let segments: BTreeSet<u64> = wanted.values().map(|parked| parked.segment).collect();
        let mut found = BTreeMap::new();
        for number in segments {
            let mut lines = Lines::open(&self.dir, number)?;
            while let Next::Line(line) = lines.next()? {
                let park = Line::read(line).filter(|line| line.kind() == "park");
                let Some(park) = park.and_then(|line| entry::read_park(&line)) else { continue };
                let at = (park.record.source.clone(), park.record.offset);
                if wanted.contains_key(&at) {
                    found.insert(at, park);
                }
            }
        }
        if let Some((_, parked)) = wanted.iter().find(|(at, _)| !found.contains_key(**at)) {
            return Err(damaged(&segment::name(parked.segment), 0, "a parked record is missing"));
        }
        Ok((found.into_values().collect(), self.state.parked.len() as u64))
    }

    /// Appends the lines of a change to `out`.
    fn push_change(&mut self, out: &mut Vec<u8>, index: usize, change: &SinkChange) -> Result<()> {
        let table = &change.event.table;
        let poison = || Error::Poison { index, table: table.name.to_string() };
        let members = entry::change(change).ok_or_else(poison)?;
        if self.tables.get(&table.name).is_none_or(|told| told != table) {
            let members = definition(table, change.source.topic.as_str());
            self.chain.push(out, "table", members);
            self.tables.insert(table.name.clone(), Arc::clone(table));
        }
        self.chain.push(out, "change", members);
        Ok(())
    }

    fn make_room(&mut self) -> Result<()> {
        let is_full = self.bytes >= self.config.segment_bytes_max
            || self.lines >= self.config.segment_lines_max;
        if is_full { self.roll() } else { Ok(()) }
    }

    /// Seals the segment and begins the next.
    fn roll(&mut self) -> Result<()> {
        let mut out = Vec::new();
        let members =
            json!({"lines": self.lines, "bytes": self.bytes, "head": self.chain.prev.to_string()});
        self.chain.push(&mut out, "seal", object(members));
        let path = self.dir.join(segment::name(self.segment));
        let write = || -> std::io::Result<()> {
            (&self.file).write_all(&out)?;
            self.file.sync_data()
        };
        write().map_err(while_("sealing", &path))?;
        let next =
            begin(&self.dir, self.segment + 1, &self.config, self.chain, self.state.clone())?;
        let path = self.dir.join(segment::name(next.segment));
        self.file = cut(&path, next.bytes).map_err(while_("opening", &path))?;
        sync_dir(&self.dir)?;
        (self.segment, self.bytes, self.lines) = (next.segment, next.bytes, next.lines);
        self.chain = next.chain;
        self.tables.clear();
        self.acknowledge()
    }

    /// Makes `bytes`, which end with a commit, durable.
    fn append(&mut self, bytes: &[u8], lines: u64) -> Result<()> {
        let failed = while_("writing", &self.dir.join(segment::name(self.segment)));
        self.file.write_all(bytes).map_err(&failed)?;
        self.file.sync_data().map_err(&failed)?;
        self.bytes += bytes.len() as u64;
        self.lines += lines;
        self.acknowledge()
    }

    fn acknowledge(&mut self) -> Result<()> {
        let head = Head::new(self.segment, self.bytes, &self.chain);
        self.head.write(&head).map_err(while_("writing", &self.dir.join("head")))
    }
}

/// Makes a segment that goes on from `chain` and `state`, and returns its end.
fn begin(
    dir: &Path,
    number: u64,
    config: &AuditConfig,
    mut chain: Chain,
    state: State,
) -> Result<End> {
    let mut out = Vec::new();
    let members: Object = object(json!({
        "format": FORMAT,
        "pipeline": config.pipeline,
        "number": number,
        "state": state.to_json(),
    }));
    chain.push(&mut out, "segment", members);
    let path = dir.join(segment::name(number));
    let write = || -> std::io::Result<()> {
        let mut file = File::create(&path)?;
        file.write_all(&out)?;
        file.sync_all()
    };
    write().map_err(while_("making", &path))?;
    let bytes = out.len() as u64;
    Ok(End { segment: number, bytes, lines: 1, chain, state, is_sealed: false })
}

/// Opens a segment, cuts it after `bytes`, and makes what is left durable.
fn cut(path: &Path, bytes: u64) -> std::io::Result<File> {
    let mut file = OpenOptions::new().write(true).open(path)?;
    file.set_len(bytes)?;
    file.seek(SeekFrom::End(0))?;
    file.sync_all()?;
    Ok(file)
}

fn sync_dir(dir: &Path) -> Result<()> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(while_("syncing", dir))
}
