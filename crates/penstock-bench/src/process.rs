//! CPU time and memory of processes, as the kernel counts them.
//!
//! Times come in ticks of 10 ms. Source: <https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html>

use std::fs;

use anyhow::Context;

/// Length of a tick of `/proc/PID/stat`, in µs: `USER_HZ` is 100 on every Linux we run on.
const TICK_MICROS: u64 = 10_000;

/// Fields of `/proc/PID/stat`, counted from the state, which follows the name.
const PARENT: usize = 1;
const OWN_TIMES: [usize; 2] = [11, 12];
const ALL_TIMES: [usize; 4] = [11, 12, 13, 14];

/// Returns the CPU time of this process so far, in µs.
pub(crate) fn own_cpu() -> anyhow::Result<u64> {
    micros(&stat("self")?, &OWN_TIMES)
}

/// Returns the CPU time of process `pid` so far, in µs.
pub(crate) fn cpu(pid: i64) -> anyhow::Result<u64> {
    micros(&stat(&pid.to_string())?, &OWN_TIMES)
}

/// Returns the CPU time of process `pid` and all its children, ended ones included, in µs.
pub(crate) fn family_cpu(pid: i64) -> anyhow::Result<u64> {
    let parent = pid.to_string();
    let mut total = micros(&stat(&parent)?, &ALL_TIMES)?;
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(name) = name.to_str().filter(|name| name.bytes().all(|b| b.is_ascii_digit()))
        else {
            continue;
        };
        // A process may end while we look.
        let Ok(fields) = stat(name) else { continue };
        if fields.get(PARENT).is_some_and(|found| *found == parent) {
            total += micros(&fields, &ALL_TIMES)?;
        }
    }
    Ok(total)
}

fn stat(process: &str) -> anyhow::Result<Vec<String>> {
    let path = format!("/proc/{process}/stat");
    let text = fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
    let (_, fields) = text.rsplit_once(')').with_context(|| format!("reading {path}"))?;
    Ok(fields.split_whitespace().map(str::to_owned).collect())
}

fn micros(fields: &[String], which: &[usize]) -> anyhow::Result<u64> {
    let mut ticks = 0;
    for index in which {
        ticks += fields.get(*index).context("a short line of /proc/PID/stat")?.parse::<u64>()?;
    }
    Ok(ticks * TICK_MICROS)
}

/// Forgets this process's peak of memory, so that [`peak_mib`] counts from now.
pub(crate) fn forget_peak() -> anyhow::Result<()> {
    fs::write("/proc/self/clear_refs", "5").context("resetting the peak of memory")
}

/// Returns this process's peak of resident memory, in MiB.
pub(crate) fn peak_mib() -> anyhow::Result<f64> {
    peak_mib_of("self")
}

/// Returns the peak of resident memory of a process, in MiB.
pub(crate) fn peak_mib_of(process: &str) -> anyhow::Result<f64> {
    let path = format!("/proc/{process}/status");
    let status = fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
    Ok(kib.with_context(|| format!("no VmHWM in {path}"))?.trim().parse::<f64>()? / 1024.0)
}

/// CPU times of the processes that take part, at one moment, in µs.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Usage {
    pub(crate) ours: u64,
    pub(crate) postgres: u64,
    pub(crate) broker: u64,
}

impl Usage {
    /// Looks at this process and at the servers with these process ids.
    pub(crate) fn now(postgres: Option<i32>, broker: Option<i32>) -> anyhow::Result<Self> {
        Ok(Self {
            ours: own_cpu()?,
            postgres: postgres.map_or(Ok(0), |pid| family_cpu(pid.into()))?,
            broker: broker.map_or(Ok(0), |pid| cpu(pid.into()))?,
        })
    }
}
