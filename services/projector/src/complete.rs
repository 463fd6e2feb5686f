//! Whether a projection has everything that the log held at some time: the log is asked for the end
//! of each partition, and the store, by the offsets that it commits with its rows, has passed them
//! all some time later.
//!
//! Two witnesses that do not know of each other: the ends are the log's own, from a reader that the
//! project loop does not use; the offsets are the store's. A topic that the loop does not know of, or
//! a partition that it lost, is never passed. What lies below an offset is applied or parked (I3).
//!
//! It is no comparison of contents: a row that was applied wrong, or changed in the store by somebody
//! else, is not seen.

use std::collections::BTreeMap;

use cdc_model::{Offset, TopicPartition};
use cdc_pipeline::port::TopicMeta;
use tokio::time::Instant;

/// Ends that a projection has not passed, and when it last had.
#[derive(Debug, Clone, Default)]
pub(crate) struct Completeness {
    asked: Option<(Instant, BTreeMap<TopicPartition, Offset>)>,
    complete: Option<Instant>,
}

impl Completeness {
    /// Takes the log's topics as told after `now`, and the store's next offsets as of later.
    pub(crate) fn look<'a>(
        &mut self,
        now: Instant,
        topics: impl Iterator<Item = &'a TopicMeta>,
        offsets: &BTreeMap<TopicPartition, Offset>,
    ) {
        let ends = |topic: &'a TopicMeta| {
            let written = topic.topic_partitions().zip(&topic.partitions);
            written.filter(|(_, (start, end))| start < end).map(|(at, (_, end))| (at, *end))
        };
        let (asked, ends) =
            self.asked.get_or_insert_with(|| (now, topics.flat_map(ends).collect()));
        let has_passed = |(partition, end): (&TopicPartition, &Offset)| {
            offsets.get(partition).is_some_and(|next| next >= end)
        };
        if ends.iter().all(has_passed) {
            self.complete = Some(*asked);
            self.asked = None;
        }
    }

    /// Returns how long ago the log was asked for the ends that were passed.
    pub(crate) fn age_ms(&self) -> Option<u64> {
        Some(u64::try_from(self.complete?.elapsed().as_millis()).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use cdc_model::{Partition, Topic, TopicId};

    use super::*;

    fn topic(name: &str, partitions: &[(i64, i64)]) -> TopicMeta {
        let partitions = partitions.iter().map(|(start, end)| (Offset(*start), Offset(*end)));
        TopicMeta {
            topic: Topic::new(name),
            id: TopicId("".into()),
            partitions: partitions.collect(),
        }
    }

    fn offsets(pairs: &[(&str, i32, i64)]) -> BTreeMap<TopicPartition, Offset> {
        let pair = |(topic, partition, offset): &(&str, i32, i64)| {
            let (topic, partition) = (Topic::new(*topic), Partition(*partition));
            (TopicPartition { topic, partition }, Offset(*offset))
        };
        pairs.iter().map(pair).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_complete_as_of_when_the_passed_ends_were_told() {
        let mut one = Completeness::default();
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        one.look(at(0), [topic("t", &[(0, 5), (0, 0)])].iter(), &offsets(&[("t", 0, 4)]));
        assert_eq!(one.complete, None);
        // The log has grown; what counts is what it held when it was asked.
        one.look(at(1), [topic("t", &[(0, 9), (0, 3)])].iter(), &offsets(&[("t", 0, 5)]));
        assert_eq!(one.complete, Some(at(0)));
        one.look(at(2), [topic("t", &[(0, 9), (0, 3)])].iter(), &offsets(&[("t", 0, 9)]));
        assert_eq!(one.complete, Some(at(0)), "partition 1 is not passed");
        one.look(at(3), [topic("t", &[])].iter(), &offsets(&[("t", 0, 9), ("t", 1, 3)]));
        assert_eq!(one.complete, Some(at(2)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_topic_that_the_loop_does_not_know_is_not_passed() {
        let mut one = Completeness::default();
        let topics = [topic("t", &[(0, 1)]), topic("u", &[(0, 1)])];
        one.look(Instant::now(), topics.iter(), &offsets(&[("t", 0, 1)]));
        assert_eq!(one.age_ms(), None);
    }
}
