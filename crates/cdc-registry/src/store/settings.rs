//! Compatibility levels and modes, global and per subject.

use std::fmt;
use std::str::FromStr;

use cdc_pipeline::port::Subject;

use crate::compatibility::{Compatibility, UnknownLevel};
use crate::error::Result;

use super::EmbeddedRegistry;

/// What may be done with a subject.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Mode {
    /// Everything.
    #[default]
    ReadWrite,
    /// Nothing is registered or deleted.
    ReadOnly,
    /// As [`Mode::ReadOnly`], and no subject's own mode counts.
    ReadOnlyOverride,
    /// Only schemas with given ids are taken; plain registering is refused.
    Import,
}

impl Mode {
    /// Returns the mode's name in the REST API.
    pub fn name(self) -> &'static str {
        match self {
            Self::ReadWrite => "READWRITE",
            Self::ReadOnly => "READONLY",
            Self::ReadOnlyOverride => "READONLY_OVERRIDE",
            Self::Import => "IMPORT",
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Mode {
    type Err = UnknownLevel;

    fn from_str(name: &str) -> Result<Self, UnknownLevel> {
        let all = [Self::ReadWrite, Self::ReadOnly, Self::ReadOnlyOverride, Self::Import];
        all.into_iter().find(|mode| mode.name() == name).ok_or(UnknownLevel)
    }
}

impl EmbeddedRegistry {
    /// Returns the level set for `subject`, or globally for `None`; `None` if it was never set.
    ///
    /// # Errors
    /// Of the store.
    pub fn compatibility(&self, subject: Option<&Subject>) -> Result<Option<Compatibility>> {
        self.setting(b'c', subject)
    }

    /// Returns the level that counts for `subject`: its own, else the global one, else `BACKWARD`.
    ///
    /// # Errors
    /// Of the store.
    pub fn effective_compatibility(&self, subject: &Subject) -> Result<Compatibility> {
        match self.compatibility(Some(subject))? {
            Some(level) => Ok(level),
            None => Ok(self.compatibility(None)?.unwrap_or_default()),
        }
    }

    /// Sets the level of `subject`, or the global one; `None` removes it.
    ///
    /// # Errors
    /// Of the store.
    pub fn set_compatibility(
        &self,
        subject: Option<&Subject>,
        level: Option<Compatibility>,
    ) -> Result<()> {
        self.set(b'c', subject, level.map(Compatibility::name))
    }

    /// Returns the mode set for `subject`, or globally for `None`; `None` if it was never set.
    ///
    /// # Errors
    /// Of the store.
    pub fn mode(&self, subject: Option<&Subject>) -> Result<Option<Mode>> {
        self.setting(b'm', subject)
    }

    /// Returns the mode that counts for `subject`.
    ///
    /// # Errors
    /// Of the store.
    pub fn effective_mode(&self, subject: &Subject) -> Result<Mode> {
        let global = self.mode(None)?.unwrap_or_default();
        match (global, self.mode(Some(subject))?) {
            (Mode::ReadOnlyOverride, _) | (_, None) => Ok(global),
            (_, Some(own)) => Ok(own),
        }
    }

    /// Sets the mode of `subject`, or the global one; `None` removes it.
    ///
    /// # Errors
    /// Of the store.
    pub fn set_mode(&self, subject: Option<&Subject>, mode: Option<Mode>) -> Result<()> {
        self.set(b'm', subject, mode.map(Mode::name))
    }

    fn setting<T: FromStr>(&self, kind: u8, subject: Option<&Subject>) -> Result<Option<T>> {
        let key = key(kind, subject);
        let Some(value) = self.store.get(&key)? else { return Ok(None) };
        let parsed = std::str::from_utf8(&value).ok().and_then(|name| name.parse().ok());
        parsed.map(Some).ok_or_else(|| {
            self.store.corrupt(format!("entry {} is unreadable", key.escape_ascii()))
        })
    }

    fn set(&self, kind: u8, subject: Option<&Subject>, name: Option<&str>) -> Result<()> {
        let _writing = self.lock();
        let mut batch = self.batch();
        let key = key(kind, subject);
        match name {
            Some(name) => batch.insert(&self.store.keyspace, key, name.as_bytes()),
            None => batch.remove(&self.store.keyspace, key),
        }
        self.commit(batch)
    }
}

fn key(kind: u8, subject: Option<&Subject>) -> Vec<u8> {
    [&[kind], subject.map_or("", |subject| &*subject.0).as_bytes()].concat()
}
