//! The settings: a file in TOML, over it the environment, over it flags.
//!
//! `listen = "x"` in the file, `PENSTOCK_STOREFRONT_LISTEN=x` in the environment and `--listen x`
//! are the same.

use std::path::Path;

use crate::config::{Endpoint, Secret, StorefrontConfig};
use crate::load::RATE_MAX;
use crate::problem::Problem;

/// Environment variables that begin so are settings.
pub(crate) const ENVIRONMENT_PREFIX: &str = "PENSTOCK_STOREFRONT_";

const NAMES: [&str; 11] = [
    "database",
    "database_password",
    "database_password_file",
    "control",
    "control_token",
    "control_token_file",
    "listen",
    "dashboard",
    "rate",
    "lab",
    "log_level",
];

/// What is set, and how it is logged.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) config: StorefrontConfig,
    pub(crate) log_level: String,
}

impl Settings {
    /// Gathers file, environment and `flags`, given as name and value.
    pub(crate) fn load(
        file: Option<&Path>,
        environment: &[(String, String, String)],
        flags: &[(&str, String)],
    ) -> Result<Self, Problem> {
        let config = StorefrontConfig::new("");
        let mut settings = Self { config, log_level: "info".to_owned() };
        if let Some(path) = file {
            for (name, value) in read_file(path)? {
                settings.take(&name, &value, &format!("the file {}", path.display()))?;
            }
        }
        for (variable, rest, value) in environment {
            let name = rest.to_ascii_lowercase();
            settings.take(&name, value, &format!("the environment variable {variable}"))?;
        }
        for (name, value) in flags {
            settings.take(name, value, &format!("the flag --{}", name.replace('_', "-")))?;
        }
        Ok(settings)
    }

    fn take(&mut self, name: &str, value: &str, origin: &str) -> Result<(), Problem> {
        self.set(name, value).map_err(|reason| {
            let fix = if NAMES.contains(&name) {
                format!("Correct {origin}.")
            } else {
                format!("The settings are {}.", NAMES.join(", "))
            };
            let what = format!("the setting \"{name}\" {reason}");
            Problem::usage(what, format!("it stands in {origin}"), fix)
        })
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        let config = &mut self.config;
        match name {
            "database" => config.database = Secret::new(value),
            "database_password" => config.database_password = Some(Secret::new(value)),
            "database_password_file" => {
                config.database_password = Some(Secret::new(read_secret(value)?));
            }
            "control" => {
                let parts = value.split(',').map(str::trim).filter(|part| !part.is_empty());
                config.control = parts.map(Endpoint::parse).collect();
            }
            "control_token" => config.control_token = Some(Secret::new(value)),
            "control_token_file" => config.control_token = Some(Secret::new(read_secret(value)?)),
            "listen" => config.listen = value.parse().map_err(|_| "is no address and port")?,
            "dashboard" => config.dashboard = Some(web_address(value)?),
            "rate" => {
                let rate = value.parse().ok().filter(|rate| (0.0..=RATE_MAX).contains(rate));
                config.rate = rate.ok_or_else(|| format!("is no number from 0 to {RATE_MAX}"))?;
            }
            "lab" => {
                config.has_lab = Some(value.parse().map_err(|_| "is neither true nor false")?);
            }
            "log_level" => value.clone_into(&mut self.log_level),
            _ => return Err("is not known".to_owned()),
        }
        Ok(())
    }

    /// Writes them as a file would have them, secrets masked.
    pub(crate) fn print(&self) -> String {
        let config = &self.config;
        let text = |text: &str| Some(toml::Value::from(text));
        let control: Vec<String> = config.control.iter().map(ToString::to_string).collect();
        let mask = |secret: &Option<Secret>| secret.as_ref().map(|_| toml::Value::from("***"));
        let lines = [
            ("database", text(&masked(config.database.reveal()))),
            ("database_password", mask(&config.database_password)),
            ("control", text(&control.join(","))),
            ("control_token", mask(&config.control_token)),
            ("listen", text(&config.listen.to_string())),
            ("dashboard", config.dashboard.as_deref().and_then(text)),
            ("rate", Some(toml::Value::from(config.rate))),
            ("lab", Some(toml::Value::from(config.is_lab_open()))),
            ("log_level", text(&self.log_level)),
        ];
        let line = |(name, value): (&str, Option<toml::Value>)| match value {
            Some(value) => format!("{name} = {value}\n"),
            None => format!("# {name} =\n"),
        };
        lines.into_iter().map(line).collect()
    }
}

/// Masks the password of a URL, and the value of each parameter.
fn masked(url: &str) -> String {
    let (url, parameters) = url.split_once('?').unwrap_or((url, ""));
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let shown = match rest.rsplit_once('@') {
        Some((user, place)) => {
            let (user, password) = user.split_once(':').unwrap_or((user, ""));
            let password = if password.is_empty() { "" } else { ":***" };
            format!("{user}{password}@{place}")
        }
        None => rest.to_owned(),
    };
    let separator = if scheme.is_empty() { "" } else { "://" };
    let parameters = if parameters.is_empty() { "" } else { "?***" };
    format!("{scheme}{separator}{shown}{parameters}")
}

fn web_address(value: &str) -> Result<String, String> {
    let is_web = ["http://", "https://"].iter().any(|scheme| value.starts_with(scheme));
    let address = value.trim_end_matches('/').to_owned();
    if is_web { Ok(address) } else { Err("is no address of a page".to_owned()) }
}

fn read_secret(path: &str) -> Result<String, String> {
    let text = std::fs::read_to_string(path);
    let text = text.map_err(|error| format!("names a file that cannot be read ({error})"))?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

fn read_file(path: &Path) -> Result<Vec<(String, String)>, Problem> {
    let what = || format!("cannot read the settings in {}", path.display());
    let text = std::fs::read_to_string(path).map_err(|error| {
        let fix = "Give --config the path of a TOML file that this user may read.";
        Problem::usage(what(), error.to_string(), fix)
    })?;
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
        Problem::usage(what(), error.message().to_owned(), "Correct it: it must be TOML.")
    })?;
    let plain = |value: toml::Value| match value {
        toml::Value::String(text) => text,
        toml::Value::Array(values) => {
            let texts = values.iter().map(|value| value.as_str().unwrap_or_default());
            texts.collect::<Vec<_>>().join(",")
        }
        other => other.to_string(),
    };
    Ok(table.into_iter().map(|(name, value)| (name, plain(value))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(environment: &[(&str, &str)], flags: &[(&str, &str)]) -> Result<Settings, Problem> {
        let environment: Vec<_> = environment
            .iter()
            .map(|(name, value)| {
                (format!("{ENVIRONMENT_PREFIX}{name}"), (*name).to_owned(), (*value).to_owned())
            })
            .collect();
        let flags: Vec<_> =
            flags.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        Settings::load(None, &environment, &flags)
    }

    #[test]
    fn flags_win_over_the_environment() {
        let settings = load(&[("RATE", "5"), ("LAB", "true")], &[("rate", "7")]).unwrap();
        assert!((settings.config.rate - 7.0).abs() < f64::EPSILON);
        assert!(settings.config.is_lab_open());
    }

    #[test]
    fn what_cannot_be_read_is_refused_by_name() {
        for (name, value) in
            [("rate", "-1"), ("rate", "NaN"), ("listen", "x"), ("lab", "perhaps"), ("no", "x")]
        {
            let problem = load(&[], &[(name, value)]).unwrap_err();
            assert!(problem.what.contains(&format!("\"{name}\"")), "{problem:?}");
        }
        assert!(load(&[], &[("dashboard", "javascript:alert(1)")]).is_err());
    }

    #[test]
    fn a_password_may_stand_in_a_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "a b: \n").unwrap();
        let path = file.path().to_str().unwrap();
        let settings = load(&[("DATABASE_PASSWORD_FILE", path)], &[]).unwrap();
        let password = settings.config.database_password.unwrap();
        assert_eq!(password.reveal(), "a b: ");
        let problem = load(&[("DATABASE_PASSWORD_FILE", "/nowhere")], &[]).unwrap_err();
        assert!(problem.what.contains("names a file that cannot be read"), "{problem:?}");
    }

    #[test]
    fn secrets_are_masked() {
        let url = "postgres://shop:hunter2@db:5432/shop?sslpassword=hunter2";
        let environment = [("CONTROL_TOKEN", "hunter2"), ("DATABASE_PASSWORD", "hunter2")];
        let settings = load(&environment, &[("database", url)]).unwrap();
        let text = settings.print();
        assert!(text.contains("postgres://shop:***@db:5432/shop?***"), "{text}");
        assert!(!text.contains("hunter2") && text.parse::<toml::Table>().is_ok(), "{text}");
    }
}
