//! What a pattern asks of one event: a tree of tests whose leaves may be calls into a script.

use crate::event::SharedEvent;

/// A compiled predicate.
#[derive(Debug)]
pub enum Predicate {
    Constant(bool),
}

/// A script stopped at a limit or failed; the event counts as not matching.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {reason}")]
pub struct ScriptError {
    /// `file:line:column`
    pub place: String,
    pub reason: String,
}

impl Predicate {
    pub fn test(&self, _event: &SharedEvent) -> Result<bool, ScriptError> {
        match self {
            Predicate::Constant(answer) => Ok(*answer),
        }
    }
}
