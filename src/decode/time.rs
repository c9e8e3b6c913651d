//! Times as logs write them: where one starts, what it says, what it leaves out.
//!
//! Read here: RFC 3339, `YYYY-MM-DD HH:MM:SS[.f]` (also with slashes), RFC 3164 with or without a year, the web logs'
//! `10/Oct/2000:13:55:36 -0700`, `Sun Dec 04 04:47:44 2005`, and epoch numbers in s, ms, us or ns by their size.
//! What a missing zone or year stands for is [`super::year`]'s to say.

use jiff::{
    civil::{Date, DateTime},
    tz::Offset,
};

use crate::event::Timestamp;

/// A time as written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// With a zone, or an epoch number.
    Instant(Timestamp),
    /// Without a zone.
    Civil(DateTime),
    /// Without a zone and a year: the year that stands here is a leap year and means nothing.
    Yearless(DateTime),
}

/// The time that the whole of `text` is.
pub fn whole(text: &str) -> Option<Written> {
    let text = text.trim();
    match prefix(text) {
        Some((written, length)) if length == text.len() => Some(written),
        _ => epoch(text),
    }
}

/// The time that `text` starts with, and its length in bytes. Epoch numbers are not looked for.
pub fn prefix(text: &str) -> Option<(Written, usize)> {
    let cursor = Cursor { bytes: text.as_bytes(), at: 0 };
    let first = *cursor.bytes.first()?;
    if first.is_ascii_digit() {
        cursor.iso().or_else(|| cursor.clf())
    } else {
        cursor.month_first().or_else(|| cursor.ctime())
    }
}

/// An epoch number, by its size in seconds, milliseconds, microseconds or nanoseconds; a fraction is kept to the
/// nanosecond.
fn epoch(text: &str) -> Option<Written> {
    let (negative, digits) = text.strip_prefix('-').map_or((false, text), |digits| (true, digits));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let all_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !all_digits(whole) || !all_digits(fraction) || whole.len() > 19 {
        return None;
    }
    let whole: i128 = whole.parse().ok()?;
    let unit: i128 = match whole {
        0..=99_999_999_999 => 1_000_000_000,
        100_000_000_000..=99_999_999_999_999 => 1_000_000,
        100_000_000_000_000..=99_999_999_999_999_999 => 1_000,
        _ => 1,
    };
    let fraction = fraction.get(..9).unwrap_or(fraction);
    let part = fraction.parse::<i128>().ok()? * unit / 10i128.pow(fraction.len() as u32);
    let nanos = whole * unit + part;
    i64::try_from(if negative { -nanos } else { nanos }).ok().map(|nanos| Written::Instant(Timestamp(nanos)))
}

#[derive(Clone, Copy)]
struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// Hour, minute, second, nanosecond.
type Clock = (i8, i8, i8, i32);

impl Cursor<'_> {
    fn iso(mut self) -> Option<(Written, usize)> {
        let year = self.digits(4, 4)?;
        let separator = self.any(b"-/")?;
        let month = self.digits(2, 2)?;
        self.any(&[separator])?;
        let day = self.digits(2, 2)?;
        self.any(b"Tt ")?;
        let clock = self.clock()?;
        self.zoned(civil(year, month, day, clock)?)
    }

    fn clf(mut self) -> Option<(Written, usize)> {
        let day = self.digits(1, 2)?;
        self.any(b"/")?;
        let month = self.month()?;
        self.any(b"/")?;
        let year = self.digits(4, 4)?;
        self.any(b":")?;
        let clock = self.clock()?;
        self.zoned(civil(year, month, day, clock)?)
    }

    /// `Mmm dd [yyyy] HH:MM:SS`
    fn month_first(mut self) -> Option<(Written, usize)> {
        let month = self.month()?;
        self.spaces()?;
        let day = self.digits(1, 2)?;
        self.spaces()?;
        let mut with_year = self;
        if let Some(year) = with_year.digits(4, 4).filter(|_| with_year.any(b" ").is_some()) {
            let clock = with_year.clock()?;
            return Some((Written::Civil(civil(year, month, day, clock)?), with_year.at));
        }
        const LEAP: i64 = 2000;
        let clock = self.clock()?;
        Some((Written::Yearless(civil(LEAP, month, day, clock)?), self.at))
    }

    /// `Www Mmm dd HH:MM:SS yyyy`
    fn ctime(mut self) -> Option<(Written, usize)> {
        const WEEKDAYS: [&[u8]; 7] = [b"sun", b"mon", b"tue", b"wed", b"thu", b"fri", b"sat"];
        let word = self.bytes.get(..3)?;
        WEEKDAYS.iter().any(|day| word.eq_ignore_ascii_case(day)).then_some(())?;
        self.at = 3;
        self.spaces()?;
        let month = self.month()?;
        self.spaces()?;
        let day = self.digits(1, 2)?;
        self.spaces()?;
        let clock = self.clock()?;
        self.spaces()?;
        let year = self.digits(4, 4)?;
        Some((Written::Civil(civil(year, month, day, clock)?), self.at))
    }

    /// `HH:MM:SS`, with a fraction after a point or a comma. A leap second counts as the one before it.
    fn clock(&mut self) -> Option<Clock> {
        let hour = self.digits(2, 2)?;
        self.any(b":")?;
        let minute = self.digits(2, 2)?;
        self.any(b":")?;
        let second = self.digits(2, 2).filter(|second| *second <= 60)?;
        let mut nanos = 0;
        let mut fraction = *self;
        if fraction.any(b".,").is_some() && fraction.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            let mut unit = 100_000_000;
            while let Some(digit) = fraction.peek().filter(u8::is_ascii_digit) {
                nanos += i32::from(digit - b'0') * unit;
                unit /= 10;
                fraction.at += 1;
            }
            *self = fraction;
        }
        Some((hour as i8, minute as i8, second.min(59) as i8, nanos))
    }

    /// The zone after a time that may have one: `Z`, `+02:00`, `+0200`, ` +0200`, ` UTC`.
    fn zoned(mut self, datetime: DateTime) -> Option<(Written, usize)> {
        let offset = match self.rest() {
            [b'Z' | b'z', rest @ ..] if !rest.first().is_some_and(u8::is_ascii_alphanumeric) => {
                self.at += 1;
                Some(0)
            }
            [b' ', b'U', b'T', b'C', rest @ ..] if !rest.first().is_some_and(u8::is_ascii_alphanumeric) => {
                self.at += 4;
                Some(0)
            }
            [b'+' | b'-', ..] | [b' ', b'+' | b'-', b'0'..=b'9', ..] => self.offset(),
            _ => None,
        };
        let Some(seconds) = offset else { return Some((Written::Civil(datetime), self.at)) };
        let instant = Offset::from_seconds(seconds).ok()?.to_timestamp(datetime).ok()?;
        Some((Written::Instant(timestamp(instant)?), self.at))
    }

    /// Seconds east of UTC; the cursor stays where no offset is.
    fn offset(&mut self) -> Option<i32> {
        let mut ahead = *self;
        let _ = ahead.any(b" ");
        let sign = if ahead.any(b"+-")? == b'-' { -1 } else { 1 };
        let hours = ahead.digits(2, 2)?;
        let _ = ahead.any(b":");
        let minutes = ahead.digits(2, 2).filter(|minutes| *minutes < 60)?;
        *self = ahead;
        Some(sign * (hours as i32 * 3600 + minutes as i32 * 60))
    }

    fn month(&mut self) -> Option<i64> {
        const MONTHS: [&[u8]; 12] =
            [b"jan", b"feb", b"mar", b"apr", b"may", b"jun", b"jul", b"aug", b"sep", b"oct", b"nov", b"dec"];
        let word = self.bytes.get(self.at..self.at + 3)?;
        let index = MONTHS.iter().position(|month| word.eq_ignore_ascii_case(month))?;
        self.at += 3;
        Some(index as i64 + 1)
    }

    fn digits(&mut self, min: usize, max: usize) -> Option<i64> {
        let count = self.rest().iter().take(max).take_while(|byte| byte.is_ascii_digit()).count();
        if count < min {
            return None;
        }
        let number = self.rest()[..count].iter().fold(0, |number, digit| number * 10 + i64::from(digit - b'0'));
        self.at += count;
        Some(number)
    }

    fn any(&mut self, of: &[u8]) -> Option<u8> {
        let byte = self.peek().filter(|byte| of.contains(byte))?;
        self.at += 1;
        Some(byte)
    }

    fn spaces(&mut self) -> Option<()> {
        self.any(b" ")?;
        while self.any(b" ").is_some() {}
        Some(())
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn rest(&self) -> &[u8] {
        &self.bytes[self.at..]
    }
}

fn civil(year: i64, month: i64, day: i64, (hour, minute, second, nanos): Clock) -> Option<DateTime> {
    let date = Date::new(i16::try_from(year).ok()?, month as i8, day as i8).ok()?;
    let time = jiff::civil::Time::new(hour, minute, second, nanos).ok()?;
    Some(date.to_datetime(time))
}

/// `None` outside the years that 64-bit nanoseconds reach.
pub fn timestamp(instant: jiff::Timestamp) -> Option<Timestamp> {
    i64::try_from(instant.as_nanosecond()).ok().map(Timestamp)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instant(text: &str) -> String {
        match whole(text) {
            Some(Written::Instant(time)) => time.to_string(),
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn times_with_a_zone_are_instants() {
        assert_eq!(instant("2024-05-01T10:00:00Z"), "2024-05-01T10:00:00Z");
        assert_eq!(instant("2024-05-01T10:00:00.123456789+02:00"), "2024-05-01T08:00:00.123456789Z");
        assert_eq!(instant("2024-05-01 10:00:00 +0200"), "2024-05-01T08:00:00Z");
        assert_eq!(instant("2024-05-01 10:00:00,5 UTC"), "2024-05-01T10:00:00.5Z");
        assert_eq!(instant("2016-12-31T23:59:60Z"), "2016-12-31T23:59:59Z");
        assert_eq!(instant("10/Oct/2000:13:55:36 -0700"), "2000-10-10T20:55:36Z");
    }

    #[test]
    fn an_epochs_unit_follows_from_its_size() {
        for same in ["1714557600", "1714557600000", "1714557600000000", "1714557600000000000", "1714557600.0"] {
            assert_eq!(instant(same), "2024-05-01T10:00:00Z", "{same}");
        }
        assert_eq!(instant("1714557600.123456789"), "2024-05-01T10:00:00.123456789Z");
        assert_eq!(instant("1714557600123.5"), "2024-05-01T10:00:00.1235Z");
        assert_eq!(instant("-1.5"), "1969-12-31T23:59:58.5Z");
    }

    #[test]
    fn zone_or_year_may_be_missing() {
        let civil = |text: &str| match whole(text) {
            Some(Written::Civil(time)) => time.to_string(),
            other => panic!("{text}: {other:?}"),
        };
        assert_eq!(civil("2024-05-01 10:00:00.25"), "2024-05-01T10:00:00.25");
        assert_eq!(civil("2024/05/01 10:00:00"), "2024-05-01T10:00:00");
        assert_eq!(civil("Sun Dec 04 04:47:44 2005"), "2005-12-04T04:47:44");
        assert_eq!(civil("Fri Sep 09 10:42:29.902022 2011"), "2011-09-09T10:42:29.902022");
        assert_eq!(civil("Dec  4 2005 04:47:44"), "2005-12-04T04:47:44");
        for yearless in ["Dec  4 04:47:44", "dec 04 04:47:44.5", "Feb 29 00:00:00"] {
            assert!(matches!(whole(yearless), Some(Written::Yearless(_))), "{yearless}");
        }
    }

    #[test]
    fn a_prefix_ends_where_the_time_does() {
        let length = |text: &str| prefix(text).map(|(_, length)| length);
        assert_eq!(length("Dec 10 06:55:46 LabSZ sshd[1]: x"), Some(15));
        assert_eq!(length("2024-05-01T10:00:00Z host x"), Some(20));
        assert_eq!(length("2024-05-01 10:00:00 -x"), Some(19));
        assert_eq!(length("2024-05-01T10:00:00Zulu"), Some(19));
    }

    #[test]
    fn what_is_no_time_is_none() {
        for bad in [
            "",
            "yesterday",
            "2024-13-01T00:00:00Z",
            "2024-02-30 00:00:00",
            "2024-05-01",
            "2024-05-01T25:00:00Z",
            "2024-05-01T10:00:61Z",
            "2024-05-01T10:00:00+02:60",
            "May  1 10:00:99",
            "Foo 10 06:55:46",
            "2024-05-01T10:00:00Z trailing",
            "1.2.3",
            "1e9",
            "99999999999999999999",
            "0x10",
            "é",
            "Déc 10 06:55:46",
            "12:00:00",
        ] {
            assert_eq!(whole(bad), None, "{bad}");
        }
    }
}
