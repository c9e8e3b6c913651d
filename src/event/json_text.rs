//! A JSON record as one text in which others are looked for, without taking it apart.
//!
//! Every value of the record stands in it as JSON escapes it. Nearly all records do that in one way, the *plain* one:
//! what need not be escaped is not, and what has a short escape has that. In a plain record a text stands wherever its
//! [plain form](escape) does; of another record the plain form is made on the way. Names and punctuation stand in it
//! too, so what is not in it is in no value, while what is may still be in none. What the event has beside its record
//! follows, value after value.

use memchr::memchr;

/// The text of a record that is valid JSON, and what its event has beside it.
#[derive(Debug, Clone, Copy)]
pub struct JsonText<'a> {
    text: &'a str,
    is_plain: bool,
    /// In plain form, each after a line's end, which no plain form has.
    beside: &'a str,
}

impl<'a> JsonText<'a> {
    /// `is_plain` where nothing in it is escaped by `\u` or is an escaped slash.
    pub(super) fn new(text: &'a str, is_plain: bool, beside: &'a str) -> Self {
        JsonText { text, is_plain, beside }
    }

    /// The record as it stands, where that is the plain form, and what its event has beside it.
    pub fn plain(self) -> Option<[&'a str; 2]> {
        self.is_plain.then_some([self.text, self.beside])
    }

    /// Visits the plain form, piece after piece.
    pub fn each_piece(self, visit: &mut dyn FnMut(&str)) {
        let (mut from, mut at) = (0, if self.is_plain { self.text.len() } else { 0 });
        while let Some(found) = memchr(b'\\', &self.text.as_bytes()[at..]) {
            let start = at + found;
            let Some((char, length)) = unescaped(&self.text[start..]) else {
                at = (start + 2).min(self.text.len());
                continue;
            };
            visit(&self.text[from..start]);
            visit(plain(char, &mut [0; 6]));
            at = start + length;
            from = at;
        }
        visit(&self.text[from..]);
        visit(self.beside);
    }
}

/// Appends a text as it stands in plain JSON, without quotes.
pub fn escape(text: &str, into: &mut String) {
    text.chars().for_each(|char| into.push_str(plain(char, &mut [0; 6])));
}

/// A character as it stands in plain JSON; `storage` may hold it.
fn plain(char: char, storage: &mut [u8; 6]) -> &str {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    match char {
        '"' => "\\\"",
        '\\' => "\\\\",
        '\u{8}' => "\\b",
        '\u{c}' => "\\f",
        '\n' => "\\n",
        '\r' => "\\r",
        '\t' => "\\t",
        '\0'..='\u{1f}' => {
            let code = char as usize;
            *storage = [b'\\', b'u', b'0', b'0', HEX[code >> 4], HEX[code & 15]];
            std::str::from_utf8(storage).unwrap_or_default()
        }
        char => char.encode_utf8(storage),
    }
}

/// The character that an escape stands for, and its length, where the plain form may be another.
fn unescaped(escape: &str) -> Option<(char, usize)> {
    match escape.as_bytes().get(1)? {
        b'/' => Some(('/', 2)),
        b'u' => {
            let high = hex4(escape, 2)?;
            let low = || hex4(escape, 8).filter(|low| (0xdc00..0xe000).contains(low));
            match (high, low) {
                (0xd800..0xdc00, low) => {
                    let code = 0x10000 + ((high - 0xd800) << 10) + (low()? - 0xdc00);
                    Some((char::from_u32(code)?, 12))
                }
                _ => Some((char::from_u32(high)?, 6)),
            }
        }
        _ => None,
    }
}

fn hex4(text: &str, at: usize) -> Option<u32> {
    u32::from_str_radix(text.get(at..at + 4)?, 16).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pieces(text: &str, is_plain: bool) -> String {
        let mut all = String::new();
        JsonText::new(text, is_plain, "").each_piece(&mut |piece| all.push_str(piece));
        all
    }

    fn escaped(text: &str) -> String {
        let mut into = String::new();
        escape(text, &mut into);
        into
    }

    /// Each character as `\u`, or a slash as it may be escaped.
    fn oddly(text: &str) -> String {
        let units = |char: char| -> String {
            char.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04X}")).collect()
        };
        text.chars().map(|char| if char == '/' { "\\/".to_owned() } else { units(char) }).collect()
    }

    proptest! {
        #[test]
        fn however_a_text_is_escaped_its_plain_form_is_found(
            before in "[a/\\\\\"\n\u{1}é😀]{0,4}",
            text in "[a/\\\\\"\u{8}\u{c}\n\r\t\u{1}\u{1f}\u{7f}é😀]{0,6}",
        ) {
            let plain = serde_json::to_string(&text).unwrap();
            prop_assert_eq!(escaped(&text), &plain[1..plain.len() - 1]);
            prop_assert_eq!(pieces(&plain, true), &plain[..]);
            prop_assert_eq!(pieces(&plain, false), &plain[..]);
            let mixed = format!("{}{}{}", escaped(&before), oddly(&text), escaped(&before));
            prop_assert_eq!(pieces(&mixed, false), escaped(&format!("{before}{text}{before}")));
        }
    }

    #[test]
    fn what_is_no_json_is_passed_over() {
        for odd in [r"\", r"\u", r"\u12", r"\ud800", r"\udc00", r"x\é\uéé"] {
            assert_eq!(pieces(odd, false), odd);
        }
    }
}
