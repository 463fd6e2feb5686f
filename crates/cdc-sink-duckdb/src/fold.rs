//! Folds a table's events to the last state of each row. Pure: events and the rows they lean on in,
//! rows to stage out.
//!
//! A column sent as unchanged takes its value from, in this order: the event's own full old image,
//! the row as earlier events of the batch left it, the stored row. A record that creates a row under
//! a new key (the second half of a key change) takes it from the row of its old key, which the
//! delete before it has just removed: in this batch, or as the last thing of the batch before
//! ([`Departed`]). If none of them knows it, the fold fails: a guess would be NULL.

mod keyed;
mod keyless;

use std::sync::Arc;

use cdc_model::{ImageKind, RowImage, Value};
use cdc_pipeline::port::SinkChange;
use indexmap::IndexMap;

use crate::cell::{Cell, Cells};
use crate::error::{Error, Result};
use crate::layout::{Binding, Layout};

pub(crate) use keyed::{Keyed, leans_on};
pub(crate) use keyless::Keyless;

/// A row's key, as bytes that are equal when keys are.
pub(crate) type Key = Box<[u8]>;

/// An event of one table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Item<'a> {
    /// Its index in the batch.
    pub(crate) index: usize,
    pub(crate) change: &'a SinkChange,
    pub(crate) binding: &'a Binding,
}

impl Item<'_> {
    pub(crate) fn partition(&self) -> i32 {
        self.change.source.partition.0
    }
}

/// The row that a partition's last delete removed: the other half of its key change may follow in
/// the next batch.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Departed {
    /// The warehouse table.
    pub(crate) table: String,
    pub(crate) key: Key,
    pub(crate) cells: Cells,
}

/// What events may lean on besides each other.
#[derive(Debug, Default)]
pub(crate) struct Bases {
    /// Stored rows, by key.
    pub(crate) stored: IndexMap<Key, Cells>,
    /// Rows that departed with the batch before, by partition.
    pub(crate) departed: IndexMap<i32, Departed>,
}

/// Makes the cells of `item`'s new row; some may be [`Cell::Unchanged`].
fn new_cells(layout: &Layout, item: &Item<'_>) -> Result<Cells> {
    let Some(row) = &item.change.event.after else {
        return Err(not_identified(layout));
    };
    cells(layout, item, row, |_| true)
}

/// Makes the cells of an old image: all of them, or only the key's with the others NULL.
fn old_cells(layout: &Layout, item: &Item<'_>, image: &RowImage) -> Result<Cells> {
    let is_full = image.kind == ImageKind::Full;
    cells(layout, item, &image.row, |index| is_full || item.binding.key.contains(&index))
}

fn cells(
    layout: &Layout,
    item: &Item<'_>,
    row: &[Value],
    is_wanted: impl Fn(usize) -> bool,
) -> Result<Cells> {
    let cell = |(index, source): (usize, &Option<usize>)| {
        let column = &layout.columns[index];
        match source {
            _ if !is_wanted(index) => Ok(Cell::Null),
            None => Ok(column.fill.clone()),
            Some(source) => (row.get(*source).ok_or("the row has no such column"))
                .and_then(|value| Cell::of(value, &column.kind))
                .map_err(|why| poison(layout, item, index, why)),
        }
    };
    item.binding.sources.iter().enumerate().map(cell).collect()
}

/// Returns the key of a row.
fn key_of(layout: &Layout, item: &Item<'_>, cells: &[Cell]) -> Result<Key> {
    let mut bytes = Vec::with_capacity(16 * item.binding.key.len());
    for index in &item.binding.key {
        match &cells[*index] {
            Cell::Null => return Err(poison(layout, item, *index, "a key is never NULL")),
            Cell::Unchanged => {
                return Err(poison(layout, item, *index, "a key is never left out"));
            }
            cell => cell.write_key(&mut bytes),
        }
    }
    Ok(bytes.into())
}

/// Fills what is still unchanged in `cells` from `old`.
fn fill_from(cells: &mut Cells, old: &[Cell]) {
    for (cell, old) in cells.iter_mut().zip(old) {
        if matches!(cell, Cell::Unchanged) {
            *cell = old.clone();
        }
    }
}

/// Refuses a row of which something is still unknown.
fn check_known(layout: &Layout, cells: &[Cell]) -> Result<()> {
    match cells.iter().position(|cell| matches!(cell, Cell::Unchanged)) {
        None => Ok(()),
        Some(index) => Err(Error::UnchangedWithoutRow {
            table: layout.source.to_string(),
            column: layout.columns[index].name.to_string(),
        }),
    }
}

fn poison(layout: &Layout, item: &Item<'_>, column: usize, why: &'static str) -> Error {
    Error::Poison {
        index: item.index,
        table: layout.source.to_string(),
        column: layout.columns[column].name.to_string(),
        why,
    }
}

fn not_identified(layout: &Layout) -> Error {
    Error::RowNotIdentified { table: layout.source.to_string() }
}

/// Returns whether two events of a table name its rows by the same columns.
pub(crate) fn has_same_key(one: &Binding, other: &Binding) -> bool {
    Arc::ptr_eq(&one.schema, &other.schema) || one.key == other.key
}
