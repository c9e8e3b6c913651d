//! Other values for fields.

use std::collections::BTreeMap;

use regex::Regex;

use super::{
    guard,
    keys::Keys,
    placeholder::one_or_any,
    run::{Change, Part},
};
use crate::rule::{
    number::Num,
    sigma::{
        detection::{self, Item, Value},
        report::Report,
        value::{Piece, Text},
        yaml::Yaml,
    },
};

#[derive(Debug, Clone)]
pub enum Rewrite {
    /// What a regex finds in a text as it is written, wildcards included, or in its plain pieces only.
    Replace {
        regex: Regex,
        with: String,
        pieces_only: bool,
        read_result: bool,
    },
    /// Whole texts, as they are written.
    Map(BTreeMap<String, Vec<Text>>),
    Set(Value),
    ToText,
    ToNumber,
    Case(Case),
}

#[derive(Debug, Clone, Copy)]
pub enum Case {
    Lower,
    Upper,
    Snake,
}

impl Rewrite {
    pub fn read(kind: &str, keys: &mut Keys<'_>, report: &mut Report<'_>) -> Option<Self> {
        Some(match kind {
            "replace_string" => {
                let node = keys.needed("regex", report)?;
                let regex = guard::regex(node, node.as_text().unwrap_or_default(), report)?;
                let with = replacement(&keys.needed_text("replacement", report)?);
                let pieces_only = keys.flag("skip_special", report);
                Rewrite::Replace { regex, with, pieces_only, read_result: keys.flag("interpret_special", report) }
            }
            "map_string" => Rewrite::Map(mapping(keys, report)?),
            "set_value" => {
                let value = detection::value(keys.needed("value", report)?, &[], report)?;
                let forced =
                    keys.choice("force_type", &[("", None), ("str", Some(true)), ("num", Some(false))], report);
                match forced {
                    None => Rewrite::Set(value),
                    Some(is_text) => {
                        let forced = if is_text { as_text(&value) } else { as_number(&value) };
                        if forced.is_none() {
                            let at = keys.node.get("value").map_or(keys.node.at, |node| node.at);
                            report.error("wrong-type", at, "the value is none of its `force_type`", None);
                        }
                        Rewrite::Set(forced?)
                    }
                }
            }
            "convert_type" => {
                keys.needed("target_type", report)?;
                let to_text = keys.choice("target_type", &[("str", true), ("num", false)], report);
                if to_text { Rewrite::ToText } else { Rewrite::ToNumber }
            }
            _ => {
                let words = [("lower", Case::Lower), ("upper", Case::Upper), ("snake_case", Case::Snake)];
                Rewrite::Case(keys.choice("method", &words, report))
            }
        })
    }

    pub fn of_item(&self, item: &Item) -> Change {
        let mut changed = item.clone();
        for valued in &mut changed.values {
            match self.of_value(&valued.value) {
                Ok(value) => valued.value = value,
                Err(message) => return Change::Failure("sigma-pipeline", message),
            }
        }
        if changed == *item { Change::Nothing } else { Change::Into(Part::Item { item: changed, by: Vec::new() }) }
    }

    fn of_value(&self, value: &Value) -> Result<Value, String> {
        let value = match (self, value) {
            (Rewrite::Set(to), _) => return Ok(to.clone()),
            (_, Value::AnyOf(values)) => {
                return values.iter().map(|value| self.of_value(value)).collect::<Result<_, _>>().map(Value::AnyOf);
            }
            (Rewrite::ToText, Value::Number { .. }) => return Ok(as_text(value).unwrap_or_else(|| value.clone())),
            (Rewrite::ToNumber, Value::Text { text, .. }) => {
                return as_number(value).ok_or_else(|| format!("a pipeline wants a number, and `{text}` is none"));
            }
            (Rewrite::Replace { .. }, Value::Number { .. }) => &as_text(value).unwrap_or_else(|| value.clone()),
            (_, value) => value,
        };
        let Value::Text { text, cased } = value else { return Ok(value.clone()) };
        let of = |text: Text| Value::Text { text, cased: *cased };
        Ok(match self {
            Rewrite::Replace { regex, with, pieces_only: true, read_result } => {
                let plain = |plain: &str| regex.replace_all(plain, with.as_str()).into_owned();
                of(of_pieces(
                    text,
                    |piece| if *read_result { Text::parse(&plain(piece)) } else { Text::plain(&plain(piece)) },
                ))
            }
            Rewrite::Replace { regex, with, .. } if !has_bytes(text) => {
                let replaced = Text::parse(&doubled(&regex.replace_all(&shown(text), with.as_str())));
                of(if text.placeholder().is_some() { replaced.with_placeholders() } else { replaced })
            }
            Rewrite::Map(mapping) => match mapping.get(&shown(text)) {
                Some(texts) => one_or_any(texts.iter().cloned().map(of).collect()),
                None => value.clone(),
            },
            Rewrite::Case(case) => of(of_pieces(text, |piece| Text::plain(&case.of(piece)))),
            _ => value.clone(),
        })
    }
}

impl Case {
    fn of(self, text: &str) -> String {
        match self {
            Case::Lower => text.to_lowercase(),
            Case::Upper => text.to_uppercase(),
            Case::Snake => {
                let (mut snake, mut after_small) = (String::new(), false);
                for char in text.chars() {
                    if char.is_uppercase() && after_small {
                        snake.push('_');
                    }
                    after_small = char.is_lowercase() || char.is_numeric();
                    snake.extend(char.to_lowercase());
                }
                snake
            }
        }
    }
}

/// A text without escapes: a wildcard and its letter look the same.
pub fn shown(text: &Text) -> String {
    let piece = |piece: &Piece| match piece {
        Piece::Plain(plain) => plain.clone(),
        Piece::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Piece::Any => "*".to_owned(),
        Piece::One => "?".to_owned(),
        Piece::Placeholder(name) => format!("%{name}%"),
    };
    text.pieces().iter().map(piece).collect()
}

fn has_bytes(text: &Text) -> bool {
    text.pieces().iter().any(|piece| matches!(piece, Piece::Bytes(_)))
}

fn of_pieces(text: &Text, change: impl Fn(&str) -> Text) -> Text {
    Text::of(text.pieces().iter().flat_map(|piece| match piece {
        Piece::Plain(plain) => change(plain).pieces().to_vec(),
        other => vec![other.clone()],
    }))
}

/// Backslashes doubled but for those that escape a wildcard, so that reading the text keeps each.
fn doubled(text: &str) -> String {
    let mut doubled = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(char) = chars.next() {
        doubled.push(char);
        if char == '\\' && !matches!(chars.peek(), Some('*' | '?')) {
            doubled.push('\\');
        }
    }
    doubled
}

/// A replacement as Python writes it (`\1`, `\g<name>`), as `regex` does.
fn replacement(written: &str) -> String {
    let mut replacement = String::new();
    let mut rest = written;
    while let Some(char) = rest.chars().next() {
        let after = rest.strip_prefix('\\').unwrap_or_default();
        let digits = after.len() - after.trim_start_matches(|char: char| char.is_ascii_digit()).len();
        if digits > 0 {
            replacement += &format!("${{{}}}", &after[..digits]);
            rest = &after[digits..];
        } else if let Some((name, after)) = after.strip_prefix("g<").and_then(|named| named.split_once('>')) {
            replacement += &format!("${{{name}}}");
            rest = after;
        } else if let Some(after) = after.strip_prefix('\\') {
            replacement.push('\\');
            rest = after;
        } else {
            replacement.push(char);
            if char == '$' {
                replacement.push('$');
            }
            rest = &rest[char.len_utf8()..];
        }
    }
    replacement
}

fn mapping(keys: &mut Keys<'_>, report: &mut Report<'_>) -> Option<BTreeMap<String, Vec<Text>>> {
    let node = keys.needed("mapping", report)?;
    let Yaml::Map(entries) = &node.yaml else {
        report.error("wrong-type", node.at, format!("`mapping` is a map, not {}", node.kind()), None);
        return None;
    };
    let mut mapping = BTreeMap::new();
    for entry in entries {
        let items = entry.value.as_list().unwrap_or(std::slice::from_ref(&entry.value));
        let texts: Option<Vec<Text>> = items.iter().map(|item| item.as_text().map(Text::parse)).collect();
        let Some(texts) = texts.filter(|texts| !texts.is_empty()) else {
            let message = format!("`{}` becomes a text, or a list of texts", entry.key);
            report.error("wrong-type", entry.value.at, message, None);
            return None;
        };
        mapping.insert(entry.key.clone(), texts);
    }
    Some(mapping)
}

fn as_text(value: &Value) -> Option<Value> {
    let text = match value {
        Value::Text { text, .. } => text.clone(),
        Value::Number { written, .. } | Value::Bool { written, .. } => Text::plain(written),
        _ => return None,
    };
    Some(Value::Text { text, cased: false })
}

fn as_number(value: &Value) -> Option<Value> {
    match value {
        Value::Number { .. } => Some(value.clone()),
        Value::Text { text, .. } => {
            let written = text.as_plain()?;
            Some(Value::Number { value: Num::parse(written)?, written: written.to_owned() })
        }
        _ => None,
    }
}
