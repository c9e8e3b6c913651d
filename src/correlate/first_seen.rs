//! Which combinations of values a key has shown lately.
//!
//! Of a combination its digest is kept and when it was sighted last, so that values may be as long as they like. A
//! sighting costs O(1) amortised.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    sync::Arc,
};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::packed::Packed;
use crate::{
    detect::{Combined, combined},
    event::Timestamp,
    rule::FirstSeen,
};

/// The first 16 bytes of the SHA-256 over the values, each as its length in bytes (u32, big-endian) and its UTF-8.
type Combination = [u8; 16];

/// The combinations of one key.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Kept", into = "Kept")]
pub(super) struct Sightings {
    /// The key's first signal since anything of it has been known: learning begins here.
    first: Option<Timestamp>,
    last: HashMap<Combination, Timestamp>,
    /// The oldest first. An entry that is not the combination's last sighting has been renewed and counts no more.
    by_time: VecDeque<(Timestamp, Combination)>,
    /// The last sighting that a bound left out.
    cut: Option<Timestamp>,
}

/// What a signal's combinations were.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sighted {
    /// At least one was new, and learning was over.
    pub is_new: bool,
    /// Older combinations that had to be forgotten for these; they would be new again.
    pub evicted: u64,
}

/// The combinations of a signal's values at these paths: arrays give one for each element, several arrays their cross
/// product. None when a field is missing.
pub(super) fn combinations(fields: Packed<'_>, paths: &[Arc<str>]) -> Combined {
    combined(paths.iter().map(|path| texts(fields, path)))
}

/// The distinct texts at `path` in byte order.
fn texts(fields: Packed<'_>, path: &str) -> Vec<Arc<str>> {
    let mut texts = BTreeSet::new();
    fields.each(path, &mut |scalar| texts.extend([scalar.as_text()]));
    texts.into_iter().filter(|text| !text.is_empty()).map(Arc::from).collect()
}

impl Sightings {
    /// Takes notice of a signal, in the order of time. At most `max` combinations are kept: those sighted longest ago
    /// go first.
    pub fn see(&mut self, rule: &FirstSeen, time: Timestamp, combinations: &Combined, max: usize) -> Sighted {
        let is_known = self.known_until(rule).is_some_and(|until| until >= time);
        self.expire(time.minus(rule.over));
        let first = self.first.filter(|_| is_known).unwrap_or(time);
        self.first = Some(first);
        let mut is_new = false;
        for combination in combinations.kept.iter().map(|values| digest(values)) {
            let before = self.last.insert(combination, time);
            is_new |= before.is_none();
            if before != Some(time) {
                self.by_time.push_back((time, combination));
            }
        }
        let evicted = self.evict(max.max(1));
        if combinations.cut > 0 {
            self.cut = Some(time);
        }
        self.tidy();
        Sighted { is_new: is_new && time >= first.plus(rule.learn), evicted }
    }

    /// The last time at which a combination still counts as seen. A key that shows itself later is a new one, and
    /// learns anew.
    pub fn known_until(&self, rule: &FirstSeen) -> Option<Timestamp> {
        self.by_time.back().map(|(time, _)| time.plus(rule.over))
    }

    /// The last sighting that a bound left out: a combination that was sighted up to then may look new.
    pub fn cut(&self) -> Option<Timestamp> {
        self.cut
    }

    /// Combinations that are kept.
    pub fn len(&self) -> usize {
        self.last.len()
    }

    /// About what they take in memory: each is in the map, and at least once in the order of time.
    pub fn bytes(&self) -> usize {
        self.last.len() * 2 * size_of::<(Timestamp, Combination)>()
    }

    /// Forgets sightings before this time; one exactly then still counts.
    fn expire(&mut self, before: Timestamp) {
        while self.by_time.front().is_some_and(|(time, _)| *time < before) {
            self.pop();
        }
        self.cut = self.cut.filter(|cut| *cut >= before);
    }

    fn evict(&mut self, max: usize) -> u64 {
        let mut evicted = 0;
        while self.last.len() > max {
            if let Some(sighted) = self.pop() {
                evicted += 1;
                self.cut = self.cut.max(Some(sighted));
            }
        }
        evicted
    }

    /// Removes the oldest entry; says when the combination that went with it was sighted, if one did.
    fn pop(&mut self) -> Option<Timestamp> {
        let (time, combination) = self.by_time.pop_front()?;
        let is_last = self.last.get(&combination) == Some(&time);
        is_last.then(|| {
            self.last.remove(&combination);
            time
        })
    }

    /// Drops renewed entries once they are more than the others.
    fn tidy(&mut self) {
        if self.by_time.len() > 2 * self.last.len() + 8 {
            let last = &self.last;
            self.by_time.retain(|(time, combination)| last.get(combination) == Some(time));
        }
    }
}

fn digest(values: &[Arc<str>]) -> Combination {
    let mut hash = Sha256::new();
    for value in values {
        hash.update((value.len() as u32).to_be_bytes());
        hash.update(value.as_bytes());
    }
    let mut combination = Combination::default();
    combination.copy_from_slice(&hash.finalize()[..16]);
    combination
}

/// As a record holds it: only what counts.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Kept {
    first: Option<Timestamp>,
    by_time: Vec<(Timestamp, Combination)>,
    cut: Option<Timestamp>,
}

impl From<Kept> for Sightings {
    fn from(kept: Kept) -> Self {
        let last = kept.by_time.iter().map(|(time, combination)| (*combination, *time)).collect();
        Sightings { first: kept.first, last, by_time: kept.by_time.into(), cut: kept.cut }
    }
}

impl From<Sightings> for Kept {
    fn from(sightings: Sightings) -> Self {
        let Sightings { first, last, by_time, cut } = sightings;
        let counts = |(time, combination): &(Timestamp, Combination)| last.get(combination) == Some(time);
        Kept { first, by_time: by_time.into_iter().filter(counts).collect(), cut }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn rule(over: u64, learn: u64) -> FirstSeen {
        let span = Duration::from_nanos;
        FirstSeen { fields: vec!["a".into()], over: span(over), learn: span(learn) }
    }

    fn see(sightings: &mut Sightings, rule: &FirstSeen, at: i64, values: &[&str]) -> bool {
        sightings.see(rule, Timestamp(at), &one_by_one(values, 0), 100).is_new
    }

    fn one_by_one(values: &[&str], cut: u64) -> Combined {
        Combined { kept: values.iter().map(|value| vec![Arc::from(*value)]).collect(), cut }
    }

    #[test]
    fn a_sighting_counts_to_its_end_and_each_one_renews_it() {
        let (rule, mut seen) = (rule(10, 0), Sightings::default());
        let found = [0, 10, 20, 31].map(|at| see(&mut seen, &rule, at, &["x"]));
        assert_eq!(found, [true, false, false, true]);
    }

    #[test]
    fn learning_ends_before_its_last_moment() {
        let (rule, mut seen) = (rule(100, 10), Sightings::default());
        let found = [(0, "a"), (9, "b"), (10, "c"), (11, "b")].map(|(at, value)| see(&mut seen, &rule, at, &[value]));
        assert_eq!(found, [false, false, true, false]);
    }

    #[test]
    fn a_key_of_which_nothing_is_known_any_more_learns_anew() {
        let (rule, mut seen) = (rule(10, 5), Sightings::default());
        let found = [(0, "a"), (6, "b"), (16, "c"), (27, "d"), (31, "e"), (32, "f")];
        let found = found.map(|(at, value)| see(&mut seen, &rule, at, &[value]));
        assert_eq!(found, [false, true, true, false, false, true]);
    }

    #[test]
    fn one_new_combination_of_several_is_enough() {
        let (rule, mut seen) = (rule(100, 0), Sightings::default());
        assert!(see(&mut seen, &rule, 0, &["a", "b"]));
        assert!(!see(&mut seen, &rule, 1, &["b", "a"]));
        assert!(see(&mut seen, &rule, 2, &["b", "c"]));
    }

    #[test]
    fn past_the_bound_those_sighted_longest_ago_go_and_are_counted() {
        let (rule, mut seen) = (rule(100, 0), Sightings::default());
        let mut see = |at: i64, value: &str| seen.see(&rule, Timestamp(at), &one_by_one(&[value], 0), 2);
        see(0, "a");
        see(1, "b");
        see(2, "a");
        assert_eq!(see(3, "c"), Sighted { is_new: true, evicted: 1 });
        assert!(!see(4, "a").is_new, "it was renewed");
        assert!(see(5, "b").is_new, "it was forgotten");
    }

    #[test]
    fn what_a_bound_left_out_is_known_for_as_long_as_it_would_have_counted() {
        let (rule, mut seen) = (rule(10, 0), Sightings::default());
        let mut see = |at: i64, values: &[&str], cut: u64| {
            seen.see(&rule, Timestamp(at), &one_by_one(values, cut), 2);
            seen = postcard::from_bytes(&postcard::to_allocvec(&seen).unwrap()).unwrap();
            seen.cut().map(|Timestamp(at)| at)
        };
        assert_eq!([see(0, &["a"], 0), see(1, &["b"], 0), see(2, &["c"], 0)], [None, None, Some(0)], "`a` went");
        assert_eq!([see(10, &["b"], 0), see(11, &["b"], 0)], [Some(0), None]);
        assert_eq!([see(20, &["b"], 5), see(30, &["b"], 0), see(31, &["b"], 0)], [Some(20), Some(20), None]);
    }

    proptest! {
        #[test]
        fn the_answer_is_that_of_all_sightings(
            signals in prop::collection::vec((0i64..5, prop::sample::subsequence(vec!["a", "b", "c", "d"], 1..3)), 1..60),
            over in 0u64..12,
            learn in 0u64..12,
            restarts in prop::collection::vec(any::<bool>(), 60),
        ) {
            let (rule, mut seen) = (rule(over, learn), Sightings::default());
            let (mut now, mut before) = (0, Vec::<(i64, &str)>::new());
            let mut first = None;
            for (at, (gap, values)) in signals.into_iter().enumerate() {
                now += gap;
                let is_known = |value: &&str| before.iter().any(|(time, seen)| seen == value && now - time <= over as i64);
                let is_new = !values.iter().all(is_known);
                let is_known = before.last().is_some_and(|(time, _)| now - time <= over as i64);
                let start = first.filter(|_| is_known).unwrap_or(now);
                first = Some(start);
                let found = see(&mut seen, &rule, now, &values);
                prop_assert_eq!(found, is_new && now >= start + learn as i64);
                before.extend(values.iter().map(|value| (now, *value)));
                if restarts[at] {
                    seen = postcard::from_bytes(&postcard::to_allocvec(&seen).unwrap()).unwrap();
                }
            }
        }
    }
}
