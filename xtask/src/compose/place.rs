//! Where a run keeps its own: `compose` in `.deps`, which git ignores.
//!
//! Images stay there from run to run, as building them takes long; `--clean` removes them.

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail, ensure};

use super::trial::Stopwatch;
use crate::shell::program;
use crate::workspace;

/// Lines of a log that are shown when its step fails.
const TAIL_LINES: usize = 40;

/// The folder, and how podman is called on it.
#[derive(Debug)]
pub(crate) struct Place {
    /// What `scripts/bootstrap` fetched.
    deps: PathBuf,
    dir: PathBuf,
    /// Locked as long as it is open.
    _lock: File,
}

impl Place {
    /// Makes the folder, with podman's settings in it.
    pub(crate) fn open() -> anyhow::Result<Self> {
        let deps = std::env::var_os("PENSTOCK_DEPS").map(PathBuf::from);
        let deps = deps.unwrap_or_else(|| workspace::root().join(".deps"));
        fs::create_dir_all(deps.join("compose/bin")).context("making a folder in .deps")?;
        let deps = deps.canonicalize().context("looking for .deps")?;
        let dir = deps.join("compose");
        let lock = File::create(dir.join("lock")).context("making a lock")?;
        lock.try_lock().with_context(|| format!("another run uses {}", dir.display()))?;
        let place = Self { dir, deps, _lock: lock };
        fs::write(place.path("containers.conf"), place.settings())
            .context("writing podman's settings")?;
        Ok(place)
    }

    /// Returns the path of `name` in the folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// crun and the default limits are refused on machines that are containers themselves. Names
    /// without a host are those of images made here.
    fn settings(&self) -> String {
        format!(
            "\
[containers]
default_ulimits = [\"nofile=16384:16384\", \"nproc=8192:8192\"]
netns = \"bridge\"
cgroups = \"enabled\"
[engine]
cgroup_manager = \"cgroupfs\"
compat_api_enforce_docker_hub = false
events_logger = \"file\"
runtime = \"runc\"
[network]
network_backend = \"netavark\"
network_config_dir = \"{}\"
",
            self.path("networks").display()
        )
    }

    /// Starts a command line of podman's, on storage of our own.
    pub(crate) fn podman<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Command {
        let mut command = program("nice", ["-n", "10", "podman", "--storage-driver", "overlay"]);
        command.arg("--root").arg(self.path("storage"));
        command.arg("--runroot").arg(self.path("run"));
        command.args(args);
        command.env("CONTAINERS_CONF", self.path("containers.conf"));
        // Commands of a build then use this machine's network and need no bridge.
        command.env("BUILDAH_ISOLATION", "chroot");
        command
    }

    /// Runs a command with its output in a log of that name, and says how long it took.
    pub(crate) fn step(&self, name: &str, mut command: Command) -> anyhow::Result<()> {
        let path = self.path(&format!("{}.log", name.replace([' ', '/', ':'], "-")));
        let log = File::create(&path).with_context(|| format!("making {}", path.display()))?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let watch = Stopwatch::start();
        let status = command.status().with_context(|| format!("cannot start {name}"))?;
        if !status.success() {
            let text = fs::read_to_string(&path).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            let tail = lines.get(lines.len().saturating_sub(TAIL_LINES)..).unwrap_or_default();
            bail!("{name} ended with {status}; {}:\n{}", path.display(), tail.join("\n"));
        }
        eprintln!("{name}: {:.0} s", watch.seconds());
        Ok(())
    }

    /// Prints what the images take.
    pub(crate) fn print_sizes(&self) -> anyhow::Result<()> {
        let format = ["images", "--format", "{{.Repository}}:{{.Tag}} {{.Size}}"];
        let mut lines = output(self.podman(format))?;
        lines.retain(|line| line.contains("/penstock/"));
        lines.iter().for_each(|line| eprintln!("{line}"));
        Ok(())
    }

    /// Removes the folder.
    pub(crate) fn remove(&self) -> anyhow::Result<()> {
        let unmount = program("umount", ["--quiet", "--recursive"])
            .arg(self.path("storage/overlay"))
            .status();
        unmount.context("cannot start umount")?;
        fs::remove_dir_all(&self.dir).with_context(|| format!("removing {}", self.dir.display()))
    }

    /// Returns the path of what `scripts/bootstrap` fetched under `name`.
    pub(crate) fn fetched(&self, name: &str) -> PathBuf {
        self.deps.join(name)
    }

    /// Returns the folder.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }
}

/// Runs a command and returns the lines it wrote.
pub(crate) fn output(mut command: Command) -> anyhow::Result<Vec<String>> {
    let name = command.get_program().to_owned();
    let words: Vec<OsString> = command.get_args().map(ToOwned::to_owned).collect();
    let output = command.stdin(Stdio::null()).output();
    let output = output.with_context(|| format!("cannot start {}", name.display()))?;
    let told = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{} {words:?}: {}", name.display(), told.trim());
    Ok(String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect())
}
