//! The log: to stderr, as text or as JSON lines.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::environment::variable;

/// Only what is ours says more than warnings.
const CRATES: [&str; 20] = [
    "capture",
    "cdc_codec",
    "cdc_config",
    "cdc_control",
    "cdc_log_kafka",
    "cdc_log_local",
    "cdc_pipeline",
    "cdc_registry",
    "cdc_runtime",
    "cdc_sink_audit",
    "cdc_sink_duckdb",
    "cdc_sink_search",
    "cdc_source_postgres",
    "cdc_transform",
    "ops_dashboard",
    "penstock",
    "projector",
    "schema_registry_client",
    "service_kit",
    "storefront",
];

/// What is logged, and how.
#[derive(Debug, Clone, Default)]
pub struct Telemetry {
    /// `error`, `warn`, `info`, `debug` or `trace` for our crates, or a whole filter such as
    /// `info,cdc_source_postgres=debug`. Default `info`.
    pub level: Option<String>,
    /// JSON lines instead of text.
    pub is_json: bool,
}

/// A log level that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{level}\" is no log level")]
pub struct LevelError {
    /// What was given.
    pub level: String,
}

/// Starts logging to stderr. Only the first call of a process has an effect.
///
/// # Errors
/// If the level is neither a level nor a filter.
pub fn init(telemetry: &Telemetry) -> Result<(), LevelError> {
    let level = telemetry.level.as_deref().unwrap_or("info");
    let filter = filter(level)?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let is_colourful = std::io::stderr().is_terminal() && variable("NO_COLOR").is_none();
    let started = if telemetry.is_json {
        builder.json().try_init()
    } else {
        builder.with_ansi(is_colourful).with_target(false).compact().try_init()
    };
    if started.is_err() {
        tracing::debug!("logging was started before");
    }
    Ok(())
}

fn filter(level: &str) -> Result<EnvFilter, LevelError> {
    let refused = |_| LevelError { level: level.to_owned() };
    let is_level = ["off", "error", "warn", "info", "debug", "trace"].contains(&level);
    if !is_level && !level.contains(['=', ',']) {
        return Err(LevelError { level: level.to_owned() });
    }
    if !is_level {
        return EnvFilter::builder().parse(level).map_err(refused);
    }
    let ours: Vec<String> = CRATES.iter().map(|name| format!("{name}={level}")).collect();
    let others = if level == "off" { "off" } else { "warn" };
    EnvFilter::builder().parse(format!("{others},{}", ours.join(","))).map_err(refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_and_filters_are_read_and_nonsense_is_not() {
        for level in ["info", "off", "info,cdc_pipeline=trace"] {
            assert!(filter(level).is_ok(), "{level}");
        }
        for level in ["loud", "cdc_pipeline=loud"] {
            assert!(filter(level).is_err(), "{level}");
        }
    }
}
