//! The window after an interrupted snapshot: changes the stream brings that a chunk read later
//! already holds.
//!
//! A change is skipped exactly when the key it touches lies in a segment read under a view that
//! sees its transaction. An update that changes the key touches two: it is judged as a delete of
//! the old and a create of the new. The window ends with the log position read after the last
//! view was taken; no transaction that commits later is visible in any.
//!
//! A change made under another definition of the key cannot be placed, and need not be: altering a
//! table waits for everybody who wrote to it, and a snapshot taken up again under the new definition
//! reads the table anew, so that such a change is visible in all of its views or in none.
//!
//! A table that is a single chunk was emptied by a truncate event before it was read again, so it
//! equals its view exactly, and deletes are skipped like everything else: applying a delete whose
//! row was inserted again before the view would lose that row.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use cdc_model::{ChangeEvent, ImageKind, Lsn, Op, Row, Value};

use crate::error::{Error, Halt};
use crate::relation::Relation;
use crate::snapshot::key;
use crate::snapshot::progress::{Progress, TableProgress};
use crate::snapshot::view::View;

/// The window.
#[derive(Debug)]
pub(crate) struct Window {
    end: Lsn,
    views: Vec<View>,
    tables: BTreeMap<u32, TableProgress>,
    /// Of the relations as now defined.
    bounds: BTreeMap<u32, Bounds>,
}

/// A table's segments with their keys decoded.
#[derive(Debug)]
struct Bounds {
    /// Indices of the key's columns in a row, in the order of the key.
    columns: Vec<usize>,
    /// Ends and views, ascending; the last has no end.
    segments: Vec<(Option<Vec<Value>>, u32)>,
}

/// What becomes of a change.
#[derive(Debug, PartialEq)]
pub(crate) enum Verdict {
    Keep(ChangeEvent),
    Skip,
}

impl Window {
    /// Opens the window that `progress` asks for: none if every chunk was read under the slot's
    /// own snapshot, or if the stream is past it.
    pub(crate) fn open(progress: &Progress, position: Lsn) -> Option<Self> {
        let end = progress.window_end().filter(|end| position < *end)?;
        Some(Self {
            end,
            views: progress.views.clone(),
            tables: progress.tables.iter().map(|t| (t.relation, t.clone())).collect(),
            bounds: BTreeMap::new(),
        })
    }

    /// Returns the position at which it closes.
    pub(crate) fn end(&self) -> Lsn {
        self.end
    }

    /// Decodes the bounds of a relation's segments.
    pub(crate) fn define(&mut self, relation: &Relation) {
        let Some(table) = self.tables.get(&relation.id) else { return };
        let place = |name: &String| {
            let index = relation.schema.column_index(name)?;
            relation.schema.key.contains(&index).then_some(index)
        };
        let columns: Option<Vec<usize>> = table.key.iter().map(place).collect();
        let Some(columns) = columns else {
            self.bounds.remove(&relation.id);
            return;
        };
        let decode = |texts: &Vec<String>| -> Option<Vec<Value>> {
            columns.iter().zip(texts).map(|(i, text)| relation.value(*i, text)).collect()
        };
        let mut segments = Vec::new();
        for range in &table.ranges {
            for segment in &range.segments {
                let until = segment.until.as_ref().or(range.until.as_ref());
                let decoded = until.and_then(decode);
                // The key's type was altered after the views.
                if decoded.is_none() && until.is_some() {
                    self.bounds.remove(&relation.id);
                    return;
                }
                segments.push((decoded, segment.view));
            }
        }
        self.bounds.insert(relation.id, Bounds { columns, segments });
    }

    /// Judges a change of the transaction `xid`.
    pub(crate) fn judge(
        &self,
        relation: u32,
        xid: u32,
        event: ChangeEvent,
    ) -> Result<Verdict, Error> {
        if event.origin.transaction.commit_lsn >= self.end {
            return Ok(Verdict::Keep(event));
        }
        let Some(bounds) = self.bounds.get(&relation) else {
            let table = self.tables.get(&relation);
            let is_held = table.is_some_and(|table| self.is_seen_by_all(table, xid));
            return Ok(if is_held { Verdict::Skip } else { Verdict::Keep(event) });
        };
        let is_held = |row: &Row| self.sees(bounds.view_of(row), xid);
        let before = event.before.as_ref().map(|image| is_held(&image.row));
        let after = event.after.as_ref().map(is_held);
        Ok(match (event.op, before, after) {
            // A truncate changes the table's file, so what it finds was all read under one view.
            (Op::Truncate, ..) => {
                let views = || bounds.segments.iter().map(|(_, view)| *view);
                if views().all(|view| self.sees(Some(view), xid)) {
                    Verdict::Skip
                } else {
                    Verdict::Keep(event)
                }
            }
            (_, Some(true), Some(true) | None) | (_, None, Some(true)) => Verdict::Skip,
            (_, Some(false), Some(true)) => Verdict::Keep(old_half(event)),
            (_, Some(true), Some(false)) => Verdict::Keep(new_half(event)?),
            (_, Some(false) | None, Some(false) | None) => Verdict::Keep(event),
        })
    }

    fn is_seen_by_all(&self, table: &TableProgress, xid: u32) -> bool {
        let mut segments = table.ranges.iter().flat_map(|range| &range.segments);
        segments.all(|segment| self.sees(Some(segment.view), xid))
    }

    fn sees(&self, view: Option<u32>, xid: u32) -> bool {
        view.and_then(|view| self.views.get(usize::try_from(view).ok()?))
            .and_then(|view| view.visibility.as_ref())
            .is_some_and(|visibility| visibility.sees(xid))
    }
}

impl Bounds {
    /// Returns the view of the segment that holds the row's key.
    fn view_of(&self, row: &Row) -> Option<u32> {
        let key: Vec<Value> =
            self.columns.iter().filter_map(|index| row.get(*index).cloned()).collect();
        let holds = |(until, _): &&(Option<Vec<Value>>, u32)| {
            until.as_ref().is_none_or(|until| key::compare(&key, until) != Ordering::Greater)
        };
        self.segments.iter().find(holds).map(|(_, view)| *view)
    }
}

/// The row leaves its old key; the chunk holds it under its new one.
fn old_half(mut event: ChangeEvent) -> ChangeEvent {
    event.op = Op::Delete;
    event.after = None;
    event
}

/// The row arrives at its new key; it never was under its old one.
fn new_half(mut event: ChangeEvent) -> Result<ChangeEvent, Error> {
    if event.after.as_ref().is_some_and(Row::has_unchanged) {
        return Err(Halt::UnchangedAcrossSnapshots { table: event.table.name.clone() }.into());
    }
    debug_assert!(matches!(
        event.before.as_ref().map(|image| image.kind),
        Some(ImageKind::Key | ImageKind::Full)
    ));
    event.op = Op::Create;
    event.before = None;
    Ok(event)
}
