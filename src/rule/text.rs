//! Tests and functions on text. Case is ignored character by character (Unicode's simple walk to lower case), so a
//! text folds the same wherever it is cut.

use std::{borrow::Cow, net::IpAddr};

use base64::{
    Engine as _,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};

/// Longer texts have no edit distance: the time grows with the product of both lengths.
pub(super) const EDIT_DISTANCE_CHARS_MAX: usize = 1024;

/// A test of two texts: `f.contains("x")`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum TextTest {
    Contains,
    StartsWith,
    EndsWith,
    Equals,
    Like,
}

impl TextTest {
    /// Every name with its test and whether case is ignored. A written `contains` is [`super::token::CONTAINS`].
    pub(super) const NAMED: [(&'static str, TextTest, bool); 8] = [
        (super::token::CONTAINS, TextTest::Contains, false),
        ("icontains", TextTest::Contains, true),
        ("starts_with", TextTest::StartsWith, false),
        ("istarts_with", TextTest::StartsWith, true),
        ("ends_with", TextTest::EndsWith, false),
        ("iends_with", TextTest::EndsWith, true),
        ("ieq", TextTest::Equals, true),
        ("like", TextTest::Like, true),
    ];

    pub(super) fn test(self, ignore_case: bool, text: &str, wanted: &str) -> bool {
        match (self, ignore_case) {
            (TextTest::Like, true) => like(text, wanted, true),
            (_, true) => self.holds(&fold(text), &fold(wanted)),
            (_, false) => self.holds(text, wanted),
        }
    }

    /// The wanted text of a test, the same for tests that ask the same: folded where case is ignored.
    pub(super) fn canonical(self, ignore_case: bool, wanted: &str) -> String {
        match (self, ignore_case) {
            // A pattern keeps its characters one by one: `?` is one of them.
            (TextTest::Like, true) => wanted.chars().map(fold_one).collect(),
            (_, true) => fold(wanted).into_owned(),
            (_, false) => wanted.to_owned(),
        }
    }

    fn holds(self, text: &str, wanted: &str) -> bool {
        match self {
            TextTest::Contains => text.contains(wanted),
            TextTest::StartsWith => text.starts_with(wanted),
            TextTest::EndsWith => text.ends_with(wanted),
            TextTest::Equals => text == wanted,
            TextTest::Like => like(text, wanted, false),
        }
    }
}

/// Every character in lower case by itself.
pub(super) fn fold(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        if text.bytes().any(|byte| byte.is_ascii_uppercase()) { text.to_ascii_lowercase().into() } else { text.into() }
    } else {
        text.chars().flat_map(char::to_lowercase).collect::<String>().into()
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Glob {
    Any,
    One,
    Char(char),
}

/// The lower case of a character, where that is one character too.
fn fold_one(char: char) -> char {
    let mut lower = char.to_lowercase();
    match (lower.next(), lower.next()) {
        (Some(one), None) if one.to_lowercase().eq([one]) => one,
        _ => char,
    }
}

/// Whether the whole of `text` is like `pattern`: `*` any text, `?` one character, `\*` `\?` `\\`
/// themselves, any other backslash itself.
pub(super) fn like(text: &str, pattern: &str, ignore_case: bool) -> bool {
    let globs = globs(pattern);
    let text: Vec<char> = text.chars().collect();
    let (mut at, mut glob) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while at < text.len() {
        match globs.get(glob) {
            Some(Glob::Any) => {
                retry = Some((glob, at));
                glob += 1;
            }
            Some(Glob::One) => {
                at += 1;
                glob += 1;
            }
            Some(Glob::Char(wanted)) if *wanted == text[at] || ignore_case && same_letter(*wanted, text[at]) => {
                at += 1;
                glob += 1;
            }
            _ => {
                let Some((star, from)) = retry else { return false };
                retry = Some((star, from + 1));
                at = from + 1;
                glob = star + 1;
            }
        }
    }
    globs[glob..].iter().all(|glob| *glob == Glob::Any)
}

fn globs(pattern: &str) -> Vec<Glob> {
    let mut globs = Vec::with_capacity(pattern.len());
    let mut chars = pattern.chars().peekable();
    while let Some(char) = chars.next() {
        globs.push(match char {
            '*' => Glob::Any,
            '?' => Glob::One,
            '\\' => Glob::Char(chars.next_if(|next| matches!(next, '*' | '?' | '\\')).unwrap_or('\\')),
            char => Glob::Char(char),
        });
    }
    globs.dedup_by(|next, kept| *next == Glob::Any && *kept == Glob::Any);
    globs
}

fn same_letter(a: char, b: char) -> bool {
    a.to_lowercase().eq(b.to_lowercase())
}

/// A range of addresses; an address alone is a range of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Network {
    bits: u128,
    prefix: u32,
    v6: bool,
}

impl Network {
    /// Reads `10.0.0.0/8`, `fd00::/8` or an address.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let width = if address.is_ipv6() { 128 } else { 32 };
        let length = match length {
            Some(length) if length.bytes().all(|byte| byte.is_ascii_digit()) => length.parse().ok()?,
            Some(_) => return None,
            None => width,
        };
        (length <= width).then(|| Network { bits: bits(address), prefix: 128 - width + length, v6: address.is_ipv6() })
    }

    /// Whether the text is an address in this range. An IPv4 address written as IPv6 (`::ffff:10.0.0.1`) is one.
    pub(super) fn contains(&self, text: &str) -> bool {
        let Ok(address) = text.parse::<IpAddr>() else { return false };
        let address = if self.v6 { address } else { address.to_canonical() };
        let shift = 128 - self.prefix;
        address.is_ipv6() == self.v6 && (shift == 128 || bits(address) >> shift == self.bits >> shift)
    }
}

/// IPv4 in the lowest 32 bits.
fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u32::from(address).into(),
        IpAddr::V6(address) => address.into(),
    }
}

/// What base64 text says, padded or not; `None` when it is none. Bytes that are no UTF-8 become U+FFFD.
pub(super) fn base64(text: &str) -> Option<String> {
    const LENIENT: GeneralPurpose = GeneralPurpose::new(
        &STANDARD,
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
    );
    LENIENT.decode(text).ok().map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

/// Shannon's entropy, bits a byte.
pub(super) fn entropy(text: &str) -> f64 {
    let mut counts = [0u32; 256];
    text.bytes().for_each(|byte| counts[usize::from(byte)] += 1);
    let total = text.len() as f64;
    let bits: f64 = counts
        .iter()
        .filter(|count| **count > 0)
        .map(|count| f64::from(*count) / total)
        .map(|share| share * share.log2())
        .sum();
    0.0 - bits
}

/// Levenshtein's distance in code points; `None` above [`EDIT_DISTANCE_CHARS_MAX`].
pub(super) fn edit_distance(a: &str, b: &str) -> Option<usize> {
    let short = |text: &str| text.chars().take(EDIT_DISTANCE_CHARS_MAX + 1).count() <= EDIT_DISTANCE_CHARS_MAX;
    (short(a) && short(b)).then(|| strsim::levenshtein(a, b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn like_takes_the_whole_value_and_ignores_case() {
        assert!(like(r"C:\Windows\CMD.exe", r"*\cmd.exe", true));
        assert!(!like(r"C:\Windows\cmd.exe.txt", r"*\cmd.exe", true));
        assert!(like("a*b", r"a\*b", true) && !like("axb", r"a\*b", true));
        assert!(like(r"a\b", r"a\\b", true) && like(r"a\b", r"a\b", true));
        assert!(
            like("ö", "?", true)
                && like("ÄB", "äb", true)
                && like("", "*", true)
                && like("", "**", true)
                && !like("", "?", true)
        );
        assert!(like("mississippi", "m*iss*pi", true) && !like("mississippi", "m*iss*pa", true));
        assert!(like("aB", "?B", false) && !like("aB", "?b", false));
    }

    #[test]
    fn case_folds_character_by_character() {
        assert!(TextTest::Contains.test(true, "\u{212A}elvin", "kelvin"));
        assert!(TextTest::Equals.test(true, "ΟΔΟΣ", "οδοσ"));
        assert!(TextTest::EndsWith.test(true, "A.EXE", ".exe") && !TextTest::EndsWith.test(false, "A.EXE", ".exe"));
    }

    #[test]
    fn networks_of_both_families() {
        let test = |network: &str, address: &str| Network::parse(network).unwrap().contains(address);
        assert!(test("10.0.0.0/8", "10.255.0.1") && !test("10.0.0.0/8", "11.0.0.1"));
        assert!(test("0.0.0.0/0", "1.2.3.4") && !test("0.0.0.0/0", "::1"));
        assert!(test("::/0", "fe80::1") && test("192.0.2.1", "192.0.2.1"));
        assert!(test("10.0.0.0/8", "::ffff:10.0.0.1") && !test("10.0.0.0/8", "host"));
        assert!(
            ["10.0.0.0/33", "10.0.0", "", "10.0.0.0/", "10.0.0.0/+8"].iter().all(|text| Network::parse(text).is_none())
        );
    }

    #[test]
    fn base64_with_and_without_padding() {
        assert_eq!(base64("aGk="), Some("hi".to_owned()));
        assert_eq!(base64("aGk"), Some("hi".to_owned()));
        assert_eq!(base64("a!"), None);
    }

    #[test]
    fn entropy_in_bits_a_byte() {
        assert_eq!(entropy("aaaa"), 0.0);
        assert_eq!(entropy("abab"), 1.0);
        assert_eq!(entropy(""), 0.0);
    }

    #[test]
    fn distance_in_code_points_up_to_a_bound() {
        assert_eq!(edit_distance("käse", "kase"), Some(1));
        assert_eq!(edit_distance(&"a".repeat(EDIT_DISTANCE_CHARS_MAX + 1), "a"), None);
    }
}
