//! A table as the index holds it: its columns, what fills them, and its key. Pure.
//!
//! Documents have no schema, but rows have: a change of a table's definition that rewrites its old
//! rows unseen is a halt here as in every sink. What rows have in a column added later is filled in
//! where a document is read.

use cdc_codec::text;
use cdc_model::{Column as SourceColumn, ColumnType, DefaultValue, TableSchema};
use serde_json::{Value as Json, json};

use crate::error::{Error, Result};
use crate::json::{Object, value};

/// A column.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Column {
    pub(crate) name: String,
    /// What its type is as far as it shapes the text of values.
    form: String,
    /// What rows have that were written before the column was, and events that do not know it.
    pub(crate) fill: Json,
    is_dropped: bool,
}

impl Column {
    /// Whether its values are searched.
    pub(crate) fn is_text(&self) -> bool {
        let element = self.form.trim_start_matches("array:");
        ["text", "json", "char", "uuid", "other"].iter().any(|form| element.starts_with(form))
    }
}

/// A table.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Layout {
    /// The topic its rows come from.
    pub(crate) topic: String,
    /// Its qualified name.
    pub(crate) table: String,
    /// The name's first part, which tells `a.b`.`c` from `a`.`b.c`.
    schema: String,
    pub(crate) columns: Vec<Column>,
    /// Names of the key's columns.
    pub(crate) key: Vec<String>,
    /// The partition its first row came by, and whether others followed.
    partition: i32,
    is_parted: bool,
}

impl Layout {
    pub(crate) fn new(schema: &TableSchema, topic: &str, partition: i32) -> Self {
        let column = |source: &SourceColumn| Column {
            name: source.name.to_string(),
            form: form(&source.ty),
            fill: Json::Null,
            is_dropped: false,
        };
        Self {
            topic: topic.to_owned(),
            table: schema.name.to_string(),
            schema: schema.name.schema.to_string(),
            columns: schema.columns.iter().map(column).collect(),
            key: key_names(schema),
            partition,
            is_parted: false,
        }
    }

    pub(crate) fn has_key(&self) -> bool {
        !self.key.is_empty()
    }

    /// Maps the rows of `schema` to this layout, which has all its columns.
    pub(crate) fn sources(&self, schema: &TableSchema) -> Vec<Option<usize>> {
        self.columns.iter().map(|column| schema.column_index(&column.name)).collect()
    }

    /// Notes the partition that a row comes by. Returns whether that is news.
    pub(crate) fn note(&mut self, partition: i32) -> bool {
        let is_news = !self.is_parted && partition != self.partition;
        self.is_parted |= is_news;
        is_news
    }

    /// Brings the layout to `schema`, or halts where that would guess. Returns whether anything
    /// changed.
    pub(crate) fn evolve(&mut self, schema: &TableSchema, has_rows: bool) -> Result<bool> {
        if schema.name.to_string() != self.table || *schema.name.schema != *self.schema {
            return Err(Error::NameCollision {
                name: self.topic.clone(),
                first: self.table.clone(),
                second: schema.name.to_string(),
            });
        }
        let before = self.clone();
        let key = key_names(schema);
        if key != self.key {
            if has_rows {
                return Err(self.resync("its key", "changed"));
            }
            self.key = key;
        }
        let missing: Vec<_> = (self.columns.iter().enumerate())
            .filter(|(_, held)| !held.is_dropped && schema.column_index(&held.name).is_none())
            .map(|(index, _)| index)
            .collect();
        for source in &schema.columns {
            match self.columns.iter().position(|held| *held.name == *source.name) {
                Some(index) if self.columns[index].is_dropped => {
                    return Err(self.resync(&source.name, "was dropped and has come back"));
                }
                Some(index) => {
                    let held = &self.columns[index].form;
                    let joined = join(held, &form(&source.ty));
                    let joined =
                        joined.ok_or_else(|| self.resync(&source.name, "changed its type"))?;
                    self.columns[index].form = joined;
                }
                None if !missing.is_empty() => {
                    let why = "appeared where another went: whether it was renamed cannot be told";
                    return Err(self.resync(&source.name, why));
                }
                None => self.add(source, has_rows)?,
            }
        }
        // With several partitions, an event without the column may just be older than the column.
        for index in missing.into_iter().filter(|_| !self.is_parted) {
            if !self.has_key() && has_rows {
                let name = self.columns[index].name.clone();
                return Err(self.resync(&name, "was dropped from a table without a key"));
            }
            self.columns[index].is_dropped = true;
        }
        Ok(*self != before)
    }

    fn add(&mut self, source: &SourceColumn, has_rows: bool) -> Result<()> {
        let fill = if has_rows { self.fill(source)? } else { Json::Null };
        if !self.has_key() && !fill.is_null() {
            let why = "was added with a default to a table without a key";
            return Err(self.resync(&source.name, why));
        }
        let (name, form) = (source.name.to_string(), form(&source.ty));
        self.columns.push(Column { name, form, fill, is_dropped: false });
        Ok(())
    }

    /// What old rows have in an added column.
    fn fill(&self, source: &SourceColumn) -> Result<Json> {
        let why = match (&source.missing, &source.default) {
            (Some(missing), _) => match text::parse(&source.ty, missing) {
                Some(parsed) => return Ok(value(&parsed)),
                None if &**missing == "{}" => return Ok(json!([])),
                None => "was added with a default not understood",
            },
            (None, None) if source.is_nullable => return Ok(Json::Null),
            (None, None) => "was added NOT NULL without a default",
            // It may have been set after the column was added, or the table rewritten since.
            (None, Some(DefaultValue::Literal(_))) => {
                "was added, and whether with its default cannot be told"
            }
            (None, Some(DefaultValue::Expression)) => {
                "was added with a default whose value is known to the source alone"
            }
        };
        Err(self.resync(&source.name, why))
    }

    fn resync(&self, what: &str, why: &'static str) -> Error {
        Error::ResyncNeeded { table: self.table.clone(), what: what.to_owned(), why }
    }

    pub(crate) fn to_json(&self) -> Json {
        let column = |c: &Column| json!({"name": c.name, "form": c.form, "fill": c.fill, "dropped": c.is_dropped});
        json!({
            "topic": self.topic,
            "table": self.table,
            "schema": self.schema,
            "columns": self.columns.iter().map(column).collect::<Vec<_>>(),
            "key": self.key,
            "partition": self.partition,
            "parted": self.is_parted,
        })
    }

    pub(crate) fn from_json(json: &Object) -> Option<Self> {
        let text = |json: &Json| Some(json.as_str()?.to_owned());
        let column = |c: &Json| {
            Some(Column {
                name: text(c.get("name")?)?,
                form: text(c.get("form")?)?,
                fill: c.get("fill")?.clone(),
                is_dropped: c.get("dropped")?.as_bool()?,
            })
        };
        Some(Self {
            topic: text(json.get("topic")?)?,
            table: text(json.get("table")?)?,
            schema: text(json.get("schema")?)?,
            columns: json.get("columns")?.as_array()?.iter().map(column).collect::<Option<_>>()?,
            key: json.get("key")?.as_array()?.iter().map(text).collect::<Option<_>>()?,
            partition: i32::try_from(json.get("partition")?.as_i64()?).ok()?,
            is_parted: json.get("parted")?.as_bool()?,
        })
    }
}

fn key_names(schema: &TableSchema) -> Vec<String> {
    let columns = schema.key.iter().filter_map(|index| schema.columns.get(*index));
    columns.map(|column| column.name.to_string()).collect()
}

/// Types whose values have the same text have the same form.
fn form(ty: &ColumnType) -> String {
    match ty {
        ColumnType::Bool => "bool".to_owned(),
        ColumnType::Int16 | ColumnType::Int32 | ColumnType::Int64 => "int".to_owned(),
        ColumnType::Float32 => "float32".to_owned(),
        ColumnType::Float64 => "float64".to_owned(),
        ColumnType::Decimal(None) => "decimal".to_owned(),
        ColumnType::Decimal(Some((_, scale))) => format!("decimal:{scale}"),
        ColumnType::Text | ColumnType::Varchar(_) | ColumnType::Enum { .. } => "text".to_owned(),
        ColumnType::Char(None) => "char".to_owned(),
        ColumnType::Char(Some(length)) => format!("char:{length}"),
        ColumnType::Bytes => "bytes".to_owned(),
        ColumnType::Date => "date".to_owned(),
        ColumnType::Time(digits) => format!("time:{digits}"),
        ColumnType::TimeTz(digits) => format!("timetz:{digits}"),
        ColumnType::Timestamp(digits) => format!("timestamp:{digits}"),
        ColumnType::TimestampTz(digits) => format!("timestamptz:{digits}"),
        ColumnType::Interval => "interval".to_owned(),
        ColumnType::Uuid => "uuid".to_owned(),
        ColumnType::Json => "json".to_owned(),
        ColumnType::Other { name } => format!("other:{name}"),
        ColumnType::Array(element) => format!("array:{}", form(element)),
    }
}

/// Returns the form of a column that was `held` and is now `new`, or `None` if the text of old
/// values may have changed.
fn join(held: &str, new: &str) -> Option<String> {
    if held == new {
        return Some(held.to_owned());
    }
    if let (Some(held), Some(new)) = (held.strip_prefix("array:"), new.strip_prefix("array:")) {
        return join(held, new).map(|joined| format!("array:{joined}"));
    }
    let (kind, size) = held.split_once(':').unwrap_or((held, ""));
    let (new_kind, new_size) = new.split_once(':').unwrap_or((new, ""));
    let has_grown = || {
        let digits = |text: &str| text.parse::<u8>().ok();
        digits(size) < digits(new_size)
    };
    let is_taken = match (kind, new_kind) {
        ("json", "text") => true,
        ("decimal", "decimal") => new_size.is_empty(),
        ("time" | "timetz" | "timestamp" | "timestamptz", same) => same == kind && has_grown(),
        _ => false,
    };
    is_taken.then(|| new.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_changes_that_keep_every_old_text_are_taken() {
        for (held, new, is_taken) in [
            ("int", "int", true),
            ("decimal:2", "decimal", true),
            ("decimal:2", "decimal:4", false),
            ("decimal", "decimal:2", false),
            ("json", "text", true),
            ("text", "json", false),
            ("timestamp:3", "timestamp:6", true),
            ("timestamp:6", "timestamp:3", false),
            ("timestamp:6", "timestamptz:6", false),
            ("array:decimal:2", "array:decimal", true),
            ("float32", "float64", false),
            ("char:5", "text", false),
        ] {
            assert_eq!(join(held, new).as_deref(), is_taken.then_some(new), "{held} -> {new}");
        }
    }
}
