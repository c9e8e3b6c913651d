//! What a comparison of a field means: decided by the literal beside it, or by the left one of two fields.

use std::cmp::Ordering;

use super::number::Num;
use crate::event::Scalar;

/// A comparison of two values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Comparison {
    pub(super) const ALL: [(&'static str, Comparison); 6] = [
        ("==", Comparison::Equal),
        ("!=", Comparison::NotEqual),
        ("<", Comparison::Less),
        ("<=", Comparison::LessOrEqual),
        (">", Comparison::Greater),
        (">=", Comparison::GreaterOrEqual),
    ];

    /// The same question with its sides swapped.
    pub(super) fn swapped(self) -> Self {
        match self {
            Comparison::Less => Comparison::Greater,
            Comparison::LessOrEqual => Comparison::GreaterOrEqual,
            Comparison::Greater => Comparison::Less,
            Comparison::GreaterOrEqual => Comparison::LessOrEqual,
            same => same,
        }
    }

    pub(super) fn holds(self, order: Ordering) -> bool {
        match self {
            Comparison::Equal => order == Ordering::Equal,
            Comparison::NotEqual => order != Ordering::Equal,
            Comparison::Less => order == Ordering::Less,
            Comparison::LessOrEqual => order != Ordering::Greater,
            Comparison::Greater => order == Ordering::Greater,
            Comparison::GreaterOrEqual => order != Ordering::Less,
        }
    }
}

/// What a field is compared with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Operand<'a> {
    Number(Num),
    Text(&'a str),
    Bool(bool),
}

impl<'a> Operand<'a> {
    /// A scalar in the place of a literal.
    fn of(scalar: Scalar<'a>) -> Option<Self> {
        match scalar {
            Scalar::Bool(value) => Some(Operand::Bool(value)),
            Scalar::Number(_) => Num::of_scalar(scalar).map(Operand::Number),
            Scalar::Text(text) => Some(Operand::Text(text)),
        }
    }

    /// Whether `scalar comparison self` holds. A scalar that is not of this operand's type makes it false, `!=` too.
    pub(super) fn test(self, comparison: Comparison, scalar: Scalar<'_>) -> bool {
        match self {
            Operand::Number(number) => Num::of_scalar(scalar)
                .and_then(|value| value.compare(number))
                .is_some_and(|order| comparison.holds(order)),
            Operand::Text(text) => comparison.holds(scalar.as_text().as_bytes().cmp(text.as_bytes())),
            Operand::Bool(wanted) => {
                let value = match scalar {
                    Scalar::Bool(value) => value,
                    Scalar::Text("true") => true,
                    Scalar::Text("false") => false,
                    _ => return false,
                };
                match comparison {
                    Comparison::Equal => value == wanted,
                    Comparison::NotEqual => value != wanted,
                    _ => false,
                }
            }
        }
    }
}

/// Whether `left comparison right` holds of two scalars of fields; the left one's type decides.
pub(super) fn test_scalars(left: Scalar<'_>, comparison: Comparison, right: Scalar<'_>) -> bool {
    Operand::of(left).is_some_and(|operand| operand.test(comparison.swapped(), right))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(written: &str) -> Scalar<'_> {
        Scalar::Number(written)
    }

    #[test]
    fn a_number_literal_compares_numbers() {
        let five = Operand::Number(Num::Int(5));
        assert!(five.test(Comparison::Equal, Scalar::Text("5")));
        assert!(five.test(Comparison::Equal, number("5.0")));
        assert!(five.test(Comparison::Greater, number("22")));
        assert!(!five.test(Comparison::NotEqual, Scalar::Text("five")));
        assert!(!five.test(Comparison::NotEqual, Scalar::Bool(true)));
    }

    #[test]
    fn a_text_literal_compares_as_written() {
        let text = Operand::Text("22");
        assert!(text.test(Comparison::Equal, number("22")));
        assert!(!text.test(Comparison::Equal, number("22.0")));
        assert!(Operand::Text("true").test(Comparison::Equal, Scalar::Bool(true)));
    }

    #[test]
    fn a_boolean_literal_takes_the_two_texts_too() {
        let yes = Operand::Bool(true);
        assert!(yes.test(Comparison::Equal, Scalar::Text("true")));
        assert!(yes.test(Comparison::NotEqual, Scalar::Text("false")));
        assert!(!yes.test(Comparison::NotEqual, Scalar::Text("yes")));
        assert!(!yes.test(Comparison::Equal, number("1")));
    }

    #[test]
    fn of_two_fields_the_left_ones_type_decides() {
        assert!(test_scalars(number("5"), Comparison::Equal, Scalar::Text("5.0")));
        assert!(!test_scalars(Scalar::Text("5.0"), Comparison::Equal, number("5")));
        assert!(test_scalars(number("5"), Comparison::Less, number("22")));
        assert!(test_scalars(Scalar::Text("5"), Comparison::Greater, number("22")));
    }
}
