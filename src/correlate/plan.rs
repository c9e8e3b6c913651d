//! A rule as correlation runs it: what its lists say, with patterns by number.

use std::sync::Arc;

use super::{aggregate::Figures, key::StateKey, packed::unpack_key};
use crate::rule::{BundleMark, Condition, Rule, Step, Times, Window};

/// A rule and what is worked out of it once.
#[derive(Debug)]
pub(super) struct Plan {
    pub rule: Arc<Rule>,
    /// No other plan has it, but one that takes this one's place with the same shape.
    pub number: u32,
    /// The place of the group of the rule's inputs.
    pub group: usize,
    /// The bundle that the rule came in.
    pub bundle: Option<BundleMark>,
    pub sequence: Option<Sequence>,
    /// Without a sequence: the patterns that have to be in the window, by number.
    pub counted: Vec<Counted>,
    /// Whether windows keep more than counts.
    pub has_aggregates: bool,
}

/// `n` signals of a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Counted {
    pub n: u64,
    pub pattern: usize,
}

/// The steps of a sequence that ask for events, and between them what must not come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sequence {
    pub steps: Vec<Part>,
    /// Patterns absent from the last chosen event until the first one's time + d.
    pub absent_after: Vec<usize>,
}

/// `n` events, each of one of `patterns`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    pub n: usize,
    pub patterns: Vec<usize>,
    /// Patterns absent between the event chosen before and the first of this step; of the first step, from the start
    /// of the window.
    pub absent_before: Vec<usize>,
}

impl Plan {
    pub fn new(rule: &Arc<Rule>, bundle: Option<&BundleMark>, number: u32, group: usize) -> Self {
        let place = |name: &str| place_of(rule, name);
        let (sequence, counted) = match &rule.condition {
            Condition::Sequence(steps) => (Some(Sequence::new(steps, &place)), Vec::new()),
            Condition::AllOf(times) | Condition::AnyOf(times) => {
                let counted = |of: &Times| Some(Counted { n: of.n.into(), pattern: place(&of.pattern)? });
                (None, times.iter().filter_map(counted).collect())
            }
        };
        let has_aggregates = !rule.aggregates.is_empty();
        let bundle = bundle.cloned();
        Plan { rule: rule.clone(), number, group, bundle, sequence, counted, has_aggregates }
    }

    /// The aggregates of an empty window: of some signals leave one by one, others are emptied as a whole.
    pub fn figures(&self) -> Figures {
        match self.leaves() {
            true => Figures::sliding(&self.rule.aggregates),
            false => Figures::total(&self.rule.aggregates),
        }
    }

    /// Whether signals leave its windows one by one.
    pub fn leaves(&self) -> bool {
        matches!(self.rule.window, Window::Sliding(_) | Window::Silent { .. })
    }

    /// The state of a key, which is packed.
    pub fn state_key(&self, key: &[u8]) -> StateKey {
        StateKey { rule: self.rule.id().clone(), shape: self.rule.shape, key: unpack_key(key) }
    }

    /// The number of a pattern: its place in byte order of the names.
    pub fn pattern(&self, pattern: &str) -> Option<usize> {
        place_of(&self.rule, pattern)
    }

    /// Whether the sequence's last step is an absence: then the rule fires by timer.
    pub fn waits_for_absence(&self) -> bool {
        self.sequence.as_ref().is_some_and(|sequence| !sequence.absent_after.is_empty())
    }
}

impl Sequence {
    pub fn new(steps: &[Step], number: &dyn Fn(&str) -> Option<usize>) -> Self {
        let mut parts = Vec::new();
        let mut absent = Vec::new();
        for step in steps {
            match step {
                Step::None(pattern) => absent.extend(number(pattern)),
                Step::Some { n, patterns } => parts.push(Part {
                    n: *n as usize,
                    patterns: patterns.iter().filter_map(|pattern| number(pattern)).collect(),
                    absent_before: std::mem::take(&mut absent),
                }),
            }
        }
        Sequence { steps: parts, absent_after: absent }
    }

    /// Patterns absent from the start of the window to the first chosen event.
    pub fn absent_first(&self) -> &[usize] {
        self.steps.first().map_or(&[], |step| &step.absent_before)
    }

    /// Patterns that end a run: after them an earlier first event can't take the place of a later one, because they
    /// must not come between it and what follows. Empty where nobody asks which event was first.
    pub fn ends_run(&self) -> &[usize] {
        let is_asked = !(self.absent_first().is_empty() && self.absent_after.is_empty());
        match self.steps.as_slice() {
            [first] if first.n == 1 && is_asked => &self.absent_after,
            [first, second, ..] if first.n == 1 && is_asked => &second.absent_before,
            _ => &[],
        }
    }
}

fn place_of(rule: &Rule, pattern: &str) -> Option<usize> {
    rule.patterns.binary_search_by(|of| (*of.name).cmp(pattern)).ok()
}
