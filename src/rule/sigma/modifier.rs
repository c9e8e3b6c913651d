//! What stands behind a field's name, `Image|endswith|cased`: each modifier changes the value before it, in the order in
//! which they are written (specification v2.1, "Sigma Modifiers").
//!
//! Where the specification leaves a chain open, it means what pySigma makes of it.

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{
    detection::{DatePart, Value},
    value::{Piece, Text},
};
use crate::rule::{Comparison, diagnostic::nearest, number::Num, text::TextTest};

/// Values that one value becomes at most: `windash` makes five of each dash.
pub const ALTERNATIVES_MAX: usize = 4_096;

/// The characters that `windash` takes for each other.
const DASHES: [char; 5] = ['-', '/', '\u{2013}', '\u{2014}', '\u{2015}'];

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Modifier {
    All,
    Base64,
    Base64Offset,
    Cased,
    Cidr,
    Compare(Comparison),
    Contains,
    Date(DatePart),
    EndsWith,
    Exists,
    Expand,
    FieldRef,
    Neq,
    Re,
    ReDotAll,
    ReIgnoreCase,
    ReMultiLine,
    StartsWith,
    Utf16,
    Utf16Be,
    Wide,
    WinDash,
}

/// In byte order of the names; of several for one modifier the first in this order is shown.
const NAMED: [(&str, Modifier); 34] = [
    ("all", Modifier::All),
    ("base64", Modifier::Base64),
    ("base64offset", Modifier::Base64Offset),
    ("cased", Modifier::Cased),
    ("cidr", Modifier::Cidr),
    ("contains", Modifier::Contains),
    ("day", Modifier::Date(DatePart::Day)),
    ("dotall", Modifier::ReDotAll),
    ("endswith", Modifier::EndsWith),
    ("exists", Modifier::Exists),
    ("expand", Modifier::Expand),
    ("fieldref", Modifier::FieldRef),
    ("gt", Modifier::Compare(Comparison::Greater)),
    ("gte", Modifier::Compare(Comparison::GreaterOrEqual)),
    ("hour", Modifier::Date(DatePart::Hour)),
    ("i", Modifier::ReIgnoreCase),
    ("ignorecase", Modifier::ReIgnoreCase),
    ("lt", Modifier::Compare(Comparison::Less)),
    ("lte", Modifier::Compare(Comparison::LessOrEqual)),
    ("m", Modifier::ReMultiLine),
    ("minute", Modifier::Date(DatePart::Minute)),
    ("month", Modifier::Date(DatePart::Month)),
    ("multiline", Modifier::ReMultiLine),
    ("neq", Modifier::Neq),
    ("re", Modifier::Re),
    ("s", Modifier::ReDotAll),
    ("startswith", Modifier::StartsWith),
    ("utf16", Modifier::Utf16),
    ("utf16be", Modifier::Utf16Be),
    ("utf16le", Modifier::Wide),
    ("week", Modifier::Date(DatePart::Week)),
    ("wide", Modifier::Wide),
    ("windash", Modifier::WinDash),
    ("year", Modifier::Date(DatePart::Year)),
];

impl Modifier {
    pub fn named(name: &str) -> Option<Self> {
        NAMED.iter().find(|(own, _)| *own == name).map(|(_, modifier)| *modifier)
    }

    /// The name that is spelt most like an unknown one.
    pub fn nearest(name: &str) -> Option<&'static str> {
        nearest(name, NAMED.iter().map(|(name, _)| *name))
    }

    pub fn name(self) -> &'static str {
        NAMED.iter().find(|(_, modifier)| *modifier == self).map_or("", |(name, _)| name)
    }

    /// Whether it says how values hang together, and changes none of them.
    pub fn is_of_list(self) -> bool {
        matches!(self, Modifier::All | Modifier::Neq)
    }

    /// The value behind this modifier; `before` are those that have been there already.
    ///
    /// # Errors
    /// Why the modifier does not fit the value, without a name in front.
    pub fn apply(self, value: Value, before: &[Modifier]) -> Result<Value, String> {
        if let Value::AnyOf(values) = value {
            let changed = values.into_iter().map(|value| self.apply(value, before));
            return Ok(Value::AnyOf(changed.collect::<Result<_, _>>()?)).and_then(bounded);
        }
        let first = before.iter().all(|modifier| modifier.is_of_list());
        match self {
            Modifier::All | Modifier::Neq => Ok(value),
            Modifier::Re | Modifier::Cidr | Modifier::Exists if !first => {
                Err("has to be the first modifier".to_owned())
            }
            Modifier::Re => match value {
                Value::Regex { .. } => Ok(value),
                other => Err(format!("takes a text, not {}", other.kind())),
            },
            Modifier::ReIgnoreCase | Modifier::ReMultiLine | Modifier::ReDotAll => self.flag(value),
            Modifier::Exists => exists(&value),
            Modifier::Cidr => match text_of(value)?.as_plain() {
                Some(network) => Ok(Value::Cidr(network.to_owned())),
                None => Err("takes a network such as `10.0.0.0/8`, without wildcards".to_owned()),
            },
            Modifier::Compare(comparison) => compare(value, comparison),
            Modifier::Date(part) => date(value, part),
            Modifier::FieldRef => field_ref(value),
            Modifier::Cased => match value {
                Value::FieldRef { field, test, .. } => Ok(Value::FieldRef { field, test, cased: true }),
                value => Ok(Value::Text { text: text_of(value)?, cased: true }),
            },
            Modifier::Contains | Modifier::StartsWith | Modifier::EndsWith => self.open(value),
            Modifier::Expand => match value {
                Value::Regex { regex, flags } => Ok(Value::Regex { regex: regex.with_placeholders(), flags }),
                value => change(value, |text| Ok(text.with_placeholders())),
            },
            Modifier::Base64 => change(value, |text| Ok(Text::plain(&STANDARD.encode(bytes_of(&text)?)))),
            Modifier::Base64Offset => base64_offset(value),
            Modifier::Wide | Modifier::Utf16Be | Modifier::Utf16 => change(value, |text| Ok(self.utf16(text))),
            Modifier::WinDash => windash(value),
        }
    }

    fn flag(self, value: Value) -> Result<Value, String> {
        let Value::Regex { regex, mut flags } = value else { return Err("stands behind `re` only".to_owned()) };
        match self {
            Modifier::ReIgnoreCase => flags.ignore_case = true,
            Modifier::ReMultiLine => flags.multi_line = true,
            _ => flags.dot_all = true,
        }
        Ok(Value::Regex { regex, flags })
    }

    /// Opens a value at one of its ends or at both.
    fn open(self, value: Value) -> Result<Value, String> {
        match value {
            Value::FieldRef { field, cased, .. } => {
                let test = match self {
                    Modifier::StartsWith => TextTest::StartsWith,
                    Modifier::EndsWith => TextTest::EndsWith,
                    _ => TextTest::Contains,
                };
                Ok(Value::FieldRef { field, test, cased })
            }
            // A regex is looked for anywhere as it is.
            Value::Regex { regex, flags } => {
                let plain = |text: &str| [Piece::Plain(text.to_owned())];
                let pieces = regex.pieces().iter().cloned();
                let regex = match self {
                    Modifier::StartsWith => Text::of(plain("^(?:").into_iter().chain(pieces).chain(plain(")"))),
                    Modifier::EndsWith => Text::of(plain("(?:").into_iter().chain(pieces).chain(plain(")$"))),
                    _ => regex,
                };
                Ok(Value::Regex { regex, flags })
            }
            value => change(value, |text| {
                Ok(match self {
                    Modifier::StartsWith => text.before_any(),
                    Modifier::EndsWith => text.after_any(),
                    _ => text.after_any().before_any(),
                })
            }),
        }
    }

    fn utf16(self, text: Text) -> Text {
        let mut first = self == Modifier::Utf16;
        let pieces = text.pieces().iter().map(|piece| match piece {
            Piece::Plain(plain) => {
                let units = plain.encode_utf16();
                let mut bytes: Vec<u8> = match self {
                    Modifier::Utf16Be => units.flat_map(u16::to_be_bytes).collect(),
                    _ => units.flat_map(u16::to_le_bytes).collect(),
                };
                if std::mem::take(&mut first) {
                    bytes.splice(0..0, [0xff, 0xfe]);
                }
                Piece::Bytes(bytes)
            }
            piece => piece.clone(),
        });
        Text::of(pieces)
    }
}

/// A value that is a text or can be written as one.
fn text_of(value: Value) -> Result<Text, String> {
    match value {
        Value::Text { text, .. } => Ok(text),
        Value::Number { written, .. } | Value::Bool { written, .. } => Ok(Text::plain(&written)),
        other => Err(format!("takes a text, not {}", other.kind())),
    }
}

fn change(value: Value, with: impl FnOnce(Text) -> Result<Text, String>) -> Result<Value, String> {
    let cased = matches!(value, Value::Text { cased: true, .. });
    Ok(Value::Text { text: with(text_of(value)?)?, cased })
}

fn exists(value: &Value) -> Result<Value, String> {
    let wanted = match value {
        Value::Bool { value, .. } => Some(*value),
        // What YAML 1.1, which other readers of Sigma follow, calls booleans.
        Value::Text { text, .. } => match text.as_plain().unwrap_or_default().to_ascii_lowercase().as_str() {
            "yes" | "on" => Some(true),
            "no" | "off" => Some(false),
            _ => None,
        },
        _ => None,
    };
    wanted.map(Value::Exists).ok_or_else(|| "takes `true` or `false`".to_owned())
}

fn number_of(value: &Value) -> Option<Num> {
    match value {
        Value::Number { value, .. } => Some(*value),
        Value::Text { text, .. } => Num::parse(text.as_plain()?),
        _ => None,
    }
}

fn compare(value: Value, comparison: Comparison) -> Result<Value, String> {
    match value {
        Value::Date { part, comparison: Comparison::Equal, number } => Ok(Value::Date { part, comparison, number }),
        value => match number_of(&value) {
            Some(number) => Ok(Value::Compare(comparison, number)),
            None => Err(format!("takes a number, not {}", value.kind())),
        },
    }
}

fn date(value: Value, part: DatePart) -> Result<Value, String> {
    match value {
        Value::Compare(comparison, number) => Ok(Value::Date { part, comparison, number }),
        value => match number_of(&value) {
            Some(number) => Ok(Value::Date { part, comparison: Comparison::Equal, number }),
            None => Err(format!("takes a number, not {}", value.kind())),
        },
    }
}

fn field_ref(value: Value) -> Result<Value, String> {
    let cased = matches!(value, Value::Text { cased: true, .. });
    match text_of(value)?.as_plain() {
        Some("") | None => Err("takes the name of a field, without wildcards".to_owned()),
        Some(field) => Ok(Value::FieldRef { field: field.to_owned(), test: TextTest::Equals, cased }),
    }
}

/// What is encoded: the text's UTF-8, or what an encoding before made of it.
fn bytes_of(text: &Text) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    for piece in text.pieces() {
        match piece {
            Piece::Plain(plain) => bytes.extend_from_slice(plain.as_bytes()),
            Piece::Bytes(encoded) => bytes.extend_from_slice(encoded),
            Piece::Any | Piece::One => return Err("takes no wildcards: write them behind it".to_owned()),
            Piece::Placeholder(name) => return Err(format!("can't encode the placeholder `%{name}%`")),
        }
    }
    Ok(bytes)
}

/// The part of the encoded text that does not depend on what stands around it, for each place that it can start at in
/// a group of three bytes.
fn base64_offset(value: Value) -> Result<Value, String> {
    const STARTS: [usize; 3] = [0, 2, 3];
    const LOST_AT_END: [usize; 3] = [0, 3, 2];
    let cased = matches!(value, Value::Text { cased: true, .. });
    let bytes = bytes_of(&text_of(value)?)?;
    let shifted = |offset: usize| {
        let padded: Vec<u8> = std::iter::repeat_n(b' ', offset).chain(bytes.iter().copied()).collect();
        let encoded = STANDARD.encode(&padded);
        let end = encoded.len() - LOST_AT_END[padded.len() % 3];
        Text::plain(encoded.get(STARTS[offset]..end).unwrap_or_default())
    };
    Ok(Value::AnyOf((0..3).map(|offset| Value::Text { text: shifted(offset), cased }).collect()))
}

/// Every writing of the dashes that start a word.
fn windash(value: Value) -> Result<Value, String> {
    let cased = matches!(value, Value::Text { cased: true, .. });
    let mut texts = vec![Text::default()];
    for piece in text_of(value)?.pieces() {
        let Piece::Plain(plain) = piece else {
            texts.iter_mut().for_each(|text| text.push(piece.clone()));
            continue;
        };
        let is_word = |char: &char| char.is_alphanumeric() || *char == '_';
        let mut before = None;
        let mut chars = plain.chars().peekable();
        while let Some(char) = chars.next() {
            let starts = !before.as_ref().is_some_and(is_word) && chars.peek().is_some_and(is_word);
            before = Some(char);
            if !(DASHES.contains(&char) && starts) {
                texts.iter_mut().for_each(|text| text.push(Piece::Plain(char.to_string())));
                continue;
            }
            if texts.len() * DASHES.len() > ALTERNATIVES_MAX {
                return Err(too_many());
            }
            texts = texts
                .iter()
                .flat_map(|text| {
                    DASHES.map(|dash| Text::of(text.pieces().iter().cloned().chain([Piece::Plain(dash.to_string())])))
                })
                .collect();
        }
    }
    Ok(Value::AnyOf(texts.into_iter().map(|text| Value::Text { text, cased }).collect()))
}

fn bounded(value: Value) -> Result<Value, String> {
    if value.alternatives() > ALTERNATIVES_MAX { Err(too_many()) } else { Ok(value) }
}

fn too_many() -> String {
    format!("makes more than {ALTERNATIVES_MAX} texts of one")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(written: &str) -> Value {
        Value::Text { text: Text::parse(written), cased: false }
    }

    /// The texts that a chain makes, as a rule would write them.
    fn chain(modifiers: &str, written: &str) -> Result<Vec<String>, String> {
        fn texts(value: &Value, into: &mut Vec<String>) {
            match value {
                Value::AnyOf(values) => values.iter().for_each(|value| texts(value, into)),
                Value::Text { text, .. } => into.push(text.to_string()),
                other => into.push(format!("{other:?}")),
            }
        }
        let (mut value, mut before) = (text(written), Vec::new());
        for modifier in modifiers.split('|').map(|name| Modifier::named(name).unwrap()) {
            value = modifier.apply(value, &before)?;
            before.push(modifier);
        }
        let mut found = Vec::new();
        texts(&value, &mut found);
        Ok(found)
    }

    #[test]
    fn names_are_sorted_and_known() {
        assert!(NAMED.windows(2).all(|pair| pair[0].0 < pair[1].0));
        assert_eq!(Modifier::nearest("startwith"), Some("startswith"));
        assert_eq!(Modifier::Wide.name(), "utf16le");
    }

    #[test]
    fn ends_are_opened_once() {
        assert_eq!(chain("contains", "a*b").unwrap(), ["*a*b*"]);
        assert_eq!(chain("contains", "*a*").unwrap(), ["*a*"]);
        assert_eq!(chain("startswith", "a").unwrap(), ["a*"]);
        assert_eq!(chain("endswith", "").unwrap(), ["*"]);
    }

    #[test]
    fn encodings_are_those_of_the_specification() {
        assert_eq!(chain("base64", "foobar").unwrap(), ["Zm9vYmFy"]);
        assert_eq!(chain("base64offset", "foobar").unwrap(), ["Zm9vYmFy", "Zvb2Jhc", "mb29iYX"]);
        assert_eq!(chain("wide|base64", "cmd").unwrap(), ["YwBtAGQA"]);
        assert_eq!(chain("utf16be|base64", "cmd").unwrap(), ["AGMAbQBk"]);
        assert_eq!(chain("utf16|base64", "cmd").unwrap(), ["//5jAG0AZAA="]);
        assert_eq!(chain("wide|base64offset|contains", "é").unwrap()[0], "*6Q*");
        assert_eq!(chain("wide", "ab").unwrap(), ["a\0b\0"]);
        assert!(chain("base64", "a*").is_err());
    }

    #[test]
    fn dashes_that_start_a_word_are_written_in_five_ways() {
        let dashes = chain("windash|contains", " -param-name").unwrap();
        assert_eq!(dashes[0], "* -param-name*");
        assert_eq!(dashes[1], "* /param-name*");
        assert_eq!(dashes.len(), 5);
        assert_eq!(chain("contains|windash", "-a /b").unwrap().len(), 25);
        assert_eq!(chain("windash", "no dash -").unwrap(), ["no dash -"]);
        assert!(chain("windash", &" -a".repeat(9)).unwrap_err().contains("more than"));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        for (modifiers, written) in [
            ("contains|re", "a"),
            ("i", "a"),
            ("contains|cidr", "10.0.0.0/8"),
            ("lt", "many"),
            ("hour", "noon"),
            ("exists", "perhaps"),
            ("fieldref", "a*"),
            ("expand|base64", "%a%"),
        ] {
            assert!(chain(modifiers, written).is_err(), "{modifiers}: {written}");
        }
    }
}
