//! What a pattern asks of one event: a tree of tests whose leaves may be calls into a script.

use std::{borrow::Cow, sync::Arc};

use rhai::{Dynamic, ImmutableString};

use super::{
    bound::Bound,
    enrichment::{Directory, Found},
    field::Field,
    field_test::{FieldTest, TermTest},
    script::{Fragment, Script, ScriptError},
};
use crate::event::{Event, Scalar, SharedEvent, Timestamp, Value};

/// The path of a test that asks all the values of an event: it holds where it does of some scalar, whatever field that
/// is in.
pub(super) const EVERYWHERE: &str = "";

/// A compiled predicate. What can't be lowered is a script beside the tests that guard it; all of it gives the answers
/// of the closure.
///
/// A script may fail, and the event then does not match: parts are asked in order, and one after a script that failed
/// never is. Tests of other kinds never fail, so those between two scripts may be asked in any order.
#[derive(Debug, Clone)]
pub enum Predicate {
    Constant(bool),
    /// Every one, in order, until one is false.
    All(Vec<Predicate>),
    /// At least one, in order, until one is true.
    Any(Vec<Predicate>),
    Not(Box<Predicate>),
    Field(FieldTest),
    Term(TermTest),
    /// A closure, or a part of one, that Rhai runs.
    Script(ScriptTest),
}

/// What tests read of an event. Paths are dotted, as [`crate::event::Fields`] has them; the empty path
/// ([`EVERYWHERE`]) is the event itself.
pub(super) trait Reads {
    /// Visits every scalar at `path`, arrays opened, until `visit` answers true; says whether it did. Of the event
    /// itself these are all that it has.
    fn any(&self, path: &str, visit: &mut dyn FnMut(Scalar<'_>) -> bool) -> bool;
    /// Whether there is a value at `path` or below it.
    fn exists(&self, path: &str) -> bool;
    /// The scalar or array at `path`.
    fn value(&self, path: &str) -> Option<Cow<'_, Value>>;
    fn time(&self) -> Timestamp;
    /// What is known of an address; may be remembered while the event stays the same.
    fn found(&self, directory: &Directory, address: &str) -> Option<Arc<Found>> {
        directory.look_up(address)
    }
}

impl Reads for Event {
    fn any(&self, path: &str, visit: &mut dyn FnMut(Scalar<'_>) -> bool) -> bool {
        let visit = &mut |value: &Value| Scalar::of(value).is_some_and(&mut *visit);
        match path {
            EVERYWHERE => self.fields.iter().any(|(_, value)| value.any_scalar_within(visit)),
            path => self.fields.any(path, visit),
        }
    }

    fn exists(&self, path: &str) -> bool {
        path == EVERYWHERE || self.fields.exists(path)
    }

    fn value(&self, path: &str) -> Option<Cow<'_, Value>> {
        self.fields.get(path)
    }

    fn time(&self) -> Timestamp {
        self.time
    }
}

/// A call of a predicate closure, or the run of a part of one. It reads the event itself.
#[derive(Debug, Clone)]
pub struct ScriptTest(pub(super) Arc<Code>);

#[derive(Debug)]
pub(super) enum Code {
    Closure(Script),
    Fragment(Fragment, Vec<(ImmutableString, Bound)>),
}

impl ScriptTest {
    /// Runs it.
    ///
    /// # Errors
    /// When it fails, is stopped at a limit, or answers something else than true or false.
    pub fn test(&self, event: &SharedEvent) -> Result<bool, ScriptError> {
        match &*self.0 {
            Code::Closure(script) => answer(script, Dynamic::from(Field::event(event.clone()))),
            Code::Fragment(fragment, variables) => {
                let variables = variables.iter().map(|(name, bound)| (name.clone(), bound.to_dynamic(event)));
                fragment.test(variables)
            }
        }
    }
}

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
            Predicate::Field(test) => Ok(test.holds(&**event)),
            Predicate::Term(test) => Ok(test.holds(&**event)),
            Predicate::Script(script) => script.test(event),
        }
    }

    /// Visits the paths of the fields that its tests read; a script may read any.
    pub(super) fn each_path(&self, visit: &mut dyn FnMut(&Arc<str>)) {
        match self {
            Predicate::All(parts) | Predicate::Any(parts) => parts.iter().for_each(|part| part.each_path(visit)),
            Predicate::Not(part) => part.each_path(visit),
            Predicate::Field(test) => {
                visit(&test.path);
                test.asks.each_path(visit);
            }
            Predicate::Term(test) => {
                test.term.each_path(visit);
                test.asks.each_path(visit);
            }
            Predicate::Constant(_) | Predicate::Script(_) => {}
        }
    }

    /// Whether a script is among the leaves: without one, it never fails.
    pub fn runs_script(&self) -> bool {
        match self {
            Predicate::Script(_) => true,
            Predicate::All(parts) | Predicate::Any(parts) => parts.iter().any(Predicate::runs_script),
            Predicate::Not(part) => part.runs_script(),
            Predicate::Constant(_) | Predicate::Field(_) | Predicate::Term(_) => false,
        }
    }
}

/// Calls a closure that has to answer true or false.
pub(super) fn answer(script: &Script, argument: Dynamic) -> Result<bool, ScriptError> {
    script.truth(script.call(argument)?)
}

impl Predicate {
    /// Tests and terms in it.
    pub(super) fn size(&self) -> usize {
        match self {
            Predicate::All(parts) | Predicate::Any(parts) => 1 + parts.iter().map(Predicate::size).sum::<usize>(),
            Predicate::Not(part) => 1 + part.size(),
            Predicate::Field(test) => 1 + test.asks.size(),
            Predicate::Term(test) => test.term.size() + test.asks.size(),
            Predicate::Constant(_) | Predicate::Script(_) => 1,
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

/// Simplified on the way: what is known needs no test. Nothing that may fail is left out.
impl Predicate {
    pub(super) fn all(parts: impl IntoIterator<Item = Predicate>) -> Self {
        Predicate::joined(parts, true)
    }

    pub(super) fn any(parts: impl IntoIterator<Item = Predicate>) -> Self {
        Predicate::joined(parts, false)
    }

    pub(super) fn negated(self) -> Self {
        match self {
            Predicate::Constant(answer) => Predicate::Constant(!answer),
            Predicate::Not(part) => *part,
            part => Predicate::Not(Box::new(part)),
        }
    }

    /// `then` where this holds, else `otherwise`.
    pub(super) fn choose(self, then: Predicate, otherwise: Predicate) -> Self {
        match (&self, &then, &otherwise) {
            (Predicate::Constant(answer), ..) => {
                if *answer {
                    then
                } else {
                    otherwise
                }
            }
            (_, Predicate::Constant(true), Predicate::Constant(false)) => self,
            (_, Predicate::Constant(true), _) => Predicate::any([self, otherwise]),
            (_, _, Predicate::Constant(false)) => Predicate::all([self, then]),
            (_, Predicate::Constant(false), _) => Predicate::all([self.negated(), otherwise]),
            (_, _, Predicate::Constant(true)) => Predicate::any([self.negated(), then]),
            _ => Predicate::any([Predicate::all([self.clone(), then]), Predicate::all([self.negated(), otherwise])]),
        }
    }

    /// All of the parts (`neutral` is true), or any of them.
    fn joined(parts: impl IntoIterator<Item = Predicate>, neutral: bool) -> Self {
        let mut kept: Vec<Predicate> = Vec::new();
        for part in parts {
            match part {
                Predicate::Constant(answer) if answer == neutral => {}
                Predicate::Constant(answer) => {
                    if !kept.iter().any(Predicate::runs_script) {
                        return Predicate::Constant(answer);
                    }
                    kept.push(part);
                    break;
                }
                Predicate::All(inner) if neutral => kept.extend(inner),
                Predicate::Any(inner) if !neutral => kept.extend(inner),
                part => kept.push(part),
            }
        }
        match kept.len() {
            0 => Predicate::Constant(neutral),
            1 => kept.remove(0),
            _ if neutral => Predicate::All(kept),
            _ => Predicate::Any(kept),
        }
    }
}
