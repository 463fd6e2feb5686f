//! Dates, times and durations, in the units and ranges PostgreSQL keeps them in.
//!
//! Source: <https://www.postgresql.org/docs/current/datatype-datetime.html>

/// Days since 1970-01-01 in the proleptic Gregorian calendar; the extremes are infinite.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date(pub i32);

impl Date {
    /// Later than every other date.
    pub const INFINITY: Self = Self(i32::MAX);
    /// Earlier than every other date.
    pub const NEG_INFINITY: Self = Self(i32::MIN);
}

/// Microseconds since midnight, `0..=86_400_000_000`: 24:00:00 is a time of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(pub i64);

/// A time of day with its offset from UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TimeTz {
    /// The local time.
    pub time: Time,
    /// Seconds east of UTC, ±15:59:59.
    pub offset_seconds: i32,
}

/// Microseconds since 1970-01-01T00:00:00; in UTC where the column has a zone, else in the
/// unnamed local time of whoever wrote it. The extremes are infinite.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// Later than every other timestamp.
    pub const INFINITY: Self = Self(i64::MAX);
    /// Earlier than every other timestamp.
    pub const NEG_INFINITY: Self = Self(i64::MIN);
}

/// A span of time in PostgreSQL's three independent parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Interval {
    /// Months, which have no fixed length.
    pub months: i32,
    /// Days, which may have 23 to 25 hours.
    pub days: i32,
    /// Microseconds.
    pub micros: i64,
}
