//! podman as Docker's engine, and what it leaves behind on a machine put right again.
//!
//! podman's service speaks Docker's protocol on a socket. It ends with its containers' watchers
//! (`conmon`) and name server still there, the firewall tables of its bridges, and forwarding turned
//! on: [`Engine::stop`] ends and restores them, and a start does so for a run that was killed.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::Duration;

use anyhow::{Context, ensure};

use super::place::{Place, output};
use super::trial::until;
use crate::shell::program;

const FORWARDING: &str = "/proc/sys/net/ipv4/ip_forward";
const START_LIMIT: Duration = Duration::from_secs(30);

/// What of podman's outlives it.
const PROCESSES: [&str; 3] = ["conmon", "aardvark-dns", "podman"];

/// The running service, and the machine as it was before.
#[derive(Debug)]
pub(crate) struct Engine<'a> {
    place: &'a Place,
    service: Child,
    before: Machine,
}

/// What podman changes.
#[derive(Debug)]
struct Machine {
    forwarding: String,
    tables: Vec<String>,
}

impl Machine {
    fn read() -> anyhow::Result<Self> {
        Ok(Self {
            forwarding: fs::read_to_string(FORWARDING).context("reading ip_forward")?,
            tables: output(program("nft", ["list", "tables"]))?,
        })
    }

    fn restore(&self) -> anyhow::Result<()> {
        for table in Self::read()?.tables {
            if !self.tables.contains(&table) {
                let mut words = vec!["delete"];
                words.extend(table.split(' '));
                output(program("nft", words))?;
            }
        }
        fs::write(FORWARDING, &self.forwarding).context("restoring ip_forward")
    }
}

impl<'a> Engine<'a> {
    /// Starts the service, and waits until it listens.
    pub(crate) fn start(place: &'a Place) -> anyhow::Result<Self> {
        output(program("id", ["-u"])).and_then(|id| {
            ensure!(id == ["0"], "containers with networks of their own need root; run it as root");
            Ok(())
        })?;
        remove_left_over(place)?;
        let before = Machine::read()?;
        let socket = place.path("podman.sock");
        let url = format!("unix://{}", socket.display());
        let mut service = place.podman(["system", "service", "--time", "0", &url]);
        let log = fs::File::create(place.path("podman.log")).context("making podman's log")?;
        service.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let service = service.spawn().context("cannot start podman")?;
        let engine = Self { place, service, before };
        until("podman listens", START_LIMIT, || Ok(socket.exists().then_some(())))?;
        Ok(engine)
    }

    /// Ends the service and all that it left.
    pub(crate) fn stop(mut self) -> anyhow::Result<()> {
        self.service.kill().context("ending podman")?;
        self.service.wait().context("waiting for podman's end")?;
        end_processes(self.place)?;
        self.before.restore()
    }
}

/// Removes the containers of a run that was killed.
fn remove_left_over(place: &Place) -> anyhow::Result<()> {
    end_processes(place)?;
    drop(fs::remove_file(place.path("podman.sock")));
    let all = ["rm", "--all", "--force", "--volumes", "--time", "1"];
    output(place.podman(all)).context("removing containers of an earlier run")?;
    output(place.podman(["volume", "prune", "--force"]))?;
    output(place.podman(["network", "prune", "--force"]))?;
    end_processes(place)
}

/// Ends the processes whose command line names our folder.
fn end_processes(place: &Place) -> anyhow::Result<()> {
    for pid in processes(place)? {
        // It may have ended by itself.
        drop(program("kill", [pid.as_str()]).stderr(Stdio::null()).status());
    }
    until("podman's processes end", START_LIMIT, || Ok(processes(place)?.is_empty().then_some(())))
}

fn processes(place: &Place) -> anyhow::Result<Vec<String>> {
    let dir = place.dir().display().to_string();
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").context("listing the processes")? {
        let path: PathBuf = entry?.path();
        // A process may end between the two.
        let Ok(line) = fs::read(path.join("cmdline")) else { continue };
        let line = String::from_utf8_lossy(&line).into_owned();
        let name = line.split('\0').next().unwrap_or_default();
        let name = name.rsplit('/').next().unwrap_or_default();
        if PROCESSES.contains(&name) && line.contains(&dir) {
            found.extend(path.file_name().map(|pid| pid.to_string_lossy().into_owned()));
        }
    }
    Ok(found)
}
