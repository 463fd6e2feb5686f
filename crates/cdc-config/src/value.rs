//! Reading one value.

use std::str::FromStr;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::layer::{Layers, Setting};

/// Makes the error of a value.
pub(crate) fn bad(name: &str, setting: &Setting, problem: impl Into<String>) -> Error {
    Error::Value { name: name.to_owned(), problem: problem.into(), origin: setting.origin.clone() }
}

pub(crate) fn text(layers: &Layers, name: &str) -> Result<Option<String>> {
    let Some(setting) = layers.get(name) else { return Ok(None) };
    if setting.value.trim().is_empty() {
        return Err(bad(name, setting, "it is empty"));
    }
    Ok(Some(setting.value.trim().to_owned()))
}

pub(crate) fn parse<T: FromStr>(layers: &Layers, name: &str, accepted: &str) -> Result<Option<T>> {
    let Some(setting) = layers.get(name) else { return Ok(None) };
    match setting.value.trim().parse() {
        Ok(value) => Ok(Some(value)),
        Err(_) => Err(bad(name, setting, format!("it takes {accepted}"))),
    }
}

pub(crate) fn millis(layers: &Layers, name: &str) -> Result<Option<Duration>> {
    let millis = parse(layers, name, "a number of milliseconds, 0 or more")?;
    Ok(millis.map(Duration::from_millis))
}
