//! Starts, watches, kills and stops the processes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context;
use cdc_control::{Client, v1};
use rustix::process::Signal;
use testkit::server::kafka::Kafka;
use testkit::server::postgres::{Postgres, Version};
use testkit::server::process::{ServerProcess, User, command};
use testkit::server::{free_port, until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::role::{Addresses, Ports, ROLE, Role};

const READY_LIMIT: Duration = Duration::from_secs(120);
const STOP_LIMIT: Duration = Duration::from_secs(30);

/// What runs.
#[derive(Debug)]
pub struct Stack {
    // Before the servers that they use, and the folder that they write to.
    services: Mutex<BTreeMap<Role, ServerProcess>>,
    addresses: Addresses,
    postgres: Postgres,
    kafka: Kafka,
    program: PathBuf,
    dir: tempfile::TempDir,
}

impl Stack {
    /// Starts the servers and every service, and waits until each is ready. `program` is the binary
    /// `stack`.
    ///
    /// # Errors
    /// If a folder cannot be made.
    ///
    /// # Panics
    /// If a server or service does not come up.
    pub async fn start(program: &Path) -> anyhow::Result<Self> {
        let (postgres, kafka) = tokio::join!(Postgres::start(Version::V18), Kafka::start());
        Self::start_on(postgres, kafka, program).await
    }

    /// The same, on servers that run already.
    ///
    /// # Errors
    /// If a folder cannot be made.
    ///
    /// # Panics
    /// If a service does not come up.
    pub async fn start_on(
        postgres: Postgres,
        kafka: Kafka,
        program: &Path,
    ) -> anyhow::Result<Self> {
        let dir = tempfile::Builder::new().prefix("penstock-stack-").tempdir()?;
        let own = |role| (role, Ports { http: free_port(), control: free_port() });
        let addresses = Addresses {
            database: postgres.dsn("postgres"),
            kafka: kafka.bootstrap(),
            ports: Role::ALL.into_iter().map(own).collect(),
        };
        let services = Mutex::default();
        let program = program.to_owned();
        let stack = Self { services, addresses, postgres, kafka, program, dir };
        for role in Role::ALL {
            stack.start_service(role)?;
            // The shop makes the tables that capture looks for.
            if matches!(role, Role::Registry | Role::Storefront) {
                stack.until_ready(role).await;
            }
        }
        for role in Role::ALL {
            stack.until_ready(role).await;
        }
        Ok(stack)
    }

    /// Starts a service that does not run.
    ///
    /// # Errors
    /// If its folder cannot be made.
    pub fn start_service(&self, role: Role) -> anyhow::Result<()> {
        let process = self.spawn(role, &self.addresses, role.name())?;
        self.services().insert(role, process);
        Ok(())
    }

    /// Starts another instance of a service beside the first, on ports of its own and on the same
    /// data, and returns it with the address of its control.
    ///
    /// # Errors
    /// If its folder cannot be made.
    pub fn start_second(&self, role: Role) -> anyhow::Result<(ServerProcess, String)> {
        let mut ports = self.addresses.ports.clone();
        let own = Ports { http: free_port(), control: free_port() };
        ports.insert(role, own);
        let addresses = Addresses {
            database: self.addresses.database.clone(),
            kafka: self.addresses.kafka.clone(),
            ports,
        };
        // Capture's lock is the slot; the stores of a projector are in its folder.
        let dir = if role == Role::Capture { "capture-2" } else { role.name() };
        let process = self.spawn(role, &addresses, dir)?;
        Ok((process, format!("127.0.0.1:{}", own.control)))
    }

    fn spawn(&self, role: Role, at: &Addresses, dir: &str) -> anyhow::Result<ServerProcess> {
        let dir = self.dir.path().join(dir);
        std::fs::create_dir_all(&dir).context("making a service's folder")?;
        let mut command = command(&self.program, User::Same, Signal::KILL);
        command.env(ROLE, role.name()).current_dir(&dir);
        command.envs(role.environment(at, &dir));
        Ok(ServerProcess::spawn(role.name(), command, Signal::TERM, &self.log_path(role)))
    }

    /// Waits until a service says that it is ready.
    ///
    /// # Panics
    /// With its log, if it does not within two minutes.
    pub async fn until_ready(&self, role: Role) {
        let deadline = tokio::time::Instant::now() + READY_LIMIT;
        while !self.is_ready(role).await {
            let is_late = tokio::time::Instant::now() > deadline;
            assert!(!is_late, "{} is not ready:\n{}", role.name(), self.log_tail(role));
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Returns whether a service says that it is ready.
    pub async fn is_ready(&self, role: Role) -> bool {
        let path = if role == Role::Dashboard { "/healthz" } else { "/readyz" };
        let got = tokio::time::timeout(Duration::from_secs(2), get(self.port(role), path)).await;
        matches!(got, Ok(Ok(answer)) if answer.starts_with("HTTP/1.1 200"))
    }

    /// Returns the port that a service serves HTTP on.
    pub fn port(&self, role: Role) -> u16 {
        self.addresses.ports.get(&role).map_or(0, |ports| ports.http)
    }

    /// Returns a client of a service's control.
    ///
    /// # Panics
    /// Never: the address is one.
    pub fn control(&self, role: Role) -> Client {
        let port = self.addresses.ports.get(&role).map_or(0, |ports| ports.control);
        Client::of_address(&format!("127.0.0.1:{port}"), None).expect("invariant: an address")
    }

    /// Asks capture, the projector and the registry, and puts together what answers.
    pub async fn status(&self) -> v1::StatusReply {
        let mut told = Vec::new();
        for role in Role::TOLD {
            told.extend(self.control(role).status().await.ok());
        }
        cdc_control::merge(told)
    }

    /// Returns the database server.
    pub fn postgres(&self) -> &Postgres {
        &self.postgres
    }

    /// Returns the broker.
    pub fn kafka(&self) -> &Kafka {
        &self.kafka
    }

    /// Returns whether a service's process lives.
    pub fn is_alive(&self, role: Role) -> bool {
        self.services().get(&role).is_some_and(|process| process.exit_status().is_none())
    }

    /// Returns a service's process id, if it lives.
    pub fn pid(&self, role: Role) -> Option<i32> {
        let services = self.services();
        let process = services.get(&role).filter(|process| process.exit_status().is_none())?;
        Some(process.pid())
    }

    /// Sends a signal to a service.
    pub fn signal(&self, role: Role, signal: Signal) {
        if let Some(process) = self.services().get(&role) {
            process.signal(signal);
        }
    }

    /// Kills a service, waits for its end, and starts it again.
    ///
    /// # Errors
    /// If its folder cannot be made.
    pub async fn kill(&self, role: Role) -> anyhow::Result<()> {
        self.end(role, Signal::KILL).await;
        self.start_service(role)
    }

    /// Asks a service to stop, and returns whether it ended with exit code 0.
    pub async fn stop_service(&self, role: Role) -> bool {
        self.end(role, Signal::TERM).await.is_some_and(|status| status.success())
    }

    async fn end(&self, role: Role, signal: Signal) -> Option<std::process::ExitStatus> {
        let process = self.services().remove(&role)?;
        process.stop(signal, STOP_LIMIT).await;
        until("a process has ended", STOP_LIMIT, async || process.exit_status().is_some()).await;
        process.exit_status()
    }

    /// Stops every service in order.
    pub async fn stop(self) {
        for role in Role::ALL.into_iter().rev() {
            self.stop_service(role).await;
        }
    }

    /// Returns where a service keeps what is its own.
    pub fn data_dir(&self, role: Role) -> PathBuf {
        self.dir.path().join(role.name())
    }

    /// Gets a page of a service: its body, whatever the status.
    ///
    /// # Errors
    /// If nothing answers.
    pub async fn page(&self, role: Role, path: &str) -> std::io::Result<String> {
        let answer = get(self.port(role), path).await?;
        Ok(answer.split_once("\r\n\r\n").map_or_else(String::new, |(_, body)| body.to_owned()))
    }

    /// Returns where a service writes its log.
    pub fn log_path(&self, role: Role) -> PathBuf {
        self.dir.path().join(format!("{}.log", role.name()))
    }

    /// Returns the end of a service's log.
    pub fn log_tail(&self, role: Role) -> String {
        self.services().get(&role).map_or_else(String::new, ServerProcess::log_tail)
    }

    fn services(&self) -> MutexGuard<'_, BTreeMap<Role, ServerProcess>> {
        self.services.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Gets a page of a service on this machine, head and all.
///
/// # Errors
/// If nothing answers.
pub async fn get(port: u16, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
