//! The binary's settings: file < environment < flags.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use crate::config::{DashboardConfig, Endpoint, LISTEN};

/// Environment variables that begin so are settings.
pub(crate) const ENVIRONMENT_PREFIX: &str = "PENSTOCK_DASHBOARD_";

/// What can be set, under the same names in a file, in the environment (in capitals) and as flags
/// (with dashes).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Settings {
    /// Where the page is served.
    pub(crate) listen: SocketAddr,
    /// Control endpoints to ask, `HOST:PORT`; in the environment with commas between them.
    pub(crate) control: Vec<String>,
    /// A pipeline's data directory, to ask it over its socket.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) data_dir: Option<PathBuf>,
    /// A file with the token that control endpoints want to hear.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) control_token_file: Option<PathBuf>,
    /// A file with the token that a person types to see the page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) token_file: Option<PathBuf>,
    /// Where the activity log is kept; in memory if it is not set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) activity_dir: Option<PathBuf>,
    /// `error`, `warn`, `info`, `debug`, `trace`, or a filter.
    pub(crate) log_level: String,
    /// JSON lines instead of text.
    pub(crate) log_json: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: LISTEN,
            control: Vec::new(),
            data_dir: None,
            control_token_file: None,
            token_file: None,
            activity_dir: None,
            log_level: "info".to_owned(),
            log_json: false,
        }
    }
}

/// A setting that is not accepted: what, why, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) what: String,
    pub(crate) cause: String,
    pub(crate) fix: String,
}

impl Settings {
    /// Puts the layers together: `environment` as `(variable, rest of its name, value)`, `flags` as
    /// a table.
    pub(crate) fn from_layers(
        file: Option<(&Path, &str)>,
        environment: &[(String, String, String)],
        flags: Table,
    ) -> Result<Self, Problem> {
        let mut table = match file {
            None => Table::new(),
            Some((path, text)) => text.parse().map_err(|error: toml::de::Error| Problem {
                what: format!("the settings in {} are no TOML", path.display()),
                cause: error.message().to_owned(),
                fix: "Write one setting on a line: listen = \"127.0.0.1:8084\"".to_owned(),
            })?,
        };
        for (_, rest, value) in environment {
            table.insert(rest.to_lowercase(), from_environment(&rest.to_lowercase(), value));
        }
        table.extend(flags);
        table.try_into().map_err(|error: toml::de::Error| {
            let variables: Vec<&str> =
                environment.iter().map(|(name, _, _)| name.as_str()).collect();
            let from = if variables.is_empty() {
                String::new()
            } else {
                format!(" (set in the environment: {})", variables.join(", "))
            };
            Problem {
                what: "a setting is not valid".to_owned(),
                cause: format!("{}{from}", error.message()),
                fix: "ops-dashboard --help names the settings and their values.".to_owned(),
            }
        })
    }

    /// Turns them into what a dashboard takes; reads the tokens.
    pub(crate) fn into_config(self) -> Result<DashboardConfig, Problem> {
        let addresses = self.control.into_iter().map(Endpoint::Address);
        let endpoints = addresses.chain(self.data_dir.map(Endpoint::DataDir)).collect();
        Ok(DashboardConfig {
            listen: self.listen,
            endpoints,
            control_token: self.control_token_file.as_deref().map(read_token).transpose()?,
            token: self.token_file.as_deref().map(read_token).transpose()?,
            data_dir: self.activity_dir,
            ..DashboardConfig::default()
        })
    }
}

fn from_environment(name: &str, value: &str) -> Value {
    match name {
        "control" => {
            let addresses = value.split(',').map(str::trim).filter(|address| !address.is_empty());
            Value::Array(addresses.map(|address| Value::String(address.to_owned())).collect())
        }
        "log_json" => {
            value.parse().map_or_else(|_| Value::String(value.to_owned()), Value::Boolean)
        }
        _ => Value::String(value.to_owned()),
    }
}

fn read_token(path: &Path) -> Result<String, Problem> {
    let text = std::fs::read_to_string(path).map_err(|error| Problem {
        what: format!("cannot read the token in {}", path.display()),
        cause: error.to_string(),
        fix: "Give the path of a file that this user may read.".to_owned(),
    })?;
    Ok(text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variable(rest: &str, value: &str) -> (String, String, String) {
        (format!("{ENVIRONMENT_PREFIX}{rest}"), rest.to_owned(), value.to_owned())
    }

    #[test]
    fn flags_win_over_the_environment_and_that_over_the_file() {
        let file = "listen = \"127.0.0.1:1\"\ncontrol = [\"a:1\"]\nlog_level = \"warn\"\n";
        let environment = [variable("LISTEN", "127.0.0.1:2"), variable("CONTROL", "b:1, c:1")];
        let flags: Table = "listen = \"127.0.0.1:3\"".parse().unwrap();
        let found =
            Settings::from_layers(Some((Path::new("f.toml"), file)), &environment, flags).unwrap();
        let expected = Settings {
            listen: "127.0.0.1:3".parse().unwrap(),
            control: vec!["b:1".to_owned(), "c:1".to_owned()],
            log_level: "warn".to_owned(),
            ..Settings::default()
        };
        assert_eq!(found, expected);
    }

    #[test]
    fn what_is_no_setting_is_refused_by_name() {
        let problem = Settings::from_layers(None, &[variable("LISTN", "x")], Table::new());
        let cause = problem.unwrap_err().cause;
        assert!(cause.contains("listn") && cause.contains("PENSTOCK_DASHBOARD_LISTN"), "{cause}");
    }
}
