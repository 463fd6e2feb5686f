//! Avro's schema resolution: can a reader with one schema read what was written with another?
//!
//! Named types may refer to each other in circles, so a pair of them is compared once; while that
//! goes on the pair counts as readable, which is the greatest fixed point and what Avro does.
//!
//! Source: <https://avro.apache.org/docs/1.11.1/specification/#schema-resolution>

use std::collections::BTreeMap;

use crate::avro::{Field, Kind, Named, NamedId, Node, Primitive, Schema};

use super::{Difference, DifferenceKind};

/// Comparisons nested deeper are refused rather than risk the stack.
const DEPTH_MAX: usize = 200;

/// Returns why `reader` cannot read `writer`. `sides` names the two in that order, for sentences.
pub(super) fn differences(reader: &Schema, writer: &Schema, sides: [&str; 2]) -> Vec<Difference> {
    let mut comparison =
        Comparison { reader, writer, sides, path: Vec::new(), pairs: BTreeMap::new() };
    let mut found = comparison.node(reader.root(), writer.root());
    let mut unique = Vec::with_capacity(found.len());
    for difference in found.drain(..) {
        if !unique.contains(&difference) {
            unique.push(difference);
        }
    }
    unique
}

struct Comparison<'a> {
    reader: &'a Schema,
    writer: &'a Schema,
    sides: [&'a str; 2],
    path: Vec<String>,
    /// What was found about pairs of named types, of the reader and the writer.
    pairs: BTreeMap<(NamedId, NamedId), Vec<Difference>>,
}

impl Comparison<'_> {
    fn node(&mut self, reader: &Node, writer: &Node) -> Vec<Difference> {
        if self.path.len() > DEPTH_MAX {
            return vec![self.mismatch("too deeply nested to compare".to_owned())];
        }
        match (reader, writer) {
            (Node::Union(_), Node::Union(branches)) => self.unions(reader, branches),
            (_, Node::Union(branches)) => {
                branches.iter().flat_map(|branch| self.node(reader, branch)).collect()
            }
            (Node::Union(branches), _) => self.branch(branches, writer),
            (Node::Primitive(reader, _), Node::Primitive(writer, _)) => {
                if promotes(*writer, *reader) {
                    Vec::new()
                } else {
                    vec![self.mismatch(types(reader.name(), writer.name()))]
                }
            }
            (Node::Array(reader), Node::Array(writer)) => {
                self.within(["items"], |this| this.node(reader, writer))
            }
            (Node::Map(reader), Node::Map(writer)) => {
                self.within(["values"], |this| this.node(reader, writer))
            }
            (Node::Named(reader), Node::Named(writer)) => self.pair(*reader, *writer),
            _ => {
                let detail = types(kind_name(self.reader, reader), kind_name(self.writer, writer));
                vec![self.mismatch(detail)]
            }
        }
    }

    fn within<const N: usize, T>(
        &mut self,
        steps: [&str; N],
        compare: impl FnOnce(&mut Self) -> T,
    ) -> T {
        let length = self.path.len();
        self.path.extend(steps.map(str::to_owned));
        let result = compare(self);
        self.path.truncate(length);
        result
    }

    /// Each branch of the writer must be readable.
    fn unions(&mut self, reader: &Node, branches: &[Node]) -> Vec<Difference> {
        let mut found = Vec::new();
        for (index, branch) in branches.iter().enumerate() {
            if !self.node(reader, branch).is_empty() {
                let step = index.to_string();
                found.push(self.within([step.as_str()], |this| this.missing_branch(branch)));
            }
        }
        found
    }

    fn branch(&mut self, branches: &[Node], writer: &Node) -> Vec<Difference> {
        if branches.iter().any(|branch| self.node(branch, writer).is_empty()) {
            Vec::new()
        } else {
            vec![self.missing_branch(writer)]
        }
    }

    fn missing_branch(&self, writer: &Node) -> Difference {
        let [reader_side, writer_side] = self.sides;
        let path = self.pointer();
        self.difference(
            DifferenceKind::MissingUnionBranch,
            format!(
                "The {reader_side} schema is missing a type inside a union field at path '{path}' \
                 in the {writer_side} schema"
            ),
            format!(
                "reader union lacking writer type: {}",
                kind_name(self.writer, writer).to_uppercase()
            ),
        )
    }

    fn pair(&mut self, reader: NamedId, writer: NamedId) -> Vec<Difference> {
        if let Some(found) = self.pairs.get(&(reader, writer)) {
            return found.clone();
        }
        self.pairs.insert((reader, writer), Vec::new());
        let found = self.named(reader, writer);
        self.pairs.insert((reader, writer), found.clone());
        found
    }

    fn named(&mut self, reader: NamedId, writer: NamedId) -> Vec<Difference> {
        let (reader_schema, writer_schema) = (self.reader, self.writer);
        let (reader, writer) = (reader_schema.named(reader), writer_schema.named(writer));
        let mut found: Vec<Difference> = match (&reader.kind, &writer.kind) {
            (Kind::Record(fields), Kind::Record(written)) => self.fields(fields, written),
            (Kind::Enum { symbols, default }, Kind::Enum { symbols: written, .. }) => {
                self.symbols(symbols, default.as_deref(), written).into_iter().collect()
            }
            (Kind::Fixed { size }, Kind::Fixed { size: written }) => {
                self.size(*size, *written).into_iter().collect()
            }
            _ => {
                let detail = types(named_kind(reader), named_kind(writer));
                return vec![self.mismatch(detail)];
            }
        };
        if reader.simple_name() != writer.simple_name() && !reader.aliases.contains(&writer.name) {
            found.insert(0, self.within(["name"], |this| this.name_mismatch(&writer.name)));
        }
        found
    }

    fn fields(&mut self, fields: &[Field], written: &[Field]) -> Vec<Difference> {
        let mut found = Vec::new();
        for (index, field) in fields.iter().enumerate() {
            let index = index.to_string();
            if let Some(written) = counterpart(field, written) {
                found.extend(self.within(["fields", &index, "type"], |this| {
                    this.node(&field.node, &written.node)
                }));
            } else if field.default.is_none() && !self.is_enum_with_default(&field.node) {
                found.push(self.within(["fields", &index], |this| this.missing_default(field)));
            }
        }
        found
    }

    fn is_enum_with_default(&self, node: &Node) -> bool {
        let Node::Named(id) = node else { return false };
        matches!(&self.reader.named(*id).kind, Kind::Enum { default: Some(_), .. })
    }

    fn missing_default(&self, field: &Field) -> Difference {
        let ([reader_side, writer_side], name) = (self.sides, &field.name);
        let path = self.pointer();
        self.difference(
            DifferenceKind::ReaderFieldMissingDefaultValue,
            format!(
                "The field '{name}' at path '{path}' in the {reader_side} schema has no default \
                 value and is missing in the {writer_side} schema"
            ),
            name.clone(),
        )
    }

    fn symbols(
        &mut self,
        symbols: &[String],
        default: Option<&str>,
        written: &[String],
    ) -> Option<Difference> {
        let missing: Vec<&str> =
            written.iter().filter(|s| !symbols.contains(s)).map(String::as_str).collect();
        if missing.is_empty() || default.is_some() {
            return None;
        }
        let missing = format!("[{}]", missing.join(", "));
        let [reader_side, writer_side] = self.sides;
        Some(self.within(["symbols"], |this| {
            let path = this.pointer();
            this.difference(
                DifferenceKind::MissingEnumSymbols,
                format!(
                    "The {reader_side} schema is missing enum symbols '{missing}' at path \
                     '{path}' in the {writer_side} schema"
                ),
                missing,
            )
        }))
    }

    fn size(&mut self, size: u64, written: u64) -> Option<Difference> {
        if size == written {
            return None;
        }
        let [reader_side, writer_side] = self.sides;
        Some(self.within(["size"], |this| {
            let path = this.pointer();
            this.difference(
                DifferenceKind::FixedSizeMismatch,
                format!(
                    "The size of FIXED type field at path '{path}' in the {reader_side} schema \
                     does not match with the {writer_side} schema"
                ),
                format!("expected: {written}, found: {size}"),
            )
        }))
    }

    fn name_mismatch(&self, expected: &str) -> Difference {
        let path = self.pointer();
        self.difference(
            DifferenceKind::NameMismatch,
            format!("The name of the schema has changed (path '{path}')"),
            format!("expected: {expected}"),
        )
    }

    fn mismatch(&self, detail: String) -> Difference {
        let [reader_side, writer_side] = self.sides;
        let path = self.pointer();
        self.difference(
            DifferenceKind::TypeMismatch,
            format!(
                "The type (path '{path}') of a field in the {reader_side} schema does not match \
                 with the {writer_side} schema"
            ),
            detail,
        )
    }

    fn difference(&self, kind: DifferenceKind, description: String, detail: String) -> Difference {
        Difference { kind, path: self.pointer(), description, detail }
    }

    fn pointer(&self) -> String {
        format!("/{}", self.path.join("/"))
    }
}

/// Returns the field of `written` that `field` reads: of its name, else of one of its aliases.
pub(crate) fn counterpart<'a>(field: &Field, written: &'a [Field]) -> Option<&'a Field> {
    written
        .iter()
        .find(|written| written.name == field.name)
        .or_else(|| written.iter().find(|written| field.aliases.contains(&written.name)))
}

/// Tells whether a reader of one primitive type can read another.
pub(crate) fn promotes(writer: Primitive, reader: Primitive) -> bool {
    use Primitive::{Bytes, Double, Float, Int, Long, String};
    writer == reader
        || matches!(
            (writer, reader),
            (Int, Long | Float | Double)
                | (Long, Float | Double)
                | (Float, Double)
                | (String, Bytes)
                | (Bytes, String)
        )
}

fn types(reader: &str, writer: &str) -> String {
    format!(
        "reader type: {} not compatible with writer type: {}",
        reader.to_uppercase(),
        writer.to_uppercase()
    )
}

fn kind_name<'a>(schema: &'a Schema, node: &Node) -> &'a str {
    match node {
        Node::Primitive(primitive, _) => primitive.name(),
        Node::Array(_) => "array",
        Node::Map(_) => "map",
        Node::Union(_) => "union",
        Node::Named(id) => named_kind(schema.named(*id)),
    }
}

fn named_kind(named: &Named) -> &'static str {
    match named.kind {
        Kind::Record(_) => "record",
        Kind::Enum { .. } => "enum",
        Kind::Fixed { .. } => "fixed",
    }
}
