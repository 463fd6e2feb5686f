//! Runs other programs: says what it runs, fails when they fail.

use std::process::{Command, Stdio};

use anyhow::{Context, bail, ensure};

use crate::workspace;

/// Starts a command line of cargo's, in the workspace's root.
pub(crate) fn cargo<'a>(args: impl IntoIterator<Item = &'a str>) -> Command {
    program("cargo", args)
}

/// Starts a command line of another program's, in the workspace's root.
pub(crate) fn program<'a>(name: &str, args: impl IntoIterator<Item = &'a str>) -> Command {
    let mut command = Command::new(name);
    command.args(args).current_dir(workspace::root());
    command
}

/// Runs a command with its output shown.
pub(crate) fn run(mut command: Command) -> anyhow::Result<()> {
    let line = line(&command);
    eprintln!("$ {line}");
    let status = command.status().with_context(|| format!("cannot start `{line}`"))?;
    ensure!(status.success(), "`{line}` ended with {status}");
    Ok(())
}

/// Runs a command if its tool is installed; if not, says so, which is an error when strict.
pub(crate) fn run_if_installed(command: Command, probe: Command) -> anyhow::Result<()> {
    if answers(probe) {
        return run(command);
    }
    if is_strict() {
        bail!("`{}` is not installed, and X_STRICT allows no skipping", line(&command));
    }
    eprintln!("skipped, not installed: {}", line(&command));
    Ok(())
}

/// Returns whether `X_STRICT` is set to anything but `0` or nothing.
pub(crate) fn is_strict() -> bool {
    std::env::var_os("X_STRICT").is_some_and(|value| !value.is_empty() && value != "0")
}

fn answers(mut probe: Command) -> bool {
    probe.stdout(Stdio::null()).stderr(Stdio::null());
    probe.status().is_ok_and(|status| status.success())
}

fn line(command: &Command) -> String {
    let mut words = vec![command.get_program().to_string_lossy()];
    words.extend(command.get_args().map(|arg| arg.to_string_lossy()));
    words.join(" ")
}
