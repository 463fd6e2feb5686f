//! From change events to records.
//!
//! ```text
//! create, read      value
//! update            value; where the key changed: delete, tombstone, create
//! delete            value, tombstone
//! truncate          value without key, on every partition
//! ```

mod layout;
mod message;
mod row;
mod source;
mod table;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use cdc_model::{
    ChangeEvent, Header, Headers, ImageKind, LogicalMessage, Op, Placement, Record, RecordId, Row,
    RowImage, TableId, TableName, TableSchema, Timestamp, Value,
};
use cdc_pipeline::port::{Encode, SchemaRegistry};
use serde_json::{Map, Value as Json};

use crate::config::CodecConfig;
use crate::encode::message::MessagePlan;
use crate::encode::row::{Misfit, Notes, Reading};
use crate::encode::table::TablePlan;
use crate::error::{Error, EventError};
use crate::exact;
use crate::header;
use crate::name;

/// Writes events as Debezium's records, by a plan for each table.
#[derive(Debug)]
pub struct Encoder<R> {
    config: CodecConfig,
    registry: Arc<R>,
    tables: BTreeMap<TableId, TablePlan>,
    /// Which table each topic belongs to.
    topics: BTreeMap<String, TableName>,
    messages: Option<MessagePlan>,
    scratch: Scratch,
}

/// Buffers that are used again for every record.
#[derive(Debug)]
struct Scratch {
    out: Vec<u8>,
    before: Notes,
    after: Notes,
    /// What finished keys and values are cut from.
    arena: BytesMut,
}

/// Size of the pieces of memory that records are cut from, in bytes.
const ARENA_BYTES: usize = 64 * 1024;

impl Scratch {
    fn new() -> Self {
        let arena = BytesMut::with_capacity(ARENA_BYTES);
        Self { out: Vec::new(), before: Notes::default(), after: Notes::default(), arena }
    }

    /// Takes what was written.
    fn take(&mut self) -> Bytes {
        self.arena.extend_from_slice(&self.out);
        self.out.clear();
        self.arena.split().freeze()
    }
}

impl<R: SchemaRegistry> Encoder<R> {
    /// Makes an encoder that registers its schemas with `registry`.
    pub fn new(config: CodecConfig, registry: Arc<R>) -> Self {
        Self {
            config,
            registry,
            tables: BTreeMap::new(),
            topics: BTreeMap::new(),
            messages: None,
            scratch: Scratch::new(),
        }
    }

    /// Refuses a table whose topic is another's already.
    fn claim_topic(&mut self, table: &TableSchema) -> Result<(), EventError> {
        let topic = name::topic(&self.config.prefix, &table.name);
        match self.topics.get(&topic) {
            Some(first) if *first != table.name => Err(EventError::TopicShared {
                topic,
                first: first.clone(),
                second: table.name.clone(),
            }),
            Some(_) => Ok(()),
            None => {
                self.topics.insert(topic, table.name.clone());
                Ok(())
            }
        }
    }
}

impl<R: SchemaRegistry> Encode for Encoder<R> {
    type Error = Error<R::Error>;

    async fn prepare(&mut self, table: &Arc<TableSchema>) -> Result<(), Self::Error> {
        self.claim_topic(table)?;
        // Sent again after a reconnection or an invalidation, mostly unchanged: known schemas go on
        // while the registry is away.
        if self.tables.get_mut(&table.id).is_some_and(|plan| plan.serves(table)) {
            return Ok(());
        }
        let plan = TablePlan::register(&self.config, &*self.registry, table).await?;
        self.tables.insert(table.id, plan);
        Ok(())
    }

    fn encode(
        &mut self,
        event: &ChangeEvent,
        now: Timestamp,
        records: &mut Vec<Record>,
    ) -> Result<(), Self::Error> {
        let not_prepared = || EventError::NotPrepared(event.table.name.clone());
        let plan = self.tables.get_mut(&event.table.id).ok_or_else(not_prepared)?;
        if !plan.serves(&event.table) {
            return Err(not_prepared().into());
        }
        let start = records.len();
        let tombstones = self.config.tombstones_on_delete;
        let mut job = Job {
            plan,
            scratch: &mut self.scratch,
            event,
            now,
            tombstones,
            records: &mut *records,
        };
        let result = job.run();
        if result.is_err() {
            self.scratch.out.clear();
            records.truncate(start);
        }
        Ok(result?)
    }

    async fn prepare_messages(&mut self) -> Result<(), Self::Error> {
        self.messages = Some(MessagePlan::register(&self.config, &*self.registry).await?);
        Ok(())
    }

    fn encode_message(
        &mut self,
        message: &LogicalMessage,
        now: Timestamp,
        records: &mut Vec<Record>,
    ) -> Result<(), Self::Error> {
        let plan = self.messages.as_ref().ok_or(EventError::MessagesNotPrepared)?;
        records.push(plan.record(message, now, &mut self.scratch));
        Ok(())
    }
}

/// Returns `after` with what was not sent taken from `before`.
fn filled(before: &Row, after: &Row) -> Row {
    let value = |(old, new): (&Value, &Value)| match new {
        Value::Unchanged => old.clone(),
        new => new.clone(),
    };
    before.iter().zip(after.iter()).map(value).collect()
}

/// One event on its way.
struct Job<'a> {
    plan: &'a TablePlan,
    scratch: &'a mut Scratch,
    event: &'a ChangeEvent,
    now: Timestamp,
    tombstones: bool,
    records: &'a mut Vec<Record>,
}

/// What one record of an event says.
struct Part<'a> {
    sub: u8,
    op: Op,
    before: Option<&'a RowImage>,
    after: Option<&'a Row>,
    key: Option<Bytes>,
    headers: Headers,
}

impl Job<'_> {
    fn run(&mut self) -> Result<(), EventError> {
        let event = self.event;
        match event.op {
            Op::Truncate => self.emit(Part {
                sub: 0,
                op: Op::Truncate,
                before: None,
                after: None,
                key: None,
                headers: Headers::new(),
            }),
            Op::Create | Op::Read => {
                let after = self.image(event.after.as_ref())?;
                let key = self.key(after, None)?;
                let (op, before) = (event.op, event.before.as_ref());
                self.emit(Part {
                    sub: 0,
                    op,
                    before,
                    after: Some(after),
                    key,
                    headers: Headers::new(),
                })
            }
            Op::Update => self.update(),
            Op::Delete => {
                let image = event.before.as_ref();
                let before = self.image(image.map(|image| &image.row))?;
                let key = self.key(before, None)?;
                self.delete(image, key, Headers::new())
            }
        }
    }

    fn update(&mut self) -> Result<(), EventError> {
        let event = self.event;
        let after = self.image(event.after.as_ref())?;
        let image = event.before.as_ref();
        let before = match image {
            Some(image) => Some(self.image(Some(&image.row))?),
            None => None,
        };
        let key = self.key(after, before)?;
        let moved = before.filter(|before| !self.plan.same_key(before, after));
        let Some(before) = moved else {
            let part = Part {
                sub: 0,
                op: Op::Update,
                before: image,
                after: Some(after),
                key,
                headers: Headers::new(),
            };
            return self.emit(part);
        };
        self.move_key(image, before, after, key)
    }

    /// Writes an update that changed the key: the old key ends, the new one begins.
    fn move_key(
        &mut self,
        image: Option<&RowImage>,
        before: &Row,
        after: &Row,
        key: Option<Bytes>,
    ) -> Result<(), EventError> {
        let gone = self.key(before, None)?;
        let old_key = self.key_json(before, None)?;
        let new_key = self.key_json(after, Some(before))?;
        let is_full = image.is_some_and(|image| image.kind == ImageKind::Full);
        let after = if is_full && after.has_unchanged() {
            Cow::Owned(filled(before, after))
        } else {
            Cow::Borrowed(after)
        };
        let mut headers = Headers::new();
        headers.push(Header { name: header::NEW_KEY.into(), value: new_key });
        if after.has_unchanged() {
            let value = Bytes::from_static(header::MOVED_TRUE);
            headers.push(Header { name: header::MOVED.into(), value });
        }
        self.delete(image, gone, headers)?;
        let mut headers = Headers::new();
        headers.push(Header { name: header::OLD_KEY.into(), value: old_key });
        if after.has_unchanged() {
            let value = self.exact_key(before);
            headers.push(Header { name: header::MOVED_FROM.into(), value });
        }
        let (op, after) = (Op::Create, Some(&*after));
        self.emit(Part { sub: 2, op, before: None, after, key, headers })
    }

    fn delete(
        &mut self,
        before: Option<&RowImage>,
        key: Option<Bytes>,
        headers: Headers,
    ) -> Result<(), EventError> {
        let tombstone = self.tombstones.then(|| (key.clone(), headers.clone()));
        self.emit(Part { sub: 0, op: Op::Delete, before, after: None, key, headers })?;
        if let Some((key, headers)) = tombstone {
            self.record(1, key, None, headers);
        }
        Ok(())
    }

    /// Returns the row that the operation needs, checked to be of the table's width.
    fn image<'r>(&self, row: Option<&'r Row>) -> Result<&'r Row, EventError> {
        let table = &self.event.table;
        let row = row.ok_or_else(|| EventError::NoImage { table: table.name.clone() })?;
        if row.len() == table.columns.len() {
            return Ok(row);
        }
        Err(EventError::RowWidth {
            table: table.name.clone(),
            values: row.len(),
            columns: table.columns.len(),
        })
    }

    fn column(&self, index: usize) -> String {
        self.event.table.columns.get(index).map_or_else(String::new, |c| c.name.to_string())
    }

    fn key(&mut self, row: &Row, older: Option<&Row>) -> Result<Option<Bytes>, EventError> {
        let written = self.plan.push_key(&mut self.scratch.out, row, older);
        match written.map_err(|misfit| self.bad_key(misfit))? {
            true => Ok(Some(self.scratch.take())),
            false => Ok(None),
        }
    }

    fn key_json(&mut self, row: &Row, older: Option<&Row>) -> Result<Bytes, EventError> {
        let written = self.plan.key_json.push_key(&mut self.scratch.out, row, older);
        written.map_err(|misfit| self.bad_key(misfit))?;
        Ok(self.scratch.take())
    }

    /// Returns the exact texts of a row's key.
    fn exact_key(&self, row: &Row) -> Bytes {
        let indices = self.event.table.key.iter().copied();
        let text = |index| Some((self.column(index), exact::to_header(row.get(index)?, false)));
        Json::Object(indices.filter_map(text).collect()).to_string().into()
    }

    fn bad_key(&self, Misfit(index): Misfit) -> EventError {
        EventError::KeyValue { table: self.event.table.name.clone(), column: self.column(index) }
    }

    fn emit(&mut self, part: Part<'_>) -> Result<(), EventError> {
        let Part { sub, op, before, after, key, mut headers } = part;
        let scratch = &mut *self.scratch;
        scratch.before.clear();
        scratch.after.clear();
        let (out, plan) = (&mut scratch.out, self.plan);
        let reading = match before {
            Some(RowImage { kind: ImageKind::Key, .. }) => Reading::KeyOnly,
            _ => Reading::Whole,
        };
        let filled = match before {
            Some(RowImage { kind: ImageKind::Full, row }) => Reading::Filled(row),
            _ => Reading::Whole,
        };
        out.extend_from_slice(&plan.value.open);
        let old =
            plan.push_image(out, before.map(|image| &image.row), reading, &mut scratch.before);
        out.extend_from_slice(plan.layout.joints.0);
        let new = plan.push_image(out, after, filled, &mut scratch.after);
        out.extend_from_slice(plan.layout.joints.1);
        plan.source.push(out, &self.event.origin);
        source::push_end(out, plan.layout.is_avro, op.code(), self.now);
        out.extend_from_slice(plan.value.close);
        old.and(new).map_err(|Misfit(index)| EventError::ValueType {
            table: self.event.table.name.clone(),
            column: self.column(index),
        })?;
        let value = self.scratch.take();
        if let Some(id) = &plan.schema_id {
            headers.push(Header { name: header::SCHEMA_ID.into(), value: id.clone() });
        }
        if matches!(reading, Reading::KeyOnly) {
            let value = Bytes::from_static(header::BEFORE_KEY);
            headers.push(Header { name: header::BEFORE.into(), value });
        }
        self.note(&mut headers, before.map(|image| &image.row), after);
        self.record(sub, key, Some(value), headers);
        Ok(())
    }

    /// Adds the headers for what the record does not hold.
    fn note(&self, headers: &mut Headers, before: Option<&Row>, after: Option<&Row>) {
        let Scratch { before: old, after: new, .. } = &*self.scratch;
        let mut push = |name: &'static str, json: &Json| {
            headers.push(Header { name: name.into(), value: json.to_string().into() });
        };
        let names = |indices: &[usize]| {
            indices.iter().map(|index| Json::from(self.column(*index))).collect::<Json>()
        };
        if !new.unchanged.is_empty() {
            push(header::UNCHANGED, &names(&new.unchanged));
        }
        if !old.unchanged.is_empty() {
            push(header::UNCHANGED_BEFORE, &names(&old.unchanged));
        }
        if old.exact.is_empty() && new.exact.is_empty() {
            return;
        }
        let mut exact = Map::new();
        for (side, indices, row) in [("before", &old.exact, before), ("after", &new.exact, after)] {
            for index in indices {
                if let Some(value) = row.and_then(|row| row.get(*index)) {
                    let name = format!("{side}.{}", self.column(*index));
                    exact.insert(name, self.plan.row.exact(*index, value));
                }
            }
        }
        push(header::EXACT, &Json::Object(exact));
    }

    fn record(&mut self, sub: u8, key: Option<Bytes>, value: Option<Bytes>, headers: Headers) {
        let placement = match (self.event.op, &key) {
            (Op::Truncate, _) => Placement::Every,
            (_, None) => Placement::Fixed,
            (_, Some(_)) => Placement::ByKey,
        };
        let id = Some(RecordId { event: self.event.id(), sub });
        let topic = self.plan.topic.clone();
        self.records.push(Record { topic, placement, key, value, headers, id });
    }
}
