//! What Prometheus is told.

use std::time::Duration;

use axum::http::StatusCode;
use prometheus::{
    Encoder, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, Opts, Registry, TextEncoder,
};

/// Bounds of the histogram of times, in seconds.
const BUCKETS: [f64; 10] = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.05, 0.1, 0.5, 2.0, 10.0];

/// Counts of this service.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    seconds: HistogramVec,
    cache: IntCounterVec,
    upstream_up: IntGauge,
    ready: IntGauge,
    schemas: IntGauge,
    subjects: IntGauge,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let registry = Registry::new();
        let gauge = |name: &str, help: &str| {
            let gauge = IntGauge::new(name, help).expect("invariant: names are valid");
            registry.register(Box::new(gauge.clone())).expect("invariant: names differ");
            gauge
        };
        let counter = |name: &str, help: &str, labels: &[&str]| {
            let counter = IntCounterVec::new(Opts::new(name, help), labels);
            let counter = counter.expect("invariant: names are valid");
            registry.register(Box::new(counter.clone())).expect("invariant: names differ");
            counter
        };
        let options = HistogramOpts::new("penstock_registry_request_seconds", "Time to an answer.");
        let seconds = HistogramVec::new(options.buckets(BUCKETS.to_vec()), &["route"]);
        let seconds = seconds.expect("invariant: names are valid");
        registry.register(Box::new(seconds.clone())).expect("invariant: names differ");
        Self {
            requests: counter(
                "penstock_registry_requests_total",
                "Requests answered.",
                &["route", "status"],
            ),
            seconds,
            cache: counter(
                "penstock_registry_cache_total",
                "Schemas asked for by id before an upstream, by whether they were known.",
                &["outcome"],
            ),
            upstream_up: gauge(
                "penstock_registry_upstream_up",
                "1 if the upstream answered last; 1 where there is none.",
            ),
            ready: gauge("penstock_registry_ready", "1 if everything can be served."),
            schemas: gauge("penstock_registry_schemas", "Schemas known."),
            subjects: gauge("penstock_registry_subjects", "Subjects not deleted."),
            registry,
        }
    }

    pub(crate) fn request(&self, route: &str, status: StatusCode, took: Duration) {
        self.requests.with_label_values(&[route, status.as_str()]).inc();
        self.seconds.with_label_values(&[route]).observe(took.as_secs_f64());
    }

    pub(crate) fn cache(&self, is_hit: bool) {
        self.cache.with_label_values(&[if is_hit { "hit" } else { "miss" }]).inc();
    }

    pub(crate) fn state(&self, is_ready: bool, is_upstream_up: bool, counts: (usize, usize)) {
        let signed = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.ready.set(i64::from(is_ready));
        self.upstream_up.set(i64::from(is_upstream_up));
        self.schemas.set(signed(counts.0));
        self.subjects.set(signed(counts.1));
    }

    pub(crate) fn text(&self) -> Result<String, prometheus::Error> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }
}
