//! A table's definition, as far as it shapes events.

use std::fmt;
use std::sync::Arc;

/// The source's own number for a table; the same name with another number is another table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableId(pub u64);

/// A table's qualified name, unquoted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableName {
    /// The schema it is in.
    pub schema: Arc<str>,
    /// Its name in that schema.
    pub table: Arc<str>,
}

impl TableName {
    /// Makes a name of its two parts.
    pub fn new(schema: impl Into<Arc<str>>, table: impl Into<Arc<str>>) -> Self {
        Self { schema: schema.into(), table: table.into() }
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.schema, self.table)
    }
}

/// Which columns the source logs of a row's old version (`pg_class.relreplident`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ReplicaIdentity {
    /// The primary key's columns.
    Default,
    /// Every column.
    Full,
    /// The columns of a chosen unique index.
    Index,
    /// None: updates and deletes cannot be published.
    Nothing,
}

/// One version of a table's definition.
///
/// Equality of two schemas is equality of everything that shapes an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableSchema {
    /// The source's number for the table.
    pub id: TableId,
    /// Its name.
    pub name: TableName,
    /// Its columns, in the order of every [`crate::Row`].
    pub columns: Vec<Column>,
    /// Indices into `columns` of those that make up the record key, in column order; empty if the
    /// table has none.
    pub key: Vec<usize>,
    /// What the source logs of old rows.
    pub replica_identity: ReplicaIdentity,
}

impl TableSchema {
    /// Returns the index of the column named `name`.
    pub fn column_index(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| &*column.name == name)
    }

    /// Returns whether rows of this table have a key.
    pub fn has_key(&self) -> bool {
        !self.key.is_empty()
    }
}

/// A column of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its name, unquoted.
    pub name: Arc<str>,
    /// The type of its values.
    pub ty: ColumnType,
    /// Whether it may hold NULL. True where the source does not say.
    pub is_nullable: bool,
    /// Its default, if the source says.
    pub default: Option<DefaultValue>,
    /// What rows have that were written before the column was added, as the server prints it, if
    /// the source keeps such a value. The default tells what new rows get, and may have been set
    /// or changed since.
    pub missing: Option<Arc<str>>,
}

impl Column {
    /// Makes a nullable column without a default.
    pub fn new(name: impl Into<Arc<str>>, ty: ColumnType) -> Self {
        Self { name: name.into(), ty, is_nullable: true, default: None, missing: None }
    }

    /// Makes it NOT NULL.
    #[must_use]
    pub fn not_null(mut self) -> Self {
        self.is_nullable = false;
        self
    }
}

/// A column's default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DefaultValue {
    /// A constant, in the text form the server prints for the column's type.
    Literal(Arc<str>),
    /// An expression that is no constant (`now()`, `nextval(…)`): its value is unknown here.
    Expression,
}

/// The type of a column's values; each names the [`crate::Value`] variant that holds them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ColumnType {
    /// `Value::Bool`.
    Bool,
    /// `Value::Int16`.
    Int16,
    /// `Value::Int32`.
    Int32,
    /// `Value::Int64`.
    Int64,
    /// `Value::Float32`.
    Float32,
    /// `Value::Float64`.
    Float64,
    /// `Value::Decimal`, with `(precision, scale)` in digits if declared. The scale may be
    /// negative or larger than the precision.
    Decimal(Option<(u16, i16)>),
    /// `Value::Text`, without bound.
    Text,
    /// `Value::Text`, up to this many characters if declared.
    Varchar(Option<u32>),
    /// `Value::Text`, blank-padded to this many characters.
    Char(Option<u32>),
    /// `Value::Bytes`.
    Bytes,
    /// `Value::Date`.
    Date,
    /// `Value::Time`, with this many fractional digits, `0..=6`.
    Time(u8),
    /// `Value::TimeTz`, with this many fractional digits, `0..=6`.
    TimeTz(u8),
    /// `Value::Timestamp` without zone, with this many fractional digits, `0..=6`.
    Timestamp(u8),
    /// `Value::TimestampTz`, with this many fractional digits, `0..=6`.
    TimestampTz(u8),
    /// `Value::Interval`.
    Interval,
    /// `Value::Uuid`.
    Uuid,
    /// `Value::Text` holding a JSON document as the source prints it.
    Json,
    /// `Value::Text` holding one of these labels, in the type's order.
    Enum {
        /// The type's qualified name.
        name: Arc<str>,
        /// Its labels.
        labels: Arc<[Arc<str>]>,
    },
    /// `Value::Array` of this element type.
    Array(Box<Self>),
    /// Any other type: `Value::Text` in the source's text form, under the type's name.
    Other {
        /// The type's qualified name, for example `pg_catalog.inet`.
        name: Arc<str>,
    },
}
