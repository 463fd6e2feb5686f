//! What Prometheus is told.

use prometheus::{Encoder, Gauge, IntCounter, IntCounterVec, Opts, Registry, TextEncoder};

/// Counts of this shop.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    orders: IntCounterVec,
    load_orders: IntCounter,
    refusals: IntCounterVec,
    rate_wanted: Gauge,
    rate_achieved: Gauge,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let registry = Registry::new();
        let counter = |name: &str, help: &str, label: &str| {
            let counter = IntCounterVec::new(Opts::new(name, help), &[label]);
            let counter = counter.expect("invariant: names are valid");
            registry.register(Box::new(counter.clone())).expect("invariant: names differ");
            counter
        };
        let gauge = |name: &str, help: &str| {
            let gauge = Gauge::new(name, help).expect("invariant: names are valid");
            registry.register(Box::new(gauge.clone())).expect("invariant: names differ");
            gauge
        };
        let orders = counter("penstock_storefront_orders_total", "Orders placed.", "channel");
        Self {
            load_orders: orders.with_label_values(&["load"]),
            orders,
            refusals: counter(
                "penstock_storefront_refusals_total",
                "Orders and commands that were refused, by why.",
                "reason",
            ),
            rate_wanted: gauge(
                "penstock_storefront_load_wanted_per_second",
                "Orders per second that the dial is set to.",
            ),
            rate_achieved: gauge(
                "penstock_storefront_load_achieved_per_second",
                "Orders per second that the load placed in the last two seconds.",
            ),
            registry,
        }
    }

    /// Counts an order that a person placed.
    pub(crate) fn sold(&self) {
        self.orders.with_label_values(&["web"]).inc();
    }

    /// Counts a refusal.
    pub(crate) fn refused(&self, reason: &str) {
        self.refusals.with_label_values(&[reason]).inc();
    }

    /// Takes over what the load has done so far.
    pub(crate) fn set_load(&self, placed: u64, wanted: f64, achieved: f64) {
        self.load_orders.inc_by(placed.saturating_sub(self.load_orders.get()));
        self.rate_wanted.set(wanted);
        self.rate_achieved.set(achieved);
    }

    /// Writes everything in Prometheus' text format.
    pub(crate) fn text(&self) -> (String, Vec<u8>) {
        let encoder = TextEncoder::new();
        let mut text = Vec::new();
        if let Err(error) = encoder.encode(&self.registry.gather(), &mut text) {
            tracing::warn!(error = %error, "metrics cannot be written");
        }
        (encoder.format_type().to_owned(), text)
    }
}
