//! Tests and functions on text. Case is ignored character by character (Unicode's simple walk to lower case), so a
//! text folds the same wherever it is cut.

use std::{
    borrow::Cow,
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use base64::{
    Engine as _,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};

use super::glob::GlobPattern;

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
            (TextTest::Like, true) => GlobPattern::new(wanted, true).matches(text),
            (TextTest::Equals, true) if text.is_ascii() && wanted.is_ascii() => text.eq_ignore_ascii_case(wanted),
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
            TextTest::Like => GlobPattern::new(wanted, false).matches(text),
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

/// Appends what [`fold`] gives.
pub(super) fn fold_into(text: &str, into: &mut Vec<u8>) {
    if text.is_ascii() {
        into.extend(text.as_bytes().iter().map(u8::to_ascii_lowercase));
        return;
    }
    let start = into.len();
    let ascii = ascii_length(text.as_bytes());
    into.extend_from_slice(&text.as_bytes()[..ascii]);
    into[start..].make_ascii_lowercase();
    let mut rest = &text[ascii..];
    while let Some(first) = rest.chars().next() {
        for char in first.to_lowercase() {
            into.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
        }
        rest = &rest[first.len_utf8()..];
        let (start, ascii) = (into.len(), ascii_length(rest.as_bytes()));
        into.extend_from_slice(&rest.as_bytes()[..ascii]);
        into[start..].make_ascii_lowercase();
        rest = &rest[ascii..];
    }
}

/// How many bytes stand before the first that is not ASCII.
fn ascii_length(bytes: &[u8]) -> usize {
    let (blocks, _) = bytes.as_chunks::<32>();
    let whole = 32 * blocks.iter().take_while(|block| block.is_ascii()).count();
    whole + bytes[whole..].iter().take_while(|byte| byte.is_ascii()).count()
}

/// The lower case of a character, where that is one character too.
fn fold_one(char: char) -> char {
    let mut lower = char.to_lowercase();
    match (lower.next(), lower.next()) {
        (Some(one), None) if one.to_lowercase().eq([one]) => one,
        _ => char,
    }
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

    /// The range of this family and length that an address of the family lies in.
    pub(super) fn around(address: IpAddr, (v6, prefix): (bool, u32)) -> Self {
        Network { bits: bits(address), prefix, v6 }
    }

    /// Whether it is of IPv6, and how many of the 128 bits are its own.
    pub(super) fn span(&self) -> (bool, u32) {
        (self.v6, self.prefix)
    }

    /// Its first address.
    pub(super) fn start(&self) -> u128 {
        let shift = 128 - self.prefix;
        if shift == 128 { 0 } else { self.bits >> shift << shift }
    }

    /// Whether the text is an address in this range. An IPv4 address written as IPv6 (`::ffff:10.0.0.1`) is one.
    pub(super) fn contains(&self, text: &str) -> bool {
        Address::parse(text).is_some_and(|address| self.holds(address))
    }

    pub(super) fn holds(&self, address: Address) -> bool {
        let differs = address.leading_bits(self.v6).map(|bits| bits ^ self.leading_bits());
        let length = self.length();
        differs.is_some_and(|differs| length == 0 || differs >> (128 - length) == 0)
    }

    pub(super) fn is_v6(&self) -> bool {
        self.v6
    }

    /// From the uppermost bit down, [`Network::length`] of which count.
    pub(super) fn leading_bits(&self) -> u128 {
        if self.v6 { self.bits } else { self.bits << 96 }
    }

    pub(super) fn length(&self) -> u32 {
        if self.v6 { self.prefix } else { self.prefix - 96 }
    }
}

/// As a rule writes it; a range of one is its address.
impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let start = self.start();
        let (address, width) = match (self.v6, u32::try_from(start)) {
            (false, Ok(start)) => (IpAddr::from(Ipv4Addr::from(start)), 32),
            _ => (IpAddr::from(Ipv6Addr::from(start)), 128),
        };
        if self.length() == width { write!(f, "{address}") } else { write!(f, "{address}/{}", self.length()) }
    }
}

/// An address, which may be asked of many networks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Address(IpAddr);

impl Address {
    pub(super) fn parse(text: &str) -> Option<Self> {
        text.parse().ok().map(Address)
    }

    /// Its bits from the uppermost down in one of the families, where it is of it: an IPv4 address written as IPv6
    /// is of both.
    pub(super) fn leading_bits(self, v6: bool) -> Option<u128> {
        match if v6 { self.0 } else { self.0.to_canonical() } {
            IpAddr::V4(address) => (!v6).then(|| u128::from(u32::from(address)) << 96),
            IpAddr::V6(address) => v6.then(|| address.into()),
        }
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
