//! `cargo x bench NAME`: each benchmark prints its rate beside that of its control in the same run.

use anyhow::{Context, bail};

use crate::shell::{cargo, run};

struct Bench {
    name: &'static str,
    about: &'static str,
    command: &'static [&'static str],
}

const IN_PROCESS: &[&str] = &["run", "--release", "--package", "penstock-bench", "--bin", "bench"];

const BENCHES: &[Bench] = &[
    Bench {
        name: "codec",
        about: "decode and encode of a 200-byte row, CPU time",
        command: IN_PROCESS,
    },
    Bench {
        name: "capture",
        about: "a backlog of 1,000,000 rows, beside a raw drain of an equal slot",
        command: IN_PROCESS,
    },
    Bench {
        name: "snapshot",
        about: "1,000,000 rows, beside COPY in binary to nowhere",
        command: IN_PROCESS,
    },
    Bench {
        name: "project",
        about: "catch-up into DuckDB, and a trickle of 1,000 rows a second",
        command: IN_PROCESS,
    },
    Bench {
        name: "latency",
        about: "commit to consumer and commit to projection, p50, p99, max",
        command: IN_PROCESS,
    },
    Bench {
        name: "registry",
        about: "2,000 schemas a second by id over HTTP, beside the same bytes from memory",
        command: IN_PROCESS,
    },
    Bench {
        name: "services",
        about: "capture and projection as watched services, beside the same loops in one process",
        command: IN_PROCESS,
    },
];

/// Runs a benchmark by name, or lists them.
pub(crate) fn bench(name: Option<&str>, args: &[String]) -> anyhow::Result<()> {
    let Some(name) = name else {
        for bench in BENCHES {
            eprintln!("{:10} {}", bench.name, bench.about);
        }
        bail!("which benchmark?");
    };
    let bench = BENCHES.iter().find(|bench| bench.name == name);
    let bench = bench.with_context(|| format!("no benchmark named {name:?}"))?;
    let mut command = cargo(bench.command.iter().copied());
    command.args(["--", bench.name]).args(args);
    run(command)
}
