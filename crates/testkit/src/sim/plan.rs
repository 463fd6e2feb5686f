//! What one seed decides.

use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use crate::sim::replicas;

/// The shape of one run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// What everything else follows from.
    pub seed: u64,
    /// Partitions of each topic.
    pub partitions: usize,
    /// Rows that are there before the snapshot.
    pub rows_before: usize,
    /// Transactions of the workload.
    pub transactions: usize,
    /// Rows in its largest transaction.
    pub transaction_rows_max: usize,
    /// Changes in one piece of the stream.
    pub cut: usize,
    /// Bytes at which a batch stops growing.
    pub batch_bytes_max: usize,
    /// Share of calls of log and sink that fail.
    pub fault_rate: f64,
    /// Longest that a slow call takes.
    pub delay_max: Duration,
    /// How many polls a process lives, at most; `None` lives for ever.
    pub polls_max: Option<u64>,
    /// How often a second instance starts while the first still runs.
    pub takeover_rate: f64,
    /// How often the server ends capture's session, per transaction.
    pub kill_rate: f64,
    /// How often a column is added, per transaction.
    pub ddl_rate: f64,
    /// Share of rows that the sink can never hold.
    pub poison_rate: f64,
    /// Projectors on one shared store; 0 is one on a store of its own.
    pub replicas: usize,
    /// How often a replica freezes, per poll.
    pub freeze_rate: f64,
    /// How often partitions are dealt anew, each time the coordinator looks.
    pub rebalance_rate: f64,
}

impl Plan {
    /// Returns the plan of `seed`.
    pub fn of(seed: u64) -> Self {
        let dice = &mut SmallRng::seed_from_u64(seed);
        let is_calm = dice.random_bool(0.1);
        let has_large = dice.random_bool(0.02);
        let rate = |dice: &mut SmallRng, max: f64| match is_calm || dice.random_bool(0.3) {
            true => 0.0,
            false => dice.random_range(0.0..max),
        };
        Self {
            seed,
            partitions: if dice.random_bool(0.5) { 1 } else { 3 },
            rows_before: dice.random_range(0..60),
            transactions: if has_large { 6 } else { dice.random_range(5..60) },
            transaction_rows_max: if has_large { 10_000 } else { dice.random_range(1..40) },
            cut: if has_large { 1_000 } else { dice.random_range(1..30) },
            batch_bytes_max: if has_large { 1 << 20 } else { dice.random_range(100..20_000) },
            fault_rate: rate(dice, 0.3),
            delay_max: Duration::from_millis(dice.random_range(1..3_000)),
            polls_max: (!is_calm)
                .then(|| dice.random_range(20..400) * if has_large { 20 } else { 1 }),
            takeover_rate: rate(dice, 0.3),
            kill_rate: rate(dice, 0.2),
            ddl_rate: rate(dice, 0.1),
            poison_rate: if dice.random_bool(0.7) { 0.0 } else { dice.random_range(0.0..0.05) },
            replicas: 0,
            freeze_rate: 0.0,
            rebalance_rate: 0.0,
        }
    }

    /// Returns the plan of `seed` for a store that replicas share.
    pub fn shared(seed: u64) -> Self {
        let dice = &mut SmallRng::seed_from_u64(seed ^ 0x54a8);
        Self {
            partitions: dice.random_range(1..=6),
            replicas: dice.random_range(2..=replicas::MAX),
            freeze_rate: if dice.random_bool(0.3) { 0.0 } else { dice.random_range(0.0..0.2) },
            rebalance_rate: if dice.random_bool(0.2) { 0.0 } else { dice.random_range(0.0..0.8) },
            ..Self::of(seed)
        }
    }
}
