//! From records back to change events.

mod envelope;
mod identity;
mod notes;

use std::collections::BTreeMap;
use std::str;
use std::sync::Arc;

use cdc_model::{
    ChangeEvent, EventId, ImageKind, LogRecord, Op, Origin, Record, ReplicaIdentity, RowImage,
    SnapshotRow, TableId, TableName, TableSchema, Topic, Transaction,
};
use cdc_pipeline::port::{Decode, DecodeError, Decoded, SchemaId, SchemaRegistry};
use serde_json::Value as Json;

use crate::avro::plan::{self, Envelope, ReadColumn, Usage};
use crate::avro::read::{Cursor, Result};
use crate::decode::envelope::Said;
use crate::decode::notes::{Notes, Side};
use crate::error::{Error, RecordError};
use crate::header;

/// Reads the records an [`crate::Encoder`] wrote, of any format, by a plan for each schema.
///
/// Only records with our identity header are read: Debezium's own do not tell unchanged columns
/// from real ones.
///
/// # What a decoded table does not know
/// - `id` is a hash of the topic's name: the same in every process and for every schema version.
/// - Precisions: `Time` and `Timestamp` have 3 or 6 digits, `TimestampTz` and `TimeTz` 6;
///   `varchar`, `char` and plain text types (`inet`, ranges …) are `Text`; a decimal with a
///   negative scale has scale 0; an enum has no name.
/// - `replica_identity` is `Default`.
/// - `key` comes from the record's key, so it is empty for a truncate read before any row.
///
/// A create that begins a new key has the [`EventId`] of the delete before it. Where it lacks columns
/// that the source did not send, the delete is [`Decoded::Moved`] and `before` is the old key.
#[derive(Debug)]
pub struct Decoder<R> {
    registry: Arc<R>,
    schemas: BTreeMap<SchemaId, Learned>,
    /// The last event's transaction, shared by those of the same.
    transaction: Option<Arc<Transaction>>,
}

#[derive(Debug)]
enum Learned {
    Key(Vec<String>),
    Change(Plan),
    Other,
}

#[derive(Debug)]
struct Plan {
    envelope: Envelope,
    /// One for each topic, name and key that records of this schema came with: nearly always one.
    tables: Vec<Known>,
}

#[derive(Debug)]
struct Known {
    topic: Topic,
    key: KeyNames,
    table: Arc<TableSchema>,
}

/// Where the names of a record's key columns stand.
#[derive(Debug, Clone, PartialEq, Eq)]
enum KeyNames {
    /// The record has no key.
    None,
    /// In this schema.
    Schema(SchemaId),
    /// In the key itself.
    Json(Vec<String>),
}

impl<R: SchemaRegistry> Decoder<R> {
    /// Makes a decoder that fetches schemas from `registry`.
    pub fn new(registry: Arc<R>) -> Self {
        Self { registry, schemas: BTreeMap::new(), transaction: None }
    }

    fn change(&mut self, record: &LogRecord) -> std::result::Result<Decoded, Refused> {
        let Some(value) = &record.value else {
            return Ok(Decoded::Skip);
        };
        let json_schema = record.header(header::SCHEMA_ID);
        let id = match json_schema {
            Some(id) => {
                let id = str::from_utf8(id).ok().and_then(|id| id.parse().ok());
                SchemaId(id.ok_or(RecordError::HeaderMalformed(header::SCHEMA_ID))?)
            }
            None => frame(value)?,
        };
        match self.schemas.get(&id) {
            None => return Err(Refused::Unknown(id)),
            Some(Learned::Change(_)) => {}
            Some(Learned::Key(_) | Learned::Other) => return Ok(Decoded::Skip),
        }
        let event = if json_schema.is_some() {
            let parsed: Json = serde_json::from_slice(value)
                .map_err(|_| RecordError::Malformed("it is not JSON"))?;
            let json = parsed.get("payload").unwrap_or(&parsed);
            let key = json_key(record)?;
            self.event(record, id, key, |plan| Said::json(plan, json))
        } else {
            let key = match &record.key {
                None => KeyNames::None,
                Some(key) => {
                    let id = frame(key)?;
                    if !self.schemas.contains_key(&id) {
                        return Err(Refused::Unknown(id));
                    }
                    KeyNames::Schema(id)
                }
            };
            self.event(record, id, key, |plan| Said::avro(plan, Cursor::new(value, FRAME_BYTES)))
        };
        let event = event?;
        let is_moved = event.op == Op::Delete && record.header(header::MOVED).is_some();
        Ok(if is_moved { Decoded::Moved(event) } else { Decoded::Change(event) })
    }

    fn event<'a>(
        &mut self,
        record: &LogRecord,
        id: SchemaId,
        key: KeyNames,
        read: impl FnOnce(&Envelope) -> Result<Said<'a>>,
    ) -> Result<ChangeEvent> {
        let Some(Learned::Change(plan)) = self.schemas.get(&id) else {
            return Err(RecordError::Schema { id: id.0, reason: "it is not a change event's" });
        };
        let said = read(&plan.envelope)?;
        let op = said.op.ok_or(RecordError::Malformed("its operation is not known"))?;
        let table = match plan.known(record, &key, &said) {
            Some(table) => table,
            None => self.make_known(record, id, key, &said)?,
        };
        let origin = self.origin(record, &said)?;
        let notes = Notes::of(record)?;
        let kind = if notes.key_only { ImageKind::Key } else { ImageKind::Full };
        let before = match said.before {
            Some(values) => {
                Some(RowImage { row: notes.apply(&table, Side::Before, values)?, kind })
            }
            None => notes.old_key(&table)?,
        };
        let after = match said.after {
            Some(values) => Some(notes.apply(&table, Side::After, values)?),
            None => None,
        };
        let complete = match op {
            Op::Create | Op::Read | Op::Update => after.is_some(),
            Op::Delete => before.is_some(),
            Op::Truncate => true,
        };
        if !complete {
            return Err(RecordError::Malformed("it lacks the row image of its operation"));
        }
        Ok(ChangeEvent { table, op, before, after, origin })
    }

    /// Makes the table that records of this schema and key belong to.
    fn make_known(
        &mut self,
        record: &LogRecord,
        id: SchemaId,
        key: KeyNames,
        said: &Said<'_>,
    ) -> Result<Arc<TableSchema>> {
        let names = match &key {
            KeyNames::None => &[][..],
            KeyNames::Json(names) => names,
            KeyNames::Schema(key) => match self.schemas.get(key) {
                Some(Learned::Key(names)) => names,
                _ => return Err(RecordError::Schema { id: key.0, reason: "it is no key's" }),
            },
        };
        let names = names.to_vec();
        let Some(Learned::Change(plan)) = self.schemas.get_mut(&id) else {
            return Err(RecordError::Schema { id: id.0, reason: "it is not a change event's" });
        };
        let topic = record.source.topic.clone();
        let table = table(&topic, &names, &plan.envelope.columns, said)?;
        // A malformed log must not grow this without end.
        if plan.tables.len() >= 16 {
            plan.tables.clear();
        }
        plan.tables.push(Known { topic, key, table: table.clone() });
        Ok(table)
    }

    fn origin(&mut self, record: &LogRecord, said: &Said<'_>) -> Result<Origin> {
        let header = record
            .header(Record::ID_HEADER)
            .ok_or(RecordError::HeaderMissing(Record::ID_HEADER))?;
        let id = str::from_utf8(header).ok().and_then(identity::parse);
        let id = id.ok_or(RecordError::HeaderMalformed(Record::ID_HEADER))?;
        let (commit_lsn, seq, snapshot) = match (id, said.snapshot) {
            (EventId::Streamed { commit_lsn, seq }, None) => (commit_lsn, seq, None),
            (EventId::Snapshot { snapshot, chunk, row, .. }, Some(mark)) => {
                (snapshot, 0, Some(SnapshotRow { snapshot, chunk, row, mark }))
            }
            _ => return Err(RecordError::Malformed("identity and snapshot mark disagree")),
        };
        let same = |known: &&Arc<Transaction>| {
            known.id == said.transaction
                && known.commit_lsn == commit_lsn
                && known.previous_commit_lsn == said.previous_commit
                && known.committed_at == said.committed_at
        };
        let transaction = match self.transaction.as_ref().filter(same) {
            Some(known) => known.clone(),
            None => Arc::new(Transaction {
                id: said.transaction,
                commit_lsn,
                previous_commit_lsn: said.previous_commit,
                committed_at: said.committed_at,
            }),
        };
        self.transaction = Some(transaction.clone());
        Ok(Origin { transaction, seq, lsn: said.lsn, snapshot })
    }
}

impl Plan {
    fn known(
        &self,
        record: &LogRecord,
        key: &KeyNames,
        said: &Said<'_>,
    ) -> Option<Arc<TableSchema>> {
        // A truncate has no key, whatever its table has.
        let same_key = |known: &Known| {
            known.key == *key || said.op == Some(Op::Truncate) && *key == KeyNames::None
        };
        let known = self.tables.iter().find(|known| {
            let name = &known.table.name;
            same_key(known)
                && known.topic == record.source.topic
                && *name.schema == *said.schema
                && *name.table == *said.table
        });
        known.map(|known| known.table.clone())
    }
}

/// Makes the table of a schema's columns and a key's names.
fn table(
    topic: &Topic,
    names: &[String],
    columns: &[ReadColumn],
    said: &Said<'_>,
) -> Result<Arc<TableSchema>> {
    let index = |name: &String| columns.iter().position(|column| *column.column.name == **name);
    let key: Option<Vec<usize>> = names.iter().map(index).collect();
    Ok(Arc::new(TableSchema {
        id: TableId(hash(topic.as_str())),
        name: TableName::new(said.schema, said.table),
        columns: columns.iter().map(|column| column.column.clone()).collect(),
        key: key.ok_or(RecordError::Malformed("its key has a column that its value lacks"))?,
        replica_identity: ReplicaIdentity::Default,
    }))
}

/// FNV-1a: the same everywhere and for ever.
fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// Length of Confluent's frame.
const FRAME_BYTES: usize = 5;

fn frame(bytes: &[u8]) -> Result<SchemaId> {
    match bytes {
        [0, a, b, c, d, ..] => Ok(SchemaId(u32::from_be_bytes([*a, *b, *c, *d]))),
        [b'{', ..] => Err(RecordError::HeaderMissing(header::SCHEMA_ID)),
        _ => Err(RecordError::Malformed("it does not begin with a schema's frame")),
    }
}

fn json_key(record: &LogRecord) -> Result<KeyNames> {
    let Some(key) = &record.key else {
        return Ok(KeyNames::None);
    };
    let json: Json =
        serde_json::from_slice(key).map_err(|_| RecordError::Malformed("its key is not JSON"))?;
    // A key with schema has just these two members, and the schema is a struct's.
    let is_wrapped = json["schema"]["type"] == "struct";
    let key = if is_wrapped { &json["payload"] } else { &json };
    let object = key.as_object().ok_or(RecordError::Malformed("its key is no object"))?;
    Ok(KeyNames::Json(object.keys().cloned().collect()))
}

/// Why a record was not decoded.
enum Refused {
    Unknown(SchemaId),
    Invalid(RecordError),
}

impl From<RecordError> for Refused {
    fn from(error: RecordError) -> Self {
        Self::Invalid(error)
    }
}

impl<R: SchemaRegistry> Decode for Decoder<R> {
    type Error = Error<R::Error>;

    fn decode(
        &mut self,
        record: &LogRecord,
    ) -> std::result::Result<Decoded, DecodeError<Self::Error>> {
        self.change(record).map_err(|refused| match refused {
            Refused::Unknown(id) => DecodeError::UnknownSchema(id),
            Refused::Invalid(error) => DecodeError::Invalid(error.into()),
        })
    }

    async fn learn(&mut self, id: SchemaId) -> std::result::Result<(), Self::Error> {
        let fetched = self.registry.schema(id).await;
        let text = fetched.map_err(|source| Error::Fetch { id: id.0, source })?;
        let usage =
            plan::compile(&text).map_err(|reason| RecordError::Schema { id: id.0, reason })?;
        let learned = match usage {
            Usage::Key(names) => Learned::Key(names),
            Usage::Change(envelope) => Learned::Change(Plan { envelope, tables: Vec::new() }),
            Usage::Other => Learned::Other,
        };
        self.schemas.insert(id, learned);
        Ok(())
    }
}
