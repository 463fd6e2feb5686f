//! What must hold once everything has come to rest.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;

use bytes::Bytes;
use cdc_model::{LogRecord, Record, TableName, TopicPartition, Value};
use cdc_pipeline::dead_letter::SUFFIX;

use crate::memory::sink::{StoredRow, parked_key};
use crate::sim::SimCodec;
use crate::sim::world::{PIPELINE, World};

/// Returns whether the log holds all of the database, the sink all of the log, and the database
/// knows it.
pub(super) fn is_at_rest<C: SimCodec>(world: &World<'_, C>) -> bool {
    let offsets = world.store.offsets();
    let is_applied = |(partition, records): (&TopicPartition, &Vec<LogRecord>)| {
        let next = offsets.get(partition).map_or(0, |offset| offset.0);
        is_dead_letter(partition) || usize::try_from(next) == Ok(records.len())
    };
    world.database.retained() == 0 && world.log.records().iter().all(is_applied)
}

/// Tells how far everything is, for a run that is stuck.
pub(super) fn progress<C: SimCodec>(world: &World<'_, C>) -> String {
    let ends: Vec<_> = world.log.records().iter().map(|(p, r)| (p.to_string(), r.len())).collect();
    let retained = world.database.retained();
    let checkpoint = world.log.checkpoint(PIPELINE);
    let offsets = world.store.offsets();
    format!("{retained} bytes retained, log {ends:?}, {checkpoint:?}, sink {offsets:?}")
}

/// Checks every invariant.
pub(super) fn all<C: SimCodec>(world: &World<'_, C>) -> Result<(), String> {
    let mut problems = world.database.violations();
    problems.extend(each_identity_once_and_in_order(world));
    problems.extend(sink_equals_source(world));
    problems.extend(parked_records_are_complete(world));
    problems.extend(each_effect_once_and_in_order(world));
    problems.extend(appends_are_bounded(world));
    if problems.is_empty() {
        return Ok(());
    }
    problems.truncate(5);
    Err(problems.join("\n  "))
}

fn is_dead_letter(partition: &TopicPartition) -> bool {
    partition.topic.as_str().ends_with(SUFFIX)
}

/// Exactly once into the log, and I2: no identity twice in a partition, and each partition in
/// commit order. A tombstone follows its delete.
fn each_identity_once_and_in_order<C: SimCodec>(world: &World<'_, C>) -> Vec<String> {
    let mut problems = Vec::new();
    for (partition, records) in world.log.records() {
        if is_dead_letter(&partition) {
            continue;
        }
        let mut seen = BTreeSet::new();
        for record in &records {
            let id = record.header(Record::ID_HEADER).cloned();
            if !seen.insert(id.clone()) {
                problems.push(format!("{partition} holds {id:?} twice"));
            }
        }
        let streamed: Vec<_> = records.iter().filter_map(streamed_order).collect();
        if !streamed.is_sorted() {
            problems.push(format!("I2: {partition} is not in commit order"));
        }
    }
    problems
}

/// The commit LSN, sequence and number of a streamed record.
fn streamed_order(record: &LogRecord) -> Option<(u64, u64, u64, u64)> {
    let id = record.header(Record::ID_HEADER)?;
    let text = std::str::from_utf8(id).ok()?;
    let (_, id) = text.split_once(':')?;
    let mut parts = id.split([':', '/']);
    let mut hex = || u64::from_str_radix(parts.next()?, 16).ok();
    let (high, low) = (hex()?, hex()?);
    let mut number = || parts.next()?.parse().ok();
    Some((high, low, number()?, number()?))
}

/// `sink == fold(source)`, apart from rows whose keys are parked.
fn sink_equals_source<C: SimCodec>(world: &World<'_, C>) -> Vec<String> {
    let parked: BTreeSet<Bytes> = world.store.parked().iter().map(parked_key).collect();
    let is_parked = |row: &StoredRow| {
        let id = row.get("id").cloned().unwrap_or(Value::Null);
        let key = Bytes::from(format!("[{id:?}]"));
        parked.contains(&key)
    };
    let strip = |rows: BTreeMap<TableName, Vec<StoredRow>>| -> BTreeMap<TableName, Vec<StoredRow>> {
        let keep = |(name, mut rows): (TableName, Vec<StoredRow>)| {
            rows.retain(|row| &*name.table == "keyless" || !is_parked(row));
            (!rows.is_empty()).then_some((name, rows))
        };
        rows.into_iter().filter_map(keep).collect()
    };
    let (source, sink) = (strip(world.database.rows()), strip(world.store.rows()));
    if source == sink {
        return Vec::new();
    }
    let mut problems = Vec::new();
    let none = Vec::new();
    for name in source.keys().chain(sink.keys()).collect::<BTreeSet<_>>() {
        let (a, b) = (source.get(name).unwrap_or(&none), sink.get(name).unwrap_or(&none));
        let missing: Vec<_> = a.iter().filter(|row| !b.contains(row)).take(3).collect();
        let extra: Vec<_> = b.iter().filter(|row| !a.contains(row)).take(3).collect();
        if a != b {
            problems.push(format!(
                "sink != fold(source): {name} has {} rows in the source, {} in the sink; \
                 missing {missing:?}, extra {extra:?}",
                a.len(),
                b.len()
            ));
        }
    }
    problems
}

/// Behind a parked record of a key, every later record of that key is parked too, in order, up to
/// the table's next truncate.
fn parked_records_are_complete<C: SimCodec>(world: &World<'_, C>) -> Vec<String> {
    let mut queues: BTreeMap<(TopicPartition, Bytes), Vec<i64>> = BTreeMap::new();
    for parked in world.store.parked() {
        let key = (parked.record.source.clone(), parked_key(&parked));
        queues.entry(key).or_default().push(parked.record.offset.0);
    }
    let log = world.log.records();
    let mut problems = Vec::new();
    for ((partition, key), offsets) in queues {
        let records = log.get(&partition).map_or(&[][..], Vec::as_slice);
        let later = records.iter().filter(|record| {
            record.key.as_ref() == Some(&key)
                && record.value.is_some()
                && record.offset.0 >= offsets[0]
        });
        let expected: Vec<i64> = later.map(|record| record.offset.0).collect();
        if expected != offsets {
            problems.push(format!("I2: {partition} parks {offsets:?} of {expected:?}"));
        }
    }
    problems
}

/// Exactly once into the sink, and I2: of each partition no record is applied twice, nor after a
/// later one.
fn each_effect_once_and_in_order<C: SimCodec>(world: &World<'_, C>) -> Vec<String> {
    let mut last: BTreeMap<TopicPartition, i64> = BTreeMap::new();
    let mut problems = Vec::new();
    for (partition, offset) in world.store.effects() {
        let before = last.get(&partition).copied().unwrap_or(-1);
        if offset.0 <= before {
            problems.push(format!("{partition}: offset {} is applied after {before}", offset.0));
        }
        last.insert(partition, offset.0.max(before));
    }
    problems
}

/// I5: an append holds a batch's bytes and at most one more piece of the stream.
fn appends_are_bounded<C: SimCodec>(world: &World<'_, C>) -> Option<String> {
    let largest = world.largest_append.load(Ordering::Relaxed);
    let piece = world.plan.cut.max(10) * 400;
    let bound = world.plan.batch_bytes_max * 2 + piece;
    (largest > bound).then(|| format!("I5: an append of {largest} bytes, above {bound}"))
}
