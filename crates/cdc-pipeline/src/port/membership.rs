//! Which partitions a replica of a projection may write. Not one of the five ports: an input of the
//! project loop, as the clock is.
//!
//! ```text
//!  coordinator                        project loop
//!      │<── next(held: {}) ───────────────│
//!      │─── share: {0, 1, 2} ────────────>│ claims 0, 1, 2 of the sink, reads from its offsets
//!      │<── next(held: {0, 1, 2}) ────────│
//!      │─── share: {0, 1} ───────────────>│ awaits what is being applied, drops what it read of 2
//!      │<── next(held: {0, 1}) ───────────│
//!      │    (2 may be dealt to another)   │
//! ```
//!
//! # Invariants
//! - Safety never rests on it: two replicas that both believe in owning a partition are told apart by
//!   the sink ([`Sink::claim`]). Membership only keeps them from disturbing each other.
//! - It states what is. A replica that forgot everything says `next(nothing)` and is right.
//!
//! [`Sink::claim`]: crate::port::Sink::claim

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::future::Future;

use cdc_model::TopicPartition;

use crate::error::Classify;

/// The partitions of one replica.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Share {
    /// Every one there is or will be.
    All,
    /// These.
    Only(BTreeSet<TopicPartition>),
}

impl Share {
    /// No partition.
    pub fn nothing() -> Self {
        Self::Only(BTreeSet::new())
    }

    /// Returns whether it has `partition`.
    pub fn has(&self, partition: &TopicPartition) -> bool {
        match self {
            Self::All => true,
            Self::Only(partitions) => partitions.contains(partition),
        }
    }

    /// Returns what both have.
    #[must_use]
    pub fn both(&self, other: &Self) -> Self {
        match (self, other) {
            (Self::All, share) | (share, Self::All) => share.clone(),
            (Self::Only(a), Self::Only(b)) => Self::Only(a.intersection(b).cloned().collect()),
        }
    }
}

/// A replica's seat among the others of its projection.
pub trait Membership: Send {
    /// What can go wrong.
    type Error: Classify;

    /// Says that this replica writes to the partitions of `held` and to no other, then waits until
    /// its share is another, and returns that.
    ///
    /// What is in `held` and not in the share is to be given up, and is given up once a later call's
    /// `held` lacks it. What is in the share may be written from now on, so it counts as held too,
    /// until the next call. What counts as held a coordinator deals to nobody else, unless it takes
    /// this replica for dead.
    ///
    /// # Errors
    /// Transient while the coordinator is away: the share stays as it was.
    ///
    /// # Cancel safety
    /// Safe: a dropped call has said what it says.
    fn next(&mut self, held: &Share) -> impl Future<Output = Result<Share, Self::Error>> + Send;
}

/// The only replica: every partition is its own, for ever.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sole;

impl Membership for Sole {
    type Error = Infallible;

    async fn next(&mut self, held: &Share) -> Result<Share, Infallible> {
        if *held == Share::All {
            return std::future::pending().await;
        }
        Ok(Share::All)
    }
}
