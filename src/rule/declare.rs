//! From the map of one `rule(#{…})` to a [`Rule`]: every key checked, every wrong one reported at its place.

mod closures;
mod condition;
mod key;
mod meta;
mod tests_of;
mod window;

use std::{collections::BTreeSet, sync::Arc};

use rhai::{Engine, GlobalRuntimeState, Position};

use super::{
    InputSet, Rule, Window,
    analysis::Beside,
    data::Data,
    diagnostic::{Diagnostic, did_you_mean},
    entry::{Entry, Report},
    shape,
    source::Source,
};
use crate::event::{ALERTS, InputName};

/// A call of `rule` with what it was given.
pub(super) struct Declared {
    pub(super) data: Data,
    pub(super) position: Position,
    pub(super) global: Arc<GlobalRuntimeState>,
}

/// What rules of a file are built with.
pub(super) struct Surroundings<'a> {
    pub(super) source: &'a Source,
    pub(super) beside: &'a Beside<'a>,
    /// The engine that closures run on.
    pub(super) engine: &'a Arc<Engine>,
    pub(super) inputs: Option<&'a BTreeSet<String>>,
    /// What every rule reads besides the inputs that it names.
    pub(super) read_by_all: Option<&'a InputName>,
    /// See [`super::ScriptLimits::run_depth`].
    pub(super) run_depth: usize,
}

/// A rule, unless it has errors or is not enabled, and what was found.
pub(super) struct Built {
    pub(super) rule: Option<Rule>,
    pub(super) found: Vec<Diagnostic>,
}

const KEYS: [&str; 37] = [
    "id",
    "title",
    "severity",
    "attack",
    "description",
    "references",
    "author",
    "false_positives",
    "runbook",
    "tags",
    "status",
    "enabled",
    "audience",
    "input",
    "event",
    "events",
    "by",
    "within",
    "every",
    "from_first",
    "session",
    "max",
    "silent",
    "forget",
    "first_seen",
    "learn",
    "baseline",
    "sequence",
    "all_of",
    "any_of",
    "when",
    "alert",
    "then",
    "suppress",
    "suppress_max",
    "risk",
    "tests",
];

pub(super) fn build(declared: &Declared, around: &Surroundings<'_>) -> Built {
    let mut report = Report::new(around.source);
    let literal = around.source.literals.get(&declared.position);
    let map = Entry::new(&declared.data, literal, declared.position);
    let rule = read(map, declared, around, &mut report);
    let enabled = map.get("enabled").and_then(|entry| report.flag(entry, "enabled")).unwrap_or(true);
    let rule = if report.has_errors() || !enabled { None } else { rule };
    Built { rule, found: report.found }
}

fn read(map: Entry<'_>, declared: &Declared, around: &Surroundings<'_>, report: &mut Report<'_>) -> Option<Rule> {
    check_keys(map, declared.position, report);
    let meta = meta::read(map, declared.position, report);
    let window = window::read(map, report);
    let has_window = window::is_given(map);
    let mut closures = closures::read(map, declared, around, report);
    let names = closures.names();
    let (mut inputs, sides) = key::inputs(map, declared.position, has_window, around.inputs, &names, report);
    if let InputSet::Named(names) = &mut inputs
        && !names.contains(ALERTS)
    {
        names.extend(around.read_by_all.cloned());
    }
    let by = key::by(map, declared.position, has_window, &names, report);
    let condition = condition::read(map, &closures, report);
    let suppress = condition::suppress(map, report);
    let audience = meta::audience(map, &inputs, report);
    let tests = tests_of::read(map, declared.position, audience, report);
    if report.has_errors() {
        return None;
    }
    let mut told: Vec<Arc<str>> =
        meta.risk.iter().flat_map(|risk| &risk.entities).map(|path| path.as_str().into()).collect();
    if let Window::FirstSeen(first_seen) = &window {
        told.extend(first_seen.fields.iter().cloned());
    }
    let sources = if closures.ask_written() { inputs.and_alerts() } else { inputs.clone() };
    let shape = shape::Shape::new(&sources, &window, &condition, suppress);
    let aggregates = closures.aggregates();
    let together = closures.together(report);
    let (when, value) = closures.lowered(&aggregates, around);
    let of = closures::Keyed { by: &by, sides: &sides, reads_alerts: inputs.reads_alerts(), told: &told };
    let (patterns, shape) = closures.patterns(of, (&aggregates, together.as_ref()), shape, around, report);
    if report.has_errors() {
        return None;
    }
    Some(Rule {
        meta,
        inputs,
        sources,
        by: patterns.first().map(|pattern| pattern.by.clone()).unwrap_or_default(),
        patterns,
        window,
        condition,
        when,
        value,
        alert: closures.alert.map(|closure| closure.into_script()),
        tells: Vec::new(),
        then: closures.then.map(|closure| closure.into_script()),
        aggregates,
        together,
        suppress,
        audience,
        shape,
        tests,
        place: around.source.place(declared.position),
    })
}

fn check_keys(map: Entry<'_>, position: Position, report: &mut Report<'_>) {
    let mut misplaced = false;
    for (name, value) in map.entries().filter(|(name, _)| !KEYS.contains(name)) {
        let pattern = pattern_named(name, value.data);
        misplaced |= pattern.is_some();
        let helps = [did_you_mean(name, KEYS), pattern.map(where_patterns_stand)];
        let help = helps.into_iter().flatten().reduce(|near, patterns| format!("{near} {patterns}"));
        report.error("unknown-key", map.key_position(name), format!("unknown key `{name}`"), help);
    }
    match (map.get("event"), map.get("events")) {
        // Patterns that stand elsewhere are the mistake.
        (None, None) if misplaced => {}
        (None, None) => {
            let help = "add `event: |e| …`".to_owned();
            report.error("no-event", position, "the rule looks at no events", Some(help));
        }
        (Some(_), Some(_)) => {
            let help = "name every pattern in `events`".to_owned();
            report.error(
                "two-events",
                map.key_position("events"),
                "`event` and `events` exclude each other",
                Some(help),
            );
        }
        _ => {}
    }
}

/// The name of the pattern that an unknown key seems to declare: its own where a closure follows, the first in it where
/// nothing but closures are in it.
fn pattern_named<'a>(key: &'a str, value: &'a Data) -> Option<&'a str> {
    let is_closure = |data: &Data| matches!(data, Data::Closure(_));
    match value {
        Data::Closure(_) => Some(key),
        Data::Map(entries) if entries.values().all(is_closure) => entries.keys().next().map(String::as_str),
        _ => None,
    }
}

fn where_patterns_stand(name: &str) -> String {
    let key = if rhai::is_valid_identifier(name) { name.to_owned() } else { format!("{name:?}") };
    format!("event patterns stand in `events: #{{ {key}: |e| … }}`")
}
