//! A field's value, with numbers kept as they were written.

use std::{borrow::Cow, fmt, sync::Arc};

use serde::{Deserialize, Serialize};

use super::Scalar;

/// A JSON value.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Value {
    Null,
    Bool(bool),
    Number(Number),
    Text(Arc<str>),
    Array(Vec<Value>),
    /// Only inside arrays: objects elsewhere are flattened into dotted names (see [`super::Fields`]).
    Object(Vec<(Arc<str>, Value)>),
}

/// A number as its author wrote it, in JSON's syntax: `1e5` and `100000` compare equal as numbers and differ as text.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Number(Arc<str>);

impl Number {
    /// `written` has to be a number in JSON's syntax.
    pub fn from_written(written: &str) -> Self {
        Number(written.into())
    }

    pub fn as_written(&self) -> &str {
        &self.0
    }

    /// The exact integer, when it is written as one and fits 64 bits signed.
    pub fn as_i64(&self) -> Option<i64> {
        self.0.parse().ok()
    }

    pub fn as_f64(&self) -> Option<f64> {
        self.0.parse().ok()
    }
}

impl From<i64> for Number {
    fn from(value: i64) -> Self {
        Number(value.to_string().into())
    }
}

impl Value {
    pub fn text(text: impl AsRef<str>) -> Self {
        Value::Text(text.as_ref().into())
    }

    /// A scalar as text, as written; `None` for null, arrays and objects.
    pub fn as_text(&self) -> Option<Cow<'_, str>> {
        Scalar::of(self).map(|scalar| scalar.as_text().into())
    }

    /// Nothing to compare or to key on: null, `""`, `[]`.
    pub fn is_missing(&self) -> bool {
        match self {
            Value::Null => true,
            Value::Text(text) => text.is_empty(),
            Value::Array(items) => items.iter().all(Value::is_missing),
            Value::Object(entries) => entries.is_empty(),
            Value::Bool(_) | Value::Number(_) => false,
        }
    }

    /// Visits every scalar below this value, arrays opened, until `visit` answers true; says whether it did.
    pub fn any_scalar(&self, visit: &mut dyn FnMut(&Value) -> bool) -> bool {
        match self {
            Value::Null | Value::Object(_) => false,
            Value::Array(items) => items.iter().any(|item| item.any_scalar(visit)),
            scalar => visit(scalar),
        }
    }

    /// Visits every scalar in this value, arrays and objects opened, until `visit` answers true; says whether it did.
    /// Recurses once for each level, which decoders bound.
    pub fn any_scalar_within(&self, visit: &mut dyn FnMut(&Value) -> bool) -> bool {
        match self {
            Value::Null => false,
            Value::Array(items) => items.iter().any(|item| item.any_scalar_within(visit)),
            Value::Object(entries) => entries.iter().any(|(_, value)| value.any_scalar_within(visit)),
            scalar => visit(scalar),
        }
    }

    /// For people and other programs. A number that JSON readers would round is given as the nearest 64-bit one.
    pub fn to_json(&self) -> serde_json::Value {
        use serde_json::Value as Json;
        match self {
            Value::Null => Json::Null,
            Value::Bool(value) => Json::Bool(*value),
            Value::Number(number) => number_to_json(number),
            Value::Text(text) => Json::String(text.to_string()),
            Value::Array(items) => Json::Array(items.iter().map(Value::to_json).collect()),
            Value::Object(entries) => {
                Json::Object(entries.iter().map(|(name, value)| (name.to_string(), value.to_json())).collect())
            }
        }
    }

    /// From a parsed JSON value, objects kept as objects.
    pub fn from_json(json: &serde_json::Value) -> Self {
        use serde_json::Value as Json;
        match json {
            Json::Null => Value::Null,
            Json::Bool(value) => Value::Bool(*value),
            Json::Number(number) => Value::Number(Number::from_written(&number.to_string())),
            Json::String(text) => Value::text(text),
            Json::Array(items) => Value::Array(items.iter().map(Value::from_json).collect()),
            Json::Object(entries) => Value::Object(
                entries.iter().map(|(name, value)| (name.as_str().into(), Value::from_json(value))).collect(),
            ),
        }
    }
}

fn number_to_json(number: &Number) -> serde_json::Value {
    let written = number.as_written();
    if let Ok(value) = written.parse::<i64>() {
        return value.into();
    }
    if let Ok(value) = written.parse::<u64>() {
        return value.into();
    }
    match number.as_f64() {
        Some(value) if value.is_finite() => value.into(),
        _ => written.into(),
    }
}

/// As text; an array as its JSON.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.as_text() {
            Some(text) => f.write_str(&text),
            None if matches!(self, Value::Null) => Ok(()),
            None => write!(f, "{}", self.to_json()),
        }
    }
}
