//! What has to be in the window, and how long an alert stays open.

use std::{sync::Arc, time::Duration};

use super::closures::Closures;
use crate::rule::{
    Condition, SIGNALS_MAX, Step, Suppress, Times,
    data::{Data, StepData},
    diagnostic::did_you_mean,
    entry::{Entry, Report},
};

/// How long an alert stays open at most, when `suppress_max` is left out.
const SUPPRESS_MAX: Duration = Duration::from_secs(24 * 3600);

const CONDITIONS: [&str; 3] = ["sequence", "all_of", "any_of"];

pub(super) fn read(map: Entry<'_>, has_window: bool, closures: &Closures, report: &mut Report<'_>) -> Condition {
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
    if !report.is_list(entry, name) {
        return Condition::AllOf(Vec::new());
    }
    let steps: Vec<Step> = entry.items().filter_map(|item| step(item, name, &names, report)).collect();
    check_steps(entry, name, &steps, closures, map, report);
    let times = |steps: Vec<Step>| steps.into_iter().map(|step| Times { n: step.n, pattern: step.patterns[0].clone() });
    match name {
        "sequence" => Condition::Sequence(steps),
        "all_of" => Condition::AllOf(times(steps).collect()),
        _ => Condition::AnyOf(times(steps).collect()),
    }
}

/// Every pattern occurs, or `when` decides alone.
fn without_list(map: Entry<'_>, closures: &Closures, report: &mut Report<'_>) -> Condition {
    if closures.when.is_none() {
        let times = closures.names().into_iter().map(|pattern| Times { n: 1, pattern });
        return Condition::AllOf(times.collect());
    }
    check_used(&[], closures, map, report);
    Condition::AllOf(Vec::new())
}

fn step(item: Entry<'_>, list: &str, names: &[Arc<str>], report: &mut Report<'_>) -> Option<Step> {
    match item.data {
        Data::Text(name) => Some(Step { n: 1, patterns: vec![pattern(name, item, names, report)?] }),
        Data::Step(StepData::Times { n, pattern: name }) => {
            let pattern = pattern(name, item, names, report);
            if *n < 1 {
                report.error("out-of-range", item.position, format!("`times({n}, …)` asks for nothing"), None);
                return None;
            }
            Some(Step { n: u32::try_from(*n).unwrap_or(u32::MAX), patterns: vec![pattern?] })
        }
        Data::Step(StepData::Any(patterns)) if list == "sequence" => {
            let found: Vec<_> = patterns.iter().map(|name| pattern(name, item, names, report)).collect();
            Some(Step { n: 1, patterns: found.into_iter().collect::<Option<_>>()? })
        }
        Data::Step(StepData::Any(_)) => {
            let message = format!("`any` is a step of a `sequence`, not of `{list}`");
            report.error("wrong-step", item.position, message, None);
            None
        }
        Data::Step(StepData::None(_)) => {
            report.error("not-yet", item.position, "`none(…)` is not supported yet", None);
            None
        }
        other => {
            let help = "write a pattern's name, `times(n, \"p\")` or, in a sequence, `any(\"p\", \"q\")`".to_owned();
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
    let total: u64 = steps.iter().map(|step| u64::from(step.n)).sum();
    let most = steps.iter().map(|step| u64::from(step.n)).max().unwrap_or(0);
    if total.min(if name == "any_of" { most } else { total }) > SIGNALS_MAX {
        let message = format!("`{name}` can never occur: a window keeps {SIGNALS_MAX} signals of a key");
        report.error("too-long", entry.position, message, None);
    }
    if name != "sequence" {
        for (at, (step, item)) in steps.iter().zip(entry.items()).enumerate() {
            if steps[..at].iter().any(|before| before.patterns == step.patterns) {
                let help = Some(format!("ask for several with `times(n, \"{}\")`", step.patterns[0]));
                let message = format!("`{name}` names `{}` twice", step.patterns[0]);
                report.error("twice", item.position, message, help);
            }
        }
    }
    if steps.len() == entry.items().count() {
        check_used(steps, closures, map, report);
    }
}

fn check_used(steps: &[Step], closures: &Closures, map: Entry<'_>, report: &mut Report<'_>) {
    let Some(events) = map.get("events") else { return };
    for name in closures.names() {
        if !steps.iter().any(|step| step.patterns.contains(&name)) && !closures.reads(&name) {
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
