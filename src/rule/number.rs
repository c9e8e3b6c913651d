//! Numbers as rules compare and calculate with them: integers exactly, everything else as 64-bit floats.

use std::{
    cmp::Ordering,
    hash::{Hash, Hasher},
};

use crate::event::{Number, Scalar, Value};

/// A number of a field, a literal or a result. Equal are numbers that are written alike (0.0 and -0.0 differ, NaN is
/// itself), so that equal tests can be found; [`Num::compare`] compares values.
#[derive(Debug, Clone, Copy)]
pub enum Num {
    /// Wide enough that every 64-bit integer, signed or not, is exact.
    Int(i128),
    Float(f64),
}

impl Num {
    /// A number, or a text that is one in JSON's syntax.
    pub fn of(value: &Value) -> Option<Num> {
        Scalar::of(value).and_then(Num::of_scalar)
    }

    /// The same of a scalar.
    pub fn of_scalar(scalar: Scalar<'_>) -> Option<Num> {
        match scalar {
            Scalar::Number(written) => Num::of_written(written),
            Scalar::Text(text) => Num::parse(text),
            Scalar::Bool(_) => None,
        }
    }

    /// Reads JSON's number syntax: no leading `+` or zeros, no spaces, no hexadecimal.
    pub(super) fn parse(text: &str) -> Option<Num> {
        is_json_number(text.as_bytes()).then(|| Num::of_written(text)).flatten()
    }

    fn of_written(written: &str) -> Option<Num> {
        match written.parse() {
            Ok(value) => Some(Num::Int(value)),
            Err(_) => written.parse().ok().map(Num::Float),
        }
    }

    /// By value, whatever the kinds: 2^53 + 1 is more than the float 2^53.
    pub fn compare(self, other: Num) -> Option<Ordering> {
        match (self, other) {
            (Num::Int(a), Num::Int(b)) => Some(a.cmp(&b)),
            (Num::Float(a), Num::Float(b)) => a.partial_cmp(&b),
            (Num::Int(a), Num::Float(b)) => compare_exactly(a, b),
            (Num::Float(a), Num::Int(b)) => compare_exactly(b, a).map(Ordering::reverse),
        }
    }

    pub fn as_f64(self) -> f64 {
        match self {
            Num::Int(value) => value as f64,
            Num::Float(value) => value,
        }
    }

    /// The field value that this number is.
    pub fn to_value(self) -> Value {
        Value::Number(match self {
            Num::Int(value) => Number::from_written(&value.to_string()),
            Num::Float(value) => Number::from_written(&value.to_string()),
        })
    }

    /// Two integers give an integer (a quotient is cut towards zero), anything else a float. `None` for an integer
    /// beyond 64 bits signed, a division by zero and a float that is not finite.
    pub(super) fn calculate(self, operator: Arithmetic, other: Num) -> Option<Num> {
        if let (Num::Int(a), Num::Int(b)) = (self, other) {
            let result = match operator {
                Arithmetic::Add => a.checked_add(b),
                Arithmetic::Subtract => a.checked_sub(b),
                Arithmetic::Multiply => a.checked_mul(b),
                Arithmetic::Divide => a.checked_div(b),
                Arithmetic::Remainder => a.checked_rem(b),
            }?;
            return i64::try_from(result).ok().map(|value| Num::Int(value.into()));
        }
        let (a, b) = (self.as_f64(), other.as_f64());
        let result = match operator {
            Arithmetic::Add => a + b,
            Arithmetic::Subtract => a - b,
            Arithmetic::Multiply => a * b,
            Arithmetic::Divide => a / b,
            Arithmetic::Remainder => a % b,
        };
        result.is_finite().then_some(Num::Float(result))
    }
}

impl Num {
    /// The same for numbers that are written alike.
    fn identity(self) -> (bool, i128) {
        match self {
            Num::Int(value) => (true, value),
            Num::Float(value) => (false, value.to_bits().into()),
        }
    }
}

impl PartialEq for Num {
    fn eq(&self, other: &Self) -> bool {
        self.identity() == other.identity()
    }
}

impl Eq for Num {}

impl PartialOrd for Num {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Some order, for sets; [`Num::compare`] has the order of values.
impl Ord for Num {
    fn cmp(&self, other: &Self) -> Ordering {
        self.identity().cmp(&other.identity())
    }
}

impl Hash for Num {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.identity().hash(state);
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

impl Arithmetic {
    pub(super) const NAMED: [(&'static str, Arithmetic); 5] = [
        ("+", Arithmetic::Add),
        ("-", Arithmetic::Subtract),
        ("*", Arithmetic::Multiply),
        ("/", Arithmetic::Divide),
        ("%", Arithmetic::Remainder),
    ];
}

fn compare_exactly(int: i128, float: f64) -> Option<Ordering> {
    /// 2^126: integers of events are far below, so a float above is greater than any of them.
    const BEYOND: f64 = 8.507_059_173_023_462e37;
    if float.is_nan() {
        return None;
    }
    if float.abs() >= BEYOND {
        return Some(if float > 0.0 { Ordering::Less } else { Ordering::Greater });
    }
    let whole = float.trunc();
    let fraction = float - whole;
    Some(int.cmp(&(whole as i128)).then(0.0_f64.partial_cmp(&fraction)?))
}

fn is_json_number(text: &[u8]) -> bool {
    let digits = |from: usize| from + text[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let start = usize::from(text.first() == Some(&b'-'));
    let mut at = digits(start);
    if at == start || (text[start] == b'0' && at > start + 1) {
        return false;
    }
    if text.get(at) == Some(&b'.') {
        let end = digits(at + 1);
        if end == at + 1 {
            return false;
        }
        at = end;
    }
    if matches!(text.get(at), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(text.get(at + 1), Some(b'+' | b'-')));
        let end = digits((at + 1 + sign).min(text.len()));
        if end == at + 1 + sign {
            return false;
        }
        at = end;
    }
    at == text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_json_numbers_are_numbers() {
        for text in ["0", "-0", "12", "-1.5", "1e5", "1E+5", "0.1e-2"] {
            assert!(Num::parse(text).is_some(), "{text}");
        }
        for text in ["", "-", "+1", "01", "1.", ".5", "1e", "1e+", " 1", "1 ", "0x10", "NaN", "inf", "１"] {
            assert!(Num::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn integers_are_exact_also_beside_floats() {
        let int = |value: i128| Num::Int(value);
        assert_eq!(int(9_007_199_254_740_993).compare(Num::Float(9_007_199_254_740_992.0)), Some(Ordering::Greater));
        assert_eq!(int(u64::MAX.into()).compare(int(i128::from(u64::MAX) - 1)), Some(Ordering::Greater));
        assert_eq!(Num::parse("1e5").unwrap().compare(int(100_000)), Some(Ordering::Equal));
        assert_eq!(int(1).compare(Num::Float(1.5)), Some(Ordering::Less));
        assert_eq!(int(-1).compare(Num::Float(-1.5)), Some(Ordering::Greater));
        assert_eq!(int(0).compare(Num::Float(f64::INFINITY)), Some(Ordering::Less));
    }

    #[test]
    fn what_has_no_number_is_missing() {
        let max = Num::Int(i64::MAX.into());
        assert_eq!(max.calculate(Arithmetic::Add, Num::Int(1)), None);
        assert_eq!(Num::Int(1).calculate(Arithmetic::Divide, Num::Int(0)), None);
        assert_eq!(Num::Int(1).calculate(Arithmetic::Remainder, Num::Int(0)), None);
        assert_eq!(Num::Float(1.0).calculate(Arithmetic::Divide, Num::Int(0)), None);
        assert_eq!(Num::Int(7).calculate(Arithmetic::Divide, Num::Int(2)), Some(Num::Int(3)));
    }
}
