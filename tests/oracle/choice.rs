//! Whether a condition holds in a window: counting, and for sequences a search over all choices.

use std::collections::HashSet;

use super::{
    rule::{Condition, Rule, Step, Times, Window},
    signal::Signal,
};

/// Whether what is in the window satisfies the rule, its `when` apart. `first` is the time that the first chosen event
/// of a sequence has to have, where that matters.
pub fn holds(rule: &Rule, window: &[&Signal], first: Option<i64>) -> bool {
    let enough = |Times(n, pattern): &Times| of(window, pattern) >= *n as usize;
    match &rule.condition {
        // it waits for nothing to come
        Condition::Unwritten if matches!(rule.window, Window::Silent(_)) => true,
        Condition::Unwritten if rule.when.is_empty() => {
            rule.patterns.iter().all(|pattern| of(window, &pattern.name) >= 1)
        }
        Condition::Unwritten => true,
        Condition::AllOf(times) => times.iter().all(enough),
        Condition::AnyOf(times) => times.iter().any(enough),
        Condition::Sequence(steps) => {
            Search { steps: &unrolled(steps), window, first, dead_ends: HashSet::new() }.from(0, None)
        }
    }
}

fn of(window: &[&Signal], pattern: &str) -> usize {
    window.iter().filter(|signal| signal.pattern == pattern).count()
}

/// A step that one event fills, or a pattern that may not occur.
enum Single {
    One(Vec<String>),
    None(String),
}

/// `times(3, "p")` is three steps.
fn unrolled(steps: &[Step]) -> Vec<Single> {
    let mut singles = Vec::new();
    for step in steps {
        match step {
            Step::Times(Times(n, pattern)) => singles.extend((0..*n).map(|_| Single::One(vec![pattern.clone()]))),
            Step::Any(patterns) => singles.push(Single::One(patterns.clone())),
            Step::None(pattern) => singles.push(Single::None(pattern.clone())),
        }
    }
    singles
}

struct Search<'a> {
    steps: &'a [Single],
    window: &'a [&'a Signal],
    first: Option<i64>,
    /// What was tried in vain: the step, and the event chosen for the one before it.
    dead_ends: HashSet<(usize, Option<usize>)>,
}

impl Search<'_> {
    /// Whether the steps from `step` on can be filled by events after the one that was chosen last.
    fn from(&mut self, step: usize, chosen: Option<usize>) -> bool {
        if self.dead_ends.contains(&(step, chosen)) {
            return false;
        }
        let nones = self.steps[step..].iter().map_while(|step| match step {
            Single::None(pattern) => Some(pattern),
            Single::One(_) => None,
        });
        let absent: Vec<&String> = nones.collect();
        let step_after = step + absent.len();
        let found = match self.steps.get(step_after) {
            None => self.is_free(&absent, chosen, self.window.len()),
            Some(_) => (chosen.map_or(0, |chosen| chosen + 1)..self.window.len()).any(|next| {
                self.fits(step_after, chosen, next)
                    && self.is_free(&absent, chosen, next)
                    && self.from(step_after + 1, Some(next))
            }),
        };
        if !found {
            self.dead_ends.insert((step, chosen));
        }
        found
    }

    fn fits(&self, step: usize, chosen: Option<usize>, next: usize) -> bool {
        let signal = self.window[next];
        let Single::One(patterns) = &self.steps[step] else { return false };
        patterns.contains(&signal.pattern)
            && match chosen {
                Some(chosen) => !self.window[chosen].is_same_event(signal),
                None => self.first.is_none_or(|first| signal.time() == first),
            }
    }

    /// Whether none of the patterns is between two neighbours; before the first is from the window's start.
    fn is_free(&self, absent: &[&String], chosen: Option<usize>, next: usize) -> bool {
        let between = &self.window[chosen.map_or(0, |chosen| chosen + 1)..next];
        between.iter().all(|signal| !absent.contains(&&signal.pattern))
    }
}
