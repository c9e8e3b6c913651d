//! Strict JSON (RFC 8259) straight to fields: one pass, numbers kept as written, every size bounded.
//!
//! A parser of our own because `serde_json` rounds numbers unless every user of it in the program pays for exact
//! ones, and because depth and field limits have to hold while the record is read, not after.

mod project;
mod stops;
mod trail;

use std::{borrow::Cow, sync::Arc};

pub use self::project::Projection;
use super::{Limits, PATH_BYTES_MAX, Reason};
use crate::event::{Fields, FieldsBuilder, Number, Value};

/// The deepest nesting whatever the limits say: the parser and [`Value`] recurse once a level.
const DEPTH_CEILING: usize = 256;

/// What is wrong, and at which byte.
#[derive(Debug)]
pub struct Fault {
    pub reason: Reason,
    pub at: usize,
    pub what: Cow<'static, str>,
}

/// The fields of a record that is one JSON object.
pub fn fields(text: &str, limits: &Limits) -> Result<Fields, Fault> {
    let mut parser = Parser::new(text, limits);
    parser.space();
    match parser.peek() {
        Some(b'{') => {}
        Some(b'[' | b'"' | b'-' | b'0'..=b'9' | b't' | b'f' | b'n') => {
            return Err(parser.fault(Reason::NotAnObject, "the record is JSON, but not an object"));
        }
        _ => return Err(parser.bad("an object was expected")),
    }
    let mut out = Fields::builder();
    parser.members(&mut String::new(), &mut out)?;
    parser.end()?;
    Ok(out.build())
}

/// Whether the record is one JSON value from start to end.
pub fn is_whole_value(text: &str, limits: &Limits) -> Result<(), Fault> {
    let mut parser = Parser::new(text, limits);
    parser.space();
    parser.value()?;
    parser.end()
}

/// Whether `text` is a number in JSON's syntax.
pub fn is_number(text: &str) -> bool {
    number_end(text.as_bytes()) == Ok(text.len())
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
    depth_max: usize,
    fields: usize,
    fields_max: usize,
    /// No escape so far is one that [`crate::event::JsonText`] would write otherwise.
    is_plain: bool,
}

impl<'a> Parser<'a> {
    fn new(text: &'a str, limits: &Limits) -> Self {
        let depth_max = limits.depth_max.min(DEPTH_CEILING);
        Parser { text, at: 0, depth: 0, depth_max, fields: 0, fields_max: limits.fields_max, is_plain: true }
    }

    /// An object's members, each put under its dotted path; `path` is the object's own.
    fn members(&mut self, path: &mut String, out: &mut FieldsBuilder) -> Result<(), Fault> {
        self.open()?;
        let own = path.len();
        let mut first = true;
        while let Some(name) = self.next_name(first)? {
            first = false;
            if !path.is_empty() {
                path.push('.');
            }
            path.push_str(&name);
            if path.len() > PATH_BYTES_MAX {
                return Err(self.fault(Reason::PathTooLong, format!("a field path is over {PATH_BYTES_MAX} bytes")));
            }
            if self.peek() == Some(b'{') {
                self.members(path, out)?;
            } else {
                let value = self.value()?;
                out.put(path.as_str(), value);
            }
            path.truncate(own);
        }
        self.depth -= 1;
        Ok(())
    }

    /// The next member's name, with the cursor on its value; `None` after the closing brace.
    fn next_name(&mut self, first: bool) -> Result<Option<Cow<'a, str>>, Fault> {
        self.space();
        match self.peek() {
            Some(b'}') => {
                self.at += 1;
                return Ok(None);
            }
            Some(b',') if !first => {
                self.at += 1;
                self.space();
            }
            _ if !first => return Err(self.bad("`,` or `}` was expected")),
            _ => {}
        }
        if self.peek() != Some(b'"') {
            return Err(self.bad("a member's name in quotes was expected"));
        }
        self.fields += 1;
        if self.fields > self.fields_max {
            return Err(self.fault(Reason::TooManyFields, format!("more than {} fields", self.fields_max)));
        }
        let name = self.string()?;
        self.space();
        if self.peek() != Some(b':') {
            return Err(self.bad("`:` was expected"));
        }
        self.at += 1;
        self.space();
        Ok(Some(name))
    }

    fn value(&mut self) -> Result<Value, Fault> {
        match self.peek() {
            Some(b'"') => Ok(Value::Text(Arc::from(&*self.string()?))),
            Some(b'{') => self.object(),
            Some(b'[') => self.array(),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word("true", Value::Bool(true)),
            Some(b'f') => self.word("false", Value::Bool(false)),
            Some(b'n') => self.word("null", Value::Null),
            _ => Err(self.bad("a value was expected")),
        }
    }

    /// An object inside an array; elsewhere objects become paths.
    fn object(&mut self) -> Result<Value, Fault> {
        self.open()?;
        let mut entries = Vec::new();
        while let Some(name) = self.next_name(entries.is_empty())? {
            entries.push((Arc::from(&*name), self.value()?));
        }
        self.depth -= 1;
        Ok(Value::Object(entries))
    }

    fn array(&mut self) -> Result<Value, Fault> {
        self.open()?;
        let mut items = Vec::new();
        loop {
            self.space();
            match self.peek() {
                Some(b']') => break,
                Some(b',') if !items.is_empty() => {
                    self.at += 1;
                    self.space();
                }
                _ if !items.is_empty() => return Err(self.bad("`,` or `]` was expected")),
                _ => {}
            }
            items.push(self.value()?);
        }
        self.at += 1;
        self.depth -= 1;
        Ok(Value::Array(items))
    }

    /// Steps over an opening bracket.
    fn open(&mut self) -> Result<(), Fault> {
        self.depth += 1;
        if self.depth > self.depth_max {
            return Err(self.fault(Reason::TooDeep, format!("nested deeper than {}", self.depth_max)));
        }
        self.at += 1;
        Ok(())
    }

    /// A string, with the cursor on its opening quote; borrowed when nothing is escaped.
    fn string(&mut self) -> Result<Cow<'a, str>, Fault> {
        self.at += 1;
        let start = self.at;
        self.plain()?;
        if self.peek() == Some(b'"') {
            self.at += 1;
            return Ok(Cow::Borrowed(&self.text[start..self.at - 1]));
        }
        let mut unescaped = String::from(&self.text[start..self.at]);
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(Cow::Owned(unescaped));
                }
                _ => unescaped.push(self.escape()?),
            }
            let from = self.at;
            self.plain()?;
            unescaped.push_str(&self.text[from..self.at]);
        }
    }

    /// Moves to the next quote or backslash.
    fn plain(&mut self) -> Result<(), Fault> {
        let rest = &self.text.as_bytes()[self.at..];
        let stop = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f));
        self.at += stop.unwrap_or(rest.len());
        match self.peek() {
            Some(b'"' | b'\\') => Ok(()),
            Some(_) => Err(self.bad("a control character in a string")),
            None => Err(self.bad("the record ends within a string")),
        }
    }

    /// One escape, with the cursor on its backslash.
    fn escape(&mut self) -> Result<char, Fault> {
        let start = self.at;
        self.at += 2;
        let escaped = match self.text.as_bytes().get(start + 1) {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => {
                self.is_plain = false;
                '/'
            }
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                self.is_plain = false;
                return self.unicode(start);
            }
            _ => return Err(Fault { at: start, ..self.bad("an unknown escape in a string") }),
        };
        Ok(escaped)
    }

    /// The rest of a `\u` escape, a surrogate pair taken together.
    fn unicode(&mut self, start: usize) -> Result<char, Fault> {
        let high = self.hex4().ok_or_else(|| self.bad("four hex digits were expected"))?;
        let code = match high {
            0xd800..=0xdbff if self.text.as_bytes()[self.at..].starts_with(b"\\u") => {
                self.at += 2;
                match self.hex4() {
                    Some(low @ 0xdc00..=0xdfff) => 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00),
                    _ => high,
                }
            }
            _ => high,
        };
        char::from_u32(code).ok_or_else(|| Fault { at: start, ..self.bad("half of a surrogate pair") })
    }

    fn hex4(&mut self) -> Option<u32> {
        let digits = self.text.as_bytes().get(self.at..self.at + 4)?;
        let mut code = 0;
        for digit in digits {
            code = code * 16 + char::from(*digit).to_digit(16)?;
        }
        self.at += 4;
        Some(code)
    }

    fn number(&mut self) -> Result<Value, Fault> {
        match number_end(&self.text.as_bytes()[self.at..]) {
            Ok(length) => {
                let written = &self.text[self.at..self.at + length];
                self.at += length;
                Ok(Value::Number(Number::from_written(written)))
            }
            Err(length) => {
                self.at += length;
                Err(self.bad("not a number in JSON's syntax"))
            }
        }
    }

    fn word(&mut self, word: &str, value: Value) -> Result<Value, Fault> {
        if !self.text.as_bytes()[self.at..].starts_with(word.as_bytes()) {
            return Err(self.bad("a value was expected"));
        }
        self.at += word.len();
        Ok(value)
    }

    fn end(&mut self) -> Result<(), Fault> {
        self.space();
        if self.at < self.text.len() { Err(self.bad("something follows the end of the value")) } else { Ok(()) }
    }

    fn space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn bad(&self, what: &'static str) -> Fault {
        self.fault(Reason::BadJson, if self.at < self.text.len() { what } else { "the record ends too early" })
    }

    fn fault(&self, reason: Reason, what: impl Into<Cow<'static, str>>) -> Fault {
        Fault { reason, at: self.at.min(self.text.len()), what: what.into() }
    }
}

/// How long the number at the start of `bytes` is; `Err` with where it stops being one.
fn number_end(bytes: &[u8]) -> Result<usize, usize> {
    let digits = |from: usize| bytes[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let mut at = usize::from(bytes.first() == Some(&b'-'));
    match bytes.get(at) {
        Some(b'0') => at += 1,
        Some(b'1'..=b'9') => at += digits(at),
        _ => return Err(at),
    }
    if bytes.get(at) == Some(&b'.') {
        let fraction = digits(at + 1);
        if fraction == 0 {
            return Err(at + 1);
        }
        at += 1 + fraction;
    }
    if let Some(b'e' | b'E') = bytes.get(at) {
        let sign = usize::from(matches!(bytes.get(at + 1), Some(b'+' | b'-')));
        let exponent = digits((at + 1 + sign).min(bytes.len()));
        if exponent == 0 {
            return Err(at + 1 + sign);
        }
        at += 1 + sign + exponent;
    }
    match bytes.get(at) {
        Some(byte) if byte.is_ascii_alphanumeric() || *byte == b'.' => Err(at),
        _ => Ok(at),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMITS: Limits = Limits { record_bytes_max: 1 << 20, depth_max: 64, fields_max: 1000 };

    fn fault(text: &str) -> (Reason, String) {
        let fault = fields(text, &LIMITS).expect_err(text);
        (fault.reason, format!("byte {}: {}", fault.at, fault.what))
    }

    fn text(fields: &Fields, path: &str) -> String {
        fields.get(path).unwrap_or_else(|| panic!("{path} is missing")).to_string()
    }

    #[test]
    fn numbers_stay_as_they_were_written() {
        let fields = fields(r#"{"a": 1e5, "b": 100000, "c": -0.10, "d": 12345678901234567890123}"#, &LIMITS).unwrap();
        assert_eq!(text(&fields, "a"), "1e5");
        assert_eq!(text(&fields, "c"), "-0.10");
        let Value::Number(number) = fields.get("d").unwrap().into_owned() else { panic!("a number") };
        assert_eq!(number.as_written(), "12345678901234567890123");
    }

    #[test]
    fn objects_become_paths_and_stay_objects_inside_arrays() {
        let fields = fields(r#" {"a": {"b.c": {"d": "x"}}, "l": [{"m": {"n": 1}}, [], null], "e": {} } "#, &LIMITS);
        let fields = fields.unwrap();
        assert_eq!(text(&fields, "a.b.c.d"), "x");
        assert_eq!(text(&fields, "l.m.n"), "[1]");
        assert!(!fields.exists("e"));
    }

    #[test]
    fn escapes_are_read_and_pairs_joined() {
        let fields = fields(r#"{"k\u0065y": "\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00 é"}"#, &LIMITS).unwrap();
        assert_eq!(text(&fields, "key"), "\"\\/\u{8}\u{c}\n\r\té😀 é");
    }

    #[test]
    fn a_fault_says_where_and_what() {
        assert_eq!(fault(r#"{"a": 01}"#), (Reason::BadJson, "byte 7: not a number in JSON's syntax".into()));
        assert_eq!(fault(r#"{"a": "x"#), (Reason::BadJson, "byte 8: the record ends too early".into()));
        assert_eq!(fault(r#"{"a" 1}"#), (Reason::BadJson, "byte 5: `:` was expected".into()));
        assert_eq!(fault(r#"{"a": "\ud800x"}"#), (Reason::BadJson, "byte 7: half of a surrogate pair".into()));
        assert_eq!(fault("{\"a\": \"\0\"}").1, "byte 7: a control character in a string");
        assert_eq!(fault(r#"{"a": 1} x"#).1, "byte 9: something follows the end of the value");
    }

    #[test]
    fn what_is_not_json_is_refused() {
        for bad in [
            "{",
            "}",
            "{]",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}",
            "{,}",
            "{\"a\":1 \"b\":2}",
            "{'a':1}",
            "{a:1}",
            "{\"a\":[1,]}",
            "{\"a\":[,1]}",
            "{\"a\":[1 2]}",
            "{\"a\":1.}",
            "{\"a\":.5}",
            "{\"a\":+1}",
            "{\"a\":NaN}",
            "{\"a\":-}",
            "{\"a\":1e}",
            "{\"a\":Infinity}",
            "{\"a\":tru}",
            "{\"a\":nulls}",
            "{\"a\":0x10}",
            "{\"a\":\"\\x\"}",
            "{\"a\":\"\\u12\"}",
            "{\"a\":\"\\udc00\"}",
            "{\"a\":\"\\ud800\\u0041\"}",
            "{\"a\":\"\n\"}",
            "{\"a\":1}{",
            "hello",
            "\\",
        ] {
            assert_eq!(fault(bad).0, Reason::BadJson, "{bad}");
        }
        for other in ["[{\"a\":1}]", "1", "\"a\"", "true", "null", "-1"] {
            assert_eq!(fault(other).0, Reason::NotAnObject, "{other}");
        }
    }

    #[test]
    fn depth_fields_and_paths_are_bounded() {
        let nested = |depth: usize| format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth));
        assert!(fields(&nested(64), &LIMITS).is_ok());
        assert_eq!(fault(&nested(65)).0, Reason::TooDeep);
        assert_eq!(fault(&format!("{{\"a\":{}", "[".repeat(1_000_000))).0, Reason::TooDeep);
        let unlimited = Limits { depth_max: usize::MAX, ..LIMITS };
        assert_eq!(fields(&nested(100_000), &unlimited).unwrap_err().reason, Reason::TooDeep);
        let wide: Vec<String> = (0..1001).map(|n| format!("\"f{n}\":{n}")).collect();
        assert_eq!(fault(&format!("{{{}}}", wide.join(","))).0, Reason::TooManyFields);
        assert_eq!(fault(&format!("{{\"{}\":1}}", "x".repeat(PATH_BYTES_MAX + 1))).0, Reason::PathTooLong);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC*|[\\[\\]{}\":,0-9eE.\\\\u\\-a-d ]{0,60}") {
            let _ = fields(&text, &LIMITS);
        }

        #[test]
        fn agrees_with_serde_json_on_what_is_json(text in "\\{[\\[\\]{}\":,0-9eE.\\\\utrn\\-a ]{0,24}\\}") {
            let theirs = serde_json::from_str::<serde_json::Value>(&text).is_ok();
            // serde_json refuses numbers beyond a double, which are JSON all the same
            if theirs { prop_assert!(fields(&text, &LIMITS).is_ok(), "{}", text); }
            else if !text.contains(['e', 'E']) { prop_assert!(fields(&text, &LIMITS).is_err(), "{}", text); }
        }
    }
}
