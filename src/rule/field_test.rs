//! One test of one field: the leaf of a lowered predicate.

use std::{collections::HashSet, sync::Arc};

use regex::Regex;

use super::{
    compare::{Comparison, Operand, test_scalars},
    number::Num,
    text::{Network, TextTest},
};
use crate::event::{Fields, Value};

/// A test of the field at a path; false where the field is missing.
#[derive(Debug)]
pub struct FieldTest {
    pub(super) path: Arc<str>,
    pub(super) asks: Asks,
}

#[derive(Debug)]
pub(super) enum Asks {
    Exists,
    Compare(Comparison, Literal),
    /// Compares with the field at another path.
    CompareField(Comparison, Arc<str>),
    In(OneOf),
    Text {
        test: TextTest,
        ignore_case: bool,
        wanted: String,
    },
    Matches(Regex),
    Cidr(Vec<Network>),
}

/// A literal of a rule.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Literal {
    Number(Num),
    Text(Arc<str>),
    Bool(bool),
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

/// The literals of a list, texts by hash.
#[derive(Debug)]
pub(super) struct OneOf {
    texts: HashSet<Arc<str>>,
    others: Vec<Literal>,
}

impl OneOf {
    pub(super) fn new(literals: Vec<Literal>) -> Self {
        let mut list = OneOf { texts: HashSet::new(), others: Vec::new() };
        for literal in literals {
            match literal {
                Literal::Text(text) => {
                    list.texts.insert(text);
                }
                other => list.others.push(other),
            }
        }
        list
    }

    fn holds(&self, value: &Value) -> bool {
        value.as_text().is_some_and(|text| self.texts.contains(&*text))
            || self.others.iter().any(|literal| literal.operand().test(Comparison::Equal, value))
    }
}

impl FieldTest {
    pub(super) fn holds(&self, fields: &Fields) -> bool {
        let path = &self.path;
        match &self.asks {
            Asks::Exists => fields.exists(path),
            Asks::Compare(comparison, literal) => {
                fields.any(path, &mut |value| literal.operand().test(*comparison, value))
            }
            Asks::CompareField(comparison, other) => {
                fields.any(path, &mut |left| fields.any(other, &mut |right| test_scalars(left, *comparison, right)))
            }
            Asks::In(list) => fields.any(path, &mut |value| list.holds(value)),
            Asks::Text { test, ignore_case, wanted } => {
                any_text(fields, path, &mut |text| test.test(*ignore_case, text, wanted))
            }
            Asks::Matches(regex) => any_text(fields, path, &mut |text| regex.is_match(text)),
            Asks::Cidr(networks) => {
                any_text(fields, path, &mut |text| networks.iter().any(|network| network.contains(text)))
            }
        }
    }
}

fn any_text(fields: &Fields, path: &str, visit: &mut dyn FnMut(&str) -> bool) -> bool {
    fields.any(path, &mut |value| value.as_text().is_some_and(|text| visit(&text)))
}
