//! The hash of what shapes a rule's windows: with the same shape a changed rule keeps them.
//!
//! It covers inputs, patterns, key, window, condition, `suppress`, aggregates and what signals carry; not title,
//! severity, the conditions of `when`, tests, nor the file and place of the rule. Texts go in token by token, so layout and comments don't count.

use std::time::Duration;

use rhai::FnPtr;
use xxhash_rust::xxh64::Xxh64;

use super::{Aggregates, Condition, InputSet, Step, Suppress, Together, Window, analysis::Analysis, source::Source};

/// Version of what the hash covers: part of it, so that a change of rules makes new windows.
const VERSION: u8 = 2;

pub(super) struct Shape(Xxh64);

impl Shape {
    pub(super) fn new(inputs: &InputSet, window: &Window, condition: &Condition, suppress: Option<Suppress>) -> Self {
        let mut shape = Shape(Xxh64::new(0));
        shape.0.update(&[VERSION]);
        // Their watermarks make the window's time.
        match inputs {
            InputSet::All => shape.part("inputs", ""),
            InputSet::AllAndAlerts => shape.part("inputs", "and alerts"),
            InputSet::Named(names) => names.iter().for_each(|name| shape.part("input", name)),
        }
        shape.window(window);
        shape.condition(condition);
        if let Some(suppress) = suppress {
            shape.span("suppress", suppress.span);
            shape.span("suppress_max", suppress.max);
        }
        shape
    }

    fn window(&mut self, window: &Window) {
        match window {
            Window::None => self.part("window", ""),
            Window::Sliding(span) => self.span("within", *span),
            Window::Tumbling(span) => self.span("every", *span),
            Window::FromFirst(span) => self.span("from first", *span),
            Window::Session { gap, max } => {
                self.span("session", *gap);
                max.iter().for_each(|max| self.span("max", *max));
            }
            Window::Silent { after, forget } => {
                self.span("silent", *after);
                self.span("forget", *forget);
            }
            Window::FirstSeen(first_seen) => {
                self.span("first_seen", first_seen.over);
                self.span("learn", first_seen.learn);
                first_seen.fields.iter().for_each(|field| self.part("field", field));
            }
            Window::Baseline(baseline) => {
                self.span("baseline", baseline.every);
                self.span("over", baseline.over);
                self.part("above", &baseline.above.to_string());
                self.part("season", if baseline.season.is_some() { "week" } else { "" });
            }
        }
    }

    fn condition(&mut self, condition: &Condition) {
        match condition {
            Condition::AllOf(times) => {
                self.part("all_of", "");
                times.iter().for_each(|times| self.part(&times.n.to_string(), &times.pattern));
            }
            Condition::AnyOf(times) => {
                self.part("any_of", "");
                times.iter().for_each(|times| self.part(&times.n.to_string(), &times.pattern));
            }
            Condition::Sequence(steps) => {
                self.part("sequence", "");
                for step in steps {
                    match step {
                        Step::Some { n, patterns } => {
                            self.part("step", &n.to_string());
                            patterns.iter().for_each(|pattern| self.part("of", pattern));
                        }
                        Step::None(pattern) => self.part("none", pattern),
                    }
                }
            }
        }
    }

    fn span(&mut self, name: &str, span: Duration) {
        self.part(name, &span.as_nanos().to_string());
    }

    pub(super) fn pattern<P: AsRef<str>>(&mut self, name: &str, predicate: &str, by: &[P], keep: &[P]) {
        self.part("pattern", name);
        self.part("predicate", predicate);
        by.iter().for_each(|path| self.part("by", path.as_ref()));
        keep.iter().for_each(|path| self.part("keep", path.as_ref()));
    }

    pub(super) fn aggregates(&mut self, aggregates: &Aggregates, together: Option<&Together>) {
        for pattern in &aggregates.0 {
            self.part("aggregates", "");
            for (name, paths) in [("first", &pattern.first), ("last", &pattern.last)] {
                paths.iter().for_each(|paths| self.part(name, &paths.join("\n")));
            }
            for column in &pattern.columns {
                let statistics = column.statistics.iter();
                statistics.for_each(|statistic| self.part("aggregate", &statistic.written(&column.field)));
            }
        }
        if let Some(together) = together {
            self.part("together", "");
            together.paths.iter().for_each(|paths| self.part("of", &paths.join("\n")));
            self.aggregates(&together.aggregates, None);
        }
    }

    /// Adds a named text; the lengths keep neighbours apart.
    pub(super) fn part(&mut self, name: &str, text: &str) {
        for text in [name, text] {
            self.0.update(&(text.len() as u64).to_be_bytes());
            self.0.update(text.as_bytes());
        }
    }

    pub(super) fn finish(self) -> u64 {
        self.0.digest()
    }
}

/// What a closure does, as text: its tokens, those of every function that it calls, and what it captured.
pub(super) fn text_of(closure: &FnPtr, analysis: &Analysis<'_>, source: &Source) -> String {
    let mut parts: Vec<String> = Vec::new();
    if closure.is_anonymous() {
        parts.extend(source.closure_tokens(closure.fn_name()).map(str::to_owned));
    } else {
        parts.push(closure.fn_name().to_owned());
    }
    parts.extend(closure.iter_curry().map(|value| format!("{value:?}")));
    for ((_, name, _), (file, function)) in &analysis.functions {
        parts.push(name.clone());
        parts.extend(function.parameters.iter().cloned());
        parts.extend(file.body_tokens(function).map(str::to_owned));
    }
    parts.join("\n")
}
