//! What the log holds besides changes: how far it is, whose it is, and what is parked. Pure.
//!
//! Each segment begins with all of it, so that opening the log reads one segment.

use std::collections::BTreeMap;

use bytes::Bytes;
use cdc_model::{Offset, Partition, Topic, TopicId, TopicPartition};
use cdc_pipeline::port::{Epoch, Generation, ParkedRecord, SinkBatch, SinkState};
use serde_json::{Value as Json, json};

use crate::chain::Line;
use crate::json::{base64, from_base64};

/// The state after a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) generation: Generation,
    pub(crate) epoch: Epoch,
    pub(crate) offsets: BTreeMap<TopicPartition, (TopicId, Offset)>,
    /// Keys with parked records, each with the offset of its last one.
    parked: BTreeMap<(TopicPartition, Bytes), Offset>,
}

impl Default for State {
    fn default() -> Self {
        let (offsets, parked) = (BTreeMap::new(), BTreeMap::new());
        Self { generation: Generation(1), epoch: Epoch(0), offsets, parked }
    }
}

impl State {
    pub(crate) fn sink_state(&self) -> SinkState {
        SinkState {
            generation: self.generation,
            epoch: self.epoch,
            offsets: self.offsets.clone(),
            parked: self.parked.keys().cloned().collect(),
        }
    }

    /// Returns whether the record at `offset` is in the log.
    pub(crate) fn is_applied(&self, source: &TopicPartition, offset: Offset) -> bool {
        self.offsets.get(source).is_some_and(|(_, held)| offset < *held)
    }

    /// Moves on by a batch, of which `parked` was recorded as parked.
    pub(crate) fn apply(&mut self, batch: &SinkBatch, parked: &[&ParkedRecord]) {
        for ParkedRecord { record, .. } in parked {
            if let Some(key) = &record.key {
                self.park(record.source.clone(), key.clone(), record.offset);
            }
        }
        for (source, below) in &batch.unpark_below {
            self.unpark(source, *below);
        }
        for range in &batch.ranges {
            let held = self.offsets.get(&range.source).map(|(_, held)| *held);
            let next = held.map_or(range.next, |held| held.max(range.next));
            self.offsets.insert(range.source.clone(), (range.topic_id.clone(), next));
        }
    }

    fn park(&mut self, source: TopicPartition, key: Bytes, offset: Offset) {
        let last = self.parked.entry((source, key)).or_insert(offset);
        *last = offset.max(*last);
    }

    fn unpark(&mut self, ended: &TopicPartition, below: Offset) {
        self.parked.retain(|(source, _), last| source != ended || *last >= below);
    }

    pub(crate) fn to_json(&self) -> Json {
        let offset = |(source, (id, next)): (&TopicPartition, &(TopicId, Offset))| {
            json!([source.topic.as_str(), source.partition.0, &*id.0, next.0])
        };
        let parked = |((source, key), offset): (&(TopicPartition, Bytes), &Offset)| {
            json!([source.topic.as_str(), source.partition.0, base64(key), offset.0])
        };
        json!({
            "generation": self.generation.0,
            "epoch": self.epoch.0,
            "offsets": self.offsets.iter().map(offset).collect::<Vec<_>>(),
            "parked": self.parked.iter().map(parked).collect::<Vec<_>>(),
        })
    }

    fn from_json(json: &Json) -> Option<Self> {
        let mut state = Self {
            generation: Generation(u32::try_from(json.get("generation")?.as_u64()?).ok()?),
            epoch: Epoch(json.get("epoch")?.as_u64()?),
            ..Self::default()
        };
        json.get("offsets")?.as_array()?.iter().try_for_each(|entry| state.advance(entry))?;
        for entry in json.get("parked")?.as_array()? {
            let key = from_base64(entry.get(2)?.as_str()?)?;
            state.parked.insert((source(entry)?, key.into()), Offset(entry.get(3)?.as_i64()?));
        }
        Some(state)
    }

    fn advance(&mut self, entry: &Json) -> Option<()> {
        let id = TopicId(entry.get(2)?.as_str()?.into());
        self.offsets.insert(source(entry)?, (id, Offset(entry.get(3)?.as_i64()?)));
        Some(())
    }

    /// Takes in a line. `None` if it says nothing that this program understands.
    pub(crate) fn take(&mut self, line: &Line) -> Option<()> {
        match line.kind() {
            "segment" => *self = Self::from_json(line.members.get("state")?)?,
            "open" => self.epoch = Epoch(line.members.get("epoch")?.as_u64()?),
            "park" => {
                let source = TopicPartition {
                    topic: Topic::new(line.text("topic")?),
                    partition: Partition(i32::try_from(line.number("partition")?).ok()?),
                };
                let offset = Offset(line.number("offset")?);
                if let Some(key) = line.text("key") {
                    self.park(source, from_base64(key)?.into(), offset);
                }
            }
            "commit" => {
                for entry in line.members.get("unpark_below")?.as_array()? {
                    self.unpark(&source(entry)?, Offset(entry.get(2)?.as_i64()?));
                }
                let offsets = line.members.get("offsets")?.as_array()?;
                offsets.iter().try_for_each(|entry| self.advance(entry))?;
            }
            "table" | "change" | "seal" => {}
            _ => return None,
        }
        Some(())
    }
}

fn source(entry: &Json) -> Option<TopicPartition> {
    Some(TopicPartition {
        topic: Topic::new(entry.get(0)?.as_str()?),
        partition: Partition(i32::try_from(entry.get(1)?.as_i64()?).ok()?),
    })
}
