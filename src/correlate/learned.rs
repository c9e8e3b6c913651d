//! What a key learns over time, whether or not an alert is open: sightings, or a baseline's history.

use serde::{Deserialize, Serialize};

use super::{
    arrival::Arrival,
    baseline::History,
    first_seen::{Sightings, combinations},
    key::Walk,
};
use crate::{
    event::Timestamp,
    rule::{Baseline, Window},
};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Learned {
    Sightings(Sightings),
    History(Box<History>),
}

/// What a signal is to what was learnt before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lesson {
    /// The rule takes no notice of it.
    Ignored,
    /// It is no reason to fire.
    Known,
    /// Nothing speaks against firing.
    New,
}

impl Learned {
    /// Learns from the next signal of the total order.
    pub fn see(learned: &mut Option<Self>, signal: &Arrival<'_>, walk: &mut Walk<'_>) -> Lesson {
        let rule = &walk.plan.rule;
        let max = walk.limits.signals_per_key_max;
        match &rule.window {
            Window::FirstSeen(first_seen) => {
                let combinations = combinations(signal.fields, &first_seen.fields);
                if combinations.kept.is_empty() {
                    walk.tally.missing_value += 1;
                    return Lesson::Ignored;
                }
                walk.tally.combinations_cut += combinations.cut;
                let sightings = learned.get_or_insert_with(|| Learned::Sightings(Sightings::default()));
                let Learned::Sightings(sightings) = sightings else { return Lesson::Known };
                let sighted = sightings.see(first_seen, signal.time, &combinations, max);
                walk.tally.evicted += sighted.evicted;
                if sighted.is_new { Lesson::New } else { Lesson::Known }
            }
            Window::Baseline(baseline) => {
                let new = || Learned::History(Box::new(History::new(rule, baseline, signal.time)));
                let Learned::History(history) = learned.get_or_insert_with(new) else { return Lesson::Known };
                if let Err(error) = history.see((&**rule, baseline, walk.key), signal, max) {
                    walk.tally.when = Some(Err(error));
                }
                Lesson::New
            }
            _ => Lesson::New,
        }
    }

    /// Whether the bucket of a `baseline` that ends now left its history.
    pub fn has_left(learned: &mut Option<Self>, baseline: &Baseline, now: Timestamp, walk: &mut Walk<'_>) -> bool {
        let Some(Learned::History(history)) = learned else { return false };
        let has_left = history.has_left(&walk.plan.rule, baseline, walk.key, now);
        if let Err(error) = &has_left {
            walk.tally.when = Some(Err(error.clone()));
        }
        has_left.unwrap_or(false)
    }

    /// When the key has been silent for so long that nothing is left to know of it.
    pub fn deadline(learned: Option<&Self>, window: &Window) -> Option<Timestamp> {
        match (learned, window) {
            (Some(Learned::Sightings(sightings)), Window::FirstSeen(rule)) => sightings.known_until(rule),
            (Some(Learned::History(history)), Window::Baseline(baseline)) => Some(history.known_until(baseline)),
            _ => None,
        }
    }

    /// Forgets a key of which nothing counts after `now`.
    pub fn expire(learned: &mut Option<Self>, window: &Window, now: Timestamp) {
        if Learned::deadline(learned.as_ref(), window).is_some_and(|until| until <= now) {
            *learned = None;
        }
    }

    /// The last lesson that a bound left out.
    pub fn cut(&self) -> Option<Timestamp> {
        match self {
            Learned::Sightings(sightings) => sightings.cut(),
            Learned::History(_) => None,
        }
    }

    /// How much was learnt: combinations that count, or buckets with something in them that are over.
    pub fn lessons(&self) -> usize {
        match self {
            Learned::Sightings(sightings) => sightings.len(),
            Learned::History(history) => history.len(),
        }
    }

    /// About what it takes in memory.
    pub fn bytes(&self) -> usize {
        match self {
            Learned::Sightings(sightings) => sightings.bytes(),
            Learned::History(history) => history.bytes(),
        }
    }
}
