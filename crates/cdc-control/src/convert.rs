//! A loop's state as the interface tells it.

use cdc_pipeline::{Halted, stats};

use crate::v1;

/// Splits a loop's state into the state, what it waits for, and why it halted.
pub fn state(state: &stats::State) -> (v1::State, String, Option<v1::Halt>) {
    match state {
        stats::State::Starting => (v1::State::Starting, String::new(), None),
        stats::State::Running => (v1::State::Running, String::new(), None),
        stats::State::Waiting { reason } => (v1::State::Waiting, reason.clone(), None),
        stats::State::Paused => (v1::State::Paused, String::new(), None),
        stats::State::Halted(halted) => (v1::State::Halted, String::new(), Some(halt(halted))),
        stats::State::Stopped => (v1::State::Stopped, String::new(), None),
    }
}

/// Turns a halt into its message.
pub fn halt(halted: &Halted) -> v1::Halt {
    v1::Halt {
        code: halted.code.to_owned(),
        message: halted.message.clone(),
        remedy: halted.remedy.clone().unwrap_or_default(),
    }
}
