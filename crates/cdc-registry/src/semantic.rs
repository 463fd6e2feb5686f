//! The gate that registries lack: a change that Avro calls compatible and that still makes readers
//! see other values.
//!
//! Avro's resolution looks at physical types only. `decimal(10,2)` to `decimal(10,4)` is bytes to
//! bytes, microseconds to milliseconds is long to long: both pass every level, and a reader with
//! its own schema is then off by a factor of 100 or 1000 without an error. So a new version is compared
//! with the last one place by place: what a place's values *mean* may not change, and a decimal's
//! precision may only grow.
//!
//! # Not here
//! Fields added or removed, or types that Avro itself cannot resolve: [`crate::compatibility`].

use std::collections::BTreeSet;
use std::fmt;

use crate::avro::{Attributes, Kind, NamedId, Node, Primitive, Schema};
use crate::compatibility::{counterpart, promotes};

/// Places nested deeper are not compared further; Debezium's envelopes nest fewer than ten.
const DEPTH_MAX: usize = 200;

/// A place whose values changed their meaning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The field, from the root: `after.price`, `[]` standing for an array's items and `{}` for a
    /// map's values.
    pub field: String,
    /// What it meant.
    pub old: String,
    /// What it would mean.
    pub new: String,
    /// What is wrong with it.
    pub what: &'static str,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { field, old, new, what } = self;
        write!(f, "field \"{field}\": {what}, from {old} to {new}")
    }
}

/// Returns what would change its meaning if `new` followed `old`; nothing if all keep it.
pub fn changes(new: &Schema, old: &Schema) -> Vec<Change> {
    let mut gate = Gate { new, old, path: Vec::new(), pairs: BTreeSet::new(), found: Vec::new() };
    gate.node(new.root(), old.root());
    gate.found
}

struct Gate<'a> {
    new: &'a Schema,
    old: &'a Schema,
    path: Vec<String>,
    pairs: BTreeSet<(NamedId, NamedId)>,
    found: Vec<Change>,
}

impl Gate<'_> {
    fn node(&mut self, new: &Node, old: &Node) {
        match (new, old) {
            _ if self.path.len() > DEPTH_MAX => {}
            (Node::Union(_), _) | (_, Node::Union(_)) => self.unions(new, old),
            (Node::Array(new), Node::Array(old)) => self.within("[]", |gate| gate.node(new, old)),
            (Node::Map(new), Node::Map(old)) => self.within("{}", |gate| gate.node(new, old)),
            (Node::Primitive(a, new), Node::Primitive(b, old))
                if promotes(*a, *b) || promotes(*b, *a) =>
            {
                self.compare(Meaning::of(*a, new), Meaning::of(*b, old));
            }
            (Node::Named(new), Node::Named(old)) => self.named(*new, *old),
            _ => {}
        }
    }

    fn within(&mut self, step: &str, compare: impl FnOnce(&mut Self)) {
        self.path.push(step.to_owned());
        compare(self);
        self.path.pop();
    }

    /// Optional or not does not matter here; of several branches those of the same type belong
    /// together.
    fn unions(&mut self, new: &Node, old: &Node) {
        let (new, old) = (branches(new), branches(old));
        if let ([new], [old]) = (new.as_slice(), old.as_slice()) {
            return self.node(new, old);
        }
        for new in new {
            for old in &old {
                if self.same_type(new, old) {
                    self.node(new, old);
                }
            }
        }
    }

    fn same_type(&self, new: &Node, old: &Node) -> bool {
        match (new, old) {
            (Node::Primitive(new, _), Node::Primitive(old, _)) => new == old,
            (Node::Array(_), Node::Array(_)) | (Node::Map(_), Node::Map(_)) => true,
            (Node::Named(new), Node::Named(old)) => {
                self.new.named(*new).simple_name() == self.old.named(*old).simple_name()
            }
            _ => false,
        }
    }

    fn named(&mut self, new: NamedId, old: NamedId) {
        if !self.pairs.insert((new, old)) {
            return;
        }
        let (new, old) = (self.new.named(new), self.old.named(old));
        match (&new.kind, &old.kind) {
            (Kind::Record(new), Kind::Record(old)) => {
                for field in new {
                    if let Some(old) = counterpart(field, old) {
                        self.within(&field.name, |gate| gate.node(&field.node, &old.node));
                    }
                }
            }
            (Kind::Fixed { .. }, Kind::Fixed { .. }) => self.compare(
                Meaning::of(Primitive::Bytes, &new.attributes),
                Meaning::of(Primitive::Bytes, &old.attributes),
            ),
            _ => {}
        }
    }

    fn compare(&mut self, new: Meaning<'_>, old: Meaning<'_>) {
        if let Some(what) = objection(&new, &old) {
            let field = if self.path.is_empty() { "(root)".into() } else { self.path.join(".") };
            self.found.push(Change { field, old: old.to_string(), new: new.to_string(), what });
        }
    }
}

fn branches(node: &Node) -> Vec<&Node> {
    let is_null = |node: &&Node| matches!(node, Node::Primitive(Primitive::Null, _));
    match node {
        Node::Union(branches) => branches.iter().filter(|node| !is_null(node)).collect(),
        node => vec![node],
    }
}

/// What the values of a primitive type stand for.
#[derive(Debug, PartialEq, Eq)]
enum Meaning<'a> {
    Plain(Primitive),
    Decimal { scale: i64, precision: Option<i64> },
    Logical { name: &'a str, primitive: Primitive },
}

impl<'a> Meaning<'a> {
    fn of(primitive: Primitive, attributes: &'a Attributes) -> Self {
        let logical = attributes.logical_type.as_deref().filter(|name| fits(name, primitive));
        let Some(name) = attributes.connect_name.as_deref().map(avro_name).or(logical) else {
            return Self::Plain(primitive);
        };
        match (name, attributes) {
            ("decimal", Attributes { scale, precision, .. }) => {
                Self::Decimal { scale: scale.unwrap_or(0), precision: *precision }
            }
            (name, _) => Self::Logical { name, primitive },
        }
    }

    /// The unit of times and durations, in nanoseconds.
    fn unit(&self) -> Option<u64> {
        let Self::Logical { name, .. } = self else { return None };
        Some(match *name {
            "date" | "io.debezium.time.Date" => 86_400_000_000_000,
            "time-millis"
            | "timestamp-millis"
            | "local-timestamp-millis"
            | "io.debezium.time.Time"
            | "io.debezium.time.Timestamp" => 1_000_000,
            "time-micros"
            | "timestamp-micros"
            | "local-timestamp-micros"
            | "io.debezium.time.MicroTime"
            | "io.debezium.time.MicroTimestamp"
            | "io.debezium.time.MicroDuration" => 1_000,
            "timestamp-nanos"
            | "local-timestamp-nanos"
            | "io.debezium.time.NanoTime"
            | "io.debezium.time.NanoTimestamp"
            | "io.debezium.time.NanoDuration" => 1,
            _ => return None,
        })
    }
}

/// Avro ignores a logical type on a type it does not belong to.
fn fits(logical: &str, primitive: Primitive) -> bool {
    match logical {
        "decimal" => primitive == Primitive::Bytes,
        "date" | "time-millis" => primitive == Primitive::Int,
        "time-micros" => primitive == Primitive::Long,
        name if name.starts_with("timestamp-") || name.starts_with("local-timestamp-") => {
            primitive == Primitive::Long
        }
        _ => true,
    }
}

/// Kafka Connect's built-in types are Avro's own under another name.
fn avro_name(connect: &str) -> &str {
    match connect {
        "org.apache.kafka.connect.data.Decimal" => "decimal",
        "org.apache.kafka.connect.data.Date" => "date",
        "org.apache.kafka.connect.data.Time" => "time-millis",
        "org.apache.kafka.connect.data.Timestamp" => "timestamp-millis",
        name => name,
    }
}

fn objection(new: &Meaning<'_>, old: &Meaning<'_>) -> Option<&'static str> {
    match (new, old) {
        (
            Meaning::Decimal { scale: new_scale, precision: new },
            Meaning::Decimal { scale: old_scale, precision: old },
        ) => {
            if new_scale != old_scale {
                return Some("decimal scale changed");
            }
            let narrowed = matches!((new, old), (Some(new), Some(old)) if new < old);
            narrowed.then_some("decimal precision narrowed")
        }
        (Meaning::Plain(new), Meaning::Plain(old)) => {
            let text = [Primitive::String, Primitive::Bytes];
            let swapped = new != old && text.contains(new) && text.contains(old);
            swapped.then_some("text and bytes swapped")
        }
        (Meaning::Logical { name: new, .. }, Meaning::Logical { name: old, .. }) if new == old => {
            None
        }
        (new, old) => {
            let units = new.unit().zip(old.unit());
            let other_unit = units.is_some_and(|(new, old)| new != old);
            Some(if other_unit { "unit of time changed" } else { "logical type changed" })
        }
    }
}

impl fmt::Display for Meaning<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain(primitive) => f.write_str(primitive.name()),
            Self::Decimal { scale, precision: Some(precision) } => {
                write!(f, "decimal({precision},{scale})")
            }
            Self::Decimal { scale, precision: None } => write!(f, "decimal(*,{scale})"),
            Self::Logical { name, primitive } => write!(f, "{name} ({})", primitive.name()),
        }
    }
}
