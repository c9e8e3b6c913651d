//! Sums that are exact, so that a value which leaves takes away precisely what it brought.
//!
//! A fixed-point accumulator after Neal's "small superaccumulator" (Fast Exact Summation Using Small and Large
//! Superaccumulators, 2015): digits of 32 bits in words of 64, whose upper halves collect carries. Only the digits in
//! use are kept: ordinary amounts take a few words. Unlike a scheme of two stacks it gives the same value for the same
//! numbers whatever left before them, and it needs no second copy of the window.

use serde::{Deserialize, Serialize};

use super::real::Real;

/// Additions before carries have to move on: each adds less than 2^32 to a word of 63 bits.
const PENDING_MAX: u32 = 1 << 29;

/// A sum of numbers `magnitude * 2^exponent`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Exact {
    /// The first word counts 2^(32 * low).
    low: i32,
    words: Vec<i64>,
    /// Additions since carries moved.
    pending: u32,
}

/// An exact value's digits, the lowest first, for reading.
struct Digits {
    low: i32,
    digits: Vec<u32>,
    is_negative: bool,
}

/// `mantissa * 2^exponent`, the mantissa rounded to 53 bits, ties to even.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Rounded {
    mantissa: f64,
    exponent: i32,
}

impl Exact {
    pub fn add(&mut self, value: Real) {
        let (magnitude, exponent, is_negative) = value.parts();
        self.put(magnitude.into(), exponent, is_negative);
    }

    pub fn subtract(&mut self, value: Real) {
        let (magnitude, exponent, is_negative) = value.parts();
        self.put(magnitude.into(), exponent, !is_negative);
    }

    pub fn add_square(&mut self, value: Real) {
        let (magnitude, exponent, _) = value.parts();
        self.put(u128::from(magnitude).pow(2), 2 * exponent, false);
    }

    pub fn subtract_square(&mut self, value: Real) {
        let (magnitude, exponent, _) = value.parts();
        self.put(u128::from(magnitude).pow(2), 2 * exponent, true);
    }

    pub fn add_int(&mut self, value: i128) {
        self.put(value.unsigned_abs(), 0, value < 0);
    }

    /// The nearest float; `None` beyond their range.
    pub fn to_f64(&self) -> Option<f64> {
        let rounded = self.digits().round();
        let value = scale(rounded.mantissa, rounded.exponent);
        value.is_finite().then_some(value)
    }

    fn put(&mut self, magnitude: u128, exponent: i32, is_negative: bool) {
        if magnitude == 0 {
            return;
        }
        let (word, shift) = (exponent.div_euclid(32), exponent.rem_euclid(32) as u32);
        let (lower, upper) = (magnitude << shift, if shift == 0 { 0 } else { magnitude >> (128 - shift) });
        let digits = [lower, lower >> 32, lower >> 64, lower >> 96, upper].map(|part| i64::from(part as u32));
        let used = digits.iter().rposition(|digit| *digit != 0).map_or(0, |last| last + 1);
        let from = self.reach(word, used);
        for (word, digit) in self.words[from..].iter_mut().zip(&digits[..used]) {
            *word += if is_negative { -digit } else { *digit };
        }
        self.pending += 1;
        if self.pending >= PENDING_MAX {
            self.carry();
        }
    }

    /// Makes room for `count` words from `word` on; says where they start.
    fn reach(&mut self, word: i32, count: usize) -> usize {
        if self.words.is_empty() {
            self.low = word;
        }
        if word < self.low {
            let missing = (self.low - word) as usize;
            self.words.splice(0..0, std::iter::repeat_n(0, missing));
            self.low = word;
        }
        let from = (word - self.low) as usize;
        if self.words.len() < from + count {
            self.words.resize(from + count, 0);
        }
        from
    }

    /// Moves carries on: every word but the last becomes a digit; the last one has the sign.
    fn carry(&mut self) {
        self.pending = 0;
        let mut carry = 0;
        for word in &mut self.words {
            let total = *word + carry;
            *word = total & 0xffff_ffff;
            carry = total >> 32;
        }
        match self.words.last_mut() {
            // The sign stays where it is, or the words would grow with every carry.
            Some(last) if carry == -1 => *last -= 1 << 32,
            Some(_) if carry != 0 => self.words.push(carry),
            _ => {}
        }
    }

    fn digits(&self) -> Digits {
        let mut plain = self.clone();
        plain.carry();
        let is_negative = plain.words.last().is_some_and(|last| *last < 0);
        if is_negative {
            plain.words.iter_mut().for_each(|word| *word = -*word);
            plain.carry();
        }
        let digits = plain.words.iter().map(|word| *word as u32).collect();
        Digits { low: plain.low, digits, is_negative }
    }

    /// The square root of (n · squares − sum²) / n²: the deviation of n numbers from their mean, of the population.
    pub fn deviation(n: u64, sum: &Exact, squares: &Exact) -> Option<f64> {
        let mut difference = Exact::default();
        let count = Digits { low: 0, digits: vec![n as u32, (n >> 32) as u32], is_negative: false };
        difference.put_product(&squares.digits(), &count, false);
        let sum = sum.digits();
        difference.put_product(&sum, &sum, true);
        let mut rounded = difference.digits().round();
        if rounded.exponent % 2 != 0 {
            rounded.mantissa *= 2.0;
            rounded.exponent -= 1;
        }
        let value = scale(rounded.mantissa.sqrt() / n as f64, rounded.exponent / 2);
        value.is_finite().then_some(value)
    }

    /// Adds, or subtracts, the product of two magnitudes.
    fn put_product(&mut self, left: &Digits, right: &Digits, is_negative: bool) {
        for (i, a) in left.digits.iter().enumerate() {
            for (j, b) in right.digits.iter().enumerate() {
                let exponent = 32 * (left.low + right.low + (i + j) as i32);
                self.put(u128::from(*a) * u128::from(*b), exponent, is_negative);
            }
        }
    }
}

impl Digits {
    fn round(&self) -> Rounded {
        let Some(top) = self.digits.iter().rposition(|digit| *digit != 0) else {
            return Rounded { mantissa: 0.0, exponent: 0 };
        };
        let at = |back: usize| top.checked_sub(back).map_or(0, |at| u128::from(self.digits[at]));
        // The upper 96 bits, of which at least 65 are in use; the last one says whether anything lies below.
        let lost = self.digits[..top.saturating_sub(2)].iter().any(|digit| *digit != 0);
        let mut window = at(0) << 64 | at(1) << 32 | at(2) | u128::from(lost);
        let excess = (128 - window.leading_zeros()).saturating_sub(64);
        let sticky = window & ((1 << excess) - 1) != 0;
        window = window >> excess | u128::from(sticky);
        // 64 bits to 53: the conversion rounds to nearest, ties to even, and the last bit breaks them.
        let mantissa = window as u64 as f64;
        let exponent = 32 * (self.low + top as i32 - 2) + excess as i32;
        Rounded { mantissa: if self.is_negative { -mantissa } else { mantissa }, exponent }
    }
}

/// `value * 2^exponent`, for values below 2^64.
fn scale(mut value: f64, mut exponent: i32) -> f64 {
    while exponent > 1000 && value.is_finite() && value != 0.0 {
        value *= 2f64.powi(1000);
        exponent -= 1000;
    }
    while exponent < -1000 && value != 0.0 {
        value *= 2f64.powi(-1000);
        exponent += 1000;
    }
    if value == 0.0 { 0.0 } else { value * 2f64.powi(exponent) }
}
