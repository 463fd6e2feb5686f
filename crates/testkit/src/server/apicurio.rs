//! Apicurio Registry with Confluent's API, its store in memory: a real registry to test against.

use std::sync::Mutex;
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::OnceCell;

use super::process::{ServerProcess, User, command};
use super::{deps, free_port, scratch};

const START_LIMIT: Duration = Duration::from_secs(120);
const STOP_LIMIT: Duration = Duration::from_secs(60);
const API: &str = "/apis/ccompat/v7";

/// A registry, killed and removed when dropped. It forgets everything when stopped.
#[derive(Debug)]
pub struct Apicurio {
    port: u16,
    // Before the folder: the process ends first.
    process: Mutex<Option<ServerProcess>>,
    dir: TempDir,
}

impl Apicurio {
    /// Starts a registry of its own.
    pub async fn start() -> Self {
        let dir = scratch::folder("apicurio");
        let registry = Self { port: free_port(), process: Mutex::new(None), dir };
        registry.start_again().await;
        registry
    }

    /// Returns the registry that this test process shares, starting it at the first call. It ends
    /// with the process.
    pub async fn shared() -> &'static Self {
        static SHARED: OnceCell<Apicurio> = OnceCell::const_new();
        SHARED.get_or_init(Self::start).await
    }

    /// Returns the base URL of Confluent's API, without a slash at the end.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}{API}", self.port)
    }

    /// Stops the registry: connections are refused from now on.
    pub async fn stop(&self) {
        let process = self.take();
        if let Some(process) = process {
            process.stop(Signal::KILL, STOP_LIMIT).await;
        }
    }

    /// Freezes the registry: connections are taken, nothing is answered.
    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets a paused registry go on.
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        if let Some(process) = &*self.process.lock().expect("invariant: never poisoned") {
            process.signal(signal);
        }
    }

    /// Starts the stopped registry, empty, on the same port.
    pub async fn start_again(&self) {
        let mut java = command("java", User::Same, Signal::KILL);
        java.args(["-Xms128m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]);
        java.arg("-Dquarkus.http.host=127.0.0.1");
        java.arg(format!("-Dquarkus.http.port={}", self.port));
        java.arg("-jar").arg(deps::apicurio_jar()).current_dir(self.dir.path());
        let log = self.dir.path().join("log");
        let process = ServerProcess::spawn("apicurio", java, Signal::KILL, &log);
        let ready = async || answers(self.port).await.unwrap_or(false);
        let is_ready = process.wait_ready(START_LIMIT, ready).await;
        assert!(is_ready, "apicurio ends while it starts:\n{}", process.log_tail());
        *self.process.lock().expect("invariant: never poisoned") = Some(process);
    }

    fn take(&self) -> Option<ServerProcess> {
        self.process.lock().expect("invariant: never poisoned").take()
    }
}

/// Asks for the list of subjects and returns whether the answer was 200.
async fn answers(port: u16) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    let request = format!("GET {API}/subjects HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(answer.starts_with(b"HTTP/1.1 200"))
}
