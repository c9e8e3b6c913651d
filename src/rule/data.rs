//! A rule's map as plain data, copied when `rule()` is called: what a closure captured can't change afterwards, and
//! each turn of a loop has values of its own.

use std::collections::BTreeMap;

use rhai::{Array, Dynamic, FnPtr, INT, ImmutableString, Map};

use super::token::written;
use crate::event::{Number, Value};

#[derive(Debug, Clone)]
pub(super) enum Data {
    Nothing,
    Bool(bool),
    Int(INT),
    Float(f64),
    Text(String),
    List(Vec<Data>),
    Map(BTreeMap<String, Data>),
    Closure(FnPtr),
    Step(StepData),
    /// Of a type that no rule takes.
    Other,
}

/// What `times`, `any` and `none` give.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum StepData {
    Times { n: INT, pattern: String },
    Any(Vec<String>),
    None(String),
}

impl Data {
    pub(super) fn of(value: &Dynamic) -> Self {
        if value.is_unit() {
            return Data::Nothing;
        }
        if let Ok(value) = value.as_bool() {
            return Data::Bool(value);
        }
        if let Ok(value) = value.as_int() {
            return Data::Int(value);
        }
        if let Ok(value) = value.as_float() {
            return Data::Float(value);
        }
        if let Ok(value) = value.as_char() {
            return Data::Text(value.to_string());
        }
        if let Some(text) = value.read_lock::<ImmutableString>() {
            return Data::Text(text.to_string());
        }
        if let Some(items) = value.read_lock::<Array>() {
            return Data::List(items.iter().map(Data::of).collect());
        }
        if let Some(map) = value.read_lock::<Map>() {
            return Data::of_map(&map);
        }
        if let Some(closure) = value.read_lock::<FnPtr>() {
            return Data::Closure(copy_of_closure(&closure));
        }
        if let Some(step) = value.read_lock::<StepData>() {
            return Data::Step(step.clone());
        }
        Data::Other
    }

    pub(super) fn of_map(map: &Map) -> Self {
        Data::Map(map.iter().map(|(name, value)| (written(name).into_owned(), Data::of(value))).collect())
    }

    /// What this is, for messages.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Data::Nothing => "nothing",
            Data::Bool(_) => "true or false",
            Data::Int(_) | Data::Float(_) => "a number",
            Data::Text(_) => "a text",
            Data::List(_) => "a list",
            Data::Map(_) => "a map",
            Data::Closure(_) => "a closure",
            Data::Step(_) => "a step",
            Data::Other => "a value that rules don't take",
        }
    }

    /// As the value of an event's field; `None` for what no event holds.
    pub(super) fn to_value(&self) -> Option<Value> {
        Some(match self {
            Data::Nothing => Value::Null,
            Data::Bool(value) => Value::Bool(*value),
            Data::Int(value) => Value::Number(Number::from(*value)),
            Data::Float(value) if value.is_finite() => Value::Number(Number::from_written(&value.to_string())),
            Data::Text(text) => Value::text(text),
            Data::List(items) => Value::Array(items.iter().map(Data::to_value).collect::<Option<_>>()?),
            Data::Map(entries) => Value::Object(
                entries
                    .iter()
                    .map(|(name, value)| Some((name.as_str().into(), value.to_value()?)))
                    .collect::<Option<_>>()?,
            ),
            Data::Float(_) | Data::Closure(_) | Data::Step(_) | Data::Other => return None,
        })
    }
}

/// A closure whose captured values are its own.
fn copy_of_closure(closure: &FnPtr) -> FnPtr {
    let mut copy = closure.clone();
    let captured: Vec<Dynamic> = closure.iter_curry().map(copy_of).collect();
    copy.set_curry(captured);
    copy
}

fn copy_of(value: &Dynamic) -> Dynamic {
    let value = value.flatten_clone();
    if let Some(items) = value.read_lock::<Array>() {
        return items.iter().map(copy_of).collect::<Array>().into();
    }
    if let Some(map) = value.read_lock::<Map>() {
        return map.iter().map(|(name, value)| (name.clone(), copy_of(value))).collect::<Map>().into();
    }
    if let Some(closure) = value.read_lock::<FnPtr>() {
        return copy_of_closure(&closure).into();
    }
    value
}
