//! Schemas as Kafka Connect has them: what Debezium builds of a table, before a converter writes
//! it as Avro or JSON. Field order, names, versions and parameters follow the goldens.

use cdc_model::{Column, ColumnType, DefaultValue, TableSchema, Value};
use serde_json::Value as Json;

use crate::exact;
use crate::json;
use crate::wire::{Wire, scale_of};

/// A schema.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Schema {
    pub(crate) kind: Kind,
    pub(crate) name: Option<String>,
    pub(crate) version: Option<u32>,
    pub(crate) doc: Option<&'static str>,
    pub(crate) parameters: Vec<(&'static str, String)>,
    pub(crate) optional: bool,
    /// In the form of Connect's `JsonConverter`: bytes as base64.
    pub(crate) default: Option<Json>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Kind {
    Boolean,
    Int16,
    Int32,
    Int64,
    Float,
    Double,
    String,
    Bytes,
    Array(Box<Schema>),
    Struct(Vec<Field>),
}

/// A field of a struct.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Field {
    /// Its name, as the column's.
    pub(crate) name: String,
    pub(crate) schema: Schema,
    /// What the schema's default does not tell of the column's: see [`mark`].
    pub(crate) mark: Option<Json>,
    /// The column's [`Column::missing`].
    pub(crate) missing: Option<String>,
}

impl Schema {
    pub(crate) fn new(kind: Kind) -> Self {
        Self {
            kind,
            name: None,
            version: None,
            doc: None,
            parameters: Vec::new(),
            optional: false,
            default: None,
        }
    }

    fn named(kind: Kind, name: &str) -> Self {
        Self { name: Some(name.to_owned()), version: Some(1), ..Self::new(kind) }
    }

    fn optional(mut self) -> Self {
        self.optional = true;
        self
    }

    fn parameter(mut self, key: &'static str, value: String) -> Self {
        self.parameters.push((key, value));
        self
    }

    /// A struct with a name but no version, such as Debezium's row types.
    fn row(name: String, fields: Vec<Field>) -> Self {
        Self { name: Some(name), ..Self::new(Kind::Struct(fields)) }
    }
}

fn field(name: &str, schema: Schema) -> Field {
    Field { name: name.to_owned(), schema, mark: None, missing: None }
}

/// Types of PostgreSQL's whose text Debezium writes as a plain string.
const PLAIN: [&str; 12] = [
    "name",
    "citext",
    "inet",
    "cidr",
    "macaddr",
    "macaddr8",
    "int4range",
    "int8range",
    "numrange",
    "tsrange",
    "tstzrange",
    "daterange",
];
/// Types of PostgreSQL's whose text Debezium writes as a string with a name.
pub(crate) const NAMED: [(&str, &str); 3] = [
    ("xml", "io.debezium.data.Xml"),
    ("ltree", "io.debezium.data.Ltree"),
    ("tsvector", "io.debezium.data.Tsvector"),
];
/// What precedes a type's name in the name of a string that holds any other type's text.
pub(crate) const OTHER: &str = "io.penstock.data.";
/// The schema of built-in types, left out of names.
pub(crate) const CATALOG: &str = "pg_catalog.";

/// The schema of values of type `ty`, not optional, without a default.
pub(crate) fn of_type(ty: &ColumnType) -> Schema {
    match ty {
        ColumnType::Bool => Schema::new(Kind::Boolean),
        ColumnType::Int16 => Schema::new(Kind::Int16),
        ColumnType::Int32 => Schema::new(Kind::Int32),
        ColumnType::Int64 => Schema::new(Kind::Int64),
        ColumnType::Float32 => Schema::new(Kind::Float),
        ColumnType::Float64 => Schema::new(Kind::Double),
        ColumnType::Decimal(Some((precision, scale))) => of_decimal(*precision, *scale),
        ColumnType::Decimal(None) => Schema {
            doc: Some("Variable scaled decimal"),
            ..Schema::named(
                Kind::Struct(vec![
                    field("scale", Schema::new(Kind::Int32)),
                    field("value", Schema::new(Kind::Bytes)),
                ]),
                "io.debezium.data.VariableScaleDecimal",
            )
        },
        ColumnType::Text | ColumnType::Varchar(_) | ColumnType::Char(_) => {
            Schema::new(Kind::String)
        }
        ColumnType::Bytes => Schema::new(Kind::Bytes),
        ColumnType::Date => Schema::named(Kind::Int32, "io.debezium.time.Date"),
        ColumnType::Time(0..=3) => Schema::named(Kind::Int32, "io.debezium.time.Time"),
        ColumnType::Time(_) => Schema::named(Kind::Int64, "io.debezium.time.MicroTime"),
        ColumnType::TimeTz(_) => Schema::named(Kind::String, "io.debezium.time.ZonedTime"),
        ColumnType::Timestamp(0..=3) => Schema::named(Kind::Int64, "io.debezium.time.Timestamp"),
        ColumnType::Timestamp(_) => Schema::named(Kind::Int64, "io.debezium.time.MicroTimestamp"),
        ColumnType::TimestampTz(_) => {
            Schema::named(Kind::String, "io.debezium.time.ZonedTimestamp")
        }
        ColumnType::Interval => Schema::named(Kind::Int64, "io.debezium.time.MicroDuration"),
        ColumnType::Uuid => Schema::named(Kind::String, "io.debezium.data.Uuid"),
        ColumnType::Json => Schema::named(Kind::String, "io.debezium.data.Json"),
        ColumnType::Enum { labels, .. } => Schema::named(Kind::String, "io.debezium.data.Enum")
            .parameter("allowed", labels.join(",")),
        ColumnType::Array(item) => {
            let items =
                Schema { optional: !matches!(**item, ColumnType::Enum { .. }), ..of_type(item) };
            Schema::new(Kind::Array(Box::new(items)))
        }
        ColumnType::Other { name } => of_other(name),
    }
}

fn of_decimal(precision: u16, scale: i16) -> Schema {
    // Written out where the scale is negative, a number has that many digits more.
    let extra = u16::try_from(-i32::from(scale)).unwrap_or(0);
    let precision = precision.saturating_add(extra).max(scale_of(scale));
    Schema::named(Kind::Bytes, "org.apache.kafka.connect.data.Decimal")
        .parameter("scale", scale_of(scale).to_string())
        .parameter("connect.decimal.precision", precision.to_string())
}

fn of_other(name: &str) -> Schema {
    let local = name.rsplit('.').next().unwrap_or(name);
    if PLAIN.contains(&local) {
        return Schema::new(Kind::String);
    }
    match NAMED.iter().find(|(ty, _)| *ty == local) {
        Some((_, connect)) => Schema::named(Kind::String, connect),
        None => {
            let name = name.strip_prefix(CATALOG).unwrap_or(name);
            Schema::named(Kind::String, &format!("{OTHER}{name}"))
        }
    }
}

/// The field of a column.
fn of_column(column: &Column) -> Field {
    let mut schema = of_type(&column.ty);
    schema.optional = column.is_nullable;
    schema.default = default_of(column);
    let mark = mark(column, &schema);
    let missing = column.missing.as_deref().map(str::to_owned);
    Field { name: column.name.to_string(), schema, mark, missing }
}

/// The default that Debezium gives a column's field: the constant; for an expression under NOT
/// NULL, the type's zero; nothing for bytes, arrays and decimals without scale.
fn default_of(column: &Column) -> Option<Json> {
    let wire = Wire::of(&column.ty);
    if matches!(wire, Wire::Bytes | Wire::Array(..) | Wire::VariableDecimal) {
        return None;
    }
    json::default_of(&wire, &default_value(column)?)
}

/// Returns whether a column's field has a default other than null.
pub(crate) fn has_default(column: &Column) -> bool {
    default_of(column).is_some()
}

/// The value of a column's default, as far as a schema could tell it.
pub(crate) fn default_value(column: &Column) -> Option<Value> {
    match column.default.as_ref()? {
        DefaultValue::Expression if column.is_nullable => None,
        DefaultValue::Expression => Some(Wire::of(&column.ty).zero()),
        DefaultValue::Literal(_) if matches!(column.ty, ColumnType::Bytes) => None,
        DefaultValue::Literal(text) => exact::parse(&column.ty, text),
    }
}

/// What a field's schema tells of a column's default, to one who reads it alone.
///
/// A zero under NOT NULL is an expression's default unless a mark says that it is a constant.
pub(crate) fn told_default(ty: &ColumnType, schema: &Schema) -> Option<DefaultValue> {
    let wire = Wire::of(ty);
    let default = schema.default.as_ref()?;
    let value = json::read_value(&wire, default)?;
    // By its text too: a zero has as many digits as its column.
    let zero = wire.zero();
    let is_zero = value == zero || json::default_of(&wire, &zero).as_ref() == Some(default);
    if !schema.optional && is_zero {
        return Some(DefaultValue::Expression);
    }
    Some(DefaultValue::Literal(exact::format(&value).into()))
}

/// What must be added to a field so that its column's default can be told: `"expression"`, or
/// `{"literal": text}`. Nothing for most.
fn mark(column: &Column, schema: &Schema) -> Option<Json> {
    let told = told_default(&column.ty, schema);
    let same = match (&told, &column.default) {
        (Some(DefaultValue::Literal(told)), Some(DefaultValue::Literal(text))) => {
            told == text || exact::parse(&column.ty, told) == exact::parse(&column.ty, text)
        }
        (told, default) => told == default,
    };
    match &column.default {
        _ if same => None,
        Some(DefaultValue::Expression) => Some(Json::from("expression")),
        Some(DefaultValue::Literal(text)) => Some(serde_json::json!({ "literal": &**text })),
        None => None,
    }
}

/// The names of a table's schemas: `<prefix>.<schema>.<table>`.
fn base(prefix: &str, table: &TableSchema) -> String {
    format!("{prefix}.{}.{}", table.name.schema, table.name.table)
}

/// The schema of a table's record keys.
pub(crate) fn key(prefix: &str, table: &TableSchema) -> Schema {
    let columns = table.key.iter().filter_map(|index| table.columns.get(*index));
    let fields =
        columns.map(|column| Field { mark: None, missing: None, ..of_column(column) }).collect();
    Schema::row(format!("{}.Key", base(prefix, table)), fields)
}

/// The schema of a table's record values.
pub(crate) fn envelope(prefix: &str, table: &TableSchema) -> Schema {
    let base = base(prefix, table);
    let fields = table.columns.iter().map(of_column).collect();
    let row = Schema::row(format!("{base}.Value"), fields).optional();
    let fields = vec![
        field("before", row.clone()),
        field("after", row),
        field("source", source()),
        field("transaction", transaction()),
        field("op", Schema::new(Kind::String)),
        field("ts_ms", Schema::new(Kind::Int64).optional()),
        field("ts_us", Schema::new(Kind::Int64).optional()),
        field("ts_ns", Schema::new(Kind::Int64).optional()),
    ];
    Schema { version: Some(2), ..Schema::row(format!("{base}.Envelope"), fields) }
}

/// Debezium's source block for PostgreSQL.
fn source() -> Schema {
    const SNAPSHOT: &str =
        "true,first,first_in_data_collection,last_in_data_collection,last,false,incremental";
    let text = || Schema::new(Kind::String);
    let long = || Schema::new(Kind::Int64);
    let snapshot = Schema {
        default: Some(Json::from("false")),
        ..Schema::named(Kind::String, "io.debezium.data.Enum").optional()
    }
    .parameter("allowed", SNAPSHOT.to_owned());
    let fields = vec![
        field("version", text()),
        field("connector", text()),
        field("name", text()),
        field("ts_ms", long()),
        field("snapshot", snapshot),
        field("db", text()),
        field("sequence", text().optional()),
        field("ts_us", long().optional()),
        field("ts_ns", long().optional()),
        field("schema", text()),
        field("table", text()),
        field("txId", long().optional()),
        field("lsn", long().optional()),
        field("xmin", long().optional()),
        field("origin", text().optional()),
        field("origin_lsn", long().optional()),
    ];
    Schema::named(Kind::Struct(fields), "io.debezium.connector.postgresql.Source")
}

/// Debezium's transaction block.
fn transaction() -> Schema {
    let fields = vec![
        field("id", Schema::new(Kind::String)),
        field("total_order", Schema::new(Kind::Int64)),
        field("data_collection_order", Schema::new(Kind::Int64)),
    ];
    Schema::named(Kind::Struct(fields), "event.block").optional()
}

/// The schema of a logical message's key.
pub(crate) fn message_key() -> Schema {
    let fields = vec![field("prefix", Schema::new(Kind::String).optional())];
    Schema::named(Kind::Struct(fields), "io.debezium.connector.postgresql.MessageKey")
}

/// The schema of a logical message.
pub(crate) fn message() -> Schema {
    let content = vec![
        field("prefix", Schema::new(Kind::String).optional()),
        field("content", Schema::new(Kind::Bytes).optional()),
    ];
    let message = "io.debezium.connector.postgresql.Message";
    let fields = vec![
        field("op", Schema::new(Kind::String)),
        field("ts_ms", Schema::new(Kind::Int64).optional()),
        field("source", source()),
        field("transaction", transaction()),
        field("message", Schema::named(Kind::Struct(content), message)),
    ];
    Schema::named(Kind::Struct(fields), "io.debezium.connector.postgresql.MessageValue")
}
