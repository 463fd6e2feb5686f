//! An initialised data folder per version, made once and copied for each server.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Version, postgres_command};
use crate::server::{deps, scratch};

/// Copies the version's template to `data`, which must not exist.
pub(super) fn copy(version: Version, data: &Path) {
    let template = obtain(version);
    duplicate(&template, data);
}

/// Returns the template's path, making it if it is not there. Safe against other processes.
fn obtain(version: Version) -> PathBuf {
    let home = deps::root().join("templates");
    std::fs::create_dir_all(&home).expect("making the templates' folder");
    // Kept apart by owner: a template made as root belongs to the unprivileged user.
    let owner = rustix::process::geteuid().as_raw();
    let name = format!("postgres-{}-{owner}", version.major());
    let template = home.join(&name);
    let lock = File::create(home.join(format!("{name}.lock"))).expect("making the lock");
    lock.lock().expect("locking the template");
    if !template.exists() {
        let dir = scratch::folder("initdb");
        scratch::give_away(dir.path());
        initialise(version, dir.path());
        let half = home.join(format!("{name}.half"));
        drop(std::fs::remove_dir_all(&half));
        duplicate(&dir.path().join("data"), &half);
        std::fs::rename(&half, &template).expect("naming the finished template");
    }
    template
}

fn initialise(version: Version, dir: &Path) {
    let initdb = deps::postgres(version).join("bin/initdb");
    let mut command = postgres_command(&initdb, dir);
    command.arg("-D").arg(dir.join("data"));
    command.args(["-U", "postgres", "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C"]);
    run(command);
}

fn duplicate(from: &Path, to: &Path) {
    let mut command = Command::new("cp");
    command.args(["-a", "--reflink=auto"]).arg(from).arg(to);
    run(command);
}

fn run(mut command: Command) {
    let output = command.output().unwrap_or_else(|error| panic!("starting {command:?}: {error}"));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{text}", output.status);
}
