//! A field as scripts hold it: a path into an event that is read when something asks, or the result of a calculation.
//! Reading is total: what is not there is missing, and every test of the missing is false.

use std::{fmt, sync::Arc};

use rhai::ImmutableString;

use super::{
    Seen, calculation,
    compare::{Comparison, Operand, test_scalars},
    enrichment::{Found, found_in, of_found},
    number::{Arithmetic, Num},
    text::TextTest,
};
use crate::event::{Fields, Scalar, SharedEvent, Timestamp, Value};

/// What a script reads fields of.
#[derive(Debug, Clone)]
pub(super) enum Root {
    Event(SharedEvent),
    Kept(Arc<Seen>),
}

impl Root {
    fn fields(&self) -> &Fields {
        match self {
            Root::Event(event) => &event.fields,
            Root::Kept(kept) => &kept.fields,
        }
    }

    fn time(&self) -> Timestamp {
        match self {
            Root::Event(event) => event.time,
            Root::Kept(kept) => kept.time,
        }
    }
}

#[derive(Debug, Clone)]
pub(super) enum Field {
    /// The value at `path`; the event itself where the path is empty.
    Read {
        root: Root,
        path: ImmutableString,
    },
    /// A result.
    Value(Value),
    /// What is known of an address, or of each of an array of them.
    Found {
        found: Arc<[Arc<Found>]>,
        is_array: bool,
    },
    Missing,
}

impl Field {
    /// The event itself.
    pub(super) fn event(event: SharedEvent) -> Self {
        Field::Read { root: Root::Event(event), path: ImmutableString::new() }
    }

    /// The field at a path that is not empty.
    pub(super) fn read(event: SharedEvent, path: &str) -> Self {
        Field::Read { root: Root::Event(event), path: path.into() }
    }

    /// A signal of a window.
    pub(super) fn kept(kept: Option<&Arc<Seen>>) -> Self {
        match kept {
            Some(kept) => Field::Read { root: Root::Kept(kept.clone()), path: ImmutableString::new() },
            None => Field::Missing,
        }
    }

    /// A result, or missing.
    pub(super) fn result(value: Option<Value>) -> Self {
        value.map_or(Field::Missing, Field::Value)
    }

    /// The field `name` below this one.
    pub(super) fn below(&self, name: &ImmutableString) -> Field {
        match self {
            Field::Read { root, path } if path.is_empty() => Field::Read { root: root.clone(), path: name.clone() },
            Field::Read { root, path } => Field::Read { root: root.clone(), path: format!("{path}.{name}").into() },
            Field::Found { found, is_array } => {
                Field::result(of_found(found, *is_array, &|found| found.member(name).cloned()))
            }
            Field::Value(_) | Field::Missing => Field::Missing,
        }
    }

    /// What is known of the addresses that this field holds.
    pub(super) fn look_up(&self, look_up: &dyn Fn(&str) -> Option<Arc<Found>>) -> Field {
        let value = self.value();
        let found = value.as_ref().map(|value| found_in(value, look_up)).unwrap_or_default();
        match found.is_empty() {
            true => Field::Missing,
            false => Field::Found { found: found.into(), is_array: matches!(value, Some(Value::Array(_))) },
        }
    }

    /// When the event or signal happened; `None` for its fields and for results.
    pub(super) fn time(&self) -> Option<Timestamp> {
        match self {
            Field::Read { root, path } if path.is_empty() => Some(root.time()),
            _ => None,
        }
    }

    pub(super) fn exists(&self) -> bool {
        match self {
            Field::Read { path, .. } if path.is_empty() => true,
            Field::Read { root, path } => root.fields().exists(path),
            Field::Value(_) | Field::Found { .. } => true,
            Field::Missing => false,
        }
    }

    /// The value itself; a signal or event as one object of its fields.
    pub(super) fn value(&self) -> Option<Value> {
        match self {
            Field::Read { root, path } if path.is_empty() => {
                Some(Value::Object(root.fields().iter().map(|(path, value)| (path.clone(), value.clone())).collect()))
            }
            Field::Read { root, path } => match root.fields().get(path) {
                Some(value) => Some(value.into_owned()),
                None => below(root.fields(), path),
            },
            Field::Value(value) => Some(value.clone()),
            Field::Found { found, is_array } => of_found(found, *is_array, &|found| found.value.clone()),
            Field::Missing => None,
        }
    }

    /// Asks each scalar, arrays opened, until one answers true; of an event, every one in it.
    pub(super) fn any(&self, visit: &mut dyn FnMut(Scalar<'_>) -> bool) -> bool {
        let visit = &mut |value: &Value| Scalar::of(value).is_some_and(&mut *visit);
        match self {
            Field::Read { root, path } if path.is_empty() => {
                root.fields().iter().any(|(_, value)| value.any_scalar_within(visit))
            }
            Field::Read { root, path } => root.fields().any(path, visit),
            Field::Value(value) => value.any_scalar(visit),
            Field::Found { found, .. } => {
                found.iter().any(|found| found.value.as_ref().is_some_and(|value| value.any_scalar(visit)))
            }
            Field::Missing => false,
        }
    }

    pub(super) fn any_text(&self, visit: &mut dyn FnMut(&str) -> bool) -> bool {
        self.any(&mut |scalar| visit(scalar.as_text()))
    }

    pub(super) fn compare(&self, comparison: Comparison, operand: Operand<'_>) -> bool {
        self.any(&mut |scalar| operand.test(comparison, scalar))
    }

    pub(super) fn compare_field(&self, comparison: Comparison, other: &Field) -> bool {
        self.any(&mut |left| other.any(&mut |right| test_scalars(left, comparison, right)))
    }

    pub(super) fn test_text(&self, test: TextTest, ignore_case: bool, wanted: &str) -> bool {
        self.any_text(&mut |text| test.test(ignore_case, text, wanted))
    }

    pub(super) fn test_text_field(&self, test: TextTest, ignore_case: bool, wanted: &Field) -> bool {
        wanted.any_text(&mut |wanted| self.test_text(test, ignore_case, wanted))
    }

    /// A function of each text.
    pub(super) fn of_texts(&self, result: &dyn Fn(&str) -> Option<Value>) -> Field {
        Field::result(calculation::of_texts(self.value().as_ref(), result))
    }

    pub(super) fn edit_distance(&self, other: Option<&Value>) -> Field {
        Field::result(calculation::edit_distance(self.value().as_ref(), other))
    }

    /// Calculates with a number: for each element of an array.
    pub(super) fn calculate(&self, operator: Arithmetic, other: Num) -> Field {
        Field::result(calculation::with_number(self.value().as_ref(), operator, other))
    }

    /// The same with this field on the right.
    pub(super) fn calculate_from(&self, operator: Arithmetic, other: Num) -> Field {
        Field::result(calculation::from_number(other, operator, self.value().as_ref()))
    }

    /// Calculates with a field; at most one of the two may be an array.
    pub(super) fn calculate_field(&self, operator: Arithmetic, other: &Field) -> Field {
        Field::result(calculation::of_two(self.value().as_ref(), operator, other.value().as_ref()))
    }

    /// The length: characters of a text, elements of an array.
    pub(super) fn len(&self) -> Field {
        Field::result(calculation::len(self.value().as_ref()))
    }
}

/// What stands below `path`, as an object.
fn below(fields: &Fields, path: &str) -> Option<Value> {
    let entries: Vec<_> = fields
        .iter()
        .filter_map(|(name, value)| Some((name.strip_prefix(path)?.strip_prefix('.')?.into(), value.clone())))
        .collect();
    (!entries.is_empty()).then_some(Value::Object(entries))
}

/// As text; empty when missing.
impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value().map_or(Ok(()), |value| value.fmt(f))
    }
}
