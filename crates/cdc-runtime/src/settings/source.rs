//! How the source is connected to: a connection string, or Debezium's parts of one.

use cdc_config::{Config, Secret};
use cdc_source_postgres::wire;
use cdc_source_postgres::wire::{ConnectOptions, Password};

use super::secret::secret;
use crate::report::Problem;

/// Reads the connection string, and sets the parts that are given beside it.
pub(super) fn connect(config: &Config) -> Result<ConnectOptions, Problem> {
    if let (Some(_), Some((name, _))) = (&config.source, config.ssl.first()) {
        return Err(Problem::usage(
            format!("\"source\" and \"database.{name}\" cannot both be given"),
            "the connection string has a place for it",
            format!("Write it into the connection string: ?{name}=…"),
        ));
    }
    let mut options: ConnectOptions = match (&config.source, &config.hostname) {
        (Some(source), _) => source.reveal().parse().map_err(|e| source_problem(&e))?,
        (None, Some(_)) => parts(config).parse().map_err(|e| source_problem(&e))?,
        (None, None) => {
            return Err(Problem::usage(
                "no source is given",
                "neither --source nor database.hostname says which database to capture",
                "Give --source postgres://USER:PASSWORD@HOST:PORT/DATABASE.",
            ));
        }
    };
    let password = secret(
        ("database.password", config.password.as_ref().map(Secret::reveal)),
        ("database.password.file", config.password_file.as_deref()),
    )?;
    if let Some(password) = password {
        options.password = Some(Password::new(&password));
    }
    if config.source.is_some() {
        options.port = config.port.unwrap_or(options.port);
        options.user = config.user.clone().unwrap_or(options.user);
        options.database = config.dbname.clone().unwrap_or(options.database);
    }
    Ok(options)
}

/// Writes Debezium's parts as libpq's list, except for the password.
fn parts(config: &Config) -> String {
    let port = config.port.map(|port| port.to_string());
    let named = [
        ("host", config.hostname.as_deref()),
        ("port", port.as_deref()),
        ("user", config.user.as_deref()),
        ("dbname", config.dbname.as_deref()),
    ];
    let named = named.iter().filter_map(|(name, value)| Some((*name, (*value)?)));
    let ssl = config.ssl.iter().map(|(name, value)| (*name, value.as_str()));
    let pairs = named.chain(ssl).map(|(name, value)| {
        let value = value.replace('\\', "\\\\").replace('\'', "\\'");
        format!("{name}='{value}'")
    });
    pairs.collect::<Vec<_>>().join(" ")
}

fn source_problem(error: &wire::OptionsError) -> Problem {
    Problem::usage(
        "the source is not valid",
        error.to_string(),
        "Write postgres://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=verify-full, with special \
         characters of the password as %XX.",
    )
}
