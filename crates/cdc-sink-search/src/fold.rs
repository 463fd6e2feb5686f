//! Folds a table's events to what becomes of each row. Pure but for looking up stored rows.
//!
//! A column sent as unchanged takes its value from the event's own full old image, or from the row
//! as it stands: as earlier events of the batch left it, else as it is stored. A record that creates
//! a row under a new key takes it from the row of its old key, which the delete before it has just
//! removed; the project loop never parts the two. If none knows it, the fold fails.
//!
//! Rows without a key are a multiset: equal rows are documents numbered from 0, and a delete takes
//! the one with the highest number.

use std::collections::BTreeSet;

use cdc_model::{ImageKind, Op, Row, Value};
use cdc_pipeline::port::SinkChange;
use indexmap::IndexMap;
use serde_json::{Value as Json, json};
use tantivy::Term;

use crate::document::{Fields, Step, digest, source_term};
use crate::error::{Error, Result};
use crate::json;
use crate::layout::Layout;

/// One cell for each of the layout's columns; `None` is unchanged.
pub(crate) type Cells = Vec<Option<Json>>;

/// An event, its index in the batch, and where its row's columns are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Item<'a> {
    pub(crate) index: usize,
    pub(crate) change: &'a SinkChange,
    pub(crate) sources: &'a [Option<usize>],
}

/// What is stored.
pub(crate) trait Stored {
    /// Returns the row with this id.
    fn row(&self, layout: &Layout, id: &str) -> Result<Option<Cells>>;
    /// Counts the equal rows of a group.
    fn count(&self, group: &str) -> Result<u64>;
}

#[derive(Debug)]
enum Entry {
    /// A row with a key: as it is now if it is there, and as it was before it went, unless that is
    /// still to be read.
    Keyed { now: Option<Cells>, last: Option<Cells>, is_unread: bool, source: String },
    /// Equal rows without a key: how many are stored, and how many there are now.
    Equal { cells: Cells, stored: u64, now: u64, source: String },
}

/// The fold of one table.
pub(crate) struct Fold<'a, S> {
    stored: &'a S,
    entries: IndexMap<String, Entry>,
    truncated: BTreeSet<String>,
}

impl<'a, S: Stored> Fold<'a, S> {
    pub(crate) fn new(stored: &'a S) -> Self {
        Self { stored, entries: IndexMap::new(), truncated: BTreeSet::new() }
    }

    /// Returns whether the batch left rows so far.
    pub(crate) fn has_rows(&self) -> bool {
        self.entries.values().any(|entry| match entry {
            Entry::Keyed { now, .. } => now.is_some(),
            Entry::Equal { now, .. } => *now > 0,
        })
    }

    /// Gives rows that the batch left so far what they have in columns that were just added.
    pub(crate) fn widen(&mut self, layout: &Layout) {
        let widen = |cells: &mut Cells| {
            let missing = layout.columns.iter().skip(cells.len());
            cells.extend(missing.map(|column| Some(column.fill.clone())));
        };
        for entry in self.entries.values_mut() {
            match entry {
                Entry::Keyed { now, last, .. } => now.iter_mut().chain(last).for_each(widen),
                Entry::Equal { cells, .. } => widen(cells),
            }
        }
    }

    /// Takes in the next event.
    pub(crate) fn push(&mut self, layout: &Layout, item: &Item<'_>) -> Result<()> {
        let event = &item.change.event;
        let before = event.before.as_ref();
        let rows = before.map(|image| &image.row).into_iter().chain(&event.after);
        if rows.into_iter().any(|row| row.len() != event.table.columns.len()) {
            return Err(poison(item, "its row has not the columns of its table"));
        }
        let source = source_term(&item.change.source);
        match (event.op, &event.after) {
            (Op::Truncate, _) => {
                self.truncate(source);
                Ok(())
            }
            (Op::Delete, _) if layout.has_key() => {
                let image = before.ok_or_else(|| not_identified(layout))?;
                let id = key_id(layout, item, &image.row)?;
                self.remove(id, source);
                Ok(())
            }
            (Op::Delete, _) => {
                let cells = old_cells(layout, item)?;
                self.take(layout, &cells, source)
            }
            (Op::Create | Op::Read | Op::Update, None) => Err(not_identified(layout)),
            (_, Some(row)) if layout.has_key() => self.upsert(layout, item, row, source),
            (op, Some(row)) => {
                let mut cells = cells(layout, item, row);
                if op == Op::Update {
                    let old = old_cells(layout, item)?;
                    fill_from(&mut cells, &old);
                    check_known(layout, &cells)?;
                    self.take(layout, &old, source.clone())?;
                }
                check_known(layout, &cells)?;
                self.put(layout, cells, source)
            }
        }
    }

    fn truncate(&mut self, partition: String) {
        for entry in self.entries.values_mut() {
            match entry {
                Entry::Keyed { now, last, is_unread, source } if *source == partition => {
                    (*now, *last, *is_unread) = (None, None, false);
                }
                Entry::Equal { now, stored, source, .. } if *source == partition => {
                    (*now, *stored) = (0, 0);
                }
                Entry::Keyed { .. } | Entry::Equal { .. } => {}
            }
        }
        self.truncated.insert(partition);
    }

    fn upsert(
        &mut self,
        layout: &Layout,
        item: &Item<'_>,
        row: &Row,
        source: String,
    ) -> Result<()> {
        let id = key_id(layout, item, row)?;
        let mut cells = cells(layout, item, row);
        let mut old_id = None;
        if let Some(image) = &item.change.event.before {
            if image.kind == ImageKind::Full {
                fill_from(&mut cells, &self::cells(layout, item, &image.row));
            }
            old_id = Some(key_id(layout, item, &image.row)?).filter(|old| *old != id);
        }
        if cells.contains(&None) {
            let found = match &old_id {
                Some(old) => self.left(layout, old, &source)?,
                None => self.standing(layout, &id, &source)?,
            };
            if let Some(found) = found {
                fill_from(&mut cells, &found);
            }
            check_known(layout, &cells)?;
        }
        if let (Op::Update, Some(old)) = (item.change.event.op, old_id) {
            self.remove(old, source.clone());
        }
        let now = Some(cells);
        self.entries.insert(id, Entry::Keyed { now, last: None, is_unread: false, source });
        Ok(())
    }

    /// The row that `id` has now.
    fn standing(&self, layout: &Layout, id: &str, source: &str) -> Result<Option<Cells>> {
        match self.entries.get(id) {
            Some(Entry::Keyed { now, .. }) => Ok(now.clone()),
            _ if self.truncated.contains(source) => Ok(None),
            _ => self.stored.row(layout, id),
        }
    }

    /// The row that `id` has, or had until it went.
    fn left(&self, layout: &Layout, id: &str, source: &str) -> Result<Option<Cells>> {
        match self.entries.get(id) {
            Some(Entry::Keyed { is_unread: true, .. }) => self.stored.row(layout, id),
            Some(Entry::Keyed { now, last, .. }) => Ok(now.clone().or(last.clone())),
            _ => self.standing(layout, id, source),
        }
    }

    fn remove(&mut self, id: String, source: String) {
        let (last, is_unread) = match self.entries.get_mut(&id) {
            Some(Entry::Keyed { now, last, is_unread, .. }) => {
                (now.take().or(last.take()), *is_unread)
            }
            _ => (None, !self.truncated.contains(&source)),
        };
        self.entries.insert(id, Entry::Keyed { now: None, last, is_unread, source });
    }

    /// Adds one of equal rows.
    fn put(&mut self, layout: &Layout, cells: Cells, source: String) -> Result<()> {
        if let Some(Entry::Equal { now, .. }) = self.equal(layout, &cells, source)? {
            *now += 1;
        }
        Ok(())
    }

    /// Removes one of equal rows, if there is one.
    fn take(&mut self, layout: &Layout, cells: &Cells, source: String) -> Result<()> {
        if let Some(Entry::Equal { now, .. }) = self.equal(layout, cells, source)? {
            *now = now.saturating_sub(1);
        }
        Ok(())
    }

    fn equal(
        &mut self,
        layout: &Layout,
        cells: &Cells,
        source: String,
    ) -> Result<Option<&mut Entry>> {
        let known = layout.columns.iter().zip(cells);
        let known = known.filter_map(|(column, cell)| Some((&column.name, cell.as_ref()?)));
        let known: Vec<_> = known.filter(|(_, cell)| !cell.is_null()).collect();
        let group = digest(&json!(["group", layout.topic, source, known]));
        if !self.entries.contains_key(&group) {
            let is_gone = self.truncated.contains(&source);
            let stored = if is_gone { 0 } else { self.stored.count(&group)? };
            let cells = cells.clone();
            let entry = Entry::Equal { cells, stored, now: stored, source };
            self.entries.insert(group.clone(), entry);
        }
        Ok(self.entries.get_mut(&group))
    }

    /// Returns what to do, in this order.
    pub(crate) fn into_steps(self, layout: &Layout, fields: &Fields) -> Vec<Step> {
        let truncated = self.truncated.iter();
        let remove = |source: &String| Step::Remove(Term::from_field_text(fields.source, source));
        let mut steps: Vec<_> = truncated.map(remove).collect();
        for (id, entry) in self.entries {
            match entry {
                Entry::Keyed { now, source, .. } => {
                    steps.push(Step::Remove(fields.id(&id)));
                    let row = now.map(|cells| fields.row(layout, &cells, &id, &source));
                    steps.extend(row.map(Step::Add));
                }
                Entry::Equal { cells, stored, now, source } => {
                    let numbered = |n: u64| format!("{id}#{n}");
                    let gone = (now..stored).map(|n| Step::Remove(fields.id(&numbered(n))));
                    steps.extend(gone);
                    for n in stored..now {
                        let mut row = fields.row(layout, &cells, &numbered(n), &source);
                        row.add_text(fields.group, &id);
                        steps.push(Step::Add(row));
                    }
                }
            }
        }
        steps
    }
}

fn cells(layout: &Layout, item: &Item<'_>, row: &Row) -> Cells {
    let cell = |(column, source): (&crate::layout::Column, &Option<usize>)| match source
        .and_then(|source| row.get(source))
    {
        Some(Value::Unchanged) => None,
        Some(value) => Some(json::value(value)),
        None => Some(column.fill.clone()),
    };
    layout.columns.iter().zip(item.sources).map(cell).collect()
}

fn old_cells(layout: &Layout, item: &Item<'_>) -> Result<Cells> {
    match &item.change.event.before {
        Some(image) if image.kind == ImageKind::Full => Ok(cells(layout, item, &image.row)),
        _ => Err(not_identified(layout)),
    }
}

/// Returns the id of the row that `row` holds the key of.
fn key_id(layout: &Layout, item: &Item<'_>, row: &Row) -> Result<String> {
    let table = &item.change.event.table;
    let mut parts = vec![json!("key"), json!(layout.topic)];
    for index in &table.key {
        match row.get(*index) {
            None | Some(Value::Null) => return Err(poison(item, "a key is never NULL")),
            Some(Value::Unchanged) => return Err(poison(item, "a key is never left out")),
            Some(value) => parts.push(json::key(value)),
        }
    }
    Ok(digest(&Json::Array(parts)))
}

fn fill_from(cells: &mut Cells, old: &Cells) {
    for (cell, old) in cells.iter_mut().zip(old) {
        if cell.is_none() {
            cell.clone_from(old);
        }
    }
}

fn check_known(layout: &Layout, cells: &Cells) -> Result<()> {
    match cells.iter().position(Option::is_none) {
        None => Ok(()),
        Some(index) => Err(Error::UnchangedWithoutRow {
            table: layout.table.clone(),
            column: layout.columns[index].name.clone(),
        }),
    }
}

fn poison(item: &Item<'_>, why: &'static str) -> Error {
    let table = item.change.event.table.name.to_string();
    Error::Poison { index: item.index, table, why }
}

fn not_identified(layout: &Layout) -> Error {
    Error::RowNotIdentified { table: layout.table.clone() }
}
