//! Cases from seeds: a few rules of one kind, and a log in which a lot happens at once.
//!
//! Times are whole seconds and spans are short, so that ties and events at the very edge of a window are common; few
//! values, so that keys meet; fields are missing, empty, lists, numbers and texts.

use std::fmt;

use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use serde_json::{Map, Value as Json, json};

use crate::oracle::{
    self, Aggregate, Baseline, Condition, Event, Log, Pattern, Rule, Step, Suppress, Test, Times, Until, What, Window,
};

/// 2024-01-01T00:00:00Z
const START: i64 = 1_704_067_200;

/// Long after everything that a generated log makes due.
pub const AFTERMATH: i64 = START + 30 * 24 * 3600;

pub const INPUTS: [&str; 2] = ["auth", "web"];

const KINDS: [&str; 4] = ["a", "b", "c", "d"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Alone,
    Sliding,
    Sequence,
    /// Sequences with a `none`.
    Absence,
    Tumbling,
    Session,
    Silent,
    FirstSeen,
    Baseline,
}

impl Kind {
    const ALL: [Kind; 9] = [
        Kind::Alone,
        Kind::Sliding,
        Kind::Sequence,
        Kind::Absence,
        Kind::Tumbling,
        Kind::Session,
        Kind::Silent,
        Kind::FirstSeen,
        Kind::Baseline,
    ];

    /// Seeds take turns.
    pub fn of(seed: u64) -> Self {
        Kind::ALL[(seed % Kind::ALL.len() as u64) as usize]
    }
}

#[derive(Clone)]
pub struct Case {
    pub rules: Vec<Rule>,
    pub log: Log,
}

impl Case {
    pub fn of(kind: Kind, seed: u64) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let rules = (0..random.random_range(1..4)).map(|at| rule(&mut random, kind, at)).collect();
        Case { rules, log: log(&mut random) }
    }
}

impl Case {
    /// The same over a log that never ends, with one event in each partition so late that every timer is due before.
    pub fn with_an_end(mut self) -> Self {
        let partitions = self.partitions();
        self.log.until = Until::Infinity;
        let last = |(input, partition)| Event { input, partition, time: AFTERMATH, fields: Map::new() };
        let sources = INPUTS.into_iter().flat_map(|input| (0..partitions).map(move |partition| (input, partition)));
        self.log.events.extend(sources.map(last));
        self
    }

    /// How many partitions every input has.
    pub fn partitions(&self) -> u32 {
        self.log.events.iter().map(|event| event.partition + 1).max().unwrap_or(1)
    }
}

/// What a person needs to see of a failing case: the rule file and the log.
impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", oracle::file(&self.rules))?;
        writeln!(f, "lateness {}s, until {:?}", self.log.lateness, self.log.until)?;
        for placed in self.log.placed() {
            let Event { input, partition, time, fields } = placed.event;
            let late = if placed.late { " (late)" } else { "" };
            let seconds = time - START;
            writeln!(f, "{seconds:>5}s {input}/{partition}@{} {}{late}", placed.offset, Json::Object(fields.clone()))?;
        }
        Ok(())
    }
}

fn rule(random: &mut StdRng, kind: Kind, at: usize) -> Rule {
    let mut patterns = patterns(random, kind);
    let window = window(random, kind);
    let condition = condition(random, kind, &patterns);
    let names: Vec<String> = patterns.iter().map(|pattern| pattern.name.clone()).collect();
    let needs_when = matches!(condition, Condition::Unwritten) && names.len() == 1 && window_counts(&window);
    let tests = if needs_when || random.random_bool(0.3) { random.random_range(1..3) } else { 0 };
    let when: Vec<Test> = (0..tests).map(|_| test(random, &names)).collect();
    let mut shows: Vec<Aggregate> = (0..random.random_range(0..4)).map(|_| aggregate(random, &names)).collect();
    // a pattern that nothing names is a mistake
    let unused = names.iter().filter(|name| !is_used(&condition, name, &when));
    let counts = unused.map(|name| Aggregate { pattern: name.clone(), what: What::Count });
    shows.extend(counts.collect::<Vec<_>>());
    patterns.sort_by(|a, b| a.name.cmp(&b.name));
    Rule {
        id: format!("r{at}"),
        inputs: (!random.random_bool(0.3)).then(|| match random.random_range(0..3) {
            0 => INPUTS.to_vec(),
            _ => vec![*INPUTS.choose(random).expect("two inputs")],
        }),
        patterns,
        window,
        condition,
        when,
        shows,
        suppress: random.random_bool(if kind == Kind::Alone { 0.6 } else { 0.4 }).then(|| suppress(random)),
    }
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

fn patterns(random: &mut StdRng, kind: Kind) -> Vec<Pattern> {
    let count = match kind {
        Kind::Alone | Kind::FirstSeen | Kind::Baseline => 1,
        Kind::Sequence | Kind::Absence => random.random_range(2..5),
        _ => random.random_range(1..4),
    };
    let fields: usize = random.random_range(0..3);
    let shared = by(random, fields);
    let apart = random.random_bool(0.25);
    // in any order: one event's signals come in the order of the names, whatever it matches
    let mut names = vec!["p", "q", "r", "s"];
    let mut pattern = |random: &mut StdRng| {
        let name = names.swap_remove(random.random_range(0..names.len())).to_owned();
        let by = if apart { by(random, fields) } else { shared.clone() };
        Pattern { name, kind: (*KINDS.choose(random).expect("some kinds")).to_owned(), by }
    };
    let mut patterns: Vec<Pattern> = (0..count).map(|_| pattern(random)).collect();
    if let [only] = &mut patterns[..] {
        only.name = "event".to_owned();
    }
    patterns
}

fn by(random: &mut StdRng, count: usize) -> Vec<String> {
    let mut fields = vec!["k", "l", "u"];
    (0..count).map(|_| fields.swap_remove(random.random_range(0..fields.len())).to_owned()).collect()
}

fn window(random: &mut StdRng, kind: Kind) -> Window {
    match kind {
        Kind::Alone => Window::Alone,
        Kind::Sliding | Kind::Sequence | Kind::Absence => Window::Within(random.random_range(1..25)),
        Kind::Tumbling => Window::Every(random.random_range(2..25)),
        Kind::Session => {
            let gap = random.random_range(1..8);
            Window::Session { gap, max: random.random_bool(0.4).then(|| gap + random.random_range(0..20)) }
        }
        Kind::Silent => Window::Silent(random.random_range(2..25)),
        Kind::FirstSeen => {
            let mut fields = vec!["u".to_owned(), "n".to_owned()];
            fields.truncate(random.random_range(1..3));
            let learn = random.random_bool(0.4).then(|| random.random_range(1..40));
            Window::FirstSeen { fields, over: random.random_range(1..60), learn }
        }
        Kind::Baseline => Window::Baseline(baseline(random)),
    }
}

/// Nothing is ever exactly so many deviations above, or rounding would decide.
fn baseline(random: &mut StdRng) -> Baseline {
    let every = random.random_range(3..12);
    let what = match random.random_range(0..3) {
        0 => What::Count,
        1 => What::Distinct("u".to_owned()),
        _ => What::Sum("n".to_owned()),
    };
    Baseline {
        value: Aggregate { pattern: "event".to_owned(), what },
        every,
        over: every * random.random_range(2..6) + random.random_range(0..2),
        above: f64::from(random.random_range(1..30)) / 10.0 + 0.0371,
    }
}

fn condition(random: &mut StdRng, kind: Kind, patterns: &[Pattern]) -> Condition {
    match (kind, random.random_range(0..4)) {
        (Kind::Alone | Kind::Silent | Kind::FirstSeen | Kind::Baseline, _) => Condition::Unwritten,
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

fn test(random: &mut StdRng, names: &[String]) -> Test {
    let aggregate = loop {
        let aggregate = aggregate(random, names);
        if !matches!(aggregate.what, What::Values(_) | What::Top(_) | What::First(_) | What::Last(_)) {
            break aggregate;
        }
    };
    let at_least = random.random_bool(0.85);
    Test { aggregate, at_least, than: if at_least { random.random_range(1..5) } else { random.random_range(2..8) } }
}

fn aggregate(random: &mut StdRng, names: &[String]) -> Aggregate {
    let (u, n) = ("u".to_owned(), "n".to_owned());
    let what = match random.random_range(0..20) {
        0..6 => What::Count,
        6..9 => What::Distinct(u),
        9 => What::First(if random.random_bool(0.5) { u } else { n }),
        10 => What::Last(if random.random_bool(0.5) { u } else { n }),
        11 => What::Values(u),
        12 => What::Top(u),
        13 => What::Sum(n),
        14 => What::Average(n),
        15 => What::Least(n),
        16 => What::Greatest(n),
        17 => What::Deviation(n),
        18 => What::Percentile(n, *[0, 25, 50, 90, 100].choose(random).expect("some")),
        _ => What::Rate(random.random_range(1..30)),
    };
    Aggregate { pattern: names.choose(random).expect("a pattern").clone(), what }
}

fn suppress(random: &mut StdRng) -> Suppress {
    let span = random.random_range(1..20);
    Suppress { span, max: random.random_bool(0.4).then(|| span + random.random_range(0..15)) }
}

/// Some events come later than the lateness allows, most do not.
fn log(random: &mut StdRng) -> Log {
    let lateness = random.random_range(0..12);
    let partitions = random.random_range(1..4);
    let (mut time, mut arrivals) = (START, Vec::new());
    for _ in 0..random.random_range(0..70) {
        time += [0, 0, 1, 1, 2, 3, 6, 15].choose(random).expect("some");
        let disorder = if random.random_bool(0.04) { 40 } else { lateness };
        let event = Event {
            input: INPUTS.choose(random).expect("two inputs"),
            partition: random.random_range(0..partitions),
            time,
            fields: fields(random),
        };
        arrivals.push((time + random.random_range(0..disorder + 1), event));
    }
    arrivals.sort_by_key(|(arrival, _)| *arrival);
    let until = match random.random_range(0..8) {
        0 => Until::Last,
        1 => Until::Time(START + random.random_range(0..(time - START).max(1) + 20)),
        _ => Until::Infinity,
    };
    Log { events: arrivals.into_iter().map(|(_, event)| event).collect(), lateness, until }
}

fn fields(random: &mut StdRng) -> Map<String, Json> {
    let mut fields = Map::new();
    let mut put = |name: &str, value: Json| drop(fields.insert(name.to_owned(), value));
    put(
        "kind",
        match random.random_range(0..10) {
            0..7 => json!(KINDS[random.random_range(0..KINDS.len())]),
            7..9 => json!([KINDS[random.random_range(0..2)], KINDS[random.random_range(2..4)]]),
            _ => json!(KINDS),
        },
    );
    for name in ["k", "l"] {
        match random.random_range(0..24) {
            0 => {}
            1 => put(name, Json::Null),
            2 => put(name, json!("")),
            3 => put(name, json!([])),
            4 => put(name, json!(["y", "x", "y", ""])),
            5 => put(name, json!(["x", 7])),
            6 => put(name, json!(7)),
            7 => put(name, json!("7")),
            8..20 => put(name, json!("x")),
            _ => put(name, json!("y")),
        }
    }
    match random.random_range(0..12) {
        0 => {}
        1 => put("u", json!(["u1", "u2"])),
        n => put("u", json!(format!("u{}", n % 4))),
    }
    match random.random_range(0..12) {
        0 => {}
        1 => put("n", json!("none")),
        2 => put("n", json!("3")),
        3 => put("n", json!([1, 2])),
        n => put("n", json!(n - 4)),
    }
    fields
}
