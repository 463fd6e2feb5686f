//! How far a snapshot is: views, tables, ranges, and what of each range is done under which view.

use std::sync::Arc;

use bytes::Bytes;
use cdc_model::Lsn;
use cdc_pipeline::port::{Checkpoint, EntryKey};

use crate::entry::{Decoder, Encoder};
use crate::error::Error;
use crate::snapshot::key::KeyText;
use crate::snapshot::view::View;

const VIEWS_KEY: &str = "source/views";
const TABLE_PREFIX: &str = "source/snapshot/";

/// The whole snapshot.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Views, oldest first; segments name them by index.
    pub(crate) views: Vec<View>,
    pub(crate) tables: Vec<TableProgress>,
}

/// One table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TableProgress {
    pub(crate) relation: u32,
    /// The file it was in: another one means that it was truncated or rewritten meanwhile.
    pub(crate) filenode: u32,
    /// Names of the chunk key's columns, in its index's order; empty if it is a single chunk.
    pub(crate) key: Vec<String>,
    /// Key ranges, ascending, without gaps. One if there is no key.
    pub(crate) ranges: Vec<Range>,
    /// Chunks emitted, under whatever view; numbers the next one.
    pub(crate) chunks: u32,
    pub(crate) rows: u64,
    /// Whether rows were emitted of which nothing is marked done.
    pub(crate) is_torn: bool,
}

/// Keys after the previous range's end up to and including `until`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Range {
    /// `None` for the last range: without end.
    pub(crate) until: Option<KeyText>,
    /// What is done, ascending, without gaps.
    pub(crate) segments: Vec<Segment>,
}

/// Keys after the previous segment's end, up to and including `until`, read under `view`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Segment {
    /// `None`: up to the end of the range.
    pub(crate) until: Option<KeyText>,
    pub(crate) view: u32,
}

impl Range {
    pub(crate) fn is_done(&self) -> bool {
        self.segments.last().is_some_and(|segment| segment.until.is_none())
    }

    /// Marks keys up to `until` as read under `view`.
    pub(crate) fn mark(&mut self, until: Option<KeyText>, view: u32) {
        match self.segments.last_mut() {
            Some(last) if last.view == view => last.until = until,
            _ => self.segments.push(Segment { until, view }),
        }
    }
}

impl TableProgress {
    pub(crate) fn is_done(&self) -> bool {
        self.ranges.iter().all(Range::is_done)
    }

    /// Returns the end of the last key done in range `index`, or where the range begins; `None`
    /// for the beginning of the table.
    pub(crate) fn resume_after(&self, index: usize) -> Option<&KeyText> {
        let done = self.ranges.get(index)?.segments.last().and_then(|last| last.until.as_ref());
        done.or_else(|| self.ranges.get(index.checked_sub(1)?)?.until.as_ref())
    }

    /// Notes that a chunk of `rows` was emitted, which completes what `done` says.
    pub(crate) fn finish_chunk(
        &mut self,
        rows: usize,
        done: Vec<(usize, Option<KeyText>)>,
        view: u32,
    ) {
        self.chunks += u32::from(rows > 0);
        self.rows += rows as u64;
        self.is_torn = done.is_empty() && rows > 0;
        for (range, until) in done {
            if let Some(range) = self.ranges.get_mut(range) {
                range.mark(until, view);
            }
        }
    }

    /// Forgets everything done: the table is read anew.
    pub(crate) fn restart(&mut self, filenode: u32) {
        self.filenode = filenode;
        self.rows = 0;
        self.is_torn = false;
        for range in &mut self.ranges {
            range.segments.clear();
        }
    }

    /// Returns the entry that holds it.
    pub(crate) fn entry(&self) -> (EntryKey, Option<Bytes>) {
        (table_key(self.relation), Some(self.encode()))
    }

    fn encode(&self) -> Bytes {
        let key = |e: &mut Encoder, key: &Option<KeyText>| {
            e.u8(u8::from(key.is_some()));
            if let Some(key) = key {
                e.list(key, |e, text| {
                    e.text(text);
                });
            }
        };
        Encoder::new()
            .u32(self.relation)
            .u32(self.filenode)
            .list(&self.key, |e, name| {
                e.text(name);
            })
            .list(&self.ranges, |e, range| {
                key(e, &range.until);
                e.list(&range.segments, |e, segment| {
                    key(e, &segment.until);
                    e.u32(segment.view);
                });
            })
            .u32(self.chunks)
            .u64(self.rows)
            .u8(u8::from(self.is_torn))
            .finish()
    }

    fn decode(name: &str, bytes: &[u8]) -> Result<Self, Error> {
        let key = |d: &mut Decoder<'_>| -> Result<Option<KeyText>, Error> {
            Ok(if d.u8()? == 0 { None } else { Some(d.list(Decoder::text)?) })
        };
        let mut decoder = Decoder::new(name, bytes)?;
        Ok(Self {
            relation: decoder.u32()?,
            filenode: decoder.u32()?,
            key: decoder.list(Decoder::text)?,
            ranges: decoder.list(|d| {
                Ok(Range {
                    until: key(d)?,
                    segments: d.list(|d| Ok(Segment { until: key(d)?, view: d.u32()? }))?,
                })
            })?,
            chunks: decoder.u32()?,
            rows: decoder.u64()?,
            is_torn: decoder.u8()? != 0,
        })
    }
}

impl Progress {
    pub(crate) fn is_done(&self) -> bool {
        self.tables.iter().all(TableProgress::is_done)
    }

    /// Returns the LSN from which on no row change can be in any chunk.
    pub(crate) fn window_end(&self) -> Option<Lsn> {
        self.views.iter().filter(|view| view.visibility.is_some()).map(|view| view.lsn).max()
    }

    pub(crate) fn views_entry(&self) -> (EntryKey, Option<Bytes>) {
        let encoded = Encoder::new().list(&self.views, |e, view| view.encode(e)).finish();
        (VIEWS_KEY.into(), Some(encoded))
    }

    pub(crate) fn read(checkpoint: &Checkpoint) -> Result<Self, Error> {
        let views = match checkpoint.entries.get(VIEWS_KEY) {
            None => Vec::new(),
            Some(bytes) => Decoder::new(VIEWS_KEY, bytes)?.list(View::decode)?,
        };
        let start: Arc<str> = TABLE_PREFIX.into();
        let tables = checkpoint
            .entries
            .range(start..)
            .take_while(|(key, _)| key.starts_with(TABLE_PREFIX))
            .map(|(key, bytes)| TableProgress::decode(key, bytes))
            .collect::<Result<_, _>>()?;
        Ok(Self { views, tables })
    }
}

fn table_key(relation: u32) -> EntryKey {
    format!("{TABLE_PREFIX}{relation}").into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::view::Visibility;

    fn table() -> TableProgress {
        let until = |text: &str| Some(vec![text.to_owned()]);
        TableProgress {
            relation: 16384,
            filenode: 1,
            key: vec!["id".into()],
            ranges: vec![
                Range { until: until("100"), segments: vec![] },
                Range { until: None, segments: vec![] },
            ],
            chunks: 0,
            rows: 0,
            is_torn: false,
        }
    }

    #[test]
    fn a_table_resumes_after_what_is_done_of_each_range() {
        let mut table = table();
        let key = |text: &str| vec![text.to_owned()];
        assert_eq!((table.resume_after(0), table.resume_after(1)), (None, Some(&key("100"))));
        table.ranges[0].mark(Some(key("40")), 0);
        table.ranges[0].mark(Some(key("60")), 0);
        table.ranges[1].mark(Some(key("140")), 1);
        assert_eq!(table.ranges[0].segments.len(), 1);
        assert_eq!(table.resume_after(0), Some(&key("60")));
        assert_eq!(table.resume_after(1), Some(&key("140")));
        table.ranges[0].mark(None, 0);
        table.ranges[1].mark(None, 1);
        assert!(table.is_done());
    }

    #[test]
    fn progress_survives_the_checkpoint() {
        let mut table = table();
        table.ranges[0].mark(Some(vec!["7".into()]), 1);
        let visibility = Visibility { xmin: 3, xmax: 9, in_progress: vec![4, 5] };
        let progress = Progress {
            views: vec![
                View { lsn: Lsn(10), visibility: None },
                View { lsn: Lsn(20), visibility: Some(visibility) },
            ],
            tables: vec![table],
        };
        let mut checkpoint = Checkpoint::default();
        for (key, value) in [progress.views_entry(), progress.tables[0].entry()] {
            checkpoint.entries.insert(key, value.unwrap());
        }
        assert_eq!(Progress::read(&checkpoint).unwrap(), progress);
        assert_eq!(progress.window_end(), Some(Lsn(20)));
    }
}
