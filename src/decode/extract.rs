//! Extracts: fields out of a text field. The user's come first, then the built-in ones; the first that matches wins.
//!
//! A user's extract says which field holds what, so its groups replace what the record has. A built-in one only adds:
//! a record that brings its own `event.action` keeps it. Either way empty groups are left out, `source.ip` takes
//! addresses only (a name goes to `source.domain`; `source.address` is either), and `url.original` gives `url.path` and `url.query` too.

use core::net::IpAddr;
use std::borrow::Cow;

use regex::Regex;

use super::{SpecError, builtin, json};
use crate::event::{Fields, FieldsBuilder, Number, Scalar, Value, View};

/// Fields out of text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extract {
    /// `field == "value"`, joined by `&&`; `None` is always.
    pub when: Option<String>,
    pub field: String,
    /// Named groups are field paths, dots included: `(?<source.ip>…)`.
    pub regex: String,
}

/// ECS fields that are numbers; everything else that is extracted is text.
const NUMBERS: [&str; 6] = [
    "event.repeated",
    "http.response.body.bytes",
    "http.response.status_code",
    "process.pid",
    "process.thread.id",
    "source.port",
];

/// What the built-in extracts look at.
const PROCESS: &str = "process.name";
const MESSAGE: &str = "message";

/// An input's extracts, ready to apply.
#[derive(Debug)]
pub struct Extracts {
    own: Vec<Own>,
}

#[derive(Debug)]
struct Own {
    when: Vec<Test>,
    field: String,
    regex: Regex,
}

/// `field == "value"`
#[derive(Debug, PartialEq, Eq)]
struct Test {
    field: String,
    value: String,
}

impl Extracts {
    /// # Errors
    /// When a `when` or a regular expression can't be read, or names no group.
    pub fn new(extracts: &[Extract]) -> Result<Self, SpecError> {
        Ok(Extracts { own: extracts.iter().map(Own::new).collect::<Result<_, _>>()? })
    }

    /// The paths that are looked at to know whether an extract adds anything.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        let tested = self.own.iter().flat_map(|own| own.when.iter().map(|test| test.field.as_str()));
        tested.chain(self.own.iter().map(|own| own.field.as_str())).chain([PROCESS, MESSAGE])
    }

    /// Whether [`Extracts::apply`] would add anything to an event of which these paths are known.
    pub fn would_add(&self, view: View<'_>, with_builtin: bool) -> bool {
        if self.own.iter().any(|own| own.would_find(view)) {
            return true;
        }
        let text = |path| match view.slot(path).and_then(|slot| view.scalar(slot)) {
            Some(Scalar::Text(text)) => Some(text),
            _ => None,
        };
        with_builtin && text(MESSAGE).is_some_and(|message| builtin::find(text(PROCESS), message).is_some())
    }

    /// The fields with what the first matching extract adds. The built-in ones are left out for formats that already
    /// say all of it.
    pub fn apply(&self, fields: Fields, with_builtin: bool) -> Fields {
        for own in &self.own {
            if let Some(found) = own.find(&fields) {
                return add(&fields, found.iter().map(|(path, text)| (path.as_str(), text.as_str())), true);
            }
        }
        if !with_builtin {
            return fields;
        }
        let (process, message) = (text(&fields, PROCESS), text(&fields, MESSAGE));
        match message.and_then(|message| builtin::find(process, message)) {
            Some(found) => add(&fields, found.into_iter(), false),
            None => fields,
        }
    }
}

fn text<'a>(fields: &'a Fields, path: &str) -> Option<&'a str> {
    match fields.get(path) {
        Some(Cow::Borrowed(Value::Text(text))) => Some(text),
        _ => None,
    }
}

impl Own {
    fn new(extract: &Extract) -> Result<Self, SpecError> {
        let when = extract.when.as_deref().map_or(Ok(Vec::new()), read_when)?;
        let regex = Regex::new(&extract.regex)
            .map_err(|error| SpecError::Regex { regex: extract.regex.clone(), error: error.to_string() })?;
        if regex.capture_names().flatten().next().is_none() {
            return Err(SpecError::NoGroup(extract.regex.clone()));
        }
        Ok(Own { when, field: extract.field.clone(), regex })
    }

    fn would_find(&self, view: View<'_>) -> bool {
        let holds = |test: &Test| {
            let mut scalars = view.slot(&test.field).map(|slot| view.scalars(slot)).into_iter().flatten();
            scalars.any(|scalar| scalar.as_text() == test.value)
        };
        let text = || view.scalar(view.slot(&self.field)?).map(Scalar::as_text);
        self.when.iter().all(holds) && text().is_some_and(|text| self.regex.is_match(text))
    }

    fn find(&self, fields: &Fields) -> Option<Vec<(String, String)>> {
        let holds =
            |test: &Test| fields.any(&test.field, &mut |value| value.as_text().is_some_and(|text| text == test.value));
        if !self.when.iter().all(holds) {
            return None;
        }
        let text = fields.get(&self.field)?;
        let text = text.as_text()?;
        let groups = self.regex.captures(&text)?;
        let named = self.regex.capture_names().flatten();
        Some(named.filter_map(|name| Some((name.to_owned(), groups.name(name)?.as_str().to_owned()))).collect())
    }
}

/// The fields, with `found` added.
fn add<'a>(fields: &Fields, found: impl Iterator<Item = (&'a str, &'a str)>, replace: bool) -> Fields {
    let mut out = Fields::builder();
    out.extend(fields.clone());
    put_all(found.filter(|(path, _)| replace || !fields.exists(path)), &mut out);
    out.build()
}

/// Puts extracted texts, each as its field wants it.
pub fn put_all<'a>(found: impl Iterator<Item = (&'a str, &'a str)>, out: &mut FieldsBuilder) {
    for (path, text) in found.filter(|(_, text)| !text.is_empty()) {
        match path {
            "source.ip" => {
                out.put_text("source.address", text);
                out.put_text(if is_address(text) { path } else { "source.domain" }, text);
            }
            "url.original" => {
                out.put_text(path, text);
                let (path, query) = split_url(text);
                out.put_text("url.path", path);
                if !query.is_empty() {
                    out.put_text("url.query", query);
                }
            }
            _ if NUMBERS.contains(&path) && json::is_number(text) => {
                out.put(path, Value::Number(Number::from_written(text)));
            }
            _ => out.put_text(path, text),
        }
    }
}

fn is_address(text: &str) -> bool {
    text.split_once('%').map_or(text, |(address, _)| address).parse::<IpAddr>().is_ok()
}

/// Path and query of a request's target, scheme and host left out.
fn split_url(url: &str) -> (&str, &str) {
    let url = match url.split_once("://") {
        Some((scheme, rest)) if scheme.bytes().all(|byte| byte.is_ascii_alphabetic()) => {
            rest.find(['/', '?']).map_or("/", |at| &rest[at..])
        }
        _ => url,
    };
    let url = url.split_once('#').map_or(url, |(url, _)| url);
    url.split_once('?').unwrap_or((url, ""))
}

/// Reads a `when`: `field == "value"`, joined by `&&`; `\"` and `\\` escape.
fn read_when(when: &str) -> Result<Vec<Test>, SpecError> {
    let mut scanner = Scanner { when, at: 0 };
    let mut tests = Vec::new();
    loop {
        let field = scanner.field()?;
        scanner.expect("==", "`==` was expected: a test is `field == \"value\"`")?;
        tests.push(Test { field, value: scanner.value()? });
        if scanner.rest().is_empty() {
            return Ok(tests);
        }
        scanner
            .expect("&&", "`&&` or the end was expected: only `field == \"value\"` joined by `&&` can stand here")?;
    }
}

struct Scanner<'a> {
    when: &'a str,
    at: usize,
}

impl<'a> Scanner<'a> {
    fn rest(&mut self) -> &'a str {
        let rest = &self.when[self.at..];
        self.at += rest.len() - rest.trim_start().len();
        &self.when[self.at..]
    }

    fn field(&mut self) -> Result<String, SpecError> {
        let rest = self.rest();
        let end = rest.find(|c: char| c.is_whitespace() || "=\"&|!<>()".contains(c)).unwrap_or(rest.len());
        if end == 0 {
            return Err(self.wrong("a field's name was expected"));
        }
        self.at += end;
        Ok(rest[..end].to_owned())
    }

    fn expect(&mut self, token: &str, what: &'static str) -> Result<(), SpecError> {
        if !self.rest().starts_with(token) {
            return Err(self.wrong(what));
        }
        self.at += token.len();
        Ok(())
    }

    fn value(&mut self) -> Result<String, SpecError> {
        self.expect("\"", "a text in double quotes was expected")?;
        let mut value = String::new();
        let mut chars = self.when[self.at..].char_indices();
        while let Some((at, char)) = chars.next() {
            match char {
                '"' => {
                    self.at += at + 1;
                    return Ok(value);
                }
                '\\' => match chars.next() {
                    Some((_, escaped @ ('"' | '\\'))) => value.push(escaped),
                    _ => {
                        self.at += at;
                        return Err(self.wrong("an unknown escape: `\\\"` and `\\\\` are known"));
                    }
                },
                char => value.push(char),
            }
        }
        self.at = self.when.len();
        Err(self.wrong("the closing quote is missing"))
    }

    fn wrong(&self, what: &'static str) -> SpecError {
        let column = self.when[..self.at].chars().count() + 1;
        SpecError::When { when: self.when.to_owned(), column, what }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extract(when: Option<&str>, regex: &str) -> Extract {
        Extract { when: when.map(str::to_owned), field: "message".into(), regex: regex.into() }
    }

    fn apply(extracts: &[Extract], fields: &[(&str, &str)]) -> Fields {
        let fields = fields.iter().map(|(path, text)| ((*path).to_owned(), Value::text(text))).collect();
        Extracts::new(extracts).unwrap().apply(fields, true)
    }

    fn text(fields: &Fields, path: &str) -> String {
        fields.get(path).map(|value| value.to_string()).unwrap_or_default()
    }

    #[test]
    fn the_users_come_first_and_the_first_that_matches_wins() {
        let extracts = [
            extract(Some(r#"process.name == "other""#), r"(?<user.name>\w+)"),
            extract(Some(r#"process.name == "sshd" && host.name=="gate""#), r"^Failed password for (?<user.name>\S+)"),
            extract(None, r"(?<user.name>never)|Failed"),
        ];
        let event = [
            ("process.name", "sshd"),
            ("host.name", "gate"),
            ("message", "Failed password for bob from 10.0.0.1 port 1 ssh2"),
        ];
        let fields = apply(&extracts, &event);
        assert_eq!(text(&fields, "user.name"), "bob");
        assert!(!fields.exists("event.action"), "the built-in ones come after");
        assert_eq!(text(&apply(&[], &event), "event.action"), "ssh_login");
    }

    #[test]
    fn a_users_extract_replaces_and_a_built_in_one_only_adds() {
        let event = [
            ("process.name", "sshd"),
            ("event.action", "mine"),
            ("message", "Failed password for bob from 10.0.0.1 port 1 ssh2"),
        ];
        let fields = apply(&[], &event);
        assert_eq!(text(&fields, "event.action"), "mine");
        assert_eq!(text(&fields, "user.name"), "bob");
        let fields = apply(&[extract(None, r"(?<event.action>Failed) (?<message>.*)")], &event);
        assert_eq!(text(&fields, "event.action"), "Failed");
        assert_eq!(text(&fields, "message"), "password for bob from 10.0.0.1 port 1 ssh2");
    }

    #[test]
    fn fields_get_the_kind_that_they_want() {
        let fields = apply(
            &[extract(None, r"(?<source.ip>\S+) (?<source.port>\S+) (?<url.original>\S+)")],
            &[("message", "host.example 022 https://a.example/b?c=d#e")],
        );
        assert!(!fields.exists("source.ip"));
        assert_eq!(text(&fields, "source.domain"), "host.example");
        assert_eq!(text(&fields, "source.address"), "host.example");
        assert!(matches!(*fields.get("source.port").unwrap(), Value::Text(_)), "022 is no JSON number");
        assert_eq!((text(&fields, "url.path"), text(&fields, "url.query")), ("/b".into(), "c=d".into()));
    }

    #[test]
    fn a_when_that_can_not_be_read_says_where() {
        let message = |when: &str| Extracts::new(&[extract(Some(when), "(?<a>b)")]).unwrap_err().to_string();
        assert!(
            message("process.name = \"x\"").contains("column 14: `==` was expected"),
            "{}",
            message("process.name = \"x\"")
        );
        assert!(
            message("a == \"x\" || b == \"y\"").contains("column 10: `&&` or the end"),
            "{}",
            message("a == \"x\" || b")
        );
        assert!(message("a == 'x'").contains("column 6: a text in double quotes"));
        assert!(message("a == \"x").contains("the closing quote is missing"));
        assert!(message("").contains("column 1: a field's name"));
        assert_eq!(read_when(r#"a == "q\"\\" && b.c=="""#).unwrap().len(), 2);
    }

    #[test]
    fn a_regex_needs_to_be_one_and_to_name_a_group() {
        assert!(matches!(Extracts::new(&[extract(None, "(")]), Err(SpecError::Regex { .. })));
        assert!(matches!(Extracts::new(&[extract(None, "(a)")]), Err(SpecError::NoGroup(_))));
    }
}
