//! A plan for the rows of a table, or for its keys, with every constant byte written beforehand.

use cdc_model::{Column, Row, TableSchema, Value};

use crate::connect;
use crate::encode::layout::Layout;
use crate::exact;
use crate::json;
use crate::wire::{Fit, Wire};

/// How to write rows.
#[derive(Debug)]
pub(crate) struct RowPlan {
    layout: Layout,
    columns: Vec<ColumnPlan>,
}

#[derive(Debug)]
struct ColumnPlan {
    /// The column's index in the table's rows.
    index: usize,
    is_key: bool,
    wire: Wire,
    /// Before the value: in JSON the name.
    lead: Vec<u8>,
    /// Before a value that is not null: in Avro the union's branch.
    some: Vec<u8>,
    /// For null; none under NOT NULL.
    null: Option<Vec<u8>>,
    /// Debezium's filling where a value is missing under NOT NULL.
    fallback: Vec<u8>,
    /// For a value that was not sent.
    placeholder: Vec<u8>,
}

/// What a row held that the record itself does not tell: columns, by index.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    pub(crate) unchanged: Vec<usize>,
    pub(crate) exact: Vec<usize>,
}

impl Notes {
    pub(crate) fn clear(&mut self) {
        self.unchanged.clear();
        self.exact.clear();
    }
}

/// How the values of a row are to be taken.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Reading<'a> {
    /// As they are.
    Whole,
    /// Only the key's are real.
    KeyOnly,
    /// As they are; those not sent are in this older row.
    Filled(&'a Row),
}

/// A column whose value is not of its type, by index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Misfit(pub(crate) usize);

impl RowPlan {
    /// Plans the rows of `table`, with `placeholder` for values that were not sent.
    pub(crate) fn new(layout: Layout, table: &TableSchema, placeholder: &str) -> Self {
        let columns = table.columns.iter().enumerate().map(|(index, column)| {
            let mut plan = ColumnPlan::new(layout, column, placeholder);
            plan.index = index;
            plan.is_key = table.key.contains(&index);
            plan.lead = lead(layout, index, &column.name);
            plan
        });
        Self { layout, columns: columns.collect() }
    }

    /// Plans the keys of `table`.
    pub(crate) fn key(layout: Layout, table: &TableSchema) -> Self {
        let columns = table.key.iter().enumerate().filter_map(|(place, index)| {
            let column = table.columns.get(*index)?;
            let mut plan = ColumnPlan::new(layout, column, "");
            plan.index = *index;
            plan.is_key = true;
            plan.lead = lead(layout, place, &column.name);
            Some(plan)
        });
        Self { layout, columns: columns.collect() }
    }

    /// Appends `row` and notes what it does not tell.
    #[inline]
    pub(crate) fn push(
        &self,
        out: &mut Vec<u8>,
        row: &Row,
        reading: Reading<'_>,
        notes: &mut Notes,
    ) -> Result<(), Misfit> {
        out.extend_from_slice(self.layout.row.0);
        for plan in &self.columns {
            out.extend_from_slice(&plan.lead);
            match row.get(plan.index).ok_or(Misfit(plan.index))? {
                Value::Null => {
                    let is_known = plan.is_key || !matches!(reading, Reading::KeyOnly);
                    if plan.push_missing(out) == Fit::Lossy && is_known {
                        notes.exact.push(plan.index);
                    }
                }
                Value::Unchanged => {
                    notes.unchanged.push(plan.index);
                    plan.push_unchanged(out, self.layout, reading)?;
                }
                value => {
                    if plan.push_value(out, self.layout, value)? != Fit::Exact {
                        notes.exact.push(plan.index);
                    }
                }
            }
        }
        out.extend_from_slice(self.layout.row.1);
        Ok(())
    }

    /// Appends the key of `row`, taking from `older` what it was not sent. A key column without
    /// value, or with one that the wire cannot hold, is a misfit: keys are never invented.
    pub(crate) fn push_key(
        &self,
        out: &mut Vec<u8>,
        row: &Row,
        older: Option<&Row>,
    ) -> Result<(), Misfit> {
        out.extend_from_slice(self.layout.row.0);
        for plan in &self.columns {
            out.extend_from_slice(&plan.lead);
            let value = key_value(row, older, plan.index).ok_or(Misfit(plan.index))?;
            out.extend_from_slice(&plan.some);
            match (self.layout.write)(out, &plan.wire, value) {
                Some(Fit::Exact | Fit::Lossy) => {}
                Some(Fit::Absent) | None => return Err(Misfit(plan.index)),
            }
        }
        out.extend_from_slice(self.layout.row.1);
        Ok(())
    }

    /// Returns whether both rows have the same key, as far as the newer one was sent.
    pub(crate) fn same_key(&self, older: &Row, newer: &Row) -> bool {
        self.columns.iter().all(|plan| match (older.get(plan.index), newer.get(plan.index)) {
            (_, Some(Value::Unchanged)) => true,
            (older, newer) => older == newer,
        })
    }

    /// Returns the header's form of a value that the record does not hold exactly.
    pub(crate) fn exact(&self, index: usize, value: &Value) -> serde_json::Value {
        let elements_fit = match (self.columns.get(index), value) {
            (Some(plan), Value::Array(array)) => {
                let flat = crate::wire::array(array.elements.to_vec());
                (self.layout.write)(&mut Vec::new(), &plan.wire, &flat) == Some(Fit::Exact)
            }
            _ => true,
        };
        exact::to_header(value, elements_fit)
    }
}

/// The value of a key column, or `None` if there is none.
fn key_value<'a>(row: &'a Row, older: Option<&'a Row>, index: usize) -> Option<&'a Value> {
    let value = match row.get(index)? {
        Value::Unchanged => older?.get(index)?,
        value => value,
    };
    (!matches!(value, Value::Null | Value::Unchanged)).then_some(value)
}

/// What precedes the value of the field at `place`.
fn lead(layout: Layout, place: usize, name: &str) -> Vec<u8> {
    let mut lead = Vec::new();
    if !layout.is_avro {
        if place > 0 {
            lead.push(b',');
        }
        json::write::string(&mut lead, name);
        lead.push(b':');
    }
    lead
}

impl ColumnPlan {
    fn new(layout: Layout, column: &Column, placeholder: &str) -> Self {
        let wire = Wire::of(&column.ty);
        let default = connect::default_value(column);
        let (null, some) = match (layout.is_avro, column.is_nullable, connect::has_default(column))
        {
            (true, true, false) => (Some(vec![0]), vec![2]),
            (true, true, true) => (Some(vec![2]), vec![0]),
            (false, true, _) => (Some(b"null".to_vec()), Vec::new()),
            (_, false, _) => (None, Vec::new()),
        };
        let mut plan = Self {
            index: 0,
            is_key: false,
            lead: Vec::new(),
            some,
            null,
            fallback: Vec::new(),
            placeholder: Vec::new(),
            wire,
        };
        plan.fallback = plan.constant(layout, &default.unwrap_or_else(|| plan.wire.zero()));
        plan.placeholder = match (plan.wire.placeholder(placeholder), &plan.null) {
            (Some(value), _) => plan.constant(layout, &value),
            (None, Some(null)) => null.clone(),
            (None, None) => plan.fallback.clone(),
        };
        plan
    }

    fn constant(&self, layout: Layout, value: &Value) -> Vec<u8> {
        let mut out = self.some.clone();
        let fit = (layout.write)(&mut out, &self.wire, value);
        debug_assert!(fit.is_some(), "a constant is of its column's type");
        out
    }

    /// Appends null, or Debezium's filling under NOT NULL.
    fn push_missing(&self, out: &mut Vec<u8>) -> Fit {
        match &self.null {
            Some(null) => {
                out.extend_from_slice(null);
                Fit::Exact
            }
            None => {
                out.extend_from_slice(&self.fallback);
                Fit::Lossy
            }
        }
    }

    #[inline]
    fn push_value(&self, out: &mut Vec<u8>, layout: Layout, value: &Value) -> Result<Fit, Misfit> {
        let start = out.len();
        out.extend_from_slice(&self.some);
        let fit = (layout.write)(out, &self.wire, value).ok_or(Misfit(self.index))?;
        if fit == Fit::Absent {
            out.truncate(start);
            self.push_missing(out);
        }
        Ok(fit)
    }

    /// Appends what stands for a value that was not sent: the older row's, else the placeholder.
    fn push_unchanged(
        &self,
        out: &mut Vec<u8>,
        layout: Layout,
        reading: Reading<'_>,
    ) -> Result<(), Misfit> {
        let older = match reading {
            Reading::Filled(older) => older.get(self.index),
            Reading::Whole | Reading::KeyOnly => None,
        };
        match older {
            Some(Value::Null) => {
                self.push_missing(out);
            }
            Some(value) if !matches!(value, Value::Unchanged) => {
                self.push_value(out, layout, value)?;
            }
            _ => out.extend_from_slice(&self.placeholder),
        }
        Ok(())
    }
}
