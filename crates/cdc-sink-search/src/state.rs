//! What the index holds besides documents: in each commit's payload, and as reserved documents.

use std::collections::BTreeMap;

use bytes::Bytes;
use cdc_model::{LogRecord, Offset, Partition, Topic, TopicId, TopicPartition};
use cdc_pipeline::port::{Epoch, Generation, SinkBatch, SinkState};
use serde_json::{Value as Json, json};

use crate::document::read_parked;
use crate::error::{Error, Result};
use crate::json::Object;

/// Version of the documents and the payload.
const FORMAT: i64 = 1;

/// The state as of a commit.
#[derive(Debug, Clone)]
pub(crate) struct State {
    pub(crate) generation: Generation,
    pub(crate) epoch: Epoch,
    pub(crate) offsets: BTreeMap<TopicPartition, (TopicId, Offset)>,
    /// The keys of parked records.
    pub(crate) parked: BTreeMap<(TopicPartition, Offset), Option<Bytes>>,
}

impl State {
    /// Reads a commit's payload; without one, the index is new.
    pub(crate) fn read(payload: Option<&str>, pipeline: &str) -> Result<Self> {
        let (offsets, parked) = (BTreeMap::new(), BTreeMap::new());
        let mut state = Self { generation: Generation(1), epoch: Epoch(0), offsets, parked };
        let Some(payload) = payload else { return Ok(state) };
        let corrupt = || Error::Corrupt { source: None };
        let payload: Json = serde_json::from_str(payload).map_err(|_| corrupt())?;
        let format = payload.get("format").and_then(Json::as_i64).ok_or_else(corrupt)?;
        if format != FORMAT {
            return Err(Error::Format { found: format, known: FORMAT });
        }
        let found = payload.get("pipeline").and_then(Json::as_str).ok_or_else(corrupt)?;
        if found != pipeline {
            let (found, wanted) = (found.to_owned(), pipeline.to_owned());
            return Err(Error::Foreign { found, wanted });
        }
        state.take(&payload).ok_or_else(corrupt)?;
        Ok(state)
    }

    fn take(&mut self, payload: &Json) -> Option<()> {
        let generation = payload.get("generation")?.as_u64()?;
        self.generation = Generation(u32::try_from(generation).ok()?);
        self.epoch = Epoch(payload.get("epoch")?.as_u64()?);
        for entry in payload.get("offsets")?.as_array()? {
            let source = TopicPartition {
                topic: Topic::new(entry.get(0)?.as_str()?),
                partition: Partition(i32::try_from(entry.get(1)?.as_i64()?).ok()?),
            };
            let id = TopicId(entry.get(2)?.as_str()?.into());
            self.offsets.insert(source, (id, Offset(entry.get(3)?.as_i64()?)));
        }
        Some(())
    }

    /// Takes in a parked document.
    pub(crate) fn take_parked(&mut self, body: &Object) -> Result<()> {
        let parked = read_parked(body).ok_or(Error::Corrupt { source: None })?;
        let LogRecord { source, offset, key, .. } = parked.record;
        self.parked.insert((source, offset), key);
        Ok(())
    }

    pub(crate) fn payload(&self, pipeline: &str) -> String {
        let offset = |(source, (id, next)): (&TopicPartition, &(TopicId, Offset))| {
            json!([source.topic.as_str(), source.partition.0, &*id.0, next.0])
        };
        json!({
            "format": FORMAT,
            "pipeline": pipeline,
            "generation": self.generation.0,
            "epoch": self.epoch.0,
            "offsets": self.offsets.iter().map(offset).collect::<Vec<_>>(),
        })
        .to_string()
    }

    pub(crate) fn sink_state(&self) -> SinkState {
        let key = |((source, _), key): (&(TopicPartition, Offset), &Option<Bytes>)| {
            Some((source.clone(), key.clone()?))
        };
        let mut parked: Vec<_> = self.parked.iter().filter_map(key).collect();
        parked.sort();
        parked.dedup();
        let (generation, epoch, offsets) = (self.generation, self.epoch, self.offsets.clone());
        SinkState { generation, epoch, offsets, parked }
    }

    pub(crate) fn is_applied(&self, source: &TopicPartition, offset: Offset) -> bool {
        self.offsets.get(source).is_some_and(|(_, held)| offset < *held)
    }

    /// Refuses a batch that is not this index's next. Returns whether anything of it is new.
    pub(crate) fn check(&self, batch: &SinkBatch) -> Result<bool> {
        self.check_writer(batch.epoch, batch.generation)?;
        let mut is_new = false;
        for range in &batch.ranges {
            let Some((id, held)) = self.offsets.get(&range.source) else {
                is_new = true;
                continue;
            };
            let partition = || range.source.clone();
            if *id != range.topic_id {
                let (held, found) = (id.clone(), range.topic_id.clone());
                return Err(Error::TopicRecreated { partition: partition(), held, found });
            }
            if range.first > *held {
                let (held, first) = (*held, range.first);
                return Err(Error::OffsetGap { partition: partition(), held, first });
            }
            is_new |= range.next > *held;
        }
        Ok(is_new)
    }

    /// Refuses whoever is not this index's writer.
    pub(crate) fn check_writer(&self, epoch: Epoch, wanted: Generation) -> Result<()> {
        if epoch != self.epoch {
            return Err(Error::Fenced { epoch, newest: self.epoch });
        }
        if wanted != self.generation {
            return Err(Error::WrongGeneration { wanted, held: self.generation });
        }
        Ok(())
    }

    /// Moves the offsets on by a batch.
    pub(crate) fn advance(&mut self, batch: &SinkBatch) {
        for range in &batch.ranges {
            let held = self.offsets.get(&range.source).map(|(_, held)| *held);
            let next = held.map_or(range.next, |held| held.max(range.next));
            self.offsets.insert(range.source.clone(), (range.topic_id.clone(), next));
        }
    }
}
