//! What a pattern asks of one event: a tree of tests whose leaves may be calls into a script.

use rhai::Dynamic;

use super::{
    field::Field,
    field_test::FieldTest,
    script::{Script, ScriptError},
};
use crate::event::SharedEvent;

/// A compiled predicate. A closure is lowered as a whole or stays a script as a whole; both give the same answers.
#[derive(Debug)]
pub enum Predicate {
    Constant(bool),
    /// Every one, in order, until one is false.
    All(Vec<Predicate>),
    /// At least one, in order, until one is true.
    Any(Vec<Predicate>),
    Not(Box<Predicate>),
    Field(FieldTest),
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
            Predicate::All(parts) => find(parts, event, false).map(|found| !found),
            Predicate::Any(parts) => find(parts, event, true),
            Predicate::Not(part) => part.test(event).map(|answer| !answer),
            Predicate::Field(test) => Ok(test.holds(&event.fields)),
            Predicate::Script(ScriptTest(script)) => answer(script, Dynamic::from(Field::event(event.clone()))),
        }
    }
}

/// Whether some part gives this answer.
fn find(parts: &[Predicate], event: &SharedEvent, wanted: bool) -> Result<bool, ScriptError> {
    for part in parts {
        if part.test(event)? == wanted {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Calls a closure that has to answer true or false.
pub(super) fn answer(script: &Script, argument: Dynamic) -> Result<bool, ScriptError> {
    let result = script.call(argument)?;
    result
        .as_bool()
        .map_err(|_| script.error(format!("the closure answered {}, not true or false", script.type_name(&result))))
}
