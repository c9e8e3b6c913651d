//! What a step is for: conditions of one kind, on the rule, on an item of it or on a field's name, and how they hang
//! together.

mod compare;
mod field;
mod item;
mod rule;

use regex::Regex;

pub use self::{field::FieldTest, item::ItemTest, rule::RuleTest};
use super::keys::{Keys, named_or_listed};
use crate::rule::{
    diagnostic::did_you_mean,
    sigma::{
        condition::{Condition, Quantity, names},
        report::Report,
        yaml::Node,
    },
};

/// Conditions of one kind. Without any, everything is meant.
#[derive(Debug, Clone)]
pub struct Guard<T> {
    tests: Vec<(Option<String>, T)>,
    link: Link,
    negated: bool,
}

#[derive(Debug, Clone)]
enum Link {
    All,
    Any,
    /// Over the names of the conditions.
    Expression(Condition),
}

impl<T> Guard<T> {
    pub fn holds(&self, test: &dyn Fn(&T) -> bool) -> bool {
        let holds = match &self.link {
            _ if self.tests.is_empty() => return true,
            Link::All => self.tests.iter().all(|(_, one)| test(one)),
            Link::Any => self.tests.iter().any(|(_, one)| test(one)),
            Link::Expression(condition) => self.follows(condition, test),
        };
        holds != self.negated
    }

    fn follows(&self, condition: &Condition, test: &dyn Fn(&T) -> bool) -> bool {
        match condition {
            Condition::And(parts) => parts.iter().all(|part| self.follows(part, test)),
            Condition::Or(parts) => parts.iter().any(|part| self.follows(part, test)),
            Condition::Not(part) => !self.follows(part, test),
            Condition::Name { name, .. } => self.named(|own| own == name).any(test),
            Condition::Of { quantity: Quantity::All, pattern, .. } => self.named(|own| names(pattern, own)).all(test),
            Condition::Of { quantity: Quantity::AtLeast(least), pattern, .. } => {
                self.named(|own| names(pattern, own)).filter(|one| test(one)).count() >= *least
            }
        }
    }

    fn named<'g>(&'g self, is_meant: impl Fn(&str) -> bool + 'g) -> impl Iterator<Item = &'g T> + 'g {
        self.tests.iter().filter(move |(name, _)| name.as_deref().is_some_and(&is_meant)).map(|(_, test)| test)
    }
}

/// The keys of one kind of conditions.
pub struct GuardKeys {
    pub conditions: &'static str,
    pub link: &'static str,
    pub negated: &'static str,
    pub expression: &'static str,
}

impl<T> Guard<T> {
    /// Reads the conditions of a step.
    pub fn read(
        keys: &mut Keys<'_>,
        own: &GuardKeys,
        test: fn(&str, &mut Keys<'_>, &mut Report<'_>) -> Option<T>,
        report: &mut Report<'_>,
    ) -> Option<Self> {
        let any = keys.choice(own.link, &[("and", false), ("or", true)], report);
        let negated = keys.flag(own.negated, report);
        let expression = match keys.get(own.expression) {
            Some(node) => Some(Condition::parse(node, report)?),
            None => None,
        };
        let mut tests = Vec::new();
        if let Some(node) = keys.get(own.conditions) {
            for (name, node, _) in named_or_listed(node, &format!("`{}`", own.conditions), report)? {
                let mut keys = Keys::of(node, "a condition", report)?;
                let kind = keys.needed_text("type", report)?;
                tests.push((name.map(str::to_owned), test(&kind, &mut keys, report)?));
                keys.finish(report);
            }
        }
        let link = match expression {
            Some(condition) => {
                let known: Vec<&str> = tests.iter().filter_map(|(name, _)| name.as_deref()).collect();
                are_known(&condition, &known, report)?;
                Link::Expression(condition)
            }
            None if any => Link::Any,
            None => Link::All,
        };
        Some(Guard { tests, link, negated })
    }
}

/// Reports a name that no condition has.
fn are_known(condition: &Condition, known: &[&str], report: &mut Report<'_>) -> Option<()> {
    match condition {
        Condition::And(parts) | Condition::Or(parts) => {
            parts.iter().try_for_each(|part| are_known(part, known, report))
        }
        Condition::Not(part) => are_known(part, known, report),
        Condition::Name { name, at } if !known.contains(&name.as_str()) => {
            let help = did_you_mean(name, known.iter().copied());
            report.error("unknown-value", *at, format!("no condition is called `{name}`"), help);
            None
        }
        Condition::Name { .. } | Condition::Of { .. } => Some(()),
    }
}

fn unknown<T>(kind: &str, keys: &Keys<'_>, known: &[&'static str], report: &mut Report<'_>) -> Option<T> {
    let at = keys.node.get("type").map_or(keys.node.at, |node| node.at);
    let listed = || format!("one of {}", known.join(", "));
    let help = did_you_mean(kind, known.iter().copied()).unwrap_or_else(listed);
    report.error("unknown-value", at, format!("`{kind}` is no condition of this kind"), Some(help));
    None
}

/// A regex that is looked for at the start of a text.
fn from_start(node: &Node, report: &mut Report<'_>) -> Option<Regex> {
    regex(node, &format!("^(?:{})", node.as_text()?), report)
}

/// A regex of a pipeline, reported where it is none.
pub fn regex(node: &Node, written: &str, report: &mut Report<'_>) -> Option<Regex> {
    let regex = crate::rule::vocabulary::regex(written);
    regex.map_err(|why| report.error("bad-literal", node.at, format!("bad regex: {why}"), None)).ok()
}
