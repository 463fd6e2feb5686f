//! Canonical text of decoded messages: one line each, rows by column name.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use bytes::Bytes;
use cdc_source_postgres::pgoutput::{
    Message, OldTuple, Relation, State, Tuple, TupleColumn, decode,
};

/// Longer values are shown by their beginning and length.
const SHOWN_BYTES_MAX: usize = 60;

/// Decodes messages in order and renders each.
#[derive(Default)]
pub(crate) struct Renderer {
    state: State,
    relations: BTreeMap<u32, Relation>,
}

impl Renderer {
    pub(crate) fn line(&mut self, data: Bytes) -> String {
        let message = decode(data, &mut self.state).unwrap();
        if let Message::Relation(relation) = &message {
            self.relations.insert(relation.id, relation.clone());
        }
        match &message {
            Message::Insert(insert) => {
                let after = self.row(insert.relation, &insert.new);
                format!("insert {}{} after={after}", xid(insert.xid), self.name(insert.relation))
            }
            Message::Update(update) => {
                let before = match &update.old {
                    Some(old) => self.old(update.relation, old),
                    None => "-".to_owned(),
                };
                let after = self.row(update.relation, &update.new);
                let name = self.name(update.relation);
                format!("update {}{name} before={before} after={after}", xid(update.xid))
            }
            Message::Delete(delete) => {
                let before = self.old(delete.relation, &delete.old);
                format!("delete {}{} before={before}", xid(delete.xid), self.name(delete.relation))
            }
            Message::Truncate(truncate) => {
                let names: Vec<_> =
                    truncate.relations.iter().map(|relation| self.name(*relation)).collect();
                format!(
                    "truncate {}{} cascade={} restart_identity={}",
                    xid(truncate.xid),
                    names.join(", "),
                    truncate.is_cascade,
                    truncate.is_restart_identity
                )
            }
            Message::Relation(relation) => {
                let mut text = format!(
                    "relation {}{}.{} {:?}",
                    xid(relation.xid),
                    relation.schema,
                    relation.name,
                    relation.identity
                );
                for column in &relation.columns {
                    let key = if column.is_key { "*" } else { "" };
                    let (name, ty, modifier) =
                        (&column.name, column.type_oid, column.type_modifier);
                    write!(text, " {key}{name}:{ty}/{modifier}").unwrap();
                }
                text
            }
            other => format!("{other:?}"),
        }
    }

    fn name(&self, relation: u32) -> String {
        let relation = &self.relations[&relation];
        format!("{}.{}", relation.schema, relation.name)
    }

    fn old(&self, relation: u32, old: &OldTuple) -> String {
        match old {
            OldTuple::Key(tuple) => format!("key{}", self.row(relation, tuple)),
            OldTuple::Full(tuple) => self.row(relation, tuple),
        }
    }

    fn row(&self, relation: u32, tuple: &Tuple) -> String {
        let columns = &self.relations[&relation].columns;
        let values: Vec<_> = tuple.columns().map(Result::unwrap).collect();
        assert_eq!(values.len(), columns.len());
        let cells: Vec<_> = columns
            .iter()
            .zip(values)
            .map(|(column, value)| format!("{}={}", column.name, cell(value)))
            .collect();
        format!("{{{}}}", cells.join(","))
    }
}

fn xid(xid: Option<u32>) -> String {
    xid.map_or(String::new(), |xid| format!("xid={xid} "))
}

fn cell(value: TupleColumn<'_>) -> String {
    match value {
        TupleColumn::Null => "null".to_owned(),
        TupleColumn::Unchanged => "<unchanged>".to_owned(),
        TupleColumn::Binary(bytes) => format!("<{} bytes>", bytes.len()),
        TupleColumn::Text(bytes) => {
            let text = String::from_utf8_lossy(bytes);
            match text.char_indices().nth(SHOWN_BYTES_MAX) {
                Some((end, _)) => {
                    format!("{}…<{} bytes>", text.get(..end).unwrap(), bytes.len())
                }
                None => text.into_owned(),
            }
        }
    }
}
