//! The commands and their arguments.

use clap::{Parser, Subcommand};

use crate::{bench, check, compose, run, tidy};

/// Penstock's tooling.
#[derive(Debug, Parser)]
#[command(name = "cargo x", bin_name = "cargo x", disable_help_subcommand = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// The gate before a commit: format, tidy, clippy, rustdoc, and deny and typos if installed
    Check,
    /// The architecture's own rules: sizes, names, docs, dependencies
    Tidy,
    /// Every test, doctests included; arguments go to cargo test
    Test {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// The simulation: seeded workloads through crashes, lost answers and rebalances
    Sim {
        /// How many seeds to run
        #[arg(long, default_value_t = 500)]
        seeds: u64,
        /// The first seed; with `--seeds 1` this replays one
        #[arg(long)]
        seed: Option<u64>,
        /// Further arguments of the simulation
        #[arg(last = true)]
        args: Vec<String>,
    },
    /// A benchmark beside its control; without a name, the list
    Bench {
        name: Option<String>,
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Captures the golden bytes from real servers again, and the expected texts with them
    Fixtures,
    /// The pages in a real browser; needs Chromium, Node.js and `npm ci` in each suite's folder
    Ui {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// The fault matrix against real servers; takes long
    Chaos {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// The images and docker-compose.yml, really built and run, with podman; takes long, needs root
    Compose(compose::Options),
}

impl Cli {
    /// Runs the chosen command.
    pub(crate) fn execute(self) -> anyhow::Result<()> {
        match self.command {
            Command::Check => check::check(),
            Command::Tidy => tidy::tidy(),
            Command::Test { args } => run::test(&args),
            Command::Sim { seeds, seed, args } => run::sim(seeds, seed, &args),
            Command::Bench { name, args } => bench::bench(name.as_deref(), &args),
            Command::Fixtures => run::fixtures(),
            Command::Ui { args } => run::ui(&args),
            Command::Chaos { args } => run::chaos(&args),
            Command::Compose(options) => compose::compose(&options),
        }
    }
}

/// Returns the names of all commands, for tidy's check of the README.
pub(crate) fn names() -> Vec<String> {
    use clap::CommandFactory;
    Cli::command().get_subcommands().map(|command| command.get_name().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
