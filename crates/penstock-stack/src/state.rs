//! What `stack up` leaves for the other commands: who runs where.

use std::path::PathBuf;

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};

/// What runs.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct State {
    /// The process that runs `stack up`.
    pub pid: i32,
    /// Each service's name, process and log.
    pub services: Vec<ServiceState>,
}

/// A service that runs.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ServiceState {
    /// Its name.
    pub name: String,
    /// Its process.
    pub pid: Option<i32>,
    /// Its log.
    pub log: PathBuf,
    /// Its address.
    pub url: String,
}

/// The file that holds it.
#[derive(Debug)]
pub struct StateFile(PathBuf);

impl StateFile {
    /// Names the file of this user.
    pub fn of_user() -> Self {
        let user = rustix::process::geteuid().as_raw();
        Self(std::env::temp_dir().join(format!("penstock-stack-{user}.json")))
    }

    /// Reads it.
    ///
    /// # Errors
    /// If no stack is up.
    pub fn read(&self) -> anyhow::Result<State> {
        let text = match std::fs::read_to_string(&self.0) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                bail!("no stack is up; start one with: scripts/stack up")
            }
            text => text.with_context(|| format!("reading {}", self.0.display()))?,
        };
        serde_json::from_str(&text).with_context(|| format!("reading {}", self.0.display()))
    }

    /// Writes it.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write(&self, state: &State) -> anyhow::Result<()> {
        let fresh = self.0.with_extension("new");
        std::fs::write(&fresh, serde_json::to_string_pretty(state)?)?;
        Ok(std::fs::rename(&fresh, &self.0)?)
    }

    /// Removes it.
    pub fn remove(&self) {
        drop(std::fs::remove_file(&self.0));
    }
}
