//! What librdkafka tells beside its answers: log lines, global errors, failed deliveries.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::KafkaError;
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::ProducerContext;
use rdkafka::types::RDKafkaErrorCode;
use tokio::time::Instant;

use crate::code::{Kind, kind};

/// At most one log line in this time per client; the others are counted.
const LOG_PACE: Duration = Duration::from_secs(5);

/// A record that was not delivered.
#[derive(Debug, Clone)]
pub(crate) struct DeliveryFailure {
    pub(crate) code: RDKafkaErrorCode,
    pub(crate) topic: String,
}

/// Collects what a client tells, for the thread that serves it.
#[derive(Debug, Default)]
pub(crate) struct Context {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    last_error: Option<(RDKafkaErrorCode, String)>,
    failure: Option<DeliveryFailure>,
    logged_at: Option<Instant>,
    suppressed: u64,
}

impl Context {
    /// Returns the last global error and its text.
    pub(crate) fn last_error(&self) -> Option<(RDKafkaErrorCode, String)> {
        self.state().last_error.clone()
    }

    /// Returns the failed delivery that tells most: the first one that does not heal by itself, or
    /// else the first. What is purged because another record failed may be reported before it.
    pub(crate) fn failure(&self) -> Option<DeliveryFailure> {
        self.state().failure.clone()
    }

    /// Forgets errors of the past, before something new is tried.
    pub(crate) fn forget(&self) {
        self.state().last_error = None;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn log_paced(&self, facility: &str, text: &str) {
        let mut state = self.state();
        let now = Instant::now();
        if state.logged_at.is_some_and(|at| now.duration_since(at) < LOG_PACE) {
            state.suppressed += 1;
            return;
        }
        let suppressed = std::mem::take(&mut state.suppressed);
        state.logged_at = Some(now);
        drop(state);
        tracing::warn!(facility, suppressed, "kafka client: {text}");
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        match level {
            RDKafkaLogLevel::Emerg
            | RDKafkaLogLevel::Alert
            | RDKafkaLogLevel::Critical
            | RDKafkaLogLevel::Error
            | RDKafkaLogLevel::Warning => self.log_paced(facility, text),
            RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info | RDKafkaLogLevel::Debug => {
                tracing::debug!(facility, "kafka client: {text}");
            }
        }
    }

    fn stats_raw(&self, _: &[u8]) {}

    fn error(&self, error: KafkaError, reason: &str) {
        if let Some(code) = error.rdkafka_error_code() {
            tracing::debug!(?code, "kafka client error: {reason}");
            self.state().last_error = Some((code, reason.to_owned()));
        }
    }
}

impl ConsumerContext for Context {}

impl ProducerContext for Context {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let Err((error, message)) = result else { return };
        let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown);
        let failure = DeliveryFailure { code, topic: message.topic().to_owned() };
        let mut state = self.state();
        let is_told =
            state.failure.as_ref().is_some_and(|known| kind(known.code) != Kind::Transient);
        if !is_told && (state.failure.is_none() || kind(code) != Kind::Transient) {
            state.failure = Some(failure);
        }
    }
}
