//! Whether a log holds what it should: each row once. No figure is told of a run that lost or
//! doubled one.

use std::time::Duration;

use anyhow::{Context, ensure};
use cdc_model::{LogRecord, Offset, Topic};
use cdc_pipeline::port::LogReader;

use crate::pipeline::Log;

const PATIENCE: Duration = Duration::from_secs(20);
/// How long nothing more may come at the end.
const QUIET: Duration = Duration::from_millis(300);
const POLL_BYTES: usize = 4 << 20;

/// Checks that `topic` holds `rows` records whose keys are the numbers that begin at `first`.
pub(crate) async fn check(log: &Log, topic: &Topic, first: u64, rows: u64) -> anyhow::Result<()> {
    match log {
        Log::Kafka(log) => check_with(log.reader(), topic, first, rows).await,
        Log::Local(log) => check_with(log.reader(), topic, first, rows).await,
    }
}

async fn check_with<R: LogReader>(
    mut reader: R,
    topic: &Topic,
    first: u64,
    rows: u64,
) -> anyhow::Result<()> {
    let topics = reader.topics().await?;
    let meta = topics.iter().find(|meta| meta.topic == *topic);
    let meta = meta.with_context(|| format!("there is no topic {topic}"))?;
    reader.assign(meta.topic_partitions().map(|at| (at, Offset(0))).collect()).await?;
    let mut seen = vec![false; usize::try_from(rows)?];
    let (mut records, mut distinct) = (0, 0);
    loop {
        let patience = if records < rows { PATIENCE } else { QUIET };
        let Ok(fetched) = tokio::time::timeout(patience, reader.poll(POLL_BYTES)).await else {
            break;
        };
        for record in fetched?.records {
            records += 1;
            let index = id(&record).and_then(|id| id.checked_sub(first));
            let place = index.and_then(|index| seen.get_mut(usize::try_from(index).ok()?));
            let place = place.with_context(|| format!("a foreign record in {topic}"))?;
            distinct += u64::from(!std::mem::replace(place, true));
        }
    }
    ensure!(
        records == rows && distinct == rows,
        "{topic} holds {records} records of {distinct} rows; the source has {rows}"
    );
    Ok(())
}

/// Reads the row's number out of an Avro key: a frame of five bytes and a zigzag varint.
fn id(record: &LogRecord) -> Option<u64> {
    let (mut value, mut shift) = (0_u64, 0);
    for byte in record.key.as_ref()?.get(5..)? {
        value |= u64::from(byte & 0x7F) << shift;
        shift += 7;
    }
    value.is_multiple_of(2).then_some(value >> 1)
}
