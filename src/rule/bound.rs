//! What a variable of a predicate closure stands for, as far as that is known before an event is there.

use rhai::{Dynamic, ImmutableString};

use super::{Predicate, enrichment::Thing, field::Field, field_test::Literal, number::Num, term::Term};
use crate::event::SharedEvent;

#[derive(Debug, Clone)]
pub(super) enum Bound {
    /// The event itself.
    Event,
    /// A field, or a result calculated from fields.
    Term(Term),
    /// A value that no event changes.
    Constant(Dynamic),
    /// True or false. It runs no script.
    Test(Predicate),
    /// A list whose items are not all constant.
    List(Vec<Bound>),
    /// The first where the predicate, which runs no script, holds, else the second.
    Choice(Box<Predicate>, Box<Bound>, Box<Bound>),
}

impl Bound {
    /// A value that a script gave without any event.
    pub(super) fn of(value: Dynamic) -> Self {
        let value = value.flatten();
        match value.read_lock::<Field>().as_deref() {
            Some(Field::Value(known)) => return Bound::Term(Term::Known(Some(known.clone()))),
            Some(Field::Missing) => return Bound::Term(Term::Known(None)),
            Some(Field::Read { .. } | Field::Found { .. }) | None => {}
        }
        Bound::Constant(value)
    }

    /// What a script sees in its place.
    pub(super) fn to_dynamic(&self, event: &SharedEvent) -> Dynamic {
        match self {
            Bound::Event => Dynamic::from(Field::event(event.clone())),
            Bound::Term(Term::Field(path)) => Dynamic::from(Field::read(event.clone(), path)),
            // a script may still ask for what stands after the dot
            Bound::Term(Term::Found(directory, Thing::Itself, of)) => {
                let of = Field::result(of.value(&**event).map(std::borrow::Cow::into_owned));
                Dynamic::from(of.look_up(&|text| directory.look_up(text)))
            }
            Bound::Term(term) => Dynamic::from(Field::result(term.value(&**event).map(std::borrow::Cow::into_owned))),
            Bound::Constant(value) => value.clone(),
            Bound::Test(predicate) => holds(predicate, event).into(),
            Bound::List(items) => items.iter().map(|item| item.to_dynamic(event)).collect::<rhai::Array>().into(),
            Bound::Choice(when, then, otherwise) => {
                if holds(when, event) {
                    then.to_dynamic(event)
                } else {
                    otherwise.to_dynamic(event)
                }
            }
        }
    }
}

impl Bound {
    /// Tests and terms in it.
    pub(super) fn size(&self) -> usize {
        match self {
            Bound::Event | Bound::Constant(_) => 1,
            Bound::Term(term) => term.size(),
            Bound::Test(test) => test.size(),
            Bound::List(items) => 1 + items.iter().map(Bound::size).sum::<usize>(),
            Bound::Choice(when, then, otherwise) => when.size() + then.size() + otherwise.size(),
        }
    }
}

/// Of a predicate that runs no script, and so never fails.
fn holds(predicate: &Predicate, event: &SharedEvent) -> bool {
    predicate.test(event).unwrap_or(false)
}

/// A literal to compare a field with; `None` for what is none.
pub(super) fn literal_of(value: &Dynamic) -> Option<Literal> {
    if let Ok(value) = value.as_int() {
        return Some(Literal::Number(Num::Int(value.into())));
    }
    if let Ok(value) = value.as_float() {
        return Some(Literal::Number(Num::Float(value)));
    }
    if let Ok(value) = value.as_bool() {
        return Some(Literal::Bool(value));
    }
    if let Ok(value) = value.as_char() {
        return Some(Literal::Text(value.to_string().into()));
    }
    value.read_lock::<ImmutableString>().map(|text| Literal::Text(text.as_str().into()))
}
