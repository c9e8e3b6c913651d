//! Tests of what an event has: the leaves of a lowered predicate. Equal tests are equal values with equal hashes, so
//! that a test which many rules share can run once.
//!
//! A test is asked of one scalar at a time ([`Asks::holds`]): arrays are opened by whoever reads the event.

use std::{
    collections::BTreeSet,
    hash::{Hash, Hasher},
    sync::Arc,
};

use regex::Regex;

use super::{
    List,
    compare::{Comparison, Operand, test_scalars},
    number::Num,
    predicate::Reads,
    term::Term,
    text::{Address, Network, TextTest},
    vocabulary,
};
use crate::event::Scalar;

/// A test of the field at a path; false where the field is missing.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FieldTest {
    pub(super) path: Arc<str>,
    pub(super) asks: Asks,
}

/// A test of what a term gives; false where that is missing.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TermTest {
    pub(super) term: Term,
    pub(super) asks: Asks,
}

/// What is asked: of some scalar of a field or term, but for `Exists`, which objects answer too.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Asks {
    Exists,
    Compare(Comparison, Literal),
    /// Compares with every scalar of another term, often a field; the left one's type decides.
    CompareWith(Comparison, Term),
    /// Equal to one of these.
    In(OneOf),
    /// A number from the first to the last, which `below` excludes or includes.
    Range {
        from: Num,
        below: Comparison,
        to: Num,
    },
    /// A text test against a literal. Several alternatives are an `Any` of such tests of one field.
    Text {
        test: TextTest,
        ignore_case: bool,
        /// As [`TextTest::canonical`] gives it.
        wanted: Arc<str>,
    },
    /// A text test against every scalar of another term.
    TextWith {
        test: TextTest,
        ignore_case: bool,
        other: Term,
    },
    Matches(Pattern),
    /// In byte order of the networks.
    Cidr(Arc<[Network]>),
    InList(Arc<List>),
    /// In a list that rules write: correlation answers it (see [`super::Question`]), here it is false.
    InWritten(Arc<str>),
}

/// A literal of a rule.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Literal {
    Text(Arc<str>),
    Bool(bool),
    Number(Num),
}

impl Literal {
    fn operand(&self) -> Operand<'_> {
        match self {
            Literal::Number(number) => Operand::Number(*number),
            Literal::Text(text) => Operand::Text(text),
            Literal::Bool(value) => Operand::Bool(*value),
        }
    }
}

/// The literals of a list, in one order and without doubles.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct OneOf {
    pub(super) texts: Arc<[Arc<str>]>,
    pub(super) others: Arc<[Literal]>,
}

impl OneOf {
    pub(super) fn new(literals: impl IntoIterator<Item = Literal>) -> Self {
        let (mut texts, mut others) = (BTreeSet::new(), BTreeSet::new());
        for literal in literals {
            match literal {
                Literal::Text(text) => {
                    texts.insert(text);
                }
                other => {
                    others.insert(other);
                }
            }
        }
        OneOf { texts: texts.into_iter().collect(), others: others.into_iter().collect() }
    }

    pub(super) fn len(&self) -> usize {
        self.texts.len() + self.others.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.texts.is_empty() && self.others.is_empty()
    }

    fn holds(&self, scalar: Scalar<'_>) -> bool {
        self.texts.binary_search_by(|text| (**text).cmp(scalar.as_text())).is_ok()
            || self.others.iter().any(|literal| literal.operand().test(Comparison::Equal, scalar))
    }
}

/// A regex, known by how it is written; flags are written in it: `(?i)`.
#[derive(Debug, Clone)]
pub(super) struct Pattern(Regex);

impl Pattern {
    /// # Errors
    /// What is wrong with the regex.
    pub(super) fn new(written: &str) -> Result<Self, String> {
        vocabulary::regex(written).map(Pattern)
    }

    pub(super) fn written(&self) -> &str {
        self.0.as_str()
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.written() == other.written()
    }
}

impl Eq for Pattern {}

impl Hash for Pattern {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.written().hash(state);
    }
}

impl Asks {
    /// A text test against a literal, the same for all that ask the same.
    pub(super) fn text(test: TextTest, ignore_case: bool, wanted: &str) -> Self {
        Asks::Text { test, ignore_case, wanted: test.canonical(ignore_case, wanted).into() }
    }

    /// The other term that it compares with.
    pub(super) fn other(&self) -> Option<&Term> {
        match self {
            Asks::CompareWith(_, other) | Asks::TextWith { other, .. } => Some(other),
            _ => None,
        }
    }

    /// Visits the paths of the other terms that it reads.
    pub(super) fn each_path(&self, visit: &mut dyn FnMut(&Arc<str>)) {
        self.other().into_iter().for_each(|other| other.each_path(visit));
    }

    /// Terms in it.
    pub(super) fn size(&self) -> usize {
        self.other().map_or(0, Term::size)
    }

    /// Whether it holds of one scalar. `reads` is asked for other terms only.
    pub(super) fn holds(&self, scalar: Scalar<'_>, reads: &dyn Reads) -> bool {
        match self {
            Asks::Exists => true,
            Asks::Compare(comparison, literal) => literal.operand().test(*comparison, scalar),
            Asks::CompareWith(comparison, other) => {
                other.any(reads, &mut |right| test_scalars(scalar, *comparison, right))
            }
            Asks::In(list) => list.holds(scalar),
            Asks::Range { from, below, to } => {
                Operand::Number(*from).test(Comparison::GreaterOrEqual, scalar)
                    && Operand::Number(*to).test(*below, scalar)
            }
            Asks::Text { test, ignore_case, wanted } => test.test(*ignore_case, scalar.as_text(), wanted),
            Asks::TextWith { test, ignore_case, other } => {
                other.any(reads, &mut |wanted| test.test(*ignore_case, scalar.as_text(), wanted.as_text()))
            }
            Asks::Matches(pattern) => pattern.0.is_match(scalar.as_text()),
            Asks::Cidr(networks) => {
                let address = Address::parse(scalar.as_text());
                address.is_some_and(|address| networks.iter().any(|network| network.holds(address)))
            }
            Asks::InList(list) => list.contains(scalar.as_text()),
            Asks::InWritten(_) => false,
        }
    }
}

impl FieldTest {
    pub(super) fn holds(&self, reads: &dyn Reads) -> bool {
        match &self.asks {
            Asks::Exists => reads.exists(&self.path),
            asks => reads.any(&self.path, &mut |scalar| asks.holds(scalar, reads)),
        }
    }
}

impl TermTest {
    pub(super) fn holds(&self, reads: &dyn Reads) -> bool {
        match &self.asks {
            Asks::Exists => self.term.value(reads).is_some(),
            asks => self.term.any(reads, &mut |scalar| asks.holds(scalar, reads)),
        }
    }
}
