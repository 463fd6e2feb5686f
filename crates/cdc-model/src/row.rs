//! A row's values, in the order of its table's columns.

use std::ops;

use crate::Value;

/// The values of one row, one for each column of its [`crate::TableSchema`], in that order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row(Box<[Value]>);

impl Row {
    /// Makes a row of `values`, one for each column.
    pub fn new(values: Vec<Value>) -> Self {
        Self(values.into_boxed_slice())
    }

    /// Returns the values, for replacement of single ones.
    pub fn into_values(self) -> Vec<Value> {
        self.0.into_vec()
    }

    /// Returns whether any column is [`Value::Unchanged`].
    pub fn has_unchanged(&self) -> bool {
        self.0.iter().any(|value| matches!(value, Value::Unchanged))
    }
}

impl ops::Deref for Row {
    type Target = [Value];

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl FromIterator<Value> for Row {
    fn from_iter<I: IntoIterator<Item = Value>>(values: I) -> Self {
        Self(values.into_iter().collect())
    }
}

/// How much of the old row a source sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImageKind {
    /// Every column (replica identity full).
    Full,
    /// Only the columns of the replica identity; the others hold [`Value::Null`] and mean nothing.
    Key,
}

/// An old row, and how much of it is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowImage {
    /// One value for each column.
    pub row: Row,
    /// Which of them are real.
    pub kind: ImageKind,
}
