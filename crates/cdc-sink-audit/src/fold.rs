//! Folds a table's entries to its rows. Pure: lines in, rows out.
//!
//! A column that was sent as unchanged takes its value from the change's own full old image, or
//! from the row as it stood; for a row under a new key, from the row of its old key, which the
//! delete before it removed. Rows without a key are a multiset.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json};

use crate::chain::Line;
use crate::error::{Error, Result};
use crate::recover::damaged;

type Object = Map<String, Json>;

/// A row, the partition it came by, and how often it is there.
#[derive(Debug)]
struct Held {
    row: Object,
    partition: i64,
    count: u64,
}

/// The fold of one table.
#[derive(Debug)]
pub(crate) struct Fold {
    table: String,
    rows_max: usize,
    columns: Vec<String>,
    key: Vec<String>,
    rows: BTreeMap<String, Held>,
    /// The row that each partition's last delete removed, with its key.
    moved: BTreeMap<i64, (String, Object)>,
    total: u64,
}

impl Fold {
    pub(crate) fn new(table: String, rows_max: usize) -> Self {
        let (rows, moved) = (BTreeMap::new(), BTreeMap::new());
        Self { table, rows_max, columns: Vec::new(), key: Vec::new(), rows, moved, total: 0 }
    }

    /// Takes in a line of the table.
    pub(crate) fn take(&mut self, line: &Line) -> Result<()> {
        let taken = match line.kind() {
            "table" => self.define(line),
            "change" => self.change(line)?,
            _ => Some(()),
        };
        taken.ok_or_else(|| damaged("the log", line.seq, "an entry is not understood"))?;
        if self.total > self.rows_max as u64 {
            return Err(Error::TooManyRows { table: self.table.clone(), rows_max: self.rows_max });
        }
        Ok(())
    }

    /// Returns the rows, each as often as it is there.
    pub(crate) fn into_rows(self) -> Vec<Object> {
        let repeat = |held: Held| (0..held.count).map(move |_| held.row.clone());
        self.rows.into_values().flat_map(repeat).collect()
    }

    /// Brings the rows to a definition: what a new column has in old rows, and the key.
    fn define(&mut self, line: &Line) -> Option<()> {
        let columns = line.members.get("columns")?.as_array()?;
        let name = |json: &Json| Some(json.as_str()?.to_owned());
        self.columns = columns.iter().map(|c| name(c.get("name")?)).collect::<Option<_>>()?;
        self.key = line.members.get("key")?.as_array()?.iter().map(name).collect::<Option<_>>()?;
        let rows = std::mem::take(&mut self.rows);
        for mut held in rows.into_values() {
            for (name, column) in self.columns.iter().zip(columns) {
                if !held.row.contains_key(name) {
                    held.row.insert(name.clone(), column.get("missing")?.clone());
                }
            }
            let key = self.key_of(&held.row, held.partition)?;
            match self.rows.get_mut(&key) {
                Some(same) => same.count += held.count,
                None => drop(self.rows.insert(key, held)),
            }
        }
        Some(())
    }

    /// The text that tells a row from others: of its key, or of all its columns.
    fn key_of(&self, row: &Object, partition: i64) -> Option<String> {
        let names = if self.key.is_empty() { &self.columns } else { &self.key };
        let mut values = names.iter().map(|name| row.get(name)).collect::<Option<Vec<_>>>()?;
        let partition = Json::from(partition);
        if self.key.is_empty() {
            values.push(&partition);
        }
        serde_json::to_string(&values).ok()
    }

    fn change(&mut self, line: &Line) -> Result<Option<()>> {
        let parts = || {
            let image = |member| Some(line.members.get(member)?.as_object());
            Some((line.text("op")?, line.number("partition")?, image("before")?, image("after")?))
        };
        let Some((op, partition, before, after)) = parts() else { return Ok(None) };
        Ok(match (op, before, after) {
            ("t", ..) => {
                self.rows.retain(|_, held| held.partition != partition);
                self.total = self.rows.values().map(|held| held.count).sum();
                Some(())
            }
            ("d", Some(before), _) => self.delete(before, partition),
            // The source did not say which row.
            ("d", None, _) => Some(()),
            (_, before, Some(after)) => return self.upsert(line, before, after, partition),
            _ => None,
        })
    }

    fn delete(&mut self, before: &Object, partition: i64) -> Option<()> {
        let key = self.key_of(before, partition)?;
        if let Some(row) = self.remove(&key) {
            self.moved.insert(partition, (key, row));
        }
        Some(())
    }

    fn remove(&mut self, key: &str) -> Option<Object> {
        let held = self.rows.get_mut(key)?;
        self.total -= 1;
        held.count -= 1;
        let is_last = held.count == 0;
        let row = held.row.clone();
        if is_last {
            self.rows.remove(key);
        }
        Some(row)
    }

    fn upsert(
        &mut self,
        line: &Line,
        before: Option<&Object>,
        after: &Object,
        partition: i64,
    ) -> Result<Option<()>> {
        let mut row = after.clone();
        let is_full = line.members.get("before_is_full").and_then(Json::as_bool) == Some(true);
        let old_key = before.and_then(|before| self.key_of(before, partition));
        if let (true, Some(before)) = (is_full, before) {
            fill(&mut row, &self.columns, before);
        }
        let standing = match &old_key {
            Some(old) => self.rows.get(old).map(|held| &held.row),
            None => {
                self.key_of(&row, partition).and_then(|key| self.rows.get(&key)).map(|h| &h.row)
            }
        };
        let moved = self.moved.get(&partition).filter(|(key, _)| Some(key) == old_key.as_ref());
        if let Some(old) = standing.or(moved.map(|(_, row)| row)) {
            fill(&mut row, &self.columns, &old.clone());
        }
        if let Some(column) = self.columns.iter().find(|name| !row.contains_key(*name)) {
            let (table, column) = (self.table.clone(), column.clone());
            return Err(Error::UnchangedWithoutRow { table, column });
        }
        let Some(key) = self.key_of(&row, partition) else { return Ok(None) };
        if let (Some("u"), Some(old)) = (line.text("op"), &old_key) {
            self.remove(old);
        }
        if !self.key.is_empty() {
            self.remove(&key);
        }
        let held = self.rows.entry(key).or_insert(Held { row, partition, count: 0 });
        held.count += 1;
        self.total += 1;
        Ok(Some(()))
    }
}

fn fill(row: &mut Object, columns: &[String], old: &Object) {
    for name in columns {
        if let (false, Some(value)) = (row.contains_key(name), old.get(name)) {
            row.insert(name.clone(), value.clone());
        }
    }
}
