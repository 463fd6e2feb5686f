//! The compose project: how it is built, brought up, looked at and taken down.

use std::fs;
use std::io::Read;
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::Duration;

use anyhow::{Context, ensure};

use super::place::{Place, output};
use crate::shell::program;

/// How often health checks run. podman leaves that to systemd's timers, which are not everywhere.
const CHECK_INTERVAL: Duration = Duration::from_secs(2);

/// Longest wait for everything to be healthy, in seconds.
const UP_LIMIT: &str = "420";

/// The project on ports and with secrets of its own.
#[derive(Debug)]
pub(crate) struct Project<'a> {
    place: &'a Place,
    /// Where the shop is, on 127.0.0.1.
    pub(crate) storefront: u16,
    /// Where the dashboard is.
    pub(crate) dashboard: u16,
    registry: u16,
    /// What the dashboard asks people for.
    pub(crate) dashboard_token: String,
}

impl<'a> Project<'a> {
    /// Takes free ports, and writes new secrets.
    pub(crate) fn new(place: &'a Place) -> anyhow::Result<Self> {
        let dashboard_token = random()?;
        let project = Self {
            place,
            storefront: free_port()?,
            dashboard: free_port()?,
            registry: free_port()?,
            dashboard_token,
        };
        let example = crate::workspace::read(std::path::Path::new("secrets.env.example"))?;
        let mut text = String::new();
        for name in example.lines().filter_map(|line| line.split_once('=')).map(|(name, _)| name) {
            let value = match name {
                "DASHBOARD_TOKEN" => project.dashboard_token.clone(),
                _ => random()?,
            };
            text.push_str(&format!("{name}={value}\n"));
        }
        fs::write(place.path("secrets.env"), text).context("writing the secrets")?;
        Ok(project)
    }

    /// Starts a command line of Docker's compose, against podman.
    pub(crate) fn compose<'b>(&self, args: impl IntoIterator<Item = &'b str>) -> Command {
        let binary = self.place.path("bin/docker-compose");
        let mut command = program(&binary.to_string_lossy(), args);
        command.env("DOCKER_HOST", format!("unix://{}", self.place.path("podman.sock").display()));
        command.env("DOCKER_BUILDKIT", "0");
        command.env("PENSTOCK_SECRETS", self.place.path("secrets.env"));
        let ports = [
            ("STOREFRONT_PORT", self.storefront),
            ("DASHBOARD_PORT", self.dashboard),
            ("REGISTRY_PORT", self.registry),
        ];
        command.envs(ports.map(|(name, port)| (name, port.to_string())));
        command
    }

    /// Builds every image. The first one's build makes the binaries of all; side by side, each would.
    pub(crate) fn build(&self) -> anyhow::Result<()> {
        for args in [&["build", "capture"][..], &["build"]] {
            let name = format!("docker-compose {}", args.join(" "));
            self.place.step(&name, self.compose(args.iter().copied()))?;
        }
        Ok(())
    }

    /// Starts everything, and waits until it is healthy.
    pub(crate) fn up(&self) -> anyhow::Result<()> {
        let up = ["up", "--detach", "--no-build", "--wait", "--wait-timeout", UP_LIMIT];
        self.place.step("docker-compose up", self.compose(up))
    }

    /// Stops everything, and removes containers, networks and volumes.
    pub(crate) fn down(&self) -> anyhow::Result<()> {
        self.place.step("docker-compose down", self.compose(["down", "--volumes"]))?;
        let left = output(self.place.podman(["ps", "--all", "--quiet"]))?;
        let volumes = output(self.place.podman(["volume", "ls", "--quiet"]))?;
        ensure!(left.is_empty() && volumes.is_empty(), "left over: {left:?} {volumes:?}");
        Ok(())
    }

    /// Runs `work` while the health checks run.
    pub(crate) fn while_checked<T>(&self, work: impl FnOnce() -> T) -> T {
        std::thread::scope(|scope| {
            let (finish, finished) = sync_channel(1);
            scope.spawn(move || self.check_until(&finished));
            let outcome = work();
            drop(finish);
            outcome
        })
    }

    fn check_until(&self, finished: &Receiver<()>) {
        while finished.recv_timeout(CHECK_INTERVAL) == Err(RecvTimeoutError::Timeout) {
            let names = output(self.place.podman(["ps", "--format", "{{.Names}}"]));
            for name in names.unwrap_or_default() {
                let mut check = self.place.podman(["healthcheck", "run", &name]);
                // podman keeps the outcome.
                drop(check.stdout(Stdio::null()).stderr(Stdio::null()).status());
            }
        }
    }

    /// Returns the process id of a service's container on this machine; 0 while it does not run.
    pub(crate) fn pid(&self, service: &str) -> anyhow::Result<String> {
        let format = ["inspect", "--format", "{{.State.Pid}}", &container(service)];
        Ok(output(self.place.podman(format))?.join(""))
    }

    /// Returns whether a service's health check passes now.
    pub(crate) fn is_healthy(&self, service: &str) -> bool {
        let mut check = self.place.podman(["healthcheck", "run", &container(service)]);
        let status = check.stdout(Stdio::null()).stderr(Stdio::null()).status();
        status.is_ok_and(|status| status.success())
    }

    /// Asks the source.
    pub(crate) fn psql(&self, sql: &str) -> anyhow::Result<String> {
        let psql = ["exec", "-T", "postgres", "psql", "-U", "postgres", "-d", "shop", "-Atc", sql];
        Ok(output(self.compose(psql))?.join("\n"))
    }

    /// Keeps what the services wrote, for whoever wants to know why a run failed.
    pub(crate) fn keep_logs(&self) {
        let outcome = self.place.step("services", self.compose(["logs", "--no-color"]));
        let path = self.place.path("services.log");
        match outcome {
            Ok(()) => eprintln!("the services' logs: {}", path.display()),
            Err(error) => eprintln!("no logs: {error:#}"),
        }
    }
}

fn container(service: &str) -> String {
    format!("penstock-{service}-1")
}

fn free_port() -> anyhow::Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0").context("looking for a free port")?;
    Ok(listener.local_addr()?.port())
}

/// Returns 32 random hexadecimal digits.
pub(crate) fn random() -> anyhow::Result<String> {
    let mut bytes = [0; 16];
    let mut source = fs::File::open("/dev/urandom").context("opening the random source")?;
    source.read_exact(&mut bytes).context("reading the random source")?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
