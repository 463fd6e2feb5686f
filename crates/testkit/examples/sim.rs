//! Runs the simulation for any number of seeds: `cargo x sim --seeds N`, or one with `--seed S`. Each
//! is played twice: with a projector of its own store, and with replicas that share one.

use std::process::ExitCode;
use std::str::FromStr;

use testkit::memory::MemoryCodec;

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "a command-line program")]
fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    let number = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        u64::from_str(arguments.get(at + 1)?).ok()
    };
    let seeds = match number("--seed") {
        Some(seed) => seed..seed + 1,
        None => 0..number("--seeds").unwrap_or(1_000),
    };
    let mut records = 0;
    let (mut failures, mut dealt, mut fenced) = (0_u64, 0, 0);
    let count = seeds.end - seeds.start;
    for seed in seeds {
        let alone = testkit::sim::run(seed, &MemoryCodec::default());
        let shared = testkit::sim::run_shared(seed, &MemoryCodec::default());
        for outcome in [alone, shared] {
            match outcome {
                Ok(summary) => {
                    records += summary.records;
                    dealt += summary.dealt;
                    fenced += summary.fenced;
                }
                Err(problem) => {
                    failures += 1;
                    eprintln!("{problem}\n  replay: cargo x sim --seed {seed}");
                }
            }
        }
    }
    println!(
        "{count} seeds, {records} records, {failures} failures; \
         {dealt} partitions dealt, {fenced} batches fenced"
    );
    ExitCode::from(u8::from(failures > 0))
}
