//! What a shared store adds: who claimed which partition, and where each one goes on.

use bytes::Bytes;
use cdc_model::TopicPartition;
use cdc_pipeline::port::{Epoch, Generation, ParkedRecord, SettleBatch, SinkBatch, SinkState};

use super::{Error, State, parked_key};

impl State {
    /// Makes `epoch` the only writer of `partitions`, and tells what is held of them.
    pub(super) fn claim(&mut self, epoch: u64, partitions: &[TopicPartition]) -> SinkState {
        self.claims.extend(partitions.iter().map(|partition| (partition.clone(), epoch)));
        let held = |p: &TopicPartition| Some((p.clone(), self.offsets.get(p)?.clone()));
        SinkState {
            generation: Generation(1),
            epoch: Epoch(epoch),
            offsets: partitions.iter().filter_map(held).collect(),
            parked: self.parked_keys(|parked| partitions.contains(&parked.record.source)),
        }
    }

    pub(super) fn is_claimed(&self, partition: &TopicPartition, epoch: u64) -> bool {
        self.claims.get(partition) == Some(&epoch)
    }

    fn check_claim(&self, partition: &TopicPartition, Epoch(epoch): Epoch) -> Result<(), Error> {
        match self.is_claimed(partition, epoch) {
            true => Ok(()),
            false => Err(Error::Taken { partition: partition.clone() }),
        }
    }

    /// Refuses a batch of another writer's partitions, and one that does not begin where they go on.
    pub(super) fn check(&self, batch: &SinkBatch) -> Result<(), Error> {
        for range in &batch.ranges {
            self.check_claim(&range.source, batch.epoch)?;
        }
        for range in &batch.ranges {
            if let Some((_, next)) = self.offsets.get(&range.source)
                && range.first != *next
            {
                let partition = range.source.clone();
                let (first, stored) = (range.first.0, next.0);
                return Err(Error::OffsetGap { partition, first, stored });
            }
        }
        Ok(())
    }

    pub(super) fn check_settlement(&self, batch: &SettleBatch) -> Result<(), Error> {
        let mut settlements = batch.settlements.iter();
        settlements.try_for_each(|one| self.check_claim(&one.source, batch.epoch))
    }

    pub(super) fn parked_keys(
        &self,
        is_asked: impl Fn(&ParkedRecord) -> bool,
    ) -> Vec<(TopicPartition, Bytes)> {
        let asked = self.parked.iter().filter(|parked| is_asked(parked));
        asked.map(|parked| (parked.record.source.clone(), parked_key(parked))).collect()
    }
}
