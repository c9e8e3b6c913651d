//! The distinct tests of all rules. Tests that ask the same are one atom, whose answer is found at most once an event.

use std::{borrow::Cow, collections::HashMap, sync::Arc};

use memchr::memmem::Finder;

use super::{
    super::{
        compare::Comparison,
        field_test::{Asks, FieldTest, Literal, TermTest},
        glob::GlobPattern,
        number::Num,
        predicate::{EVERYWHERE, Predicate, Reads, ScriptTest},
        text::{Network, TextTest, fold},
    },
    folds::Folds,
    needle::{self, Needle, Place},
    program::Node,
    run::Run,
    shown::{ALL_VALUES, Shown},
};
use crate::event::{Scalar, Slot, Timestamp, Value, Wanted};

/// Lists with more texts are looked up as a whole instead of text by text.
pub(super) const LIST_CUES_MAX: usize = 256;

/// A test of an event.
#[derive(Debug)]
pub(super) enum Atom {
    Field(Box<FieldAtom>),
    Term(TermTest, Cue),
    Script(ScriptTest),
}

#[derive(Debug)]
pub(super) struct FieldAtom {
    path: Arc<str>,
    pub(super) slot: Slot,
    pub(super) asks: Asks,
    cue: Cue,
    /// Of a test of all values: what one of which stands in the text of the whole event.
    everywhere: Box<[Finder<'static>]>,
    ready: Ready,
}

/// By what it is noticed, before it is asked, that a test may be true of an event.
#[derive(Debug)]
pub(super) enum Cue {
    /// Something of these about a scalar of the field.
    Signs(Signs),
    /// There is something at the path or below it.
    Exists,
    /// Another atom, which is true wherever this one is.
    Instead(u32),
    /// Nothing: it may be true of any event.
    None,
}

#[derive(Debug, Default)]
pub(super) struct Signs {
    pub(super) needles: Vec<Needle>,
    pub(super) numbers: Vec<(Comparison, Num)>,
    /// The numbers prove the test.
    pub(super) numbers_prove: bool,
    pub(super) networks: Option<Arc<[Network]>>,
    /// The needles are looked for in the text of the whole event.
    pub(super) everywhere: bool,
}

/// What a test needs at hand to be quick.
#[derive(Debug)]
enum Ready {
    Plain,
    /// It is answered by [`super::packed`].
    Packed,
    /// A text test on all values, folded.
    Folded(TextTest, Finder<'static>),
    /// A text test on texts as they are.
    AsIs(TextTest, Finder<'static>),
    /// With the pattern's pieces, folded.
    Glob(GlobPattern, Box<[Finder<'static>]>),
    /// A regex that matches no text without such a run.
    Regex(Run),
}

/// Every distinct test of the rules.
#[derive(Debug)]
pub(super) struct Atoms<'a> {
    pub(super) list: Vec<Atom>,
    wanted: &'a Wanted,
    fields: HashMap<FieldTest, u32>,
    terms: HashMap<TermTest, u32>,
}

impl<'a> Atoms<'a> {
    pub(super) fn new(wanted: &'a Wanted) -> Self {
        Atoms { list: Vec::new(), wanted, fields: HashMap::new(), terms: HashMap::new() }
    }

    /// The predicate over numbered tests. What runs no script never fails, so its parts are put in the order of what
    /// they cost to ask.
    pub(super) fn node(&mut self, predicate: &Predicate) -> Node {
        let node = match predicate {
            Predicate::Constant(answer) => Node::Constant(*answer),
            Predicate::All(parts) => Node::All(parts.iter().map(|part| self.node(part)).collect()),
            Predicate::Any(parts) => Node::Any(parts.iter().map(|part| self.node(part)).collect()),
            Predicate::Not(part) => Node::Not(Box::new(self.node(part))),
            Predicate::Field(test) => Node::Test(self.field(test)),
            Predicate::Term(test) => Node::Test(self.term(test)),
            Predicate::Script(script) => Node::Test(self.push(Atom::Script(script.clone()))),
        };
        match node {
            Node::All(parts) if !predicate.runs_script() => Node::All(self.cheapest_first(parts)),
            Node::Any(parts) if !predicate.runs_script() => Node::Any(self.cheapest_first(parts)),
            node => node,
        }
    }

    fn cheapest_first(&self, mut parts: Vec<Node>) -> Vec<Node> {
        parts.sort_by_cached_key(|part| self.cost(part));
        parts
    }

    /// What a node costs to ask where every part of it has to be, in units of a comparison.
    fn cost(&self, node: &Node) -> u32 {
        match node {
            Node::Constant(_) => 0,
            Node::All(parts) | Node::Any(parts) => parts.iter().map(|part| self.cost(part)).sum(),
            Node::Not(part) => self.cost(part),
            Node::Test(test) => match &self.list[*test as usize] {
                Atom::Field(atom) => atom.cost(),
                Atom::Term(..) | Atom::Script(_) => 50,
            },
        }
    }

    fn push(&mut self, atom: Atom) -> u32 {
        self.list.push(atom);
        self.list.len() as u32 - 1
    }

    fn field(&mut self, test: &FieldTest) -> u32 {
        if let Some(known) = self.fields.get(test) {
            return *known;
        }
        let cue = match cue(&test.asks) {
            Some(Cue::Signs(signs)) if &*test.path == EVERYWHERE => signs.everywhere().map(Cue::Signs),
            cue => cue,
        };
        let cue = match cue {
            Some(cue) => cue,
            None => Cue::Instead(self.exists(&test.path)),
        };
        let everywhere = match &cue {
            Cue::Signs(signs) if signs.everywhere => signs.needles.iter().map(|needle| finder(&needle.text)).collect(),
            _ => Box::default(),
        };
        let slot = self.slot(&test.path);
        let path = test.path.clone();
        let ready = Ready::new(&test.asks, &*path == EVERYWHERE);
        let atom = FieldAtom { path, slot, asks: test.asks.clone(), cue, everywhere, ready };
        let number = self.push(Atom::Field(Box::new(atom)));
        self.fields.insert(test.clone(), number);
        number
    }

    fn term(&mut self, test: &TermTest) -> u32 {
        if let Some(known) = self.terms.get(test) {
            return *known;
        }
        // What is calculated from a missing field is missing.
        let mut field = None;
        test.term.each_path(&mut |path| field = field.take().or_else(|| Some(path.clone())));
        let cue = field.map_or(Cue::None, |path| Cue::Instead(self.exists(&path)));
        let number = self.push(Atom::Term(test.clone(), cue));
        self.terms.insert(test.clone(), number);
        number
    }

    fn exists(&mut self, path: &Arc<str>) -> u32 {
        self.field(&FieldTest { path: path.clone(), asks: Asks::Exists })
    }

    fn slot(&self, path: &str) -> Slot {
        if path == EVERYWHERE {
            return ALL_VALUES;
        }
        self.wanted.slot(path).expect("the wanted paths hold those that the rules test")
    }
}

impl Atom {
    pub(super) fn cue(&self) -> &Cue {
        match self {
            Atom::Field(atom) => &atom.cue,
            Atom::Term(_, cue) => cue,
            Atom::Script(_) => &Cue::None,
        }
    }
}

/// `None` where only the field's presence says something.
fn cue(asks: &Asks) -> Option<Cue> {
    let mut signs = Signs { numbers_prove: true, ..Signs::default() };
    match asks {
        Asks::Exists => return Some(Cue::Exists),
        Asks::Compare(Comparison::Equal, literal) => signs.equal(literal),
        Asks::Compare(Comparison::NotEqual, _) => return None,
        Asks::Compare(comparison, Literal::Number(number)) => signs.numbers.push((*comparison, *number)),
        Asks::In(list) if list.len() <= LIST_CUES_MAX => {
            signs.needles.extend(list.texts.iter().map(|text| Needle::whole(text, false)));
            list.others.iter().for_each(|literal| signs.equal(literal));
        }
        Asks::Range { from, .. } => {
            signs.numbers.push((Comparison::GreaterOrEqual, *from));
            signs.numbers_prove = false;
        }
        Asks::Text { test, ignore_case, wanted } => {
            signs.needles.push(Needle::of_text(*test, *ignore_case, wanted)?);
        }
        Asks::Matches(pattern) => signs.needles = needle::of_regex(pattern.written())?,
        Asks::Cidr(networks) => signs.networks = Some(networks.clone()),
        Asks::Compare(..)
        | Asks::CompareWith(..)
        | Asks::In(_)
        | Asks::InList(_)
        | Asks::InWritten(_)
        | Asks::TextWith { .. } => {
            return None;
        }
    }
    Some(Cue::Signs(signs))
}

impl Signs {
    fn equal(&mut self, literal: &Literal) {
        match literal {
            Literal::Number(number) => self.numbers.push((Comparison::Equal, *number)),
            Literal::Text(text) => self.needles.push(Needle::whole(text, false)),
            Literal::Bool(value) => self.needles.push(Needle::whole(if *value { "true" } else { "false" }, false)),
        }
    }

    /// The same for all values of an event; `None` where other things than texts are signs.
    fn everywhere(self) -> Option<Self> {
        let is_text = |needle: &Needle| !needle.text.is_empty();
        let is_all = self.numbers.is_empty() && self.networks.is_none() && self.needles.iter().all(is_text);
        let needles = self.needles.iter().map(Needle::within_json).collect();
        is_all.then_some(Signs { needles, everywhere: true, ..self })
    }

    /// What looking for these costs, found or not, beside asking a predicate: short needles are looked for at more
    /// places.
    pub(super) fn effort(&self) -> f32 {
        let needle = |needle: &Needle| match (needle.place, needle.text.len()) {
            (Place::Anywhere, 0..=3) => 0.1,
            (Place::Anywhere, 4) => 0.02,
            (Place::Anywhere, 5 | 6) => 0.01,
            _ => 0.0,
        };
        let reading = if self.everywhere { 0.5 } else { 0.0 };
        self.needles.iter().map(needle).fold(0.0, f32::max) + reading
    }

    /// Before anything is known of the events: the share of them in which one of these is seen.
    pub(super) fn guess(&self) -> f32 {
        let needle = |needle: &Needle| match (needle.place, needle.text.len()) {
            (Place::Whole, _) => 0.005,
            (Place::Start | Place::End, 4..) => 0.01,
            (Place::Start | Place::End, _) => 0.1,
            (Place::Anywhere, 0..=1) => 0.9,
            (Place::Anywhere, 2..=3) => 0.4,
            (Place::Anywhere, 4..=6) => 0.06,
            (Place::Anywhere, length) => 0.1 / length.min(40) as f32,
        };
        let number = |(comparison, _): &(Comparison, Num)| match comparison {
            Comparison::Equal => 0.005,
            _ => 0.5,
        };
        let networks = if self.networks.is_some() { 0.1 } else { 0.0 };
        self.needles.iter().map(needle).chain(self.numbers.iter().map(number)).sum::<f32>() + networks
    }
}

impl Ready {
    fn new(asks: &Asks, everywhere: bool) -> Self {
        match asks {
            Asks::Text { test: TextTest::Like, ignore_case, wanted } => {
                let pattern = GlobPattern::new(wanted, *ignore_case);
                let pieces = pattern.pieces().map(|piece| finder(fold(&piece).as_bytes())).collect();
                Ready::Glob(pattern, pieces)
            }
            // Nothing else folds to them.
            Asks::Text { test, wanted, .. } if is_caseless(wanted) => Ready::AsIs(*test, finder(wanted.as_bytes())),
            Asks::Text { ignore_case: true, .. } if !everywhere => Ready::Packed,
            Asks::Text { test, ignore_case: true, wanted } => Ready::Folded(*test, finder(wanted.as_bytes())),
            Asks::Text { test, ignore_case: false, wanted } => Ready::AsIs(*test, finder(wanted.as_bytes())),
            Asks::Matches(pattern) => Run::of_regex(pattern.written()).map_or(Ready::Plain, Ready::Regex),
            _ => Ready::Plain,
        }
    }
}

/// Whether the text is of ASCII, and no letter.
fn is_caseless(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii() && !byte.is_ascii_alphabetic())
}

fn finder(needle: &[u8]) -> Finder<'static> {
    Finder::new(needle).into_owned()
}

fn holds(test: TextTest, finder: &Finder<'_>, text: &[u8]) -> bool {
    match test {
        TextTest::Contains => finder.find(text).is_some(),
        TextTest::StartsWith => text.starts_with(finder.needle()),
        TextTest::EndsWith => text.ends_with(finder.needle()),
        TextTest::Equals => text == finder.needle(),
        TextTest::Like => false,
    }
}

/// Whether the texts stand in another one behind the other.
fn stand_in_order(pieces: &[Finder<'_>], text: &[u8]) -> bool {
    let mut from = 0;
    pieces.iter().all(|piece| {
        let found = piece.find(&text[from..]);
        found.inspect(|at| from += at + piece.needle().len()).is_some()
    })
}

impl FieldAtom {
    pub(super) fn cue(&self) -> &Cue {
        &self.cue
    }

    /// Whether it asks one field, and not all values of the event.
    pub(super) fn is_of_a_field(&self) -> bool {
        &*self.path != EVERYWHERE
    }

    /// Whether a text is asked for in its field, whatever the case, and nothing else has to be known.
    pub(super) fn is_packed(&self) -> bool {
        matches!(self.ready, Ready::Packed)
    }

    /// In units of a comparison.
    fn cost(&self) -> u32 {
        match (&self.asks, &self.ready) {
            _ if !self.is_of_a_field() => 200,
            (_, Ready::Glob(..)) => 20,
            (Asks::Text { test: TextTest::Contains, .. }, _) => 6,
            (Asks::Matches(_), _) => 40,
            (Asks::Cidr(_) | Asks::CompareWith(..) | Asks::TextWith { .. }, _) => 10,
            _ => 1,
        }
    }

    /// The answer for an event.
    pub(super) fn holds(&self, seen: Shown<'_>, event: u32, folds: &mut Folds) -> bool {
        match (&self.asks, &self.ready) {
            _ if !self.may_hold(seen, event, folds) => false,
            (Asks::Exists, _) => seen.has(self.slot),
            (_, Ready::Folded(test, finder)) => folds.of(event, seen, self.slot).any(|text| holds(*test, finder, text)),
            (_, Ready::AsIs(test, finder)) => {
                seen.any_of(self.slot, |scalar| holds(*test, finder, scalar.as_text().as_bytes()))
            }
            (_, Ready::Glob(pattern, pieces)) => {
                folds.of(event, seen, self.slot).any(|text| stand_in_order(pieces, text))
                    && seen.any_of(self.slot, |scalar| pattern.matches(scalar.as_text()))
            }
            (asks, Ready::Regex(run)) => {
                seen.any_of(self.slot, |scalar| run.stands_in(scalar.as_text()) && asks.holds(scalar, &seen))
            }
            (asks, Ready::Plain | Ready::Packed) => seen.any_of(self.slot, |scalar| asks.holds(scalar, &seen)),
        }
    }

    /// Looks for what a test of all values needs in the text of the whole event, which is cheaper than its values.
    fn may_hold(&self, seen: Shown<'_>, event: u32, folds: &mut Folds) -> bool {
        if self.everywhere.is_empty() {
            return true;
        }
        let text = folds.whole(event, seen);
        self.everywhere.iter().any(|finder| finder.find(text).is_some())
    }

    /// The test, for people; `None` for one of presence alone.
    pub(super) fn to_test(&self) -> Option<FieldTest> {
        let tells = !matches!(self.asks, Asks::Exists);
        tells.then(|| FieldTest { path: self.path.clone(), asks: self.asks.clone() })
    }

    /// The answer for a text that is the field's only scalar; `None` where more has to be known.
    pub(super) fn holds_of(&self, text: &str) -> Option<bool> {
        match &self.asks {
            Asks::CompareWith(..) | Asks::TextWith { .. } => None,
            asks => Some(asks.holds(Scalar::Text(text), &Nothing)),
        }
    }
}

/// An event without fields, for tests that read none besides the scalar that they are given.
struct Nothing;

impl Reads for Nothing {
    fn any(&self, _: &str, _: &mut dyn FnMut(Scalar<'_>) -> bool) -> bool {
        false
    }

    fn exists(&self, _: &str) -> bool {
        false
    }

    fn value(&self, _: &str) -> Option<Cow<'_, Value>> {
        None
    }

    fn time(&self) -> Timestamp {
        Timestamp::MIN
    }
}
