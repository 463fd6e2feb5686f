//! The settings of a run, from file, environment and flags, turned into what the pipeline takes.

mod control;
mod secret;
mod shared;
mod source;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use cdc_config::{Config, File, Layers, Projection, Tables, Warning};
use cdc_log_kafka::KafkaConfig;
use cdc_log_local::LocalLogConfig;
use cdc_pipeline::capture::CaptureConfig;
use cdc_registry::{Registry, RestConfig};
use cdc_source_postgres::TablePatterns;
use service_kit::telemetry::Telemetry;

pub use self::control::ControlConfig;
pub use self::secret::{read_secret, secret};
pub use self::shared::{credentials, kafka_config, useless};
use self::source::connect;
use crate::report::{Problem, config_problem};

/// Environment variables that begin so are settings; `__` stands for a dot.
pub const ENVIRONMENT_PREFIX: &str = "PENSTOCK__";

/// Where a pipeline is kept when nobody says.
pub const DATA_DIR: &str = ".penstock";

/// Where the event log is.
#[derive(Debug, Clone)]
pub struct LogConfig {
    /// Directory of everything that is kept on this machine; see `docs/data-dir.md`.
    pub data_dir: PathBuf,
    /// Kafka's bootstrap servers; `None` is the embedded log.
    pub kafka: Option<KafkaConfig>,
    /// Settings of embedded log segments and retention.
    pub local: LocalLogConfig,
}

/// What a pipeline is made of.
#[derive(Debug, Clone)]
pub struct PipelineConfig {
    /// The source's settings.
    pub source: cdc_source_postgres::Config,
    /// The event log.
    pub log: LogConfig,
    /// First part of topic names.
    pub prefix: String,
    /// How records are written.
    pub format: cdc_codec::Format,
    /// A Confluent-compatible registry; `None` is the embedded one.
    pub registry: Option<RestConfig>,
    /// Bounds and retries of capture.
    pub capture: CaptureConfig,
    /// What is kept equal to the source.
    pub projections: Vec<Projection>,
}

impl PipelineConfig {
    /// Makes the settings of a pipeline with everything embedded in `data_dir`, and a warehouse.
    pub fn embedded(
        source: cdc_source_postgres::Config,
        data_dir: &Path,
        prefix: impl Into<String>,
    ) -> Self {
        let log = LogConfig {
            data_dir: data_dir.to_owned(),
            kafka: None,
            local: LocalLogConfig::default(),
        };
        Self {
            source,
            log,
            prefix: prefix.into(),
            format: cdc_codec::Format::Avro,
            registry: None,
            capture: CaptureConfig::default(),
            projections: vec![Projection::DuckDb],
        }
    }

    /// Returns the directory of everything that is kept on this machine.
    pub fn data_dir(&self) -> &Path {
        &self.log.data_dir
    }

    /// Opens the schema registry.
    ///
    /// # Errors
    /// If the embedded one is damaged or in use, or the URL of the other is none.
    pub fn open_registry(&self) -> anyhow::Result<Registry> {
        Ok(match &self.registry {
            Some(rest) => Registry::rest(rest.clone())?,
            None => Registry::embedded(&self.data_dir().join("registry"))?,
        })
    }
}

/// What a run is told.
#[derive(Debug, Clone)]
pub struct RunSettings {
    /// The pipeline's settings.
    pub pipeline: PipelineConfig,
    /// Where health and metrics are served, if anywhere.
    pub listen: Option<SocketAddr>,
    /// Where control is served beside the socket, if anywhere.
    pub control: Option<ControlConfig>,
    /// What is logged.
    pub telemetry: Telemetry,
    /// Settings that were ignored.
    pub warnings: Vec<Warning>,
}

/// Gathers the layers: the file, the environment, then `flags` as `(flag, name, value)`.
///
/// # Errors
/// The file or the setting that is wrong, and where.
pub fn layers(file: Option<&Path>, flags: &[(&str, &str, String)]) -> Result<Layers, Problem> {
    let mut layers = Layers::default();
    if let Some(path) = file {
        let text = std::fs::read_to_string(path).map_err(|error| {
            Problem::usage(
                format!("cannot read the settings in {}", path.display()),
                error.to_string(),
                "Give --config the path of a TOML file that this user may read.",
            )
        })?;
        let file = File::new(path.display().to_string(), text);
        layers.add_file(&file).map_err(|error| config_problem(&error))?;
    }
    for (variable, rest, value) in service_kit::environment(ENVIRONMENT_PREFIX) {
        layers.add_environment(&variable, &rest, &value);
    }
    for (flag, name, value) in flags {
        layers.add_flag(flag, name, value);
    }
    Ok(layers)
}

impl RunSettings {
    /// Checks the layers and fills in what they leave open.
    ///
    /// # Errors
    /// The first setting that is wrong.
    pub fn from_layers(layers: &Layers) -> Result<Self, Problem> {
        let (config, warnings) =
            Config::from_layers(layers).map_err(|error| config_problem(&error))?;
        let telemetry = telemetry(&config);
        let listen = config.listen;
        let control = control(&config)?;
        Ok(Self { pipeline: pipeline(config)?, listen, control, telemetry, warnings })
    }
}

/// What a projector beside Kafka is told.
#[derive(Debug, Clone)]
pub struct ProjectorSettings {
    /// The event log.
    pub log: LogConfig,
    /// First part of the names of the topics that are followed.
    pub prefix: String,
    /// The Confluent-compatible registry that schemas are in.
    pub registry: RestConfig,
    /// What is kept equal to the source.
    pub projections: Vec<Projection>,
    /// Where health and metrics are served, if anywhere.
    pub listen: Option<SocketAddr>,
    /// Where control is served beside the socket, if anywhere.
    pub control: Option<ControlConfig>,
    /// What is logged.
    pub telemetry: Telemetry,
    /// Settings that were ignored.
    pub warnings: Vec<Warning>,
}

impl ProjectorSettings {
    /// Checks the layers.
    ///
    /// # Errors
    /// The first setting that is wrong or missing.
    pub fn from_layers(layers: &Layers) -> Result<Self, Problem> {
        let (config, warnings) =
            Config::from_layers(layers).map_err(|error| config_problem(&error))?;
        let control = control(&config)?;
        let prefix = config.prefix.clone().ok_or_else(|| missing("topic.prefix", "shop"))?;
        Ok(Self {
            prefix,
            registry: shared::registry(&config)?
                .ok_or_else(|| missing("registry", "http://localhost:8081"))?,
            projections: config.projections.clone(),
            listen: config.listen,
            control,
            telemetry: telemetry(&config),
            warnings,
            log: shared_log(config)?,
        })
    }
}

impl RunSettings {
    /// Insists that log and registry can be shared with other processes.
    ///
    /// # Errors
    /// The setting that is missing.
    pub fn require_shared(&self) -> Result<(), Problem> {
        match (&self.pipeline.log.kafka, &self.pipeline.registry) {
            (None, _) => Err(missing("kafka", "localhost:9092")),
            (_, None) => Err(missing("registry", "http://localhost:8081")),
            _ => Ok(()),
        }
    }
}

fn telemetry(config: &Config) -> Telemetry {
    Telemetry { level: config.log_level.clone(), is_json: config.is_log_json }
}

fn shared_log(config: Config) -> Result<LogConfig, Problem> {
    let kafka = shared::kafka(&config)?.ok_or_else(|| missing("kafka", "localhost:9092"))?;
    Ok(LogConfig {
        data_dir: config.data_dir.unwrap_or_else(|| PathBuf::from(DATA_DIR)),
        kafka: Some(kafka),
        local: LocalLogConfig::default(),
    })
}

fn missing(name: &str, example: &str) -> Problem {
    let variable = name.to_uppercase().replace('.', "__");
    Problem::usage(
        format!("the setting \"{name}\" is missing"),
        "a service that runs alone shares the event log and the schemas with others",
        format!("Set it in the file of --config, or as {ENVIRONMENT_PREFIX}{variable}={example}."),
    )
}

fn control(config: &Config) -> Result<Option<ControlConfig>, Problem> {
    ControlConfig::open(config.control_listen, config.control_token_file.as_deref())
}

fn pipeline(config: Config) -> Result<PipelineConfig, Problem> {
    let connect = connect(&config)?;
    let prefix = config.prefix.clone().unwrap_or_else(|| topic_prefix(&connect.database));
    let name = slot_name(&prefix);
    let mut source = cdc_source_postgres::Config::new(
        connect,
        config.slot.clone().unwrap_or_else(|| name.clone()),
        config.publication.clone().unwrap_or(name),
        patterns(&config.tables)?,
    );
    if let Some(readers) = config.snapshot_readers {
        source.snapshot_readers = readers;
    }
    if let Some(interval) = config.heartbeat_interval {
        source.heartbeat_interval = interval;
    }
    if let Some(interval) = config.status_interval {
        source.status_interval = interval;
    }
    let (kafka, registry) = (shared::kafka(&config)?, shared::registry(&config)?);
    Ok(PipelineConfig {
        source,
        log: LogConfig {
            data_dir: config.data_dir.unwrap_or_else(|| PathBuf::from(DATA_DIR)),
            kafka,
            local: LocalLogConfig::default(),
        },
        prefix,
        format: format(config.format),
        registry,
        capture: CaptureConfig::default(),
        projections: config.projections,
    })
}

fn patterns(tables: &Tables) -> Result<TablePatterns, Problem> {
    match tables {
        Tables::Globs(text) => text.parse().map_err(|error: cdc_source_postgres::PatternError| {
            Problem::usage(
                "the table patterns are not valid",
                error.to_string(),
                "Write schema.table, with * and ? for any characters and ! before what to leave \
                 out, separated by commas: 'public.*, !public.tmp_*'.",
            )
        }),
        Tables::Expressions(expressions) => {
            let text = expressions.as_str().to_owned();
            let expressions = expressions.clone();
            Ok(TablePatterns::new(text, move |name| expressions.matches(&name.schema, &name.table)))
        }
    }
}

fn format(format: cdc_config::Format) -> cdc_codec::Format {
    match format {
        cdc_config::Format::Avro => cdc_codec::Format::Avro,
        cdc_config::Format::Json => cdc_codec::Format::Json,
        cdc_config::Format::JsonSchema => cdc_codec::Format::JsonWithSchema,
    }
}

/// The database's name, as far as a topic's name may hold it.
fn topic_prefix(database: &str) -> String {
    let legal = |c: char| if c.is_ascii_alphanumeric() || "_-".contains(c) { c } else { '_' };
    database.chars().map(legal).collect()
}

/// A slot's name takes lower-case letters, digits and underscores only.
fn slot_name(prefix: &str) -> String {
    let legal = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' };
    let name: String = format!("penstock_{prefix}").chars().map(legal).take(63).collect();
    name
}

#[cfg(test)]
mod tests {
    use cdc_source_postgres::wire::Password;

    use super::*;

    fn read(flags: &[(&str, &str, String)]) -> Result<RunSettings, Problem> {
        RunSettings::from_layers(&layers(None, flags)?)
    }

    #[test]
    fn a_source_alone_is_enough() {
        let source = "postgres://u@h/My-Shop".to_owned();
        let settings = read(&[("--source", "source", source)]).unwrap();
        assert_eq!(settings.pipeline.prefix, "My-Shop");
        assert_eq!(settings.pipeline.source.slot, "penstock_my_shop");
        assert_eq!(settings.pipeline.data_dir(), Path::new(DATA_DIR));
        assert_eq!(settings.pipeline.source.tables.to_string(), "*.*");
    }

    #[test]
    fn parts_in_debeziums_words_make_a_source() {
        let flags = [
            ("f", "database.hostname", "db".to_owned()),
            ("f", "database.user", "o'neil".to_owned()),
            ("f", "database.dbname", "shop".to_owned()),
            ("f", "database.password", "a b".to_owned()),
            ("f", "database.port", "5433".to_owned()),
        ];
        let connect = read(&flags).unwrap().pipeline.source.connect;
        assert_eq!((connect.address().as_str(), connect.user.as_str()), ("db:5433", "o'neil"));
        assert_eq!(connect.password, Some(Password::new("a b")));
    }

    #[test]
    fn a_password_may_stand_in_a_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), " a b\n").unwrap();
        let source = ("f", "source", "postgres://u@h/d".to_owned());
        let named = |path: &Path| ("f", "database.password.file", path.display().to_string());
        let connect = read(&[source.clone(), named(file.path())]).unwrap().pipeline.source.connect;
        assert_eq!(connect.password, Some(Password::new(" a b")));

        let problem = read(&[source.clone(), named(Path::new("/nowhere"))]).unwrap_err();
        assert!(
            problem.what.contains("/nowhere") && problem.what.contains("database.password.file")
        );
        let empty = tempfile::NamedTempFile::new().unwrap();
        let problem = read(&[source.clone(), named(empty.path())]).unwrap_err();
        assert!(problem.what.contains("is empty"), "{problem:?}");
        let both = [source, named(file.path()), ("f", "database.password", "x".to_owned())];
        assert!(read(&both).unwrap_err().what.contains("cannot both be given"));
    }

    #[test]
    fn no_source_says_how_to_give_one() {
        assert!(read(&[]).unwrap_err().fix.unwrap().contains("--source"));
    }
}
