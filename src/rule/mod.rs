//! Rules: loading them from Rhai files, checking them, and asking their closures.
//!
//! The only room that knows Rhai. It is given the text of rule files, never reads one, never sees a clock, and never
//! lets a script do more than its limits.

mod model;
mod predicate;

use std::sync::Arc;

pub use model::*;
pub use predicate::{Predicate, ScriptError};

/// The rules that run together.
#[derive(Debug, Clone, Default)]
pub struct RuleSet {
    /// In byte order of their ids.
    pub rules: Vec<Arc<Rule>>,
    /// Hex SHA-256 over every file that the rules come from.
    pub hash: String,
}

impl RuleSet {
    pub fn get(&self, id: &str) -> Option<&Arc<Rule>> {
        self.rules.binary_search_by(|rule| (**rule.id()).cmp(id)).ok().map(|at| &self.rules[at])
    }
}

/// A `when` or `alert` closure.
#[derive(Debug)]
pub struct WindowScript {}

impl WindowScript {
    /// Calls a `when` closure.
    pub fn test(&self, _view: &Arc<WindowView>) -> Result<bool, ScriptError> {
        Ok(true)
    }

    /// Calls an `alert` closure.
    pub fn alert(&self, _view: &Arc<WindowView>) -> Result<AlertText, ScriptError> {
        Ok(AlertText::default())
    }
}
