//! How enumerations read in JSON: as lower-case words, not numbers.

use serde::Serializer;

use crate::v1::{Mode, State};

pub(crate) fn state<S: Serializer>(state: &i32, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(State::try_from(*state).unwrap_or_default().word())
}

pub(crate) fn mode<S: Serializer>(mode: &i32, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(Mode::try_from(*mode).unwrap_or_default().word())
}

impl State {
    /// Returns the state as one lower-case word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Unspecified => "unknown",
            Self::Starting => "starting",
            Self::Snapshot => "snapshot",
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Halted => "halted",
            Self::Stopped => "stopped",
            Self::Paused => "paused",
        }
    }
}

impl Mode {
    /// Returns the mode as one lower-case word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Unspecified => "unknown",
            Self::Embedded => "embedded",
            Self::Kafka => "kafka",
        }
    }
}
