//! From a time as written to the instant: the zone and the year that it leaves out.

use jiff::{
    civil::DateTime,
    tz::{TimeZone, TimeZoneDatabase},
};

use super::{
    SpecError,
    time::{self, Written},
};
use crate::event::Timestamp;

/// How event time is found where the record does not say it in full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timing {
    /// Falls back to the record's timestamp; a missing year is the one that puts the time nearest to it.
    Live,
    /// No fallback. A missing year starts at `year` and steps where December turns to January, and back again for
    /// slight disorder.
    Replay { year: i16 },
}

/// Resolves the times of one source partition; remembers the year that it is in.
#[derive(Debug)]
pub struct Calendar {
    zone: TimeZone,
    timing: Timing,
    /// The configured year: for live times it is the year; in replay the one to start from.
    year: Option<i16>,
    /// The latest time without a year so far, with the year that it was given (replay only).
    latest: Option<DateTime>,
}

impl Calendar {
    /// # Errors
    /// When `zone` is no IANA name.
    pub fn new(zone: &str, timing: Timing, year: Option<i16>) -> Result<Self, SpecError> {
        // the bundled database, not the machine's: the same log gives the same times everywhere
        let zone = TimeZoneDatabase::bundled().get(zone).map_err(|_| SpecError::Timezone(zone.to_owned()))?;
        Ok(Calendar { zone, timing, year, latest: None })
    }

    /// `None` when the time can't be completed: a day that the year lacks, or no year to be had.
    pub fn resolve(&mut self, written: Written, record: Option<Timestamp>) -> Option<Timestamp> {
        match (written, self.timing) {
            (Written::Instant(time), _) => Some(time),
            (Written::Civil(datetime), _) => self.instant(datetime),
            (Written::Yearless(datetime), Timing::Live) => self.nearest(datetime, record),
            (Written::Yearless(datetime), Timing::Replay { year }) => self.step(datetime, self.year.unwrap_or(year)),
        }
    }

    fn instant(&self, datetime: DateTime) -> Option<Timestamp> {
        time::timestamp(self.zone.to_timestamp(datetime).ok()?)
    }

    fn nearest(&self, datetime: DateTime, record: Option<Timestamp>) -> Option<Timestamp> {
        if let Some(year) = self.year {
            return self.instant(in_year(datetime, year)?);
        }
        let record = record?;
        let here = self.zone.to_datetime(jiff::Timestamp::from_nanosecond(i128::from(record.0)).ok()?).year();
        (here - 1..=here + 1)
            .filter_map(|year| self.instant(in_year(datetime, year)?))
            .min_by_key(|time| time.0.abs_diff(record.0))
    }

    fn step(&mut self, datetime: DateTime, start: i16) -> Option<Timestamp> {
        let Some(latest) = self.latest else {
            let datetime = in_year(datetime, start)?;
            self.latest = Some(datetime);
            return self.instant(datetime);
        };
        let year = latest.year();
        let year = match (latest.month(), datetime.month()) {
            (12, 1) => year + 1,
            (1, 12) => year - 1,
            // a quiet log may skip December or January; half a year back is no disorder
            (before, now) if before - now > 6 => year + 1,
            _ => year,
        };
        let datetime = in_year(datetime, year)?;
        self.latest = Some(latest.max(datetime));
        self.instant(datetime)
    }
}

fn in_year(datetime: DateTime, year: i16) -> Option<DateTime> {
    let date = jiff::civil::Date::new(year, datetime.month(), datetime.day()).ok()?;
    Some(date.to_datetime(datetime.time()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(calendar: &mut Calendar, text: &str, record: Option<&str>) -> Option<String> {
        let record = record.map(|record| match time::whole(record) {
            Some(Written::Instant(time)) => time,
            other => panic!("{other:?}"),
        });
        calendar.resolve(time::whole(text).unwrap(), record).map(|time| time.to_string())
    }

    fn calendar(zone: &str, timing: Timing) -> Calendar {
        Calendar::new(zone, timing, None).unwrap()
    }

    #[test]
    fn a_missing_zone_is_the_inputs() {
        let mut berlin = calendar("Europe/Berlin", Timing::Live);
        assert_eq!(resolve(&mut berlin, "2024-07-01 12:00:00", None).unwrap(), "2024-07-01T10:00:00Z");
        assert_eq!(resolve(&mut berlin, "2024-01-01 12:00:00", None).unwrap(), "2024-01-01T11:00:00Z");
        assert!(matches!(Calendar::new("Mars/Base", Timing::Live, None), Err(SpecError::Timezone(_))));
    }

    #[test]
    fn live_the_year_is_the_nearest_to_the_records_timestamp() {
        let mut live = calendar("UTC", Timing::Live);
        let record = Some("2025-01-01T00:00:05Z");
        assert_eq!(resolve(&mut live, "Dec 31 23:59:59", record).unwrap(), "2024-12-31T23:59:59Z");
        assert_eq!(resolve(&mut live, "Jan 1 00:00:00", record).unwrap(), "2025-01-01T00:00:00Z");
        assert_eq!(resolve(&mut live, "Jan 1 00:00:00", Some("2024-12-31T23:59:59Z")).unwrap(), "2025-01-01T00:00:00Z");
        assert_eq!(
            resolve(&mut live, "Feb 29 00:00:00", Some("2025-02-28T00:00:00Z")).unwrap(),
            "2024-02-29T00:00:00Z"
        );
        assert_eq!(resolve(&mut live, "Jan 1 00:00:00", None), None);
    }

    #[test]
    fn a_configured_year_is_the_year() {
        let mut live = Calendar::new("UTC", Timing::Live, Some(2005)).unwrap();
        assert_eq!(
            resolve(&mut live, "Dec 31 23:59:59", Some("2025-01-01T00:00:05Z")).unwrap(),
            "2005-12-31T23:59:59Z"
        );
        let mut replay = Calendar::new("UTC", Timing::Replay { year: 2024 }, Some(2005)).unwrap();
        assert_eq!(resolve(&mut replay, "Dec 31 23:59:59", None).unwrap(), "2005-12-31T23:59:59Z");
    }

    #[test]
    fn in_replay_the_year_steps_with_december_and_back_for_slight_disorder() {
        let mut replay = calendar("UTC", Timing::Replay { year: 2023 });
        let years: Vec<String> = [
            "Nov 30 00:00:00",
            "Dec 31 23:59:59",
            "Jan 1 00:00:01",
            "Dec 31 23:59:58",
            "Jan 1 00:00:02",
            "Jun 3 00:00:00",
        ]
        .iter()
        .map(|text| resolve(&mut replay, text, None).unwrap()[..10].to_owned())
        .collect();
        assert_eq!(years, ["2023-11-30", "2023-12-31", "2024-01-01", "2023-12-31", "2024-01-01", "2024-06-03"]);
    }

    #[test]
    fn a_quiet_turn_of_the_year_steps_too_and_disorder_within_a_year_does_not() {
        let mut replay = calendar("UTC", Timing::Replay { year: 2023 });
        for (text, day) in [
            ("Jul 9 00:00:00", "2023-07-09"),
            ("Jun 9 00:00:00", "2023-06-09"),
            ("Nov 2 00:00:00", "2023-11-02"),
            ("Feb 1 00:00:00", "2024-02-01"),
            ("Feb 29 00:00:00", "2024-02-29"),
        ] {
            assert_eq!(resolve(&mut replay, text, None).unwrap()[..10], *day);
        }
    }
}
