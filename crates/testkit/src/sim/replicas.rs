//! Several projectors on one shared store: they join, leave, die at any await, freeze and thaw, and
//! are taken for dead while they live.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use cdc_pipeline::Halted;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tokio::time::Sleep;
use tokio_util::sync::CancellationToken;

use crate::memory::MemoryGroup;
use crate::sim::SimCodec;
use crate::sim::crash::CrashAfter;
use crate::sim::world::World;

/// The most replicas a plan may have.
pub(super) const MAX: usize = 4;

/// The replicas' coordinator, and which of them are frozen now.
pub(super) struct Replicas {
    pub(super) group: MemoryGroup,
    frozen: [AtomicBool; MAX],
}

impl Replicas {
    pub(super) fn new(group: MemoryGroup) -> Self {
        Self { group, frozen: Default::default() }
    }
}

impl<C: SimCodec> World<'_, C> {
    /// Keeps every replica running, and the coordinator unsteady.
    pub(super) async fn keep_replicas(
        &self,
        calm: &CancellationToken,
        rest: &CancellationToken,
    ) -> Result<(), String> {
        let replica = |number| async move {
            if number < self.plan.replicas {
                self.keep_replica(number, calm, rest).await
            } else {
                Ok(())
            }
        };
        let coordinating = rest.run_until_cancelled(self.keep_coordinating(calm));
        let (a, b, c, d, _) =
            tokio::join!(replica(0), replica(1), replica(2), replica(3), coordinating);
        a.and(b).and(c).and(d)
    }

    /// Expels those that are frozen or dead, sometimes one that is neither, and deals anew.
    async fn keep_coordinating(&self, calm: &CancellationToken) {
        let dice = &mut SmallRng::seed_from_u64(self.plan.seed ^ 0xc00d);
        loop {
            tokio::time::sleep(Duration::from_millis(dice.random_range(1..2_000))).await;
            for (number, is_frozen) in self.replicas.frozen.iter().enumerate() {
                let rate = match (calm.is_cancelled(), is_frozen.load(Ordering::Relaxed)) {
                    (false, true) => 0.7,
                    (false, false) => self.plan.rebalance_rate / 2.0,
                    // All are alive now, and who died without a goodbye has joined again.
                    (true, _) => 0.0,
                };
                if dice.random_bool(rate) {
                    let told_after = Duration::from_millis(dice.random_range(0..5_000));
                    self.replicas.group.expel(number, told_after);
                }
            }
            if self.replicas.group.is_behind()
                || (!calm.is_cancelled() && dice.random_bool(self.plan.rebalance_rate))
            {
                self.replicas.group.rebalance();
            }
        }
    }

    /// Starts a replica again whenever it dies or leaves.
    async fn keep_replica(
        &self,
        number: usize,
        calm: &CancellationToken,
        rest: &CancellationToken,
    ) -> Result<(), String> {
        let seed = self.plan.seed ^ (0x9e37 + u64::try_from(number).unwrap_or(0));
        let dice = &mut SmallRng::seed_from_u64(seed);
        while !rest.is_cancelled() {
            let lifetime = self.lifetime(dice, calm);
            let leaves = !calm.is_cancelled() && dice.random_bool(0.3);
            let stay = leaves.then(|| Duration::from_millis(dice.random_range(0..20_000)));
            let frozen = &self.replicas.frozen[number];
            let life = self.replica(number, dice.random(), dice.random_bool(0.5), (stay, rest));
            let rate = self.plan.freeze_rate;
            let life = Freezing::new(life, (frozen, calm), rate, dice.random());
            let outcome = CrashAfter::new(life, lifetime).await;
            frozen.store(false, Ordering::Relaxed);
            if let Some(Err(halted)) = outcome {
                return Err(format!("replica {number} halted: {halted:?}"));
            }
            tokio::time::sleep(Duration::from_millis(dice.random_range(0..500))).await;
        }
        Ok(())
    }

    /// Lives until it has stayed long enough, then drains and leaves.
    async fn replica(
        &self,
        number: usize,
        seed: u64,
        says_goodbye: bool,
        (stay, rest): (Option<Duration>, &CancellationToken),
    ) -> Result<(), Halted> {
        let leave = rest.child_token();
        let member = self.replicas.group.member(number, says_goodbye || stay.is_some());
        let letters = format!("sim-dlq-{number}");
        let living = self.projection(seed, &letters).run_shared(member, leave.clone());
        let leaving = async {
            if let Some(stay) = stay {
                tokio::time::sleep(stay).await;
                leave.cancel();
            }
            std::future::pending().await
        };
        tokio::select! {
            biased;
            outcome = living => outcome,
            outcome = leaving => outcome,
        }
    }
}

/// Now and then is not polled for a while, as a process that is stopped.
struct Freezing<'a, F> {
    process: Pin<Box<F>>,
    is_frozen: &'a AtomicBool,
    calm: &'a CancellationToken,
    thaw: Option<Pin<Box<Sleep>>>,
    rate: f64,
    dice: SmallRng,
}

impl<'a, F: Future> Freezing<'a, F> {
    fn new(
        process: F,
        (is_frozen, calm): (&'a AtomicBool, &'a CancellationToken),
        rate: f64,
        seed: u64,
    ) -> Self {
        let dice = SmallRng::seed_from_u64(seed);
        Self { process: Box::pin(process), is_frozen, calm, thaw: None, rate, dice }
    }
}

impl<F: Future> Future for Freezing<'_, F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let rate = self.rate;
        if self.thaw.is_none() && !self.calm.is_cancelled() && self.dice.random_bool(rate) {
            let longest = if self.dice.random_bool(0.3) { 100 } else { 20_000 };
            let length = Duration::from_millis(self.dice.random_range(1..longest));
            self.thaw = Some(Box::pin(tokio::time::sleep(length)));
            self.is_frozen.store(true, Ordering::Relaxed);
        }
        if let Some(thaw) = &mut self.thaw {
            if thaw.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
            self.thaw = None;
            self.is_frozen.store(false, Ordering::Relaxed);
        }
        self.process.as_mut().poll(context)
    }
}
