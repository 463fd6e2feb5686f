//! When to try again: a pure schedule of exponential delays with full jitter.
//!
//! The random part is an input (`0.0..1.0`), so that a simulation decides it.

use std::time::Duration;

use crate::error::{Classify, ErrorClass, chain};

/// How fast and how often to retry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Upper bound of the first delay. Default 50 ms.
    pub delay_min: Duration,
    /// Upper bound of every delay. Default 5 s: a source or broker that comes back is used within
    /// that time.
    pub delay_max: Duration,
    /// After how many attempts in a row an unknown error is fatal. Default 10.
    pub attempts_max: u32,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            delay_min: Duration::from_millis(50),
            delay_max: Duration::from_secs(5),
            attempts_max: 10,
        }
    }
}

/// What to do about a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Try again after this delay.
    Retry(Duration),
    /// Give up: a person is needed.
    Halt,
}

/// Attempts that failed in a row.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Attempts {
    failed: u32,
}

impl Attempts {
    /// Forgets what failed: something succeeded.
    pub fn reset(&mut self) {
        self.failed = 0;
    }

    /// Counts a failure of `class` and decides. `jitter` in `0.0..1.0` chooses the delay within its
    /// bound.
    pub fn fail(&mut self, policy: &RetryPolicy, class: ErrorClass, jitter: f64) -> Decision {
        self.failed = self.failed.saturating_add(1);
        match class {
            ErrorClass::Poison | ErrorClass::Fatal => Decision::Halt,
            ErrorClass::Unknown if self.failed >= policy.attempts_max => Decision::Halt,
            ErrorClass::Transient | ErrorClass::Unknown | ErrorClass::Fenced => {
                let doubled = 1_u32 << self.failed.saturating_sub(1).min(16);
                let bound = policy.delay_min.saturating_mul(doubled).min(policy.delay_max);
                Decision::Retry(bound.mul_f64(jitter.clamp(0.0, 1.0)))
            }
        }
    }
}

/// Why a loop stopped for good: what happened, and what the operator does about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Halted {
    /// Stable name of the cause, such as `SLOT_LOST`; `UNKNOWN_ERROR` for an error that nothing
    /// is known about.
    pub code: &'static str,
    /// What happened, with its causes, in one line.
    pub message: String,
    /// What to do, with the command if there is one.
    pub remedy: Option<String>,
}

impl Halted {
    /// Makes a halt of the error that caused it.
    pub fn new(error: &dyn Classify) -> Self {
        Self {
            code: error.code().unwrap_or("UNKNOWN_ERROR"),
            message: chain(error),
            remedy: error.remedy(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: RetryPolicy = RetryPolicy {
        delay_min: Duration::from_millis(50),
        delay_max: Duration::from_secs(5),
        attempts_max: 3,
    };

    #[test]
    fn delays_double_up_to_their_bound() {
        let mut attempts = Attempts::default();
        let mut delay = || attempts.fail(&POLICY, ErrorClass::Transient, 1.0);
        let delays: Vec<_> = (0..9).map(|_| delay()).collect();
        let millis = [50, 100, 200, 400, 800, 1600, 3200, 5000, 5000];
        let expected = millis.map(|millis| Decision::Retry(Duration::from_millis(millis)));
        assert_eq!(delays, expected);
    }

    #[test]
    fn only_unknown_errors_run_out_of_attempts() {
        for (class, expected) in [
            (ErrorClass::Transient, false),
            (ErrorClass::Fenced, false),
            (ErrorClass::Unknown, true),
            (ErrorClass::Poison, true),
            (ErrorClass::Fatal, true),
        ] {
            let mut attempts = Attempts::default();
            let halts = (0..100).any(|_| attempts.fail(&POLICY, class, 0.5) == Decision::Halt);
            assert_eq!(halts, expected, "{class}");
        }
    }

    #[test]
    fn success_starts_the_count_again() {
        let mut attempts = Attempts::default();
        for _ in 0..100 {
            assert_ne!(attempts.fail(&POLICY, ErrorClass::Unknown, 0.5), Decision::Halt);
            attempts.reset();
        }
    }
}
