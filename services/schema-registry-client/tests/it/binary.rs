//! The program itself: settings, signals, exit codes.

use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::world::PATIENCE;

pub(crate) fn program(dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_schema-registry-client"));
    command.current_dir(dir).args(args).stdin(Stdio::null());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("PENSTOCK") {
            command.env_remove(name);
        }
    }
    command
}

#[test]
fn settings_are_printed_without_secrets_and_bad_ones_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = program(dir.path(), &["--print-config", "--listen", "127.0.0.1:9"]);
    command.env("PENSTOCK_REGISTRY_UPSTREAM", "http://u:hunter2@a:1");
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("listen = \"127.0.0.1:9\"") && !text.contains("hunter2"), "{text}");
    std::fs::write(dir.path().join("stray.toml"), "upstream_user = 'u'").unwrap();
    for (args, word) in [
        (&["--listen", "x"] as &[&str], "listen"),
        (&["--config", "none.toml"], "none.toml"),
        (&["--log-level", "loud"], "log_level"),
        (&["--no-such"], "no-such"),
        (&["--kafka", "127.0.0.1:1", "--upstream", "http://127.0.0.1:1"], "cannot both be given"),
        (&["--config", "stray.toml"], "without \"upstream\""),
    ] {
        let output = program(dir.path(), args).output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(64), "{text}");
        assert!(text.contains(word), "{text}");
    }
}

/// Kills the program if the test fails.
pub(crate) struct Running(pub(crate) Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[tokio::test]
async fn a_signal_ends_it_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let port = testkit::server::free_port();
    let listen = format!("127.0.0.1:{port}");
    let mut command = program(dir.path(), &["--listen", &listen, "--data-dir", "registry"]);
    let mut child = Running(command.stderr(Stdio::piped()).spawn().unwrap());
    let client = crate::world::client();
    testkit::server::until("it serves", PATIENCE, async || {
        let told = client.get(format!("http://{listen}/readyz")).send().await;
        told.is_ok_and(|told| told.status() == 200)
    })
    .await;
    let second = program(dir.path(), &["--listen", "127.0.0.1:0", "--data-dir", "registry"]);
    let output = { second }.output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("in use") && text.contains("fix:"), "{text}");

    let pid = Pid::from_child(&child.0);
    kill_process(pid, Signal::TERM).unwrap();
    let status = tokio::task::spawn_blocking(move || {
        let status = child.0.wait().unwrap();
        let mut log = String::new();
        child.0.stderr.take().unwrap().read_to_string(&mut log).unwrap();
        (status, log)
    });
    let (status, log) = tokio::time::timeout(PATIENCE, status).await.unwrap().unwrap();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(log.contains("stopped"), "{log}");
}
