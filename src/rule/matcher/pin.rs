//! Partial evaluation: most rules pin a few fields (a channel, an event id) to literals, so what an event has there
//! decides most rules before anything else is looked at. The fields are found from the rules.
//!
//! What an event has in a pinned field is its *class*: one of the literals that rules name, another text, nothing, or
//! something that the classes can't tell (an array, a number written in an unusual way), of which nothing is known.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    super::{
        compare::Comparison,
        field_test::{Asks, Literal},
        number::Num,
        text::{TextTest, fold_into},
    },
    atom::{Atom, FieldAtom},
    edges::Wholes,
    numbers::Numbers,
    program::Node,
};
use crate::event::{Slot, View};

/// Fields by which events are told apart.
pub(super) const PINS_MAX: usize = 3;

/// A field is worth it when this share of the predicates pins it.
const SHARE_MIN: f64 = 0.1;

/// Literals of one field that are told apart.
const LITERALS_MAX: usize = 4_096;

/// What an event has in each pinned field.
pub(super) type Classes = [u16; PINS_MAX];

/// There is no scalar.
const MISSING: u16 = 0;
/// A text that no rule names.
const OTHER: u16 = 1;
/// Nothing is known.
pub(super) const UNKNOWN: u16 = 2;
/// The first of the texts that rules name.
const FIRST: u16 = 3;

/// A field with the literals that rules name.
#[derive(Debug)]
pub(super) struct Pin {
    slot: Slot,
    /// As they are written, then those that ignore case, folded.
    texts: Vec<Box<str>>,
    /// How many of the texts are as written.
    as_written: usize,
    exact: Option<Wholes>,
    folded: Option<Wholes>,
    numbers: Numbers,
    /// The atoms of the field.
    atoms: Vec<u32>,
}

/// The fields that most predicates pin, at most [`PINS_MAX`].
pub(super) fn pins(atoms: &[Atom], nodes: &[Node]) -> Vec<Pin> {
    let mut counts: BTreeMap<Slot, usize> = BTreeMap::new();
    for node in nodes {
        for slot in pinned(atoms, node) {
            *counts.entry(slot).or_default() += 1;
        }
    }
    let mut by_count: Vec<(Slot, usize)> = counts.into_iter().collect();
    by_count.sort_by_key(|(slot, count)| (std::cmp::Reverse(*count), *slot));
    let enough = |count: &usize| *count as f64 >= nodes.len() as f64 * SHARE_MIN;
    let chosen = by_count.iter().take_while(|(_, count)| enough(count)).map(|(slot, _)| Pin::new(*slot, atoms));
    chosen.take(PINS_MAX).collect()
}

/// The fields without whose literals the predicate can't be true.
fn pinned(atoms: &[Atom], node: &Node) -> BTreeSet<Slot> {
    match node {
        Node::Test(test) => match &atoms[*test as usize] {
            Atom::Field(atom) if atom.is_of_a_field() && !equals(&atom.asks).is_empty() => BTreeSet::from([atom.slot]),
            _ => BTreeSet::new(),
        },
        Node::All(parts) => parts.iter().flat_map(|part| pinned(atoms, part)).collect(),
        Node::Any(parts) => {
            let each = parts.iter().map(|part| pinned(atoms, part));
            each.reduce(|a, b| a.intersection(&b).copied().collect()).unwrap_or_default()
        }
        Node::Not(_) | Node::Constant(_) => BTreeSet::new(),
    }
}

/// A literal that a field has to equal.
enum Equal<'a> {
    Text(&'a str),
    Folded(&'a str),
    Number(Num),
}

/// The literals one of which the field equals where the test is true; none where that is not what it asks.
fn equals(asks: &Asks) -> Vec<Equal<'_>> {
    let equal = |literal| match literal {
        &Literal::Number(number) => Equal::Number(number),
        Literal::Text(text) => Equal::Text(text),
        Literal::Bool(true) => Equal::Text("true"),
        Literal::Bool(false) => Equal::Text("false"),
    };
    match asks {
        Asks::Compare(Comparison::Equal, literal) => vec![equal(literal)],
        Asks::In(list) if list.len() <= super::atom::LIST_CUES_MAX => {
            list.texts.iter().map(|text| Equal::Text(text)).chain(list.others.iter().map(equal)).collect()
        }
        Asks::Text { test: TextTest::Equals, ignore_case: true, wanted } => vec![Equal::Folded(wanted)],
        Asks::Text { test: TextTest::Equals, ignore_case: false, wanted } => vec![Equal::Text(wanted)],
        _ => Vec::new(),
    }
}

impl Pin {
    fn new(slot: Slot, atoms: &[Atom]) -> Self {
        let (mut exact, mut folded, mut numbers) = (BTreeSet::new(), BTreeSet::new(), Numbers::default());
        let mut own = Vec::new();
        for (number, atom) in (0..).zip(atoms) {
            let Atom::Field(atom) = atom else { continue };
            if atom.slot != slot {
                continue;
            }
            own.push(number);
            for literal in equals(&atom.asks) {
                match literal {
                    Equal::Text(text) => {
                        exact.insert(text.to_owned());
                    }
                    Equal::Folded(text) => {
                        folded.insert(text.to_owned());
                    }
                    Equal::Number(number) => {
                        exact.insert(number.to_value().to_string());
                        numbers.enter(Comparison::Equal, number, 0);
                    }
                }
            }
        }
        numbers.sort();
        let as_written = exact.len().min(LITERALS_MAX);
        let texts: Vec<Box<str>> = exact
            .iter()
            .take(LITERALS_MAX)
            .chain(folded.iter().take(LITERALS_MAX))
            .map(|text| text.as_str().into())
            .collect();
        let entered = |from: usize, texts: &[Box<str>]| {
            Wholes::new(texts.iter().zip(from as u32..).map(|(text, at)| (text.as_bytes().into(), at)).collect())
        };
        Pin {
            slot,
            exact: entered(0, &texts[..as_written]),
            folded: entered(as_written, &texts[as_written..]),
            texts,
            as_written,
            numbers,
            atoms: own,
        }
    }

    /// The class of an event; `folded` is storage.
    pub(super) fn class(&self, view: View<'_>, folded: &mut Vec<u8>) -> u16 {
        let mut scalars = view.scalars(self.slot);
        let Some(text) = scalars.next().map(|scalar| scalar.as_text()) else { return MISSING };
        if scalars.next().is_some() {
            return UNKNOWN;
        }
        if let Some(at) = self.exact.as_ref().and_then(|exact| exact.get(text.as_bytes()).next()) {
            return FIRST + at as u16;
        }
        if let Some(number) = Num::parse(text) {
            let mut named = false;
            self.numbers.scan(number, &mut |_| named = true);
            if named {
                return UNKNOWN;
            }
        }
        let Some(wholes) = &self.folded else { return OTHER };
        folded.clear();
        fold_into(text, folded);
        wholes.get(folded).next().map_or(OTHER, |at| FIRST + at as u16)
    }

    /// What a class says of the field's atoms: calls `known` for each that is decided.
    pub(super) fn decide(&self, class: u16, atoms: &[Atom], mut known: impl FnMut(u32, bool)) {
        for number in &self.atoms {
            if let Atom::Field(atom) = &atoms[*number as usize]
                && let Some(answer) = self.answer(class, atom)
            {
                known(*number, answer);
            }
        }
    }

    fn answer(&self, class: u16, atom: &FieldAtom) -> Option<bool> {
        match class {
            UNKNOWN => None,
            MISSING => (atom.asks != Asks::Exists).then_some(false),
            _ if atom.asks == Asks::Exists => Some(true),
            OTHER => self.none_of(atom, None),
            class => {
                let at = usize::from(class - FIRST);
                let text = &self.texts[at];
                if at < self.as_written { atom.holds_of(text) } else { self.none_of(atom, Some(text)) }
            }
        }
    }

    /// The answer where the text is none of those written, and folds to `folded` or to none that is named.
    fn none_of(&self, atom: &FieldAtom, folded: Option<&str>) -> Option<bool> {
        let equals = equals(&atom.asks);
        if equals.is_empty() {
            return None;
        }
        let mut answer = false;
        for literal in equals {
            match literal {
                Equal::Text(text) => {
                    self.exact.as_ref()?.get(text.as_bytes()).next()?;
                }
                Equal::Folded(text) => {
                    self.folded.as_ref()?.get(text.as_bytes()).next()?;
                    answer |= folded == Some(text);
                }
                Equal::Number(_) => {}
            }
        }
        Some(answer)
    }
}
