//! The whole pipeline in one thread, on in-memory adapters and a paused clock, through crashes at
//! any await, lost answers, takeovers, slow and poisoned sinks: everything decided by one seed.
//!
//! A run plays a seeded workload against a database, kills and restarts capture and projector
//! meanwhile, then lets everything come to rest and checks `sink == fold(source)` and I1–I5. A seed
//! that fails fails again: [`run`] with the same number is the same run.
//!
//! [`run_shared`] plays the same with several projectors on one shared store: who has which partition
//! changes all the time, and some of them do not know.

mod check;
mod crash;
mod plan;
mod replicas;
mod workload;
mod world;

use cdc_pipeline::port::{Decode, Encode};

pub use plan::Plan;
pub use world::Summary;

use crate::memory::codec::{MemoryCodec, MemoryDecoder, MemoryEncoder};

/// Gives the codec that a simulation runs with.
pub trait SimCodec {
    /// Its encoder.
    type Encoder: Encode;
    /// Its decoder.
    type Decoder: Decode;

    /// Returns an encoder that has prepared nothing: each start of capture has a new one.
    fn encoder(&self) -> Self::Encoder;

    /// Returns a decoder that has learned nothing.
    fn decoder(&self) -> Self::Decoder;
}

impl SimCodec for MemoryCodec {
    type Encoder = MemoryEncoder;
    type Decoder = MemoryDecoder;

    fn encoder(&self) -> MemoryEncoder {
        Self::encoder(self)
    }

    fn decoder(&self) -> MemoryDecoder {
        Self::decoder(self)
    }
}

/// Runs the simulation of `seed` with `codec`.
///
/// # Errors
/// What broke, as text that begins with the seed.
pub fn run<C: SimCodec>(seed: u64, codec: &C) -> Result<Summary, String> {
    play(&Plan::of(seed), codec)
}

/// Runs the simulation of `seed` with several replicas of the projector.
///
/// # Errors
/// As [`run`].
pub fn run_shared<C: SimCodec>(seed: u64, codec: &C) -> Result<Summary, String> {
    play(&Plan::shared(seed), codec)
}

fn play<C: SimCodec>(plan: &Plan, codec: &C) -> Result<Summary, String> {
    let seed = plan.seed;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .map_err(|error| format!("seed {seed}: no runtime: {error}"))?;
    runtime
        .block_on(world::play(plan, codec))
        .map_err(|problems| format!("seed {seed}: {problems}\n  plan: {plan:?}"))
}
