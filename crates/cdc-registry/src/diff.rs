//! What changed between two versions of a schema, for a person who must decide about it.

use std::collections::BTreeSet;

use crate::avro::{Field, Kind, NamedId, Node, Schema};
use crate::compatibility::counterpart;

const DEPTH_MAX: usize = 200;

/// Returns the changes from `old` to `new`, one line each: `+ after.email: null|string`,
/// `- after.fax: string`, `~ after.total: int -> long`. A record used in several places is told
/// once.
pub fn lines(old: &Schema, new: &Schema) -> Vec<String> {
    let mut diff = Diff { old, new, path: Vec::new(), pairs: BTreeSet::new(), lines: Vec::new() };
    diff.node(old.root(), new.root());
    diff.lines
}

struct Diff<'a> {
    old: &'a Schema,
    new: &'a Schema,
    path: Vec<String>,
    pairs: BTreeSet<(NamedId, NamedId)>,
    lines: Vec<String>,
}

impl Diff<'_> {
    fn node(&mut self, old: &Node, new: &Node) {
        if self.path.len() > DEPTH_MAX {
            return;
        }
        let (was, is) = (self.old.describe(old), self.new.describe(new));
        if was != is {
            let place = self.place(None);
            self.lines.push(format!("~ {place}: {was} -> {is}"));
        }
        match (old, new) {
            (Node::Array(old), Node::Array(new)) => self.node(old, new),
            (Node::Map(old), Node::Map(new)) => self.node(old, new),
            (Node::Union(old), Node::Union(new)) => {
                for old in old {
                    let Node::Named(_) = old else { continue };
                    let name = self.old.describe(old);
                    if let Some(new) = new.iter().find(|new| self.new.describe(new) == name) {
                        self.node(old, new);
                    }
                }
            }
            (Node::Named(old), Node::Named(new)) if self.pairs.insert((*old, *new)) => {
                let (old, new) = (self.old.named(*old), self.new.named(*new));
                if let (Kind::Record(old), Kind::Record(new)) = (&old.kind, &new.kind) {
                    self.fields(old, new);
                }
            }
            _ => {}
        }
    }

    fn fields(&mut self, old: &[Field], new: &[Field]) {
        for field in old.iter().filter(|old| !new.iter().any(|new| is_same(new, old))) {
            let line = format!("- {}: {}", self.place(Some(field)), self.old.describe(&field.node));
            self.lines.push(line);
        }
        for field in new {
            let Some(was) = counterpart(field, old) else {
                let default = if field.default.is_some() { "" } else { ", no default" };
                let (place, node) = (self.place(Some(field)), self.new.describe(&field.node));
                self.lines.push(format!("+ {place}: {node}{default}"));
                continue;
            };
            self.path.push(field.name.clone());
            self.node(&was.node, &field.node);
            self.path.pop();
            if was.default != field.default {
                let shown = |field: &Field| {
                    field.default.as_ref().map_or_else(|| "none".to_owned(), ToString::to_string)
                };
                let place = self.place(Some(field));
                self.lines.push(format!("~ {place}: default {} -> {}", shown(was), shown(field)));
            }
        }
    }

    fn place(&self, field: Option<&Field>) -> String {
        let steps = self.path.iter().map(String::as_str).chain(field.map(|f| f.name.as_str()));
        let place = steps.collect::<Vec<_>>().join(".");
        if place.is_empty() { "(root)".to_owned() } else { place }
    }
}

fn is_same(new: &Field, old: &Field) -> bool {
    new.name == old.name || new.aliases.contains(&old.name)
}
