//! Folding where rows have a key: the last state of each.

use std::collections::BTreeSet;

use cdc_model::{ImageKind, Op, Value};
use indexmap::IndexMap;

use super::{
    Bases, Departed, Item, Key, check_known, fill_from, key_of, new_cells, not_identified,
    old_cells,
};
use crate::cell::{Cell, Cells};
use crate::error::Result;
use crate::layout::Layout;
use crate::stage::Staged;

/// What became of a key.
#[derive(Debug)]
struct Entry {
    /// The row, or once it is gone only its key.
    cells: Cells,
    is_live: bool,
    /// The row it had before it went, as far as known.
    last: Option<Cells>,
    partition: i32,
}

/// The fold of a table with a key.
#[derive(Debug)]
pub(crate) struct Keyed<'a> {
    layout: &'a Layout,
    bases: &'a Bases,
    entries: IndexMap<Key, Entry>,
    truncated: BTreeSet<i32>,
}

impl<'a> Keyed<'a> {
    pub(crate) fn new(layout: &'a Layout, bases: &'a Bases, capacity: usize) -> Self {
        let entries = IndexMap::with_capacity(capacity);
        Self { layout, bases, entries, truncated: BTreeSet::new() }
    }

    /// Takes in the next event.
    pub(crate) fn push(&mut self, item: &Item<'_>) -> Result<()> {
        match item.change.event.op {
            Op::Truncate => {
                self.truncate(item.partition());
                Ok(())
            }
            Op::Delete => {
                let before = item.change.event.before.as_ref();
                let before = before.ok_or_else(|| not_identified(self.layout))?;
                let cells = old_cells(self.layout, item, before)?;
                let key = key_of(self.layout, item, &cells)?;
                self.remove(item.partition(), key, cells);
                Ok(())
            }
            Op::Create | Op::Read | Op::Update => self.upsert(item),
        }
    }

    fn truncate(&mut self, partition: i32) {
        for entry in self.entries.values_mut().filter(|entry| entry.partition == partition) {
            entry.is_live = false;
            entry.last = None;
        }
        self.truncated.insert(partition);
    }

    fn remove(&mut self, partition: i32, key: Key, cells: Cells) {
        let last = match self.entries.get_mut(&key) {
            Some(entry) if entry.is_live => Some(std::mem::take(&mut entry.cells)),
            Some(entry) => entry.last.take(),
            None => self.stored(&key, partition).cloned(),
        };
        self.entries.insert(key, Entry { cells, is_live: false, last, partition });
    }

    fn upsert(&mut self, item: &Item<'_>) -> Result<()> {
        let mut cells = new_cells(self.layout, item)?;
        let key = key_of(self.layout, item, &cells)?;
        let partition = item.partition();
        let mut old = None;
        if let Some(image) = &item.change.event.before {
            let old_row = old_cells(self.layout, item, image)?;
            let old_key = key_of(self.layout, item, &old_row)?;
            if image.kind == ImageKind::Full {
                fill_from(&mut cells, &old_row);
            }
            if old_key != key {
                old = Some((old_key, old_row));
            }
        }
        if cells.contains(&Cell::Unchanged) {
            let found = match &old {
                Some((old_key, _)) => self.left(old_key, partition),
                None => self.standing(&key, partition),
            };
            if let Some(found) = found {
                fill_from(&mut cells, found);
            }
            check_known(self.layout, &cells)?;
        }
        if let (Op::Update, Some((old_key, old_row))) = (item.change.event.op, old) {
            self.remove(partition, old_key, old_row);
        }
        self.entries.insert(key, Entry { cells, is_live: true, last: None, partition });
        Ok(())
    }

    /// The stored row, if the batch has not emptied its partition.
    fn stored(&self, key: &Key, partition: i32) -> Option<&Cells> {
        if self.truncated.contains(&partition) { None } else { self.bases.stored.get(key) }
    }

    /// The row that `key` has now.
    fn standing(&self, key: &Key, partition: i32) -> Option<&Cells> {
        match self.entries.get(key) {
            Some(entry) => entry.is_live.then_some(&entry.cells),
            None => self.stored(key, partition),
        }
    }

    /// The row that `key` has, or had until it went.
    fn left(&self, key: &Key, partition: i32) -> Option<&Cells> {
        let departed = self
            .bases
            .departed
            .get(&partition)
            .filter(|departed| departed.table == self.layout.name && departed.key == *key);
        match self.entries.get(key) {
            Some(entry) if entry.is_live => Some(&entry.cells),
            Some(entry) => entry.last.as_ref(),
            None => self.stored(key, partition).or(departed.map(|departed| &departed.cells)),
        }
    }

    /// Returns the partitions to empty first.
    pub(crate) fn truncated(&self) -> impl Iterator<Item = i32> + '_ {
        self.truncated.iter().copied()
    }

    /// Returns the row that the delete `item` removed, if it is known.
    pub(crate) fn departed(&self, item: &Item<'_>) -> Option<Departed> {
        let before = item.change.event.before.as_ref()?;
        let cells = old_cells(self.layout, item, before).ok()?;
        let key = key_of(self.layout, item, &cells).ok()?;
        let cells = self.entries.get(&key)?.last.clone()?;
        Some(Departed { table: self.layout.name.clone(), key, cells })
    }

    /// Returns one row for each key touched.
    pub(crate) fn into_rows(self) -> Vec<Staged> {
        let staged = |entry: Entry| Staged {
            cells: entry.cells,
            is_live: entry.is_live,
            partition: entry.partition,
            n: 1,
        };
        self.entries.into_values().map(staged).collect()
    }
}

/// Keys whose stored rows the fold of `items` leans on, as rows of their key alone: those of rows
/// with unchanged columns, and with `is_last` those of deletes that may be half of a key change.
pub(crate) fn leans_on(
    layout: &Layout,
    items: &[Item<'_>],
    is_last: impl Fn(&Item<'_>) -> bool,
) -> Result<IndexMap<Key, Cells>> {
    let mut keys = IndexMap::new();
    for item in items {
        let event = &item.change.event;
        let is_partial = event
            .after
            .as_ref()
            .is_some_and(|row| row.iter().any(|value| matches!(value, Value::Unchanged)));
        let is_last = event.op == Op::Delete && is_last(item);
        if !is_partial && !is_last {
            continue;
        }
        if is_partial {
            let cells = new_cells(layout, item)?;
            let key = key_of(layout, item, &cells)?;
            keys.insert(key, key_alone(item, &cells));
        }
        if let Some(image) = &event.before {
            let cells = old_cells(layout, item, image)?;
            let key = key_of(layout, item, &cells)?;
            keys.insert(key, key_alone(item, &cells));
        }
    }
    Ok(keys)
}

fn key_alone(item: &Item<'_>, cells: &[Cell]) -> Cells {
    let mut alone = vec![Cell::Null; cells.len()];
    for index in &item.binding.key {
        alone[*index] = cells[*index].clone();
    }
    alone.into()
}
