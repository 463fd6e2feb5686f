//! What Prometheus is told of the dashboard itself.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use prometheus::{Encoder, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder};

use crate::moment::Moment;

/// The dashboard's own numbers.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    answers: IntCounterVec,
    commands: IntCounterVec,
    endpoints: IntGaugeVec,
    pub(crate) streams: IntGauge,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let registry = Registry::new();
        let counter = |name: &str, help: &str, labels: &[&str]| {
            let vector = IntCounterVec::new(Opts::new(name, help), labels);
            let vector = vector.expect("invariant: names are constant and valid");
            registry.register(Box::new(vector.clone())).expect("invariant: names differ");
            vector
        };
        let answers = counter("penstock_dashboard_answers_total", "Answers by status.", &["code"]);
        let commands = counter(
            "penstock_dashboard_commands_total",
            "Commands given, by verb and outcome.",
            &["action", "outcome"],
        );
        let opts =
            Opts::new("penstock_dashboard_endpoints", "Processes asked, by whether they answer.");
        let endpoints = IntGaugeVec::new(opts, &["state"]);
        let endpoints = endpoints.expect("invariant: names are constant and valid");
        let streams = IntGauge::new("penstock_dashboard_streams", "Pages that are open.");
        let streams = streams.expect("invariant: names are constant and valid");
        registry.register(Box::new(endpoints.clone())).expect("invariant: names differ");
        registry.register(Box::new(streams.clone())).expect("invariant: names differ");
        Self { registry, answers, commands, endpoints, streams }
    }

    pub(crate) fn answered(&self, status: StatusCode) {
        self.answers.with_label_values(&[status.as_str()]).inc();
    }

    pub(crate) fn commanded(&self, action: &str, is_refused: bool) {
        let outcome = if is_refused { "refused" } else { "done" };
        self.commands.with_label_values(&[action, outcome]).inc();
    }

    /// Writes them in Prometheus' text format.
    pub(crate) fn render(&self, moment: &Moment) -> Response {
        let absent = moment.absent().count();
        for (state, count) in [("absent", absent), ("fresh", moment.seats.len() - absent)] {
            self.endpoints
                .with_label_values(&[state])
                .set(i64::try_from(count).unwrap_or(i64::MAX));
        }
        let encoder = TextEncoder::new();
        let mut text = Vec::new();
        match encoder.encode(&self.registry.gather(), &mut text) {
            Ok(()) => {
                ([(header::CONTENT_TYPE, encoder.format_type().to_owned())], text).into_response()
            }
            Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
        }
    }
}
