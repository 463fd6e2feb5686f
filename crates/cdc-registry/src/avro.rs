//! An Avro schema as its rules need it: types with names resolved, defaults, and the attributes
//! that give a primitive its meaning. Parsed by our own code because registries compare what
//! general Avro libraries drop: Connect's attributes, aliases and the place of each type.
//!
//! Source: <https://avro.apache.org/docs/1.11.1/specification/>

mod default;
mod parse;

pub(crate) use parse::{full_name, qualify};

use std::fmt;
use std::sync::Arc;

use serde_json::Value;

/// A valid Avro schema and its text.
#[derive(Debug, Clone)]
pub struct Schema {
    text: Arc<str>,
    root: Node,
    named: Vec<Named>,
}

/// A type at some place of a schema.
#[derive(Debug, Clone)]
pub enum Node {
    /// A primitive type with its attributes.
    Primitive(Primitive, Attributes),
    /// An array of items.
    Array(Box<Self>),
    /// A map from strings to values.
    Map(Box<Self>),
    /// A union of branches, none of them a union.
    Union(Vec<Self>),
    /// A record, enum or fixed type; see [`Schema::named`].
    Named(NamedId),
}

/// Place of a named type in its schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct NamedId(usize);

/// Avro's primitive types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "Avro's own names")]
pub enum Primitive {
    Null,
    Boolean,
    Int,
    Long,
    Float,
    Double,
    Bytes,
    String,
}

/// What a schema says beside an Avro type about the meaning of its values.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attributes {
    /// `connect.name`: Kafka Connect's logical type.
    pub connect_name: Option<String>,
    /// `logicalType`.
    pub logical_type: Option<String>,
    /// `scale`, in decimal digits.
    pub scale: Option<i64>,
    /// `precision`, in decimal digits.
    pub precision: Option<i64>,
}

/// A record, enum or fixed type.
#[derive(Debug, Clone)]
pub struct Named {
    /// Its full name, with the namespace.
    pub name: String,
    /// Its aliases, as full names.
    pub aliases: Vec<String>,
    /// What it is.
    pub kind: Kind,
    /// Its attributes.
    pub attributes: Attributes,
}

/// The three kinds of named types.
#[derive(Debug, Clone)]
pub enum Kind {
    /// A record.
    Record(Vec<Field>),
    /// An enum.
    Enum {
        /// Its symbols, in order.
        symbols: Vec<String>,
        /// The symbol that stands for unknown ones.
        default: Option<String>,
    },
    /// A fixed type.
    Fixed {
        /// Its size in bytes.
        size: u64,
    },
}

/// A field of a record.
#[derive(Debug, Clone)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// Its aliases.
    pub aliases: Vec<String>,
    /// Its type.
    pub node: Node,
    /// Its default, as JSON.
    pub default: Option<Value>,
}

impl Schema {
    /// Parses and checks a schema.
    ///
    /// # Errors
    /// The reason why `text` is no valid Avro schema.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        parse::parse(text, &[])
    }

    /// As [`Schema::parse`], where `text` may use the named types that `others` define. Each of
    /// those may use the types of those before it.
    ///
    /// # Errors
    /// The reason why one of them is no valid Avro schema.
    pub fn parse_with(text: &str, others: &[&str]) -> Result<Self, Invalid> {
        parse::parse(text, others)
    }

    /// Returns the text it was parsed from, unchanged.
    pub fn text(&self) -> &Arc<str> {
        &self.text
    }

    /// Returns its outermost type.
    pub fn root(&self) -> &Node {
        &self.root
    }

    /// Returns a named type of this schema. `id` must come from this schema.
    pub fn named(&self, id: NamedId) -> &Named {
        &self.named[id.0]
    }

    /// Returns the type's name as a person would write it: `long`, `array<int>`, `decimal(10,2)`.
    pub fn describe(&self, node: &Node) -> String {
        match node {
            Node::Primitive(primitive, attributes) => attributes.describe(primitive.name()),
            Node::Array(items) => format!("array<{}>", self.describe(items)),
            Node::Map(values) => format!("map<{}>", self.describe(values)),
            Node::Union(branches) => {
                branches.iter().map(|branch| self.describe(branch)).collect::<Vec<_>>().join("|")
            }
            Node::Named(id) => {
                let named = self.named(*id);
                match &named.kind {
                    Kind::Record(_) => format!("record {}", named.name),
                    Kind::Enum { symbols, .. } => {
                        format!("enum {}({})", named.name, symbols.join(","))
                    }
                    Kind::Fixed { size } => {
                        named.attributes.describe(&format!("fixed {}({size})", named.name))
                    }
                }
            }
        }
    }
}

impl Attributes {
    fn describe(&self, avro: &str) -> String {
        match (&self.connect_name, &self.logical_type, self.scale) {
            (_, Some(logical), Some(scale)) if logical == "decimal" => {
                format!("decimal({},{scale})", self.precision.unwrap_or(0))
            }
            (Some(name), _, _) | (None, Some(name), _) => format!("{avro} {name}"),
            (None, None, _) => avro.to_owned(),
        }
    }
}

impl Named {
    /// Returns its name without the namespace.
    pub fn simple_name(&self) -> &str {
        self.name.rsplit('.').next().unwrap_or(&self.name)
    }
}

impl Primitive {
    /// Returns Avro's name of the type.
    pub fn name(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Boolean => "boolean",
            Self::Int => "int",
            Self::Long => "long",
            Self::Float => "float",
            Self::Double => "double",
            Self::Bytes => "bytes",
            Self::String => "string",
        }
    }

    /// Returns the type that Avro calls `name`.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "null" => Self::Null,
            "boolean" => Self::Boolean,
            "int" => Self::Int,
            "long" => Self::Long,
            "float" => Self::Float,
            "double" => Self::Double,
            "bytes" => Self::Bytes,
            "string" => Self::String,
            _ => return None,
        })
    }
}

/// Why a text is no valid Avro schema; a sentence that names the place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid(pub(crate) String);

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Invalid {}
