//! A codec whose records only point at events kept in memory. It registers schemas and refuses to
//! encode under one that is not (I4), as a real codec does; it has no wire format.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use bytes::{BufMut, Bytes, BytesMut};
use cdc_model::{
    ChangeEvent, Headers, LogRecord, LogicalMessage, Op, Placement, Record, RecordId, Row,
    TableName, TableSchema, Timestamp, Topic, Value,
};
use cdc_pipeline::port::{Decode, DecodeError, Decoded, Encode, SchemaId, SchemaRegistry, Subject};
use cdc_pipeline::{Classify, ErrorClass};

use crate::memory::MemoryRegistry;
use crate::memory::registry;

/// What can go wrong in a [`MemoryCodec`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The table was not prepared.
    #[error("table {0} was not prepared in its present form")]
    NotPrepared(TableName),
    /// The record is none of ours.
    #[error("the value is no reference to an event")]
    Malformed,
    /// The registry failed.
    #[error("the registry refused")]
    Registry(#[from] registry::Error),
}

impl Classify for Error {
    fn class(&self) -> ErrorClass {
        match self {
            Self::NotPrepared(_) => ErrorClass::Fatal,
            Self::Malformed => ErrorClass::Poison,
            Self::Registry(error) => error.class(),
        }
    }
}

/// What encoder and decoder share.
#[derive(Debug, Clone, Default)]
pub struct MemoryCodec {
    events: Arc<Mutex<Vec<ChangeEvent>>>,
    registry: MemoryRegistry,
}

impl MemoryCodec {
    /// Returns an encoder that has prepared nothing.
    pub fn encoder(&self) -> MemoryEncoder {
        MemoryEncoder { codec: self.clone(), prepared: BTreeMap::new() }
    }

    /// Returns a decoder that has learned nothing.
    pub fn decoder(&self) -> MemoryDecoder {
        MemoryDecoder { codec: self.clone(), learned: BTreeSet::new() }
    }

    /// Returns the registry.
    pub fn registry(&self) -> &MemoryRegistry {
        &self.registry
    }

    fn keep(&self, event: ChangeEvent) -> u64 {
        let mut events = self.events.lock().expect("invariant: no holder panics");
        events.push(event);
        u64::try_from(events.len() - 1).expect("invariant: fits memory")
    }
}

/// Encodes by reference.
#[derive(Debug)]
pub struct MemoryEncoder {
    codec: MemoryCodec,
    prepared: BTreeMap<TableName, (Arc<TableSchema>, SchemaId)>,
}

impl MemoryEncoder {
    fn push(
        &self,
        event: ChangeEvent,
        (schema, sub): (SchemaId, u8),
        row: Option<&Row>,
        records: &mut Vec<Record>,
    ) {
        let table = event.table.clone();
        let is_truncate = event.op == Op::Truncate;
        let is_deleted = event.op == Op::Delete && table.has_key();
        let event_id = event.id();
        let mut value = BytesMut::with_capacity(12);
        value.put_u32(schema.0);
        value.put_u64(self.codec.keep(event));
        let key = row.filter(|_| table.has_key()).map(|row| key(&table, row));
        let placement = match (&key, is_truncate) {
            (_, true) => Placement::Every,
            (Some(_), false) => Placement::ByKey,
            (None, false) => Placement::Fixed,
        };
        let record = |value, sub| Record {
            topic: Topic::new(format!("memory.{}", table.name)),
            placement,
            key: key.clone(),
            value,
            headers: Headers::new(),
            id: Some(RecordId { event: event_id, sub }),
        };
        records.push(record(Some(value.freeze()), sub));
        if is_deleted {
            records.push(record(None, sub + 1));
        }
    }
}

fn key(table: &TableSchema, row: &Row) -> Bytes {
    let values: Vec<&Value> = table.key.iter().map(|index| &row[*index]).collect();
    Bytes::from(format!("{values:?}"))
}

impl Encode for MemoryEncoder {
    type Error = Error;

    async fn prepare(&mut self, table: &Arc<TableSchema>) -> Result<(), Error> {
        let subject = Subject::new(format!("memory.{}-value", table.name));
        let id = self.codec.registry.register(&subject, &format!("{table:?}")).await?;
        self.prepared.insert(table.name.clone(), (table.clone(), id));
        Ok(())
    }

    fn encode(
        &mut self,
        event: &ChangeEvent,
        _: Timestamp,
        records: &mut Vec<Record>,
    ) -> Result<(), Error> {
        let prepared = self.prepared.get(&event.table.name);
        let (_, id) = prepared
            .filter(|(table, _)| *table == event.table)
            .ok_or_else(|| Error::NotPrepared(event.table.name.clone()))?;
        let id = *id;
        let before = event.before.as_ref().map(|image| &image.row);
        let (Some(old), Some(new)) = (before, &event.after) else {
            let row = event.after.as_ref().or(before);
            self.push(event.clone(), (id, 0), row, records);
            return Ok(());
        };
        if !event.table.has_key() || key(&event.table, old) == key(&event.table, new) {
            self.push(event.clone(), (id, 0), Some(new), records);
            return Ok(());
        }
        let delete = ChangeEvent { op: Op::Delete, ..event.clone() };
        self.push(delete, (id, 0), Some(old), records);
        let create = ChangeEvent { op: Op::Create, ..event.clone() };
        self.push(create, (id, 2), Some(new), records);
        Ok(())
    }

    async fn prepare_messages(&mut self) -> Result<(), Error> {
        tokio::task::yield_now().await;
        Ok(())
    }

    fn encode_message(
        &mut self,
        _: &LogicalMessage,
        _: Timestamp,
        _: &mut Vec<Record>,
    ) -> Result<(), Error> {
        Ok(())
    }
}

/// Decodes references.
#[derive(Debug)]
pub struct MemoryDecoder {
    codec: MemoryCodec,
    learned: BTreeSet<SchemaId>,
}

impl Decode for MemoryDecoder {
    type Error = Error;

    fn decode(&mut self, record: &LogRecord) -> Result<Decoded, DecodeError<Error>> {
        let Some(value) = &record.value else { return Ok(Decoded::Skip) };
        let parts = value.split_at_checked(4).and_then(|(id, index)| {
            let id = SchemaId(u32::from_be_bytes(id.try_into().ok()?));
            Some((id, usize::try_from(u64::from_be_bytes(index.try_into().ok()?)).ok()?))
        });
        let (id, index) = parts.ok_or(DecodeError::Invalid(Error::Malformed))?;
        if !self.learned.contains(&id) {
            return Err(DecodeError::UnknownSchema(id));
        }
        let events = self.codec.events.lock().expect("invariant: no holder panics");
        let event = events.get(index).cloned().ok_or(DecodeError::Invalid(Error::Malformed))?;
        let is_moved = event.op == Op::Delete
            && event.table.has_key()
            && event.after.as_ref().is_some_and(Row::has_unchanged);
        Ok(if is_moved { Decoded::Moved(event) } else { Decoded::Change(event) })
    }

    async fn learn(&mut self, id: SchemaId) -> Result<(), Error> {
        self.codec.registry.schema(id).await?;
        self.learned.insert(id);
        Ok(())
    }
}
