//! The settings, typed and checked.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::layer::{Layers, Origin, Setting};
use crate::property::{self, Treatment};
use crate::secret::Secret;
use crate::tables::{Expressions, Tables};
use crate::value::{bad, millis, parse, text};

/// How records are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Format {
    /// Avro in Confluent's frame.
    #[default]
    Avro,
    /// JSON without schema.
    Json,
    /// JSON with the schema in each record.
    JsonSchema,
}

/// Settings of one pipeline. What is `None` was not given.
#[derive(Debug, Clone)]
pub struct Config {
    /// `source`: a connection string.
    pub source: Option<Secret>,
    /// `database.hostname`.
    pub hostname: Option<String>,
    /// `database.port`.
    pub port: Option<u16>,
    /// `database.user`.
    pub user: Option<String>,
    /// `database.password`.
    pub password: Option<Secret>,
    /// `database.password.file`: a file with the password.
    pub password_file: Option<PathBuf>,
    /// `database.dbname`.
    pub dbname: Option<String>,
    /// `database.sslmode`, `database.sslrootcert`, `database.sslcert`, `database.sslkey`: libpq's
    /// name and the value.
    pub ssl: Vec<(&'static str, String)>,
    /// `tables`, or `table.include.list` and `table.exclude.list`.
    pub tables: Tables,
    /// `topic.prefix`.
    pub prefix: Option<String>,
    /// `slot.name`.
    pub slot: Option<String>,
    /// `publication.name`.
    pub publication: Option<String>,
    /// `snapshot.max.threads`: connections that read the snapshot, `1..=32`.
    pub snapshot_readers: Option<usize>,
    /// `heartbeat.interval.ms`; zero for never.
    pub heartbeat_interval: Option<Duration>,
    /// `status.update.interval.ms`, at least 100.
    pub status_interval: Option<Duration>,
    /// `data_dir`.
    pub data_dir: Option<PathBuf>,
    /// `listen`: where health and metrics are served.
    pub listen: Option<SocketAddr>,
    /// `control.listen`: where control is served over TCP.
    pub control_listen: Option<SocketAddr>,
    /// `control.token.file`: a file with the token that callers must know.
    pub control_token_file: Option<PathBuf>,
    /// `projections`: what is kept equal to the source; the warehouse unless told.
    pub projections: Vec<Projection>,
    /// `kafka`: bootstrap servers, `HOST:PORT`, separated by commas.
    pub kafka: Option<String>,
    /// `kafka_properties.*`: librdkafka's properties by name, some of them secret.
    pub kafka_properties: BTreeMap<String, Secret>,
    /// `kafka_password_file`: a file with `sasl.password`.
    pub kafka_password_file: Option<PathBuf>,
    /// `registry`: the URL of a Confluent-compatible registry, which may hold a password.
    pub registry: Option<Secret>,
    /// `registry_user`, over the one in the URL.
    pub registry_user: Option<String>,
    /// `registry_password`.
    pub registry_password: Option<Secret>,
    /// `registry_password_file`: a file with the password.
    pub registry_password_file: Option<PathBuf>,
    /// `registry_ca_file`: certificates in PEM to trust beside the system's.
    pub registry_ca_file: Option<PathBuf>,
    /// `format`.
    pub format: Format,
    /// `log.level`: `error` to `trace`, or a filter such as `info,cdc_source_postgres=debug`.
    pub log_level: Option<String>,
    /// `log.format`: whether the log is JSON.
    pub is_log_json: bool,
}

/// A kind of store that is kept equal to the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Projection {
    /// `duckdb`: a warehouse to query in SQL.
    DuckDb,
    /// `search`: a full-text index.
    Search,
    /// `audit`: a log of who changed what when, chained by hashes.
    Audit,
}

impl Projection {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::DuckDb, Self::Search, Self::Audit];

    /// Returns its name, as in the setting.
    pub fn name(self) -> &'static str {
        match self {
            Self::DuckDb => "duckdb",
            Self::Search => "search",
            Self::Audit => "audit",
        }
    }
}

/// A setting that was ignored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// Its name.
    pub name: String,
    /// Why that is harmless.
    pub why: &'static str,
    /// Where it stands.
    pub origin: Origin,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the setting \"{}\" is ignored: {} ({})", self.name, self.why, self.origin)
    }
}

impl Config {
    /// Checks every setting and reads those that are used.
    ///
    /// # Errors
    /// The first setting that is not accepted, by the order of names.
    pub fn from_layers(layers: &Layers) -> Result<(Self, Vec<Warning>)> {
        let warnings = check_names(layers)?;
        let path = |name| Ok::<_, Error>(text(layers, name)?.map(PathBuf::from));
        let config = Self {
            source: layers.get("source").map(|setting| Secret::new(&setting.value)),
            hostname: part(layers, "database.hostname")?,
            port: match layers.get_beside("database.port", "source") {
                Some(_) => parse(layers, "database.port", "a port, 1 to 65535")?,
                None => None,
            },
            user: part(layers, "database.user")?,
            password: layers
                .get_beside("database.password", "source")
                .map(|setting| Secret::new(&setting.value)),
            password_file: part(layers, "database.password.file")?.map(PathBuf::from),
            dbname: part(layers, "database.dbname")?,
            ssl: ssl(layers)?,
            tables: tables(layers)?,
            prefix: checked(layers, "topic.prefix", is_topic, "letters, digits, . _ and -")?,
            slot: checked(layers, "slot.name", is_slot, "up to 63 of a-z, 0-9 and _")?,
            publication: checked(layers, "publication.name", is_name, "1 to 63 bytes")?,
            snapshot_readers: readers(layers)?,
            heartbeat_interval: millis(layers, "heartbeat.interval.ms")?,
            status_interval: status_interval(layers)?,
            data_dir: path("data_dir")?,
            listen: parse(layers, "listen", "an address and a port, such as 127.0.0.1:8089")?,
            control_listen: parse(
                layers,
                "control.listen",
                "an address and a port, such as 127.0.0.1:8090",
            )?,
            control_token_file: path("control.token.file")?,
            projections: projections(layers)?,
            kafka: checked(layers, "kafka", is_host_list, "HOST:PORT, several with commas")?,
            registry: checked(layers, "registry", is_http, "an http:// or https:// URL")?
                .map(Secret::new),
            kafka_properties: family(layers, "kafka_properties."),
            kafka_password_file: path("kafka_password_file")?,
            registry_user: text(layers, "registry_user")?,
            registry_password: text(layers, "registry_password")?.map(Secret::new),
            registry_password_file: path("registry_password_file")?,
            registry_ca_file: path("registry_ca_file")?,
            format: format(layers)?,
            log_level: text(layers, "log.level")?,
            is_log_json: log_format(layers)?,
        };
        Ok((config, warnings))
    }
}

/// Settings whose names begin with `first`, by the rest of their names.
fn family(layers: &Layers, first: &str) -> BTreeMap<String, Secret> {
    let rest = |(name, setting): (&str, &Setting)| {
        Some((name.strip_prefix(first)?.to_owned(), Secret::new(&setting.value)))
    };
    layers.iter().filter_map(rest).collect()
}

fn projections(layers: &Layers) -> Result<Vec<Projection>> {
    let Some(list) = checked(layers, "projections", are_projections, "duckdb, search, audit")?
    else {
        return Ok(vec![Projection::DuckDb]);
    };
    let mut found: Vec<Projection> = list.split(',').filter_map(projection).collect();
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

fn are_projections(list: &str) -> bool {
    list.split(',').all(|name| projection(name).is_some())
}

fn projection(name: &str) -> Option<Projection> {
    Projection::ALL.into_iter().find(|kind| kind.name() == name.trim())
}

fn check_names(layers: &Layers) -> Result<Vec<Warning>> {
    let mut warnings = Vec::new();
    for (name, Setting { value, origin }) in layers.iter() {
        let origin = origin.clone();
        let unsupported =
            |why: String, origin| Err(Error::Unsupported { name: name.to_owned(), why, origin });
        match property::treatment(name) {
            None => {
                let nearest = property::nearest(name);
                return Err(Error::Unknown { name: name.to_owned(), nearest, origin });
            }
            Some(Treatment::Refused(why)) => return unsupported(why.to_owned(), origin),
            Some(Treatment::Only(accepted)) if !accepted.contains(&value.trim()) => {
                let accepted = accepted.join("\" or \"");
                return unsupported(format!("only \"{accepted}\" is done"), origin);
            }
            Some(Treatment::Ignored(why)) => {
                warnings.push(Warning { name: name.to_owned(), why, origin });
            }
            Some(Treatment::Used | Treatment::Secret | Treatment::Only(_)) => {}
        }
    }
    Ok(warnings)
}

/// A part of the connection, unless a connection string stands in a stronger layer.
fn part(layers: &Layers, name: &str) -> Result<Option<String>> {
    match layers.get_beside(name, "source") {
        Some(_) => text(layers, name),
        None => Ok(None),
    }
}

fn ssl(layers: &Layers) -> Result<Vec<(&'static str, String)>> {
    let names = [
        ("database.sslmode", "sslmode"),
        ("database.sslrootcert", "sslrootcert"),
        ("database.sslcert", "sslcert"),
        ("database.sslkey", "sslkey"),
    ];
    let mut given = Vec::new();
    for (name, libpq) in names {
        given.extend(part(layers, name)?.map(|value| (libpq, value)));
    }
    Ok(given)
}

fn tables(layers: &Layers) -> Result<Tables> {
    let lists = ["table.include.list", "table.exclude.list"];
    let [included, excluded] = lists.map(|name| layers.get_beside(name, "tables"));
    let conflict = |name, other, setting: &Setting| {
        Err(Error::Conflict { name, other, origin: setting.origin.clone() })
    };
    match (layers.get("tables"), included, excluded) {
        (None, None, None) => Ok(Tables::Globs("*.*".to_owned())),
        (Some(_), None, None) => {
            Ok(Tables::Globs(text(layers, "tables")?.unwrap_or_else(|| "*.*".to_owned())))
        }
        (Some(setting), Some(_), _) => conflict("tables", "table.include.list", setting),
        (Some(setting), _, Some(_)) => conflict("tables", "table.exclude.list", setting),
        (None, Some(setting), Some(_)) => {
            conflict("table.include.list", "table.exclude.list", setting)
        }
        (None, included, excluded) => {
            let given = included.or(excluded).expect("invariant: one of the two is given");
            let name = if included.is_some() { lists[0] } else { lists[1] };
            let [included, excluded] = [included, excluded].map(|s| s.map(|s| s.value.as_str()));
            let expressions = Expressions::parse(included, excluded)
                .map_err(|error| bad(name, given, error.to_string()))?;
            Ok(Tables::Expressions(Arc::new(expressions)))
        }
    }
}

fn readers(layers: &Layers) -> Result<Option<usize>> {
    const NAME: &str = "snapshot.max.threads";
    let readers = parse(layers, NAME, "a number from 1 to 32")?;
    match (readers, layers.get(NAME)) {
        (Some(0 | 33..), Some(setting)) => Err(bad(NAME, setting, "it takes 1 to 32")),
        (readers, _) => Ok(readers),
    }
}

fn status_interval(layers: &Layers) -> Result<Option<Duration>> {
    const NAME: &str = "status.update.interval.ms";
    let interval = millis(layers, NAME)?;
    match (interval, layers.get(NAME)) {
        (Some(interval), Some(setting)) if interval < Duration::from_millis(100) => {
            Err(bad(NAME, setting, "it takes 100 or more"))
        }
        (interval, _) => Ok(interval),
    }
}

fn format(layers: &Layers) -> Result<Format> {
    let Some(setting) = layers.get("format") else { return Ok(Format::default()) };
    match setting.value.trim() {
        "avro" => Ok(Format::Avro),
        "json" => Ok(Format::Json),
        "json-schema" => Ok(Format::JsonSchema),
        _ => Err(bad("format", setting, "it takes avro, json or json-schema")),
    }
}

fn log_format(layers: &Layers) -> Result<bool> {
    let Some(setting) = layers.get("log.format") else { return Ok(false) };
    match setting.value.trim() {
        "json" => Ok(true),
        "text" => Ok(false),
        _ => Err(bad("log.format", setting, "it takes text or json")),
    }
}

fn checked(
    layers: &Layers,
    name: &str,
    is_good: fn(&str) -> bool,
    accepted: &str,
) -> Result<Option<String>> {
    match (text(layers, name)?, layers.get(name)) {
        (Some(value), Some(setting)) if !is_good(&value) => {
            Err(bad(name, setting, format!("it takes {accepted}")))
        }
        (value, _) => Ok(value),
    }
}

fn is_topic(text: &str) -> bool {
    let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    text.len() <= 100 && text.bytes().all(is_legal) && text != "." && text != ".."
}

fn is_slot(text: &str) -> bool {
    let is_legal = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_');
    text.len() <= 63 && text.bytes().all(is_legal)
}

fn is_name(text: &str) -> bool {
    text.len() <= 63
}

fn is_host_list(text: &str) -> bool {
    text.split(',').all(|item| {
        let (host, port) = item.trim().rsplit_once(':').unwrap_or_default();
        !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0)
    })
}

fn is_http(text: &str) -> bool {
    ["http://", "https://"]
        .iter()
        .any(|scheme| text.strip_prefix(scheme).is_some_and(|r| !r.is_empty()))
}

#[cfg(test)]
mod tests;
