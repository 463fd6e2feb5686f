//! The part of an envelope that follows the row images: Debezium's source block, the empty
//! transaction block, the operation and the time of processing.

use cdc_model::{Origin, Timestamp};

use crate::avro::write as avro;
use crate::config::CodecConfig;
use crate::json::write as json;

/// The constant parts of the source block of one table, or of messages.
#[derive(Debug)]
pub(crate) struct SourcePlan {
    is_avro: bool,
    /// Up to the commit time.
    head: Vec<u8>,
    /// From the end of `snapshot` up to `sequence`.
    database: Vec<u8>,
    /// From the end of the times up to `txId`.
    table: Vec<u8>,
}

impl SourcePlan {
    pub(crate) fn new(config: &CodecConfig, is_avro: bool, schema: &str, table: &str) -> Self {
        let mut plan = Self { is_avro, head: Vec::new(), database: Vec::new(), table: Vec::new() };
        if is_avro {
            for text in [&config.version, &config.connector, &config.prefix] {
                avro::bytes(&mut plan.head, text.as_bytes());
            }
            avro::bytes(&mut plan.database, config.database.as_bytes());
            avro::bytes(&mut plan.table, schema.as_bytes());
            avro::bytes(&mut plan.table, table.as_bytes());
        } else {
            member(&mut plan.head, "{\"version\":", &config.version);
            member(&mut plan.head, ",\"connector\":", &config.connector);
            member(&mut plan.head, ",\"name\":", &config.prefix);
            plan.head.extend_from_slice(b",\"ts_ms\":");
            member(&mut plan.database, "\",\"db\":", &config.database);
            plan.database.extend_from_slice(b",\"sequence\":");
            member(&mut plan.table, ",\"schema\":", schema);
            member(&mut plan.table, ",\"table\":", table);
            plan.table.extend_from_slice(b",\"txId\":");
        }
        plan
    }

    /// Appends the source block.
    #[inline]
    pub(crate) fn push(&self, out: &mut Vec<u8>, origin: &Origin) {
        let micros = origin.transaction.committed_at.0;
        let millis = micros.div_euclid(1000);
        let nanos = micros.saturating_mul(1000);
        let transaction = origin.transaction.id;
        let lsn = origin.lsn.0.cast_signed();
        let snapshot = origin.snapshot.map_or("false", |row| row.mark.as_str());
        out.extend_from_slice(&self.head);
        if self.is_avro {
            avro::long(out, millis);
            out.push(0);
            avro::bytes(out, snapshot.as_bytes());
            out.extend_from_slice(&self.database);
            out.push(2);
            let start = out.len();
            out.push(0);
            push_sequence(out, origin, b"\"");
            let length = u8::try_from(out.len() - start - 1).unwrap_or(0);
            debug_assert!(length < 64, "two numbers of 20 digits");
            if let Some(place) = out.get_mut(start) {
                *place = length << 1;
            }
            optional(out, micros);
            optional(out, nanos);
            out.extend_from_slice(&self.table);
            match transaction {
                0 => out.push(0),
                id => optional(out, id.cast_signed()),
            }
            optional(out, lsn);
            out.extend_from_slice(&[0, 0, 0]);
        } else {
            json::number(out, millis);
            out.extend_from_slice(b",\"snapshot\":\"");
            out.extend_from_slice(snapshot.as_bytes());
            out.extend_from_slice(&self.database);
            out.push(b'"');
            push_sequence(out, origin, b"\\\"");
            out.extend_from_slice(b"\",\"ts_us\":");
            json::number(out, micros);
            out.extend_from_slice(b",\"ts_ns\":");
            json::number(out, nanos);
            out.extend_from_slice(&self.table);
            match transaction {
                0 => out.extend_from_slice(b"null"),
                id => json::number(out, id.cast_signed()),
            }
            out.extend_from_slice(b",\"lsn\":");
            json::number(out, lsn);
            out.extend_from_slice(b",\"xmin\":null,\"origin\":null,\"origin_lsn\":null}");
        }
    }
}

/// Appends the rest of an envelope after its source.
#[inline]
pub(crate) fn push_end(out: &mut Vec<u8>, is_avro: bool, op: &str, now: Timestamp) {
    let millis = now.0.div_euclid(1000);
    let nanos = now.0.saturating_mul(1000);
    if is_avro {
        out.push(0);
        avro::bytes(out, op.as_bytes());
        optional(out, millis);
        optional(out, now.0);
        optional(out, nanos);
    } else {
        out.extend_from_slice(b",\"transaction\":null,\"op\":\"");
        out.extend_from_slice(op.as_bytes());
        out.extend_from_slice(b"\",\"ts_ms\":");
        json::number(out, millis);
        out.extend_from_slice(b",\"ts_us\":");
        json::number(out, now.0);
        out.extend_from_slice(b",\"ts_ns\":");
        json::number(out, nanos);
        out.push(b'}');
    }
}

fn member(out: &mut Vec<u8>, key: &str, value: &str) {
    out.extend_from_slice(key.as_bytes());
    json::string(out, value);
}

/// Appends an optional number that is there.
pub(crate) fn optional(out: &mut Vec<u8>, value: i64) {
    out.push(2);
    avro::long(out, value);
}

/// Appends `["<previous commit>","<lsn>"]`, the first `null` where there is none.
fn push_sequence(out: &mut Vec<u8>, origin: &Origin, quote: &[u8]) {
    out.push(b'[');
    match origin.transaction.previous_commit_lsn {
        None => out.extend_from_slice(b"null"),
        Some(lsn) => push_lsn(out, lsn.0, quote),
    }
    out.push(b',');
    push_lsn(out, origin.lsn.0, quote);
    out.push(b']');
}

fn push_lsn(out: &mut Vec<u8>, lsn: u64, quote: &[u8]) {
    out.extend_from_slice(quote);
    out.extend_from_slice(itoa::Buffer::new().format(lsn).as_bytes());
    out.extend_from_slice(quote);
}
