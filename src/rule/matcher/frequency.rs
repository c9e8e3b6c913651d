//! How often 4-byte pieces occur in the events that pass, sampled: needles are looked for by their rare parts.

use super::lookup::spread;

/// Counters; pieces that share one are thought as frequent together.
const COUNTERS: usize = 1 << 14;

/// Bytes of one event that are looked at.
const SAMPLE_BYTES_MAX: usize = 4_096;

/// Sampled counts of the 4-grams of folded texts.
#[derive(Debug)]
pub(super) struct Frequencies(Box<[u16]>);

impl Default for Frequencies {
    fn default() -> Self {
        Frequencies(vec![0; COUNTERS].into())
    }
}

impl Frequencies {
    /// Takes in the folded texts of an event.
    pub(super) fn observe(&mut self, texts: &[u8]) {
        for window in texts[..texts.len().min(SAMPLE_BYTES_MAX)].windows(4) {
            let count = &mut self.0[at(window)];
            *count = count.saturating_add(1);
            if *count == u16::MAX {
                self.0.iter_mut().for_each(|count| *count /= 2);
            }
        }
    }

    /// Where the `count` consecutive pieces of `width` bytes, 4 or more, of a needle start that occur least; of several
    /// the last. Of a longer piece its rarest 4-gram counts.
    pub(super) fn rarest(&self, needle: &[u8], count: usize, width: usize) -> usize {
        let counts: Vec<u32> = needle.windows(4).map(|window| self.0[at(window)].into()).collect();
        let pieces: Vec<u32> =
            counts.windows(width - 3).map(|grams| grams.iter().copied().min().unwrap_or(0)).collect();
        let sums = pieces.windows(count).map(|window| window.iter().sum::<u32>());
        sums.enumerate().min_by_key(|(at, sum)| (*sum, std::cmp::Reverse(*at))).map_or(0, |(at, _)| at)
    }
}

fn at(gram: &[u8]) -> usize {
    (spread(u32::from_le_bytes([gram[0], gram[1], gram[2], gram[3]]).into()) >> 50) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_needle_is_looked_for_by_what_events_have_least() {
        let mut frequencies = Frequencies::default();
        (0..100).for_each(|_| frequencies.observe(br"c:\windows\system32\"));
        assert_eq!(frequencies.rarest(br"c:\windows\zqx", 1, 4), 10);
        assert_eq!(frequencies.rarest(b"zqxj.c:\\windows", 1, 4), 4);
        assert_eq!(frequencies.rarest(br"c:\windows\system32\zqxjkvbw", 1, 8), 20);
    }
}
