//! A session's operator: held loops, parked records listed and settled.

use std::sync::Arc;

use super::{Session, decode};
use crate::capture::Failure;
use crate::error::chain;
use crate::port::{
    Decode, Decoded, LogReader, LogWriter, Membership, ParkedRecord, SettleBatch, Sink, SinkError,
    SinkState,
};
use crate::project::desk::{self, Candidate, DeskError, Reply, Request, Selection, Settled};
use crate::stats::State;

impl<R: LogReader, D: Decode, K: Sink, L: LogWriter, M: Membership> Session<'_, R, D, K, L, M> {
    /// Waits while an operator holds the loop; the desk stays open.
    pub(super) async fn rest(&mut self) -> Result<(), Failure> {
        self.project.stats.set_state(State::Paused);
        let hold = self.project.hold.clone();
        loop {
            let request = tokio::select! {
                biased;
                () = self.shutdown.cancelled() => break,
                () = hold.resumed() => break,
                request = self.project.desk.next() => Some(request),
                share = self.membership.next(&self.share) => {
                    self.take_share(share?).await?;
                    continue;
                }
                () = tokio::time::sleep(self.project.config.refresh_interval) => None,
            };
            match request {
                Some(request) => {
                    self.answer(request).await?;
                    self.project.stats.set_state(State::Paused);
                }
                // How far it falls behind is told all the same.
                None => self.refresh().await?,
            }
        }
        self.project.stats.set_state(State::Running);
        Ok(())
    }

    /// Answers an operator. A failure of the sink is told to both, for it ends the session.
    pub(super) async fn answer(&mut self, request: Request) -> Result<(), Failure> {
        match request {
            Request::List { limit, reply } => {
                let listed = self.project.sink.parked(limit).await.map_err(Failure::from);
                tell(reply, listed)
            }
            Request::Settle { selection, is_replay, reply } => {
                let settled = self.settle(&selection, is_replay).await;
                tell(reply, settled)
            }
        }
    }

    async fn settle(&mut self, selection: &Selection, is_replay: bool) -> Result<Settled, Failure> {
        let (parked, _) = self.project.sink.parked(desk::RECORDS_MAX).await?;
        let mut candidates = Vec::with_capacity(parked.len());
        for parked in parked {
            let decoded = decode(&mut self.project.decoder, &parked.record).await?;
            let is_moved = matches!(decoded, Ok(Decoded::Moved(_)));
            let change = decoded.and_then(|decoded| match decoded {
                Decoded::Change(event) | Decoded::Moved(event) => Ok(event),
                Decoded::Skip => Err("it is no change".to_owned()),
            });
            candidates.push(Candidate { parked, change, is_moved });
        }
        let mut settled = Settled::default();
        for group in desk::groups(candidates, selection) {
            match self.settle_group(&group, is_replay).await? {
                Ok(()) => settled.settled += u64::try_from(group.len()).unwrap_or(u64::MAX),
                Err((index, reason)) => {
                    let parked = group.into_iter().nth(index).map(|candidate| candidate.parked);
                    let refused = parked.map(|parked| ParkedRecord { reason, ..parked });
                    settled.refused.extend(refused);
                }
            }
        }
        // The keys that have no parked record any more.
        self.resume().await?;
        Ok(settled)
    }

    /// Settles what must be settled together; the inner error is the record that cannot be applied,
    /// and why.
    async fn settle_group(
        &mut self,
        group: &[Candidate],
        is_replay: bool,
    ) -> Result<Result<(), (usize, String)>, Failure> {
        let mut settlements = Vec::with_capacity(group.len());
        for (index, candidate) in group.iter().enumerate() {
            match candidate.settlement(is_replay) {
                Ok(settlement) => settlements.push(settlement),
                Err(reason) => return Ok(Err((index, reason))),
            }
        }
        let SinkState { generation, epoch, .. } = self.sink_state;
        let batch = SettleBatch { generation, epoch, settlements };
        let Err(error) = self.project.sink.settle(Arc::new(batch)).await else {
            return Ok(Ok(()));
        };
        match error.poisoned() {
            Some(index) => {
                let reason = chain(&error);
                self.resume().await?;
                Ok(Err((index, reason)))
            }
            None => Err(error.into()),
        }
    }
}

fn tell<T>(reply: Reply<T>, outcome: Result<T, Failure>) -> Result<(), Failure> {
    let (answer, outcome) = match outcome {
        Ok(value) => (Ok(value), Ok(())),
        Err(failure) => (Err(DeskError::Failed(failure.halted.message.clone())), Err(failure)),
    };
    // Who asked may be gone.
    drop(reply.send(answer));
    outcome
}
