//! What the headers say of a row, put back into it.

use cdc_model::{Column, ImageKind, LogRecord, Row, RowImage, TableSchema, Value};
use serde_json::Value as Json;

use crate::avro::read::Result;
use crate::error::RecordError;
use crate::exact;
use crate::header;

/// One of a record's two images, as headers name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Before,
    After,
}

/// The headers that were found, parsed.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    unchanged: Option<Json>,
    unchanged_before: Option<Json>,
    exact: Option<Json>,
    moved_from: Option<Json>,
    pub(crate) key_only: bool,
}

impl Notes {
    pub(crate) fn of(record: &LogRecord) -> Result<Self> {
        let mut notes = Self::default();
        for found in &record.headers {
            let slot = match &*found.name {
                header::UNCHANGED => &mut notes.unchanged,
                header::UNCHANGED_BEFORE => &mut notes.unchanged_before,
                header::EXACT => &mut notes.exact,
                header::MOVED_FROM => &mut notes.moved_from,
                header::BEFORE => {
                    notes.key_only = &found.value[..] == header::BEFORE_KEY;
                    continue;
                }
                _ => continue,
            };
            let parsed = serde_json::from_slice(&found.value);
            *slot = Some(parsed.map_err(|_| RecordError::HeaderMalformed("penstock.*"))?);
        }
        Ok(notes)
    }

    /// Returns the key that the row of a create had before, if its columns are to be taken from
    /// there.
    pub(crate) fn old_key(&self, table: &TableSchema) -> Result<Option<RowImage>> {
        let Some(json) = &self.moved_from else {
            return Ok(None);
        };
        let key = |index: usize, column: &Column| match table.key.contains(&index) {
            true => exact::from_header(&column.ty, json.get(&*column.name)?, &Value::Null),
            false => Some(Value::Null),
        };
        let columns = table.columns.iter().enumerate();
        let row: Option<Row> = columns.map(|(index, column)| key(index, column)).collect();
        let row = row.ok_or(RecordError::HeaderMalformed(header::MOVED_FROM))?;
        Ok(Some(RowImage { row, kind: ImageKind::Key }))
    }

    /// Returns `values` with what the headers say of them.
    pub(crate) fn apply(
        &self,
        table: &TableSchema,
        side: Side,
        mut values: Vec<Value>,
    ) -> Result<Row> {
        if side == Side::Before && self.key_only {
            for (index, value) in values.iter_mut().enumerate() {
                if !table.key.contains(&index) {
                    *value = Value::Null;
                }
            }
        }
        let (name, list) = match side {
            Side::Before => (header::UNCHANGED_BEFORE, &self.unchanged_before),
            Side::After => (header::UNCHANGED, &self.unchanged),
        };
        if let Some(list) = list {
            apply_unchanged(table, list, &mut values).ok_or(RecordError::HeaderMalformed(name))?;
        }
        if let Some(exact) = &self.exact {
            apply_exact(table, side, exact, &mut values)
                .ok_or(RecordError::HeaderMalformed(header::EXACT))?;
        }
        Ok(Row::new(values))
    }
}

fn apply_unchanged(table: &TableSchema, list: &Json, values: &mut [Value]) -> Option<()> {
    for name in list.as_array()? {
        let index = table.column_index(name.as_str()?)?;
        *values.get_mut(index)? = Value::Unchanged;
    }
    Some(())
}

fn apply_exact(table: &TableSchema, side: Side, exact: &Json, values: &mut [Value]) -> Option<()> {
    let prefix = match side {
        Side::Before => "before.",
        Side::After => "after.",
    };
    for (name, json) in exact.as_object()? {
        let Some(name) = name.strip_prefix(prefix) else { continue };
        let index = table.column_index(name)?;
        let value = values.get_mut(index)?;
        *value = exact::from_header(&table.columns.get(index)?.ty, json, value)?;
    }
    Some(())
}
