//! From a schema's JSON to [`Schema`]: names resolved in their namespaces, everything checked that
//! Avro's specification asks of a schema. JSON nested deeper than 128 is refused by the JSON
//! parser, so recursion is bounded.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Map, Value};

use super::{
    Attributes, Field, Invalid, Kind, Named, NamedId, Node, Primitive, Schema, default::validate,
};

type Object = Map<String, Value>;
type Result<T> = std::result::Result<T, Invalid>;

pub(super) fn parse(text: &str, others: &[&str]) -> Result<Schema> {
    let mut parser = Parser::default();
    for other in others {
        parser.node(&json(other)?, "")?;
    }
    let root = parser.node(&json(text)?, "")?;
    let schema = Schema { text: Arc::from(text), root, named: parser.named };
    check_defaults(&schema)?;
    Ok(schema)
}

fn json(text: &str) -> Result<Value> {
    let wrong = |error: serde_json::Error| Invalid(format!("not JSON at line {}", error.line()));
    serde_json::from_str(text).map_err(wrong)
}

fn check_defaults(schema: &Schema) -> Result<()> {
    for named in &schema.named {
        let Kind::Record(fields) = &named.kind else { continue };
        for field in fields {
            let Some(default) = &field.default else { continue };
            if !validate(schema, &field.node, default) {
                let place = format!("field \"{}\" of record \"{}\"", field.name, named.name);
                let found = schema.describe(&field.node);
                return Err(Invalid(format!("default of {place} is no valid {found}")));
            }
        }
    }
    Ok(())
}

#[derive(Default)]
struct Parser {
    named: Vec<Named>,
    by_name: BTreeMap<String, NamedId>,
}

impl Parser {
    fn node(&mut self, value: &Value, namespace: &str) -> Result<Node> {
        match value {
            Value::String(name) => self.reference(name, namespace),
            Value::Array(branches) => self.union(branches, namespace),
            Value::Object(object) => self.complex(object, namespace),
            _ => Err(Invalid("a type must be a name, an object or a union".to_owned())),
        }
    }

    fn reference(&self, name: &str, namespace: &str) -> Result<Node> {
        if let Some(primitive) = Primitive::from_name(name) {
            return Ok(Node::Primitive(primitive, Attributes::default()));
        }
        let full = qualify(name, namespace);
        let id = self.by_name.get(&full).or_else(|| self.by_name.get(name));
        id.map(|id| Node::Named(*id)).ok_or_else(|| Invalid(format!("unknown type \"{name}\"")))
    }

    fn union(&mut self, branches: &[Value], namespace: &str) -> Result<Node> {
        let mut seen = BTreeSet::new();
        let mut nodes = Vec::with_capacity(branches.len());
        for branch in branches {
            let node = self.node(branch, namespace)?;
            let name = match &node {
                Node::Union(_) => return Err(Invalid("a union inside a union".to_owned())),
                Node::Primitive(primitive, _) => primitive.name().to_owned(),
                Node::Array(_) => "array".to_owned(),
                Node::Map(_) => "map".to_owned(),
                Node::Named(id) => self.named[id.0].name.clone(),
            };
            if !seen.insert(name.clone()) {
                return Err(Invalid(format!("\"{name}\" twice in a union")));
            }
            nodes.push(node);
        }
        Ok(Node::Union(nodes))
    }

    fn complex(&mut self, object: &Object, namespace: &str) -> Result<Node> {
        let kind = text(object, "type")?;
        if let Some(primitive) = Primitive::from_name(kind) {
            return Ok(Node::Primitive(primitive, attributes(object)));
        }
        match kind {
            "array" => Ok(Node::Array(Box::new(self.node(part(object, "items")?, namespace)?))),
            "map" => Ok(Node::Map(Box::new(self.node(part(object, "values")?, namespace)?))),
            "record" | "error" => self.record(object, namespace),
            "enum" => self.enumeration(object, namespace),
            "fixed" => {
                let size = part(object, "size")?;
                let size = size.as_u64().ok_or_else(|| {
                    Invalid("size of a fixed type must be a whole number".to_owned())
                })?;
                Ok(Node::Named(self.define(object, namespace, Kind::Fixed { size })?.0))
            }
            name => self.reference(name, namespace),
        }
    }

    fn record(&mut self, object: &Object, namespace: &str) -> Result<Node> {
        let (id, namespace) = self.define(object, namespace, Kind::Record(Vec::new()))?;
        let record = self.named[id.0].name.clone();
        let Value::Array(values) = part(object, "fields")? else {
            return Err(Invalid(format!("fields of record \"{record}\" must be a list")));
        };
        let mut names = BTreeSet::new();
        let mut fields = Vec::with_capacity(values.len());
        for value in values {
            let Value::Object(value) = value else {
                return Err(Invalid(format!("a field of record \"{record}\" must be an object")));
            };
            let field = self.field(value, &record, &namespace)?;
            if !names.insert(field.name.clone()) {
                let name = &field.name;
                return Err(Invalid(format!("field \"{name}\" twice in record \"{record}\"")));
            }
            fields.push(field);
        }
        self.named[id.0].kind = Kind::Record(fields);
        Ok(Node::Named(id))
    }

    fn field(&mut self, object: &Object, record: &str, namespace: &str) -> Result<Field> {
        let name = text(object, "name").map_err(|error| within(record, error))?;
        check_name(name).map_err(|error| within(record, error))?;
        let node = part(object, "type")
            .and_then(|value| self.node(value, namespace))
            .map_err(|error| within(&format!("{record}.{name}"), error))?;
        Ok(Field {
            name: name.to_owned(),
            aliases: strings(object, "aliases")?,
            node,
            default: object.get("default").cloned(),
        })
    }

    fn enumeration(&mut self, object: &Object, namespace: &str) -> Result<Node> {
        part(object, "symbols")?;
        let symbols = strings(object, "symbols")?;
        let mut seen = BTreeSet::new();
        for symbol in &symbols {
            check_name(symbol)?;
            if !seen.insert(symbol) {
                return Err(Invalid(format!("symbol \"{symbol}\" twice in an enum")));
            }
        }
        let default = match object.get("default") {
            None => None,
            Some(Value::String(symbol)) if seen.contains(symbol) => Some(symbol.clone()),
            Some(_) => return Err(Invalid("an enum's default must be one of its symbols".into())),
        };
        Ok(Node::Named(self.define(object, namespace, Kind::Enum { symbols, default })?.0))
    }

    /// Returns the new type's id and the namespace its parts are read in.
    fn define(
        &mut self,
        object: &Object,
        enclosing: &str,
        kind: Kind,
    ) -> Result<(NamedId, String)> {
        let full = full_name(object, enclosing)?;
        for part in full.split('.') {
            check_name(part)?;
        }
        let namespace = full.rsplit_once('.').map_or("", |(namespace, _)| namespace).to_owned();
        let aliases = strings(object, "aliases")?;
        let id = NamedId(self.named.len());
        if Primitive::from_name(&full).is_some() || self.by_name.insert(full.clone(), id).is_some()
        {
            return Err(Invalid(format!("\"{full}\" is defined twice")));
        }
        self.named.push(Named {
            name: full,
            aliases: aliases.iter().map(|alias| qualify(alias, &namespace)).collect(),
            kind,
            attributes: attributes(object),
        });
        Ok((id, namespace))
    }
}

fn within(place: &str, error: Invalid) -> Invalid {
    Invalid(format!("in \"{place}\": {error}"))
}

/// Returns the full name of the named type that `object` defines inside namespace `enclosing`.
pub(crate) fn full_name(object: &Object, enclosing: &str) -> Result<String> {
    let name = text(object, "name")?;
    let namespace = match object.get("namespace") {
        Some(Value::String(namespace)) => namespace,
        _ => enclosing,
    };
    Ok(qualify(name, namespace))
}

/// Returns the full name that `name` stands for inside `namespace`.
pub(crate) fn qualify(name: &str, namespace: &str) -> String {
    if name.contains('.') || namespace.is_empty() {
        name.to_owned()
    } else {
        format!("{namespace}.{name}")
    }
}

fn attributes(object: &Object) -> Attributes {
    let owned = |key| object.get(key).and_then(Value::as_str).map(str::to_owned);
    let parameter = |key| {
        let parameters = object.get("connect.parameters").and_then(Value::as_object);
        parameters.and_then(|map| map.get(key)).and_then(Value::as_str)?.parse().ok()
    };
    let number =
        |key, connect| object.get(key).and_then(Value::as_i64).or_else(|| parameter(connect));
    Attributes {
        connect_name: owned("connect.name"),
        logical_type: owned("logicalType"),
        scale: number("scale", "scale"),
        precision: number("precision", "connect.decimal.precision"),
    }
}

fn part<'a>(object: &'a Object, key: &str) -> Result<&'a Value> {
    object.get(key).ok_or_else(|| Invalid(format!("\"{key}\" is missing")))
}

fn text<'a>(object: &'a Object, key: &str) -> Result<&'a str> {
    part(object, key)?.as_str().ok_or_else(|| Invalid(format!("\"{key}\" must be a string")))
}

fn strings(object: &Object, key: &str) -> Result<Vec<String>> {
    let invalid = || Invalid(format!("\"{key}\" must be a list of strings"));
    let Some(value) = object.get(key) else { return Ok(Vec::new()) };
    let values = value.as_array().ok_or_else(invalid)?;
    values.iter().map(|value| value.as_str().map(str::to_owned).ok_or_else(invalid)).collect()
}

fn check_name(name: &str) -> Result<()> {
    let starts = |c: char| c.is_ascii_alphabetic() || c == '_';
    let valid = name.starts_with(starts) && name.chars().all(|c| starts(c) || c.is_ascii_digit());
    if valid { Ok(()) } else { Err(Invalid(format!("\"{name}\" is no valid name"))) }
}
