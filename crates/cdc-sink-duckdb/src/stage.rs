//! The temporary table a batch's rows go through, one for each warehouse table: appended to as
//! Arrow, read by the statements of [`crate::apply`].
//!
//! Its columns are `c0, c1, …` in the layout's order, then `is_live`, `part` and `n`.

use std::sync::Arc;

use cdc_model::Text;
use duckdb::Connection;
use duckdb::arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BooleanArray, Date32Array, Decimal128Array,
    Float32Array, Float64Array, Int16Array, Int32Array, Int64Array, ListBuilder, StringArray,
    StringBuilder, Time64MicrosecondArray, TimestampMicrosecondArray,
};
use duckdb::arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Field, Float32Type, Float64Type, Int16Type, Int32Type,
    Int64Type, Schema, Time64MicrosecondType, TimestampMicrosecondType,
};
use duckdb::arrow::record_batch::RecordBatch;

use crate::cell::{Cell, Cells};
use crate::layout::Layout;

/// Rows per Arrow batch: bounds what is held twice.
const CHUNK: usize = 8192;

/// A row on its way, and what is to be done with it.
#[derive(Debug, Clone)]
pub(crate) struct Staged {
    pub(crate) cells: Cells,
    /// Whether it is there after the batch; if not, only its key matters.
    pub(crate) is_live: bool,
    pub(crate) partition: i32,
    /// How often, or which.
    pub(crate) n: i64,
}

/// A stage that exists on the writer's connection.
#[derive(Debug)]
pub(crate) struct Stage {
    name: String,
}

impl Stage {
    /// Returns the stage's name in SQL.
    pub(crate) fn sql(&self) -> String {
        format!("temp.main.{}", self.name)
    }

    /// Makes the stage numbered `number` for `layout`.
    pub(crate) fn create(
        connection: &Connection,
        number: usize,
        layout: &Layout,
    ) -> duckdb::Result<Self> {
        let mut columns = String::new();
        for (index, column) in layout.columns.iter().enumerate() {
            columns += &format!("c{index} {}, ", column.kind.staged_sql());
        }
        let stage = Self { name: format!("stage_{number}") };
        connection.execute_batch(&format!(
            "CREATE OR REPLACE TEMP TABLE {} ({columns}is_live BOOLEAN, part INTEGER, n BIGINT)",
            stage.name
        ))?;
        Ok(stage)
    }

    /// Appends `rows`.
    pub(crate) fn fill(
        &self,
        connection: &Connection,
        layout: &Layout,
        rows: &[Staged],
    ) -> duckdb::Result<()> {
        let schema = Arc::new(arrow_schema(layout));
        let mut appender = connection.appender_to_catalog_and_db(&self.name, "temp", "main")?;
        for chunk in rows.chunks(CHUNK) {
            let mut arrays: Vec<ArrayRef> = (0..layout.columns.len())
                .map(|index| array(chunk, index, schema.field(index).data_type()))
                .collect();
            arrays.push(Arc::new(BooleanArray::from_iter(chunk.iter().map(|r| Some(r.is_live)))));
            arrays.push(Arc::new(Int32Array::from_iter_values(chunk.iter().map(|r| r.partition))));
            arrays.push(Arc::new(Int64Array::from_iter_values(chunk.iter().map(|r| r.n))));
            let batch = RecordBatch::try_new(Arc::clone(&schema), arrays)
                .expect("invariant: arrays are made by this schema");
            appender.append_record_batch(batch)?;
        }
        appender.flush()
    }
}

fn arrow_schema(layout: &Layout) -> Schema {
    let mut fields: Vec<_> = (layout.columns.iter().enumerate())
        .map(|(index, column)| Field::new(format!("c{index}"), column.kind.arrow(), true))
        .collect();
    fields.push(Field::new("is_live", DataType::Boolean, false));
    fields.push(Field::new("part", DataType::Int32, false));
    fields.push(Field::new("n", DataType::Int64, false));
    Schema::new(fields)
}

/// Gathers one column of `rows`.
fn array(rows: &[Staged], index: usize, ty: &DataType) -> ArrayRef {
    let cells = rows.iter().map(|row| &row.cells[index]);
    let ints = cells.clone().map(|cell| if let Cell::Int(v) = cell { Some(*v) } else { None });
    let small = || ints.clone().map(|v| v.and_then(|v| i32::try_from(v).ok()));
    let texts = || cells.clone().map(text_of);
    match ty {
        DataType::Boolean => Arc::new(BooleanArray::from_iter(
            cells.map(|cell| if let Cell::Bool(v) = cell { Some(*v) } else { None }),
        )),
        DataType::Int16 => {
            Arc::new(Int16Array::from_iter(ints.map(|v| v.and_then(|v| i16::try_from(v).ok()))))
        }
        DataType::Int32 => Arc::new(Int32Array::from_iter(small())),
        DataType::Date32 => Arc::new(Date32Array::from_iter(small())),
        DataType::Int64 => Arc::new(Int64Array::from_iter(ints)),
        DataType::Time64(_) => Arc::new(Time64MicrosecondArray::from_iter(ints)),
        DataType::Timestamp(_, zone) => {
            Arc::new(TimestampMicrosecondArray::from_iter(ints).with_timezone_opt(zone.clone()))
        }
        DataType::Float32 => Arc::new(Float32Array::from_iter(
            cells.map(|cell| if let Cell::Float(v) = cell { Some(*v) } else { None }),
        )),
        DataType::Float64 => Arc::new(Float64Array::from_iter(
            cells.map(|cell| if let Cell::Double(v) = cell { Some(*v) } else { None }),
        )),
        DataType::Decimal128(..) => Arc::new(
            Decimal128Array::from_iter(
                cells.map(|cell| if let Cell::Decimal(v) = cell { Some(*v) } else { None }),
            )
            .with_data_type(ty.clone()),
        ),
        DataType::Binary => Arc::new(BinaryArray::from_iter(
            cells.map(|cell| if let Cell::Bytes(v) = cell { Some(&v[..]) } else { None }),
        )),
        DataType::List(_) => lists(cells),
        _ => Arc::new(StringArray::from_iter(texts())),
    }
}

fn text_of(cell: &Cell) -> Option<&str> {
    if let Cell::Text(text) = cell { Some(text.as_str()) } else { None }
}

fn lists<'a>(cells: impl Iterator<Item = &'a Cell>) -> ArrayRef {
    let mut builder = ListBuilder::new(StringBuilder::new());
    for cell in cells {
        let Cell::List(elements) = cell else {
            builder.append_null();
            continue;
        };
        for element in elements.iter() {
            builder.values().append_option(element.as_ref().map(Text::as_str));
        }
        builder.append(true);
    }
    Arc::new(builder.finish())
}

/// Reads the cell at `row` of a column in staged form. `None` if it is of no such form.
pub(crate) fn cell_at(array: &ArrayRef, row: usize) -> Option<Cell> {
    if array.is_null(row) {
        return Some(Cell::Null);
    }
    let text = |text: &str| Text::from(text.to_owned());
    Some(match array.data_type() {
        DataType::Null => Cell::Null,
        DataType::Boolean => Cell::Bool(array.as_boolean().value(row)),
        DataType::Int16 => Cell::Int(array.as_primitive::<Int16Type>().value(row).into()),
        DataType::Int32 => Cell::Int(array.as_primitive::<Int32Type>().value(row).into()),
        DataType::Int64 => Cell::Int(array.as_primitive::<Int64Type>().value(row)),
        DataType::Float32 => Cell::Float(array.as_primitive::<Float32Type>().value(row)),
        DataType::Float64 => Cell::Double(array.as_primitive::<Float64Type>().value(row)),
        DataType::Decimal128(..) => {
            Cell::Decimal(array.as_primitive::<Decimal128Type>().value(row))
        }
        DataType::Date32 => Cell::Int(array.as_primitive::<Date32Type>().value(row).into()),
        DataType::Time64(_) => {
            Cell::Int(array.as_primitive_opt::<Time64MicrosecondType>()?.value(row))
        }
        DataType::Timestamp(..) => {
            Cell::Int(array.as_primitive_opt::<TimestampMicrosecondType>()?.value(row))
        }
        DataType::Utf8 => Cell::Text(text(array.as_string::<i32>().value(row))),
        DataType::LargeUtf8 => Cell::Text(text(array.as_string::<i64>().value(row))),
        DataType::Utf8View => Cell::Text(text(array.as_string_view().value(row))),
        DataType::Binary => {
            Cell::Bytes(bytes::Bytes::copy_from_slice(array.as_binary::<i32>().value(row)))
        }
        DataType::List(_) => {
            let elements = array.as_list::<i32>().value(row);
            let texts = (0..elements.len()).map(|index| match cell_at(&elements, index)? {
                Cell::Null => Some(None),
                Cell::Text(text) => Some(Some(text)),
                _ => None,
            });
            Cell::List(texts.collect::<Option<_>>()?)
        }
        _ => return None,
    })
}
