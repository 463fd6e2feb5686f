//! The log and the registry that are shared with other processes.

use std::collections::BTreeMap;
use std::path::Path;

use cdc_config::{Config, Secret};
use cdc_log_kafka::KafkaConfig;
use cdc_pipeline::Classify as _;
use cdc_registry::{Credentials, RestConfig};

use super::secret::secret;
use crate::report::Problem;

const SASL_PASSWORD: &str = "sasl.password";

/// Reads how Kafka is reached, if the log is there.
pub(super) fn kafka(config: &Config) -> Result<Option<KafkaConfig>, Problem> {
    let Some(servers) = &config.kafka else {
        return match (config.kafka_properties.keys().next(), &config.kafka_password_file) {
            (Some(name), _) => Err(useless(&format!("kafka_properties.{name}"), "kafka")),
            (None, Some(_)) => Err(useless("kafka_password_file", "kafka")),
            (None, None) => Ok(None),
        };
    };
    let properties = config.kafka_properties.iter();
    let properties = properties.map(|(name, value)| (name.clone(), value.reveal().to_owned()));
    kafka_config(servers, properties.collect(), config.kafka_password_file.as_deref()).map(Some)
}

/// Makes the settings of a Kafka client of `kafka`, `kafka_properties.*` and `kafka_password_file`.
///
/// # Errors
/// If the password is given twice, its file cannot be read, or a property cannot be used.
pub fn kafka_config(
    servers: &str,
    mut properties: BTreeMap<String, String>,
    password_file: Option<&Path>,
) -> Result<KafkaConfig, Problem> {
    let password = secret(
        ("kafka_properties.sasl.password", properties.get(SASL_PASSWORD).map(String::as_str)),
        ("kafka_password_file", password_file),
    )?;
    properties.extend(password.map(|password| (SASL_PASSWORD.to_owned(), password)));
    let mut config = KafkaConfig::new(servers);
    config.properties = properties;
    config.check().map_err(|error| {
        let fix = error.remedy().unwrap_or_default();
        Problem::usage(error.to_string(), "it stands in kafka_properties", fix)
    })?;
    Ok(config)
}

/// Reads how the registry is reached, if one is shared.
pub(super) fn registry(config: &Config) -> Result<Option<RestConfig>, Problem> {
    let credentials = credentials(
        "registry",
        config.registry_user.as_deref(),
        config.registry_password.as_ref().map(Secret::reveal),
        config.registry_password_file.as_deref(),
    )?;
    let Some(url) = &config.registry else {
        return match (&credentials, &config.registry_ca_file) {
            (Credentials::None, None) => Ok(None),
            (Credentials::None, Some(_)) => Err(useless("registry_ca_file", "registry")),
            _ => Err(useless("registry_user", "registry")),
        };
    };
    let mut rest = RestConfig::new(url.reveal());
    rest.credentials = credentials;
    rest.ca_file.clone_from(&config.registry_ca_file);
    Ok(Some(rest))
}

/// Makes credentials of the settings `WHOSE_user`, `WHOSE_password` and `WHOSE_password_file`.
///
/// # Errors
/// If there is a password without a user, the password is given twice, or its file cannot be read.
pub fn credentials(
    whose: &str,
    user: Option<&str>,
    password: Option<&str>,
    password_file: Option<&Path>,
) -> Result<Credentials, Problem> {
    let (name, file_name) = (format!("{whose}_password"), format!("{whose}_password_file"));
    let password = secret((&name, password), (&file_name, password_file))?;
    match (user, password) {
        (Some(user), password) => {
            let password = password.unwrap_or_default();
            Ok(Credentials::Basic { user: user.to_owned(), password })
        }
        (None, Some(_)) => Err(Problem::usage(
            format!("a password of \"{whose}\" is given, and no user"),
            "a registry knows a user by both",
            format!("Give {whose}_user, or write both into the URL of \"{whose}\"."),
        )),
        (None, None) => Ok(Credentials::None),
    }
}

/// Makes the problem of a setting that serves nothing without another.
pub fn useless(name: &str, owner: &str) -> Problem {
    Problem::usage(
        format!("the setting \"{name}\" is given without \"{owner}\""),
        "nothing would use it",
        format!("Give {owner}, or remove {name}."),
    )
}

#[cfg(test)]
mod tests;
