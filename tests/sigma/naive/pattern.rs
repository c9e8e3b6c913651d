//! Texts with wildcards: what a rule's text says after its escapes, what transformations make of it, and whether a
//! value is like it.

use base64::{Engine as _, prelude::BASE64_STANDARD};

/// Hyphen, slash, en dash, em dash and horizontal bar.
const DASHES: [char; 5] = ['-', '/', '\u{2013}', '\u{2014}', '\u{2015}'];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    Letter(char),
    /// Of an encoding that is not done: UTF-16 may go into Base64.
    Byte(u8),
    /// `?`
    One,
    /// `*`
    Many,
}

/// A whole value is asked for, unless it opens or ends with `Many`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(pub Vec<Part>);

impl Pattern {
    /// `\*`, `\?` and `\\` are escapes, any other backslash is itself.
    pub fn read(text: &str) -> Self {
        let letters: Vec<char> = text.chars().collect();
        let (mut parts, mut at) = (Vec::new(), 0);
        while at < letters.len() {
            let part = match (letters[at], letters.get(at + 1)) {
                ('\\', Some(next @ ('\\' | '*' | '?'))) => {
                    at += 1;
                    Part::Letter(*next)
                }
                ('*', _) => Part::Many,
                ('?', _) => Part::One,
                (letter, _) => Part::Letter(letter),
            };
            parts.push(part);
            at += 1;
        }
        Pattern(parts)
    }

    pub fn open_before(mut self) -> Self {
        self.0.insert(0, Part::Many);
        self
    }

    pub fn open_after(mut self) -> Self {
        self.0.push(Part::Many);
        self
    }

    /// Each letter made bytes.
    pub fn encoded(&self, encode: impl Fn(char) -> Vec<u8>) -> Self {
        let each = self.0.iter().flat_map(|part| match part {
            Part::Letter(letter) => encode(*letter).into_iter().map(Part::Byte).collect(),
            other => vec![*other],
        });
        Pattern(each.collect())
    }

    /// # Errors
    /// Where it has wildcards.
    pub fn bytes(&self) -> Result<Vec<u8>, String> {
        let mut bytes = Vec::new();
        for part in &self.0 {
            match part {
                Part::Letter(letter) => bytes.extend(letter.to_string().bytes()),
                Part::Byte(byte) => bytes.push(*byte),
                Part::One | Part::Many => return Err("a wildcard in what is encoded".to_owned()),
            }
        }
        Ok(bytes)
    }

    pub fn base64(&self) -> Result<Self, String> {
        Ok(Pattern(BASE64_STANDARD.encode(self.bytes()?).chars().map(Part::Letter).collect()))
    }

    /// What of the encoding is the same whatever comes before and after, at each of the three places in a triple.
    pub fn base64_at_offsets(&self) -> Result<Vec<Self>, String> {
        let bytes = self.bytes()?;
        let at = |offset: usize| {
            // With other bytes around, what differs is what depends on them.
            let around = |filler: u8| {
                let mut whole = vec![filler; offset];
                whole.extend(&bytes);
                whole.extend([filler; 3]);
                BASE64_STANDARD.encode(whole)
            };
            let (one, other) = (around(0x00), around(0xff));
            let (first, last) = ((offset * 8).div_ceil(6), (offset + bytes.len()) * 8 / 6);
            assert_eq!(one[first..last], other[first..last]);
            Pattern(one[first..last].chars().map(Part::Letter).collect())
        };
        Ok((0..3).map(at).collect())
    }

    /// A dash that opens a word, in its five forms. A word is of letters, digits and `_`.
    pub fn dashes(&self) -> Vec<Self> {
        let is_word = |at: Option<usize>| match at.and_then(|at| self.0.get(at)) {
            Some(Part::Letter(letter)) => letter.is_alphanumeric() || *letter == '_',
            _ => false,
        };
        let mut made = vec![Vec::new()];
        for (at, part) in self.0.iter().enumerate() {
            let is_dash = DASHES.iter().any(|dash| *part == Part::Letter(*dash));
            let opens = is_dash && !is_word(at.checked_sub(1)) && is_word(Some(at + 1));
            let forms = if opens { DASHES.map(Part::Letter).to_vec() } else { vec![*part] };
            made = forms.iter().flat_map(|form| made.iter().map(|before| [&before[..], &[*form]].concat())).collect();
        }
        made.into_iter().map(Pattern).collect()
    }

    /// With bytes made text again; `None` where they are none, and nothing can match.
    pub fn settled(&self) -> Option<Self> {
        let (mut settled, mut bytes) = (Vec::new(), Vec::new());
        for part in self.0.iter().copied().chain([Part::One]) {
            if let Part::Byte(byte) = part {
                bytes.push(byte);
                continue;
            }
            settled.extend(String::from_utf8(std::mem::take(&mut bytes)).ok()?.chars().map(Part::Letter));
            settled.push(part);
        }
        settled.pop();
        Some(Pattern(settled))
    }

    /// Whether a settled one is like the letters.
    pub fn matches(&self, letters: &[char], cased: bool) -> bool {
        like(&self.0, letters, cased)
    }
}

/// Walks the parts with every place in the text that they can have come to.
fn like(parts: &[Part], letters: &[char], cased: bool) -> bool {
    let mut places = vec![0];
    for part in parts {
        places = match part {
            Part::Many => places.first().map_or(Vec::new(), |first| (*first..=letters.len()).collect()),
            Part::One => places.into_iter().filter(|at| *at < letters.len()).map(|at| at + 1).collect(),
            Part::Letter(wanted) => {
                let fits = |at: &usize| letters.get(*at).is_some_and(|letter| same(*wanted, *letter, cased));
                places.into_iter().filter(fits).map(|at| at + 1).collect()
            }
            Part::Byte(_) => unreachable!("bytes are settled"),
        };
    }
    places.contains(&letters.len())
}

pub fn same(one: char, other: char, cased: bool) -> bool {
    if one.is_ascii() && other.is_ascii() {
        return one == other || !cased && one.eq_ignore_ascii_case(&other);
    }
    one == other || !cased && one.to_lowercase().eq(other.to_lowercase())
}
