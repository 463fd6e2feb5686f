//! The command line: which benchmark, and how its result is printed.

use clap::{Parser, Subcommand};

use crate::{capture, codec, latency, project, registry, services, snapshot};

/// Benchmarks of Penstock's parts and of the whole.
#[derive(Debug, Parser)]
pub(crate) struct Cli {
    /// Print one JSON document instead of tables.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    bench: Bench,
}

#[derive(Debug, Subcommand)]
enum Bench {
    /// Decode and encode of a 200-byte row, CPU time.
    Codec(codec::Args),
    /// A backlog, beside a raw drain of an equal slot.
    Capture(capture::Args),
    /// A snapshot, beside COPY in binary and beside appends without a source.
    Snapshot(snapshot::Args),
    /// Catch-up into DuckDB, or a trickle.
    Project(project::Args),
    /// From commit to consumer, embedded log and DuckDB.
    Latency(latency::Args),
    /// A schema by its id over HTTP, beside the same bytes from memory.
    Registry(registry::Args),
    /// Capture and projection as services, beside the same loops in this process.
    Services(services::Args),
}

impl Cli {
    /// Runs the benchmark and prints what it measured.
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let report = runtime.block_on(async {
            match self.bench {
                Bench::Codec(args) => codec::run(&args).await,
                Bench::Capture(args) => capture::run(&args).await,
                Bench::Snapshot(args) => snapshot::run(&args).await,
                Bench::Project(args) => project::run(&args).await,
                Bench::Latency(args) => latency::run(&args).await,
                Bench::Registry(args) => registry::run(&args).await,
                Bench::Services(args) => services::run(&args).await,
            }
        })?;
        report.print(self.json);
        Ok(())
    }
}
