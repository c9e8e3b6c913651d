//! Event time in nanoseconds.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

/// Nanoseconds since 1970-01-01T00:00:00Z, from the year 1677 to 2262.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// Before every event.
    pub const MIN: Timestamp = Timestamp(i64::MIN);
    /// After every event: the frontier at the end of a finite log.
    pub const MAX: Timestamp = Timestamp(i64::MAX);

    pub fn from_millis(millis: i64) -> Self {
        Timestamp(millis.saturating_mul(1_000_000))
    }

    /// Whole milliseconds, rounded down.
    pub fn as_millis(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// Reads what [`fmt::Display`] writes: RFC 3339. `None` when it is none, or out of range.
    pub fn parse(text: &str) -> Option<Self> {
        let time: jiff::Timestamp = text.parse().ok()?;
        i64::try_from(time.as_nanosecond()).ok().map(Timestamp)
    }

    /// Later by `span`; saturates at [`Timestamp::MAX`].
    pub fn plus(self, span: Duration) -> Self {
        Timestamp(self.0.saturating_add(nanos(span)))
    }

    /// Earlier by `span`; saturates at [`Timestamp::MIN`].
    pub fn minus(self, span: Duration) -> Self {
        Timestamp(self.0.saturating_sub(nanos(span)))
    }

    /// How much later this is than `earlier`; zero when it is not.
    pub fn since(self, earlier: Timestamp) -> Duration {
        Duration::from_nanos(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

fn nanos(span: Duration) -> i64 {
    i64::try_from(span.as_nanos()).unwrap_or(i64::MAX)
}

/// RFC 3339 in UTC, with as many fractional digits as the time needs.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_nanosecond(i128::from(self.0)) {
            Ok(time) => write!(f, "{time}"),
            Err(_) => write!(f, "{}ns", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_rfc_3339_utc() {
        assert_eq!(Timestamp(0).to_string(), "1970-01-01T00:00:00Z");
        assert_eq!(Timestamp::from_millis(1_704_067_200_250).to_string(), "2024-01-01T00:00:00.25Z");
    }
}
