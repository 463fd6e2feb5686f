//! No space left under the data directory: capture waits and says why, and goes on once there is.
//!
//! The directory is a small file system in memory, mounted in a namespace of its own that this
//! program runs in again: nothing is left behind, whatever happens.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::ensure;
use testkit::server::scratch;
use tokio::process::Command;
use tokio::time::Instant;

use super::{Options, PATIENCE, Run, start_streaming, until_acknowledged};
use crate::report::grouped;
use crate::world::World;

const MOUNT: &str =
    "mount -t tmpfs -o size=700m tmpfs \"$1\" && exec \"$0\" disk-full --disk \"$@\"";

/// Space left in each round, in bytes: below what the log wants free, and hardly any.
const LEFT: [u64; 2] = [40 << 20, 64 << 10];

const FULL: Duration = Duration::from_secs(8);

pub(super) async fn run(run: &Run<'_>) -> anyhow::Result<()> {
    match &run.options.disk {
        Some(disk) => fill_up(run, disk).await,
        None => run_again(run).await,
    }
}

/// Runs the scenario again where the small file system is mounted. Takes root: in a namespace of
/// an ordinary user PostgreSQL would believe to be root.
async fn run_again(run: &Run<'_>) -> anyhow::Result<()> {
    let disk = scratch::folder("disk");
    let mut unshare = Command::new("unshare");
    unshare.args(["-m", "sh", "-c", MOUNT]).arg(std::env::current_exe()?).arg(disk.path());
    let Options { seed: _, rounds: _, writers, rate, disk: _ } = run.options;
    let (seed, writers, rate) = (run.seed.to_string(), writers.to_string(), rate.to_string());
    unshare.args(["--seed", &seed, "--writers", &writers, "--rate", &rate]);
    let probe = Command::new("unshare").args(["-m", "true"]).output().await;
    if !probe.is_ok_and(|probe| probe.status.success()) {
        run.say("NOT TESTED: this system permits no mount namespaces");
        return Ok(());
    }
    ensure!(unshare.kill_on_drop(true).status().await?.success(), "see above");
    Ok(())
}

async fn fill_up(run: &Run<'_>, disk: &Path) -> anyhow::Result<()> {
    let mut world = World::start(false).await?;
    world.spec.data_dir = disk.join("data");
    let (child, since) = start_streaming(&world).await?;
    let load = run.load(&world);
    for left in LEFT {
        tokio::time::sleep(Duration::from_secs(3)).await;
        until_acknowledged(&world, &child).await?;
        let filler = disk.join("filler");
        fill(disk, &filler, left)?;
        child.until_says("capture waits", PATIENCE).await?;
        let waiting = child.last_line();
        tokio::time::sleep(FULL).await;
        ensure!(child.is_running(), "it ended: {}", child.last_line());
        let before = world.wal_end().await?;
        fs::remove_file(&filler)?;
        let freed = Instant::now();
        let took = until_acknowledged(&world, &child).await?;
        run.say(&format!(
            "{} KiB left for {FULL:?} ({waiting}); {before} acknowledged {:.1} s after space was \
             freed, {} rows committed",
            left >> 10,
            took.max(freed.elapsed()).as_secs_f64(),
            grouped(load.rows()),
        ));
    }
    child.kill9().await;
    run.finish(&world, load, since).await?;
    Ok(())
}

/// Leaves `left` bytes free. The pipeline writes meanwhile, so what was free a moment ago may be gone.
fn fill(dir: &Path, filler: &Path, left: u64) -> anyhow::Result<()> {
    let file = fs::File::create(filler)?;
    loop {
        let space = rustix::fs::statvfs(dir)?;
        let bytes = (space.f_bavail * space.f_frsize).saturating_sub(left);
        match rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, bytes.max(1)) {
            Ok(()) => return Ok(()),
            Err(rustix::io::Errno::NOSPC) if bytes > 0 => file.set_len(0)?,
            Err(error) => return Err(error.into()),
        }
    }
}
