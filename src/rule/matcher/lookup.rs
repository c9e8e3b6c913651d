//! A multimap from 64-bit keys, built once and read often: one array of starts, one of entries, no pointers.

/// An odd multiplier that spreads keys over the upper bits (2^64 over the golden ratio).
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

/// Spreads a key; the upper bits are the good ones.
pub(super) fn spread(key: u64) -> u64 {
    (key ^ (key >> 32)).wrapping_mul(SPREAD)
}

/// Entries by key, several to a key.
#[derive(Debug)]
pub(super) struct Lookup<T> {
    shift: u32,
    /// Where the entries of each group start; one more than there are groups.
    starts: Box<[u32]>,
    entries: Box<[(u64, T)]>,
}

impl<T: Copy> Lookup<T> {
    /// `None` without entries.
    pub(super) fn new(entries: Vec<(u64, T)>) -> Option<Self> {
        if entries.is_empty() {
            return None;
        }
        let groups = entries.len().next_power_of_two();
        let shift = 64 - groups.trailing_zeros().max(1);
        let group = |key: u64| (spread(key) >> shift) as usize;
        let mut starts = vec![0u32; groups.max(2) + 1];
        for (key, _) in &entries {
            starts[group(*key) + 1] += 1;
        }
        for at in 1..starts.len() {
            starts[at] += starts[at - 1];
        }
        let mut entries = entries;
        entries.sort_by_key(|(key, _)| group(*key));
        Some(Lookup { shift, starts: starts.into(), entries: entries.into() })
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The keys of all entries.
    pub(super) fn keys(&self) -> impl Iterator<Item = u64> + '_ {
        self.entries.iter().map(|(key, _)| *key)
    }

    /// What was entered under the key, in the order of entry.
    pub(super) fn get(&self, key: u64) -> impl Iterator<Item = T> + '_ {
        let group = (spread(key) >> self.shift) as usize;
        let entries = &self.entries[self.starts[group] as usize..self.starts[group + 1] as usize];
        entries.iter().filter(move |(own, _)| *own == key).map(|(_, value)| *value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_is_found_under_its_key_and_no_other() {
        let lookup = Lookup::new((0..1000u64).flat_map(|key| [(key * 7, key), (key * 7, key + 1)]).collect()).unwrap();
        assert_eq!(lookup.len(), 2000);
        for key in 0..7000 {
            let found: Vec<u64> = lookup.get(key).collect();
            assert_eq!(found, if key % 7 == 0 { vec![key / 7, key / 7 + 1] } else { vec![] });
        }
    }

    #[test]
    fn one_entry_alone_is_found() {
        let lookup = Lookup::new(vec![(9, 'x')]).unwrap();
        assert_eq!((lookup.get(9).count(), lookup.get(8).count()), (1, 0));
        assert!(Lookup::<char>::new(vec![]).is_none());
    }
}
