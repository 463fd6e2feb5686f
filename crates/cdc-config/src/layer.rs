//! Settings by where they come from: a flag beats the environment, which beats the file.

use std::collections::BTreeMap;
use std::fmt;

use crate::error::{Error, Result};
use crate::file::{File, Span};

/// Where a setting stands. Later variants win.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// In a file.
    File(Span),
    /// In an environment variable of this name.
    Environment(String),
    /// On the command line, by this flag.
    Flag(String),
}

impl Origin {
    pub(crate) fn rank(&self) -> u8 {
        match self {
            Self::File(_) => 0,
            Self::Environment(_) => 1,
            Self::Flag(_) => 2,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(span) => {
                let (line, column) = span.line_and_column();
                write!(f, "{}:{line}:{column}", span.file().path())
            }
            Self::Environment(name) => write!(f, "environment variable {name}"),
            Self::Flag(name) => write!(f, "flag {name}"),
        }
    }
}

/// A value and where it stands.
#[derive(Clone, PartialEq, Eq)]
pub struct Setting {
    /// The value as text.
    pub value: String,
    /// Where.
    pub origin: Origin,
}

impl fmt::Debug for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The value may be a secret.
        f.debug_struct("Setting").field("origin", &self.origin).finish_non_exhaustive()
    }
}

/// Settings of all layers, the winner of each name.
#[derive(Debug, Clone, Default)]
pub struct Layers {
    settings: BTreeMap<String, Setting>,
}

impl Layers {
    /// Adds what a TOML file says, in dotted, quoted or nested keys.
    ///
    /// # Errors
    /// [`Error::Syntax`], [`Error::Twice`], and [`Error::Value`] for a value that is neither text,
    /// number, truth value nor a list of these.
    pub fn add_file(&mut self, file: &File) -> Result<()> {
        let mut seen = BTreeMap::new();
        for (name, setting) in file.settings()? {
            if seen.contains_key(&name) {
                return Err(Error::Twice { name, origin: setting.origin });
            }
            seen.insert(name, setting);
        }
        for (name, setting) in seen {
            self.add(name, setting);
        }
        Ok(())
    }

    /// Adds an environment variable: `rest` is its name after the prefix, where `__` stands for a
    /// dot and case means nothing.
    pub fn add_environment(&mut self, variable: &str, rest: &str, value: &str) {
        let name = rest.to_ascii_lowercase().replace("__", ".");
        let origin = Origin::Environment(variable.to_owned());
        self.add(name, Setting { value: value.to_owned(), origin });
    }

    /// Adds a flag that gives the setting `name`.
    pub fn add_flag(&mut self, flag: &str, name: &str, value: &str) {
        let origin = Origin::Flag(flag.to_owned());
        self.add(name.to_owned(), Setting { value: value.to_owned(), origin });
    }

    /// Returns the settings by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Setting)> {
        self.settings.iter().map(|(name, setting)| (name.as_str(), setting))
    }

    /// Returns a setting.
    pub fn get(&self, name: &str) -> Option<&Setting> {
        self.settings.get(name)
    }

    /// Returns `name` unless `winner` stands in a stronger layer, which then speaks for both.
    pub(crate) fn get_beside(&self, name: &str, winner: &str) -> Option<&Setting> {
        let setting = self.get(name)?;
        let is_beaten = self.get(winner).is_some_and(|w| w.origin.rank() > setting.origin.rank());
        (!is_beaten).then_some(setting)
    }

    fn add(&mut self, name: String, setting: Setting) {
        match self.settings.get(&name) {
            Some(old) if old.origin.rank() > setting.origin.rank() => {}
            _ => drop(self.settings.insert(name, setting)),
        }
    }
}
