//! Which segments may go: pure decisions about when one is full and when the oldest are dropped.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::LocalLogConfig;
use crate::layout::{Offsets, SegmentMeta};

/// Whether a segment takes no more appends.
pub(crate) fn is_full(segment: &SegmentMeta, config: &LocalLogConfig, now_ms: i64) -> bool {
    let is_old = age(segment.created_ms, now_ms) >= config.segment_age;
    segment.bytes > 0 && (segment.bytes >= config.segment_bytes || is_old)
}

/// Returns how many of `segments`, oldest first, are to be dropped: as many as retention asks for,
/// but never the last one, and none from the first on that some projection has not applied whole.
pub(crate) fn droppable(
    segments: &[&SegmentMeta],
    projections: &BTreeMap<String, Offsets>,
    config: &LocalLogConfig,
    now_ms: i64,
) -> usize {
    let mut held: u64 = segments.iter().map(|segment| segment.bytes).sum();
    let mut count = 0;
    for (segment, after) in segments.iter().zip(segments.iter().skip(1)) {
        let is_too_much = config.retention_bytes.is_some_and(|max| held > max);
        let is_too_old = config.retention_age.is_some_and(|max| age(segment.last_ms, now_ms) > max);
        let is_wanted = projections.values().any(|applied| !is_applied(segment, after, applied));
        if is_wanted || !(is_too_much || is_too_old) {
            break;
        }
        held -= segment.bytes;
        count += 1;
    }
    count
}

fn is_applied(segment: &SegmentMeta, after: &SegmentMeta, applied: &Offsets) -> bool {
    after.starts.iter().all(|(partition, end)| {
        let start = segment.starts.get(partition).copied().unwrap_or(0);
        start == *end || applied.get(partition).is_some_and(|applied| applied >= end)
    })
}

fn age(since_ms: i64, now_ms: i64) -> Duration {
    Duration::from_millis(u64::try_from(now_ms.saturating_sub(since_ms)).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::PartitionNo;

    const P: PartitionNo = PartitionNo { topic: 0, partition: 0 };

    /// Five segments of 100 bytes and 10 records each, the n-th last written at n seconds.
    fn segments() -> Vec<SegmentMeta> {
        let segment = |n: i64| SegmentMeta {
            created_ms: n * 1_000,
            last_ms: n * 1_000,
            bytes: 100,
            starts: Offsets::from([(P, n * 10)]),
        };
        (0..5).map(segment).collect()
    }

    #[track_caller]
    fn check(bytes: Option<u64>, age: Option<u64>, applied: &[i64], expected: usize) {
        let config = LocalLogConfig {
            retention_bytes: bytes,
            retention_age: age.map(Duration::from_secs),
            ..LocalLogConfig::default()
        };
        let projections = applied.iter().enumerate();
        let projections =
            projections.map(|(n, offset)| (n.to_string(), Offsets::from([(P, *offset)]))).collect();
        let segments = segments();
        let segments: Vec<_> = segments.iter().collect();
        assert_eq!(droppable(&segments, &projections, &config, 4_000), expected);
    }

    #[test]
    fn without_retention_nothing_goes() {
        check(None, None, &[], 0);
    }

    #[test]
    fn the_oldest_go_until_the_rest_fits() {
        check(Some(500), None, &[], 0);
        check(Some(499), None, &[], 1);
        check(Some(250), None, &[], 3);
    }

    #[test]
    fn the_segment_in_use_stays() {
        check(Some(0), None, &[], 4);
        check(None, Some(0), &[], 4);
    }

    #[test]
    fn old_segments_go() {
        check(None, Some(2), &[], 2);
        check(None, Some(100), &[], 0);
    }

    #[test]
    fn what_a_projection_has_not_applied_stays() {
        check(Some(0), None, &[30], 3);
        check(Some(0), None, &[29], 2);
        check(Some(0), None, &[30, 10], 1);
        check(Some(0), None, &[30, 0], 0);
    }

    #[test]
    fn a_projection_that_has_reported_nothing_holds_everything() {
        let config = LocalLogConfig { retention_bytes: Some(0), ..LocalLogConfig::default() };
        let projections = BTreeMap::from([("new".to_owned(), Offsets::new())]);
        let segments = segments();
        let segments: Vec<_> = segments.iter().collect();
        assert_eq!(droppable(&segments, &projections, &config, 4_000), 0);
    }

    #[test]
    fn a_segment_is_full_by_size_or_age_but_never_empty() {
        let config = LocalLogConfig {
            segment_bytes: 100,
            segment_age: Duration::from_secs(1),
            ..LocalLogConfig::default()
        };
        let segment = |bytes| SegmentMeta { bytes, ..SegmentMeta::default() };
        assert!(is_full(&segment(100), &config, 0));
        assert!(!is_full(&segment(99), &config, 999));
        assert!(is_full(&segment(99), &config, 1_000));
        assert!(!is_full(&segment(0), &config, 1_000));
    }
}
