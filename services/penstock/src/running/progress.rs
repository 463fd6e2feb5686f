//! Says in the log how far long work is, for whoever started it and waits.

use std::time::Duration;

use cdc_control::v1::{SnapshotProgress, State};

use crate::running::Running;

/// How often a snapshot's progress is logged.
const INTERVAL: Duration = Duration::from_secs(5);

/// Logs the progress of the snapshot while there is one, and when the stream begins.
pub(super) async fn log(running: &Running) {
    let mut last = State::Unspecified;
    loop {
        tokio::time::sleep(INTERVAL).await;
        let Some(source) = running.status().source else { continue };
        let state = source.state();
        if state == State::Snapshot {
            for table in source.snapshot.iter().filter(|table| !table.is_done) {
                tracing::info!("{}", describe(table));
            }
        } else if state == State::Running && last != State::Running {
            let rows: u64 = source.snapshot.iter().map(|table| table.rows_done).sum();
            tracing::info!(snapshot_rows = rows, "streaming");
        }
        last = state;
    }
}

/// `reading public.orders: 120000 of about 5000000 rows, 310000/s, 16 s left`
fn describe(table: &SnapshotProgress) -> String {
    let mut text = format!("reading {}: {}", table.table, table.rows_done);
    match table.rows_estimated {
        Some(estimated) if estimated > 0 => text.push_str(&format!(" of about {estimated} rows")),
        _ => text.push_str(" rows"),
    }
    if let (Some(rate), Some(eta)) = (table.rows_per_second, table.eta_seconds) {
        text.push_str(&format!(", {rate:.0}/s, {eta:.0} s left"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_tells_rows_rate_and_time_left() {
        let table = SnapshotProgress {
            table: "public.orders".into(),
            rows_done: 120_000,
            rows_estimated: Some(5_000_000),
            rows_per_second: Some(310_000.4),
            eta_seconds: Some(15.7),
            is_done: false,
        };
        let expected = "reading public.orders: 120000 of about 5000000 rows, 310000/s, 16 s left";
        assert_eq!(describe(&table), expected);
        let unknown = SnapshotProgress { table: "public.t".into(), ..SnapshotProgress::default() };
        assert_eq!(describe(&unknown), "reading public.t: 0 rows");
    }
}
