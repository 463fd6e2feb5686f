//! Follows the log for a person: decoded records as they are appended.

use std::collections::BTreeMap;
use std::time::Duration;

use cdc_codec::{Decoder, text};
use cdc_control::{Sample, TailStream, v1};
use cdc_model::{ChangeEvent, LogRecord, Offset, Row, TableSchema, TopicPartition, Value};
use cdc_pipeline::port::{Decode, DecodeError, Decoded, LogReader, TopicMeta};
use cdc_registry::Registry;
use cdc_runtime::{AnyReader, Log, ReadError};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

/// Bytes taken from the log at a time.
const POLL_BYTES: usize = 256 << 10;

/// How long a quiet log is followed before new topics are looked for.
const REFRESH: Duration = Duration::from_millis(500);

/// Records that wait for a slow reader; then the log is read no further.
const QUEUE: usize = 256;

/// Begins to follow what `request` asks for.
pub(crate) async fn follow(
    log: &Log,
    decoder: Decoder<Registry>,
    request: v1::TailRequest,
) -> Result<TailStream, Status> {
    let mut reader = log.reader();
    let failed = |error: ReadError| Status::unavailable(error.to_string());
    let mut topics = reader.topics().await.map_err(failed)?;
    if let Some(name) = &request.topic {
        topics.retain(|meta| meta.topic.as_str() == name);
        if topics.is_empty() {
            return Err(Status::not_found(format!("there is no topic \"{name}\"")));
        }
    }
    let from = topics.iter().flat_map(|meta| starts(meta, request.from_beginning));
    let next: BTreeMap<_, _> = from.collect();
    reader.assign(next.clone().into_iter().collect()).await.map_err(failed)?;
    let (sender, receiver) = mpsc::channel(QUEUE);
    let sample = Sample::new(request.per_second_max);
    let follower = Follower { reader, decoder, topic: request.topic, next, sample };
    let pump = async move {
        let outcome = follower.pump(&sender).await;
        if let Err(status) = outcome {
            drop(sender.send(Err(status)).await);
        }
    };
    // The pump lives inside the stream: whoever drops the stream stops it.
    let pumped = futures_util::stream::once(pump).filter_map(|()| None);
    Ok(Box::pin(ReceiverStream::new(receiver).merge(pumped)))
}

fn starts(
    meta: &TopicMeta,
    from_beginning: bool,
) -> impl Iterator<Item = (TopicPartition, Offset)> + '_ {
    let start = move |(first, end): &(Offset, Offset)| if from_beginning { *first } else { *end };
    meta.topic_partitions().zip(&meta.partitions).map(move |(p, range)| (p, start(range)))
}

type Sender = mpsc::Sender<Result<v1::TailEvent, Status>>;

/// Reads on, and takes up topics that come later.
struct Follower {
    reader: AnyReader,
    decoder: Decoder<Registry>,
    topic: Option<String>,
    next: BTreeMap<TopicPartition, Offset>,
    sample: Sample,
}

impl Follower {
    async fn pump(mut self, sender: &Sender) -> Result<(), Status> {
        let failed = |error: ReadError| Status::unavailable(error.to_string());
        loop {
            let polled = tokio::time::timeout(REFRESH, self.reader.poll(POLL_BYTES)).await;
            let Ok(fetched) = polled else {
                self.take_up_new_topics().await.map_err(failed)?;
                continue;
            };
            let fetched = fetched.map_err(failed)?;
            for record in fetched.records {
                // What nobody is shown is not decoded.
                let Some(passed_over) = self.sample.take(Instant::now()) else { continue };
                let mut event = describe(&mut self.decoder, &record).await?;
                event.passed_over = passed_over;
                if sender.send(Ok(event)).await.is_err() {
                    return Ok(());
                }
            }
            self.next.extend(fetched.next);
        }
    }

    /// A topic that was not there before is read from its beginning.
    async fn take_up_new_topics(&mut self) -> Result<(), ReadError> {
        if self.topic.is_some() {
            return Ok(());
        }
        let known = self.next.len();
        for meta in self.reader.topics().await? {
            for (partition, start) in starts(&meta, true) {
                self.next.entry(partition).or_insert(start);
            }
        }
        if self.next.len() > known {
            self.reader.assign(self.next.clone().into_iter().collect()).await?;
        }
        Ok(())
    }
}

/// Decodes a record for people.
pub(crate) async fn describe(
    decoder: &mut Decoder<Registry>,
    record: &LogRecord,
) -> Result<v1::TailEvent, Status> {
    let change = loop {
        match decoder.decode(record) {
            Ok(Decoded::Change(event) | Decoded::Moved(event)) => break Ok(Some(event)),
            Ok(Decoded::Skip) => break Ok(None),
            Err(DecodeError::Invalid(error)) => break Err(error.to_string()),
            Err(DecodeError::UnknownSchema(id)) => {
                let learned = decoder.learn(id).await;
                learned.map_err(|error| Status::unavailable(error.to_string()))?;
            }
        }
    };
    let mut event = v1::TailEvent {
        topic: record.source.topic.to_string(),
        partition: u32::try_from(record.source.partition.0).unwrap_or(0),
        offset: record.offset.0,
        timestamp_ms: record.timestamp_ms,
        ..v1::TailEvent::default()
    };
    match change {
        Ok(Some(change)) => tell(&change, &mut event),
        Ok(None) if record.value.is_none() => event.text = "tombstone".to_owned(),
        Ok(None) => event.text = "no change of a row".to_owned(),
        Err(reason) => event.text = format!("cannot be decoded: {reason}"),
    }
    Ok(event)
}

fn tell(change: &ChangeEvent, event: &mut v1::TailEvent) {
    let before = change.before.as_ref().map(|image| &image.row);
    let newest = change.after.as_ref().or(before);
    event.op = change.op.code().to_owned();
    event.text = text::render(change);
    event.timestamp_ms = change.origin.transaction.committed_at.0 / 1_000;
    event.commit_position = Some(change.origin.transaction.commit_lsn.to_string());
    let key = |row: &Row| json(&change.table, row, &change.table.key).to_string();
    event.key = newest.filter(|_| change.table.has_key()).map(key).unwrap_or_default();
    let all: Vec<usize> = (0..change.table.columns.len()).collect();
    let image = |row: Option<&Row>| row.map(|row| json(&change.table, row, &all));
    let value = serde_json::json!({
        "op": change.op.code(),
        "table": change.table.name.to_string(),
        "before": image(before),
        "after": image(change.after.as_ref()),
        "lsn": change.origin.lsn.to_string(),
        "tx_id": change.origin.transaction.id,
    });
    event.value_json = Some(value.to_string());
}

fn json(table: &TableSchema, row: &Row, columns: &[usize]) -> serde_json::Value {
    let pairs = columns.iter().filter_map(|index| table.columns.get(*index).zip(row.get(*index)));
    let shown = pairs.filter(|(_, value)| **value != Value::Unchanged);
    shown.map(|(column, value)| (column.name.to_string(), json_value(value))).collect()
}

fn json_value(value: &Value) -> serde_json::Value {
    match value {
        Value::Null | Value::Unchanged => serde_json::Value::Null,
        Value::Bool(value) => (*value).into(),
        Value::Int16(number) => (*number).into(),
        Value::Int32(number) => (*number).into(),
        Value::Int64(number) => (*number).into(),
        Value::Text(text) => text.as_str().into(),
        Value::Array(array) => array.elements.iter().map(json_value).collect(),
        other => text::value(other).into(),
    }
}
