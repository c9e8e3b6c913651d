//! Which gates are rare, learnt from the events that pass a bucket.
//!
//! How often a gate in use is seen is known exactly. Where gates are seen often, the other atoms of the predicates
//! behind them are *probed*: asked of a few events each, some at every event. Then the gates are chosen again. All of
//! it depends on the events alone, and only speed depends on it.

use std::collections::HashMap;

/// Events before the first review of a bucket's gates.
const FIRST_REVIEW: u32 = 256;

/// Events between two reviews at most.
const REVIEW_MAX: u32 = 1 << 20;

/// Predicates asked for each event below which there is nothing to gain.
const CALM: f64 = 0.25;

/// Atoms probed at each event.
const PROBES_PER_EVENT: usize = 4;

/// Events that each atom is probed on.
const SAMPLES: u32 = 32;

/// Atoms that are probed in one round.
pub(super) const PROBES_MAX: usize = 4_096;

/// A gate seen in a greater share of events is worth an alternative.
pub(super) const HOT: f32 = 1.0 / 64.0;

/// Above this many events the past counts half at each review.
const MEMORY: u32 = 1 << 17;

/// What was learnt of the atoms of one bucket.
#[derive(Debug)]
pub(super) struct Learner {
    events: u32,
    /// Predicates that were asked.
    asked: u64,
    review_at: u32,
    interval: u32,
    tried: HashMap<u32, Tried>,
    probes: Vec<u32>,
    next_probe: usize,
}

/// Events that an atom was looked for in, and those where it was true.
#[derive(Debug, Clone, Copy, Default)]
struct Tried {
    events: u32,
    seen: u32,
}

/// What a review comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The gates are rare enough.
    Calm,
    /// The alternatives of the hot gates may be worth probing; if there are none, the gates are chosen again.
    Busy,
    /// Probes have ended: the gates are to be chosen again.
    Probed,
}

impl Default for Learner {
    fn default() -> Self {
        Learner {
            events: 0,
            asked: 0,
            review_at: FIRST_REVIEW,
            interval: FIRST_REVIEW,
            tried: HashMap::new(),
            probes: Vec::new(),
            next_probe: 0,
        }
    }
}

impl Learner {
    /// The share of events in which the atom was true, where enough is known of it.
    pub(super) fn share(&self, atom: u32) -> Option<f32> {
        let tried = self.tried.get(&atom).filter(|tried| tried.events >= SAMPLES)?;
        Some((tried.seen as f32 + 0.3) / (tried.events as f32 + 1.0))
    }

    /// Counts an event; says whether it is time for a review.
    pub(super) fn count(&mut self, asked: usize) -> bool {
        self.events += 1;
        self.asked += asked as u64;
        self.events >= self.review_at
    }

    /// The atoms to probe on this event.
    pub(super) fn probes(&mut self) -> impl Iterator<Item = u32> + use<> {
        let count = PROBES_PER_EVENT.min(self.probes.len());
        let mut due = [0; PROBES_PER_EVENT];
        for due in &mut due[..count] {
            *due = self.probes[self.next_probe];
            self.next_probe = (self.next_probe + 1) % self.probes.len();
        }
        due.into_iter().take(count)
    }

    pub(super) fn probed(&mut self, atom: u32, answer: bool) {
        let tried = self.tried.entry(atom).or_default();
        tried.events += 1;
        tried.seen += u32::from(answer);
    }

    /// Ends a period: takes in how often each gate was seen, and judges.
    pub(super) fn review(&mut self, gates: impl Iterator<Item = (u32, u32)>) -> Verdict {
        let events = std::mem::take(&mut self.events);
        let asked = std::mem::take(&mut self.asked);
        for (atom, seen) in gates {
            let tried = self.tried.entry(atom).or_default();
            if tried.events > MEMORY {
                *tried = Tried { events: tried.events / 2, seen: tried.seen / 2 };
            }
            tried.events += events;
            tried.seen += seen;
        }
        let verdict = match (self.probes.is_empty(), asked as f64 <= CALM * f64::from(events)) {
            (false, _) => Verdict::Probed,
            (true, true) => Verdict::Calm,
            (true, false) => Verdict::Busy,
        };
        self.probes.clear();
        self.interval = (self.interval * 2).min(REVIEW_MAX);
        self.review_at = self.interval;
        verdict
    }

    /// Starts to probe these atoms, those of which enough is known left out; says whether any is left.
    pub(super) fn start_probes(&mut self, atoms: impl Iterator<Item = u32>) -> bool {
        let unknown = atoms.filter(|atom| self.tried.get(atom).is_none_or(|tried| tried.events < SAMPLES));
        self.probes = unknown.take(PROBES_MAX).collect();
        self.probes.sort_unstable();
        self.probes.dedup();
        self.next_probe = 0;
        let rounds = self.probes.len().div_ceil(PROBES_PER_EVENT) as u32 * (SAMPLES + 1);
        if rounds > 0 {
            self.review_at = rounds;
        }
        rounds > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_known_after_enough_events() {
        let mut learner = Learner::default();
        assert!(learner.start_probes([7, 9, 7].into_iter()));
        while !learner.count(1) {
            for atom in learner.probes() {
                learner.probed(atom, atom == 7);
            }
        }
        assert_eq!(learner.review(std::iter::empty()), Verdict::Probed);
        assert!(learner.share(7).unwrap() > 0.9 && learner.share(9).unwrap() < 0.1 && learner.share(8).is_none());
        assert!(!learner.start_probes([7, 9].into_iter()));
    }

    #[test]
    fn rare_gates_are_left_alone() {
        let mut learner = Learner::default();
        while !learner.count(0) {}
        assert_eq!(learner.review([(1, 0)].into_iter()), Verdict::Calm);
        while !learner.count(1) {}
        assert_eq!(learner.review([(1, 500)].into_iter()), Verdict::Busy);
    }
}
