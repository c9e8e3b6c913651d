//! Numbers as aggregates keep them: 16 bytes, totally ordered.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

use crate::rule::Num;

/// A finite number. Integers of 64 bits, signed or not, are exact; wider ones are the nearest float.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) enum Real {
    Int(i64),
    /// Above `i64::MAX`.
    Large(u64),
    Float(f64),
}

impl Real {
    /// `None` for what is beyond the floats: a written `1e999` is no number to calculate with.
    pub fn of(number: Num) -> Option<Self> {
        let float = match number {
            Num::Int(value) => {
                if let Ok(value) = i64::try_from(value) {
                    return Some(Real::Int(value));
                }
                if let Ok(value) = u64::try_from(value) {
                    return Some(Real::Large(value));
                }
                value as f64
            }
            // There is one zero.
            Num::Float(value) => value + 0.0,
        };
        float.is_finite().then_some(Real::Float(float))
    }

    pub fn to_num(self) -> Num {
        match self {
            Real::Int(value) => Num::Int(value.into()),
            Real::Large(value) => Num::Int(value.into()),
            Real::Float(value) => Num::Float(value),
        }
    }

    /// The value as `magnitude * 2^exponent`, and whether it is negative. The magnitude is below 2^64.
    pub fn parts(self) -> (u64, i32, bool) {
        match self {
            Real::Int(value) => (value.unsigned_abs(), 0, value < 0),
            Real::Large(value) => (value, 0, false),
            Real::Float(value) => {
                let bits = value.to_bits();
                let (exponent, fraction) = ((bits >> 52) as i32 & 0x7ff, bits & ((1 << 52) - 1));
                let (magnitude, exponent) = match exponent {
                    0 => (fraction, -1074),
                    exponent => (fraction | 1 << 52, exponent - 1075),
                };
                (magnitude, exponent, value.is_sign_negative())
            }
        }
    }
}

/// By value, whatever the kinds.
impl Ord for Real {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Real::Int(a), Real::Int(b)) => a.cmp(b),
            // Both are finite.
            (a, b) => a.to_num().compare(b.to_num()).unwrap_or(Ordering::Equal),
        }
    }
}

impl PartialOrd for Real {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Real {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Real {}
