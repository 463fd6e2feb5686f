//! How far a session has read, and where it takes partitions up.

use std::collections::{BTreeMap, BTreeSet};

use cdc_model::{Offset, Topic, TopicId, TopicPartition};

use crate::port::{Share, SinkState, TopicMeta};
use crate::project::Error;

/// How far reading has come.
#[derive(Debug, Default)]
pub(super) struct Cursor {
    pub(super) next: BTreeMap<TopicPartition, Offset>,
    pub(super) topic_ids: BTreeMap<TopicPartition, TopicId>,
    /// Topics with one partition, whoever reads it.
    single: BTreeSet<Topic>,
}

impl Cursor {
    pub(super) fn has_one_partition(&self, topic: &Topic) -> bool {
        self.single.contains(topic)
    }

    /// Finds where to read each partition of `meta` that is in `share` and not read yet, and returns
    /// those.
    pub(super) fn take_up(
        &mut self,
        meta: &TopicMeta,
        share: &Share,
        state: &SinkState,
    ) -> Result<Vec<(TopicPartition, Offset)>, Error> {
        if meta.partitions.len() != 1 {
            self.single.remove(&meta.topic);
        } else if !self.single.contains(&meta.topic) {
            self.single.insert(meta.topic.clone());
        }
        let mut new = Vec::new();
        for (partition, (first, end)) in meta.topic_partitions().zip(&meta.partitions) {
            if !share.has(&partition) {
                continue;
            }
            let start = match state.offsets.get(&partition) {
                Some((id, _)) if *id != meta.id => {
                    return Err(Error::TopicRecreated { topic: meta.topic.clone() });
                }
                Some((_, next)) if next < first || next > end => {
                    let (first, end, wanted) = (first.0, end.0, next.0);
                    return Err(Error::OffsetOutOfRange { partition, first, end, wanted });
                }
                Some((_, next)) => *next,
                None if first.0 > 0 => {
                    return Err(Error::BaseMissing { partition, first: first.0 });
                }
                None => *first,
            };
            self.topic_ids.insert(partition.clone(), meta.id.clone());
            if !self.next.contains_key(&partition) {
                self.next.insert(partition.clone(), start);
                new.push((partition, start));
            }
        }
        Ok(new)
    }

    /// Returns the partitions that are read and not in `share`.
    pub(super) fn outside(&self, share: &Share) -> Vec<TopicPartition> {
        self.next.keys().filter(|partition| !share.has(partition)).cloned().collect()
    }

    /// Reads `partition` no more.
    pub(super) fn forget(&mut self, partition: &TopicPartition) {
        self.next.remove(partition);
        self.topic_ids.remove(partition);
    }

    /// Returns where to read each partition on.
    pub(super) fn positions(&self) -> Vec<(TopicPartition, Offset)> {
        self.next.iter().map(|(partition, offset)| (partition.clone(), *offset)).collect()
    }
}
