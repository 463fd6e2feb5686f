//! The parked records of a warehouse.

use bytes::Bytes;
use cdc_model::{Header, Headers, LogRecord, Offset, TopicPartition};
use cdc_pipeline::port::ParkedRecord;
use duckdb::{Connection, params};

use crate::catalog::{partition, rows};
use crate::error::{Result, while_};

/// Returns the keys that have parked records.
pub(crate) fn keys(connection: &Connection) -> Result<Vec<(TopicPartition, Bytes)>> {
    let sql = "SELECT DISTINCT topic, partition, key FROM penstock.parked
               WHERE key IS NOT NULL ORDER BY ALL";
    rows(connection, sql, |row| Ok((partition(row)?, Bytes::from(row.get::<_, Vec<u8>>(2)?))))
}

/// Returns parked records in the order of partition and offset, and how many there are.
pub(crate) fn list(connection: &Connection, limit: usize) -> Result<(Vec<ParkedRecord>, u64)> {
    let count = "SELECT count(*) FROM penstock.parked";
    let count = rows(connection, count, |row| row.get(0))?.first().copied().unwrap_or(0);
    let sql = format!(
        "SELECT topic, partition, \"offset\", timestamp_ms, key, value, headers, reason
         FROM penstock.parked ORDER BY topic, partition, \"offset\" LIMIT {limit}"
    );
    let read = |row: &duckdb::Row<'_>| {
        let bytes = |column| -> duckdb::Result<Option<Bytes>> {
            Ok(row.get::<_, Option<Vec<u8>>>(column)?.map(Bytes::from))
        };
        let record = LogRecord {
            source: partition(row)?,
            offset: Offset(row.get(2)?),
            timestamp_ms: row.get(3)?,
            key: bytes(4)?,
            value: bytes(5)?,
            headers: read_headers(&bytes(6)?.unwrap_or_default()),
        };
        Ok(ParkedRecord { record, reason: row.get(7)? })
    };
    Ok((rows(connection, &sql, read)?, count))
}

/// Removes one parked record; returns whether it was there.
pub(crate) fn take(connection: &Connection, source: &TopicPartition, at: Offset) -> Result<bool> {
    connection
        .execute(
            "DELETE FROM penstock.parked WHERE topic = ? AND partition = ? AND \"offset\" = ?",
            params![source.topic.as_str(), source.partition.0, at.0],
        )
        .map(|count| count > 0)
        .map_err(while_("unparking records in"))
}

/// Parks a record.
pub(crate) fn park(connection: &Connection, parked: &ParkedRecord) -> Result<()> {
    let record = &parked.record;
    let (topic, partition) = (record.source.topic.as_str(), record.source.partition.0);
    let write = || -> duckdb::Result<()> {
        connection.execute(
            "DELETE FROM penstock.parked WHERE topic = ? AND partition = ? AND \"offset\" = ?",
            params![topic, partition, record.offset.0],
        )?;
        connection.execute(
            "INSERT INTO penstock.parked VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            params![
                topic,
                partition,
                record.offset.0,
                record.timestamp_ms,
                record.key.as_deref(),
                record.value.as_deref(),
                headers(record),
                parked.reason
            ],
        )?;
        Ok(())
    };
    write().map_err(while_("parking a record in"))
}

fn read_headers(bytes: &Bytes) -> Headers {
    let mut rest = bytes.clone();
    let mut part = || -> Option<Bytes> {
        let length = usize::try_from(u32::from_le_bytes(*rest.first_chunk()?)).ok()?;
        let end = length.checked_add(4).filter(|end| *end <= rest.len())?;
        Some(rest.split_to(end).slice(4..))
    };
    let mut headers = Headers::default();
    while let (Some(name), Some(value)) = (part(), part()) {
        let name = String::from_utf8_lossy(&name).into_owned();
        headers.push(Header { name: name.into(), value });
    }
    headers
}

/// Name and value of each header, each after its length in 4 bytes, little-endian.
fn headers(record: &LogRecord) -> Vec<u8> {
    let mut bytes = Vec::new();
    for header in &record.headers {
        for part in [header.name.as_bytes(), &header.value[..]] {
            let length = u32::try_from(part.len()).unwrap_or(u32::MAX);
            bytes.extend(length.to_le_bytes());
            bytes.extend_from_slice(part);
        }
    }
    bytes
}

/// Drops the records of a partition parked below `offset`.
pub(crate) fn unpark(
    connection: &Connection,
    source: &TopicPartition,
    offset: Offset,
) -> Result<()> {
    connection
        .execute(
            "DELETE FROM penstock.parked WHERE topic = ? AND partition = ? AND \"offset\" < ?",
            params![source.topic.as_str(), source.partition.0, offset.0],
        )
        .map(drop)
        .map_err(while_("unparking records in"))
}
