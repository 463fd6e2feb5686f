//! Compatibility levels and modes, global and per subject.

use std::fmt;
use std::str::FromStr;

use cdc_pipeline::port::Subject;

use crate::catalog::Change;
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

/// An operator's own settings: the registry's mode does not bind them.
impl EmbeddedRegistry {
    /// Returns the level set for `subject`, or globally for `None`; `None` if it was never set.
    ///
    /// # Errors
    /// None: the catalogue is in memory.
    pub fn compatibility(&self, subject: Option<&Subject>) -> Result<Option<Compatibility>> {
        Ok(self.read(|catalog| catalog.level(subject)))
    }

    /// Returns the level that counts for `subject`: its own, else the global one, else `BACKWARD`.
    ///
    /// # Errors
    /// None: the catalogue is in memory.
    pub fn effective_compatibility(&self, subject: &Subject) -> Result<Compatibility> {
        Ok(self.read(|catalog| catalog.effective_level(subject)))
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
        self.write(|_| Ok(((), vec![Change::Level(subject.cloned(), level)])))
    }

    /// Returns the mode set for `subject`, or globally for `None`; `None` if it was never set.
    ///
    /// # Errors
    /// None: the catalogue is in memory.
    pub fn mode(&self, subject: Option<&Subject>) -> Result<Option<Mode>> {
        Ok(self.read(|catalog| catalog.mode(subject)))
    }

    /// Returns the mode that counts for `subject`.
    ///
    /// # Errors
    /// None: the catalogue is in memory.
    pub fn effective_mode(&self, subject: &Subject) -> Result<Mode> {
        Ok(self.read(|catalog| catalog.effective_mode(Some(subject))))
    }

    /// Sets the mode of `subject`, or the global one; `None` removes it.
    ///
    /// # Errors
    /// Of the store.
    pub fn set_mode(&self, subject: Option<&Subject>, mode: Option<Mode>) -> Result<()> {
        self.write(|_| Ok(((), vec![Change::Mode(subject.cloned(), mode)])))
    }
}
