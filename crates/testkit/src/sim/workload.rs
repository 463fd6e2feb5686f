//! Seeded transactions: inserts, updates, deletes, key changes, truncates, added columns.

use std::sync::Arc;

use cdc_model::{Column, ColumnType, ReplicaIdentity, Row, TableId, TableName, TableSchema, Value};
use rand::Rng;
use rand::rngs::SmallRng;

use crate::memory::{MemoryDatabase, Statement};
use crate::sim::Plan;

/// The value that the sink refuses.
pub(super) fn poison() -> Value {
    Value::text("poison")
}

/// The tables: two with a key, one without.
pub(super) fn names() -> [TableName; 3] {
    ["a", "b", "keyless"].map(|name| TableName::new("public", name))
}

/// Defines the tables and fills them with what the snapshot will read.
pub(super) fn prepare(database: &MemoryDatabase, plan: &Plan, dice: &mut SmallRng) {
    for (id, name) in (1..).zip(names()) {
        let is_keyless = &*name.table == "keyless";
        database.define(TableSchema {
            id: TableId(id),
            name,
            columns: vec![
                Column::new("id", ColumnType::Int64).not_null(),
                Column::new("v", ColumnType::Text),
            ],
            key: if is_keyless { Vec::new() } else { vec![0] },
            replica_identity: match is_keyless {
                true => ReplicaIdentity::Full,
                false => ReplicaIdentity::Default,
            },
        });
    }
    let mut writer = Writer::new(database, plan, dice);
    for _ in 0..plan.rows_before {
        writer.insert();
    }
    database.commit(writer.statements);
}

/// Commits one transaction.
pub(super) fn commit(database: &MemoryDatabase, plan: &Plan, dice: &mut SmallRng) {
    if dice.random_bool(plan.ddl_rate) {
        add_column(database, dice);
    }
    let rows = match dice.random_bool(0.5) {
        true => dice.random_range(1..=3),
        false => dice.random_range(1..=plan.transaction_rows_max),
    };
    let mut writer = Writer::new(database, plan, dice);
    for _ in 0..rows {
        writer.write();
    }
    database.commit(writer.statements);
}

fn add_column(database: &MemoryDatabase, dice: &mut SmallRng) {
    let name = &names()[dice.random_range(0..3)];
    if let Some((schema, _)) = database.table(name) {
        let mut schema = TableSchema::clone(&schema);
        let added = format!("c{}", schema.columns.len());
        schema.columns.push(Column::new(added, ColumnType::Int32));
        database.define(schema);
    }
}

/// Builds one transaction against a picture of the tables that its own statements move.
struct Writer<'a> {
    dice: &'a mut SmallRng,
    plan: &'a Plan,
    tables: Vec<(TableName, Arc<TableSchema>, Vec<Row>)>,
    statements: Vec<Statement>,
}

impl<'a> Writer<'a> {
    fn new(database: &MemoryDatabase, plan: &'a Plan, dice: &'a mut SmallRng) -> Self {
        let table = |name: TableName| {
            let (schema, rows) = database.table(&name)?;
            Some((name, schema, rows))
        };
        let tables = names().into_iter().filter_map(table).collect();
        Self { dice, plan, tables, statements: Vec::new() }
    }

    fn write(&mut self) {
        let table = self.dice.random_range(0..self.tables.len());
        let has_rows = !self.tables[table].2.is_empty();
        match self.dice.random_range(0..100) {
            0..=1 if self.dice.random_bool(0.3) => self.truncate(table),
            0..=44 if has_rows => self.update(table),
            45..=59 if has_rows => self.delete(table),
            60..=66 if has_rows => self.change_key(table),
            _ => self.insert(),
        }
    }

    fn insert(&mut self) {
        let table = self.dice.random_range(0..self.tables.len());
        let (id, row) = (self.free_id(table), self.tables[table].1.columns.len());
        let row = self.row(table, id, row);
        let (name, _, rows) = &mut self.tables[table];
        rows.push(row.clone());
        self.statements.push(Statement::Insert(name.clone(), row));
    }

    fn update(&mut self, table: usize) {
        let (index, old) = self.pick(table);
        let mut new = self.row(table, id_of(&old), old.len()).into_values();
        let mut unchanged = Vec::new();
        if self.tables[table].1.has_key() && self.dice.random_bool(0.4) {
            new[1] = old[1].clone();
            unchanged.push(1);
        }
        self.replace(table, index, Row::new(new), unchanged);
    }

    /// Changes a key. With one partition the row's unchanged column may come from the old row;
    /// with several the two records may part, and the source logs it whole.
    fn change_key(&mut self, table: usize) {
        let (index, old) = self.pick(table);
        let mut new = old.into_values();
        new[0] = Value::Int64(self.free_id(table));
        let may_keep = self.plan.partitions == 1 && self.tables[table].1.has_key();
        let unchanged = (may_keep && self.dice.random_bool(0.3)).then_some(1).into_iter();
        self.replace(table, index, Row::new(new), unchanged.collect());
    }

    fn delete(&mut self, table: usize) {
        let (index, row) = self.pick(table);
        let (name, _, rows) = &mut self.tables[table];
        rows.swap_remove(index);
        self.statements.push(Statement::Delete(name.clone(), row));
    }

    fn truncate(&mut self, table: usize) {
        let (name, _, rows) = &mut self.tables[table];
        rows.clear();
        self.statements.push(Statement::Truncate(name.clone()));
    }

    fn replace(&mut self, table: usize, index: usize, new: Row, unchanged: Vec<usize>) {
        let (name, _, rows) = &mut self.tables[table];
        let old = std::mem::replace(&mut rows[index], new.clone());
        self.statements.push(Statement::Update { table: name.clone(), old, new, unchanged });
    }

    fn pick(&mut self, table: usize) -> (usize, Row) {
        let rows = &self.tables[table].2;
        let index = self.dice.random_range(0..rows.len());
        (index, rows[index].clone())
    }

    fn row(&mut self, table: usize, id: i64, columns: usize) -> Row {
        let is_poisoned =
            self.tables[table].1.has_key() && self.dice.random_bool(self.plan.poison_rate);
        let v = match self.dice.random_range(0..10) {
            _ if is_poisoned => poison(),
            0 => Value::Null,
            _ => Value::text(format!("v{}", self.dice.random_range(0..1_000))),
        };
        let added = (2..columns).map(|_| match self.dice.random_bool(0.5) {
            true => Value::Int32(self.dice.random_range(0..9)),
            false => Value::Null,
        });
        [Value::Int64(id), v].into_iter().chain(added.collect::<Vec<_>>()).collect()
    }

    fn free_id(&mut self, table: usize) -> i64 {
        let is_keyless = !self.tables[table].1.has_key();
        loop {
            let id = self.dice.random_range(0..if is_keyless { 5 } else { 1_000_000 });
            if is_keyless || self.tables[table].2.iter().all(|row| id_of(row) != id) {
                return id;
            }
        }
    }
}

fn id_of(row: &Row) -> i64 {
    match row.first() {
        Some(Value::Int64(id)) => *id,
        _ => 0,
    }
}
