//! Whose events belong together, and which inputs they come from.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use rhai::Position;

use crate::{
    event::ALERTS,
    rule::{
        InputSet,
        data::Data,
        diagnostic::did_you_mean,
        entry::{Entry, Report, listed},
    },
};

/// The fields of the key, for each pattern.
pub(super) type KeyFields = BTreeMap<Arc<str>, Vec<Arc<str>>>;

pub(super) fn by(
    map: Entry<'_>,
    position: Position,
    has_window: bool,
    patterns: &[Arc<str>],
    report: &mut Report<'_>,
) -> KeyFields {
    let same = |fields: Vec<Arc<str>>| patterns.iter().map(|pattern| (pattern.clone(), fields.clone())).collect();
    let Some(entry) = map.get("by") else {
        if has_window {
            let help = "add `by: [\"source.ip\"]`, or leave it so when the rule means everybody together".to_owned();
            let message = "a window without `by` is one for all: the work can't spread";
            report.warning("no-by", position, message, Some(help));
        }
        return same(Vec::new());
    };
    match entry.data {
        Data::Map(_) => by_pattern(entry, patterns, report),
        Data::Text(text) => {
            let message = "`by` is a text, not a list";
            report.error("wrong-type", entry.position, message, Some(format!("write `by: [\"{text}\"]`")));
            KeyFields::new()
        }
        _ => same(fields(entry, report)),
    }
}

fn fields(entry: Entry<'_>, report: &mut Report<'_>) -> Vec<Arc<str>> {
    let before = report.found.len();
    let fields: Vec<Arc<str>> = report.texts(entry, "by").into_iter().map(|(text, _)| text.into()).collect();
    if fields.is_empty() && report.found.len() == before {
        let help = "leave `by` out when the rule means everybody together".to_owned();
        report.error("empty", entry.position, "`by` names no field", Some(help));
    }
    fields
}

fn by_pattern(entry: Entry<'_>, patterns: &[Arc<str>], report: &mut Report<'_>) -> KeyFields {
    let mut keys = KeyFields::new();
    let mut length = None;
    for (name, value) in entry.entries() {
        let Some(pattern) = patterns.iter().find(|pattern| &***pattern == name) else {
            let help = did_you_mean(name, patterns.iter().map(|pattern| &**pattern));
            report.error("unknown-pattern", entry.key_position(name), format!("no pattern is called `{name}`"), help);
            continue;
        };
        let fields = fields(value, report);
        if *length.get_or_insert(fields.len()) != fields.len() {
            let message = "the patterns' keys have different numbers of fields: they can never meet";
            report.error("uneven-key", value.position, message, None);
        }
        keys.insert(pattern.clone(), fields);
    }
    for pattern in patterns.iter().filter(|pattern| entry.get(pattern).is_none()) {
        let help = Some(format!("add `{pattern}: [\"…\"]`"));
        report.error("no-key", entry.position, format!("`by` has no fields for the pattern `{pattern}`"), help);
    }
    keys
}

pub(super) fn inputs(
    map: Entry<'_>,
    position: Position,
    has_window: bool,
    configured: Option<&BTreeSet<String>>,
    report: &mut Report<'_>,
) -> InputSet {
    let Some(entry) = map.get("input") else {
        // Where one input is all there is, or nobody has said what there is, there is nothing to choose.
        if has_window && configured.is_some_and(|inputs| inputs.len() > 1) {
            let help = "add `input: \"…\"`".to_owned();
            let message = "a window over all inputs waits for the slowest of them";
            report.warning("no-input", position, message, Some(help));
        }
        return InputSet::All;
    };
    let names = match entry.data {
        Data::Text(_) => report.text(entry, "input").map(|name| (name, entry)).into_iter().collect(),
        _ => report.texts(entry, "input"),
    };
    if names.is_empty() && matches!(entry.data, Data::List(items) if items.is_empty()) {
        let help = "leave `input` out to read all".to_owned();
        report.error("empty", entry.position, "`input` names no input", Some(help));
    }
    for (name, entry) in &names {
        check_input(name, *entry, configured, report);
    }
    InputSet::Named(names.into_iter().map(|(name, _)| name.into()).collect())
}

fn check_input(name: &str, entry: Entry<'_>, configured: Option<&BTreeSet<String>>, report: &mut Report<'_>) {
    match configured {
        _ if name == ALERTS => {}
        Some(inputs) if inputs.contains(name) => {}
        Some(inputs) => {
            let help = did_you_mean(name, inputs.iter().map(String::as_str))
                .unwrap_or_else(|| format!("the configuration has {}", listed(inputs.iter().map(String::as_str))));
            report.error("unknown-input", entry.position, format!("no input is called `{name}`"), Some(help));
        }
        None => {
            let message = format!("without a configuration there is no input `{name}`");
            report.warning("unknown-input", entry.position, message, None);
        }
    }
}
