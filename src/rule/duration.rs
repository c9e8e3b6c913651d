//! Spans as rules write them: `90s`, `10m`, `1h30m`, `7d`.

use std::time::Duration;

/// The longest span of a rule: 10 years of 365 days.
pub(super) const LONGEST: Duration = Duration::from_secs(3650 * 86_400);

/// Reads numbers with units (`ms`, `s`, `m`, `h`, `d`, `w`); `None` for anything else and above [`LONGEST`].
pub(super) fn parse(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|char: char| !char.is_ascii_digit())?;
        let number: u64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let letters = rest.find(|char: char| char.is_ascii_digit()).unwrap_or(rest.len());
        let unit_ms = match &rest[..letters] {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            "w" => 604_800_000,
            _ => return None,
        };
        rest = &rest[letters..];
        total = total.checked_add(Duration::from_millis(number.checked_mul(unit_ms)?))?;
    }
    (!text.is_empty() && total <= LONGEST).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_spans_and_nothing_else() {
        assert_eq!(parse("10m"), Some(Duration::from_secs(600)));
        assert_eq!(parse("1h30m"), Some(Duration::from_secs(5400)));
        assert_eq!(parse("250ms"), Some(Duration::from_millis(250)));
        for text in ["", "10", "m", "10 m", "-1s", "1.5h", "1y", "99999999999999999999s", "9999w", "１s"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
