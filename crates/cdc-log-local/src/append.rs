//! What an append writes: records put into blocks, with their offsets. Pure.

use std::collections::BTreeMap;

use cdc_model::{Record, Topic};
use cdc_pipeline::partition::place;

use crate::block::BlockBuilder;
use crate::identity::IdentityText;
use crate::layout::PartitionNo;
use crate::store::TopicState;

/// A block takes no more records once it has this many bytes.
const BLOCK_BYTES: usize = 128 << 10;

/// Blocks to be written, and what is known once they are.
#[derive(Debug)]
pub(crate) struct Planned {
    pub(crate) topics: Vec<PlannedTopic>,
    pub(crate) blocks: Vec<PlannedBlock>,
}

/// A topic that is appended to.
#[derive(Debug)]
pub(crate) struct PlannedTopic {
    pub(crate) topic: Topic,
    pub(crate) no: u32,
    pub(crate) is_new: bool,
    /// Next offset of each partition after the append.
    pub(crate) next: Vec<i64>,
    open: Vec<Option<OpenBlock>>,
}

/// A block and where it goes.
#[derive(Debug)]
pub(crate) struct PlannedBlock {
    pub(crate) partition: PartitionNo,
    pub(crate) first: i64,
    pub(crate) bytes: Vec<u8>,
}

#[derive(Debug)]
struct OpenBlock {
    first: i64,
    builder: BlockBuilder,
}

/// Puts `records` into blocks, after what `topics` hold. Topics not among them are made, with
/// `partitions` partitions.
pub(crate) fn plan(
    records: &[Record],
    topics: &BTreeMap<Topic, TopicState>,
    partitions: i32,
    identity: &mut IdentityText,
    now_ms: i64,
) -> Planned {
    let mut planned = Planned { topics: Vec::new(), blocks: Vec::new() };
    let mut index: BTreeMap<Topic, usize> = BTreeMap::new();
    let mut current = 0;
    for (at, record) in records.iter().enumerate() {
        let is_current = planned.topics.get(current).is_some_and(|t| t.topic == record.topic);
        if !is_current {
            current = *index.entry(record.topic.clone()).or_insert_with(|| {
                planned.add_topic(&record.topic, topics, partitions);
                planned.topics.len() - 1
            });
        }
        let rest = (records.len() - at) * record.size();
        let topic = &mut planned.topics[current];
        let id = record.id.as_ref().map(|id| identity.render(id));
        for partition in topic.placement(record) {
            let new_block = || BlockBuilder::new(now_ms, rest.min(BLOCK_BYTES));
            planned.blocks.extend(topic.push(partition, record, id, new_block));
        }
    }
    planned.finish();
    planned
}

impl Planned {
    fn add_topic(&mut self, topic: &Topic, topics: &BTreeMap<Topic, TopicState>, partitions: i32) {
        let planned = if let Some(known) = topics.get(topic) {
            (known.no, false, known.next.clone())
        } else {
            let new_before = self.topics.iter().filter(|topic| topic.is_new).count();
            let no = u32::try_from(topics.len() + new_before).expect("invariant: few topics");
            (no, true, (0..partitions).map(|_| 0).collect())
        };
        let (no, is_new, next) = planned;
        let open = next.iter().map(|_| None).collect();
        self.topics.push(PlannedTopic { topic: topic.clone(), no, is_new, next, open });
    }

    fn finish(&mut self) {
        for topic in &mut self.topics {
            for (partition, open) in (0..).zip(std::mem::take(&mut topic.open)) {
                let partition = PartitionNo { topic: topic.no, partition };
                self.blocks.extend(open.map(|open| open.finish(partition)));
            }
        }
    }
}

impl PlannedTopic {
    /// The indices of the partitions that `record` goes to.
    fn placement(&self, record: &Record) -> std::ops::Range<usize> {
        if self.next.len() == 1 {
            return 0..1;
        }
        let count = i32::try_from(self.next.len()).expect("invariant: made from an i32");
        let range = place(record, count);
        let index = |n: i32| usize::try_from(n).expect("invariant: partitions count from 0");
        index(range.start)..index(range.end)
    }

    /// Appends `record` to a partition; returns the block that it filled, if it did.
    fn push(
        &mut self,
        index: usize,
        record: &Record,
        id: Option<&[u8]>,
        new_block: impl FnOnce() -> BlockBuilder,
    ) -> Option<PlannedBlock> {
        let next = &mut self.next[index];
        let open = self.open[index]
            .get_or_insert_with(|| OpenBlock { first: *next, builder: new_block() });
        open.builder.push(record, id);
        *next += 1;
        if open.builder.len() < BLOCK_BYTES {
            return None;
        }
        let partition = u32::try_from(index).expect("invariant: made from an i32");
        let partition = PartitionNo { topic: self.no, partition };
        self.open[index].take().map(|open| open.finish(partition))
    }
}

impl OpenBlock {
    fn finish(self, partition: PartitionNo) -> PlannedBlock {
        PlannedBlock { partition, first: self.first, bytes: self.builder.finish() }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use cdc_model::{Headers, Placement};

    use super::*;
    use crate::block::Block;

    fn record(topic: &str, placement: Placement, key: &str) -> Record {
        Record {
            topic: Topic::new(topic),
            placement,
            key: Some(Bytes::copy_from_slice(key.as_bytes())),
            value: Some(Bytes::from(vec![0; 1_000])),
            headers: Headers::new(),
            id: None,
        }
    }

    fn plan_of(records: &[Record], known: &[(&str, u32, Vec<i64>)], partitions: i32) -> Planned {
        let topics = known.iter().map(|(name, no, next)| {
            (Topic::new(*name), TopicState { no: *no, next: next.clone() })
        });
        plan(records, &topics.collect(), partitions, &mut IdentityText::new("i"), 0)
    }

    #[test]
    fn offsets_go_on_where_the_partition_ends() {
        let records: Vec<_> = (0..300).map(|_| record("t", Placement::ByKey, "k")).collect();
        let planned = plan_of(&records, &[("t", 7, vec![1_000])], 1);
        assert_eq!(planned.topics[0].next, [1_300]);
        assert!(!planned.topics[0].is_new);
        let mut next = 1_000;
        for block in planned.blocks {
            assert_eq!((block.partition.topic, block.first), (7, next));
            assert!(block.bytes.len() < BLOCK_BYTES + 2_000);
            next += i64::from(Block::open(block.bytes.into()).unwrap().remaining());
        }
        assert_eq!(next, 1_300);
    }

    #[test]
    fn new_topics_are_numbered_on() {
        let records =
            ["b", "a", "b", "c"].map(|topic| record(topic, Placement::Fixed, "k")).to_vec();
        let planned = plan_of(&records, &[("a", 0, vec![0])], 2);
        let made =
            planned.topics.iter().map(|t| (t.topic.as_str(), t.no, t.is_new, t.next.clone()));
        assert_eq!(
            made.collect::<Vec<_>>(),
            [("b", 1, true, vec![2, 0]), ("a", 0, false, vec![1]), ("c", 2, true, vec![1, 0])]
        );
    }

    #[test]
    fn a_copy_for_every_partition_has_an_offset_in_each() {
        let planned = plan_of(&[record("t", Placement::Every, "k")], &[], 3);
        assert_eq!(planned.topics[0].next, [1, 1, 1]);
        assert_eq!(planned.blocks.len(), 3);
    }
}
