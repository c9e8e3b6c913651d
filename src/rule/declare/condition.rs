//! What has to be in the window, and how long an alert stays open.

use std::{sync::Arc, time::Duration};

use super::{closures::Closures, window};
use crate::rule::{
    Condition, SIGNALS_MAX, Step, Suppress, Times,
    data::{Data, StepData},
    diagnostic::did_you_mean,
    entry::{Entry, Report},
};

/// How long an alert stays open at most, when `suppress_max` is left out.
const SUPPRESS_MAX: Duration = Duration::from_secs(24 * 3600);

const CONDITIONS: [&str; 3] = ["sequence", "all_of", "any_of"];

pub(super) fn read(map: Entry<'_>, closures: &Closures, report: &mut Report<'_>) -> Condition {
    let has_window = window::is_given(map);
    let given: Vec<&str> = CONDITIONS.into_iter().filter(|name| map.get(name).is_some()).collect();
    if let [first, second, ..] = given[..] {
        let message = format!("`{first}` and `{second}` exclude each other");
        report.error("two-conditions", map.key_position(second), message, None);
    }
    let names = closures.names();
    if names.len() > 1 && !has_window && map.get("event").is_none() {
        let help = "add `within: \"10m\"`".to_owned();
        report.error("no-window", map.key_position("events"), "several patterns need a window", Some(help));
    }
    let Some(name) = given.first().copied() else {
        return without_list(map, closures, report);
    };
    let entry = map.get(name).unwrap_or(map);
    if !has_window {
        let help = "add `within: \"10m\"`".to_owned();
        report.error("no-window", map.key_position(name), format!("`{name}` needs a window"), Some(help));
    }
    if map.get("silent").is_some() {
        let help = format!("take out `{name}`; `when` can ask for more");
        let message = format!("`silent` waits for nothing to come, and takes no `{name}`");
        report.error("wrong-condition", map.key_position(name), message, Some(help));
    }
    if !report.is_list(entry, name) {
        return Condition::AllOf(Vec::new());
    }
    let steps: Vec<Step> = entry.items().filter_map(|item| step(item, name, &names, report)).collect();
    check_steps(entry, name, &steps, closures, map, report);
    match name {
        "sequence" => Condition::Sequence(steps),
        "all_of" => Condition::AllOf(steps.into_iter().filter_map(times).collect()),
        _ => Condition::AnyOf(steps.into_iter().filter_map(times).collect()),
    }
}

/// As an item of `all_of` and `any_of`, where each is of one pattern.
fn times(step: Step) -> Option<Times> {
    match step {
        Step::Some { n, patterns } => patterns.into_iter().next().map(|pattern| Times { n, pattern }),
        Step::None(_) => None,
    }
}

/// Every pattern occurs, or `when` decides alone.
fn without_list(map: Entry<'_>, closures: &Closures, report: &mut Report<'_>) -> Condition {
    if closures.when.is_none() && map.get("silent").is_none() {
        if let (Some(entry), [first, second, ..]) = (map.get("first_seen"), &closures.names()[..]) {
            let message = "`first_seen` looks at each signal alone, and this rule waits for one of every pattern";
            let help = Some(format!("say which will do: `any_of: [\"{first}\", \"{second}\"]`"));
            report.error("wrong-condition", entry.position, message, help);
        }
        let times = closures.names().into_iter().map(|pattern| Times { n: 1, pattern });
        return Condition::AllOf(times.collect());
    }
    if map.get("silent").is_none() {
        check_used(&[], closures, map, report);
    }
    Condition::AllOf(Vec::new())
}

fn step(item: Entry<'_>, list: &str, names: &[Arc<str>], report: &mut Report<'_>) -> Option<Step> {
    match item.data {
        Data::Text(name) => Some(Step::Some { n: 1, patterns: vec![pattern(name, item, names, report)?] }),
        Data::Step(StepData::Times { n, pattern: name }) => {
            let pattern = pattern(name, item, names, report);
            if *n < 1 {
                report.error("out-of-range", item.position, format!("`times({n}, …)` asks for nothing"), None);
                return None;
            }
            Some(Step::Some { n: u32::try_from(*n).unwrap_or(u32::MAX), patterns: vec![pattern?] })
        }
        Data::Step(StepData::Any(patterns)) if list == "sequence" => {
            let found: Vec<_> = patterns.iter().map(|name| pattern(name, item, names, report)).collect();
            Some(Step::Some { n: 1, patterns: found.into_iter().collect::<Option<_>>()? })
        }
        Data::Step(StepData::None(name)) if list == "sequence" => Some(Step::None(pattern(name, item, names, report)?)),
        Data::Step(step) => {
            let name = if matches!(step, StepData::None(_)) { "none" } else { "any" };
            let message = format!("`{name}` is a step of a `sequence`, not of `{list}`");
            report.error("wrong-step", item.position, message, None);
            None
        }
        other => {
            let help =
                "write a pattern's name, `times(n, \"p\")` or, in a sequence, `any(\"p\", \"q\")` or `none(\"p\")`"
                    .to_owned();
            report.error("wrong-type", item.position, format!("{} is no step of `{list}`", other.kind()), Some(help));
            None
        }
    }
}

fn pattern(name: &str, item: Entry<'_>, names: &[Arc<str>], report: &mut Report<'_>) -> Option<Arc<str>> {
    let found = names.iter().find(|pattern| &***pattern == name).cloned();
    if found.is_none() {
        let help = did_you_mean(name, names.iter().map(|pattern| &**pattern));
        report.error("unknown-pattern", item.position, format!("no pattern is called `{name}`"), help);
    }
    found
}

fn check_steps(
    entry: Entry<'_>,
    name: &str,
    steps: &[Step],
    closures: &Closures,
    map: Entry<'_>,
    report: &mut Report<'_>,
) {
    if entry.items().next().is_none() {
        report.error("empty", entry.position, format!("`{name}` is empty"), None);
        return;
    }
    let sizes = || steps.iter().map(|step| if let Step::Some { n, .. } = step { u64::from(*n) } else { 0 });
    let needed = if name == "any_of" { sizes().max().unwrap_or(0) } else { sizes().sum() };
    if needed > SIGNALS_MAX {
        let message = format!("`{name}` can never occur: a window keeps {SIGNALS_MAX} signals of a key");
        report.error("too-long", entry.position, message, None);
    }
    let least = if name == "any_of" { sizes().min().unwrap_or(0) } else { needed };
    if map.get("first_seen").is_some() && least > 1 {
        let message = format!("`{name}` can never occur: `first_seen` looks at each signal alone");
        let help = "name patterns in `any_of`; what comes of several events is another rule's, on `alerts`".to_owned();
        report.error("wrong-condition", entry.position, message, Some(help));
    }
    if name == "sequence" {
        check_absences(entry, steps, map, report);
    } else {
        for (at, (step, item)) in steps.iter().zip(entry.items()).enumerate() {
            if let Step::Some { patterns, .. } = step
                && steps[..at].iter().any(|before| matches!(before, Step::Some { patterns: of, .. } if of == patterns))
            {
                let help = Some(format!("ask for several with `times(n, \"{}\")`", patterns[0]));
                let message = format!("`{name}` names `{}` twice", patterns[0]);
                report.error("twice", item.position, message, help);
            }
        }
    }
    if steps.len() == entry.items().count() {
        check_used(steps, closures, map, report);
    }
}

/// Something has to occur; and only `within` says from when and until when nothing of a first or last `none` may come.
fn check_absences(entry: Entry<'_>, steps: &[Step], map: Entry<'_>, report: &mut Report<'_>) {
    let is_none = |step: &Step| matches!(step, Step::None(_));
    if steps.len() != entry.items().count() {
        return;
    }
    if steps.iter().all(is_none) {
        let help = "add what comes before or after; of a source that falls silent tells `silent: \"1h\"`".to_owned();
        report.error("wrong-step", entry.position, "the `sequence` asks for nothing but absence", Some(help));
        return;
    }
    let ends = [("first", 0), ("last", steps.len() - 1)];
    for (end, at) in ends.into_iter().filter(|(_, at)| is_none(&steps[*at])) {
        if let (None, Some(item)) = (map.get("within"), entry.items().nth(at)) {
            let message = format!("`none` as the {end} step needs `within`");
            report.error("wrong-step", item.position, message, Some("add `within: \"10m\"`".to_owned()));
        }
    }
}

fn check_used(steps: &[Step], closures: &Closures, map: Entry<'_>, report: &mut Report<'_>) {
    let Some(events) = map.get("events") else { return };
    for name in closures.names() {
        let names = |step: &Step| match step {
            Step::Some { patterns, .. } => patterns.contains(&name),
            Step::None(pattern) => *pattern == name,
        };
        if !steps.iter().any(names) && !closures.reads(&name) {
            let help = "use it in `sequence`, `all_of`, `any_of`, `when` or `alert`, or take it out".to_owned();
            let message = format!("the pattern `{name}` is never used");
            report.error("unused-pattern", events.key_position(&name), message, Some(help));
        }
    }
}

pub(super) fn suppress(map: Entry<'_>, report: &mut Report<'_>) -> Option<Suppress> {
    let max = map.get("suppress_max").map(|entry| (entry, report.duration(entry, "suppress_max", false)));
    let Some(entry) = map.get("suppress") else {
        if max.is_some() {
            let help = "add `suppress: \"1h\"`".to_owned();
            let message = "`suppress_max` without `suppress`";
            report.error("no-suppress", map.key_position("suppress_max"), message, Some(help));
        }
        return None;
    };
    let span = report.duration(entry, "suppress", false)?;
    let max = match max {
        Some((_, max)) => max?,
        None => SUPPRESS_MAX,
    };
    if span > max {
        let message = "`suppress` is longer than `suppress_max`, which is 24h when left out";
        report.error("too-long", entry.position, message, Some("set `suppress_max` too".to_owned()));
        return None;
    }
    Some(Suppress { span, max })
}
