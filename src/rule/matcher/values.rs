//! What short values were found to have in the fields of buckets: most fields of logs have few values, so most values
//! are looked through once.
//!
//! A value that comes the second time behind its predecessor in the same cell is taken in, so that values which come
//! once (a command line, a hash) don't drive out those that come again; a field whose values rarely do is left alone
//! for a while. Only speed depends on it.

use super::texts::number;

/// Longer values seldom come again.
pub(super) const BYTES_MAX: usize = 88;

/// Values with more findings are looked through each time.
const ENTRIES_MAX: usize = 8;

/// Cells, of 128 bytes each.
const CELLS: usize = 1 << 12;

/// Odd multipliers that spread what is hashed (2^64 over the golden ratio; of MurmurHash3's finaliser).
const SPREAD: [u64; 2] = [0x9e37_79b9_7f4a_7c15, 0xff51_afd7_ed55_8ccd];

/// Values after which it is judged whether a field's come again.
const TRIAL: u32 = 1_024;

/// Values that are looked through, in a field where they don't, before it is tried again.
const REST: u32 = 1 << 16;

/// Of the values of a trial, one in so many has to have come again.
const WORTH: u32 = 3;

/// Values with what was found for them, of all fields of all buckets; [`CELLS`] at most.
#[derive(Debug, Default)]
pub(super) struct Values {
    cells: Vec<Cell>,
    /// By cell: the other half of the hash of the last value that was not found in it.
    missed: Vec<u32>,
    /// What was found for the value that is being looked through.
    new: Vec<u32>,
}

#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
struct Cell {
    /// The gates that it was held against; 0 for an empty cell.
    gates: u32,
    length: u8,
    found: u8,
    entries: [u32; ENTRIES_MAX],
    text: [u8; BYTES_MAX],
}

/// Whether the values of a field come again often enough.
#[derive(Debug, Default)]
pub(super) struct Trial {
    tried: u32,
    again: u32,
    /// Values before the next trial.
    rest: u32,
}

impl Trial {
    /// Whether the next value is to be looked up.
    #[inline]
    pub(super) fn is_on(&mut self) -> bool {
        if self.rest > 0 {
            self.rest -= 1;
            return false;
        }
        if self.tried == TRIAL {
            let is_worth = self.again * WORTH >= self.tried;
            *self = Trial { rest: if is_worth { 0 } else { REST }, ..Trial::default() };
        }
        self.tried += 1;
        true
    }
}

impl Values {
    /// What `look` finds for a value of [`BYTES_MAX`] at most, each once or more, or found when it came before.
    /// `gates` is the number of those that it is held against, above 0.
    #[inline]
    pub(super) fn found(
        &mut self,
        gates: u32,
        value: &[u8],
        trial: &mut Trial,
        look: impl FnOnce(&mut Vec<u32>),
    ) -> &[u32] {
        let hash = hash(gates, value);
        let (at, tag) = ((hash >> 32) as usize % CELLS, hash as u32);
        if self.cells.get(at).is_some_and(|cell| cell.holds(gates, value)) {
            trial.again += 1;
            let cell = &self.cells[at];
            return &cell.entries[..usize::from(cell.found)];
        }
        self.new.clear();
        look(&mut self.new);
        self.missed.resize(CELLS, 0);
        if std::mem::replace(&mut self.missed[at], tag) == tag {
            self.take(at, gates, value);
        }
        &self.new
    }

    #[cold]
    fn take(&mut self, at: usize, gates: u32, value: &[u8]) {
        self.new.sort_unstable();
        self.new.dedup();
        let found = self.new.len();
        if found <= ENTRIES_MAX {
            self.cells.resize(CELLS, Cell::EMPTY);
            let cell = &mut self.cells[at];
            (cell.gates, cell.length, cell.found) = (gates, value.len() as u8, found as u8);
            cell.entries[..found].copy_from_slice(&self.new);
            cell.text[..value.len()].copy_from_slice(value);
        }
    }
}

impl Cell {
    const EMPTY: Cell = Cell { gates: 0, length: 0, found: 0, entries: [0; ENTRIES_MAX], text: [0; BYTES_MAX] };

    #[inline]
    fn holds(&self, gates: u32, value: &[u8]) -> bool {
        self.gates == gates && usize::from(self.length) == value.len() && self.text[..value.len()] == *value
    }
}

/// Of the length, both ends and the middle: cheap, and what shares them is compared.
#[inline]
fn hash(gates: u32, value: &[u8]) -> u64 {
    let length = value.len();
    let (first, middle, last) = match length {
        0..8 => (number(value), 0, 0),
        8..17 => (number(&value[..8]), 0, number(&value[length - 8..])),
        _ => {
            let middle = number(&value[length / 2 - 4..length / 2 + 4]) ^ number(&value[length - 16..length - 8]);
            (number(&value[..8]), middle, number(&value[length - 8..]))
        }
    };
    let mixed = (first ^ u64::from(gates) << 8 ^ length as u64).wrapping_mul(SPREAD[1]).rotate_left(29) ^ last;
    let mixed = (mixed.wrapping_mul(SPREAD[0]) ^ middle).wrapping_mul(SPREAD[1]);
    mixed ^ mixed >> 32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_value_that_comes_again_is_looked_through_twice() {
        let (mut values, mut trial, mut looks) = (Values::default(), Trial::default(), 0);
        for _ in 0..5 {
            let found = values.found(7, b"value", &mut trial, |into| {
                looks += 1;
                into.extend([4, 2, 4]);
            });
            assert!([&[4, 2, 4][..], &[2, 4]].contains(&found));
        }
        assert_eq!(looks, 2);
    }

    #[test]
    fn what_has_too_many_findings_is_looked_through_each_time() {
        let (mut values, mut trial) = (Values::default(), Trial::default());
        for _ in 0..5 {
            let found = values.found(1, b"value", &mut trial, |into| into.extend(0..20));
            assert_eq!(found.len(), 20);
        }
    }

    #[test]
    fn a_field_whose_values_do_not_come_again_rests_for_a_while() {
        let (mut values, mut trial) = (Values::default(), Trial::default());
        for number in 0..TRIAL {
            assert!(trial.is_on());
            values.found(1, &number.to_le_bytes(), &mut trial, |_| {});
        }
        assert!(trial.is_on(), "the one that judges");
        assert_eq!((0..2 * REST).find(|_| trial.is_on()), Some(REST));
    }

    proptest! {
        #[test]
        fn it_finds_what_looking_through_does(
            asked in prop::collection::vec((1..4u32, "[ab]{0,3}|a{30,33}[ab]{0,6}|[ab]{3}a{80,85}"), 0..200),
        ) {
            let (mut values, mut trial) = (Values::default(), Trial::default());
            let really = |gates: u32, value: &[u8]| -> Vec<u32> {
                let sum: u32 = value.iter().zip(1..).map(|(byte, at)| u32::from(*byte) * at).sum();
                (0..(sum + gates) % 11).map(|entry| entry * sum).collect()
            };
            for (gates, value) in &asked {
                let really = really(*gates, value.as_bytes());
                let mut found = values.found(*gates, value.as_bytes(), &mut trial, |into| into.extend(&really)).to_vec();
                found.sort_unstable();
                let mut once = really.clone();
                once.sort_unstable();
                once.dedup();
                found.dedup();
                prop_assert_eq!(found, once);
            }
        }
    }
}
