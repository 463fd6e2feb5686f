//! Builds tables and events as SQL says, and passes them through encoder and decoder.

use std::sync::Arc;

use bytes::Bytes;
use cdc_codec::{CodecConfig, Decoder, Encoder, Format};
use cdc_model::{
    Array, ChangeEvent, Column, ColumnType, DefaultValue, Header, ImageKind, LogRecord,
    LogicalMessage, Lsn, Offset, Op, Origin, Partition, Record, ReplicaIdentity, Row, RowImage,
    SnapshotMark, SnapshotRow, TableId, TableName, TableSchema, Timestamp, TopicPartition,
    Transaction, Value,
};
use cdc_pipeline::port::{Decode, DecodeError, Decoded, Encode};
use testkit::memory::registry::MemoryRegistry;

pub(crate) const NOW: Timestamp = Timestamp(1_795_251_625_948_634);

/// A column not null.
pub(crate) fn nn(name: &str, ty: ColumnType) -> Column {
    Column::new(name, ty).not_null()
}

/// A column that may be null.
pub(crate) fn null(name: &str, ty: ColumnType) -> Column {
    Column::new(name, ty)
}

/// Gives a column a constant default.
pub(crate) fn literal(mut column: Column, text: &str) -> Column {
    column.default = Some(DefaultValue::Literal(text.into()));
    column
}

/// Gives a column a default that is no constant.
pub(crate) fn expression(mut column: Column) -> Column {
    column.default = Some(DefaultValue::Expression);
    column
}

pub(crate) fn table(
    schema: &str,
    name: &str,
    columns: Vec<Column>,
    key: &[usize],
) -> Arc<TableSchema> {
    let id =
        format!("{schema}.{name}").bytes().fold(7_u64, |id, b| id * 31 % 1_000_003 + u64::from(b));
    Arc::new(TableSchema {
        id: TableId(id),
        name: TableName::new(schema, name),
        columns,
        key: key.to_vec(),
        replica_identity: ReplicaIdentity::Default,
    })
}

pub(crate) fn array_of(elements: Vec<Value>) -> Value {
    Value::Array(Array { elements: elements.into(), exact: None })
}

/// Reads a cell: `NULL`, `<unchanged>`, an array as `{a|b}`, else PostgreSQL's text.
pub(crate) fn cell(ty: &ColumnType, text: &str) -> Value {
    match (ty, text) {
        (_, "NULL") => Value::Null,
        (_, "<unchanged>") => Value::Unchanged,
        (ColumnType::Array(item), _) => {
            let inner = text.strip_prefix('{').unwrap().strip_suffix('}').unwrap();
            let elements = inner.split('|').filter(|_| !inner.is_empty());
            array_of(elements.map(|element| cell(item, element)).collect())
        }
        _ => cdc_codec::text::parse(ty, text).unwrap_or_else(|| panic!("{ty:?} from {text}")),
    }
}

pub(crate) fn row(table: &TableSchema, cells: &[&str]) -> Row {
    assert_eq!(table.columns.len(), cells.len(), "{}", table.name);
    table.columns.iter().zip(cells).map(|(column, text)| cell(&column.ty, text)).collect()
}

/// What happens in a scenario, in order.
#[derive(Debug, Clone)]
pub(crate) enum Item {
    Change(ChangeEvent),
    Message(LogicalMessage),
}

/// A scenario under construction.
#[derive(Default)]
pub(crate) struct Script {
    pub(crate) items: Vec<Item>,
    lsn: u64,
}

impl Script {
    fn origin(&mut self, snapshot: Option<SnapshotRow>) -> Origin {
        self.lsn += 8;
        let transaction = Transaction {
            id: 842 + self.lsn,
            commit_lsn: Lsn(self.lsn),
            previous_commit_lsn: (self.lsn > 8).then_some(Lsn(self.lsn - 8)),
            committed_at: Timestamp(1_795_251_620_792_658),
        };
        Origin { transaction: Arc::new(transaction), seq: 0, lsn: Lsn(self.lsn), snapshot }
    }

    pub(crate) fn change(
        &mut self,
        table: &Arc<TableSchema>,
        op: Op,
        before: Option<(ImageKind, &[&str])>,
        after: Option<&[&str]>,
    ) {
        let origin = self.origin(None);
        let before = before.map(|(kind, cells)| RowImage { row: row(table, cells), kind });
        let after = after.map(|cells| row(table, cells));
        self.items.push(Item::Change(ChangeEvent {
            table: table.clone(),
            op,
            before,
            after,
            origin,
        }));
    }

    pub(crate) fn insert(&mut self, table: &Arc<TableSchema>, cells: &[&str]) {
        self.change(table, Op::Create, None, Some(cells));
    }

    pub(crate) fn update(&mut self, table: &Arc<TableSchema>, cells: &[&str]) {
        self.change(table, Op::Update, None, Some(cells));
    }

    pub(crate) fn delete(&mut self, table: &Arc<TableSchema>, kind: ImageKind, cells: &[&str]) {
        self.change(table, Op::Delete, Some((kind, cells)), None);
    }

    pub(crate) fn message(&mut self, prefix: &str, content: &'static [u8], is_transactional: bool) {
        let mut origin = self.origin(None);
        if !is_transactional {
            Arc::make_mut(&mut origin.transaction).id = 0;
        }
        let content = Bytes::from_static(content);
        let message = LogicalMessage { prefix: prefix.into(), content, is_transactional, origin };
        self.items.push(Item::Message(message));
    }

    /// The rows of a snapshot, table by table.
    pub(crate) fn snapshot(&mut self, tables: &[(&Arc<TableSchema>, &[&[&str]])]) {
        let last_table = tables.len() - 1;
        for (t, (table, rows)) in tables.iter().enumerate() {
            for (r, cells) in rows.iter().enumerate() {
                let (first, last) = (r == 0, r + 1 == rows.len());
                let mark = match () {
                    () if last && t == last_table => SnapshotMark::Last,
                    () if first && t == 0 => SnapshotMark::First,
                    () if last => SnapshotMark::LastInTable,
                    () if first => SnapshotMark::FirstInTable,
                    () => SnapshotMark::Inside,
                };
                let at = SnapshotRow {
                    snapshot: Lsn(8),
                    chunk: 0,
                    row: u32::try_from(r).unwrap(),
                    mark,
                };
                self.lsn = 0;
                let origin = self.origin(Some(at));
                let after = Some(row(table, cells));
                let table = (*table).clone();
                let event = ChangeEvent { table, op: Op::Read, before: None, after, origin };
                self.items.push(Item::Change(event));
            }
        }
    }
}

/// An encoder over a registry in memory, with everything it wrote.
pub(crate) struct Bench {
    pub(crate) registry: Arc<MemoryRegistry>,
    pub(crate) encoder: Encoder<MemoryRegistry>,
}

impl Bench {
    pub(crate) fn new(prefix: &str, database: &str, format: Format) -> Self {
        let registry = Arc::new(MemoryRegistry::default());
        let config = CodecConfig::new(prefix, database).with_format(format);
        Self { encoder: Encoder::new(config, registry.clone()), registry }
    }

    /// Encodes `items`, preparing each table at its first change and whenever it changed.
    pub(crate) async fn encode(&mut self, items: &[Item]) -> Vec<Record> {
        let mut records = Vec::new();
        let mut prepared: Vec<Arc<TableSchema>> = Vec::new();
        for item in items {
            match item {
                Item::Change(event) => {
                    if !prepared.contains(&event.table) {
                        self.encoder.prepare(&event.table).await.unwrap();
                        prepared.retain(|table| table.id != event.table.id);
                        prepared.push(event.table.clone());
                    }
                    self.encoder.encode(event, NOW, &mut records).unwrap();
                }
                Item::Message(message) => {
                    self.encoder.prepare_messages().await.unwrap();
                    self.encoder.encode_message(message, NOW, &mut records).unwrap();
                }
            }
        }
        records
    }

    /// A decoder over the same registry.
    pub(crate) fn decoder(&self) -> Decoder<MemoryRegistry> {
        Decoder::new(self.registry.clone())
    }
}

/// The record as a log gives it back.
pub(crate) fn logged(record: &Record) -> LogRecord {
    let mut headers = record.headers.clone();
    if let Some(id) = &record.id {
        headers.push(Header {
            name: Record::ID_HEADER.into(),
            value: format!("incarnation:{id}").into(),
        });
    }
    LogRecord {
        source: TopicPartition { topic: record.topic.clone(), partition: Partition(0) },
        offset: Offset(0),
        timestamp_ms: 0,
        key: record.key.clone(),
        value: record.value.clone(),
        headers,
    }
}

/// Decodes, learning schemas as they are met.
pub(crate) async fn decode(
    decoder: &mut Decoder<MemoryRegistry>,
    record: &LogRecord,
) -> Result<Decoded, cdc_codec::Error<testkit::memory::registry::Error>> {
    loop {
        match decoder.decode(record) {
            Ok(decoded) => return Ok(decoded),
            Err(DecodeError::UnknownSchema(id)) => decoder.learn(id).await?,
            Err(DecodeError::Invalid(error)) => return Err(error),
        }
    }
}
