//! Values of a rule's map together with where they are written, and the findings about them.

use std::{collections::BTreeMap, time::Duration};

use rhai::{Expr, Position};

use super::{
    data::Data,
    diagnostic::{Diagnostic, Level, did_you_mean},
    duration,
    source::Source,
};

/// A value somewhere in a rule's map. Its literal is known where the map is written out in the call of `rule`;
/// of computed values the place is that of the nearest literal around them.
#[derive(Clone, Copy)]
pub(super) struct Entry<'a> {
    pub(super) data: &'a Data,
    literal: Option<&'a Expr>,
    pub(super) position: Position,
}

impl<'a> Entry<'a> {
    pub(super) fn new(data: &'a Data, literal: Option<&'a Expr>, position: Position) -> Self {
        let position = literal.map(Expr::start_position).filter(|position| !position.is_none()).unwrap_or(position);
        Entry { data, literal, position }
    }

    /// The value `name` of a map, `None` when it is left out.
    pub(super) fn get(self, name: &str) -> Option<Entry<'a>> {
        let Data::Map(entries) = self.data else { return None };
        let data = entries.get(name)?;
        let literal = self.literal_entries().find(|(key, ..)| *key == name).map(|(.., value)| value);
        Some(Entry::new(data, literal, self.position))
    }

    /// The entries of a map, in byte order of their names.
    pub(super) fn entries(self) -> impl Iterator<Item = (&'a str, Entry<'a>)> {
        let map: Option<&'a BTreeMap<String, Data>> = match self.data {
            Data::Map(entries) => Some(entries),
            _ => None,
        };
        map.into_iter().flatten().map(move |(name, _)| (name.as_str(), self.get(name).unwrap_or(self)))
    }

    /// The elements of a list.
    pub(super) fn items(self) -> impl Iterator<Item = Entry<'a>> {
        let items: &'a [Data] = match self.data {
            Data::List(items) => items,
            _ => &[],
        };
        let literals: &'a [Expr] = match self.literal {
            Some(Expr::Array(literals, _)) if literals.len() == items.len() => literals,
            _ => &[],
        };
        items.iter().enumerate().map(move |(at, item)| Entry::new(item, literals.get(at), self.position))
    }

    /// Where the key `name` of a map is written.
    pub(super) fn key_position(self, name: &str) -> Position {
        self.literal_entries().find(|(key, ..)| *key == name).map_or(self.position, |(_, position, _)| position)
    }

    fn literal_entries(self) -> impl Iterator<Item = (&'a str, Position, &'a Expr)> {
        let entries = match self.literal {
            Some(Expr::Map(map, _)) => &map.0[..],
            _ => &[],
        };
        entries.iter().map(|(key, value)| (super::token::as_written(key.as_str()), key.pos, value))
    }
}

/// Collects the findings of one rule, or of one file.
pub(super) struct Report<'a> {
    pub(super) source: &'a Source,
    pub(super) found: Vec<Diagnostic>,
}

impl<'a> Report<'a> {
    pub(super) fn new(source: &'a Source) -> Self {
        Report { source, found: Vec::new() }
    }

    pub(super) fn has_errors(&self) -> bool {
        self.found.iter().any(Diagnostic::is_error)
    }

    pub(super) fn error(&mut self, code: &'static str, at: Position, message: impl Into<String>, help: Option<String>) {
        self.add(Level::Error, code, at, message.into(), help);
    }

    pub(super) fn warning(
        &mut self,
        code: &'static str,
        at: Position,
        message: impl Into<String>,
        help: Option<String>,
    ) {
        self.add(Level::Warning, code, at, message.into(), help);
    }

    pub(super) fn note(&mut self, code: &'static str, at: Position, message: impl Into<String>, help: Option<String>) {
        self.add(Level::Note, code, at, message.into(), help);
    }

    fn add(&mut self, level: Level, code: &'static str, at: Position, message: String, help: Option<String>) {
        let diagnostic = Diagnostic { help, ..self.source.diagnostic(level, code, at, message) };
        if !self.found.contains(&diagnostic) {
            self.found.push(diagnostic);
        }
    }

    fn wrong_type(&mut self, entry: Entry<'_>, name: &str, wanted: &str) {
        let message = format!("`{name}` is {}, not {wanted}", entry.data.kind());
        self.error("wrong-type", entry.position, message, None);
    }

    /// A text that is not empty.
    pub(super) fn text(&mut self, entry: Entry<'_>, name: &str) -> Option<String> {
        match entry.data {
            Data::Text(text) if text.trim().is_empty() => {
                self.error("empty", entry.position, format!("`{name}` is empty"), None);
                None
            }
            Data::Text(text) => Some(text.clone()),
            _ => {
                self.wrong_type(entry, name, "a text");
                None
            }
        }
    }

    pub(super) fn optional_text(&mut self, map: Entry<'_>, name: &str) -> Option<String> {
        map.get(name).and_then(|entry| self.text(entry, name))
    }

    /// A list of texts, none empty; each with its place.
    pub(super) fn texts<'b>(&mut self, entry: Entry<'b>, name: &str) -> Vec<(String, Entry<'b>)> {
        if !matches!(entry.data, Data::List(_)) {
            self.wrong_type(entry, name, "a list of texts");
            return Vec::new();
        }
        entry.items().filter_map(|item| Some((self.text(item, name)?, item))).collect()
    }

    pub(super) fn optional_texts(&mut self, map: Entry<'_>, name: &str) -> Vec<String> {
        let Some(entry) = map.get(name) else { return Vec::new() };
        self.texts(entry, name).into_iter().map(|(text, _)| text).collect()
    }

    /// A span of time. `zero` allows none at all.
    pub(super) fn duration(&mut self, entry: Entry<'_>, name: &str, zero: bool) -> Option<Duration> {
        let text = self.text(entry, name)?;
        match duration::parse(&text) {
            Some(span) if zero || !span.is_zero() => Some(span),
            Some(_) => {
                self.error("bad-duration", entry.position, format!("`{name}` is no time at all"), None);
                None
            }
            None => {
                let help = "write a number and a unit (ms, s, m, h, d, w): \"90s\", \"10m\", \"1h30m\"".to_owned();
                self.error("bad-duration", entry.position, format!("`{text}` is no duration"), Some(help));
                None
            }
        }
    }

    /// Refuses keys other than `known`.
    pub(super) fn keys(&mut self, map: Entry<'_>, what: &str, known: &[&str]) {
        for (name, _) in map.entries().filter(|(name, _)| !known.contains(name)) {
            let help = did_you_mean(name, known.iter().copied())
                .or_else(|| Some(format!("{what} takes {}", listed(known.iter().copied()))));
            self.error("unknown-key", map.key_position(name), format!("unknown key `{name}`"), help);
        }
    }

    /// Whether the entry is a map; if not, says so.
    pub(super) fn is_map(&mut self, entry: Entry<'_>, name: &str) -> bool {
        let is_map = matches!(entry.data, Data::Map(_));
        if !is_map {
            self.wrong_type(entry, name, "a map `#{…}`");
        }
        is_map
    }

    /// Whether the entry is a list; if not, says so.
    pub(super) fn is_list(&mut self, entry: Entry<'_>, name: &str) -> bool {
        let is_list = matches!(entry.data, Data::List(_));
        if !is_list {
            self.wrong_type(entry, name, "a list");
        }
        is_list
    }

    pub(super) fn flag(&mut self, entry: Entry<'_>, name: &str) -> Option<bool> {
        match entry.data {
            Data::Bool(value) => Some(*value),
            _ => {
                self.wrong_type(entry, name, "true or false");
                None
            }
        }
    }

    /// A number above 0.
    pub(super) fn positive(&mut self, entry: Entry<'_>, name: &str) -> Option<f64> {
        let value = match entry.data {
            Data::Int(value) => *value as f64,
            Data::Float(value) => *value,
            _ => {
                self.wrong_type(entry, name, "a number");
                return None;
            }
        };
        if value > 0.0 && value.is_finite() {
            return Some(value);
        }
        self.error("out-of-range", entry.position, format!("`{name}` is {value}, not above 0"), None);
        None
    }

    /// A whole number from `least` to `most`.
    pub(super) fn integer(&mut self, entry: Entry<'_>, name: &str, least: i64, most: i64) -> Option<i64> {
        match entry.data {
            Data::Int(value) if (least..=most).contains(value) => Some(*value),
            Data::Int(value) => {
                let message = format!("`{name}` is {value}, not from {least} to {most}");
                self.error("out-of-range", entry.position, message, None);
                None
            }
            _ => {
                self.wrong_type(entry, name, "a whole number");
                None
            }
        }
    }
}

/// Names for people: `a`, `b`, `c`.
pub(super) fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
