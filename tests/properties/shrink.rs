//! A smaller case that fails too: whatever can be left out, is.

use super::generate::Case;
use crate::oracle::{Condition, Rule, Step, Until};

/// What is wrong with a case, if anything is.
pub type Check<'a> = &'a dyn Fn(&Case) -> Result<u64, String>;

/// Tries smaller cases until none fails; gives the last that did, with its difference.
pub fn shrink(mut case: Case, mut why: String, check: Check<'_>) -> (Case, String) {
    while let Some((smaller, difference)) = smaller(&case).into_iter().find_map(|smaller| {
        // a rule that does not load is no smaller case
        super::engine::rules(&smaller.rules).ok()?;
        let why = check(&smaller).err()?;
        Some((smaller, why))
    }) {
        (case, why) = (smaller, difference);
    }
    (case, why)
}

fn smaller(case: &Case) -> Vec<Case> {
    let mut cases = Vec::new();
    if case.rules.len() > 1 {
        cases.extend((0..case.rules.len()).map(|at| with(case, |case| drop(case.rules.remove(at)))));
    }
    let count = case.log.events.len();
    for size in [count / 2, count / 4, 1].into_iter().filter(|size| *size > 0) {
        let cuts = (0..count).step_by(size);
        cases.extend(cuts.map(|at| with(case, |case| drop(case.log.events.drain(at..(at + size).min(count))))));
    }
    for at in 0..case.rules.len() {
        cases.extend(simpler(&case.rules[at]).into_iter().map(|rule| with(case, |case| case.rules[at] = rule.clone())));
    }
    if case.log.until != Until::Infinity {
        cases.push(with(case, |case| case.log.until = Until::Infinity));
    }
    cases.extend((0..count).flat_map(|at| plainer_events(case, at)));
    cases
}

fn with(case: &Case, change: impl Fn(&mut Case)) -> Case {
    let mut case = case.clone();
    change(&mut case);
    case
}

fn simpler(rule: &Rule) -> Vec<Rule> {
    let with = |change: &dyn Fn(&mut Rule)| {
        let mut rule = rule.clone();
        change(&mut rule);
        rule
    };
    let mut rules = vec![];
    rules.extend((0..rule.shows.len()).map(|at| with(&|rule| drop(rule.shows.remove(at)))));
    rules.extend((0..rule.when.len()).map(|at| with(&|rule| drop(rule.when.remove(at)))));
    if rule.patterns.len() > 1 {
        rules.extend((0..rule.patterns.len()).map(|at| with(&|rule| drop(rule.patterns.remove(at)))));
    }
    if let Some(suppress) = rule.suppress {
        rules.push(with(&|rule| rule.suppress = None));
        if suppress.max.is_some() {
            rules.push(with(&|rule| rule.suppress = Some(crate::oracle::Suppress { max: None, ..suppress })));
        }
    }
    if rule.risk.is_some() {
        rules.push(with(&|rule| rule.risk = None));
    }
    if rule.then.is_some() {
        rules.push(with(&|rule| rule.then = None));
    }
    let asks = rule.patterns.iter().map(|pattern| pattern.asks.len());
    for (at, asks) in asks.enumerate().filter(|(_, asks)| *asks > 1) {
        rules.extend((0..asks).map(|ask| with(&|rule| drop(rule.patterns[at].asks.remove(ask)))));
    }
    if rule.inputs.is_some() && !rule.follows() {
        rules.push(with(&|rule| rule.inputs = None));
    }
    if rule.patterns.iter().any(|pattern| !pattern.by.is_empty()) {
        rules.push(with(&|rule| rule.patterns.iter_mut().for_each(|pattern| drop(pattern.by.pop()))));
    }
    let steps = match &rule.condition {
        Condition::Unwritten => 0,
        Condition::AllOf(times) | Condition::AnyOf(times) => times.len(),
        Condition::Sequence(steps) => steps.len(),
    };
    rules.extend((0..steps).map(|at| with(&|rule| fewer(&mut rule.condition, at))));
    rules.extend((0..steps).map(|at| with(&|rule| without(&mut rule.condition, at))));
    rules.retain(|smaller| format!("{smaller:?}") != format!("{rule:?}"));
    rules
}

fn without(condition: &mut Condition, at: usize) {
    match condition {
        Condition::Unwritten => {}
        Condition::AllOf(times) | Condition::AnyOf(times) => drop(times.remove(at)),
        Condition::Sequence(steps) => drop(steps.remove(at)),
    }
}

fn fewer(condition: &mut Condition, at: usize) {
    let times = match condition {
        Condition::AllOf(times) | Condition::AnyOf(times) => &mut times[at],
        Condition::Sequence(steps) => match &mut steps[at] {
            Step::Times(times) => times,
            Step::Any(patterns) if patterns.len() > 1 => return patterns.truncate(1),
            Step::Any(_) | Step::None(_) => return,
        },
        Condition::Unwritten => return,
    };
    times.0 = times.0.saturating_sub(1).max(1);
}

/// Without a field, of one kind, of a single input or partition.
fn plainer_events(case: &Case, at: usize) -> Vec<Case> {
    let event = &case.log.events[at];
    let mut cases = Vec::new();
    for name in event.fields.keys().filter(|name| *name != "kind") {
        cases.push(with(case, |case| drop(case.log.events[at].fields.remove(name))));
    }
    if let Some(kinds) = event.fields.get("kind").and_then(|kind| kind.as_array()) {
        cases.extend(
            kinds.iter().map(|kind| {
                with(case, |case| drop(case.log.events[at].fields.insert("kind".to_owned(), kind.clone())))
            }),
        );
    }
    if event.partition > 0 {
        cases.push(with(case, |case| case.log.events[at].partition = 0));
    }
    cases
}
