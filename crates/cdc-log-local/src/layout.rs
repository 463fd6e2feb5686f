//! Keys and values of the store: what is kept where. Pure.
//!
//! Keyspace `meta`:
//!
//! | key | value |
//! |---|---|
//! | `t` topic name | the topic's number, its count of partitions |
//! | `s` segment number | [`SegmentMeta`] |
//! | `c` pipeline | sequence and position of its checkpoint |
//! | `e` pipeline, entry key | one entry of its checkpoint |
//! | `p` projection | what it has applied, by partition |
//!
//! Keyspace `segment-N`, one for each segment: blocks, under topic number, partition and offset of
//! the first record (4, 4 and 8 bytes, big-endian).

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::coding::{self, Input};

/// Name of the keyspace for all that is no record.
pub(crate) const META: &str = "meta";

/// What the names of segments' keyspaces begin with.
pub(crate) const SEGMENT_PREFIX: &str = "segment-";

/// A partition, by its topic's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PartitionNo {
    pub(crate) topic: u32,
    pub(crate) partition: u32,
}

/// An offset for each partition; those not named are at 0.
pub(crate) type Offsets = BTreeMap<PartitionNo, i64>;

/// What is known of a segment besides its blocks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct SegmentMeta {
    /// When it was begun, ms since 1970.
    pub(crate) created_ms: i64,
    /// When the last append went into it; written when it is full.
    pub(crate) last_ms: i64,
    /// Bytes of its blocks; written when it is full.
    pub(crate) bytes: u64,
    /// Next offsets when it was begun.
    pub(crate) starts: Offsets,
}

pub(crate) fn segment_name(no: u64) -> String {
    format!("{SEGMENT_PREFIX}{no}")
}

pub(crate) fn key(kind: u8, name: &[u8]) -> Vec<u8> {
    let mut key = Vec::with_capacity(1 + name.len());
    key.push(kind);
    key.extend_from_slice(name);
    key
}

pub(crate) fn segment_key(no: u64) -> Vec<u8> {
    key(b's', &no.to_be_bytes())
}

/// What the keys of all entries of a pipeline's checkpoint begin with.
pub(crate) fn entries_prefix(pipeline: &str) -> Vec<u8> {
    let mut key = vec![b'e'];
    coding::put_bytes(&mut key, pipeline.as_bytes());
    key
}

pub(crate) fn entry_key(pipeline: &str, entry: &str) -> Vec<u8> {
    let mut key = entries_prefix(pipeline);
    key.extend_from_slice(entry.as_bytes());
    key
}

pub(crate) fn block_key(partition: PartitionNo, first: i64) -> [u8; 16] {
    let mut key = [0; 16];
    key[..4].copy_from_slice(&partition.topic.to_be_bytes());
    key[4..8].copy_from_slice(&partition.partition.to_be_bytes());
    key[8..].copy_from_slice(&first.to_be_bytes());
    key
}

/// Returns the offset in a block's key.
pub(crate) fn block_first(key: &[u8]) -> Option<i64> {
    let (_, offset) = key.split_at_checked(8)?;
    Some(i64::from_be_bytes(offset.try_into().ok()?))
}

pub(crate) fn put_topic(no: u32, partitions: u32) -> Vec<u8> {
    let mut out = Vec::new();
    coding::put_uint(&mut out, no.into());
    coding::put_uint(&mut out, partitions.into());
    out
}

pub(crate) fn topic(value: Bytes) -> Option<(u32, u32)> {
    let mut input = Input::new(value);
    let (no, partitions) = (input.uint()?, input.uint()?);
    Some((u32::try_from(no).ok()?, u32::try_from(partitions).ok()?))
}

pub(crate) fn put_segment(meta: &SegmentMeta) -> Vec<u8> {
    let mut out = Vec::new();
    coding::put_uint(&mut out, meta.created_ms.cast_unsigned());
    coding::put_uint(&mut out, meta.last_ms.cast_unsigned());
    coding::put_uint(&mut out, meta.bytes);
    out.extend(put_offsets(&meta.starts));
    out
}

pub(crate) fn segment(value: Bytes) -> Option<SegmentMeta> {
    let mut input = Input::new(value);
    Some(SegmentMeta {
        created_ms: input.uint()?.cast_signed(),
        last_ms: input.uint()?.cast_signed(),
        bytes: input.uint()?,
        starts: read_offsets(&mut input)?,
    })
}

pub(crate) fn put_checkpoint(sequence: u64, position: Option<&[u8]>) -> Vec<u8> {
    let mut out = Vec::new();
    coding::put_uint(&mut out, sequence);
    coding::put_optional(&mut out, position);
    out
}

pub(crate) fn checkpoint(value: Bytes) -> Option<(u64, Option<Bytes>)> {
    let mut input = Input::new(value);
    Some((input.uint()?, input.optional()?))
}

pub(crate) fn put_offsets(offsets: &Offsets) -> Vec<u8> {
    let mut out = Vec::new();
    coding::put_uint(&mut out, offsets.len() as u64);
    for (partition, offset) in offsets {
        coding::put_uint(&mut out, partition.topic.into());
        coding::put_uint(&mut out, partition.partition.into());
        coding::put_uint(&mut out, offset.cast_unsigned());
    }
    out
}

pub(crate) fn offsets(value: Bytes) -> Option<Offsets> {
    read_offsets(&mut Input::new(value))
}

fn read_offsets(input: &mut Input) -> Option<Offsets> {
    let mut offsets = Offsets::new();
    for _ in 0..input.uint()? {
        let topic = u32::try_from(input.uint()?).ok()?;
        let partition = u32::try_from(input.uint()?).ok()?;
        offsets.insert(PartitionNo { topic, partition }, input.int()?);
    }
    input.is_empty().then_some(offsets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let at = |topic, partition| PartitionNo { topic, partition };
        let starts = Offsets::from([(at(0, 0), 7), (at(300, 2), i64::MAX)]);
        let meta = SegmentMeta { created_ms: -1, last_ms: 5, bytes: 1 << 40, starts };
        assert_eq!(segment(put_segment(&meta).into()), Some(meta.clone()));
        assert_eq!(offsets(put_offsets(&meta.starts).into()), Some(meta.starts));
        assert_eq!(topic(put_topic(3, 4).into()), Some((3, 4)));
        let position = Some(Bytes::new());
        assert_eq!(checkpoint(put_checkpoint(9, Some(b"")).into()), Some((9, position)));
        assert_eq!(checkpoint(put_checkpoint(9, None).into()), Some((9, None)));
        assert_eq!(block_first(&block_key(at(1, 2), 77)), Some(77));
    }

    #[test]
    fn block_keys_sort_by_partition_then_offset() {
        let key = |topic, partition, first| block_key(PartitionNo { topic, partition }, first);
        assert!(key(1, 2, i64::MAX) < key(1, 3, 0));
        assert!(key(1, i32::MAX.cast_unsigned(), 5) < key(2, 0, 0));
        assert!(key(1, 2, 255) < key(1, 2, 256));
    }

    #[test]
    fn one_pipelines_entries_are_not_anothers() {
        assert!(!entry_key("ab", "c").starts_with(&entries_prefix("a")));
    }
}
