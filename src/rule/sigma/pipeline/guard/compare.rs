//! Values held against what a pipeline says: what an earlier step set, and attributes of rules.

use std::cmp::Ordering;

use crate::rule::sigma::{
    pipeline::{
        keys::{Keys, scalar},
        run::Facts,
    },
    report::Report,
    yaml::{Scalar, ScalarKind},
};

/// What an earlier step set, compared.
#[derive(Debug, Clone)]
pub struct State {
    key: String,
    compares: Compares,
    wanted: Scalar,
}

impl State {
    pub fn read(keys: &mut Keys<'_>, report: &mut Report<'_>) -> Option<Self> {
        let key = keys.needed_text("key", report)?;
        let wanted = scalar(keys.needed("val", report)?, "val", report)?;
        Some(State { key, compares: Compares::read(keys, report), wanted })
    }

    pub fn holds(&self, facts: &Facts<'_>) -> bool {
        let own = facts.state.get(&self.key);
        own.is_some_and(|own| self.compares.any(&self.key, own, std::slice::from_ref(&self.wanted)))
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Compares {
    Equal,
    NotEqual,
    GreaterOrEqual,
    Greater,
    LessOrEqual,
    Less,
    In,
    NotIn,
}

/// Words that have an order, from the least.
const ORDERED: [(&str, &[&str]); 2] = [
    ("level", &["informational", "low", "medium", "high", "critical"]),
    ("status", &["unsupported", "deprecated", "experimental", "test", "stable"]),
];

impl Compares {
    pub fn read(keys: &mut Keys<'_>, report: &mut Report<'_>) -> Self {
        let words = [
            ("eq", Compares::Equal),
            ("ne", Compares::NotEqual),
            ("gte", Compares::GreaterOrEqual),
            ("gt", Compares::Greater),
            ("lte", Compares::LessOrEqual),
            ("lt", Compares::Less),
            ("in", Compares::In),
            ("not_in", Compares::NotIn),
        ];
        keys.choice("op", &words, report)
    }

    /// Whether `own` compares so with one of the values, or with none of them where it asks for difference.
    pub fn any(self, name: &str, own: &Scalar, wanted: &[Scalar]) -> bool {
        let order = |wanted: &Scalar| order(name, own, wanted);
        match self {
            Compares::Equal | Compares::In => wanted.iter().any(|wanted| order(wanted) == Ordering::Equal),
            Compares::NotEqual | Compares::NotIn => wanted.iter().all(|wanted| order(wanted) != Ordering::Equal),
            Compares::GreaterOrEqual => wanted.iter().any(|wanted| order(wanted) != Ordering::Less),
            Compares::Greater => wanted.iter().any(|wanted| order(wanted) == Ordering::Greater),
            Compares::LessOrEqual => wanted.iter().any(|wanted| order(wanted) != Ordering::Greater),
            Compares::Less => wanted.iter().any(|wanted| order(wanted) == Ordering::Less),
        }
    }
}

/// Numbers as such, levels and statuses by their rank, all else (dates too) by its text.
fn order(name: &str, own: &Scalar, wanted: &Scalar) -> Ordering {
    if let (ScalarKind::Number(own), ScalarKind::Number(wanted)) = (own.kind, wanted.kind)
        && let Some(order) = own.compare(wanted)
    {
        return order;
    }
    let words = ORDERED.iter().find(|(ordered, _)| *ordered == name).map_or(&[][..], |(_, words)| words);
    let rank = |scalar: &Scalar| words.iter().position(|word| scalar.text.eq_ignore_ascii_case(word));
    match (rank(own), rank(wanted)) {
        (Some(own), Some(wanted)) => own.cmp(&wanted),
        _ => own.text.cmp(&wanted.text),
    }
}
