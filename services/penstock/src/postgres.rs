//! A PostgreSQL of one's own, for `penstock dev`: made in a directory, started
//! on a free loopback port, stopped again.
//!
//! PostgreSQL refuses to run as root; then it runs as `nobody`, and its data lies where `nobody`
//! may go, in `/var/lib/penstock`.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::TcpListener;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::process::{Child, Command};

/// How long a server may take to start or stop.
const PATIENCE: Duration = Duration::from_secs(60);

/// The settings that capture needs, and a laptop can do without.
const SETTINGS: [&str; 6] = [
    "wal_level=logical",
    "max_wal_senders=10",
    "max_replication_slots=10",
    "shared_buffers=64MB",
    "max_wal_size=1GB",
    "log_min_messages=warning",
];

/// A running server. Dropping it stops it at once, as a crash would; see [`OwnPostgres::stop`].
#[derive(Debug)]
pub struct OwnPostgres {
    child: Child,
    port: u16,
    log: PathBuf,
}

impl OwnPostgres {
    /// Starts the server whose data is kept for `data_dir`, making it first if there is none.
    /// `programs` is the installation, with `bin/postgres` and `bin/initdb`.
    ///
    /// # Errors
    /// What failed, with the end of the server's own log.
    pub async fn start(programs: &Path, data_dir: &Path) -> anyhow::Result<Self> {
        let programs = std::fs::canonicalize(programs)
            .with_context(|| format!("no PostgreSQL in {}", programs.display()))?;
        std::fs::create_dir_all(data_dir)?;
        let place = Place::of(&std::fs::canonicalize(data_dir)?)?;
        let data = place.dir.join("data");
        if !data.join("PG_VERSION").exists() {
            place.initialise(&programs, &data).await?;
        }
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let log = place.dir.join("postgres.log");
        let output = std::fs::File::create(&log)?;
        let mut command = place.command(&programs.join("bin/postgres"));
        command.arg("-D").arg(&data).arg("-p").arg(port.to_string());
        command.args(["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="]);
        for setting in SETTINGS {
            command.args(["-c", setting]);
        }
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(output)
            .kill_on_drop(true)
            .process_group(0)
            .spawn()
            .context("starting PostgreSQL")?;
        let mut server = Self { child, port, log };
        server.wait_until_ready().await?;
        Ok(server)
    }

    /// Returns how to connect to it as its superuser.
    pub fn dsn(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    /// Stops it, waiting for open sessions no longer than it takes to end them.
    ///
    /// # Errors
    /// If it does not stop.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        let pid = self.child.id().context("PostgreSQL ended by itself")?;
        // SIGINT is PostgreSQL's fast shutdown.
        let signalled = Command::new("kill").args(["-INT", &pid.to_string()]).status().await?;
        if !signalled.success() {
            bail!("PostgreSQL ended by itself");
        }
        tokio::time::timeout(PATIENCE, self.child.wait()).await.context("it did not stop")??;
        Ok(())
    }

    async fn wait_until_ready(&mut self) -> anyhow::Result<()> {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let connected = tokio_postgres::connect(&self.dsn(), tokio_postgres::NoTls).await;
            let Err(error) = connected else { return Ok(()) };
            if let Some(status) = self.child.try_wait()? {
                bail!("PostgreSQL ended with {status}: {}", self.last_words());
            }
            if tokio::time::Instant::now() > deadline {
                return Err(error).with_context(|| format!("PostgreSQL: {}", self.last_words()));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    fn last_words(&self) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = log.lines().rev().take(3).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join(" | ")
    }
}

/// Where a server's files are, and as whom it runs.
struct Place {
    dir: PathBuf,
    runs_as_nobody: bool,
}

impl Place {
    fn of(data_dir: &Path) -> anyhow::Result<Self> {
        let is_root = std::fs::metadata("/proc/self")?.uid() == 0;
        if !is_root {
            let dir = data_dir.join("postgres");
            std::fs::create_dir_all(&dir)?;
            return Ok(Self { dir, runs_as_nobody: false });
        }
        let mut hasher = DefaultHasher::new();
        data_dir.hash(&mut hasher);
        let dir = Path::new("/var/lib/penstock").join(format!("dev-{:016x}", hasher.finish()));
        // A data directory that was removed and is new again gets a new database too.
        let marker = data_dir.join("postgres");
        if !marker.exists() && dir.exists() {
            std::fs::remove_dir_all(&dir).with_context(|| format!("removing {}", dir.display()))?;
        }
        std::fs::create_dir_all(&dir).with_context(|| format!("making {}", dir.display()))?;
        std::fs::write(&marker, format!("{}\n", dir.display()))?;
        let owned = std::process::Command::new("chown").arg("nobody").arg(&dir).status()?;
        if !owned.success() {
            bail!("{} cannot be given to user nobody", dir.display());
        }
        Ok(Self { dir, runs_as_nobody: true })
    }

    /// A command that ends with this process and runs as whom PostgreSQL accepts.
    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "INT"]);
        if self.runs_as_nobody {
            command.args(["--reuid", "nobody", "--regid", "nogroup", "--clear-groups"]);
        }
        command.arg(program).current_dir(&self.dir);
        command
    }

    async fn initialise(&self, programs: &Path, data: &Path) -> anyhow::Result<()> {
        let mut command = self.command(&programs.join("bin/initdb"));
        command.arg("-D").arg(data).args(["-U", "postgres", "-A", "trust", "--no-sync"]);
        command.args(["-E", "UTF8", "--locale=C.UTF-8"]);
        let output = command.output().await.context("running initdb")?;
        if !output.status.success() {
            bail!("initdb failed: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(())
    }
}
