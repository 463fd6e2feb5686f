//! From an Avro schema's text to what a decoder needs: which field is which, and how to read or
//! skip it.

use std::collections::BTreeMap;

use cdc_model::{Column, ColumnType, DefaultValue};
use serde_json::Value as Json;

use crate::avro::read::{Cursor, Result};
use crate::avro::schema::{COLUMN_DEFAULT, COLUMN_MISSING, COLUMN_NAME};
use crate::connect::{self, CATALOG, NAMED, OTHER};
use crate::error::RecordError;
use crate::json;
use crate::wire::Wire;

/// A schema as far as it must be known to skip its values.
#[derive(Debug, Clone)]
pub(crate) enum Node {
    Null,
    /// A fixed number of bytes.
    Fixed(usize),
    /// `int`, `long` and `enum`.
    Number,
    /// `bytes` and `string`.
    Piece,
    Array(Box<Self>),
    Map(Box<Self>),
    Record(Vec<Self>),
    Union(Vec<Self>),
}

impl Node {
    pub(crate) fn skip(&self, cursor: &mut Cursor<'_>) -> Result<()> {
        match self {
            Self::Null => Ok(()),
            Self::Fixed(length) => cursor.skip(*length),
            Self::Number => cursor.long().map(|_| ()),
            Self::Piece => cursor.piece().map(|_| ()),
            Self::Array(item) => skip_blocks(cursor, |cursor| item.skip(cursor)),
            Self::Map(item) => skip_blocks(cursor, |cursor| {
                cursor.piece()?;
                item.skip(cursor)
            }),
            Self::Record(fields) => fields.iter().try_for_each(|field| field.skip(cursor)),
            Self::Union(branches) => {
                let branch = cursor.branch()?;
                let node = branches.get(branch);
                node.ok_or(RecordError::Malformed("a union has no such branch"))?.skip(cursor)
            }
        }
    }
}

fn skip_blocks(
    cursor: &mut Cursor<'_>,
    mut skip: impl FnMut(&mut Cursor<'_>) -> Result<()>,
) -> Result<()> {
    loop {
        match cursor.block()? {
            0 => return Ok(()),
            count => (0..count).try_for_each(|_| skip(cursor))?,
        }
    }
}

/// What a schema is for.
#[derive(Debug)]
pub(crate) enum Usage {
    /// Record keys: the columns' names.
    Key(Vec<String>),
    /// Change events.
    Change(Envelope),
    /// Something a projection has no use for: messages, heartbeats.
    Other,
}

/// How to read a change event.
#[derive(Debug)]
pub(crate) struct Envelope {
    pub(crate) steps: Vec<Step>,
    pub(crate) columns: Vec<ReadColumn>,
}

/// A field of the envelope, in order.
#[derive(Debug)]
pub(crate) enum Step {
    Before(Union),
    After(Union),
    Source(Vec<(SourceField, Union, Node)>),
    Op,
    Skip(Node),
}

/// A field of the source block that is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SourceField {
    Snapshot,
    Sequence,
    TsMicros,
    Schema,
    Table,
    TransactionId,
    Lsn,
    /// Read past.
    Unused,
}

/// Where null stands in a field's type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Union {
    /// Nowhere: the value follows at once.
    Required,
    /// In this branch of two.
    Null(usize),
}

impl Union {
    /// Reads whether a value follows.
    pub(crate) fn is_some(self, cursor: &mut Cursor<'_>) -> Result<bool> {
        match self {
            Self::Required => Ok(true),
            Self::Null(null) => match cursor.branch()? {
                branch if branch == null => Ok(false),
                0 | 1 => Ok(true),
                _ => Err(RecordError::Malformed("a union has no such branch")),
            },
        }
    }
}

/// How to read a column.
#[derive(Debug, Clone)]
pub(crate) struct ReadColumn {
    pub(crate) union: Union,
    pub(crate) wire: Wire,
    pub(crate) column: Column,
}

type Names = BTreeMap<String, Node>;
type Parsed<T> = std::result::Result<T, &'static str>;

/// Compiles the text of a schema. The error says what is wrong with it.
pub(crate) fn compile(text: &str) -> Parsed<Usage> {
    let schema: Json = serde_json::from_str(text).map_err(|_| "its text is not JSON")?;
    let name = schema["name"].as_str().ok_or("it is no record")?;
    let fields = schema["fields"].as_array().ok_or("it is no record")?;
    let is_change = fields.iter().any(|field| field["name"] == "after");
    match name {
        "Envelope" if is_change => envelope(&schema, fields).map(Usage::Change),
        "Key" => Ok(Usage::Key(fields.iter().map(column_name).collect::<Parsed<_>>()?)),
        _ => Ok(Usage::Other),
    }
}

fn column_name(field: &Json) -> Parsed<String> {
    let name = field.get(COLUMN_NAME).or(field.get("name")).and_then(Json::as_str);
    name.map(str::to_owned).ok_or("a field has no name")
}

fn envelope(schema: &Json, fields: &[Json]) -> Parsed<Envelope> {
    let namespace = schema["namespace"].as_str().unwrap_or_default();
    let mut names = Names::new();
    let mut envelope = Envelope { steps: Vec::new(), columns: Vec::new() };
    for field in fields {
        let node = node(&field["type"], namespace, &mut names)?;
        let (union, ty) = split(&field["type"])?;
        let step = match field["name"].as_str() {
            Some("before") => {
                let columns = ty["fields"].as_array().ok_or("before is no record")?;
                envelope.columns = columns.iter().map(column).collect::<Parsed<_>>()?;
                Step::Before(union)
            }
            Some("after") if ty.is_string() => Step::After(union),
            Some("after") => return Err("after is not of before's type"),
            Some("source") => Step::Source(source(ty, &node)?),
            Some("op") if ty == "string" => Step::Op,
            _ => Step::Skip(node),
        };
        envelope.steps.push(step);
    }
    Ok(envelope)
}

fn source(ty: &Json, node: &Node) -> Parsed<Vec<(SourceField, Union, Node)>> {
    let fields = ty["fields"].as_array().ok_or("source is no record")?;
    let Node::Record(nodes) = node else {
        return Err("source is no record");
    };
    let mut steps = Vec::new();
    for (field, node) in fields.iter().zip(nodes) {
        let used = match field["name"].as_str() {
            Some("snapshot") => SourceField::Snapshot,
            Some("sequence") => SourceField::Sequence,
            Some("ts_us") => SourceField::TsMicros,
            Some("schema") => SourceField::Schema,
            Some("table") => SourceField::Table,
            Some("txId") => SourceField::TransactionId,
            Some("lsn") => SourceField::Lsn,
            _ => SourceField::Unused,
        };
        let union = match used {
            SourceField::Unused => Union::Required,
            _ => {
                let (union, ty) = split(&field["type"])?;
                let base = if ty.is_object() { &ty["type"] } else { ty };
                let wanted = match used {
                    SourceField::TsMicros | SourceField::TransactionId | SourceField::Lsn => "long",
                    _ => "string",
                };
                if base != wanted {
                    return Err("a field of source is not of its type");
                }
                union
            }
        };
        steps.push((used, union, node.clone()));
    }
    Ok(steps)
}

/// Splits an optional type into where null stands and the type itself.
fn split(ty: &Json) -> Parsed<(Union, &Json)> {
    match ty.as_array().map(Vec::as_slice) {
        None => Ok((Union::Required, ty)),
        Some([null, ty]) if null == "null" => Ok((Union::Null(0), ty)),
        Some([ty, null]) if null == "null" => Ok((Union::Null(1), ty)),
        Some(_) => Err("a union is not of one type and null"),
    }
}

fn column(field: &Json) -> Parsed<ReadColumn> {
    let (union, ty) = split(&field["type"])?;
    let is_nullable = union != Union::Required;
    let ty = column_type(ty)?;
    let schema = connect::Schema {
        optional: is_nullable,
        default: field.get("default").and_then(|default| wire_default(&ty, default)),
        ..connect::of_type(&ty)
    };
    let default = match field.get(COLUMN_DEFAULT) {
        Some(Json::Object(mark)) => {
            let literal = mark.get("literal").and_then(Json::as_str);
            literal.map(|text| DefaultValue::Literal(text.into()))
        }
        Some(_) => Some(DefaultValue::Expression),
        None => connect::told_default(&ty, &schema),
    };
    let missing = field.get(COLUMN_MISSING).and_then(Json::as_str).map(Into::into);
    let name = column_name(field)?.into();
    let wire = Wire::of(&ty);
    Ok(ReadColumn { union, wire, column: Column { name, ty, is_nullable, default, missing } })
}

/// An Avro default in the form of Connect's `JsonConverter`.
fn wire_default(ty: &ColumnType, default: &Json) -> Option<Json> {
    match (Wire::of(ty), default) {
        (_, Json::Null) => None,
        (Wire::Decimal(_), Json::String(text)) => {
            let bytes = text.chars().map(|c| u8::try_from(c).ok()).collect::<Option<Vec<_>>>()?;
            Some(json::base64(&bytes).into())
        }
        (_, default) => Some(default.clone()),
    }
}

/// The column type that a field's type stands for.
fn column_type(ty: &Json) -> Parsed<ColumnType> {
    let (base, name) = match ty {
        Json::Object(map) => (
            map.get("type").and_then(Json::as_str).unwrap_or_default(),
            map.get("connect.name").and_then(Json::as_str).unwrap_or_default(),
        ),
        // The only record that a row refers to a second time.
        Json::String(name) if name.ends_with("VariableScaleDecimal") => {
            return Ok(ColumnType::Decimal(None));
        }
        Json::String(base) => (base.as_str(), ""),
        _ => return Err("a column's type cannot be read"),
    };
    Ok(match (base, name) {
        ("boolean", "") => ColumnType::Bool,
        ("int", "") if ty["connect.type"] == "int16" => ColumnType::Int16,
        ("int", "") => ColumnType::Int32,
        ("long", "") => ColumnType::Int64,
        ("float", "") => ColumnType::Float32,
        ("double", "") => ColumnType::Float64,
        ("string", "") => ColumnType::Text,
        ("bytes", "") => ColumnType::Bytes,
        ("array", "") => {
            let (union, item) = split(&ty["items"])?;
            let item = column_type(item)?;
            let wanted = match item {
                ColumnType::Enum { .. } => Union::Required,
                _ => Union::Null(0),
            };
            if union != wanted {
                return Err("an array's elements are not as expected");
            }
            ColumnType::Array(Box::new(item))
        }
        ("bytes", "org.apache.kafka.connect.data.Decimal") => {
            let number = |key| ty[key].as_u64().and_then(|number| u16::try_from(number).ok());
            let scale = number("scale").and_then(|scale| i16::try_from(scale).ok());
            let precision = number("precision");
            ColumnType::Decimal(Some(precision.zip(scale).ok_or("a decimal has no scale")?))
        }
        ("record", "io.debezium.data.VariableScaleDecimal") => ColumnType::Decimal(None),
        ("int", "io.debezium.time.Date") => ColumnType::Date,
        ("int", "io.debezium.time.Time") => ColumnType::Time(3),
        ("long", "io.debezium.time.MicroTime") => ColumnType::Time(6),
        ("long", "io.debezium.time.Timestamp") => ColumnType::Timestamp(3),
        ("long", "io.debezium.time.MicroTimestamp") => ColumnType::Timestamp(6),
        ("long", "io.debezium.time.MicroDuration") => ColumnType::Interval,
        ("string", name) => text_type(ty, name)?,
        _ => return Err("a column's type is not known"),
    })
}

fn text_type(ty: &Json, name: &str) -> Parsed<ColumnType> {
    if let Some((local, _)) = NAMED.iter().find(|(_, connect)| *connect == name) {
        return Ok(ColumnType::Other { name: format!("{CATALOG}{local}").into() });
    }
    if let Some(other) = name.strip_prefix(OTHER) {
        let qualified = other.contains('.');
        let name = if qualified { other.to_owned() } else { format!("{CATALOG}{other}") };
        return Ok(ColumnType::Other { name: name.into() });
    }
    Ok(match name {
        "io.debezium.time.ZonedTimestamp" => ColumnType::TimestampTz(6),
        "io.debezium.time.ZonedTime" => ColumnType::TimeTz(6),
        "io.debezium.data.Uuid" => ColumnType::Uuid,
        "io.debezium.data.Json" => ColumnType::Json,
        "io.debezium.data.Enum" => {
            let labels = ty["connect.parameters"]["allowed"].as_str().unwrap_or_default();
            ColumnType::Enum {
                name: "".into(),
                labels: labels.split(',').map(Into::into).collect(),
            }
        }
        _ => return Err("a column's type is not known"),
    })
}

/// Compiles a type for skipping; names defined on the way are remembered.
fn node(ty: &Json, namespace: &str, names: &mut Names) -> Parsed<Node> {
    match ty {
        Json::String(name) => plain(name, namespace, names),
        Json::Array(branches) => {
            let branches = branches.iter().map(|branch| node(branch, namespace, names));
            Ok(Node::Union(branches.collect::<Parsed<_>>()?))
        }
        Json::Object(map) => match map.get("type").and_then(Json::as_str) {
            Some("record") => {
                let namespace = ty["namespace"].as_str().unwrap_or(namespace);
                let fields = ty["fields"].as_array().ok_or("a record has no fields")?;
                let fields = fields.iter().map(|field| node(&field["type"], namespace, names));
                let record = Node::Record(fields.collect::<Parsed<_>>()?);
                let name = ty["name"].as_str().ok_or("a record has no name")?;
                names.insert(format!("{namespace}.{name}"), record.clone());
                Ok(record)
            }
            Some("array") => Ok(Node::Array(Box::new(node(&ty["items"], namespace, names)?))),
            Some("map") => Ok(Node::Map(Box::new(node(&ty["values"], namespace, names)?))),
            Some("fixed") => {
                let size = ty["size"].as_u64().and_then(|size| usize::try_from(size).ok());
                size.map(Node::Fixed).ok_or("a fixed type has no size")
            }
            Some("enum") => Ok(Node::Number),
            Some(name) => plain(name, namespace, names),
            None => Err("a type cannot be read"),
        },
        _ => Err("a type cannot be read"),
    }
}

fn plain(name: &str, namespace: &str, names: &Names) -> Parsed<Node> {
    Ok(match name {
        "null" => Node::Null,
        "boolean" => Node::Fixed(1),
        "int" | "long" => Node::Number,
        "float" => Node::Fixed(4),
        "double" => Node::Fixed(8),
        "bytes" | "string" => Node::Piece,
        _ => {
            let known = names.get(name).or_else(|| names.get(&format!("{namespace}.{name}")));
            known.cloned().ok_or("a type's name is not defined")?
        }
    })
}
