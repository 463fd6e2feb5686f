//! What Prometheus is told of a pipeline's parts.

use cdc_control::v1::{State, StatusReply};
use prometheus::{GaugeVec, IntCounterVec, IntGaugeVec, Opts, Registry};

/// What Prometheus is told; taken from the status at each request.
#[derive(Debug)]
pub struct Metrics {
    /// By loop and number.
    totals: IntCounterVec,
    /// By loop.
    lag_records: IntGaugeVec,
    lag_seconds: GaugeVec,
    lag_bytes: IntGaugeVec,
    wal_bytes: IntGaugeVec,
    latency_seconds: GaugeVec,
    is_halted: IntGaugeVec,
    rows: IntCounterVec,
}

impl Metrics {
    /// Registers all of them.
    ///
    /// # Panics
    /// If they are registered twice.
    pub fn register(registry: &Registry) -> Self {
        let counter = |name: &str, help: &str, labels: &[&str]| {
            let vector = IntCounterVec::new(Opts::new(name, help), labels);
            let vector = vector.expect("invariant: names are constant and valid");
            registry.register(Box::new(vector.clone())).expect("invariant: names differ");
            vector
        };
        let gauge = |name: &str, help: &str, labels: &[&str]| {
            let vector = IntGaugeVec::new(Opts::new(name, help), labels);
            let vector = vector.expect("invariant: names are constant and valid");
            registry.register(Box::new(vector.clone())).expect("invariant: names differ");
            vector
        };
        let real = |name: &str, help: &str, labels: &[&str]| {
            let vector = GaugeVec::new(Opts::new(name, help), labels);
            let vector = vector.expect("invariant: names are constant and valid");
            registry.register(Box::new(vector.clone())).expect("invariant: names differ");
            vector
        };
        Self {
            totals: counter(
                "penstock_loop_total",
                "Events, retries and dead letters since the start, by loop.",
                &["loop", "of"],
            ),
            lag_records: gauge("penstock_lag_records", "Records not applied yet.", &["loop"]),
            lag_seconds: real(
                "penstock_lag_seconds",
                "Age of the oldest missing change.",
                &["loop"],
            ),
            lag_bytes: gauge(
                "penstock_lag_bytes",
                "Log not acknowledged to the server.",
                &["slot"],
            ),
            wal_bytes: gauge(
                "penstock_slot_wal_bytes",
                "Log kept by the slot, and log that may still be written before it is lost.",
                &["slot", "of"],
            ),
            latency_seconds: real(
                "penstock_latency_seconds",
                "From commit until durable in the log, or visible in the projection.",
                &["loop", "quantile"],
            ),
            is_halted: gauge("penstock_halted", "1 if the loop has halted.", &["loop"]),
            rows: counter(
                "penstock_rows_total",
                "Rows captured by table and op.",
                &["table", "op"],
            ),
        }
    }

    /// Takes over a status.
    pub fn update(&self, status: &StatusReply) {
        if let Some(source) = &status.source {
            let slot = source.slot.as_str();
            let set = |vector: &IntGaugeVec, labels: &[&str], value: Option<i64>| {
                if let Some(value) = value {
                    vector.with_label_values(labels).set(value);
                }
            };
            set(&self.lag_bytes, &[slot], signed(source.lag_bytes));
            set(&self.wal_bytes, &[slot, "retained"], signed(source.retained_wal_bytes));
            set(&self.wal_bytes, &[slot, "safe"], source.safe_wal_bytes);
        }
        if let Some(capture) = &status.capture {
            self.total("capture", "events", capture.events);
            self.total("capture", "records", capture.records);
            self.total("capture", "retries", capture.retries);
            self.latency("capture", capture.latency_p50_ms, capture.latency_p99_ms);
            self.halted("capture", capture.state());
        }
        for projection in &status.projections {
            let name = projection.name.as_str();
            self.total(name, "rows_applied", projection.rows_applied);
            self.total(name, "dead_letters", projection.dead_letters);
            self.total(name, "retries", projection.retries);
            self.latency(name, projection.latency_p50_ms, projection.latency_p99_ms);
            self.halted(name, projection.state());
            if let Some(lag) = signed(projection.lag_records) {
                self.lag_records.with_label_values(&[name]).set(lag);
            }
            if let Some(lag) = projection.lag_seconds {
                self.lag_seconds.with_label_values(&[name]).set(lag);
            }
        }
        for table in &status.tables {
            let ops = [
                ("c", table.creates),
                ("u", table.updates),
                ("d", table.deletes),
                ("r", table.reads),
                ("t", table.truncates),
            ];
            for (op, total) in ops {
                let counter = self.rows.with_label_values(&[table.name.as_str(), op]);
                counter.inc_by(total.saturating_sub(counter.get()));
            }
        }
    }

    fn total(&self, name: &str, of: &str, total: u64) {
        let counter = self.totals.with_label_values(&[name, of]);
        counter.inc_by(total.saturating_sub(counter.get()));
    }

    fn latency(&self, name: &str, p50_ms: Option<f64>, p99_ms: Option<f64>) {
        for (quantile, ms) in [("0.5", p50_ms), ("0.99", p99_ms)] {
            if let Some(ms) = ms {
                self.latency_seconds.with_label_values(&[name, quantile]).set(ms / 1e3);
            }
        }
    }

    fn halted(&self, name: &str, state: State) {
        self.is_halted.with_label_values(&[name]).set(i64::from(state == State::Halted));
    }
}

fn signed(number: Option<u64>) -> Option<i64> {
    number.map(|number| i64::try_from(number).unwrap_or(i64::MAX))
}
