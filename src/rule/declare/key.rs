//! Whose events belong together, and which inputs they come from.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use rhai::Position;

use crate::{
    event::{ALERTS, InputName},
    rule::{
        InputSet, Side,
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

/// What each pattern is asked of, where `input` says so.
pub(super) type Sides = BTreeMap<Arc<str>, Side>;

pub(super) fn inputs(
    map: Entry<'_>,
    position: Position,
    has_window: bool,
    configured: Option<&BTreeSet<String>>,
    patterns: &[Arc<str>],
    report: &mut Report<'_>,
) -> (InputSet, Sides) {
    // Where one input is all there is, or nobody has said what there is, there is nothing to choose.
    let reads_all = |report: &mut Report<'_>| {
        if has_window && configured.is_some_and(|inputs| inputs.len() > 1) {
            let help = "add `input: \"…\"`".to_owned();
            let message = "a window over all inputs waits for the slowest of them";
            report.warning("no-input", position, message, Some(help));
        }
    };
    match map.get("input") {
        None => {
            reads_all(report);
            (InputSet::All, Sides::new())
        }
        Some(entry) if matches!(entry.data, Data::Map(_)) => {
            let (inputs, sides) = by_side(entry, configured, patterns, report);
            if inputs == InputSet::AllAndAlerts {
                reads_all(report);
            }
            (inputs, sides)
        }
        Some(entry) => (InputSet::Named(named(entry, configured, report)), Sides::new()),
    }
}

/// `#{ many: "alerts" }`: which patterns read alerts. The others read events: of the inputs that they name, of all
/// when left out.
fn by_side(
    entry: Entry<'_>,
    configured: Option<&BTreeSet<String>>,
    patterns: &[Arc<str>],
    report: &mut Report<'_>,
) -> (InputSet, Sides) {
    for (name, value) in entry.entries() {
        if patterns.iter().all(|pattern| **pattern != *name) {
            let help = did_you_mean(name, patterns.iter().map(|pattern| &**pattern));
            report.error("unknown-pattern", value.position, format!("no pattern is called `{name}`"), help);
        }
    }
    let (mut sides, mut of_events) = (Sides::new(), BTreeSet::new());
    for pattern in patterns {
        let named = entry.get(pattern).map(|value| (value, named(value, configured, report)));
        let is_alerts = |(_, names): &(Entry<'_>, BTreeSet<InputName>)| names.contains(ALERTS);
        if let Some((value, names)) = named.as_ref().filter(|named| is_alerts(named)) {
            if names.len() > 1 {
                let help = Some("write one pattern for alerts, and one for events".to_owned());
                let message = format!("`{pattern}` reads alerts and events at once");
                report.error("wrong-key", value.position, message, help);
            }
            sides.insert(pattern.clone(), Side::Alerts);
        } else {
            sides.insert(pattern.clone(), Side::Events);
            of_events.insert(named.map(|(_, names)| names));
        }
    }
    if of_events.len() > 1 {
        let help = Some("name the same inputs for each of them".to_owned());
        let message = "patterns on events read different inputs: a window waits for all of them";
        report.error("wrong-key", entry.position, message, help);
    }
    let reads_alerts = sides.values().any(|side| *side == Side::Alerts);
    let inputs = match of_events.pop_first() {
        None => InputSet::Named([ALERTS.into()].into()),
        Some(None) => InputSet::All,
        Some(Some(names)) => InputSet::Named(names),
    };
    (if reads_alerts { inputs.and_alerts() } else { inputs }, sides)
}

/// A name, or a list of names.
fn named(entry: Entry<'_>, configured: Option<&BTreeSet<String>>, report: &mut Report<'_>) -> BTreeSet<InputName> {
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
    names.into_iter().map(|(name, _)| name.into()).collect()
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
