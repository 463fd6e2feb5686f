//! A session's share of the partitions: taken up, claimed, given up.

use cdc_model::TopicPartition;

use super::Session;
use crate::capture::Failure;
use crate::port::{Decode, LogReader, LogWriter, Membership, Share, Sink, SinkState, TopicMeta};
use crate::project::Error;

impl<R: LogReader, D: Decode, K: Sink, L: LogWriter, M: Membership> Session<'_, R, D, K, L, M> {
    /// Returns the share if it is another than what is held, without waiting for it.
    pub(super) async fn news(&mut self) -> Result<Option<Share>, Failure> {
        tokio::select! {
            biased;
            share = self.membership.next(&self.share) => Ok(Some(share?)),
            () = std::future::ready(()) => Ok(None),
        }
    }

    /// Takes a new share. What is lost of the old one is given up first, which the next call to the
    /// coordinator tells; what is new is taken up after that.
    ///
    /// Nothing is being applied now. What was read of a partition given up is dropped: its next owner
    /// reads it again.
    pub(super) async fn take_share(&mut self, share: Share) -> Result<(), Failure> {
        let kept = self.share.both(&share);
        if kept == self.share {
            self.share = share;
            return self.refresh().await;
        }
        let gone = self.cursor.outside(&kept);
        for partition in &gone {
            self.cursor.forget(partition);
            self.pending.forget(partition);
            self.sink_state.offsets.remove(partition);
            self.project.stats.forget(partition);
        }
        self.parked.retain(|(partition, _)| kept.has(partition));
        self.project.stats.set_parked_keys(self.parked.len());
        tracing::info!(name = %self.project.config.name, partitions = gone.len(), "given up");
        self.share = kept;
        if !gone.is_empty() {
            self.tell_partitions();
            self.project.reader.assign(self.cursor.positions()).await?;
        }
        Ok(())
    }

    /// Claims what is in the share and not read yet: where to go on is what the sink says then.
    /// Returns whether there was any.
    pub(super) async fn claim_new(&mut self, topics: &[TopicMeta]) -> Result<bool, Failure> {
        if !self.is_shared {
            return Ok(false);
        }
        let all = topics.iter().flat_map(TopicMeta::topic_partitions);
        let is_new = |p: &TopicPartition| self.share.has(p) && !self.cursor.next.contains_key(p);
        let new: Vec<TopicPartition> = all.filter(is_new).collect();
        if new.is_empty() {
            return Ok(false);
        }
        tracing::info!(name = %self.project.config.name, partitions = new.len(), "taken up");
        let SinkState { offsets, parked, .. } = self.project.sink.claim(new).await?;
        for (partition, (_, next)) in &offsets {
            self.project.stats.set_offset(partition.clone(), *next);
        }
        self.sink_state.offsets.extend(offsets);
        self.parked.extend(parked);
        self.project.stats.set_parked_keys(self.parked.len());
        Ok(true)
    }

    /// Begins a new epoch with the partitions that are read now. They are still this replica's only if
    /// nobody has applied anything to them meanwhile.
    pub(super) async fn claim_again(&mut self, resumed: SinkState) -> Result<SinkState, Failure> {
        self.topics_held = resumed.offsets.keys().map(|p| p.topic.clone()).collect();
        let held: Vec<TopicPartition> = self.cursor.next.keys().cloned().collect();
        let claimed = if held.is_empty() {
            SinkState { offsets: std::collections::BTreeMap::new(), parked: Vec::new(), ..resumed }
        } else {
            self.project.sink.claim(held).await?
        };
        if claimed.offsets != self.sink_state.offsets {
            let name = self.project.config.name.clone();
            return Err(Error::PartitionTaken { name }.into());
        }
        Ok(claimed)
    }
}
