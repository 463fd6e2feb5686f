//! Changes of a table applied to the value schema it has, where the table itself is not given.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use cdc_codec::{CodecConfig, Encoder};
use cdc_model::{Column, ReplicaIdentity, TableId, TableName, TableSchema};
use cdc_pipeline::port::{
    Encode as _, RegisteredSchema, SchemaId, SchemaRegistry, Subject, Verdict,
};
use serde_json::{Value, json};

use crate::http::refusal::Refusal;

use super::definition::Edit;

/// Returns `schema`, an envelope as our codec writes it, with `edits` made.
pub(super) async fn apply(
    schema: &str,
    edits: &[Edit],
    notes: &mut Vec<String>,
) -> Result<String, String> {
    let mut envelope: Value = serde_json::from_str(schema).map_err(|error| error.to_string())?;
    for edit in edits {
        let fields = fields(&mut envelope).ok_or(
            "the subject's latest version is no envelope of a table; put the CREATE TABLE before it",
        )?;
        change(fields, edit, notes).await?;
    }
    let edited = envelope.to_string();
    cdc_registry::avro::Schema::parse(&edited).map_err(|error| {
        format!("the fields that are left do not make a schema ({error}); put the CREATE TABLE before it")
    })?;
    Ok(edited)
}

/// Finds the fields of the row in an envelope.
fn fields(envelope: &mut Value) -> Option<&mut Vec<Value>> {
    let before = envelope.get_mut("fields")?.as_array_mut()?.iter_mut();
    let before = before.into_iter().find(|field| field["name"] == "before")?;
    let row = before.get_mut("type")?.as_array_mut()?.iter_mut().find(|ty| ty.is_object())?;
    row.get_mut("fields")?.as_array_mut()
}

async fn change(
    fields: &mut Vec<Value>,
    edit: &Edit,
    notes: &mut Vec<String>,
) -> Result<(), String> {
    let find = |fields: &[Value], name: &str| {
        let at = fields.iter().position(|field| field["name"] == name);
        at.ok_or_else(|| format!("the subject's latest version has no field \"{name}\""))
    };
    match edit {
        Edit::Add(column) => {
            if find(fields, &column.name).is_ok() {
                return Err(format!("there is a field \"{}\" already", column.name));
            }
            fields.push(field(column).await?);
        }
        Edit::Drop(name) => drop(fields.remove(find(fields, name)?)),
        Edit::Rename(old, new) => {
            let at = find(fields, old)?;
            fields[at]["name"] = json!(new);
        }
        Edit::Retype(name, ty) => {
            let at = find(fields, name)?;
            let mut column = Column::new(name.as_str(), ty.clone());
            column.is_nullable = is_nullable(&fields[at]);
            fields[at] = field(&column).await?;
        }
        Edit::SetNullable(name, true) => {
            let at = find(fields, name)?;
            if !is_nullable(&fields[at]) {
                fields[at]["type"] = json!(["null", fields[at]["type"]]);
                fields[at]["default"] = Value::Null;
            }
        }
        Edit::SetNullable(name, false) => {
            find(fields, name)?;
            notes.push(format!("\"{name}\" stays nullable: older records may hold NULL"));
        }
        Edit::SetDefault(name, _) => {
            find(fields, name)?;
            notes.push(format!("the default of \"{name}\" is foretold with the CREATE TABLE only"));
        }
        Edit::SetKey(_) => {
            notes.push("the key is foretold with the CREATE TABLE only".to_owned());
        }
    }
    Ok(())
}

fn is_nullable(field: &Value) -> bool {
    field["type"].as_array().is_some_and(|types| types.iter().any(|ty| ty == "null"))
}

/// Lets the codec write one column's field.
async fn field(column: &Column) -> Result<Value, String> {
    let notes = Arc::new(Notes::default());
    let mut encoder = Encoder::new(CodecConfig::new("preview", "preview"), Arc::clone(&notes));
    let table = TableSchema {
        id: TableId(1),
        name: TableName::new("preview", "preview"),
        columns: vec![column.clone()],
        key: Vec::new(),
        replica_identity: ReplicaIdentity::Default,
    };
    encoder.prepare(&Arc::new(table)).await.map_err(|error| error.to_string())?;
    let written = notes.0.lock().unwrap_or_else(PoisonError::into_inner).pop_first();
    let (_, schema) = written.ok_or("the codec wrote nothing")?;
    let mut envelope: Value = serde_json::from_str(&schema).map_err(|error| error.to_string())?;
    let made = fields(&mut envelope).and_then(Vec::pop);
    made.ok_or_else(|| "the codec wrote no field".to_owned())
}

/// A registry that knows nothing and notes what it is given.
#[derive(Debug, Default)]
struct Notes(Mutex<BTreeMap<Subject, String>>);

impl SchemaRegistry for Notes {
    type Error = Refusal;

    async fn register(&self, subject: &Subject, schema: &str) -> Result<SchemaId, Refusal> {
        let mut notes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        notes.insert(subject.clone(), schema.to_owned());
        Ok(SchemaId(1))
    }

    async fn check(&self, _: &Subject, _: &str) -> Result<Verdict, Refusal> {
        Ok(Verdict::Compatible)
    }

    async fn latest(&self, _: &Subject) -> Result<Option<RegisteredSchema>, Refusal> {
        Ok(None)
    }

    async fn schema(&self, id: SchemaId) -> Result<Arc<str>, Refusal> {
        Err(Refusal::schema_not_found(Some(id)))
    }
}
