//! Why an event matches a pattern, or does not: the predicate as a tree, with the outcome of each test and what the
//! test saw.
//!
//! It asks the predicate itself, test by test, and never decides anything. Tests behind the one that decided are
//! asked too, for the reader's sake; scripts are not, for they may fail.

mod wording;

use std::fmt;

use serde_json::json;

use super::{
    Gate, Pattern, Predicate, ScriptError,
    field_test::{Asks, FieldTest},
    predicate::{Code, EVERYWHERE},
    term::Term,
};
use crate::event::{Event, Scalar, SharedEvent, Value};

/// Of a longer text the beginning is shown.
const TEXT_CHARS_MAX: usize = 160;

/// Tests longer than this do not push what they saw further to the right.
const TREE_CHARS_MAX: usize = 72;

/// A predicate, or a part of one, before an event. [`fmt::Display`] draws the tree, a line for each part.
#[derive(Debug, Clone, PartialEq)]
pub struct Explained {
    /// In the words of the rule language; `all of`, `any of` and `not` of what joins parts.
    pub asks: String,
    pub outcome: Outcome,
    /// It is the gate, or one of the tests that together are.
    pub is_gate: bool,
    /// What a test compared, that which it asks first.
    pub seen: Vec<Compared>,
    pub parts: Vec<Explained>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    True,
    False,
    /// The script failed: the event does not match.
    Failed(ScriptError),
    /// The script was not run: what stands before it had decided.
    Unasked,
    /// A list that rules write decides, whose members correlation knows.
    Open,
}

/// A field, or what is calculated from fields, as a test saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compared {
    /// In the words of the rule language.
    pub of: String,
    pub sight: Sight,
}

/// What stands where a test looks. [`fmt::Display`] writes a value as JSON, cut where it is long, with all that a
/// terminal would obey escaped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sight {
    Missing,
    /// No value, but fields below it.
    Object,
    Value(Value),
}

impl Sight {
    pub fn of_field(event: &Event, path: &str) -> Self {
        match event.fields.get(path) {
            Some(value) => Sight::Value(value.into_owned()),
            None if event.fields.exists(path) => Sight::Object,
            None => Sight::Missing,
        }
    }

    /// `null` where it is missing.
    pub fn to_json(&self) -> serde_json::Value {
        match self {
            Sight::Missing => serde_json::Value::Null,
            Sight::Object => json!({}),
            Sight::Value(value) => value.to_json(),
        }
    }
}

impl Outcome {
    pub fn as_str(&self) -> &'static str {
        match self {
            Outcome::True => "true",
            Outcome::False => "false",
            Outcome::Failed(_) => "failed",
            Outcome::Unasked => "unasked",
            Outcome::Open => "open",
        }
    }

    fn of(answer: bool) -> Self {
        if answer { Outcome::True } else { Outcome::False }
    }

    fn negated(&self) -> Self {
        match self {
            Outcome::True => Outcome::False,
            Outcome::False => Outcome::True,
            other => other.clone(),
        }
    }
}

impl Pattern {
    /// Asks every part of what its author wrote. `gate` is what [`Predicate::gate`] says of it.
    pub fn explain(&self, gate: &Gate, event: &SharedEvent) -> Explained {
        self.asks_lists.as_ref().unwrap_or(&self.predicate).explain(gate, event)
    }
}

impl Predicate {
    /// The outcome of the whole is what [`Predicate::test`] answers, or [`Outcome::Open`].
    pub(super) fn explain(&self, gate: &Gate, event: &SharedEvent) -> Explained {
        let gate = match gate {
            Gate::AnyOf(tests) => &tests[..],
            Gate::Never | Gate::None => &[],
        };
        Asking { event, gate }.part(self, true)
    }
}

/// Who asks: of which event, and which tests are the gate.
#[derive(Clone, Copy)]
struct Asking<'a> {
    event: &'a SharedEvent,
    gate: &'a [FieldTest],
}

impl Asking<'_> {
    /// `undecided`: nothing before it has decided the predicate.
    fn part(self, predicate: &Predicate, undecided: bool) -> Explained {
        match predicate {
            Predicate::Constant(answer) => Explained::new(answer.to_string(), Outcome::of(*answer)),
            Predicate::All(parts) => self.joined("all of", parts, Outcome::True, undecided),
            Predicate::Any(parts) => self.joined("any of", parts, Outcome::False, undecided),
            Predicate::Not(part) => {
                // Nothing below a `!` is ever a gate.
                let part = Asking { gate: &[], ..self }.part(part, undecided);
                Explained { parts: vec![part.clone()], ..Explained::new("not".to_owned(), part.outcome.negated()) }
            }
            Predicate::Field(test) => {
                let asked = self.test(&Term::Field(test.path.clone()), &test.asks, test.holds(&**self.event));
                Explained { is_gate: self.gate.contains(test), ..asked }
            }
            Predicate::Term(test) => self.test(&test.term, &test.asks, test.holds(&**self.event)),
            Predicate::Script(script) => {
                let outcome = match undecided.then(|| script.test(self.event)) {
                    None => Outcome::Unasked,
                    Some(Ok(answer)) => Outcome::of(answer),
                    Some(Err(error)) => Outcome::Failed(error),
                };
                let place = match &*script.0 {
                    Code::Closure(script) => script.place(),
                    Code::Fragment(fragment, _) => fragment.place(),
                };
                Explained::new(format!("script at {place}"), outcome)
            }
        }
    }

    /// `neutral` is the outcome where every part has it; the first other one decides, but for an open one, which its
    /// opposite overrules.
    fn joined(self, asks: &str, parts: &[Predicate], neutral: Outcome, undecided: bool) -> Explained {
        let mut whole = Explained::new(asks.to_owned(), neutral.clone());
        for part in parts {
            let part = self.part(part, undecided && whole.outcome == neutral);
            let overrules = whole.outcome == Outcome::Open && part.outcome == neutral.negated();
            if whole.outcome == neutral || overrules {
                whole.outcome = part.outcome.clone();
            }
            whole.parts.push(part);
        }
        whole
    }

    fn test(self, term: &Term, asks: &Asks, answer: bool) -> Explained {
        let mut seen = Vec::new();
        match term {
            Term::Field(path) if &**path == EVERYWHERE => seen.extend(self.found(asks)),
            term => self.look(term, &mut seen),
        }
        asks.other().into_iter().for_each(|other| self.look(other, &mut seen));
        let has_text = || term.any(&**self.event, &mut |_| true);
        let outcome = match asks {
            Asks::InWritten(_) if has_text() => Outcome::Open,
            _ => Outcome::of(answer),
        };
        Explained { seen, ..Explained::new(wording::question(&wording::term(term), asks), outcome) }
    }

    /// The first of all values of the event of which the test holds.
    fn found(self, asks: &Asks) -> Option<Compared> {
        let mut found = None;
        for (path, value) in self.event.fields.iter() {
            let holds = &mut |value: &Value| {
                let holds = Scalar::of(value).is_some_and(|scalar| asks.holds(scalar, &**self.event));
                if holds {
                    found = Some(Compared { of: wording::field(path), sight: Sight::Value(value.clone()) });
                }
                holds
            };
            if value.any_scalar_within(holds) {
                break;
            }
        }
        found
    }

    /// Adds what a term gives, and the fields that it is calculated from.
    fn look(self, term: &Term, seen: &mut Vec<Compared>) {
        let mut add = |of: String, sight: Sight| {
            let new = Compared { of, sight };
            if !seen.contains(&new) {
                seen.push(new);
            }
        };
        if !matches!(term, Term::Field(_) | Term::Number(_) | Term::Known(_)) {
            let value = term.value(&**self.event);
            add(wording::term(term), value.map_or(Sight::Missing, |value| Sight::Value(value.into_owned())));
        }
        term.each_path(&mut |path| add(wording::field(path), Sight::of_field(self.event, path)));
    }
}

/// A line of the drawing.
struct Line {
    outcome: &'static str,
    gate: &'static str,
    tree: String,
    seen: String,
}

impl Explained {
    fn new(asks: String, outcome: Outcome) -> Self {
        Explained { asks, outcome, is_gate: false, seen: Vec::new(), parts: Vec::new() }
    }

    pub fn to_json(&self) -> serde_json::Value {
        let seen = self.seen.iter().map(|seen| json!({"of": seen.of, "value": seen.sight.to_json()}));
        let error = match &self.outcome {
            Outcome::Failed(error) => Some(error.to_string()),
            _ => None,
        };
        json!({
            "asks": self.asks,
            "outcome": self.outcome.as_str(),
            "error": error,
            "gate": self.is_gate,
            "seen": seen.collect::<Vec<_>>(),
            "parts": self.parts.iter().map(Explained::to_json).collect::<Vec<_>>(),
        })
    }

    /// `first` stands before its own line, `rest` before those of its parts.
    fn draw(&self, first: &str, rest: &str, lines: &mut Vec<Line>) {
        lines.push(Line {
            outcome: self.outcome.as_str(),
            gate: if self.is_gate { "gate" } else { "" },
            tree: format!("{first}{}", self.asks),
            seen: self.told(),
        });
        for (at, part) in self.parts.iter().enumerate() {
            let (branch, below) = if at + 1 == self.parts.len() { ("└─ ", "   ") } else { ("├─ ", "│  ") };
            part.draw(&format!("{rest}{branch}"), &format!("{rest}{below}"), lines);
        }
    }

    /// What was seen, in a line: of one field without its name, which stands in the test.
    fn told(&self) -> String {
        match (&self.outcome, &self.seen[..]) {
            (Outcome::Failed(error), _) => error.to_string().replace('\n', " "),
            (_, [only]) => only.sight.to_string(),
            (_, several) => {
                let told: Vec<String> = several.iter().map(|seen| format!("{} is {}", seen.of, seen.sight)).collect();
                told.join(", ")
            }
        }
    }
}

/// Outcome, whether it is the gate, the test, what it saw: in columns.
impl fmt::Display for Explained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines = Vec::new();
        self.draw("", "", &mut lines);
        let width = |of: fn(&Line) -> &str| lines.iter().map(|line| of(line).chars().count()).max().unwrap_or(0);
        let (outcomes, gates) = (width(|line| line.outcome), width(|line| line.gate));
        let trees = width(|line| &line.tree).min(TREE_CHARS_MAX);
        for Line { outcome, gate, tree, seen } in &lines {
            let gate = if gates > 0 { format!("{gate:gates$}  ") } else { String::new() };
            let line = format!("{outcome:outcomes$}  {gate}{tree:trees$}  {seen}");
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

impl fmt::Display for Sight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Sight::Missing => f.write_str("missing"),
            Sight::Object => f.write_str("an object"),
            Sight::Value(value) => f.write_str(&cut(literal(value))),
        }
    }
}

/// A value as a rule would write it, on one line; numbers as they were written.
fn literal(value: &Value) -> String {
    match value {
        Value::Text(text) => format!("{text:?}"),
        Value::Array(items) => format!("[{}]", items.iter().map(literal).collect::<Vec<_>>().join(", ")),
        Value::Object(entries) => {
            let entries: Vec<String> =
                entries.iter().map(|(name, value)| format!("{name:?}: {}", literal(value))).collect();
            format!("#{{{}}}", entries.join(", "))
        }
        Value::Null => "()".to_owned(),
        scalar => scalar.to_string(),
    }
}

/// The beginning of a text that is too long, and how long it is.
fn cut(text: String) -> String {
    match text.char_indices().nth(TEXT_CHARS_MAX) {
        Some((end, _)) => format!("{}… ({} characters)", &text[..end], text.chars().count()),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        event::{Position, Timestamp},
        rule::{LoadOptions, Rule, RuleFiles, RuleSet, load},
    };

    fn set(predicate: &str) -> Arc<RuleSet> {
        let text = format!("rule(#{{ id: \"r\", title: \"R\", severity: \"low\", event: |e| {predicate} }})");
        let files = RuleFiles { files: [("a.rhai".into(), text)].into(), ..RuleFiles::default() };
        let loaded = load(&files, &LoadOptions::default(), None);
        assert!(!loaded.has_errors(), "{:?}", loaded.diagnostics);
        Arc::new(loaded.set)
    }

    fn event(json: serde_json::Value) -> SharedEvent {
        let Value::Object(entries) = Value::from_json(&json) else { panic!("an object") };
        let fields = entries.into_iter().map(|(name, value)| (name.to_string(), value)).collect();
        let position = Position { input: "i".into(), partition: 0, offset: 0 };
        Arc::new(Event { time: Timestamp(1_704_067_200_000_000_000), position, fields })
    }

    fn explained(predicate: &str, json: serde_json::Value) -> Explained {
        let set = set(predicate);
        let rule: &Rule = &set.rules[0];
        let (event, predicate) = (event(json), &rule.patterns[0].predicate);
        let explained = predicate.explain(&predicate.gate(), &event);
        assert_eq!(explained.outcome == Outcome::True, predicate.test(&event) == Ok(true));
        explained
    }

    #[test]
    fn every_test_shows_its_outcome_what_it_saw_and_whether_it_is_the_gate() {
        let tree = explained(
            r#"e.kind == "login" && (e.port in [22, "ssh"] || !e.user.starts_with("a")) && len(e.name) > 3"#,
            json!({"kind": "login", "port": 22, "user": {"name": "x"}, "name": ["abcd"]}),
        );
        assert_eq!(
            tree.to_string(),
            r#"false        all of
true   gate  ├─ e.kind == "login"              "login"
true         ├─ any of
true         │  ├─ e.port in ["ssh", 22]       22
true         │  └─ not
false        │     └─ e.user.starts_with("a")  an object
false        └─ len(e.name) > 3                len(e.name) is 1, e.name is ["abcd"]
"#
        );
    }

    #[test]
    fn a_script_behind_what_decided_is_not_run_and_one_that_fails_says_why() {
        let script =
            |before: &str| format!("{{ if {before} {{ let n = 0; while true {{ n += 1; }} true }} else {{ false }} }}");
        let unasked = explained(&script("e.a == 1"), json!({"a": 2}));
        assert_eq!(unasked.outcome, Outcome::False);
        assert!(unasked.to_string().contains("unasked"), "{unasked}");
        let failed = explained(&script("e.a == 1"), json!({"a": 1}));
        assert!(matches!(failed.outcome, Outcome::Failed(_)) && failed.to_string().contains("a.rhai:1:"), "{failed}");
    }

    #[test]
    fn what_an_event_says_reaches_no_terminal_as_it_is() {
        let drawn =
            explained("e.a == 1", json!({"a": format!("\u{1b}[2J\u{202e}\n{}", "x".repeat(1_000))})).to_string();
        assert_eq!(drawn.lines().count(), 1);
        assert!(!drawn.contains(['\u{1b}', '\u{202e}']) && drawn.len() < 400, "{drawn}");
    }

    #[test]
    fn tests_read_as_their_author_would_write_them() {
        for (written, reads) in [
            (r#"e["@x"].contains("y")"#, r#"e["@x"].contains("y")"#),
            (r#"ieq(e.a, "B")"#, r#"ieq(e.a, "b")"#),
            (r#"like(e.a, "*\\cmd.exe")"#, r#"like(e.a, "*\\cmd.exe")"#),
            (r#"matches(e.a, "x[0-9]+")"#, r#"matches(e.a, "x[0-9]+")"#),
            (r#"cidr(e.a, "10.1.0.0/16", "::1")"#, r#"cidr(e.a, "::1", "10.1.0.0/16")"#),
            ("e.a != e.b", "e.a != e.b"),
            ("e.a + 1 >= 2.5", "(e.a + 1) >= 2.5"),
            (r#"hour(e, "Asia/Seoul") < 6"#, r#"hour(e, "Asia/Seoul") < 6"#),
            ("exists(e.a)", "exists(e.a)"),
            ("e.a in [1, 2, 3, 4, 5, 6, 7, 8]", "e.a in [1, 2, 3, 4, 5, 6, … 2 more]"),
        ] {
            assert_eq!(explained(written, json!({})).asks, reads);
        }
    }
}
