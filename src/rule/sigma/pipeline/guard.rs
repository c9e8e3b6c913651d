//! What a step is for: conditions on the rule, on an item of it, and on a field's name, and how they hang together.

use std::cmp::Ordering;

use regex::Regex;

use super::{
    keys::{Keys, named_or_listed, scalar},
    rewrite::shown,
    run::Facts,
};
use crate::rule::{
    diagnostic::did_you_mean,
    sigma::{
        condition::{Condition, Quantity, names},
        detection::{self, Item, Value},
        report::Report,
        yaml::{Node, Scalar, ScalarKind},
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

/// A condition on the rule.
#[derive(Debug, Clone)]
pub enum RuleTest {
    /// What is given has to be the same.
    LogSource {
        category: Option<String>,
        product: Option<String>,
        service: Option<String>,
    },
    ContainsItem {
        field: Option<String>,
        value: Value,
    },
    ContainsField(String),
    /// The step with this id was for the rule.
    Applied(String),
    State(State),
    /// Whether it wants a rule on events (the only kind that steps are asked for), or a correlation.
    IsRule(bool),
    Attribute {
        name: String,
        compares: Compares,
        wanted: Vec<Scalar>,
    },
    Tag(String),
}

impl RuleTest {
    pub fn read(kind: &str, keys: &mut Keys<'_>, report: &mut Report<'_>) -> Option<Self> {
        const KNOWN: [&str; 9] = [
            "logsource",
            "contains_detection_item",
            "contains_field",
            "processing_item_applied",
            "processing_state",
            "is_sigma_rule",
            "is_sigma_correlation_rule",
            "rule_attribute",
            "tag",
        ];
        Some(match kind {
            "logsource" => {
                let mut part = |key| keys.text(key, report).map(|text| text.to_lowercase());
                RuleTest::LogSource { category: part("category"), product: part("product"), service: part("service") }
            }
            "contains_detection_item" => RuleTest::ContainsItem {
                field: keys.text("field", report),
                value: detection::value(keys.needed("value", report)?, &[], report)?,
            },
            "contains_field" => RuleTest::ContainsField(keys.needed_text("field", report)?),
            "processing_item_applied" => RuleTest::Applied(keys.needed_text("processing_item_id", report)?),
            "processing_state" => RuleTest::State(State::read(keys, report)?),
            "is_sigma_rule" => RuleTest::IsRule(true),
            "is_sigma_correlation_rule" => RuleTest::IsRule(false),
            "rule_attribute" => {
                let name = keys.needed_text("attribute", report)?;
                let node = keys.needed("value", report)?;
                let items = node.as_list().unwrap_or(std::slice::from_ref(node));
                let wanted: Option<_> = items.iter().map(|item| scalar(item, "value", report)).collect();
                RuleTest::Attribute { name, compares: Compares::read(keys, report), wanted: wanted? }
            }
            "tag" => RuleTest::Tag(keys.needed_text("tag", report)?.to_lowercase()),
            other => return unknown(other, keys, &KNOWN, report),
        })
    }

    pub fn holds(&self, facts: &Facts<'_>) -> bool {
        match self {
            RuleTest::LogSource { category, product, service } => {
                let own = &facts.rule.logsource;
                let is = |wanted: &Option<String>, own: &Option<String>| wanted.is_none() || wanted == own;
                is(category, &own.category) && is(product, &own.product) && is(service, &own.service)
            }
            RuleTest::ContainsItem { field, value } => facts
                .any_item(&|item| item.field == *field && item.values.iter().any(|own| is_value(&own.value, value))),
            RuleTest::ContainsField(field) => facts.any_item(&|item| item.field.as_ref() == Some(field)),
            RuleTest::Applied(id) => facts.applied.contains(id),
            RuleTest::State(state) => state.holds(facts),
            RuleTest::IsRule(wanted) => *wanted,
            RuleTest::Attribute { name, compares, wanted } => {
                let own = facts.rule.attributes.iter().find(|(own, _)| own == name);
                own.is_some_and(|(_, own)| compares.any(name, own, wanted))
            }
            RuleTest::Tag(tag) => facts.rule.common.tags.iter().any(|own| own.to_lowercase() == *tag),
        }
    }
}

/// A condition on an item.
#[derive(Debug, Clone)]
pub enum ItemTest {
    Values { every: bool, is: ValueTest },
    Applied(String),
    State(State),
}

#[derive(Debug, Clone)]
pub enum ValueTest {
    /// From the start of a text on.
    Like {
        regex: Regex,
        negated: bool,
    },
    Is(Value),
    HasWildcard,
    IsNull,
}

impl ItemTest {
    pub fn read(kind: &str, keys: &mut Keys<'_>, report: &mut Report<'_>) -> Option<Self> {
        const KNOWN: [&str; 6] = [
            "match_string",
            "match_value",
            "contains_wildcard",
            "is_null",
            "processing_item_applied",
            "processing_state",
        ];
        let is = match kind {
            "match_string" => ValueTest::Like {
                regex: from_start(keys.needed("pattern", report)?, report)?,
                negated: keys.flag("negate", report),
            },
            "match_value" => ValueTest::Is(detection::value(keys.needed("value", report)?, &[], report)?),
            "contains_wildcard" => ValueTest::HasWildcard,
            "is_null" => ValueTest::IsNull,
            "processing_item_applied" => {
                return Some(ItemTest::Applied(keys.needed_text("processing_item_id", report)?));
            }
            "processing_state" => return Some(ItemTest::State(State::read(keys, report)?)),
            other => return unknown(other, keys, &KNOWN, report),
        };
        Some(ItemTest::Values { every: keys.choice("cond", &[("any", false), ("all", true)], report), is })
    }

    pub fn holds(&self, item: &Item, by: &[String], facts: &Facts<'_>) -> bool {
        match self {
            ItemTest::Values { every: true, is } => item.values.iter().all(|own| is.holds(&own.value)),
            ItemTest::Values { every: false, is } => item.values.iter().any(|own| is.holds(&own.value)),
            ItemTest::Applied(id) => by.contains(id),
            ItemTest::State(state) => state.holds(facts),
        }
    }
}

impl ValueTest {
    fn holds(&self, value: &Value) -> bool {
        match self {
            ValueTest::Like { regex, negated } => {
                let is_like = matches!(value, Value::Text { text, .. } if regex.is_match(&shown(text)));
                is_like != *negated
            }
            ValueTest::Is(wanted) => is_value(value, wanted),
            ValueTest::HasWildcard => matches!(value, Value::Text { text, .. } if text.has_wildcards()),
            ValueTest::IsNull => *value == Value::Null,
        }
    }
}

/// A condition on the name of a field.
#[derive(Debug, Clone)]
pub enum FieldTest {
    Among { names: Names, excluded: bool },
    Applied(String),
    State(State),
}

#[derive(Debug, Clone)]
pub enum Names {
    Plain(Vec<String>),
    /// From the start of a name on.
    Like(Vec<Regex>),
}

impl FieldTest {
    pub fn read(kind: &str, keys: &mut Keys<'_>, report: &mut Report<'_>) -> Option<Self> {
        const KNOWN: [&str; 4] = ["include_fields", "exclude_fields", "processing_item_applied", "processing_state"];
        match kind {
            "include_fields" | "exclude_fields" => {
                let is_regex = keys.choice("mode", &[("plain", false), ("re", true)], report);
                let node = keys.needed("fields", report)?;
                let names = if is_regex {
                    let items = node.as_list().unwrap_or(std::slice::from_ref(node));
                    Names::Like(items.iter().map(|item| from_start(item, report)).collect::<Option<_>>()?)
                } else {
                    Names::Plain(keys.texts("fields", report)?)
                };
                Some(FieldTest::Among { names, excluded: kind == "exclude_fields" })
            }
            "processing_item_applied" => Some(FieldTest::Applied(keys.needed_text("processing_item_id", report)?)),
            "processing_state" => Some(FieldTest::State(State::read(keys, report)?)),
            other => unknown(other, keys, &KNOWN, report),
        }
    }

    /// `by` are the ids of the steps that changed what has the name.
    pub fn holds(&self, field: Option<&str>, by: &[String], facts: &Facts<'_>) -> bool {
        match self {
            FieldTest::Among { names, excluded } => {
                let is_among = field.is_some_and(|field| match names {
                    Names::Plain(names) => names.iter().any(|name| name == field),
                    Names::Like(regexes) => regexes.iter().any(|regex| regex.is_match(field)),
                });
                is_among != *excluded
            }
            FieldTest::Applied(id) => by.contains(id),
            FieldTest::State(state) => state.holds(facts),
        }
    }
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

fn is_value(own: &Value, wanted: &Value) -> bool {
    match (own, wanted) {
        (Value::Number { value: own, .. }, Value::Number { value, .. }) => own.compare(*value) == Some(Ordering::Equal),
        (Value::Bool { value: own, .. }, Value::Bool { value, .. }) => own == value,
        (Value::Text { text: own, .. }, Value::Text { text, .. }) => own == text,
        (own, wanted) => own == wanted,
    }
}

/// What an earlier step set, compared.
#[derive(Debug, Clone)]
pub struct State {
    key: String,
    compares: Compares,
    wanted: Scalar,
}

impl State {
    fn read(keys: &mut Keys<'_>, report: &mut Report<'_>) -> Option<Self> {
        let key = keys.needed_text("key", report)?;
        let wanted = scalar(keys.needed("val", report)?, "val", report)?;
        Some(State { key, compares: Compares::read(keys, report), wanted })
    }

    fn holds(&self, facts: &Facts<'_>) -> bool {
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
    fn read(keys: &mut Keys<'_>, report: &mut Report<'_>) -> Self {
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
    fn any(self, name: &str, own: &Scalar, wanted: &[Scalar]) -> bool {
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
