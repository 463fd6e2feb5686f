//! The desk at which an operator asks a running projection for its parked records, and settles them.
//!
//! A key's records are settled together and in order, in one transaction of the sink, so that what
//! comes after them finds the key as if nothing had happened (I2). A key change links two keys, and
//! both are settled then.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use cdc_model::{ChangeEvent, Offset, TopicPartition};
use tokio::sync::{mpsc, oneshot};

use crate::port::{ParkedRecord, Settlement};

/// Requests that may wait.
const QUEUE: usize = 8;

/// Parked records looked at for one settlement.
pub(super) const RECORDS_MAX: usize = 100_000;

/// The operator's side; clones share it.
#[derive(Debug, Clone)]
pub struct Desk(mpsc::Sender<Request>);

/// The loop's side.
#[derive(Debug)]
pub struct DeskQueue(Option<mpsc::Receiver<Request>>);

/// Makes both sides.
pub fn desk() -> (Desk, DeskQueue) {
    let (sender, receiver) = mpsc::channel(QUEUE);
    (Desk(sender), DeskQueue(Some(receiver)))
}

impl Default for DeskQueue {
    /// A desk that nobody comes to.
    fn default() -> Self {
        Self(None)
    }
}

/// Which parked records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// Every one.
    All,
    /// These, with all others of their keys.
    Records(BTreeSet<(TopicPartition, Offset)>),
}

/// What became of a settlement.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settled {
    /// Records that are not parked any more.
    pub settled: u64,
    /// Records that still cannot be applied; they and the others of their keys stay parked.
    pub refused: Vec<ParkedRecord>,
}

/// Why the desk did not answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeskError {
    /// The projection is not running.
    #[error("the projection does not run now")]
    Away,
    /// Its store failed; the projection recovers by itself.
    #[error("the store failed: {0}")]
    Failed(String),
}

#[derive(Debug)]
pub(super) enum Request {
    List { limit: usize, reply: Reply<(Vec<ParkedRecord>, u64)> },
    Settle { selection: Selection, is_replay: bool, reply: Reply<Settled> },
}

pub(super) type Reply<T> = oneshot::Sender<Result<T, DeskError>>;

impl Desk {
    /// Returns parked records, at most `limit`, and how many there are.
    ///
    /// # Errors
    /// [`DeskError`].
    pub async fn list(&self, limit: usize) -> Result<(Vec<ParkedRecord>, u64), DeskError> {
        self.ask(|reply| Request::List { limit, reply }).await
    }

    /// Applies parked records.
    ///
    /// # Errors
    /// [`DeskError`].
    pub async fn replay(&self, selection: Selection) -> Result<Settled, DeskError> {
        self.ask(|reply| Request::Settle { selection, is_replay: true, reply }).await
    }

    /// Gives parked records up.
    ///
    /// # Errors
    /// [`DeskError`].
    pub async fn discard(&self, selection: Selection) -> Result<Settled, DeskError> {
        self.ask(|reply| Request::Settle { selection, is_replay: false, reply }).await
    }

    async fn ask<T>(&self, request: impl FnOnce(Reply<T>) -> Request) -> Result<T, DeskError> {
        let (reply, answer) = oneshot::channel();
        self.0.send(request(reply)).await.map_err(|_| DeskError::Away)?;
        answer.await.unwrap_or(Err(DeskError::Away))
    }
}

impl DeskQueue {
    /// Returns the next request; waits for ever where none can come.
    ///
    /// # Cancel safety
    /// Safe.
    pub(super) async fn next(&mut self) -> Request {
        match &mut self.0 {
            Some(receiver) => match receiver.recv().await {
                Some(request) => request,
                None => std::future::pending().await,
            },
            None => std::future::pending().await,
        }
    }
}

/// A parked record, as it would be applied now.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) parked: ParkedRecord,
    /// The change, or why there is none.
    pub(super) change: Result<ChangeEvent, String>,
    /// It takes a row away that the partition's next record needs.
    pub(super) is_moved: bool,
}

impl Candidate {
    fn key(&self) -> (TopicPartition, Bytes) {
        let record = &self.parked.record;
        (record.source.clone(), record.key.clone().unwrap_or_default())
    }

    pub(super) fn settlement(&self, is_replay: bool) -> Result<Settlement, String> {
        let change = if is_replay { Some(self.change.clone()?) } else { None };
        let record = &self.parked.record;
        Ok(Settlement { source: record.source.clone(), offset: record.offset, change })
    }
}

/// Splits `candidates`, which are in the order of partition and offset, into groups that must be
/// settled together, and keeps those that `selection` touches.
pub(super) fn groups(candidates: Vec<Candidate>, selection: &Selection) -> Vec<Vec<Candidate>> {
    let mut group_of: Vec<usize> = Vec::with_capacity(candidates.len());
    let mut by_key: BTreeMap<(TopicPartition, Bytes), usize> = BTreeMap::new();
    let mut is_dragging: Option<(TopicPartition, usize)> = None;
    for (index, candidate) in candidates.iter().enumerate() {
        let key = candidate.key();
        let known = by_key.get(&key).copied();
        let dragged = is_dragging.take().filter(|(source, _)| *source == key.0).map(|(_, g)| g);
        let group = match (known, dragged) {
            (Some(known), Some(dragged)) if known != dragged => {
                let (kept, gone) = (known.min(dragged), known.max(dragged));
                group_of.iter_mut().filter(|g| **g == gone).for_each(|g| *g = kept);
                by_key.values_mut().filter(|g| **g == gone).for_each(|g| *g = kept);
                kept
            }
            (Some(group), _) | (None, Some(group)) => group,
            (None, None) => index,
        };
        group_of.push(group);
        by_key.insert(key.clone(), group);
        is_dragging = candidate.is_moved.then_some((key.0, group));
    }
    let is_wanted = |candidate: &Candidate| match selection {
        Selection::All => true,
        Selection::Records(records) => {
            let record = &candidate.parked.record;
            records.contains(&(record.source.clone(), record.offset))
        }
    };
    let pairs = candidates.iter().zip(&group_of);
    let wanted: BTreeSet<usize> = pairs.filter(|(c, _)| is_wanted(c)).map(|(_, g)| *g).collect();
    let mut groups: BTreeMap<usize, Vec<Candidate>> = BTreeMap::new();
    for (candidate, group) in candidates.into_iter().zip(group_of) {
        if wanted.contains(&group) {
            groups.entry(group).or_default().push(candidate);
        }
    }
    groups.into_values().collect()
}

#[cfg(test)]
mod tests {
    use cdc_model::{LogRecord, Partition, Topic};

    use super::*;

    fn candidate(offset: i64, key: &str, is_moved: bool) -> Candidate {
        let source = TopicPartition { topic: Topic::new("t"), partition: Partition(0) };
        let record = LogRecord {
            source,
            offset: Offset(offset),
            timestamp_ms: 0,
            key: Some(Bytes::copy_from_slice(key.as_bytes())),
            value: None,
            headers: cdc_model::Headers::default(),
        };
        let parked = ParkedRecord { record, reason: String::new() };
        Candidate { parked, change: Err(String::new()), is_moved }
    }

    #[track_caller]
    fn check(records: &[(i64, &str, bool)], wanted: &[i64], expected: &[&[i64]]) {
        let candidates = records.iter().map(|(o, key, moved)| candidate(*o, key, *moved)).collect();
        let source = TopicPartition { topic: Topic::new("t"), partition: Partition(0) };
        let records = wanted.iter().map(|offset| (source.clone(), Offset(*offset))).collect();
        let groups = groups(candidates, &Selection::Records(records));
        let offsets: Vec<Vec<i64>> = groups
            .iter()
            .map(|group| group.iter().map(|c| c.parked.record.offset.0).collect())
            .collect();
        assert_eq!(offsets, expected);
    }

    #[test]
    fn a_keys_records_are_settled_together_and_a_key_change_links_two() {
        let plain = [(1, "a", false), (2, "b", false), (3, "a", false), (9, "c", false)];
        check(&plain, &[3], &[&[1, 3]]);
        check(&plain, &[9, 2], &[&[2], &[9]]);
        check(&plain, &[77], &[]);
        let moved = [(1, "b", false), (2, "a", true), (3, "b", false), (4, "a", false)];
        check(&moved, &[4], &[&[1, 2, 3, 4]]);
    }
}
