//! All predicates of all rules against one event, at the cost of a few.
//!
//! 1. Equal tests of all rules are one *atom*; an event asks each at most once.
//! 2. The fields that most rules pin (a channel, an event id) tell the event's *bucket*: the predicates that can still
//!    be true, and a *gate* for each of them, atoms one of which has to be true.
//! 3. The bucket's gates are looked for all at once, field by field: equal texts by hash, numbers among sorted bounds,
//!    substrings behind a bitmap of 4-grams (those of all values in the record as it stands), edges by their last
//!    bytes, networks in a trie, regexes by the literals that they need. What short values were found to have is kept:
//!    in most fields the same ones come again.
//! 4. A predicate whose gate was seen is asked, test by test; which pairs of bytes a field has tells of most tests that
//!    they are false. Which gate of several a predicate stands behind, and whether a second one has to be seen as well,
//!    is learnt from the events; it never changes an answer.
//!
//! It gives the answers of [`Predicate::test`], and never reads an event but through its slots:
//! scripts are the caller's to run.

mod atom;
mod bucket;
mod buckets;
mod edges;
mod folds;
mod frequency;
mod gate;
mod grams;
mod learn;
mod looked_up;
mod lookup;
mod marks;
mod needle;
mod networks;
mod numbers;
mod packed;
mod pin;
mod program;
mod run;
mod scratch;
mod shown;
#[cfg(test)]
mod tests;
mod texts;
mod unfolded;
mod values;

use std::sync::Arc;

use self::{
    atom::{Atom, Atoms},
    bucket::{Behind, Bucket, GateAtom},
    folds::Folds,
    gate::{Gated, Known},
    looked_up::Remembering,
    marks::Hint,
    packed::PackedTests,
    pin::{PINS_MAX, Pin, UNKNOWN},
    program::{Ask, Node},
    scratch::Memo,
};
pub use self::{
    scratch::{MatchCounts, Scratch},
    shown::Shown,
};
use super::{Predicate, Rule, ScriptError, field_test::FieldTest, predicate::ScriptTest};
use crate::event::Wanted;

/// Events whose texts are all looked at for what is common in them.
const OBSERVE_FIRST: u32 = 1_024;

/// Further events between two that are looked at.
const OBSERVE_EVERY: u32 = 64;

/// The patterns of a rule set, compiled together. It is shared by all who match; each has a [`Scratch`] of its own.
#[derive(Debug)]
pub struct Matcher {
    rules: Vec<Arc<Rule>>,
    /// Of each pattern: its rule, and which of that rule's patterns it is.
    patterns: Vec<(u32, u32)>,
    nodes: Vec<Node>,
    atoms: Vec<Atom>,
    /// By atom.
    hints: Vec<Option<Hint>>,
    packed: PackedTests,
    pins: Vec<Pin>,
    slots: usize,
}

/// What has to be seen in an event before a pattern is asked.
#[derive(Debug, Clone, PartialEq)]
pub enum Gate {
    /// The pattern is never true.
    Never,
    /// One of these tests is true.
    AnyOf(Vec<FieldTest>),
    /// Nothing: the pattern is asked of every event, or of every event that has a certain field.
    None,
}

/// The field paths that the patterns of rules test; scripts in them may read others.
pub fn tested_paths(rules: &[Arc<Rule>]) -> Vec<Arc<str>> {
    let mut paths = Vec::new();
    for pattern in rules.iter().flat_map(|rule| &rule.patterns) {
        let all = [Some(&pattern.predicate), pattern.asks_lists.as_ref()];
        all.into_iter().flatten().for_each(|asked| asked.each_path(&mut |path| paths.push(path.clone())));
    }
    paths.sort_unstable();
    paths.dedup();
    paths
}

impl Predicate {
    /// The gate before anything is learnt, whatever the event is in the fields that most rules pin.
    pub fn gate(&self) -> Gate {
        let mut paths = Vec::new();
        self.each_path(&mut |path| paths.push(path.clone()));
        let wanted = Wanted::new(paths);
        let mut atoms = Atoms::new(&wanted);
        let node = atoms.node(self);
        let atoms = atoms.list;
        // `None` for a sign that says little: that a field exists.
        let test_of = |atom: &u32| match &atoms[*atom as usize] {
            Atom::Field(atom) => atom.to_test(),
            Atom::Term(..) | Atom::Script(_) => None,
        };
        match (Known { atoms: &atoms, answers: vec![None; atoms.len()], learnt: &|_| None }).gate(&node) {
            Gated::Never => Gate::Never,
            Gated::Always => Gate::None,
            Gated::By(signs) => signs.iter().map(test_of).collect::<Option<_>>().map_or(Gate::None, Gate::AnyOf),
        }
    }
}

impl Matcher {
    /// # Panics
    /// When `wanted` lacks one of the [`tested_paths`].
    pub fn new(rules: &[Arc<Rule>], wanted: &Wanted) -> Self {
        let mut atoms = Atoms::new(wanted);
        let (mut patterns, mut nodes) = (Vec::new(), Vec::new());
        for (at, rule) in (0..).zip(rules) {
            for (own, pattern) in (0..).zip(&rule.patterns) {
                patterns.push((at, own));
                nodes.push(atoms.node(&pattern.predicate));
            }
        }
        let atoms = atoms.list;
        let (pins, hints) = (pin::pins(&atoms, &nodes), atoms.iter().map(Hint::of).collect());
        let packed = PackedTests::new(&atoms);
        Matcher { rules: rules.to_vec(), patterns, nodes, atoms, hints, packed, pins, slots: wanted.len() }
    }

    /// Room to match one event at a time.
    pub fn scratch(&self) -> Scratch {
        Scratch::new(self)
    }

    /// Finds the patterns that match an event of an input, and calls `visit` with (rule, pattern, answer) in that
    /// order: for each that matches, and for each with a script that was asked, `false` and failures included.
    ///
    /// `scripts` runs a script on the event; it is called only where nothing before it has decided the pattern.
    pub fn matches(
        &self,
        seen: Shown<'_>,
        input: &str,
        scratch: &mut Scratch,
        scripts: &mut dyn FnMut(&ScriptTest) -> Result<bool, ScriptError>,
        visit: &mut dyn FnMut(usize, usize, Result<bool, ScriptError>),
    ) {
        let bucket = self.look(seen, input, scratch);
        self.ask(seen, bucket, scratch, scripts);
        self.learn(seen, bucket, scratch);
        for (pattern, answer) in scratch.outcomes.drain(..) {
            let (rule, own) = self.patterns[pattern as usize];
            visit(rule as usize, own as usize, answer);
        }
    }

    /// How many patterns an event has to be held against: the first half of [`Matcher::matches`] alone, for those who
    /// measure it.
    pub fn candidates(&self, seen: Shown<'_>, input: &str, scratch: &mut Scratch) -> usize {
        let bucket = self.look(seen, input, scratch);
        self.learn(seen, bucket, scratch);
        scratch.due.len()
    }

    /// Finds the event's bucket and the patterns in it whose gates are seen.
    fn look(&self, seen: Shown<'_>, input: &str, scratch: &mut Scratch) -> usize {
        scratch.begin();
        let mut classes = [UNKNOWN; PINS_MAX];
        for (class, pin) in classes.iter_mut().zip(&self.pins) {
            *class = pin.class(seen.view, &mut scratch.folded);
        }
        let number = scratch.buckets.of(self, input, classes);
        let Scratch { memo, seen_of, folds, values, buckets, due, doubtful, .. } = scratch;
        let Bucket { always, gates, behind, fields, .. } = &mut buckets.get(number).bucket;
        due.extend(always.iter());
        let mut open = |gate: &mut GateAtom, memo: &mut Memo| {
            memo.set(gate.atom, true);
            gate.seen += 1;
            for behind in gate.behind(behind) {
                let seen = &mut seen_of[behind.place() as usize];
                let before = if *seen >> 2 == u64::from(memo.event) { *seen & Behind::ALL } else { 0 };
                let now = before | behind.part();
                *seen = u64::from(memo.event) << 2 | now;
                if now == Behind::ALL && before != now {
                    due.push(behind.place());
                }
            }
        };
        fields.scan(seen, memo.event, (folds, values), &mut |gate, proves| {
            let gate_of = &mut gates[gate as usize];
            match memo.get(gate_of.atom) {
                Some(_) => {}
                None if proves => open(gate_of, memo),
                None => doubtful.push(gate),
            }
        });
        for gate in doubtful.drain(..) {
            let gate = &mut gates[gate as usize];
            if memo.get(gate.atom).is_some() {
                continue;
            }
            if self.holds(gate.atom, seen, memo, folds) {
                open(gate, memo);
            } else {
                memo.set(gate.atom, false);
            }
        }
        number
    }

    /// Asks the patterns of the bucket that are due.
    fn ask(
        &self,
        seen: Shown<'_>,
        number: usize,
        scratch: &mut Scratch,
        scripts: &mut dyn FnMut(&ScriptTest) -> Result<bool, ScriptError>,
    ) {
        let Scratch { memo, folds, due, outcomes, left_out, counts, buckets, .. } = scratch;
        let Bucket { possible, programs, .. } = &buckets.get(number).bucket;
        for place in due.iter() {
            let pattern = possible[*place as usize];
            if !left_out.is_empty() && left_out.contains(&self.patterns[pattern as usize].0) {
                continue;
            }
            let mut ran_script = false;
            let answer = programs.run(*place, |test, how| {
                // which is nearer than what is known of the test
                if let Ask::Where(hint) = how
                    && !folds.marks(memo.event, seen, hint.slot).may_have(hint)
                {
                    return Ok(false);
                }
                if let Some(answer) = memo.get(test) {
                    return Ok(answer);
                }
                if let Ask::Sought = how {
                    return Ok(false);
                }
                if let Atom::Script(script) = &self.atoms[test as usize] {
                    ran_script = true;
                    return scripts(script);
                }
                let answer = self.answer(test, seen, memo, folds);
                memo.set(test, answer);
                Ok(answer)
            });
            counts.matched += u64::from(answer == Ok(true));
            if ran_script || answer == Ok(true) {
                outcomes.push((pattern, answer));
            }
        }
        counts.asked += due.len() as u64;
        outcomes.sort_unstable_by_key(|(pattern, _)| *pattern);
    }

    /// Lets the bucket learn from the event.
    fn learn(&self, seen: Shown<'_>, number: usize, scratch: &mut Scratch) {
        let Scratch { memo, folds, buckets, due, .. } = scratch;
        if memo.event < OBSERVE_FIRST || memo.event % OBSERVE_EVERY == 0 {
            buckets.frequencies.observe(folds.texts());
        }
        let learner = &mut buckets.get(number).learner;
        for atom in learner.probes() {
            let answer = memo.get(atom).unwrap_or_else(|| self.holds(atom, seen, memo, folds));
            learner.probed(atom, answer);
        }
        if learner.count(due.len()) {
            buckets.review(self, number);
        }
    }

    /// The answer of an atom that is no script.
    fn holds(&self, atom: u32, seen: Shown<'_>, memo: &Memo, folds: &mut Folds) -> bool {
        if let Some(hint) = self.hints[atom as usize]
            && !folds.marks(memo.event, seen, hint.slot).may_have(hint)
        {
            return false;
        }
        self.answer(atom, seen, memo, folds)
    }

    /// The same of an atom whose hint says nothing against it.
    fn answer(&self, atom: u32, seen: Shown<'_>, memo: &Memo, folds: &mut Folds) -> bool {
        if let Some(packed) = self.packed.get(atom) {
            return folds.of(memo.event, seen, packed.slot).any(|text| self.packed.holds(packed, text));
        }
        match &self.atoms[atom as usize] {
            Atom::Field(atom) => atom.holds(seen, memo.event, folds),
            Atom::Term(test, _) => test.holds(&Remembering { seen, looked_up: &memo.looked_up }),
            Atom::Script(_) => false,
        }
    }
}
