//! The hash of what shapes a rule's windows: with the same shape a changed rule keeps them.
//!
//! It covers inputs, patterns, key, window, condition, `suppress` and what signals carry; not title, severity, tests, nor the
//! file and place of the rule. Texts go in token by token, so layout and comments don't count.

use rhai::FnPtr;
use xxhash_rust::xxh64::Xxh64;

use super::{Condition, InputSet, Suppress, Window, analysis::Analysis, source::Source};

/// Version of what the hash covers: part of it, so that a change of rules makes new windows.
const VERSION: u8 = 1;

pub(super) struct Shape(Xxh64);

impl Shape {
    pub(super) fn new(inputs: &InputSet, window: Window, condition: &Condition, suppress: Option<Suppress>) -> Self {
        let mut shape = Shape(Xxh64::new(0));
        shape.0.update(&[VERSION]);
        // Their watermarks make the window's time.
        match inputs {
            InputSet::All => shape.part("inputs", ""),
            InputSet::Named(names) => names.iter().for_each(|name| shape.part("input", name)),
        }
        match window {
            Window::None => shape.part("window", ""),
            Window::Sliding(span) => shape.part("within", &span.as_nanos().to_string()),
        }
        match condition {
            Condition::AllOf(times) => {
                shape.part("all_of", "");
                times.iter().for_each(|times| shape.part(&times.n.to_string(), &times.pattern));
            }
            Condition::AnyOf(times) => {
                shape.part("any_of", "");
                times.iter().for_each(|times| shape.part(&times.n.to_string(), &times.pattern));
            }
            Condition::Sequence(steps) => {
                shape.part("sequence", "");
                for step in steps {
                    shape.part("step", &step.n.to_string());
                    step.patterns.iter().for_each(|pattern| shape.part("of", pattern));
                }
            }
        }
        if let Some(suppress) = suppress {
            shape.part("suppress", &suppress.span.as_nanos().to_string());
            shape.part("suppress_max", &suppress.max.as_nanos().to_string());
        }
        shape
    }

    pub(super) fn pattern<P: AsRef<str>>(&mut self, name: &str, predicate: &str, by: &[P], keep: &[P]) {
        self.part("pattern", name);
        self.part("predicate", predicate);
        by.iter().for_each(|path| self.part("by", path.as_ref()));
        keep.iter().for_each(|path| self.part("keep", path.as_ref()));
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
