//! Folding where rows have no key: a multiset. A delete takes one of the equal rows, and it does
//! not matter which.

use std::collections::BTreeSet;

use cdc_model::{ImageKind, Op};
use indexmap::IndexMap;

use super::{Item, Key, check_known, fill_from, new_cells, not_identified, old_cells};
use crate::cell::{Cell, Cells};
use crate::error::Result;
use crate::layout::Layout;
use crate::stage::Staged;

/// The fold of a table without a key.
#[derive(Debug)]
pub(crate) struct Keyless<'a> {
    layout: &'a Layout,
    /// Rows to add, each with its partition and how often.
    added: IndexMap<Key, (Cells, i32, i64)>,
    /// Stored rows to remove, each with how many of it.
    removed: IndexMap<Key, (Cells, i32, i64)>,
    truncated: BTreeSet<i32>,
}

impl<'a> Keyless<'a> {
    pub(crate) fn new(layout: &'a Layout) -> Self {
        let (added, removed) = (IndexMap::new(), IndexMap::new());
        Self { layout, added, removed, truncated: BTreeSet::new() }
    }

    /// Takes in the next event.
    pub(crate) fn push(&mut self, item: &Item<'_>) -> Result<()> {
        match item.change.event.op {
            Op::Truncate => {
                let partition = item.partition();
                self.added.retain(|_, (_, from, _)| *from != partition);
                self.removed.retain(|_, (_, from, _)| *from != partition);
                self.truncated.insert(partition);
            }
            Op::Create | Op::Read => {
                let cells = new_cells(self.layout, item)?;
                check_known(self.layout, &cells)?;
                add(&mut self.added, item, cells);
            }
            Op::Delete => {
                let old = self.old(item)?;
                self.remove(item, old);
            }
            Op::Update => {
                let old = self.old(item)?;
                let mut cells = new_cells(self.layout, item)?;
                fill_from(&mut cells, &old);
                check_known(self.layout, &cells)?;
                self.remove(item, old);
                add(&mut self.added, item, cells);
            }
        }
        Ok(())
    }

    fn old(&self, item: &Item<'_>) -> Result<Cells> {
        match &item.change.event.before {
            Some(image) if image.kind == ImageKind::Full => old_cells(self.layout, item, image),
            _ => Err(not_identified(self.layout)),
        }
    }

    /// Takes back a row the batch adds, or else has a stored one removed.
    fn remove(&mut self, item: &Item<'_>, cells: Cells) {
        let key = key(&cells);
        match self.added.get_mut(&key) {
            Some((_, _, count)) if *count > 1 => *count -= 1,
            Some(_) => drop(self.added.swap_remove(&key)),
            None if self.truncated.contains(&item.partition()) => {}
            None => add(&mut self.removed, item, cells),
        }
    }

    /// Returns the partitions to empty first.
    pub(crate) fn truncated(&self) -> impl Iterator<Item = i32> + '_ {
        self.truncated.iter().copied()
    }

    /// Returns the rows to remove, each with how many of it, and those to add, each as often.
    pub(crate) fn into_rows(self) -> Vec<Staged> {
        let mut rows = Vec::new();
        for (cells, partition, n) in self.removed.into_values() {
            rows.push(Staged { cells, is_live: false, partition, n });
        }
        for (cells, partition, n) in self.added.into_values() {
            for _ in 0..n {
                rows.push(Staged { cells: cells.clone(), is_live: true, partition, n: 1 });
            }
        }
        rows
    }
}

fn key(cells: &[Cell]) -> Key {
    let mut bytes = Vec::new();
    cells.iter().for_each(|cell| cell.write_key(&mut bytes));
    bytes.into()
}

fn add(rows: &mut IndexMap<Key, (Cells, i32, i64)>, item: &Item<'_>, cells: Cells) {
    let (_, _, count) = rows.entry(key(&cells)).or_insert((cells, item.partition(), 0));
    *count += 1;
}
