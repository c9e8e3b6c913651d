//! A condition on a rule.

use super::{
    compare::{Compares, State},
    item::is_value,
    unknown,
};
use crate::rule::sigma::{
    detection::{self, Value},
    pipeline::{
        keys::{Keys, scalar},
        run::Facts,
    },
    report::Report,
    yaml::Scalar,
};

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
