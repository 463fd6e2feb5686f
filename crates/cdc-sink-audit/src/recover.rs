//! Finds where a log ends: at the last commit that is there, and not before the head.
//!
//! # Failure
//! A crash leaves, behind the last commit's line, any beginning of what the next batch wrote; a
//! power failure may leave holes in it too. None of that was acknowledged, for the head is moved
//! only after the segment is synced. So everything up to the head must be whole, or the log is
//! damaged; from there on, commits that are whole count, and what follows the last of them is cut.

use std::path::Path;

use crate::chain::{Chain, Line};
use crate::error::{Error, Result};
use crate::head::{Head, Slots};
use crate::segment::{self, Lines, Next};
use crate::state::State;

/// The version of the format.
pub(crate) const FORMAT: i64 = 1;

/// Where a segment ends.
#[derive(Debug)]
pub(crate) struct End {
    pub(crate) segment: u64,
    /// Its bytes and lines up to the last commit's end; 0 if not even its first line is there.
    pub(crate) bytes: u64,
    pub(crate) lines: u64,
    pub(crate) chain: Chain,
    pub(crate) state: State,
    pub(crate) is_sealed: bool,
}

/// Finds the end of the log in `dir`; `None` if there is no log yet.
pub(crate) fn find_end(dir: &Path, pipeline: &str, slots: Option<Slots>) -> Result<Option<End>> {
    let last = segment::last(&segment::list(dir)?)?;
    let head = match slots {
        Some(Slots { newest: None, .. }) => {
            return Err(damaged("head", 0, "neither slot is whole"));
        }
        Some(Slots { newest, .. }) => newest,
        None => None,
    };
    let Some(head) = head else {
        return unacknowledged(dir, pipeline, last);
    };
    if last < head.segment {
        return Err(damaged(&segment::name(head.segment), 0, "the file is missing"));
    }
    let end = scan(dir, last, pipeline, Some(&head))?;
    if end.lines > 0 || last == head.segment {
        return Ok(Some(end));
    }
    // The crash came between making the segment and its first line.
    let sealed = scan(dir, last - 1, pipeline, Some(&head))?;
    if sealed.is_sealed {
        return Ok(Some(sealed));
    }
    Err(damaged(&segment::name(last - 1), sealed.lines + 1, "the seal is missing"))
}

/// A log without a head: the crash came while it was made.
fn unacknowledged(dir: &Path, pipeline: &str, last: u64) -> Result<Option<End>> {
    if last == 0 {
        return Ok(None);
    }
    let end = scan(dir, last, pipeline, None)?;
    if last > 1 || end.lines > 1 {
        return Err(damaged("head", 0, "the file is missing"));
    }
    Ok((end.lines == 1).then_some(end))
}

/// Reads a segment up to its last commit.
fn scan(dir: &Path, number: u64, pipeline: &str, head: Option<&Head>) -> Result<End> {
    let head = head.filter(|head| head.segment == number);
    let mut lines = Lines::open(dir, number)?;
    let mut end = End {
        segment: number,
        bytes: 0,
        lines: 0,
        chain: Chain::default(),
        state: State::default(),
        is_sealed: false,
    };
    let mut chain = Chain::default();
    let mut pending = Vec::new();
    let mut is_head_seen = head.is_none();
    let why = loop {
        let line = match lines.next()? {
            Next::End => break "the acknowledged end is missing",
            Next::Torn => break "the line is cut",
            Next::Line(line) => Line::read(line),
        };
        let Some(line) = line else { break "the line was changed" };
        if lines.line == 1 {
            check_first(&line, number, pipeline)?;
            chain = Chain { seq: line.seq, prev: line.prev };
        }
        if end.is_sealed || !line.follows(&chain) {
            break "the line does not follow the one before it";
        }
        chain = line.chain();
        is_head_seen |= head.is_some_and(|head| *head == Head::new(number, lines.bytes, &chain));
        let is_commit = line.is_commit();
        if matches!(line.kind(), "park" | "settle") || is_commit {
            pending.push(line);
        }
        if is_commit {
            for line in pending.drain(..) {
                end.is_sealed = line.kind() == "seal";
                let unknown = || damaged(&segment::name(number), lines.line, "the kind is unknown");
                end.state.take(&line, number).ok_or_else(unknown)?;
            }
            (end.bytes, end.lines, end.chain) = (lines.bytes, lines.line, chain);
        }
    };
    if is_head_seen && head.is_none_or(|head| end.bytes >= head.bytes) {
        return Ok(end);
    }
    let is_end = why == "the acknowledged end is missing";
    Err(damaged(&segment::name(number), lines.line + u64::from(is_end), why))
}

fn check_first(line: &Line, number: u64, pipeline: &str) -> Result<()> {
    let file = segment::name(number);
    if line.kind() != "segment" || line.number("number").map(i64::cast_unsigned) != Some(number) {
        return Err(damaged(&file, 1, "the line is no beginning of this segment"));
    }
    let found = line.number("format").unwrap_or_default();
    if found != FORMAT {
        return Err(Error::Format { found, known: FORMAT });
    }
    match line.text("pipeline") {
        Some(found) if found == pipeline => Ok(()),
        found => Err(Error::Foreign {
            found: found.unwrap_or_default().to_owned(),
            wanted: pipeline.to_owned(),
        }),
    }
}

pub(crate) fn damaged(file: &str, line: u64, why: &'static str) -> Error {
    Error::Damaged { file: file.to_owned(), line, why }
}
