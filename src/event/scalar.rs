//! One scalar of a field, borrowed from where it stands.

use super::{Number, Value};

/// A text, number or boolean of a field. Null, arrays and objects are none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scalar<'a> {
    Text(&'a str),
    /// As written, in JSON's syntax.
    Number(&'a str),
    Bool(bool),
}

impl<'a> Scalar<'a> {
    /// `None` for null, arrays and objects.
    pub fn of(value: &'a Value) -> Option<Self> {
        match value {
            Value::Bool(value) => Some(Scalar::Bool(*value)),
            Value::Number(number) => Some(Scalar::Number(number.as_written())),
            Value::Text(text) => Some(Scalar::Text(text)),
            Value::Null | Value::Array(_) | Value::Object(_) => None,
        }
    }

    /// As written.
    pub fn as_text(self) -> &'a str {
        match self {
            Scalar::Text(text) | Scalar::Number(text) => text,
            Scalar::Bool(true) => "true",
            Scalar::Bool(false) => "false",
        }
    }

    pub fn to_value(self) -> Value {
        match self {
            Scalar::Text(text) => Value::text(text),
            Scalar::Number(written) => Value::Number(Number::from_written(written)),
            Scalar::Bool(value) => Value::Bool(value),
        }
    }
}
