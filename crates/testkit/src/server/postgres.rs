//! A PostgreSQL server for one test.
//!
//! `initdb` takes seconds, so it runs once per version into a template beside the fetched parts;
//! each server starts on a copy. Superuser `postgres`, trusted from loopback; `C` locale, UTC.
//!
//! By default `fsync` is off: a killed server loses nothing for it, only a killed machine would.
//! Benchmarks pass `("fsync", "on")`.

use std::fmt::Write as _;
use std::ops::Deref;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio_postgres::{NoTls, SimpleQueryMessage};

use super::process::{ServerProcess, User, command};
use super::{deps, free_port, scratch};

mod template;

const START_LIMIT: Duration = Duration::from_secs(120);
const STOP_LIMIT: Duration = Duration::from_secs(60);

/// After a crash the children of the dead server may hold its shared memory for a moment.
const START_ATTEMPTS_MAX: u32 = 20;

/// A major version that tests run against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// PostgreSQL 15.
    V15,
    /// PostgreSQL 18.
    V18,
}

impl Version {
    /// Every version that tests run against, oldest first.
    pub const ALL: [Self; 2] = [Self::V15, Self::V18];

    /// Returns the major version's number.
    pub fn major(self) -> u32 {
        match self {
            Self::V15 => 15,
            Self::V18 => 18,
        }
    }
}

/// A server with `wal_level = logical`, stopped and removed when dropped.
#[derive(Debug)]
pub struct Postgres {
    version: Version,
    port: u16,
    // Before the folder: the process ends first.
    process: Mutex<Option<Arc<ServerProcess>>>,
    dir: TempDir,
}

/// A connection to a server, closed when dropped.
#[derive(Debug)]
pub struct Connection {
    client: tokio_postgres::Client,
    _driver: JoinSet<()>,
}

impl Deref for Connection {
    type Target = tokio_postgres::Client;

    fn deref(&self) -> &Self::Target {
        &self.client
    }
}

impl Postgres {
    /// Starts a server with the default settings.
    pub async fn start(version: Version) -> Self {
        Self::start_with(version, &[]).await
    }

    /// Starts a server; `settings` go last into its `postgresql.conf` and win.
    pub async fn start_with(version: Version, settings: &[(&str, &str)]) -> Self {
        let dir = scratch::folder("postgres");
        scratch::give_away(dir.path());
        template::copy(version, &dir.path().join("data"));
        let server = Self { version, port: free_port(), process: Mutex::new(None), dir };
        server.configure(settings);
        server.start_again().await;
        server
    }

    /// Returns the server's version.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Returns the port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns the process id of the postmaster.
    pub fn pid(&self) -> i32 {
        self.running().pid()
    }

    /// Returns the data folder.
    pub fn data_dir(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// Returns a URL of a database for the superuser.
    pub fn dsn(&self, database: &str) -> String {
        self.dsn_as("postgres", database)
    }

    /// Returns a URL of a database for `user`, which may be written `user:password`.
    pub fn dsn_as(&self, user: &str, database: &str) -> String {
        format!("postgres://{user}@127.0.0.1:{}/{database}", self.port)
    }

    /// Connects to the database `postgres` as superuser.
    pub async fn client(&self) -> Connection {
        self.client_of(&self.dsn("postgres")).await
    }

    /// Connects to a database of this server.
    pub async fn client_of(&self, dsn: &str) -> Connection {
        match connect(dsn).await {
            Ok(connection) => connection,
            Err(error) => panic!("connecting to {dsn}: {error:?}\n{}", self.log_tail()),
        }
    }

    /// Runs statements in the database `postgres` as superuser, on a connection of their own.
    ///
    /// Without `BEGIN` in it, all of `sql` is one transaction.
    pub async fn sql(&self, sql: &str) {
        if let Err(error) = self.client().await.batch_execute(sql).await {
            panic!("running {sql:?}: {error:?}");
        }
    }

    /// Runs a query in the database `postgres` and returns its rows as text, NULL as `None`.
    pub async fn rows(&self, sql: &str) -> Vec<Vec<Option<String>>> {
        let messages = self.client().await.simple_query(sql).await;
        let messages = messages.unwrap_or_else(|error| panic!("running {sql:?}: {error:?}"));
        let rows = messages.iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => {
                Some((0..row.len()).map(|i| row.get(i).map(str::to_owned)).collect())
            }
            _ => None,
        });
        rows.collect()
    }

    /// Runs a query and returns the one value it yields, as text; panics on no row or NULL.
    pub async fn value(&self, sql: &str) -> String {
        let first = self.rows(sql).await.into_iter().flatten().next().flatten();
        first.unwrap_or_else(|| panic!("no value from {sql:?}"))
    }

    /// Stops the server (clients are disconnected) and starts it again on the same port.
    pub async fn restart(&self) {
        self.stop().await;
        self.start_again().await;
    }

    /// Stops the server in order: clients are disconnected, walsenders send what is left.
    pub async fn stop(&self) {
        self.end(Signal::INT).await;
    }

    /// Crashes the server as `pg_ctl stop -m immediate` does: the next start recovers from the WAL.
    pub async fn stop_immediate(&self) {
        self.end(Signal::QUIT).await;
    }

    /// Kills the postmaster; its children end by themselves.
    pub async fn kill9(&self) {
        self.end(Signal::KILL).await;
    }

    /// Starts the stopped server on the same data and port.
    pub async fn start_again(&self) {
        for _ in 0..START_ATTEMPTS_MAX {
            let process = Arc::new(self.spawn());
            let dsn = self.dsn("postgres");
            let is_ready = process.wait_ready(START_LIMIT, async || answers(&dsn).await).await;
            let log = process.log_tail();
            *self.slot() = Some(process);
            if is_ready {
                return;
            }
            assert!(log.contains("shared memory") || log.contains("postmaster.pid"), "{log}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("postgres {} does not start again:\n{}", self.version.major(), self.log_tail());
    }

    /// Replaces `pg_hba.conf` and reloads it.
    pub async fn set_hba(&self, lines: &[&str]) {
        self.put_file("pg_hba.conf", lines.join("\n").as_bytes());
        self.sql("SELECT pg_reload_conf()").await;
    }

    /// Writes a file into the data folder, readable by the server only (as a TLS key must be).
    pub fn put_file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.data_dir().join(name);
        std::fs::write(&path, bytes).expect("writing into the data folder");
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600))
            .expect("setting the mode of a file of ours");
        scratch::give_away(&path);
        path
    }

    /// Returns the end of the server's log.
    pub fn log_tail(&self) -> String {
        self.slot().as_ref().map_or_else(String::new, |process| process.log_tail())
    }

    fn configure(&self, settings: &[(&str, &str)]) {
        let mut text = std::fs::read_to_string(self.data_dir().join("postgresql.conf"))
            .expect("reading postgresql.conf");
        let port = self.port.to_string();
        let dir = self.dir.path().display().to_string();
        let own: [(&str, &str); 12] = [
            ("port", &port),
            ("listen_addresses", "127.0.0.1"),
            ("unix_socket_directories", &dir),
            ("wal_level", "logical"),
            ("max_wal_senders", "20"),
            ("max_replication_slots", "20"),
            ("max_connections", "60"),
            ("shared_buffers", "32MB"),
            ("fsync", "off"),
            ("timezone", "UTC"),
            ("log_timezone", "UTC"),
            ("log_line_prefix", "%m [%p] %a "),
        ];
        for (name, value) in own.iter().chain(settings) {
            let value = value.replace('\'', "''");
            writeln!(text, "{name} = '{value}'").expect("invariant: strings take writes");
        }
        self.put_file("postgresql.conf", text.as_bytes());
    }

    fn spawn(&self) -> ServerProcess {
        let bin = deps::postgres(self.version).join("bin");
        let mut command = postgres_command(&bin.join("postgres"), self.dir.path());
        command.arg("-D").arg(self.data_dir());
        // The test's user makes the log, before the server's would.
        ServerProcess::spawn("postgres", command, Signal::QUIT, &self.dir.path().join("log"))
    }

    async fn end(&self, signal: Signal) {
        let process = self.running();
        process.stop(signal, STOP_LIMIT).await;
    }

    fn running(&self) -> Arc<ServerProcess> {
        self.slot().clone().expect("invariant: start_with leaves a process")
    }

    fn slot(&self) -> std::sync::MutexGuard<'_, Option<Arc<ServerProcess>>> {
        self.process.lock().expect("invariant: never poisoned")
    }
}

/// A program of PostgreSQL's as a user it accepts, in a folder that user can enter, uninfluenced by
/// the caller's `PG*` variables.
fn postgres_command(program: &Path, dir: &Path) -> std::process::Command {
    let mut command = command(program, User::Unprivileged, Signal::QUIT);
    command.current_dir(dir).env("LC_ALL", "C").env("TZ", "UTC");
    for name in std::env::vars_os().map(|(name, _)| name) {
        if name.to_string_lossy().starts_with("PG") {
            command.env_remove(name);
        }
    }
    command
}

async fn connect(dsn: &str) -> Result<Connection, tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::connect(dsn, NoTls).await?;
    let mut driver = JoinSet::new();
    // Its error reaches the client's calls too.
    driver.spawn(async move { drop(connection.await) });
    Ok(Connection { client, _driver: driver })
}

async fn answers(dsn: &str) -> bool {
    match connect(dsn).await {
        Ok(connection) => connection.simple_query("SELECT 1").await.is_ok(),
        Err(error) => {
            // A test may have closed the door to the superuser; the server is up all the same.
            let code = error.code().map(tokio_postgres::error::SqlState::code);
            code.is_some_and(|code| code.starts_with("28"))
        }
    }
}
