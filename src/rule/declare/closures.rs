//! The closures of a rule: its patterns, `when`, `alert` and `then`.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use rhai::{FnPtr, Position};

use super::{
    Declared, Surroundings,
    key::{KeyFields, Sides},
};
use crate::rule::{
    Aggregates, Cost, End, Pattern, Predicate, Side, Statistic, Together, WindowScript, WindowTest, WindowValue,
    aggregate::WINDOW_WORDS,
    analysis::{Analysis, Known, Wanted},
    data::Data,
    entry::{Entry, Report},
    lower::{Lowered, lower},
    script::Script,
    shape::{self, Shape},
    window_lower::WindowLowering,
};

pub(super) struct Closures {
    /// In byte order of their names.
    patterns: BTreeMap<Arc<str>, Option<Checked>>,
    pub(super) when: Option<Checked>,
    pub(super) alert: Option<Checked>,
    pub(super) then: Option<Checked>,
    /// Of a `baseline`.
    value: Option<Checked>,
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
    together: Option<Together>,
    /// Whether it asks a list that rules write, and where.
    asks_written: Option<Position>,
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
        let of = Of { patterns: &names, slides: map.get("within").is_some() };
        checked(entry, name, argument, of, declared, around, report)
    };
    let patterns = entries
        .iter()
        .map(|(name, entry)| (name.clone(), check(*entry, name, Known::Event(String::new()), report)))
        .collect();
    let when = map.get("when").and_then(|entry| check(entry, "when", Known::Window, report));
    let alert = map.get("alert").and_then(|entry| check(entry, "alert", Known::Window, report));
    let value = map.get("baseline").and_then(|baseline| baseline.get("value"));
    let value = value.and_then(|entry| check(entry, "value", Known::Window, report));
    let then = map.get("then").and_then(|entry| check(entry, "then", Known::Window, report));
    Closures { patterns, when, alert, then, value }
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
        if WINDOW_WORDS.contains(&&**name) {
            let message = format!("a pattern can't be called `{name}`: `w.{name}` is the window's own");
            report.error("reserved-name", events.key_position(name), message, None);
        }
        if name.is_empty() {
            report.error("empty", events.position, "a pattern without a name", None);
        }
    }
    entries
}

/// What a closure's rule says elsewhere.
#[derive(Clone, Copy)]
struct Of<'a> {
    patterns: &'a [Arc<str>],
    /// Whether signals leave its windows one by one.
    slides: bool,
}

fn checked(
    entry: Entry<'_>,
    name: &str,
    argument: Known,
    of: Of<'_>,
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
    let mut analysis = Analysis::new(around.beside, of.patterns, around.run_depth);
    analysis.slides = of.slides;
    analysis.closure(
        around.source,
        closure,
        argument,
        match name {
            "alert" if is_window => Wanted::Map,
            "value" if is_window => Wanted::Number,
            "then" if is_window => Wanted::Writes,
            _ => Wanted::Test,
        },
    );
    let asks_written = analysis.written_reads.values().next().copied();
    if let (true, Some(position)) = (is_window, asks_written) {
        let help = Some("ask in a pattern: `in_list(e.source.ip, \"suspects\")`".to_owned());
        report.error("wrong-place", position, "a list that rules write is asked by patterns only", help);
    }
    let text = shape::text_of(closure, &analysis, around.source);
    report.found.extend(analysis.found);
    let script = Script {
        engine: around.engine.clone(),
        global: declared.global.clone(),
        closure: closure.clone(),
        file: around.source.path.clone(),
        position: entry.position,
    };
    let Analysis { event_reads, kept_reads, mentioned, ends, aggregates, together, .. } = analysis;
    if let ("value", Some(_)) = (name, &together) {
        let help = Some("measure one pattern: `w.event.count`".to_owned());
        report.error("wrong-place", entry.position, "a `baseline` can't measure `w.all`", help);
    }
    Some(Checked { script, text, event_reads, kept_reads, mentioned, ends, aggregates, together, asks_written })
}

/// Parameters that the closure takes beside what it captured; `None` when this file has no such closure.
fn parameters(closure: &FnPtr, around: &Surroundings<'_>) -> Option<usize> {
    let captured = closure.iter_curry().count();
    let function = around.source.function(closure.fn_name(), captured + 1)?;
    function.parameters.len().checked_sub(captured)
}

/// The predicate, with warnings of what stayed a script and of what needs no event.
fn compiled(script: &Script, around: &Surroundings<'_>, report: &mut Report<'_>) -> Predicate {
    let Lowered { predicate, scripts } = lower(around.source, around.beside, script);
    for why in scripts {
        let position = if why.position.is_none() { script.position } else { why.position };
        let message = format!("not compiled: {} runs as a script", why.what);
        let help = "a script is some hundred times as slow: write plain tests before it with `&&`, or instead";
        report.warning("script", position, message, Some(help.to_owned()));
    }
    if let Predicate::Constant(answer) = predicate {
        let message = format!("the pattern is always {answer}, whatever the event");
        report.warning("constant", script.position, message, None);
    } else if predicate.cost() == Cost::Scan {
        let help = "begin with a test that needs a literal: `==`, `<`, `in [..]`, a text test, `cidr`".to_owned();
        report.note("scan", script.position, "every event is looked at: no literal has to be in it", Some(help));
    }
    predicate
}

/// What a rule says of its patterns beside their closures.
pub(super) struct Keyed<'a> {
    pub(super) by: &'a KeyFields,
    pub(super) sides: &'a Sides,
    pub(super) reads_alerts: bool,
    /// Paths that alerts tell of.
    pub(super) told: &'a [Arc<str>],
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
        self.when.iter().chain(&self.alert).chain(&self.then).chain(&self.value)
    }

    /// Whether a pattern asks a list that rules write.
    pub(super) fn ask_written(&self) -> bool {
        self.patterns.values().flatten().any(|closure| closure.asks_written.is_some())
    }

    /// What windows have to keep for `when`, `alert` and `then`.
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

    /// What windows have to keep of the events of all patterns together.
    pub(super) fn together(&self, report: &mut Report<'_>) -> Option<Together> {
        let mut all: Option<Together> = None;
        for closure in self.of_window() {
            let Some(asked) = closure.together.clone() else { continue };
            if !Together::add(&mut all, asked) {
                let message = "`w.all` is asked elsewhere for the values of another field";
                let help = Some("ask for one field of it, and for others pattern by pattern".to_owned());
                report.error("two-fields", closure.script.position, message, help);
            }
        }
        all
    }

    /// `when` and `value` as they run. Leaves neither behind.
    pub(super) fn lowered(
        &mut self,
        aggregates: &Aggregates,
        around: &Surroundings<'_>,
    ) -> (Option<WindowTest>, Option<WindowValue>) {
        let patterns = self.names();
        let lowering = WindowLowering { beside: around.beside, patterns: &patterns, aggregates };
        let script = |checked: &Checked| WindowScript(checked.script.clone());
        let when = self.when.as_ref().map(|when| lowering.test(around.source, script(when)));
        (when, self.value.as_ref().map(|value| lowering.value(around.source, script(value))))
    }

    /// The patterns with what travels in their signals, and the hash of all that shapes the rule's windows. Leaves
    /// only `when`, `alert` and `then` behind.
    pub(super) fn patterns(
        &mut self,
        of: Keyed<'_>,
        (aggregates, together): (&Aggregates, Option<&Together>),
        mut shape: Shape,
        around: &Surroundings<'_>,
        report: &mut Report<'_>,
    ) -> (Vec<Pattern>, u64) {
        let mut patterns = Vec::new();
        for (name, closure) in std::mem::take(&mut self.patterns) {
            let Some(closure) = closure else { continue };
            let by = of.by.get(&name).cloned().unwrap_or_default();
            let side = of.sides.get(&name).copied().unwrap_or(Side::Both);
            let mut keep: BTreeSet<Arc<str>> = by.iter().cloned().collect();
            keep.extend(of.told.iter().cloned());
            // Evidence names the alert.
            keep.extend((of.reads_alerts && side != Side::Events).then(|| "id".into()));
            keep.extend(closure.event_reads.iter().map(|path| Arc::from(path.as_str())));
            let kept = self.of_window().flat_map(|closure| &closure.kept_reads);
            keep.extend(kept.filter(|(pattern, _)| *pattern == name).map(|(_, path)| Arc::from(path.as_str())));
            let sees_closed = side != Side::Events && closure.event_reads.contains("state");
            let keep: Vec<Arc<str>> = keep.into_iter().collect();
            shape.pattern(&name, &closure.text, &by, &keep);
            if side != Side::Both {
                shape.part("side", if side == Side::Events { "events" } else { "alerts" });
            }
            let (position, asks_written) = (closure.script.position, closure.asks_written);
            let predicate = compiled(&closure.script, around, report);
            let (predicate, asks_lists) = match asks_written {
                None => (predicate, None),
                Some(_) if predicate.runs_script() => {
                    let message = "a pattern that asks a list that rules write has to compile, and this one does not";
                    let help = Some("split it: plain tests of fields, `&&`, `||` and `!`".to_owned());
                    report.error("not-compiled", position, message, help);
                    continue;
                }
                Some(_) if !predicate.asks_written() => (predicate, None),
                Some(_) => (predicate.whatever_is_written(true), Some(predicate)),
            };
            patterns.push(Pattern { name, side, predicate, asks_lists, by, keep, sees_closed });
        }
        shape.aggregates(aggregates, together);
        self.value.iter().for_each(|value| shape.part("value", &value.text));
        (patterns, shape.finish())
    }
}
