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
    /// The parked records.
    pub(crate) parked: BTreeMap<(TopicPartition, Offset), Parked>,
}

/// A parked record's key, and the segment that its bytes are in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Parked {
    pub(crate) key: Option<Bytes>,
    pub(crate) segment: u64,
}

impl Default for State {
    fn default() -> Self {
        let (offsets, parked) = (BTreeMap::new(), BTreeMap::new());
        Self { generation: Generation(1), epoch: Epoch(0), offsets, parked }
    }
}

impl State {
    pub(crate) fn sink_state(&self) -> SinkState {
        let key = |((source, _), parked): (&(TopicPartition, Offset), &Parked)| {
            Some((source.clone(), parked.key.clone()?))
        };
        let mut parked: Vec<_> = self.parked.iter().filter_map(key).collect();
        parked.sort();
        parked.dedup();
        let (generation, epoch, offsets) = (self.generation, self.epoch, self.offsets.clone());
        SinkState { generation, epoch, offsets, parked }
    }

    /// Returns whether the record at `offset` is in the log.
    pub(crate) fn is_applied(&self, source: &TopicPartition, offset: Offset) -> bool {
        self.offsets.get(source).is_some_and(|(_, held)| offset < *held)
    }

    /// Moves on by a batch, whose lines are in `segment`.
    pub(crate) fn apply(&mut self, batch: &SinkBatch, segment: u64) {
        for ParkedRecord { record, .. } in &batch.park {
            if !self.is_applied(&record.source, record.offset) {
                let parked = Parked { key: record.key.clone(), segment };
                self.parked.insert((record.source.clone(), record.offset), parked);
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

    fn unpark(&mut self, ended: &TopicPartition, below: Offset) {
        self.parked.retain(|(source, offset), _| source != ended || *offset >= below);
    }

    pub(crate) fn to_json(&self) -> Json {
        let offset = |(source, (id, next)): (&TopicPartition, &(TopicId, Offset))| {
            json!([source.topic.as_str(), source.partition.0, &*id.0, next.0])
        };
        let parked = |((source, offset), parked): (&(TopicPartition, Offset), &Parked)| {
            let key = parked.key.as_ref().map(|key| base64(key));
            json!([source.topic.as_str(), source.partition.0, offset.0, key, parked.segment])
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
            let at = (source(entry)?, Offset(entry.get(2)?.as_i64()?));
            let parked = Parked { key: bytes(entry.get(3)?)?, segment: entry.get(4)?.as_u64()? };
            state.parked.insert(at, parked);
        }
        Some(state)
    }

    fn advance(&mut self, entry: &Json) -> Option<()> {
        let id = TopicId(entry.get(2)?.as_str()?.into());
        self.offsets.insert(source(entry)?, (id, Offset(entry.get(3)?.as_i64()?)));
        Some(())
    }

    /// Takes in a line of `segment`. `None` if it says nothing that this program understands.
    pub(crate) fn take(&mut self, line: &Line, segment: u64) -> Option<()> {
        match line.kind() {
            "segment" => *self = Self::from_json(line.members.get("state")?)?,
            "open" => self.epoch = Epoch(line.members.get("epoch")?.as_u64()?),
            "park" => {
                let key = bytes(line.members.get("key")?)?;
                self.parked.insert(place(line)?, Parked { key, segment });
            }
            "settle" => drop(self.parked.remove(&place(line)?)),
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

/// Where the record was read that a `park` or `settle` line is about.
pub(crate) fn place(line: &Line) -> Option<(TopicPartition, Offset)> {
    let topic = Topic::new(line.text("topic")?);
    let partition = Partition(i32::try_from(line.number("partition")?).ok()?);
    Some((TopicPartition { topic, partition }, Offset(line.number("offset")?)))
}

/// Reads base64, or null.
pub(crate) fn bytes(json: &Json) -> Option<Option<Bytes>> {
    match json {
        Json::Null => Some(None),
        text => Some(Some(from_base64(text.as_str()?)?.into())),
    }
}

fn source(entry: &Json) -> Option<TopicPartition> {
    Some(TopicPartition {
        topic: Topic::new(entry.get(0)?.as_str()?),
        partition: Partition(i32::try_from(entry.get(1)?.as_i64()?).ok()?),
    })
}
