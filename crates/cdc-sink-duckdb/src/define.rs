//! Brings a warehouse table to a new definition of its source, or halts where that would guess.

use std::collections::BTreeMap;
use std::sync::Arc;

use cdc_model::{Column as SourceColumn, DefaultValue, TableName, TableSchema};
use cdc_pipeline::port::SinkChange;
use duckdb::{Connection, params};
use indexmap::IndexMap;

use crate::catalog::save_layout;
use crate::cell::Cell;
use crate::error::{Error, Result, while_};
use crate::evolve::join;
use crate::kind::Kind;
use crate::layout::{Column, Layout};
use crate::name::{PARTITION_COLUMN, folded, literal, quote, table_name};
use crate::stage::cell_at;

const CREATING: &str = "creating a table in";
const ALTERING: &str = "altering a table in";

/// Makes the table of `change` hold rows of its schema. Returns the table's index.
pub(crate) fn define(
    connection: &Connection,
    layouts: &mut IndexMap<TableName, Layout>,
    change: &SinkChange,
) -> Result<usize> {
    let schema = &change.event.table;
    check_columns(schema)?;
    let Some((index, _, layout)) = layouts.get_full_mut(&schema.name) else {
        let layout = create(connection, layouts, change)?;
        return Ok(layouts.insert_full(schema.name.clone(), layout).0);
    };
    if *layout.topic != *change.source.topic.as_str() {
        return Err(Error::NameCollision {
            name: layout.name.clone(),
            first: layout.topic.to_string(),
            second: change.source.topic.to_string(),
        });
    }
    if evolve(connection, layout, schema)? {
        save_layout(connection, layout)?;
    }
    Ok(index)
}

/// Gives the table a column that tells rows of several partitions apart.
pub(crate) fn add_partition_column(connection: &Connection, layout: &mut Layout) -> Result<()> {
    let (table, column) = (layout.quoted(), quote(PARTITION_COLUMN));
    let sql = format!(
        "ALTER TABLE main.{table} ADD COLUMN {column} INTEGER DEFAULT {};
         ALTER TABLE main.{table} ALTER COLUMN {column} DROP DEFAULT",
        layout.partition
    );
    connection.execute_batch(&sql).map_err(while_(ALTERING))?;
    layout.has_partition_column = true;
    save_layout(connection, layout)
}

/// Refuses columns that DuckDB, or we, could not tell apart.
fn check_columns(schema: &TableSchema) -> Result<()> {
    let mut seen = BTreeMap::from([(PARTITION_COLUMN.to_owned(), PARTITION_COLUMN)]);
    if !schema.has_key() {
        seen.insert("rowid".to_owned(), "rowid");
    }
    for column in &schema.columns {
        if let Some(first) = seen.insert(folded(&column.name), &column.name) {
            return Err(Error::NameCollision {
                name: format!("{}.{}", table_name(&schema.name), column.name),
                first: first.to_owned(),
                second: column.name.to_string(),
            });
        }
    }
    Ok(())
}

fn create(
    connection: &Connection,
    layouts: &IndexMap<TableName, Layout>,
    change: &SinkChange,
) -> Result<Layout> {
    let schema = &change.event.table;
    let name = table_name(&schema.name);
    let collision = |first: String| Error::NameCollision {
        name: name.clone(),
        first,
        second: schema.name.to_string(),
    };
    if let Some(other) = layouts.values().find(|other| folded(&other.name) == folded(&name)) {
        return Err(collision(other.source.to_string()));
    }
    let taken = "SELECT count(*) FROM information_schema.tables
                 WHERE table_schema = 'main' AND lower(table_name) = lower(?)";
    let taken: i64 =
        connection.query_row(taken, params![name], |row| row.get(0)).map_err(while_(CREATING))?;
    if taken > 0 {
        return Err(collision(format!("main.{name}, made by someone else")));
    }
    let column = |source: &SourceColumn| Column {
        name: Arc::clone(&source.name),
        kind: Kind::of(&source.ty),
        ty: source.ty.clone(),
        fill: Cell::Null,
        is_dropped: false,
    };
    let columns: Vec<_> = schema.columns.iter().map(column).collect();
    let list: Vec<_> =
        columns.iter().map(|c| format!("{} {}", quote(&c.name), c.kind.sql())).collect();
    let list = if list.is_empty() {
        format!("{} INTEGER", quote(PARTITION_COLUMN))
    } else {
        list.join(", ")
    };
    connection
        .execute_batch(&format!("CREATE TABLE main.{} ({list})", quote(&name)))
        .map_err(while_(CREATING))?;
    let layout = Layout {
        name,
        source: schema.name.clone(),
        topic: Arc::clone(&change.source.topic.0),
        partition: change.source.partition.0,
        has_partition_column: columns.is_empty(),
        columns,
    };
    save_layout(connection, &layout)?;
    Ok(layout)
}

/// Returns whether anything changed.
fn evolve(connection: &Connection, layout: &mut Layout, schema: &TableSchema) -> Result<bool> {
    let missing: Vec<_> = (layout.columns.iter().enumerate())
        .filter(|(_, held)| !held.is_dropped && schema.column_index(&held.name).is_none())
        .map(|(index, _)| index)
        .collect();
    let mut has_changed = false;
    for source in &schema.columns {
        match layout.index_of(&source.name) {
            Some(index) if layout.columns[index].is_dropped => {
                return Err(resync(layout, &source.name, "was dropped and has come back"));
            }
            Some(index) => has_changed |= widen(connection, layout, index, source)?,
            None if !missing.is_empty() => {
                let why = "appeared where another went: whether it was renamed cannot be told";
                return Err(resync(layout, &source.name, why));
            }
            None => {
                add(connection, layout, source)?;
                has_changed = true;
            }
        }
    }
    // With several partitions, an event without the column may just be older than the column.
    if !layout.has_partition_column {
        for index in missing {
            layout.columns[index].is_dropped = true;
            has_changed = true;
        }
    }
    Ok(has_changed)
}

fn resync(layout: &Layout, column: &str, why: &str) -> Error {
    Error::ResyncNeeded {
        table: layout.source.to_string(),
        column: column.to_owned(),
        why: why.to_owned(),
    }
}

fn widen(
    connection: &Connection,
    layout: &mut Layout,
    index: usize,
    source: &SourceColumn,
) -> Result<bool> {
    let held = &layout.columns[index];
    let Some(joined) = join(&held.ty, &source.ty) else {
        return Err(resync(layout, &source.name, "changed its type"));
    };
    if joined == held.ty {
        return Ok(false);
    }
    let kind = Kind::of(&joined);
    if kind == held.kind {
        layout.columns[index].ty = joined;
        return Ok(true);
    }
    let Some(fill) = held.fill.widened(&held.kind, &kind) else {
        return Err(resync(layout, &source.name, "changed its type"));
    };
    let (table, name, to) = (layout.quoted(), quote(&source.name), kind.sql());
    let sql = format!("ALTER TABLE main.{table} ALTER COLUMN {name} SET DATA TYPE {to}");
    connection.execute_batch(&sql).map_err(while_(ALTERING))?;
    let held = &mut layout.columns[index];
    (held.ty, held.kind, held.fill) = (joined, kind, fill);
    Ok(true)
}

fn add(connection: &Connection, layout: &mut Layout, source: &SourceColumn) -> Result<()> {
    let column = Column {
        name: Arc::clone(&source.name),
        kind: Kind::of(&source.ty),
        ty: source.ty.clone(),
        fill: Cell::Null,
        is_dropped: false,
    };
    if let Some(other) =
        layout.columns.iter().find(|held| folded(&held.name) == folded(&column.name))
    {
        return Err(Error::NameCollision {
            name: format!("{}.{}", layout.name, column.name),
            first: other.name.to_string(),
            second: column.name.to_string(),
        });
    }
    let (table, name) = (layout.quoted(), quote(&column.name));
    let fill = fill(connection, layout, source, &column.kind)?;
    let mut sql = format!("ALTER TABLE main.{table} ADD COLUMN {name} {}", column.kind.sql());
    let mut cell = Cell::Null;
    if let Some(constant) = fill {
        cell = evaluate(connection, &column, &constant).ok_or_else(|| {
            resync(layout, &source.name, "was added with a default not understood")
        })?;
        sql += &format!(
            " DEFAULT {constant}; ALTER TABLE main.{table} ALTER COLUMN {name} DROP DEFAULT"
        );
    }
    connection.execute_batch(&sql).map_err(while_(ALTERING))?;
    layout.columns.push(Column { fill: cell, ..column });
    Ok(())
}

/// Returns the string constant for what old rows have in an added column; `None` is NULL. It is no
/// expression: with one DuckDB's ALTER needs settings that are locked.
fn fill(
    connection: &Connection,
    layout: &Layout,
    source: &SourceColumn,
    kind: &Kind,
) -> Result<Option<String>> {
    let Some(text) = &source.missing else {
        let why = match &source.default {
            None if source.is_nullable => return Ok(None),
            None => "was added NOT NULL without a default",
            // It may have been set after the column was added, or the table rewritten since.
            Some(DefaultValue::Literal(_)) => {
                "was added, and whether with its default cannot be told"
            }
            Some(DefaultValue::Expression) => {
                "was added with a default whose value is known to the source alone"
            }
        };
        let any = format!("SELECT count(*) FROM (FROM main.{} LIMIT 1)", layout.quoted());
        let rows: i64 =
            connection.query_row(&any, [], |row| row.get(0)).map_err(while_(ALTERING))?;
        return if rows > 0 { Err(resync(layout, &source.name, why)) } else { Ok(None) };
    };
    Ok(Some(match kind {
        Kind::Bytes => literal(&escaped(text)),
        Kind::List(_) if &**text == "{}" => literal("[]"),
        Kind::List(_) => {
            let why = "was added with an array as its default";
            return Err(resync(layout, &source.name, why));
        }
        _ => literal(text),
    }))
}

/// Turns the source's text of bytes, `\x00ff`, into DuckDB's, `\x00\xff`.
fn escaped(text: &str) -> String {
    let digits = text.strip_prefix("\\x").unwrap_or(text);
    digits.as_bytes().chunks(2).fold(String::new(), |mut out, pair| {
        out += "\\x";
        out.extend(pair.iter().map(|digit| char::from(*digit)));
        out
    })
}

fn evaluate(connection: &Connection, column: &Column, constant: &str) -> Option<Cell> {
    let value = format!("CAST({constant} AS {})", column.kind.sql());
    let sql = format!("SELECT {}", column.unload(&value));
    let mut statement = connection.prepare(&sql).ok()?;
    let batch = statement.query_arrow([]).ok()?.next()?;
    cell_at(batch.column(0), 0)
}
