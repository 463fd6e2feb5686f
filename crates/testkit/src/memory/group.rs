//! A coordinator in memory: deals the partitions of a log out among members, by dice.
//!
//! It is as unsteady as a coordinator may be: each rebalance deals anew and at random, and a member
//! may be taken for dead at any moment, rightly or not. It is as honest as one must be: what a living
//! member holds is dealt to no other.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use cdc_model::TopicPartition;
use cdc_pipeline::dead_letter::SUFFIX;
use cdc_pipeline::port::{Membership, Share};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::memory::MemoryLog;

/// The coordinator; clones share it.
#[derive(Debug, Clone)]
pub struct MemoryGroup {
    state: Arc<Mutex<State>>,
    changed: Arc<Notify>,
    log: MemoryLog,
}

#[derive(Debug)]
struct State {
    members: BTreeMap<usize, Member>,
    /// Whom each partition is meant for.
    targets: BTreeMap<TopicPartition, usize>,
    /// When those that were expelled last are told.
    told_at: BTreeMap<usize, Instant>,
    dice: SmallRng,
    dealt: u64,
}

#[derive(Debug, Default)]
struct Member {
    share: BTreeSet<TopicPartition>,
    held: BTreeSet<TopicPartition>,
}

impl MemoryGroup {
    /// Makes a coordinator of the partitions of `log`, whose dealing `seed` decides.
    pub fn new(log: &MemoryLog, seed: u64) -> Self {
        let state = State {
            members: BTreeMap::new(),
            targets: BTreeMap::new(),
            told_at: BTreeMap::new(),
            dice: SmallRng::seed_from_u64(seed),
            dealt: 0,
        };
        Self { state: Arc::new(Mutex::new(state)), changed: Arc::default(), log: log.clone() }
    }

    /// Returns the seat of replica `number`, which joins when it is first asked for its share and
    /// leaves when it is dropped, if it `says_goodbye`.
    pub fn member(&self, number: usize, says_goodbye: bool) -> MemoryMember {
        MemoryMember { group: self.clone(), number, says_goodbye }
    }

    /// Takes a member for dead: others get its partitions at once. If it lives, it is told only after
    /// `told_after`, and joins again then.
    pub fn expel(&self, number: usize, told_after: Duration) {
        let mut state = self.lock();
        if state.members.remove(&number).is_some() {
            state.told_at.insert(number, Instant::now() + told_after);
            state.rebalance();
            self.changed.notify_waiters();
        }
    }

    /// Deals anew, new partitions included.
    pub fn rebalance(&self) {
        let partitions = self.followed();
        let mut state = self.lock();
        for partition in partitions {
            state.targets.entry(partition).or_insert(0);
        }
        state.rebalance();
        self.changed.notify_waiters();
    }

    /// Returns whether there are partitions that were never dealt.
    pub fn is_behind(&self) -> bool {
        self.followed().len() > self.lock().targets.len()
    }

    /// Returns whether every member has something.
    pub fn is_even(&self) -> bool {
        self.lock().members.values().all(|member| !member.share.is_empty())
    }

    fn followed(&self) -> Vec<TopicPartition> {
        let mut partitions = self.log.topic_partitions();
        partitions.retain(|partition| !partition.topic.as_str().ends_with(SUFFIX));
        partitions
    }

    /// Returns how often a partition was dealt to somebody.
    pub fn dealt(&self) -> u64 {
        self.lock().dealt
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("invariant: no holder panics")
    }
}

impl State {
    /// Chooses an owner for each partition, and takes it from whoever has it else.
    fn rebalance(&mut self) {
        let numbers: Vec<usize> = self.members.keys().copied().collect();
        if numbers.is_empty() {
            return;
        }
        for (partition, target) in &mut self.targets {
            *target = numbers[self.dice.random_range(0..numbers.len())];
            for (number, member) in &mut self.members {
                if number != target {
                    member.share.remove(partition);
                }
            }
        }
        self.deal();
    }

    /// Deals partitions that nobody else holds any more.
    fn deal(&mut self) {
        for (partition, target) in &self.targets {
            let is_held = self
                .members
                .iter()
                .any(|(number, m)| number != target && m.held.contains(partition));
            if let Some(member) = self.members.get_mut(target).filter(|_| !is_held)
                && member.share.insert(partition.clone())
            {
                self.dealt += 1;
            }
        }
    }
}

/// A replica's seat.
#[derive(Debug)]
pub struct MemoryMember {
    group: MemoryGroup,
    number: usize,
    says_goodbye: bool,
}

impl MemoryMember {
    /// Tells what is held, and returns the share, or when to ask again.
    fn tell(
        &self,
        held: &BTreeSet<TopicPartition>,
    ) -> Result<BTreeSet<TopicPartition>, Option<Instant>> {
        let mut state = self.group.lock();
        let is_member = state.members.contains_key(&self.number);
        if !is_member && !held.is_empty() {
            let told_at = state.told_at.get(&self.number).copied();
            return match told_at.filter(|at| *at > Instant::now()) {
                Some(at) => Err(Some(at)),
                None => Ok(BTreeSet::new()),
            };
        }
        let member = state.members.entry(self.number).or_default();
        let has_let_go = !member.held.is_subset(held);
        member.held.clone_from(held);
        if !is_member {
            state.rebalance();
        } else if has_let_go {
            state.deal();
        }
        if !is_member || has_let_go {
            self.group.changed.notify_waiters();
        }
        let member = state.members.entry(self.number).or_default();
        // From now on it may be written.
        member.held.extend(member.share.iter().cloned());
        if member.share == *held { Err(None) } else { Ok(member.share.clone()) }
    }
}

impl Membership for MemoryMember {
    type Error = Infallible;

    async fn next(&mut self, held: &Share) -> Result<Share, Infallible> {
        let Share::Only(held) = held else { return Ok(Share::nothing()) };
        loop {
            let group = self.group.clone();
            let changed = group.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            match self.tell(held) {
                Ok(share) => return Ok(Share::Only(share)),
                Err(None) => changed.await,
                Err(Some(told_at)) => tokio::time::sleep_until(told_at).await,
            }
        }
    }
}

impl Drop for MemoryMember {
    fn drop(&mut self) {
        if self.says_goodbye {
            self.group.expel(self.number, Duration::ZERO);
        }
    }
}
