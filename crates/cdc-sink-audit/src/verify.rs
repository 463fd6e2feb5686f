//! Walks a whole log and names what is not as it was written.
//!
//! # What it finds
//! Any byte changed, put in or taken out up to the head: in its own line by the line's hash, between
//! lines by the next line's `prev`, at the end by the head. Whoever can write all files of the
//! directory can also write another log with other hashes: against that, keep [`Report::head`]
//! elsewhere now and then, and ask [`verify_since`].
//!
//! It takes no lock and may run while the log is written.

use std::collections::BTreeSet;
use std::path::Path;

use crate::chain::{Chain, Hash, Line};
use crate::error::{Result, while_};
use crate::head::{self, Head};
use crate::segment::{self, Lines, Next};

/// The most findings that a report lists.
const FINDINGS_MAX: usize = 1_000;

/// What is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The file, within the log's directory.
    pub file: String,
    /// The line, from 1; 0 for the whole file.
    pub line: u64,
    /// What is wrong with it.
    pub what: &'static str,
}

/// What a log is found to be.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Segments read.
    pub segments: u64,
    /// Lines that are whole, of every kind.
    pub lines: u64,
    /// Changes among them.
    pub changes: u64,
    /// Commits among them.
    pub commits: u64,
    /// The last line acknowledged, as the file `head` says.
    pub head: Option<Head>,
    /// Bytes behind the head, promised to nobody: what a crash left, or a batch being written.
    pub unacknowledged_bytes: u64,
    /// What is wrong; the first 1,000.
    pub findings: Vec<Finding>,
    /// A line looked for, by number and hash, and whether it was found.
    noted: Option<(u64, Hash, bool)>,
}

impl Report {
    /// Returns whether nothing is wrong.
    pub fn is_intact(&self) -> bool {
        self.findings.is_empty()
    }

    fn find(&mut self, file: &str, line: u64, what: &'static str) {
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(Finding { file: file.to_owned(), line, what });
        }
    }

    fn count(&mut self, line: &Line) {
        self.lines += 1;
        self.changes += u64::from(line.kind() == "change");
        self.commits += u64::from(line.kind() == "commit");
        if let Some((seq, hash, is_found)) = &mut self.noted {
            *is_found |= line.seq == *seq && line.hash == *hash;
        }
    }
}

/// Walks the log in `dir`. Blocks; memory is bounded by the longest line.
///
/// # Errors
/// A file that cannot be read. What is wrong with its content is in the report.
pub fn verify(dir: &Path) -> Result<Report> {
    walk(dir, Report::default())
}

/// Like [`verify`], and finds whether the line of a head that was noted earlier is gone: then the
/// log was written anew since.
///
/// # Errors
/// Like [`verify`].
pub fn verify_since(dir: &Path, noted: &Head) -> Result<Report> {
    let noted_line = Some((noted.seq, noted.hash, false));
    let mut report = walk(dir, Report { noted: noted_line, ..Report::default() })?;
    if report.noted.is_some_and(|(.., is_found)| !is_found) {
        let file = segment::name(noted.segment);
        report.find(&file, 0, "the line noted earlier is not in the log: it was written anew");
    }
    Ok(report)
}

fn walk(dir: &Path, mut report: Report) -> Result<Report> {
    let slots = head::read(dir).map_err(while_("reading", &dir.join("head")))?;
    report.head = slots.and_then(|slots| slots.newest);
    if !slots.is_some_and(|slots| slots.is_whole) {
        report.find("head", 0, "the file is missing, or not whole");
    }
    let numbers: BTreeSet<u64> = segment::list(dir)?.into_iter().collect();
    let last = numbers.last().copied().unwrap_or(0);
    let mut walk = Walk { dir, last, report, chain: Some(Chain::default()), is_head_seen: false };
    for number in 1..=last.max(walk.report.head.map_or(0, |head| head.segment)) {
        if numbers.contains(&number) {
            walk.segment(number)?;
        } else if numbers.range(number..).next().is_some() || walk.chain.is_some() {
            walk.report.find(&segment::name(number), 0, "the file is missing");
            walk.chain = None;
        }
    }
    let Walk { mut report, is_head_seen, .. } = walk;
    if let (Some(head), false, true) = (report.head, is_head_seen, report.is_intact()) {
        report.find(&segment::name(head.segment), 0, "the acknowledged end is missing");
    }
    Ok(report)
}

struct Walk<'a> {
    dir: &'a Path,
    last: u64,
    report: Report,
    /// None behind a finding: the next whole line begins it anew.
    chain: Option<Chain>,
    is_head_seen: bool,
}

impl Walk<'_> {
    fn segment(&mut self, number: u64) -> Result<()> {
        self.report.segments += 1;
        let mut lines = Lines::open(self.dir, number)?;
        let mut is_sealed = false;
        loop {
            let start = lines.bytes;
            let line = match lines.next()? {
                Next::End => break,
                Next::Torn => None,
                Next::Line(line) => Some(Line::read(line)),
            };
            let what = match &line {
                None => Some("the line is cut"),
                Some(None) => Some("the line was changed"),
                Some(Some(line)) => self.place(line, number, lines.line, is_sealed),
            };
            if let Some(what) = what {
                if self.is_unacknowledged(number, start) {
                    break;
                }
                self.report.find(&segment::name(number), lines.line, what);
            }
            let line = line.flatten();
            self.chain = line.as_ref().map(Line::chain);
            if let Some(line) = line {
                self.report.count(&line);
                is_sealed = line.kind() == "seal";
                let here = Head::new(number, lines.bytes, &line.chain());
                self.is_head_seen |= self.report.head == Some(here);
            }
        }
        if number < self.last && !is_sealed {
            self.report.find(&segment::name(number), lines.line + 1, "the seal is missing");
        }
        self.count_unacknowledged(number)
    }

    /// Says what is wrong with where a whole line is.
    fn place(&self, line: &Line, number: u64, at: u64, is_sealed: bool) -> Option<&'static str> {
        let is_first = line.kind() == "segment";
        let is_numbered = line.number("number").map(i64::cast_unsigned) == Some(number);
        if self.chain.is_some_and(|chain| !line.follows(&chain)) {
            Some("it does not follow the line before it: one was taken out, put in or moved")
        } else if is_sealed {
            Some("the segment goes on behind its seal")
        } else if (at == 1) != is_first || (is_first && !is_numbered) {
            Some("it does not belong to this file")
        } else {
            None
        }
    }

    /// Returns whether what begins at `start` lies behind the head.
    fn is_unacknowledged(&self, number: u64, start: u64) -> bool {
        number == self.last
            && self.report.head.is_some_and(|head| (head.segment, head.bytes) <= (number, start))
    }

    fn count_unacknowledged(&mut self, number: u64) -> Result<()> {
        let Some(head) = self.report.head.filter(|head| head.segment <= number) else {
            return Ok(());
        };
        let path = self.dir.join(segment::name(number));
        let length = std::fs::metadata(&path).map_err(while_("reading", &path))?.len();
        let behind =
            if head.segment == number { length.saturating_sub(head.bytes) } else { length };
        self.report.unacknowledged_bytes += behind;
        Ok(())
    }
}
