//! The closures of a rule: its patterns, `when` and `alert`.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use rhai::FnPtr;

use super::{Declared, Surroundings, key::KeyFields};
use crate::rule::{
    Aggregates, End, Pattern, Predicate, ScriptTest, Statistic, WindowScript,
    analysis::{Analysis, Known, Wanted},
    data::Data,
    entry::{Entry, Report},
    lower::lower,
    predicate::Code,
    script::Script,
    shape::{self, Shape},
};

/// Names that a window has for itself.
const RESERVED: [&str; 3] = ["key", "start", "end"];

pub(super) struct Closures {
    /// In byte order of their names.
    patterns: BTreeMap<Arc<str>, Option<Checked>>,
    pub(super) when: Option<Checked>,
    pub(super) alert: Option<Checked>,
}

/// A closure that was looked at.
pub(super) struct Checked {
    script: Script,
    /// What identifies its text, with that of the functions that it calls and the values that it captured.
    text: String,
    event_reads: BTreeSet<String>,
    kept_reads: BTreeSet<(Arc<str>, String)>,
    mentioned: BTreeSet<Arc<str>>,
    ends: BTreeSet<(Arc<str>, End, String)>,
    aggregates: Vec<(Arc<str>, Statistic, String)>,
}

impl Checked {
    pub(super) fn into_script(self) -> WindowScript {
        WindowScript(self.script)
    }
}

pub(super) fn read(
    map: Entry<'_>,
    declared: &Declared,
    around: &Surroundings<'_>,
    report: &mut Report<'_>,
) -> Closures {
    let entries = pattern_entries(map, report);
    let names: Vec<Arc<str>> = entries.iter().map(|(name, _)| name.clone()).collect();
    let check = |entry: Entry<'_>, name: &str, argument: Known, report: &mut Report<'_>| {
        checked(entry, name, argument, &names, declared, around, report)
    };
    let patterns = entries
        .iter()
        .map(|(name, entry)| (name.clone(), check(*entry, name, Known::Event(String::new()), report)))
        .collect();
    let when = map.get("when").and_then(|entry| check(entry, "when", Known::Window, report));
    let alert = map.get("alert").and_then(|entry| check(entry, "alert", Known::Window, report));
    Closures { patterns, when, alert }
}

fn pattern_entries<'a>(map: Entry<'a>, report: &mut Report<'_>) -> Vec<(Arc<str>, Entry<'a>)> {
    if let Some(entry) = map.get("event") {
        return vec![("event".into(), entry)];
    }
    let Some(events) = map.get("events") else { return Vec::new() };
    if !report.is_map(events, "events") {
        return Vec::new();
    }
    let entries: Vec<(Arc<str>, Entry<'a>)> = events.entries().map(|(name, entry)| (name.into(), entry)).collect();
    if entries.is_empty() {
        report.error("empty", events.position, "`events` names no pattern", None);
    }
    for (name, _) in &entries {
        if RESERVED.contains(&&**name) {
            let message = format!("a pattern can't be called `{name}`: `w.{name}` is the window's own");
            report.error("reserved-name", events.key_position(name), message, None);
        }
        if name.is_empty() {
            report.error("empty", events.position, "a pattern without a name", None);
        }
    }
    entries
}

fn checked(
    entry: Entry<'_>,
    name: &str,
    argument: Known,
    patterns: &[Arc<str>],
    declared: &Declared,
    around: &Surroundings<'_>,
    report: &mut Report<'_>,
) -> Option<Checked> {
    let is_window = argument == Known::Window;
    let parameter = if is_window { "w" } else { "e" };
    let Data::Closure(closure) = entry.data else {
        let message = format!("`{name}` is {}, not a closure", entry.data.kind());
        report.error("wrong-type", entry.position, message, Some(format!("write `{name}: |{parameter}| …`")));
        return None;
    };
    let parameters = parameters(closure, around);
    if parameters != Some(1) {
        let message = match parameters {
            Some(count) => format!("`{name}` takes {count} parameters, not one"),
            None => format!("`{name}` is a function of another file"),
        };
        let help = Some(format!("write `{name}: |{parameter}| …`"));
        report.error("wrong-closure", entry.position, message, help);
        return None;
    }
    let mut analysis = Analysis::new(around.library, patterns, around.run_depth);
    analysis.closure(
        around.source,
        closure,
        argument,
        if name == "alert" && is_window { Wanted::Map } else { Wanted::Test },
    );
    let text = shape::text_of(closure, &analysis, around.source);
    report.found.extend(analysis.found);
    let script = Script {
        engine: around.engine.clone(),
        global: declared.global.clone(),
        closure: closure.clone(),
        file: around.source.path.clone(),
        position: entry.position,
    };
    let Analysis { event_reads, kept_reads, mentioned, ends, aggregates, .. } = analysis;
    Some(Checked { script, text, event_reads, kept_reads, mentioned, ends, aggregates })
}

/// Parameters that the closure takes beside what it captured; `None` when this file has no such closure.
fn parameters(closure: &FnPtr, around: &Surroundings<'_>) -> Option<usize> {
    let captured = closure.iter_curry().count();
    let function = around.source.function(closure.fn_name(), captured + 1)?;
    function.parameters.len().checked_sub(captured)
}

impl Closures {
    pub(super) fn names(&self) -> Vec<Arc<str>> {
        self.patterns.keys().cloned().collect()
    }

    /// Whether `when` or `alert` looks at the pattern.
    pub(super) fn reads(&self, pattern: &Arc<str>) -> bool {
        self.of_window().any(|closure| closure.mentioned.contains(pattern))
    }

    fn of_window(&self) -> impl Iterator<Item = &Checked> {
        self.when.iter().chain(&self.alert)
    }

    /// What windows have to keep for `when` and `alert`.
    pub(super) fn aggregates(&self) -> Aggregates {
        let names = self.names();
        let at = |pattern: &Arc<str>| names.iter().position(|name| name == pattern);
        let mut aggregates = Aggregates::new(names.len());
        for closure in self.of_window() {
            for (pattern, statistic, field) in &closure.aggregates {
                at(pattern).into_iter().for_each(|pattern| aggregates.add(pattern, *statistic, field));
            }
            for (pattern, end, path) in &closure.ends {
                at(pattern).into_iter().for_each(|pattern| aggregates.add_read(pattern, *end, path));
            }
        }
        aggregates
    }

    /// The patterns with what travels in their signals, and the hash of all that shapes the rule's windows. Leaves
    /// only `when` and `alert` behind.
    pub(super) fn patterns(
        &mut self,
        by: &KeyFields,
        entities: &[String],
        aggregates: &Aggregates,
        mut shape: Shape,
        around: &Surroundings<'_>,
    ) -> (Vec<Pattern>, u64) {
        let mut patterns = Vec::new();
        for (name, closure) in std::mem::take(&mut self.patterns) {
            let Some(closure) = closure else { continue };
            let by = by.get(&name).cloned().unwrap_or_default();
            let mut keep: BTreeSet<Arc<str>> = by.iter().cloned().collect();
            keep.extend(entities.iter().map(|path| Arc::from(path.as_str())));
            keep.extend(closure.event_reads.iter().map(|path| Arc::from(path.as_str())));
            let kept = self.of_window().flat_map(|closure| &closure.kept_reads);
            keep.extend(kept.filter(|(pattern, _)| *pattern == name).map(|(_, path)| Arc::from(path.as_str())));
            let keep: Vec<Arc<str>> = keep.into_iter().collect();
            shape.pattern(&name, &closure.text, &by, &keep);
            let predicate = lower(around.source, around.library, &closure.script.closure)
                .unwrap_or_else(|| Predicate::Script(ScriptTest(Arc::new(Code::Closure(closure.script)))));
            patterns.push(Pattern { name, predicate, by, keep });
        }
        shape.aggregates(aggregates);
        (patterns, shape.finish())
    }
}
