//! How long the replication slot lasts: an estimate from how fast the retained WAL grows.
//!
//! The server keeps what the slot retains until `max_slot_wal_keep_size`; `safe_wal_bytes` is what
//! may still be written. The growth is the least-squares slope of the last minutes, so that one
//! acknowledgement, which drops the retained WAL at once, does not make the slot look eternal.

/// What the next hours bring.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Outlook {
    /// The server has no limit: its disk is the limit.
    Unlimited,
    /// There is a limit, and too little was seen to estimate.
    Unknown,
    /// The retained WAL does not grow.
    Steady,
    /// Seconds until the slot is lost at this pace.
    Left(f64),
    /// The limit is passed: the server may remove WAL at its next checkpoint.
    Lost,
}

/// Less is no trend.
const SAMPLES_MIN: usize = 5;

/// Growth below this is noise of checkpoints and idle keepalives.
const NOISE_BYTES_PER_SECOND: f64 = 1_024.0;

/// Estimates from `(seconds, retained bytes)` samples, oldest first, and what may still be written.
pub(crate) fn outlook(samples: &[(f64, f64)], safe_wal_bytes: Option<i64>) -> Outlook {
    let Some(safe) = safe_wal_bytes else { return Outlook::Unlimited };
    if safe <= 0 {
        return Outlook::Lost;
    }
    match slope(samples) {
        None => Outlook::Unknown,
        Some(growth) if growth <= NOISE_BYTES_PER_SECOND => Outlook::Steady,
        Some(growth) => Outlook::Left(crate::format::real_signed(safe) / growth),
    }
}

fn slope(samples: &[(f64, f64)]) -> Option<f64> {
    if samples.len() < SAMPLES_MIN {
        return None;
    }
    let n = crate::format::real(u64::try_from(samples.len()).ok()?);
    let mean_t = samples.iter().map(|(t, _)| t).sum::<f64>() / n;
    let mean_v = samples.iter().map(|(_, v)| v).sum::<f64>() / n;
    let spread: f64 = samples.iter().map(|(t, _)| (t - mean_t).powi(2)).sum();
    let shared: f64 = samples.iter().map(|(t, v)| (t - mean_t) * (v - mean_v)).sum();
    (spread > 0.0).then(|| shared / spread)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn growing(bytes_per_second: f64) -> Vec<(f64, f64)> {
        (0..60).map(|t| (f64::from(t), 1e6 + f64::from(t) * bytes_per_second)).collect()
    }

    #[test]
    fn the_time_left_is_what_is_safe_over_the_growth() {
        assert_eq!(outlook(&growing(1e6), Some(3_600_000_000)), Outlook::Left(3_600.0));
    }

    #[test]
    fn without_a_limit_growth_or_samples_nothing_is_foretold() {
        assert_eq!(outlook(&growing(1e6), None), Outlook::Unlimited);
        assert_eq!(outlook(&growing(0.0), Some(1)), Outlook::Steady);
        assert_eq!(outlook(&growing(-5e6), Some(1)), Outlook::Steady);
        assert_eq!(outlook(&[], Some(1)), Outlook::Unknown);
        assert_eq!(outlook(&growing(1e6), Some(0)), Outlook::Lost);
        assert_eq!(outlook(&growing(1e6), Some(-5)), Outlook::Lost);
    }
}
