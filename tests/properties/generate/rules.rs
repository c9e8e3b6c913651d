//! A rule of one kind, on events or on alerts.

use rand::{Rng, rngs::StdRng, seq::IndexedRandom};

use super::{
    INPUTS, KINDS, Kind,
    aggregates::{aggregate, test},
    windows::{suppress, window},
};
use crate::oracle::{ALERTS, Aggregate, Ask, Condition, Pattern, Risk, Rule, Step, Test, Times, What, Window};

/// What a rule's patterns are asked of.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Of<'a> {
    Events,
    /// Of these rules.
    Alerts(&'a [String]),
    /// Each pattern of one or the other.
    Both(&'a [String]),
}

/// On the input of alerts, or on those of events.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Events,
    Alerts,
}

pub fn rule(random: &mut StdRng, kind: Kind, of: Of<'_>, id: String) -> Rule {
    let mut sided = patterns(random, kind, of);
    sided.sort_by(|(a, _), (b, _)| a.name.cmp(&b.name));
    let patterns: Vec<Pattern> = sided.iter().map(|(pattern, _)| pattern.clone()).collect();
    let window = window(random, kind, sided[0].1);
    let condition = condition(random, kind, &patterns);
    let needs_when = matches!(condition, Condition::Unwritten) && patterns.len() == 1 && window_counts(&window);
    let tests = if needs_when || random.random_bool(0.3) { random.random_range(1..3) } else { 0 };
    let when: Vec<Test> = (0..tests).map(|_| test(random, &sided)).collect();
    let mut shows: Vec<Aggregate> = (0..random.random_range(0..4)).map(|_| aggregate(random, &sided)).collect();
    // a pattern that nothing names is a mistake
    let unused = patterns.iter().filter(|pattern| !is_used(&condition, &pattern.name, &when));
    shows.extend(unused.map(|pattern| Aggregate { pattern: pattern.name.clone(), what: What::Count }));
    Rule {
        id,
        inputs: inputs(random, of),
        patterns,
        window,
        condition,
        when,
        shows,
        suppress: random.random_bool(if kind == Kind::Alone { 0.6 } else { 0.4 }).then(|| suppress(random)),
        risk: (of == Of::Events && random.random_bool(0.3)).then(|| risk(random)),
        then: None,
    }
}

fn inputs(random: &mut StdRng, of: Of<'_>) -> Option<Vec<&'static str>> {
    let of_events = match random.random_range(0..3) {
        0 => INPUTS.to_vec(),
        _ => vec![*INPUTS.choose(random).expect("two inputs")],
    };
    match of {
        Of::Alerts(_) => Some(vec![ALERTS]),
        Of::Both(_) => Some([vec![ALERTS], of_events].concat()),
        Of::Events => (!random.random_bool(0.3)).then_some(of_events),
    }
}

fn risk(random: &mut StdRng) -> Risk {
    let mut fields = vec!["k", "u"];
    fields.truncate(random.random_range(1..3));
    Risk { score: random.random_range(1..5) * 10, entities: fields.into_iter().map(str::to_owned).collect() }
}

/// Whether a rule that asks for one event would be no window at all.
fn window_counts(window: &Window) -> bool {
    matches!(window, Window::Within(_) | Window::Every(_) | Window::Session { .. })
}

fn is_used(condition: &Condition, name: &str, when: &[Test]) -> bool {
    let named = |times: &[Times]| times.iter().any(|Times(_, pattern)| pattern == name);
    when.iter().any(|test| test.aggregate.pattern == name)
        || match condition {
            Condition::Unwritten => when.is_empty(),
            Condition::AllOf(times) | Condition::AnyOf(times) => named(times),
            Condition::Sequence(steps) => steps.iter().any(|step| match step {
                Step::Times(Times(_, pattern)) | Step::None(pattern) => pattern == name,
                Step::Any(patterns) => patterns.iter().any(|pattern| pattern == name),
            }),
        }
}

fn patterns(random: &mut StdRng, kind: Kind, of: Of<'_>) -> Vec<(Pattern, Side)> {
    let count = match kind {
        Kind::Alone | Kind::FirstSeen | Kind::Baseline | Kind::Season => 1,
        Kind::Sequence | Kind::Absence => random.random_range(2..5),
        _ => random.random_range(1..4),
    };
    let fields: usize = random.random_range(0..3);
    let shared = [Side::Events, Side::Alerts].map(|side| by(random, side, fields));
    let apart = random.random_bool(0.25);
    // in any order: one event's signals come in the order of the names, whatever it matches
    let mut names = vec!["p", "q", "r", "s"];
    let mut pattern = |random: &mut StdRng| {
        let name = names.swap_remove(random.random_range(0..names.len())).to_owned();
        let (side, asks) = match of {
            Of::Alerts(rules) => (Side::Alerts, asks_of_alerts(random, rules)),
            Of::Both(rules) if random.random_bool(0.5) => (Side::Alerts, asks_of_alerts(random, rules)),
            _ => (Side::Events, vec![is("kind", KINDS.choose(random).expect("some kinds"))]),
        };
        let by = if apart { by(random, side, fields) } else { shared[side as usize].clone() };
        (Pattern { name, asks, by }, side)
    };
    let mut patterns: Vec<(Pattern, Side)> = (0..count).map(|_| pattern(random)).collect();
    if let [(only, _)] = &mut patterns[..] {
        only.name = "event".to_owned();
    }
    patterns
}

/// The alerts of a rule, or of all; when they fire and open, whether they close too, or only then.
fn asks_of_alerts(random: &mut StdRng, rules: &[String]) -> Vec<Ask> {
    let mut asks = vec![match random.random_range(0..5) {
        0 => is("severity", "low"),
        _ => is("rule.id", rules.choose(random).expect("rules with alerts")),
    }];
    if random.random_bool(0.4) {
        asks.push(is("state", ["fired", "opened", "closed", "closed"].choose(random).expect("some")));
    }
    asks
}

fn is(field: &str, text: &str) -> Ask {
    Ask::Is { field: field.to_owned(), text: text.to_owned() }
}

fn by(random: &mut StdRng, side: Side, count: usize) -> Vec<String> {
    let mut fields = match side {
        Side::Events => vec!["k", "l", "u"],
        Side::Alerts => vec!["entity.k", "key", "risk.entities.value", "rule.id"],
    };
    (0..count).map(|_| fields.swap_remove(random.random_range(0..fields.len())).to_owned()).collect()
}

fn condition(random: &mut StdRng, kind: Kind, patterns: &[Pattern]) -> Condition {
    match (kind, random.random_range(0..4)) {
        (Kind::Alone | Kind::Silent | Kind::FirstSeen | Kind::Baseline | Kind::Season, _) => Condition::Unwritten,
        (Kind::Sequence | Kind::Absence, _) => Condition::Sequence(steps(random, patterns, kind)),
        (Kind::Tumbling | Kind::Session, 3) if patterns.len() > 1 => Condition::Sequence(steps(random, patterns, kind)),
        (_, 0) => Condition::Unwritten,
        (_, 1) => Condition::AllOf(several(random, patterns)),
        _ => Condition::AnyOf(several(random, patterns)),
    }
}

/// At least one step that an event fills. Only a sliding window can begin or end with an absence.
fn steps(random: &mut StdRng, patterns: &[Pattern], kind: Kind) -> Vec<Step> {
    let mut steps: Vec<Step> = (0..random.random_range(1..4)).map(|_| step(random, patterns)).collect();
    let nones = match kind {
        Kind::Sequence => 0,
        Kind::Absence => random.random_range(1..3),
        _ if steps.len() > 1 => random.random_range(0..2),
        _ => 0,
    };
    for _ in 0..nones {
        let places = if kind == Kind::Absence { 0..=steps.len() } else { 1..=steps.len() - 1 };
        let at = random.random_range(places);
        steps.insert(at, Step::None(patterns.choose(random).expect("a pattern").name.clone()));
    }
    steps
}

fn several(random: &mut StdRng, patterns: &[Pattern]) -> Vec<Times> {
    let some = patterns.choose_multiple(random, random.clone().random_range(1..patterns.len() + 1));
    some.map(|pattern| pattern.name.clone())
        .collect::<Vec<_>>()
        .into_iter()
        .map(|name| Times(random.random_range(1..4), name))
        .collect()
}

fn step(random: &mut StdRng, patterns: &[Pattern]) -> Step {
    let one = |random: &mut StdRng| patterns.choose(random).expect("a pattern").name.clone();
    match random.random_range(0..10) {
        0..4 => Step::Times(Times(1, one(random))),
        4..7 => Step::Times(Times(random.random_range(2..4), one(random))),
        _ => {
            let some = patterns.choose_multiple(random, 2);
            Step::Any(some.map(|pattern| pattern.name.clone()).collect())
        }
    }
}
