//! What a pattern asks of one event: a tree of tests whose leaves may be calls into a script.

use rhai::Dynamic;

use super::{field::Field, script::Script, script::ScriptError};
use crate::event::SharedEvent;

/// A compiled predicate.
#[derive(Debug)]
pub enum Predicate {
    Constant(bool),
    /// A closure that Rhai runs.
    Script(ScriptTest),
}

/// A call of a predicate closure.
#[derive(Debug)]
pub struct ScriptTest(pub(super) Script);

impl Predicate {
    /// Whether the pattern matches.
    ///
    /// # Errors
    /// When a script fails, is stopped at a limit, or answers something else than true or false.
    pub fn test(&self, event: &SharedEvent) -> Result<bool, ScriptError> {
        match self {
            Predicate::Constant(answer) => Ok(*answer),
            Predicate::Script(ScriptTest(script)) => answer(script, Dynamic::from(Field::event(event.clone()))),
        }
    }
}

/// Calls a closure that has to answer true or false.
pub(super) fn answer(script: &Script, argument: Dynamic) -> Result<bool, ScriptError> {
    let result = script.call(argument)?;
    result
        .as_bool()
        .map_err(|_| script.error(format!("the closure answered {}, not true or false", script.type_name(&result))))
}
