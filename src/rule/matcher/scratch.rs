//! What one matcher of events keeps between them: the answers for the current event, and its buckets.

use std::collections::HashSet;

use super::{Matcher, buckets::Buckets, folds::Folds, looked_up::LookedUp, values::Values};
use crate::rule::ScriptError;

/// The answers of atoms for one event, known by its number.
#[derive(Debug)]
pub(super) struct Memo {
    /// The event's number, from 1.
    pub(super) event: u32,
    answers: Vec<u32>,
    pub(super) looked_up: LookedUp,
}

impl Memo {
    pub(super) fn new(atoms: usize) -> Self {
        Memo { event: 0, answers: vec![0; atoms], looked_up: LookedUp::default() }
    }

    #[inline]
    pub(super) fn get(&self, atom: u32) -> Option<bool> {
        let answer = self.answers[atom as usize];
        (answer >> 1 == self.event).then_some(answer & 1 == 1)
    }

    #[inline]
    pub(super) fn set(&mut self, atom: u32, answer: bool) {
        self.answers[atom as usize] = self.event << 1 | u32::from(answer);
    }
}

/// How much work matching was since the last [`Scratch::take_counts`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MatchCounts {
    pub events: u64,
    /// Patterns that were asked.
    pub asked: u64,
    /// Patterns that matched.
    pub matched: u64,
    /// Buckets that were built, or built again with other gates.
    pub built: u64,
}

/// Room to match one event at a time, with what was learnt of the events before. It belongs to one [`Matcher`].
#[derive(Debug)]
pub struct Scratch {
    pub(super) memo: Memo,
    /// By a pattern's place in its bucket: `4 * event`, and which of its gates were seen in that event.
    pub(super) seen_of: Vec<u64>,
    pub(super) folds: Folds,
    pub(super) values: Values,
    /// Storage to fold one text.
    pub(super) folded: Vec<u8>,
    pub(super) buckets: Buckets,
    /// Patterns to ask, by their places in the event's bucket.
    pub(super) due: Vec<u32>,
    /// Gates that something speaks for.
    pub(super) doubtful: Vec<u32>,
    pub(super) outcomes: Vec<(u32, Result<bool, ScriptError>)>,
    /// Rules.
    pub(super) left_out: HashSet<u32>,
    pub(super) counts: MatchCounts,
}

impl Scratch {
    pub(super) fn new(matcher: &Matcher) -> Self {
        Scratch {
            memo: Memo::new(matcher.atoms.len()),
            seen_of: vec![0; matcher.patterns.len()],
            folds: Folds::new(matcher.slots),
            values: Values::default(),
            folded: Vec::new(),
            buckets: Buckets::default(),
            due: Vec::new(),
            doubtful: Vec::new(),
            outcomes: Vec::new(),
            left_out: HashSet::new(),
            counts: MatchCounts::default(),
        }
    }

    /// Leaves a rule out from now on.
    pub fn leave_out(&mut self, rule: usize) {
        self.left_out.insert(rule as u32);
    }

    pub fn take_counts(&mut self) -> MatchCounts {
        self.counts.built = std::mem::take(&mut self.buckets.built);
        std::mem::take(&mut self.counts)
    }

    /// Forgets the event before.
    pub(super) fn begin(&mut self) {
        self.memo.event += 1;
        self.memo.looked_up.forget();
        if self.memo.event > u32::MAX / 2 {
            self.memo.event = 1;
            self.memo.answers.fill(0);
            self.seen_of.fill(0);
            self.folds = Folds::new(self.folds.slots());
        }
        self.folds.begin();
        self.due.clear();
        self.doubtful.clear();
        self.outcomes.clear();
        self.counts.events += 1;
    }
}
