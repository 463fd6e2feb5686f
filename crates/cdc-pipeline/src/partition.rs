//! Which partition a record goes to. Always decided here and set explicitly, so that every log
//! places a key where Kafka's own clients would.

use cdc_model::{Partition, Placement, Record};

/// Returns the partitions of a topic with `count` of them that `record` goes to.
///
/// # Panics
/// If `count` is not positive.
pub fn place(record: &Record, count: i32) -> std::ops::Range<i32> {
    assert!(count > 0, "a topic has at least one partition");
    match (record.placement, &record.key) {
        (Placement::Every, _) => 0..count,
        (Placement::Fixed, _) | (Placement::ByKey, None) => 0..1,
        (Placement::ByKey, Some(key)) => {
            let Partition(index) = by_key(key, count);
            index..index + 1
        }
    }
}

/// Returns the partition that Kafka's default partitioner chooses for `key`.
///
/// Source: `BuiltInPartitioner.partitionForKey` in Kafka's Java client.
pub fn by_key(key: &[u8], count: i32) -> Partition {
    Partition((murmur2(key) & 0x7fff_ffff) % count)
}

/// Kafka's murmur2 with its seed 0x9747b28c, as a signed number.
#[expect(clippy::cast_possible_truncation, reason = "the hash is defined modulo 2^32")]
pub fn murmur2(data: &[u8]) -> i32 {
    const M: u32 = 0x5bd1_e995;
    let mut hash = 0x9747_b28c_u32 ^ data.len() as u32;
    let mut words = data.chunks_exact(4);
    for word in &mut words {
        let mut k = word.iter().rev().fold(0_u32, |k, byte| k << 8 | u32::from(*byte));
        k = k.wrapping_mul(M);
        k ^= k >> 24;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    let rest = words.remainder();
    if !rest.is_empty() {
        hash ^= rest.iter().rev().fold(0_u32, |k, byte| k << 8 | u32::from(*byte));
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^= hash >> 15;
    hash.cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vectors of Kafka's own `UtilsTest.testMurmur2`.
    #[test]
    fn murmur2_agrees_with_kafka() {
        for (key, hash) in [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            ("abc", 479_470_107),
        ] {
            assert_eq!(murmur2(key.as_bytes()), hash, "{key}");
        }
    }
}
