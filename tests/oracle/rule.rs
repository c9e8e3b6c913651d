//! A rule as data, in the words of the rule language, and its text as a rule file has it.

use std::fmt::Write;

use super::{
    aggregate::{Aggregate, What},
    log::{ALERTS, Event},
};

#[derive(Debug, Clone)]
pub struct Rule {
    pub id: String,
    /// All but alerts when left out.
    pub inputs: Option<Vec<&'static str>>,
    pub patterns: Vec<Pattern>,
    pub window: Window,
    pub condition: Condition,
    /// All have to hold; none is no `when`.
    pub when: Vec<Test>,
    /// What `alert` gives, under `f0`, `f1` …; none is no `alert`.
    pub shows: Vec<Aggregate>,
    pub suppress: Option<Suppress>,
    pub risk: Option<Risk>,
    /// What an alert adds to a list.
    pub then: Option<Adding>,
}

/// Matches the events of which all is true that it asks.
#[derive(Debug, Clone)]
pub struct Pattern {
    pub name: String,
    pub asks: Vec<Ask>,
    /// Without any there is one key for all.
    pub by: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// The field is, or has among others, this text.
    Is { field: String, text: String },
    /// Whether any text of the field is in a list that rules write.
    Listed { field: String, list: String, is_in: bool },
}

/// What an alert says of risk.
#[derive(Debug, Clone)]
pub struct Risk {
    pub score: i64,
    /// Fields whose values are the entities.
    pub entities: Vec<String>,
}

/// For so many seconds after the alert's time.
#[derive(Debug, Clone)]
pub struct Adding {
    pub list: String,
    pub text: Written,
    pub span: i64,
}

#[derive(Debug, Clone)]
pub enum Written {
    /// That element of the key.
    Key(usize),
    /// Every text of a field of the pattern's last signal.
    Last { pattern: String, field: String },
}

/// Spans in seconds.
#[derive(Debug, Clone)]
pub enum Window {
    Alone,
    Within(i64),
    Every(i64),
    Session { gap: i64, max: Option<i64> },
    Silent(i64),
    FirstSeen { fields: Vec<String>, over: i64, learn: Option<i64> },
    Baseline(Baseline),
}

#[derive(Debug, Clone)]
pub struct Baseline {
    pub value: Aggregate,
    pub every: i64,
    pub over: i64,
    /// Deviations above the mean.
    pub above: f64,
    /// Whether each hour of the week has a history of its own.
    pub by_week: bool,
}

#[derive(Debug, Clone)]
pub enum Condition {
    /// Nothing written: each pattern has to occur, unless there is a `when`.
    Unwritten,
    AllOf(Vec<Times>),
    AnyOf(Vec<Times>),
    Sequence(Vec<Step>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Times(pub u32, pub String);

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    Times(Times),
    Any(Vec<String>),
    None(String),
}

/// A comparison of an aggregate.
#[derive(Debug, Clone)]
pub struct Test {
    pub aggregate: Aggregate,
    /// Otherwise less.
    pub at_least: bool,
    pub than: i64,
}

#[derive(Debug, Clone, Copy)]
pub struct Suppress {
    pub span: i64,
    pub max: Option<i64>,
}

impl Suppress {
    /// How long an alert stays open at most.
    pub fn longest(self) -> i64 {
        self.max.unwrap_or(24 * 3600)
    }
}

impl Rule {
    /// Whether it waits for the total order: a rule with a window, `suppress` or a timer, and one that asks what other
    /// rules wrote.
    pub fn is_ordered(&self) -> bool {
        !matches!(self.window, Window::Alone) || self.suppress.is_some() || self.asks_lists()
    }

    fn asks_lists(&self) -> bool {
        let asks = |pattern: &Pattern| pattern.asks.iter().any(|ask| matches!(ask, Ask::Listed { .. }));
        self.patterns.iter().any(asks)
    }

    /// Whether it follows what other rules do: it reads their alerts, or the lists that they write.
    pub fn follows(&self) -> bool {
        self.reads(ALERTS) || self.asks_lists()
    }

    pub fn reads(&self, input: &str) -> bool {
        match &self.inputs {
            None => input != ALERTS,
            Some(inputs) => inputs.contains(&input),
        }
    }

    /// Patterns that are absent after the last step.
    pub fn ends_in_none(&self) -> bool {
        matches!(&self.condition, Condition::Sequence(steps) if matches!(steps.last(), Some(Step::None(_))))
    }

    /// As a `rule(#{…})`.
    pub fn to_rhai(&self) -> String {
        let mut text = format!("rule(#{{ id: {:?}, title: \"generated\", severity: \"low\",\n", self.id);
        if let Some(inputs) = &self.inputs {
            writeln!(text, "    input: {inputs:?},").expect("a text takes it");
        }
        let entries = [
            self.patterns_text(),
            self.by_text(),
            self.window.to_rhai(),
            self.condition.to_rhai(),
            self.when_text(),
            self.alert_text(),
            self.suppress_text(),
            self.risk_text(),
            self.then_text(),
        ];
        entries.iter().filter(|entry| !entry.is_empty()).for_each(|entry| text += &format!("    {entry},\n"));
        text + "});\n"
    }

    fn patterns_text(&self) -> String {
        let of = |pattern: &Pattern| {
            let asks: Vec<String> = pattern.asks.iter().map(Ask::to_rhai).collect();
            format!("{}: |e| {}", pattern.name, asks.join(" && "))
        };
        match &self.patterns[..] {
            [only] if only.name == "event" => of(only),
            patterns => format!("events: #{{ {} }}", patterns.iter().map(of).collect::<Vec<_>>().join(", ")),
        }
    }

    fn by_text(&self) -> String {
        let first = &self.patterns[0].by;
        if self.patterns.iter().all(|pattern| pattern.by == *first) {
            return if first.is_empty() { String::new() } else { format!("by: {first:?}") };
        }
        let of = |pattern: &Pattern| format!("{}: {:?}", pattern.name, pattern.by);
        format!("by: #{{ {} }}", self.patterns.iter().map(of).collect::<Vec<_>>().join(", "))
    }

    fn when_text(&self) -> String {
        let tests: Vec<String> = self.when.iter().map(Test::to_rhai).collect();
        if tests.is_empty() { String::new() } else { format!("when: |w| {}", tests.join(" && ")) }
    }

    fn alert_text(&self) -> String {
        let shown: Vec<String> =
            (0..).zip(&self.shows).map(|(at, shown): (i32, _)| format!("f{at}: {}", shown.to_rhai())).collect();
        if shown.is_empty() { String::new() } else { format!("alert: |w| #{{ {} }}", shown.join(", ")) }
    }

    fn suppress_text(&self) -> String {
        let Some(Suppress { span, max }) = self.suppress else { return String::new() };
        let max = max.map(|max| format!(", suppress_max: \"{max}s\"")).unwrap_or_default();
        format!("suppress: \"{span}s\"{max}")
    }

    fn risk_text(&self) -> String {
        let Some(Risk { score, entities }) = &self.risk else { return String::new() };
        format!("risk: #{{ score: {score}, entities: {entities:?} }}")
    }

    fn then_text(&self) -> String {
        let Some(Adding { list, text, span }) = &self.then else { return String::new() };
        let text = match text {
            Written::Key(at) => format!("w.key[{at}]"),
            Written::Last { pattern, field } => format!("w.{pattern}.last.{field}"),
        };
        format!("then: |w| list_add({list:?}, {text}, \"{span}s\")")
    }
}

impl Pattern {
    /// The closing of an alert is shown to those only that ask for the state.
    pub fn sees_closed(&self) -> bool {
        self.asks.iter().any(|ask| matches!(ask, Ask::Is { field, .. } if field == "state"))
    }
}

impl Ask {
    fn to_rhai(&self) -> String {
        match self {
            Ask::Is { field, text } => format!("e.{field} == {text:?}"),
            Ask::Listed { field, list, is_in: true } => format!("in_list(e.{field}, {list:?})"),
            Ask::Listed { field, list, is_in: false } => format!("!in_list(e.{field}, {list:?})"),
        }
    }
}

/// A rule file.
pub fn file(rules: &[Rule]) -> String {
    rules.iter().map(Rule::to_rhai).collect()
}

impl Window {
    /// A signal that lacks one of the fields that `first_seen` names is ignored.
    pub fn takes(&self, event: &Event) -> bool {
        match self {
            Window::FirstSeen { fields, .. } => {
                fields.iter().all(|field| !super::signal::values(event, field).is_empty())
            }
            _ => true,
        }
    }

    fn to_rhai(&self) -> String {
        let maybe =
            |name: &str, span: &Option<i64>| span.map(|span| format!(", {name}: \"{span}s\"")).unwrap_or_default();
        match self {
            Window::Alone => String::new(),
            Window::Within(span) => format!("within: \"{span}s\""),
            Window::Every(span) => format!("every: \"{span}s\""),
            Window::Session { gap, max } => format!("session: \"{gap}s\"{}", maybe("max", max)),
            Window::Silent(span) => format!("silent: \"{span}s\""),
            Window::FirstSeen { fields, over, learn } => {
                format!("first_seen: #{{ fields: {fields:?}, over: \"{over}s\" }}{}", maybe("learn", learn))
            }
            Window::Baseline(Baseline { value, every, over, above, by_week }) => format!(
                "baseline: #{{ value: |w| {}, every: \"{every}s\", over: \"{over}s\", above: {above}{} }}",
                value.to_rhai(),
                if *by_week { ", season: \"week\"" } else { "" }
            ),
        }
    }
}

impl Condition {
    fn to_rhai(&self) -> String {
        let (name, steps) = match self {
            Condition::Unwritten => return String::new(),
            Condition::AllOf(times) => ("all_of", times.iter().map(Times::to_rhai).collect::<Vec<_>>()),
            Condition::AnyOf(times) => ("any_of", times.iter().map(Times::to_rhai).collect()),
            Condition::Sequence(steps) => ("sequence", steps.iter().map(Step::to_rhai).collect()),
        };
        format!("{name}: [{}]", steps.join(", "))
    }
}

impl Times {
    fn to_rhai(&self) -> String {
        let Times(n, pattern) = self;
        if *n == 1 { format!("{pattern:?}") } else { format!("times({n}, {pattern:?})") }
    }
}

impl Step {
    fn to_rhai(&self) -> String {
        match self {
            Step::Times(times) => times.to_rhai(),
            Step::Any(patterns) => {
                let names: Vec<String> = patterns.iter().map(|name| format!("{name:?}")).collect();
                format!("any({})", names.join(", "))
            }
            Step::None(pattern) => format!("none({pattern:?})"),
        }
    }
}

impl Test {
    fn to_rhai(&self) -> String {
        let sign = if self.at_least { ">=" } else { "<" };
        format!("{} {sign} {}", self.aggregate.to_rhai(), self.than)
    }
}

impl Aggregate {
    fn to_rhai(&self) -> String {
        let pattern = &self.pattern;
        match &self.what {
            What::Count => format!("w.{pattern}.count"),
            What::First(field) => format!("w.{pattern}.first.{field}"),
            What::Last(field) => format!("w.{pattern}.last.{field}"),
            What::Distinct(field) => format!("w.{pattern}.distinct({field:?})"),
            What::Values(field) => format!("w.{pattern}.values({field:?})"),
            What::Top(field) => format!("w.{pattern}.top({field:?})"),
            What::Sum(field) => format!("w.{pattern}.sum({field:?})"),
            What::Average(field) => format!("w.{pattern}.avg({field:?})"),
            What::Least(field) => format!("w.{pattern}.min({field:?})"),
            What::Greatest(field) => format!("w.{pattern}.max({field:?})"),
            What::Deviation(field) => format!("w.{pattern}.stddev({field:?})"),
            What::Percentile(field, percent) => format!("w.{pattern}.percentile({field:?}, {percent})"),
            What::Rate(span) => format!("w.{pattern}.rate(\"{span}s\")"),
        }
    }
}
