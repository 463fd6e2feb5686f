//! Applies a batch in one transaction: tables brought to their definitions, rows, parked records,
//! offsets.
//!
//! # Failure
//! Whatever fails before COMMIT leaves nothing. A failed or interrupted COMMIT is an unknown
//! outcome: the worker reopens the file, and DuckDB's recovery tells by the offsets it finds.

use std::collections::BTreeMap;
use std::sync::Arc;

use cdc_model::{Offset, Op, TableSchema, TopicPartition};
use cdc_pipeline::port::{Epoch, Generation, SettleBatch, SinkBatch, SinkChange};
use duckdb::Connection;
use indexmap::IndexMap;

use crate::catalog::{self, Catalog};
use crate::cell::Cells;
use crate::define::{add_partition_column, define};
use crate::error::{Error, Result, while_};
use crate::fold::{self, Bases, Departed, Item, Key, Keyed, Keyless};
use crate::layout::{Binding, Layout};
use crate::name::{PARTITION_COLUMN, quote};
use crate::parked;
use crate::stage::{Stage, Staged, cell_at};

const ROWS: &str = "writing rows to";

/// Applies `batch`, which [`check`] has let through, and moves `catalog` with it. After an error `catalog` is to be read anew.
pub(crate) fn apply(
    connection: &Connection,
    catalog: &mut Catalog,
    batch: &SinkBatch,
) -> Result<()> {
    if batch.ranges.iter().all(|range| is_done(catalog, &range.source, range.next)) {
        return Ok(());
    }
    transact(connection, || write(connection, catalog, batch))
}

/// Settles parked records, if [`check_writer`] has let it through. After an error `catalog` is to be read anew.
pub(crate) fn settle(
    connection: &Connection,
    catalog: &mut Catalog,
    batch: &SettleBatch,
) -> Result<()> {
    transact(connection, || {
        let mut changes = Vec::new();
        for (index, settlement) in batch.settlements.iter().enumerate() {
            let (source, offset) = (&settlement.source, settlement.offset);
            let is_parked = parked::take(connection, source, offset)?;
            if let (true, Some(event)) = (is_parked, settlement.change.clone()) {
                changes.push((index, SinkChange { source: source.clone(), offset, event }));
            }
        }
        let groups = group(changes.iter().map(|(index, change)| (*index, change)));
        // A key change is settled whole, so that no half of it waits for the next batch.
        write_rows(connection, catalog, groups, &BTreeMap::new()).map(drop)
    })
}

fn transact(connection: &Connection, work: impl FnOnce() -> Result<()>) -> Result<()> {
    connection.execute_batch("BEGIN").map_err(while_("beginning a transaction in"))?;
    match work() {
        Ok(()) => connection.execute_batch("COMMIT").map_err(while_("committing to")),
        Err(error) => {
            // If this fails too, the worker's reopening rolls back.
            drop(connection.execute_batch("ROLLBACK"));
            Err(error)
        }
    }
}

fn is_done(catalog: &Catalog, source: &TopicPartition, next: Offset) -> bool {
    catalog.offsets.get(source).is_some_and(|(_, held)| next <= *held)
}

/// Refuses a batch that is not this warehouse's next.
pub(crate) fn check(catalog: &Catalog, batch: &SinkBatch) -> Result<()> {
    check_writer(catalog, batch.epoch, batch.generation)?;
    for range in &batch.ranges {
        let Some((id, held)) = catalog.offsets.get(&range.source) else { continue };
        if *id != range.topic_id {
            return Err(Error::TopicRecreated {
                partition: range.source.clone(),
                held: id.clone(),
                found: range.topic_id.clone(),
            });
        }
        if range.first > *held {
            return Err(Error::OffsetGap {
                partition: range.source.clone(),
                held: *held,
                first: range.first,
            });
        }
    }
    Ok(())
}

/// Refuses who is not this warehouse's newest writer.
pub(crate) fn check_writer(catalog: &Catalog, epoch: Epoch, wanted: Generation) -> Result<()> {
    if epoch != catalog.epoch {
        return Err(Error::Fenced { epoch, newest: catalog.epoch });
    }
    if wanted != catalog.generation {
        return Err(Error::WrongGeneration { wanted, held: catalog.generation });
    }
    Ok(())
}

fn write(connection: &Connection, catalog: &mut Catalog, batch: &SinkBatch) -> Result<()> {
    let is_new = |c: &&SinkChange| !is_applied(catalog, &c.source, c.offset);
    let changes: Vec<(usize, &SinkChange)> =
        batch.changes.iter().enumerate().filter(|(_, change)| is_new(change)).collect();
    let last: BTreeMap<_, _> = changes.iter().map(|(at, change)| (&change.source, *at)).collect();
    let departed = write_rows(connection, catalog, group(changes.into_iter()), &last)?;
    for parked in &batch.park {
        if !is_applied(catalog, &parked.record.source, parked.record.offset) {
            parked::park(connection, parked)?;
        }
    }
    for (source, offset) in &batch.unpark_below {
        parked::unpark(connection, source, *offset)?;
    }
    for range in &batch.ranges {
        if is_done(catalog, &range.source, range.next) {
            continue;
        }
        let value = (range.topic_id.clone(), range.next);
        let is_new = catalog.offsets.insert(range.source.clone(), value).is_none();
        let (source, id) = (&range.source, &range.topic_id);
        catalog::save_offset(connection, source, id, range.next, is_new)?;
    }
    for (source, departed) in departed {
        if departed.is_some() || catalog.departed.contains_key(&source) {
            catalog::save_departed(connection, &source, departed.as_ref())?;
        }
        match departed {
            Some(departed) => catalog.departed.insert(source, departed),
            None => catalog.departed.remove(&source),
        };
    }
    Ok(())
}

fn is_applied(catalog: &Catalog, source: &TopicPartition, offset: Offset) -> bool {
    catalog.offsets.get(source).is_some_and(|(_, held)| offset < *held)
}

/// The changes of one table.
#[derive(Default)]
struct Group<'a> {
    /// The versions of its definition, in the order they come.
    schemas: Vec<&'a Arc<TableSchema>>,
    /// Each change's index in the batch, and its version's in `schemas`.
    changes: Vec<(usize, usize, &'a SinkChange)>,
}

/// Sorts changes by table.
fn group<'a>(changes: impl Iterator<Item = (usize, &'a SinkChange)>) -> Vec<Group<'a>> {
    let mut groups = IndexMap::<_, Group<'_>>::new();
    let mut known = IndexMap::<_, (usize, usize)>::new();
    for (index, change) in changes {
        let schema = &change.event.table;
        let (table, version) = *known.entry(Arc::as_ptr(schema)).or_insert_with(|| {
            let entry = groups.entry(&schema.name);
            let table = entry.index();
            let group = entry.or_default();
            group.schemas.push(schema);
            (table, group.schemas.len() - 1)
        });
        groups[table].changes.push((index, version, change));
    }
    groups.into_values().collect()
}

type LastDeparted = BTreeMap<TopicPartition, Option<Departed>>;

fn write_rows(
    connection: &Connection,
    catalog: &mut Catalog,
    groups: Vec<Group<'_>>,
    last: &BTreeMap<&TopicPartition, usize>,
) -> Result<LastDeparted> {
    let mut departed: LastDeparted =
        last.keys().map(|source| (TopicPartition::clone(source), None)).collect();
    for group in groups {
        let number = prepare(connection, catalog, &group)?;
        let layout = &catalog.layouts[number];
        let bindings: Vec<Binding> = group.schemas.iter().map(|s| layout.bind(s)).collect();
        let items: Vec<Item<'_>> = (group.changes.iter())
            .map(|(index, version, change)| Item {
                index: *index,
                change,
                binding: &bindings[*version],
            })
            .collect();
        let table = Table { connection, layout, number, catalog, last };
        for segment in items.chunk_by(|a, b| fold::has_same_key(a.binding, b.binding)) {
            table.write(segment, &mut departed)?;
        }
    }
    Ok(departed)
}

/// Brings the table of `group` to its definitions, and to its partitions.
fn prepare(connection: &Connection, catalog: &mut Catalog, group: &Group<'_>) -> Result<usize> {
    let mut number = 0;
    let mut next = 0;
    for (_, version, change) in &group.changes {
        if *version == next {
            number = define(connection, &mut catalog.layouts, change)?;
            next += 1;
        }
    }
    let layout = &mut catalog.layouts[number];
    let is_foreign = |change: &SinkChange| {
        change.source.partition.0 != layout.partition && change.event.op != Op::Truncate
    };
    if !layout.has_partition_column && group.changes.iter().any(|(_, _, c)| is_foreign(c)) {
        add_partition_column(connection, layout)?;
    }
    Ok(number)
}

/// A table being written.
struct Table<'a> {
    connection: &'a Connection,
    layout: &'a Layout,
    number: usize,
    catalog: &'a Catalog,
    last: &'a BTreeMap<&'a TopicPartition, usize>,
}

impl Table<'_> {
    /// Writes events that name rows by the same columns.
    fn write(&self, items: &[Item<'_>], departed: &mut LastDeparted) -> Result<()> {
        let Some(first) = items.first() else { return Ok(()) };
        if first.binding.key.is_empty() {
            let mut fold = Keyless::new(self.layout);
            items.iter().try_for_each(|item| fold.push(item))?;
            fold.truncated().try_for_each(|partition| self.truncate(partition))?;
            return self.replace(&fold.into_rows(), |stage| self.remove_sql(items, stage));
        }
        let bases = self.bases(items)?;
        let mut fold = Keyed::new(self.layout, &bases, items.len());
        items.iter().try_for_each(|item| fold.push(item))?;
        fold.truncated().try_for_each(|partition| self.truncate(partition))?;
        for item in items.iter().filter(|item| self.may_be_half(item)) {
            departed.insert(item.change.source.clone(), fold.departed(item));
        }
        let key = &first.binding.key;
        self.replace(&fold.into_rows(), |stage| {
            format!(
                "DELETE FROM main.{} AS t USING {stage} AS s WHERE {}",
                self.layout.quoted(),
                self.matches(key)
            )
        })
    }

    /// Whether the rest of a key change may come with the next batch.
    fn may_be_half(&self, item: &Item<'_>) -> bool {
        item.change.event.op == Op::Delete
            && self.last.get(&item.change.source) == Some(&item.index)
            && (self.layout.columns.iter().enumerate())
                .any(|(index, c)| c.kind.is_toastable() && !item.binding.key.contains(&index))
    }

    /// Reads the rows that `items` lean on.
    fn bases(&self, items: &[Item<'_>]) -> Result<Bases> {
        let keys = fold::leans_on(self.layout, items, |item| self.may_be_half(item))?;
        let departed = (self.catalog.departed.iter())
            .filter(|(source, departed)| {
                *self.layout.topic == *source.topic.as_str() && departed.table == self.layout.name
            })
            .map(|(source, departed)| (source.partition.0, self.complete(departed)))
            .collect();
        let stored = if keys.is_empty() {
            IndexMap::new()
        } else {
            self.read(&items[0].binding.key, &keys).map_err(while_("reading rows of"))?
        };
        Ok(Bases { stored, departed })
    }

    /// A departed row may be older than the newest column.
    fn complete(&self, departed: &Departed) -> Departed {
        let missing = self.layout.columns.iter().skip(departed.cells.len());
        let cells = departed.cells.iter().cloned().chain(missing.map(|c| c.fill.clone()));
        Departed { cells: cells.collect(), ..departed.clone() }
    }

    fn read(
        &self,
        key: &[usize],
        keys: &IndexMap<Key, Cells>,
    ) -> duckdb::Result<IndexMap<Key, Cells>> {
        let rows: Vec<Staged> = (0_i64..)
            .zip(keys.values())
            .map(|(n, cells)| Staged { cells: cells.clone(), is_live: false, partition: 0, n })
            .collect();
        let stage = self.stage(&rows)?;
        let columns: Vec<_> = (self.layout.columns.iter())
            .map(|column| column.unload(&format!("t.{}", quote(&column.name))))
            .collect();
        let sql = format!(
            "SELECT s.n, {} FROM main.{} AS t JOIN {} AS s ON {}",
            columns.join(", "),
            self.layout.quoted(),
            stage.sql(),
            self.matches(key)
        );
        let mut found = IndexMap::new();
        let mut statement = self.connection.prepare(&sql)?;
        for batch in statement.query_arrow([])? {
            for row in 0..batch.num_rows() {
                let cell = |column: usize| {
                    cell_at(batch.column(column), row)
                        .ok_or_else(|| duckdb::Error::InvalidColumnIndex(column))
                };
                let crate::cell::Cell::Int(n) = cell(0)? else { continue };
                let Some((key, _)) = usize::try_from(n).ok().and_then(|n| keys.get_index(n)) else {
                    continue;
                };
                let cells = (1..batch.num_columns()).map(cell).collect::<duckdb::Result<_>>()?;
                found.insert(key.clone(), cells);
            }
        }
        drop(statement);
        self.connection.execute_batch(&format!("DROP TABLE {}", stage.sql()))?;
        Ok(found)
    }

    fn stage(&self, rows: &[Staged]) -> duckdb::Result<Stage> {
        let stage = Stage::create(self.connection, self.number, self.layout)?;
        stage.fill(self.connection, self.layout, rows)?;
        Ok(stage)
    }

    fn truncate(&self, partition: i32) -> Result<()> {
        let table = self.layout.quoted();
        let sql = if self.layout.has_partition_column {
            let column = quote(PARTITION_COLUMN);
            format!("DELETE FROM main.{table} WHERE {column} = {partition}")
        } else if self.layout.partition == partition {
            format!("DELETE FROM main.{table}")
        } else {
            return Ok(());
        };
        self.connection.execute_batch(&sql).map_err(while_("truncating a table in"))
    }

    /// Stages `rows`, removes stored ones by the statement `remove` makes, and adds the live ones.
    fn replace(&self, rows: &[Staged], remove: impl Fn(&str) -> String) -> Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        let run = || -> duckdb::Result<()> {
            let stage = self.stage(rows)?.sql();
            self.connection.execute_batch(&remove(&stage))?;
            self.connection.execute_batch(&self.insert_sql(&stage))?;
            self.connection.execute_batch(&format!("DROP TABLE {stage}"))
        };
        run().map_err(while_(ROWS))
    }

    fn insert_sql(&self, stage: &str) -> String {
        let layout = self.layout;
        let mut names: Vec<_> = layout.columns.iter().map(|column| quote(&column.name)).collect();
        let mut values: Vec<_> = (layout.columns.iter().enumerate())
            .map(|(index, column)| column.load(&format!("s.c{index}")))
            .collect();
        if layout.has_partition_column {
            names.push(quote(PARTITION_COLUMN));
            values.push("s.part".to_owned());
        }
        format!(
            "INSERT INTO main.{} ({}) SELECT {} FROM {stage} AS s WHERE s.is_live",
            layout.quoted(),
            names.join(", "),
            values.join(", ")
        )
    }

    /// The condition that a row of the table `t` has the key of a row of the stage `s`.
    fn matches(&self, key: &[usize]) -> String {
        let term = |index: &usize| {
            let column = &self.layout.columns[*index];
            format!("t.{} = {}", quote(&column.name), column.load(&format!("s.c{index}")))
        };
        key.iter().map(term).collect::<Vec<_>>().join(" AND ")
    }

    /// The statement that removes, for each staged row that is not live, `n` rows equal to it in
    /// the columns that the newest definition has.
    fn remove_sql(&self, items: &[Item<'_>], stage: &str) -> String {
        let sources = items.last().map_or(&[][..], |item| &item.binding.sources[..]);
        let mut terms = vec!["NOT s.is_live".to_owned()];
        for (index, column) in self.layout.columns.iter().enumerate() {
            if sources.get(index).is_some_and(Option::is_some) {
                let (name, value) = (quote(&column.name), column.load(&format!("s.c{index}")));
                terms.push(format!("t.{name} IS NOT DISTINCT FROM {value}"));
            }
        }
        let table = self.layout.quoted();
        format!(
            "DELETE FROM main.{table} WHERE rowid IN (
                SELECT row FROM (
                    SELECT t.rowid AS row, s.n AS wanted,
                           row_number() OVER (PARTITION BY s.rowid) AS number
                    FROM main.{table} AS t JOIN {stage} AS s ON {}
                ) WHERE number <= wanted
            )",
            terms.join(" AND ")
        )
    }
}
