//! A condition on the name of a field.

use regex::Regex;

use super::{compare::State, from_start, unknown};
use crate::rule::sigma::{
    pipeline::{keys::Keys, run::Facts},
    report::Report,
};

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
