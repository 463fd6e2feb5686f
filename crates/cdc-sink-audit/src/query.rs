//! Reading the log while it is written: up to its head, and no further.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cdc_model::TableName;
use serde_json::{Map, Value as Json};

use crate::chain::Line;
use crate::error::{Result, while_};
use crate::fold::Fold;
use crate::head::{self, Head};
use crate::recover::damaged;
use crate::segment::{self, Lines, Next};
use crate::sink::blocking;
use crate::verify::{Report, verify};

/// The most entries that [`AuditQuery::tail`] returns.
const TAIL_MAX: usize = 10_000;

/// An entry, as it is in the log.
pub type Entry = Map<String, Json>;

/// A handle for reading an audit log. Cloning it is cheap; it holds no lock and no file.
#[derive(Debug, Clone)]
pub struct AuditQuery {
    dir: Arc<Path>,
}

impl AuditQuery {
    /// Makes a handle to the log in the directory `dir`, whoever writes it.
    pub fn new(dir: impl AsRef<Path>) -> Self {
        Self { dir: dir.as_ref().into() }
    }

    /// Counts the changes recorded of `table`.
    ///
    /// # Errors
    /// [`Error::Damaged`](crate::Error::Damaged), or a file that cannot be read.
    pub async fn count(&self, table: &TableName) -> Result<u64> {
        let (dir, table) = (Arc::clone(&self.dir), table.clone());
        blocking(&self.dir, move || {
            let mut count = 0;
            each(&dir, |line| {
                count += u64::from(line.kind() == "change" && is_of(&line, &table));
                Ok(())
            })?;
            Ok(count)
        })
        .await
    }

    /// Returns the last `n` changes recorded, oldest first; at most 10,000.
    ///
    /// # Errors
    /// [`Error::Damaged`](crate::Error::Damaged), or a file that cannot be read.
    pub async fn tail(&self, n: usize) -> Result<Vec<Entry>> {
        let dir = Arc::clone(&self.dir);
        blocking(&self.dir, move || tail(&dir, n.min(TAIL_MAX))).await
    }

    /// Folds the log to the rows that `table` has now, each an object of its columns, in an order
    /// of their own.
    ///
    /// # Errors
    /// [`Error::TooManyRows`](crate::Error::TooManyRows) if there are more than `rows_max`,
    /// [`Error::UnchangedWithoutRow`](crate::Error::UnchangedWithoutRow),
    /// [`Error::Damaged`](crate::Error::Damaged), or a file that cannot be read.
    pub async fn rows(&self, table: &TableName, rows_max: usize) -> Result<Vec<Entry>> {
        let (dir, table) = (Arc::clone(&self.dir), table.clone());
        blocking(&self.dir, move || {
            let mut fold = Fold::new(table.to_string(), rows_max);
            each(&dir, |line| if is_of(&line, &table) { fold.take(&line) } else { Ok(()) })?;
            Ok(fold.into_rows())
        })
        .await
    }

    /// Walks the whole log; see [`verify`].
    ///
    /// # Errors
    /// A file that cannot be read.
    pub async fn verify(&self) -> Result<Report> {
        let dir = PathBuf::from(&*self.dir);
        blocking(&self.dir, move || verify(&dir)).await
    }
}

fn is_of(line: &Line, table: &TableName) -> bool {
    line.text("table") == Some(&table.table) && line.text("schema") == Some(&table.schema)
}

fn acknowledged(dir: &Path) -> Result<Option<Head>> {
    let slots = head::read(dir).map_err(while_("reading", &dir.join("head")))?;
    match slots {
        None => Ok(None),
        Some(slots) => {
            slots.newest.map(Some).ok_or_else(|| damaged("head", 0, "neither slot is whole"))
        }
    }
}

/// Gives `take` every line up to the head.
fn each(dir: &Path, mut take: impl FnMut(Line) -> Result<()>) -> Result<()> {
    let Some(head) = acknowledged(dir)? else { return Ok(()) };
    (1..=head.segment).try_for_each(|number| each_of(dir, number, &head, &mut take))
}

fn each_of(
    dir: &Path,
    number: u64,
    head: &Head,
    take: &mut impl FnMut(Line) -> Result<()>,
) -> Result<()> {
    let mut lines = Lines::open(dir, number)?;
    while number != head.segment || lines.bytes < head.bytes {
        let line = match lines.next()? {
            Next::End if number != head.segment => break,
            Next::End | Next::Torn => None,
            Next::Line(line) => Line::read(line),
        };
        let changed = || damaged(&segment::name(number), lines.line, "the line was changed");
        take(line.ok_or_else(changed)?)?;
    }
    Ok(())
}

fn tail(dir: &Path, n: usize) -> Result<Vec<Entry>> {
    let Some(head) = acknowledged(dir)? else { return Ok(Vec::new()) };
    let mut found = VecDeque::new();
    for number in (1..=head.segment).rev() {
        let mut newest = VecDeque::new();
        each_of(dir, number, &head, &mut |line| {
            if line.kind() == "change" {
                newest.push_back(line.members);
                if newest.len() > n - found.len() {
                    newest.pop_front();
                }
            }
            Ok(())
        })?;
        newest.append(&mut found);
        found = newest;
        if found.len() == n {
            break;
        }
    }
    Ok(found.into())
}
