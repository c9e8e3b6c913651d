//! Calculations with values that may be missing: for each element of an array, missing where there is no result.

use super::{
    number::{Arithmetic, Num},
    text,
};
use crate::event::Value;

/// A result for each scalar: one for a scalar, an array of those that have one for an array.
pub(super) fn of_each(value: Option<&Value>, result: &dyn Fn(&Value) -> Option<Value>) -> Option<Value> {
    match value? {
        Value::Object(_) => None,
        array @ Value::Array(_) => {
            let mut results = Vec::new();
            array.any_scalar(&mut |item| {
                results.extend(result(item));
                false
            });
            (!results.is_empty()).then_some(Value::Array(results))
        }
        scalar => result(scalar),
    }
}

pub(super) fn of_texts(value: Option<&Value>, result: &dyn Fn(&str) -> Option<Value>) -> Option<Value> {
    of_each(value, &|value| result(&value.as_text()?))
}

/// `value operator number`
pub(super) fn with_number(value: Option<&Value>, operator: Arithmetic, number: Num) -> Option<Value> {
    of_each(value, &|value| Num::of(value)?.calculate(operator, number).map(Num::to_value))
}

/// `number operator value`
pub(super) fn from_number(number: Num, operator: Arithmetic, value: Option<&Value>) -> Option<Value> {
    of_each(value, &|value| number.calculate(operator, Num::of(value)?).map(Num::to_value))
}

/// Calculates with two values; at most one of them may be an array.
pub(super) fn of_two(left: Option<&Value>, operator: Arithmetic, right: Option<&Value>) -> Option<Value> {
    match right.and_then(Num::of) {
        Some(right) => with_number(left, operator, right),
        None => from_number(left.and_then(Num::of)?, operator, right),
    }
}

/// The length: characters of a text, elements of an array.
pub(super) fn len(value: Option<&Value>) -> Option<Value> {
    let length = match value? {
        Value::Array(items) => items.len(),
        scalar => scalar.as_text()?.chars().count(),
    };
    Some(Num::Int(length as i128).to_value())
}

/// Levenshtein's distance of each text from another, which is one scalar.
pub(super) fn edit_distance(value: Option<&Value>, other: Option<&Value>) -> Option<Value> {
    let other = other?.as_text()?;
    of_texts(value, &|text| text::edit_distance(text, &other).map(|found| Num::Int(found as i128).to_value()))
}
