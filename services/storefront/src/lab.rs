//! Trouble on purpose: what can be broken, in words, and what was broken so far.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use cdc_control::v1;
use tokio::time::Instant;

/// What is remembered of it.
const NOTES_MAX: usize = 12;

/// What somebody did here, and what came of it.
#[derive(Debug, Clone)]
pub(crate) struct Note {
    pub(crate) at: Instant,
    pub(crate) what: String,
    pub(crate) outcome: String,
    pub(crate) is_refused: bool,
    /// A page of the dashboard where it shows.
    pub(crate) shows_at: Option<&'static str>,
}

/// The newest notes, the newest first.
#[derive(Debug, Default)]
pub(crate) struct Notes(Mutex<VecDeque<Note>>);

impl Notes {
    pub(crate) fn add(&self, note: Note) {
        let mut notes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        notes.push_front(note);
        notes.truncate(NOTES_MAX);
    }

    pub(crate) fn all(&self) -> Vec<Note> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}

/// Says what a projection does.
pub(crate) fn word(state: v1::State) -> &'static str {
    match state {
        v1::State::Unspecified => "unknown",
        v1::State::Starting => "starting",
        v1::State::Snapshot => "taking a snapshot",
        v1::State::Running => "running",
        v1::State::Waiting => "waiting",
        v1::State::Halted => "halted",
        v1::State::Stopped => "stopped",
        v1::State::Paused => "paused",
    }
}
