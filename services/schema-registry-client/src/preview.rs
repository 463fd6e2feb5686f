//! `POST /preview`: the schemas that a table's definition would get, before anybody runs it.
//!
//! Asks `{"sql": "CREATE TABLE …; ALTER TABLE …", "subject"?: "…", "topic_prefix"?: "…"}`; answers
//! the value's and the key's schema as our codec would register them, what differs from the
//! subject's latest version, and whether it could follow it.
//!
//! ```text
//! CREATE TABLE [+ ALTER TABLE …] ─> definition ─> codec, over a registry that only takes notes
//! ALTER TABLE alone ─> the latest value schema, its fields edited one by one
//! ```
//!
//! # Limits
//! A definition in SQL says less than a server's catalogue: a type it does not know (a domain, an
//! extension's) is taken as text, as capture would take it, and named in `unknown_types`. From an
//! `ALTER TABLE` alone only the value's fields can be foretold, not the key and no default.

mod column;
mod definition;
mod edit;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use cdc_codec::{CodecConfig, Encoder};
use cdc_model::{TableName, TableSchema};
use cdc_pipeline::port::{
    Encode as _, RegisteredSchema, SchemaId, SchemaRegistry, Subject, Verdict,
};
use cdc_registry::avro::Schema;
use cdc_registry::store::Include;
use cdc_registry::{diff, semantic};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::http::refusal::Refusal;
use crate::http::{Answer, Answered, compatibility};
use crate::service::Shared;
use crate::store::upstream_needed;

use definition::{Definition, Shape};

/// Longest SQL that is read, in bytes.
const SQL_BYTES_MAX: usize = 256 << 10;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Question {
    sql: String,
    #[serde(default)]
    subject: Option<String>,
    #[serde(default)]
    topic_prefix: Option<String>,
}

/// Answers a question.
pub(crate) async fn answer(shared: &Arc<Shared>, body: &[u8]) -> Answered {
    let question: Question = serde_json::from_slice(body).map_err(Refusal::malformed)?;
    if question.sql.len() > SQL_BYTES_MAX {
        return Err(refused(format!("it is longer than {SQL_BYTES_MAX} bytes")));
    }
    let mut definition = Definition::parse(&question.sql).map_err(refused)?;
    let prefix = prefix(shared, &question, &definition.table)?;
    let topic = format!("{prefix}.{}", definition.table);
    let derived = Subject::new(format!("{topic}-value"));
    let value_subject = question.subject.clone().map_or_else(|| derived.clone(), Subject::new);
    let draft = Arc::new(Draft {
        shared: Arc::clone(shared),
        derived,
        value_subject: value_subject.clone(),
        notes: Mutex::default(),
    });
    let (value, key) = match &definition.shape {
        Shape::Whole(table) => whole(&draft, &prefix, table).await?,
        Shape::Edits(edits) => {
            let latest = draft.latest(&value_subject).await?.ok_or_else(|| {
                refused(format!(
                    "ALTER TABLE alone needs a latest version to start from, and subject \
                     \"{value_subject}\" has none; put the CREATE TABLE before it"
                ))
            })?;
            let edited = edit::apply(&latest.schema, edits, &mut definition.notes).await;
            (edited.map_err(refused)?, None)
        }
    };
    let value = told(shared, &draft, &value_subject, value).await?;
    let key = match key {
        Some(schema) => told(shared, &draft, &Subject::new(format!("{topic}-key")), schema).await?,
        None => Value::Null,
    };
    Ok(Answer::Json(json!({
        "table": definition.table.to_string(),
        "topic": topic,
        "value": value,
        "key": key,
        "unknown_types": definition.unknown_types,
        "notes": definition.notes,
    })))
}

fn refused(reason: impl std::fmt::Display) -> Refusal {
    Refusal::new(422, format!("the SQL cannot be previewed: {reason}"))
}

/// The prefix that is asked for, else the one in the subject's name, else the setting's.
fn prefix(shared: &Shared, question: &Question, table: &TableName) -> Result<String, Refusal> {
    let of_subject = || {
        let subject = question.subject.as_deref()?;
        subject.strip_suffix(&format!(".{table}-value")).map(str::to_owned)
    };
    let prefix = question.topic_prefix.clone().or_else(of_subject);
    let prefix = prefix.unwrap_or_else(|| shared.topic_prefix.clone());
    let is_legal = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if prefix.is_empty() || prefix.len() > 200 || !prefix.chars().all(is_legal) {
        let reason = "topic_prefix must be of letters, digits, dots, dashes and underscores";
        return Err(Refusal::new(422, reason));
    }
    Ok(prefix)
}

/// Lets the codec register a whole table's schemas with the draft.
async fn whole(
    draft: &Arc<Draft>,
    prefix: &str,
    table: &TableSchema,
) -> Result<(String, Option<String>), Refusal> {
    let mut encoder = Encoder::new(CodecConfig::new(prefix, "preview"), Arc::clone(draft));
    let table = Arc::new(table.clone());
    encoder.prepare(&table).await.map_err(|error| refused(cdc_pipeline::error::chain(&error)))?;
    let mut notes = std::mem::take(&mut *draft.notes());
    let value = notes.remove(&draft.derived).ok_or_else(|| refused("it has no value schema"))?;
    let key = match notes.into_values().next() {
        Some(key) => Some(key),
        // The codec keeps the key's schema that is there if it means the same.
        None if table.has_key() => {
            let subject = draft.derived.0.trim_end_matches("-value");
            let latest = draft.latest(&Subject::new(format!("{subject}-key"))).await?;
            latest.map(|latest| latest.schema.to_string())
        }
        None => None,
    };
    Ok((value, key))
}

/// Tells a schema, what differs from the latest version, and whether it may follow it.
async fn told(
    shared: &Arc<Shared>,
    draft: &Draft,
    subject: &Subject,
    schema: String,
) -> Result<Value, Refusal> {
    let latest = draft.latest(subject).await?;
    let new = Schema::parse(&schema).map_err(|error| refused(error.to_string()))?;
    let old = latest.as_ref().and_then(|latest| Schema::parse(&latest.schema).ok());
    let changes = old.as_ref().map(|old| diff::lines(old, &new)).unwrap_or_default();
    let level = shared.store.read(|catalog| catalog.effective_level(subject)).ok();
    let reasons = match &shared.upstream {
        None => {
            let check =
                |catalog: &_| compatibility::reasons(shared, catalog, subject, (&schema).into());
            match shared.store.read(check)? {
                Ok(reasons) => reasons,
                Err(error) => match error.objection() {
                    Some(objection) => objection.reasons.clone(),
                    None => return Err(Refusal::of(&error, subject, None)),
                },
            }
        }
        Some(upstream) => {
            let verdict = upstream.client.check(subject, &schema).await;
            let mut reasons = match verdict.map_err(|_| upstream_needed())? {
                Verdict::Compatible => Vec::new(),
                Verdict::Incompatible(reasons) => reasons,
            };
            let meanings = old.as_ref().map(|old| semantic::changes(&new, old));
            reasons.extend(meanings.unwrap_or_default().iter().map(ToString::to_string));
            reasons
        }
    };
    Ok(json!({
        "subject": &*subject.0,
        "schema": schema,
        "latest_version": latest.as_ref().map(|latest| latest.version.0),
        "level": level.filter(|_| shared.upstream.is_none()).map(cdc_registry::Compatibility::name),
        "changes": changes,
        "is_compatible": reasons.is_empty(),
        "reasons": reasons,
    }))
}

/// A registry that knows what the service knows, and only notes what it is given.
struct Draft {
    shared: Arc<Shared>,
    /// The value's subject by its topic's name.
    derived: Subject,
    /// The one asked for.
    value_subject: Subject,
    notes: Mutex<BTreeMap<Subject, String>>,
}

impl Draft {
    fn notes(&self) -> std::sync::MutexGuard<'_, BTreeMap<Subject, String>> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SchemaRegistry for Draft {
    type Error = Refusal;

    async fn register(&self, subject: &Subject, schema: &str) -> Result<SchemaId, Refusal> {
        self.notes().insert(subject.clone(), schema.to_owned());
        Ok(SchemaId(1))
    }

    async fn check(&self, _: &Subject, _: &str) -> Result<Verdict, Refusal> {
        Ok(Verdict::Compatible)
    }

    async fn latest(&self, subject: &Subject) -> Result<Option<RegisteredSchema>, Refusal> {
        let subject = if *subject == self.derived { &self.value_subject } else { subject };
        let known = || self.shared.store.read(|catalog| catalog.latest(subject, Include::Live));
        let Some(upstream) = &self.shared.upstream else { return known() };
        upstream.client.latest(subject).await.map_err(|_| upstream_needed())
    }

    async fn schema(&self, id: SchemaId) -> Result<Arc<str>, Refusal> {
        Err(Refusal::schema_not_found(Some(id)))
    }
}
