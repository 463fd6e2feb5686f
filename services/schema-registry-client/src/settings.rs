//! The settings: a file in TOML, over it the environment, over it flags.
//!
//! `data_dir = "x"` in the file, `PENSTOCK_REGISTRY_DATA_DIR=x` in the environment and
//! `--data-dir x` are the same. Properties of the Kafka client are a table in the file
//! (`[kafka_properties]`); in the environment a double underscore stands for each dot:
//! `PENSTOCK_REGISTRY_KAFKA_PROPERTIES__SASL__PASSWORD`.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use cdc_log_kafka::{KafkaConfig, is_secret};
use cdc_registry::RestConfig;
use cdc_runtime::report::Problem;
use cdc_runtime::settings::{ControlConfig, credentials, kafka_config, useless};

use crate::http::users::Users;

/// Environment variables that begin so are settings.
pub(crate) const ENVIRONMENT_PREFIX: &str = "PENSTOCK_REGISTRY_";

/// A text that is not shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// What the service is told. With neither `kafka` nor `upstream`, schemas are kept in `data_dir`.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where to listen. Default `127.0.0.1:8081`. Elsewhere than on loopback there must be
    /// `users_file`, or `allow_anonymous`.
    pub listen: SocketAddr,
    /// Where schemas, or what an upstream said, are kept. Default `.penstock-registry`.
    pub data_dir: PathBuf,
    /// `host:port` of some brokers, separated by commas: schemas are kept in Kafka.
    pub kafka: Option<String>,
    /// The topic there. Default `_schemas`.
    pub kafka_topic: String,
    /// librdkafka's properties, security among them.
    pub kafka_properties: BTreeMap<String, Secret>,
    /// A file that holds `sasl.password`, alone.
    pub kafka_password_file: Option<PathBuf>,
    /// The URL of a registry to put this one in front of.
    pub upstream: Option<Secret>,
    /// The user there.
    pub upstream_user: Option<String>,
    /// The password there.
    pub upstream_password: Option<Secret>,
    /// A file that holds the password, alone.
    pub upstream_password_file: Option<PathBuf>,
    /// Certificates in PEM to trust there beside the system's.
    pub upstream_ca_file: Option<PathBuf>,
    /// A file of users, one `user:hash` a line with a bcrypt hash; everybody may ask without one.
    pub users_file: Option<PathBuf>,
    /// Whether everybody may ask also where the address is not on loopback. Default false.
    pub is_anonymous_allowed: bool,
    /// Where control is served beside the socket in `data_dir`; nowhere without it.
    pub control_listen: Option<SocketAddr>,
    /// A file that holds the token of control; required unless it is on loopback.
    pub control_token_file: Option<PathBuf>,
    /// First part of topics in previews that name none. Default `penstock`.
    pub topic_prefix: String,
    /// Whether a schema that changes what values mean (a decimal's scale, a time's unit) is
    /// refused, unless the level is `NONE`. Default true.
    pub has_semantic_gate: bool,
    /// Largest body of a request, in bytes. Default 8 MiB.
    pub body_bytes_max: usize,
    /// `error`, `warn`, `info`, `debug`, `trace`, or a filter. Default `info`.
    pub log_level: String,
    /// Whether the log is written as JSON lines. Default false.
    pub is_log_json: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8081)),
            data_dir: PathBuf::from(".penstock-registry"),
            kafka: None,
            kafka_topic: "_schemas".to_owned(),
            kafka_properties: BTreeMap::new(),
            kafka_password_file: None,
            upstream: None,
            upstream_user: None,
            upstream_password: None,
            upstream_password_file: None,
            upstream_ca_file: None,
            users_file: None,
            is_anonymous_allowed: false,
            control_listen: None,
            control_token_file: None,
            topic_prefix: "penstock".to_owned(),
            has_semantic_gate: true,
            body_bytes_max: 8 << 20,
            log_level: "info".to_owned(),
            is_log_json: false,
        }
    }
}

/// Where schemas are kept.
#[derive(Debug)]
pub(crate) enum Source {
    Embedded,
    Kafka { config: KafkaConfig, topic: String },
    Upstream(RestConfig),
}

/// The names, as they are in a file; `kafka_properties.…` comes beside them.
const NAMES: [&str; 19] = [
    "listen",
    "data_dir",
    "kafka",
    "kafka_topic",
    "kafka_password_file",
    "upstream",
    "upstream_user",
    "upstream_password",
    "upstream_password_file",
    "upstream_ca_file",
    "users_file",
    "allow_anonymous",
    "control.listen",
    "control.token.file",
    "topic_prefix",
    "semantic_gate",
    "body_bytes_max",
    "log_level",
    "log_json",
];

const PROPERTY: &str = "kafka_properties.";

impl Settings {
    /// Puts the service in front of the registry at `url`.
    #[must_use]
    pub fn with_upstream(mut self, url: &str) -> Self {
        self.upstream = Some(Secret(url.to_owned()));
        self
    }

    /// Gathers file, environment and `flags`, given as name and value.
    pub(crate) fn load(
        file: Option<&Path>,
        environment: &[(String, String, String)],
        flags: &[(&str, String)],
    ) -> Result<Self, Problem> {
        let mut settings = Self::default();
        if let Some(path) = file {
            for (name, value) in read_file(path)? {
                settings.take(&name, &value, &format!("the file {}", path.display()))?;
            }
        }
        for (variable, rest, value) in environment {
            let name = rest.to_ascii_lowercase().replace("__", ".");
            settings.take(&name, value, &format!("the environment variable {variable}"))?;
        }
        for (name, value) in flags {
            settings.take(name, value, &format!("the flag --{}", name.replace('_', "-")))?;
        }
        Ok(settings)
    }

    fn take(&mut self, name: &str, value: &str, origin: &str) -> Result<(), Problem> {
        self.set(name, value).map_err(|reason| {
            let known = format!("The settings are {}, {PROPERTY}*.", NAMES.join(", "));
            let fix = if NAMES.contains(&name) { format!("Correct {origin}.") } else { known };
            Problem::usage(
                format!("the setting \"{name}\" {reason}"),
                format!("it stands in {origin}"),
                fix,
            )
        })
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), &'static str> {
        let text = || value.to_owned();
        let flag = || value.parse::<bool>().map_err(|_| "is neither true nor false");
        match name {
            "listen" => self.listen = value.parse().map_err(|_| "is no address and port")?,
            "data_dir" => self.data_dir = PathBuf::from(value),
            "kafka" => self.kafka = Some(text()),
            "kafka_topic" => self.kafka_topic = text(),
            "kafka_password_file" => self.kafka_password_file = Some(PathBuf::from(value)),
            "upstream" => self.upstream = Some(Secret(text())),
            "upstream_user" => self.upstream_user = Some(text()),
            "upstream_password" => self.upstream_password = Some(Secret(text())),
            "upstream_password_file" => self.upstream_password_file = Some(PathBuf::from(value)),
            "upstream_ca_file" => self.upstream_ca_file = Some(PathBuf::from(value)),
            "users_file" => self.users_file = Some(PathBuf::from(value)),
            "allow_anonymous" => self.is_anonymous_allowed = flag()?,
            "control.listen" => {
                self.control_listen = Some(value.parse().map_err(|_| "is no address and port")?);
            }
            "control.token.file" => self.control_token_file = Some(PathBuf::from(value)),
            "topic_prefix" => self.topic_prefix = text(),
            "semantic_gate" => self.has_semantic_gate = flag()?,
            "body_bytes_max" => {
                let bytes = value.replace('_', "").parse().ok();
                let bytes = bytes.filter(|bytes| (1_024..=256 << 20).contains(bytes));
                self.body_bytes_max = bytes.ok_or("is no number of bytes from 1024 to 256 MiB")?;
            }
            "log_level" => self.log_level = text(),
            "log_json" => self.is_log_json = flag()?,
            _ => {
                let property = name.strip_prefix(PROPERTY).ok_or("is not known")?;
                self.kafka_properties.insert(property.to_owned(), Secret(text()));
            }
        }
        Ok(())
    }

    /// Reads who may ask.
    pub(crate) fn users(&self) -> anyhow::Result<Option<Users>> {
        self.users_file.as_deref().map(Users::read).transpose()
    }

    /// Insists that who may change schemas was thought of.
    pub(crate) fn check_access(&self) -> Result<(), Problem> {
        let listen = self.listen;
        if listen.ip().is_loopback() || self.users_file.is_some() || self.is_anonymous_allowed {
            return Ok(());
        }
        Err(Problem::usage(
            format!("everybody who reaches {listen} could change schemas"),
            "listen is not on loopback, and there is no users_file",
            "Set users_file (schema-registry-client --hash-password USER makes a line of it), \
             listen on 127.0.0.1, or set allow_anonymous = true.",
        ))
    }

    /// Returns where control is served beside the socket.
    pub(crate) fn control(&self) -> Result<Option<ControlConfig>, Problem> {
        ControlConfig::open(self.control_listen, self.control_token_file.as_deref())
    }

    /// Returns where schemas are kept.
    pub(crate) fn source(&self) -> Result<Source, Problem> {
        self.check_owners()?;
        match (&self.kafka, &self.upstream) {
            (None, None) => Ok(Source::Embedded),
            (Some(servers), None) => {
                let properties = self.kafka_properties.iter();
                let properties = properties.map(|(name, value)| (name.clone(), value.0.clone()));
                let password_file = self.kafka_password_file.as_deref();
                let config = kafka_config(servers, properties.collect(), password_file)?;
                Ok(Source::Kafka { config, topic: self.kafka_topic.clone() })
            }
            (None, Some(url)) => Ok(Source::Upstream(self.rest(&url.0)?)),
            (Some(_), Some(_)) => Err(Problem::usage(
                "\"kafka\" and \"upstream\" cannot both be given",
                "schemas have one home",
                "Remove one of them.",
            )),
        }
    }

    /// Refuses what nothing would use.
    fn check_owners(&self) -> Result<(), Problem> {
        let of_kafka = [
            ("kafka_password_file", self.kafka_password_file.is_some()),
            ("kafka_properties", !self.kafka_properties.is_empty()),
        ];
        let of_upstream = [
            ("upstream_user", self.upstream_user.is_some()),
            ("upstream_password", self.upstream_password.is_some()),
            ("upstream_password_file", self.upstream_password_file.is_some()),
            ("upstream_ca_file", self.upstream_ca_file.is_some()),
        ];
        let owners = [
            ("kafka", self.kafka.is_some(), &of_kafka[..]),
            ("upstream", self.upstream.is_some(), &of_upstream),
        ];
        for (owner, _, owned) in owners.into_iter().filter(|(_, is_given, _)| !is_given) {
            if let Some((name, _)) = owned.iter().find(|(_, is_given)| *is_given) {
                return Err(useless(name, owner));
            }
        }
        Ok(())
    }

    fn rest(&self, url: &str) -> Result<RestConfig, Problem> {
        let mut config = RestConfig::new(url);
        // Whoever asks us has their own patience: what is known is served instead.
        config.rounds_max = 1;
        config.connect_timeout = std::time::Duration::from_secs(2);
        config.request_timeout = std::time::Duration::from_secs(5);
        config.ca_file.clone_from(&self.upstream_ca_file);
        config.credentials = credentials(
            "upstream",
            self.upstream_user.as_deref(),
            self.upstream_password.as_ref().map(|password| password.0.as_str()),
            self.upstream_password_file.as_deref(),
        )?;
        Ok(config)
    }

    /// Writes them as a file would have them, secrets masked.
    pub(crate) fn print(&self) -> String {
        let mut text = String::new();
        let mut line = |name: &str, value: Option<toml::Value>| match value {
            Some(value) => text.push_str(&format!("{name} = {value}\n")),
            None => text.push_str(&format!("# {name} =\n")),
        };
        let own = |text: &str| Some(toml::Value::from(text));
        let path = |path: &Path| Some(toml::Value::from(path.display().to_string()));
        line("listen", own(&self.listen.to_string()));
        line("data_dir", path(&self.data_dir));
        line("kafka", self.kafka.as_deref().and_then(own));
        line("kafka_topic", own(&self.kafka_topic));
        line("kafka_password_file", self.kafka_password_file.as_deref().and_then(path));
        line("upstream", self.upstream.as_ref().and_then(|url| own(&masked_url(&url.0))));
        line("upstream_user", self.upstream_user.as_deref().and_then(own));
        line("upstream_password", self.upstream_password.as_ref().and_then(|_| own("***")));
        line("upstream_password_file", self.upstream_password_file.as_deref().and_then(path));
        line("upstream_ca_file", self.upstream_ca_file.as_deref().and_then(path));
        line("users_file", self.users_file.as_deref().and_then(path));
        line("allow_anonymous", Some(toml::Value::from(self.is_anonymous_allowed)));
        line("control.listen", self.control_listen.and_then(|at| own(&at.to_string())));
        line("control.token.file", self.control_token_file.as_deref().and_then(path));
        line("topic_prefix", own(&self.topic_prefix));
        line("semantic_gate", Some(toml::Value::from(self.has_semantic_gate)));
        line("body_bytes_max", i64::try_from(self.body_bytes_max).ok().map(toml::Value::from));
        line("log_level", own(&self.log_level));
        line("log_json", Some(toml::Value::from(self.is_log_json)));
        if !self.kafka_properties.is_empty() {
            text.push_str("\n[kafka_properties]\n");
        }
        for (name, value) in &self.kafka_properties {
            let shown = if is_secret(name) { "***" } else { &value.0 };
            text.push_str(&format!("\"{name}\" = {}\n", toml::Value::from(shown)));
        }
        text
    }
}

/// Masks what stands before the `@` of each address.
fn masked_url(urls: &str) -> String {
    let masked = urls.split(',').map(|url| match (url.find("://"), url.rfind('@')) {
        (Some(scheme), Some(at)) if scheme < at => {
            let (scheme, rest) = (url.get(..scheme + 3), url.get(at..));
            format!("{}***{}", scheme.unwrap_or_default(), rest.unwrap_or_default())
        }
        _ => url.to_owned(),
    });
    masked.collect::<Vec<_>>().join(",")
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
    let mut all = Vec::new();
    flatten("", &table, &mut all);
    Ok(all)
}

fn flatten(prefix: &str, table: &toml::Table, all: &mut Vec<(String, String)>) {
    for (name, value) in table {
        let name = format!("{prefix}{name}");
        match value {
            toml::Value::Table(table) => flatten(&format!("{name}."), table, all),
            toml::Value::String(text) => all.push((name, text.clone())),
            other => all.push((name, other.to_string())),
        }
    }
}

#[cfg(test)]
mod tests;
