//! The program itself: settings and exit codes.

use std::path::Path;
use std::process::{Command, Stdio};

fn program(dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_storefront"));
    command.current_dir(dir).args(args).stdin(Stdio::null());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("PENSTOCK") {
            command.env_remove(name);
        }
    }
    command
}

#[test]
fn settings_come_from_file_environment_and_flags_and_are_printed_without_secrets() {
    let dir = tempfile::tempdir().unwrap();
    let file =
        "database = \"postgres://u:hunter2@db/shop\"\ncontrol = [\"a:1\", \"dir\"]\nrate = 3\n";
    std::fs::write(dir.path().join("shop.toml"), file).unwrap();
    std::fs::write(dir.path().join("token"), "hunter2\n").unwrap();
    let args =
        ["--config", "shop.toml", "--print-config", "--rate", "7", "--control-token-file", "token"];
    let mut command = program(dir.path(), &args);
    command.env("PENSTOCK_STOREFRONT_RATE", "5").env("PENSTOCK_STOREFRONT_LISTEN", "127.0.0.1:9");
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    for line in [
        "database = \"postgres://u:***@db/shop\"",
        "control = \"a:1,dir\"",
        "control_token = \"***\"",
        "listen = \"127.0.0.1:9\"",
        "rate = 7.0",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    assert!(!text.contains("hunter2"), "{text}");
}

#[test]
fn what_is_wrong_is_told_with_a_remedy() {
    let dir = tempfile::tempdir().unwrap();
    for (args, code, word) in [
        (&["--listen", "x"] as &[&str], 64, "\"listen\""),
        (&["--config", "none.toml"], 64, "none.toml"),
        (&["--log-level", "loud"], 64, "log_level"),
        (&["--no-such"], 64, "no-such"),
        (&[], 64, "has no database"),
        (&["--database", "nonsense", "--listen", "127.0.0.1:0"], 1, "cannot be read"),
    ] {
        let output = program(dir.path(), args).output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{args:?}: {text}");
        assert!(text.contains(word), "{text}");
    }
}
