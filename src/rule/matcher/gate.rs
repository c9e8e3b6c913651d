//! Gates: for a predicate, atoms one of which is true wherever the predicate is. An event in which none is seen needs
//! no look at the predicate.
//!
//! Of several gates the cheapest is taken: that whose atoms are true most rarely. Where that is not rare, a second one
//! has to be seen as well. Nothing below a `!` is ever a gate.

use super::{
    atom::{Atom, Cue},
    program::Node,
};

/// What is known of each atom before an event is looked at, and what it costs to gate by those of which nothing is.
pub(super) struct Known<'a> {
    pub(super) atoms: &'a [Atom],
    pub(super) answers: Vec<Option<bool>>,
    /// The share of events in which an atom is expected to be true; `None` for a guess.
    pub(super) learnt: &'a dyn Fn(u32) -> Option<f32>,
}

/// What has to be seen before a predicate is asked.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Gated {
    /// It can't be true.
    Never,
    /// One of these atoms.
    By(Vec<u32>),
    /// Nothing: it is asked of every event.
    Always,
}

/// The price of no gate.
const NONE: f32 = f32::INFINITY;

/// What an atom costs beside its share: of two gates equally rare the smaller one is taken.
const ENTRY: f32 = 0.0001;

/// Of an atom that stands in for tests without a sign of their own.
const EXISTS: f32 = 0.95;

/// A gate seen in a greater share of events is worth a second one.
const RARE: f32 = 0.005;

/// A second gate of a higher price tells little, or would have every event looked through as a whole.
const TELLING: f32 = 0.4;

impl Known<'_> {
    /// A second gate, of which an atom has to be seen besides one of [`Known::gate`]'s.
    pub(super) fn second(&self, node: &Node) -> Option<Vec<u32>> {
        let Node::All(parts) = node else { return None };
        let mut prices: Vec<(f32, &Node)> = parts.iter().map(|part| (self.price(part), part)).collect();
        prices.sort_by(|a, b| a.0.total_cmp(&b.0));
        match prices[..] {
            [(first, _), (second, part), ..] if first > RARE && second < TELLING => Some(self.atoms_of(part)),
            _ => None,
        }
    }

    pub(super) fn gate(&self, node: &Node) -> Gated {
        match self.price(node) {
            0.0 => Gated::Never,
            NONE => Gated::Always,
            _ => Gated::By(self.atoms_of(node)),
        }
    }

    /// Those of the cheapest gate, of a node that has one.
    fn atoms_of(&self, node: &Node) -> Vec<u32> {
        let mut atoms = Vec::new();
        self.collect(node, &mut atoms);
        atoms.sort_unstable();
        atoms.dedup();
        atoms
    }

    /// 0 where the node can't be true, [`NONE`] where it has no gate.
    fn price(&self, node: &Node) -> f32 {
        match node {
            Node::Constant(answer) => {
                if *answer {
                    NONE
                } else {
                    0.0
                }
            }
            Node::All(parts) => parts.iter().map(|part| self.price(part)).fold(NONE, f32::min),
            Node::Any(parts) => parts.iter().map(|part| self.price(part)).sum(),
            Node::Not(part) => {
                if self.truth(part) == Some(true) {
                    0.0
                } else {
                    NONE
                }
            }
            Node::Test(test) => match self.answers[*test as usize] {
                Some(false) => 0.0,
                Some(true) => NONE,
                None => self.price_of(*test),
            },
        }
    }

    fn price_of(&self, test: u32) -> f32 {
        let (guess, effort) = match self.atoms[test as usize].cue() {
            Cue::Signs(signs) => (signs.guess(), signs.effort()),
            Cue::Exists => (EXISTS, 0.0),
            Cue::Instead(other) => return self.price_of(*other),
            Cue::None => return NONE,
        };
        ENTRY + effort + (self.learnt)(test).unwrap_or(guess)
    }

    fn truth(&self, node: &Node) -> Option<bool> {
        match node {
            Node::Constant(answer) => Some(*answer),
            Node::Not(part) => self.truth(part).map(|answer| !answer),
            Node::Test(test) => self.answers[*test as usize],
            Node::All(parts) => self.joined(parts, false),
            Node::Any(parts) => self.joined(parts, true),
        }
    }

    /// `decisive` where some part is, its opposite where all parts are that, else unknown.
    fn joined(&self, parts: &[Node], decisive: bool) -> Option<bool> {
        let mut answer = Some(!decisive);
        for part in parts {
            match self.truth(part) {
                Some(truth) if truth == decisive => return Some(decisive),
                Some(_) => {}
                None => answer = None,
            }
        }
        answer
    }

    /// The atoms of the gate whose price [`Known::price`] gives.
    fn collect(&self, node: &Node, into: &mut Vec<u32>) {
        match node {
            Node::Test(test) if self.answers[*test as usize].is_none() => into.push(self.seen_by(*test)),
            Node::Any(parts) => parts.iter().for_each(|part| self.collect(part, into)),
            Node::All(parts) => {
                let prices = parts.iter().map(|part| (self.price(part), part));
                let cheapest = prices.reduce(|best, next| if next.0 < best.0 { next } else { best });
                cheapest.into_iter().for_each(|(_, part)| self.collect(part, into));
            }
            Node::Test(_) | Node::Not(_) | Node::Constant(_) => {}
        }
    }

    fn seen_by(&self, test: u32) -> u32 {
        match self.atoms[test as usize].cue() {
            Cue::Instead(other) => *other,
            Cue::Signs(_) | Cue::Exists | Cue::None => test,
        }
    }
}
