//! The schema `penstock` in the file: whose it is, how far it is, and what its tables are.

use std::collections::BTreeMap;
use std::sync::Arc;

use cdc_model::{Offset, Partition, TableName, Topic, TopicId, TopicPartition};
use cdc_pipeline::port::{Epoch, Generation, SinkState};
use duckdb::{Connection, params};
use indexmap::IndexMap;

use crate::cell::{Cell, Cells};
use crate::error::{Error, Result, while_};
use crate::evolve::{parse, signature};
use crate::fold::Departed;
use crate::kind::Kind;
use crate::layout::{Column, Layout};
use crate::parked;

/// Version of the internal tables.
const FORMAT: i64 = 1;

const READING: &str = "reading the catalogue of";
const WRITING: &str = "writing the catalogue of";

const CREATE: &str = "
    CREATE TABLE penstock.offsets (topic VARCHAR, partition INTEGER, topic_id VARCHAR, next BIGINT);
    CREATE TABLE penstock.parked (
        topic VARCHAR, partition INTEGER, \"offset\" BIGINT, timestamp_ms BIGINT,
        key BLOB, value BLOB, headers BLOB, reason VARCHAR
    );
    CREATE TABLE penstock.tables (
        name VARCHAR, source_schema VARCHAR, source_table VARCHAR,
        topic VARCHAR, partition INTEGER, has_partition_column BOOLEAN
    );
    CREATE TABLE penstock.columns (
        table_name VARCHAR, position INTEGER, name VARCHAR,
        source_type VARCHAR, fill BLOB, is_dropped BOOLEAN
    );
    CREATE TABLE penstock.departed (
        topic VARCHAR, partition INTEGER, table_name VARCHAR, key BLOB, cells BLOB
    );
    CREATE TABLE penstock.meta (
        format BIGINT, pipeline VARCHAR, generation INTEGER, epoch BIGINT
    );";

/// What the warehouse holds, as of the last commit.
#[derive(Debug)]
pub(crate) struct Catalog {
    pub(crate) generation: Generation,
    pub(crate) epoch: Epoch,
    pub(crate) offsets: BTreeMap<TopicPartition, (TopicId, Offset)>,
    pub(crate) departed: BTreeMap<TopicPartition, Departed>,
    pub(crate) layouts: IndexMap<TableName, Layout>,
}

/// Makes the internal tables if there are none, and checks that they are ours.
pub(crate) fn prepare(connection: &Connection, pipeline: &str) -> Result<()> {
    let count = "SELECT count(*) FROM duckdb_tables() WHERE schema_name = 'penstock'";
    let tables: i64 = connection.query_row(count, [], |row| row.get(0)).map_err(while_(READING))?;
    if tables == 0 {
        let create = format!("BEGIN; CREATE SCHEMA IF NOT EXISTS penstock; {CREATE}");
        connection.execute_batch(&create).map_err(while_("preparing"))?;
        connection
            .execute("INSERT INTO penstock.meta VALUES (?, ?, 1, 0)", params![FORMAT, pipeline])
            .map_err(while_("preparing"))?;
        connection.execute_batch("COMMIT").map_err(while_("preparing"))?;
    }
    let (format, found): (i64, String) = connection
        .query_row("SELECT format, pipeline FROM penstock.meta", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .map_err(while_(READING))?;
    if format != FORMAT {
        return Err(Error::Format { found: format, known: FORMAT });
    }
    if found != pipeline {
        return Err(Error::Foreign { found, wanted: pipeline.to_owned() });
    }
    Ok(())
}

impl Catalog {
    /// Takes the next epoch and reads everything.
    pub(crate) fn take_over(connection: &Connection) -> Result<Self> {
        connection
            .execute("UPDATE penstock.meta SET epoch = epoch + 1", [])
            .map_err(while_(WRITING))?;
        let (generation, epoch): (u32, u64) = connection
            .query_row("SELECT generation, epoch FROM penstock.meta", [], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .map_err(while_(READING))?;
        Ok(Self {
            generation: Generation(generation),
            epoch: Epoch(epoch),
            offsets: read_offsets(connection)?,
            departed: read_departed(connection)?,
            layouts: read_layouts(connection)?,
        })
    }

    /// Returns the state that a resume tells.
    pub(crate) fn state(&self, connection: &Connection) -> Result<SinkState> {
        Ok(SinkState {
            generation: self.generation,
            epoch: self.epoch,
            offsets: self.offsets.clone(),
            parked: parked::keys(connection)?,
        })
    }
}

pub(crate) fn rows<T>(
    connection: &Connection,
    sql: &str,
    read: impl FnMut(&duckdb::Row<'_>) -> duckdb::Result<T>,
) -> Result<Vec<T>> {
    let mut statement = connection.prepare(sql).map_err(while_(READING))?;
    let rows = statement.query_map([], read).map_err(while_(READING))?;
    rows.collect::<duckdb::Result<_>>().map_err(while_(READING))
}

pub(crate) fn partition(row: &duckdb::Row<'_>) -> duckdb::Result<TopicPartition> {
    let topic: String = row.get(0)?;
    Ok(TopicPartition { topic: Topic::new(topic), partition: Partition(row.get(1)?) })
}

fn read_offsets(connection: &Connection) -> Result<BTreeMap<TopicPartition, (TopicId, Offset)>> {
    let sql = "SELECT topic, partition, topic_id, next FROM penstock.offsets";
    let read = |row: &duckdb::Row<'_>| {
        let id: String = row.get(2)?;
        Ok((partition(row)?, (TopicId(id.into()), Offset(row.get(3)?))))
    };
    Ok(rows(connection, sql, read)?.into_iter().collect())
}

fn read_departed(connection: &Connection) -> Result<BTreeMap<TopicPartition, Departed>> {
    let sql = "SELECT topic, partition, table_name, key, cells FROM penstock.departed";
    let read = |row: &duckdb::Row<'_>| {
        let (key, cells): (Vec<u8>, Vec<u8>) = (row.get(3)?, row.get(4)?);
        let cells = read_cells(&cells);
        let departed = Departed { table: row.get(2)?, key: key.into(), cells };
        Ok((partition(row)?, departed))
    };
    Ok(rows(connection, sql, read)?.into_iter().collect())
}

fn read_cells(mut bytes: &[u8]) -> Cells {
    std::iter::from_fn(|| Cell::read(&mut bytes)).collect()
}

fn read_layouts(connection: &Connection) -> Result<IndexMap<TableName, Layout>> {
    let sql = "SELECT topic, partition, name, source_schema, source_table, has_partition_column
               FROM penstock.tables ORDER BY name";
    let read = |row: &duckdb::Row<'_>| {
        let TopicPartition { topic, partition } = partition(row)?;
        let (schema, table): (String, String) = (row.get(3)?, row.get(4)?);
        Ok(Layout {
            name: row.get(2)?,
            source: TableName::new(schema, table),
            topic: topic.0,
            partition: partition.0,
            has_partition_column: row.get(5)?,
            columns: Vec::new(),
        })
    };
    let mut layouts = rows(connection, sql, read)?;
    for layout in &mut layouts {
        layout.columns = read_columns(connection, &layout.name)?;
    }
    Ok(layouts.into_iter().map(|layout| (layout.source.clone(), layout)).collect())
}

fn read_columns(connection: &Connection, table: &str) -> Result<Vec<Column>> {
    let sql = format!(
        "SELECT name, source_type, fill, is_dropped FROM penstock.columns
         WHERE table_name = {} ORDER BY position",
        crate::name::literal(table)
    );
    rows(connection, &sql, |row| {
        let (name, ty, fill): (String, String, Vec<u8>) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let ty = parse(&ty).ok_or(duckdb::Error::InvalidColumnName(ty))?;
        let fill = Cell::read(&mut &fill[..]).unwrap_or(Cell::Null);
        let kind = Kind::of(&ty);
        Ok(Column { name: Arc::from(name), kind, ty, fill, is_dropped: row.get(3)? })
    })
}

/// Writes down what `layout` is now.
pub(crate) fn save_layout(connection: &Connection, layout: &Layout) -> Result<()> {
    let write = || -> duckdb::Result<()> {
        connection.execute("DELETE FROM penstock.tables WHERE name = ?", params![layout.name])?;
        connection
            .execute("DELETE FROM penstock.columns WHERE table_name = ?", params![layout.name])?;
        connection.execute(
            "INSERT INTO penstock.tables VALUES (?, ?, ?, ?, ?, ?)",
            params![
                layout.name,
                &*layout.source.schema,
                &*layout.source.table,
                &*layout.topic,
                layout.partition,
                layout.has_partition_column
            ],
        )?;
        let mut insert = connection.prepare("INSERT INTO penstock.columns VALUES (?,?,?,?,?,?)")?;
        for (position, column) in (0_i32..).zip(&layout.columns) {
            let mut fill = Vec::new();
            column.fill.write(&mut fill);
            let ty = signature(&column.ty);
            insert.execute(params![
                layout.name,
                position,
                &*column.name,
                ty,
                fill,
                column.is_dropped
            ])?;
        }
        Ok(())
    };
    write().map_err(while_(WRITING))
}

/// Sets the next offset of a partition.
pub(crate) fn save_offset(
    connection: &Connection,
    source: &TopicPartition,
    id: &TopicId,
    next: Offset,
    is_new: bool,
) -> Result<()> {
    let sql = if is_new {
        "INSERT INTO penstock.offsets (next, topic_id, topic, partition) VALUES (?, ?, ?, ?)"
    } else {
        "UPDATE penstock.offsets SET next = ?, topic_id = ? WHERE topic = ? AND partition = ?"
    };
    let write = || -> duckdb::Result<usize> {
        connection.prepare_cached(sql)?.execute(params![
            next.0,
            &*id.0,
            source.topic.as_str(),
            source.partition.0
        ])
    };
    write().map(drop).map_err(while_(WRITING))
}

/// Remembers, or with `None` forgets, the row that departed last from a partition.
pub(crate) fn save_departed(
    connection: &Connection,
    source: &TopicPartition,
    departed: Option<&Departed>,
) -> Result<()> {
    let write = || -> duckdb::Result<()> {
        connection.execute(
            "DELETE FROM penstock.departed WHERE topic = ? AND partition = ?",
            params![source.topic.as_str(), source.partition.0],
        )?;
        if let Some(departed) = departed {
            let mut cells = Vec::new();
            departed.cells.iter().for_each(|cell| cell.write(&mut cells));
            connection.execute(
                "INSERT INTO penstock.departed VALUES (?, ?, ?, ?, ?)",
                params![
                    source.topic.as_str(),
                    source.partition.0,
                    departed.table,
                    &departed.key[..],
                    cells
                ],
            )?;
        }
        Ok(())
    };
    write().map_err(while_(WRITING))
}
