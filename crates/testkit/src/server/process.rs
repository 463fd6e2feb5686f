//! One server process: its output in a file, its end awaited by a thread of its own.
//!
//! The thread starts the process and lives exactly as long: the kernel delivers the parent-death
//! signal when the *thread* that started a child ends, and a test's thread would be too short-lived
//! for a server that several tests share.

use std::fs::File;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process};

use super::{POLL_INTERVAL, scratch};

/// How long a dropped server may take to end before it is killed.
const DROP_LIMIT: Duration = Duration::from_secs(5);

const LOG_TAIL_BYTES: usize = 4_000;

/// Who the process runs as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum User {
    /// The test's own user.
    Same,
    /// An unprivileged one if the test runs as root.
    Unprivileged,
}

/// A running server, signalled to end and then killed when dropped.
#[derive(Debug)]
pub struct ServerProcess {
    name: &'static str,
    pid: Pid,
    end: Arc<End>,
    last_signal: Signal,
    log: PathBuf,
}

#[derive(Debug, Default)]
struct End {
    status: Mutex<Option<ExitStatus>>,
    changed: Condvar,
}

impl End {
    fn lock(&self) -> MutexGuard<'_, Option<ExitStatus>> {
        self.status.lock().expect("invariant: never poisoned")
    }
}

/// Builds the command for `program` as `user`, to receive `last_signal` when this process dies.
pub fn command(program: impl AsRef<Path>, user: User, last_signal: Signal) -> Command {
    let signal = match last_signal {
        Signal::QUIT => "QUIT",
        Signal::TERM => "TERM",
        _ => "KILL",
    };
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", signal]);
    if user == User::Unprivileged && scratch::is_root() {
        let id = scratch::NOBODY;
        command.args([&format!("--reuid={id}"), &format!("--regid={id}"), "--clear-groups"]);
    }
    command.arg("--").arg(program.as_ref());
    command
}

impl ServerProcess {
    /// Starts `command`, as made by [`command`], its output going to `log`.
    ///
    /// `last_signal` ends it when the value is dropped or this process dies.
    pub fn spawn(
        name: &'static str,
        mut command: Command,
        last_signal: Signal,
        log: &Path,
    ) -> Self {
        let output = File::create(log).expect("creating the server's log");
        command
            .stdin(Stdio::null())
            .stdout(output.try_clone().expect("sharing the server's log"))
            .stderr(output)
            .process_group(0);
        let end = Arc::new(End::default());
        let pid = spawn_and_await(name, command, Arc::clone(&end));
        Self { name, pid, end, last_signal, log: log.to_owned() }
    }

    /// Returns the process id.
    pub fn pid(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }

    /// Returns how the process ended, or `None` while it runs.
    pub fn exit_status(&self) -> Option<ExitStatus> {
        *self.end.lock()
    }

    /// Sends a signal, unless the process has ended.
    pub fn signal(&self, signal: Signal) {
        let status = self.end.lock();
        if status.is_none() {
            match kill_process(self.pid, signal) {
                // Waited for, but its end is not published yet.
                Ok(()) | Err(Errno::SRCH) => {}
                Err(error) => panic!("signalling {}: {error}", self.name),
            }
        }
    }

    /// Sends `signal` and waits for the end; after `limit` the process is killed.
    pub async fn stop(&self, signal: Signal, limit: Duration) {
        self.signal(signal);
        let ended = async {
            while self.exit_status().is_none() {
                tokio::time::sleep(POLL_INTERVAL).await;
            }
        };
        if tokio::time::timeout(limit, ended).await.is_err() {
            self.signal(Signal::KILL);
            self.await_end(DROP_LIMIT);
        }
    }

    /// Waits until `ready` holds, asking every 20 ms. Returns whether it came to that before the
    /// process ended; panics with its log after `limit`.
    pub async fn wait_ready(&self, limit: Duration, mut ready: impl AsyncFnMut() -> bool) -> bool {
        let started = tokio::time::Instant::now();
        loop {
            if self.exit_status().is_some() {
                return false;
            }
            if ready().await {
                return true;
            }
            let is_late = started.elapsed() > limit;
            assert!(!is_late, "{} not ready in {limit:?}:\n{}", self.name, self.log_tail());
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    /// Returns the end of what the process wrote.
    pub fn log_tail(&self) -> String {
        let log = self.read_log();
        let start = log.len().saturating_sub(LOG_TAIL_BYTES);
        String::from_utf8_lossy(log.get(start..).unwrap_or_default()).into_owned()
    }

    /// Returns whether the process has written `text`.
    pub fn has_logged(&self, text: &str) -> bool {
        String::from_utf8_lossy(&self.read_log()).contains(text)
    }

    fn read_log(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let read = File::open(&self.log).and_then(|mut file| file.read_to_end(&mut bytes));
        read.map_or_else(|error| error.to_string().into_bytes(), |_| bytes)
    }

    /// Blocks until the process has ended; returns whether it did within `limit`.
    fn await_end(&self, limit: Duration) -> bool {
        let status = self.end.lock();
        let waited = self.end.changed.wait_timeout_while(status, limit, |s| s.is_none());
        waited.is_ok_and(|(_, timeout)| !timeout.timed_out())
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        self.signal(self.last_signal);
        // A stopped process takes no signal but these two.
        self.signal(Signal::CONT);
        if !self.await_end(DROP_LIMIT) {
            self.signal(Signal::KILL);
            self.await_end(DROP_LIMIT);
        }
    }
}

/// Starts the process on a thread that waits for its end; returns the process id.
fn spawn_and_await(name: &'static str, mut command: Command, end: Arc<End>) -> Pid {
    let (sender, receiver) = mpsc::sync_channel(1);
    let thread = std::thread::Builder::new().name(format!("await-{name}"));
    let started = thread.spawn(move || {
        let child = command.spawn();
        let pid = child.as_ref().map(Pid::from_child).map_err(ToString::to_string);
        sender.send(pid).expect("invariant: the receiver waits");
        if let Ok(child) = child {
            publish_end(child, &end);
        }
    });
    started.expect("starting a thread");
    let answer = receiver.recv().expect("invariant: the thread answers");
    answer.unwrap_or_else(|error| panic!("cannot start {name}: {error}"))
}

fn publish_end(mut child: Child, end: &End) {
    let status = child.wait().expect("waiting for a child of ours");
    *end.lock() = Some(status);
    end.changed.notify_all();
}
