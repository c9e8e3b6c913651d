//! A condition on an item of a detection and its values.

use std::cmp::Ordering;

use regex::Regex;

use super::{compare::State, from_start, unknown};
use crate::rule::sigma::{
    detection::{self, Item, Value},
    pipeline::{keys::Keys, rewrite::shown, run::Facts},
    report::Report,
};

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

/// Whether two values are the same, numbers and texts by what they mean.
pub fn is_value(own: &Value, wanted: &Value) -> bool {
    match (own, wanted) {
        (Value::Number { value: own, .. }, Value::Number { value, .. }) => own.compare(*value) == Some(Ordering::Equal),
        (Value::Bool { value: own, .. }, Value::Bool { value, .. }) => own == value,
        (Value::Text { text: own, .. }, Value::Text { text, .. }) => own == text,
        (own, wanted) => own == wanted,
    }
}
