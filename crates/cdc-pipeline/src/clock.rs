//! Wall-clock time as an input, so that a simulation owns it.

use std::fmt;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use cdc_model::Timestamp;

/// Tells the time.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Timestamp + Send + Sync>);

impl Clock {
    /// The machine's clock.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the machine's clock")]
    pub fn system() -> Self {
        Self::new(|| {
            let elapsed = std::time::SystemTime::now().duration_since(UNIX_EPOCH);
            let micros = elapsed.map_or(0, |elapsed| elapsed.as_micros());
            Timestamp(i64::try_from(micros).unwrap_or(i64::MAX))
        })
    }

    /// A clock that tells what `now` returns.
    pub fn new(now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// Returns the time, in µs since 1970 UTC.
    pub fn now(&self) -> Timestamp {
        (self.0)()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}
