//! A warehouse table as it stands: its columns, what fills them, and where its rows come from.

use std::sync::Arc;

use cdc_model::{ColumnType, TableName, TableSchema};

use crate::cell::Cell;
use crate::kind::Kind;
use crate::name::quote;

/// A column of a warehouse table.
#[derive(Debug, Clone)]
pub(crate) struct Column {
    pub(crate) name: Arc<str>,
    /// The source's type, joined over all its versions.
    pub(crate) ty: ColumnType,
    pub(crate) kind: Kind,
    /// What rows have that were written before the column was, and events that do not know it.
    pub(crate) fill: Cell,
    /// The newest schema seen has it no more.
    pub(crate) is_dropped: bool,
}

impl Column {
    /// Returns the expression that turns its staged form, `expression`, into its own.
    pub(crate) fn load(&self, expression: &str) -> String {
        self.cast(expression, &self.kind.sql())
    }

    /// Returns the expression that turns its own form, `expression`, into its staged one.
    pub(crate) fn unload(&self, expression: &str) -> String {
        match &self.kind {
            Kind::Interval => interval_parts(expression),
            Kind::List(element) if **element == Kind::Interval => {
                let parts = interval_parts("i");
                format!("list_transform({expression}, lambda i: {parts})")
            }
            _ => self.cast(expression, &self.kind.staged_sql()),
        }
    }

    fn cast(&self, expression: &str, to: &str) -> String {
        if self.kind.sql() == self.kind.staged_sql() {
            expression.to_owned()
        } else {
            format!("CAST({expression} AS {to})")
        }
    }
}

/// The three parts of an interval, in the text that it is staged as. DuckDB's own text of it does
/// not read back where a part is negative.
fn interval_parts(x: &str) -> String {
    format!(
        "(date_part('year', {x}) * 12 + date_part('month', {x})) || ' months '
         || date_part('day', {x}) || ' days '
         || (date_part('hour', {x}) * 3600000000 + date_part('minute', {x}) * 60000000
             + date_part('microsecond', {x})) || ' microseconds'"
    )
}

/// A warehouse table.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    /// Its name in the warehouse, unquoted.
    pub(crate) name: String,
    pub(crate) source: TableName,
    /// The topic its rows come from.
    pub(crate) topic: Arc<str>,
    /// The partition its first row came by.
    pub(crate) partition: i32,
    /// Whether rows say by which partition they came; else all came by [`Layout::partition`].
    pub(crate) has_partition_column: bool,
    pub(crate) columns: Vec<Column>,
}

impl Layout {
    pub(crate) fn quoted(&self) -> String {
        quote(&self.name)
    }

    pub(crate) fn index_of(&self, column: &str) -> Option<usize> {
        self.columns.iter().position(|held| &*held.name == column)
    }

    /// Maps the rows of `schema` to this layout, which has all its columns.
    pub(crate) fn bind(&self, schema: &Arc<TableSchema>) -> Binding {
        let sources: Vec<_> =
            self.columns.iter().map(|column| schema.column_index(&column.name)).collect();
        let key = (schema.key.iter())
            .filter_map(|index| sources.iter().position(|source| *source == Some(*index)))
            .collect();
        Binding { schema: Arc::clone(schema), sources, key }
    }
}

/// How rows of one version of a table become rows of its layout.
#[derive(Debug)]
pub(crate) struct Binding {
    pub(crate) schema: Arc<TableSchema>,
    /// For each column of the layout, its index in the event's rows.
    pub(crate) sources: Vec<Option<usize>>,
    /// Indices in the layout of the key's columns.
    pub(crate) key: Vec<usize>,
}
