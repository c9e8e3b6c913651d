//! The events of the bench, and the rules that look at them: made-up ones that match nothing, and two whose matches are
//! planted.
//!
//! Of the planted signals most are noise: a rule with a window holds them, and they never fire it. What fires is known
//! before anything runs.

use std::{fmt::Write, sync::Arc, time::Duration};

use anyhow::Result;

use super::super::{events, rules, words::Chance};
use crate::{event::Timestamp, rule::RuleSet};

/// The input that the planted rules read.
pub const INPUT: &str = "bench";

/// The rule without a window: every event of its kind is an alert.
pub const SINGLE: &str = "planted-single";

/// The rule with a window: so many events of one key are an alert.
pub const WINDOW: &str = "planted-window";

/// Events of one key that fire the window.
const ATTACK: usize = 10;

const PLANTED: &str = r#"
rule(#{ id: "planted-single", title: "t", severity: "low", input: "bench", event: |e| e.plant == "single", by: ["plant_key"] });
rule(#{ id: "planted-window", title: "t", severity: "low", input: "bench", event: |e| e.plant == "window", by: ["plant_key"],
        within: "1h", all_of: [times(10, "event")] });
"#;

/// From one event of a log to the next.
pub const GAP: Duration = Duration::from_micros(100);

/// Events that differ, apart from their times and what is planted.
const DIFFERENT: usize = 2_000;

/// Events in a hundred that are process creations.
const PROCESS_CREATIONS: usize = 50;

/// Made-up events, about 700 bytes each, and the rules.
pub struct Events {
    /// What follows an event's time and what is planted in it.
    tails: Vec<String>,
    pub rules: Arc<RuleSet>,
}

/// What a run of events holds.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    pub events: usize,
    /// Of a thousand events so many are signals, evenly.
    pub per_mille: usize,
    /// The signals come in cycles of so many: one of [`SINGLE`], those of one attack, and noise. 0: noise alone.
    pub cycle: usize,
}

/// What is planted in one event.
enum Plant {
    Single(usize),
    Attack(usize),
    Noise(usize),
}

impl Events {
    /// # Errors
    /// When a rule does not load, which is an error of this folder.
    pub fn new(rule_count: usize, seed: u64) -> Result<Self> {
        let mut chance = Chance::new(seed);
        let records = events::mix(PROCESS_CREATIONS, DIFFERENT, &mut chance);
        let rules = rules::silent_beside(PLANTED, rule_count, &records, &mut chance)?;
        // All begin with their time, which is not this one's.
        let tails = records.iter().filter_map(|record| record.find(',').map(|at| record[at..].to_owned()));
        Ok(Events { tails: tails.collect(), rules })
    }

    /// An event of a plan; in those beyond its last nothing is planted.
    pub fn event(&self, plan: &Plan, number: usize, time: Timestamp) -> Vec<u8> {
        let tail = &self.tails[number % self.tails.len()];
        let mut event = String::with_capacity(tail.len() + 96);
        // Writing to a text does not fail.
        let _ = write!(event, "{{\"@timestamp\":\"{time}\"");
        let _ = match plan.plant(number) {
            None => Ok(()),
            Some(Plant::Single(key)) => write!(event, ",\"plant\":\"single\",\"plant_key\":\"s{key}\""),
            Some(Plant::Attack(key)) => write!(event, ",\"plant\":\"window\",\"plant_key\":\"a{key}\""),
            Some(Plant::Noise(key)) => write!(event, ",\"plant\":\"window\",\"plant_key\":\"n{key}\""),
        };
        event.push_str(tail);
        event.into_bytes()
    }
}

impl Plan {
    pub fn signals(&self) -> usize {
        self.events.div_ceil(self.stride())
    }

    /// Alerts of (the rule without a window, the one with).
    pub fn alerts(&self) -> (usize, usize) {
        if self.cycle == 0 {
            return (0, 0);
        }
        let (cycles, rest) = (self.signals() / self.cycle, self.signals() % self.cycle);
        (cycles + usize::from(rest > 0), cycles + usize::from(rest > ATTACK))
    }

    /// From one signal to the next, in events.
    fn stride(&self) -> usize {
        1_000 / self.per_mille.max(1)
    }

    fn plant(&self, number: usize) -> Option<Plant> {
        if number >= self.events || !number.is_multiple_of(self.stride()) {
            return None;
        }
        let signal = number / self.stride();
        // Never as many of one key as would fire.
        let noise = |keys: usize| Some(Plant::Noise(signal % keys.max(1)));
        match (signal.checked_rem(self.cycle), signal.checked_div(self.cycle)) {
            (None, _) => noise(self.signals()),
            (Some(0), Some(cycle)) => Some(Plant::Single(cycle)),
            (Some(1..=ATTACK), Some(cycle)) => Some(Plant::Attack(cycle)),
            _ => noise(self.signals().div_ceil(ATTACK - 1)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn what_is_planted_is_what_was_planned() {
        for (events, per_mille, cycle) in [(3_000, 10, 1_000), (20_000, 100, 1_000), (5_000, 1_000, 0), (3_000, 50, 11)]
        {
            let plan = Plan { events, per_mille, cycle };
            let (mut singles, mut windows) = (0, BTreeMap::<String, usize>::new());
            for number in 0..events {
                match plan.plant(number) {
                    None => {}
                    Some(Plant::Single(_)) => singles += 1,
                    Some(Plant::Attack(key)) => *windows.entry(format!("a{key}")).or_default() += 1,
                    Some(Plant::Noise(key)) => *windows.entry(format!("n{key}")).or_default() += 1,
                }
            }
            assert_eq!(singles + windows.values().sum::<usize>(), plan.signals(), "{plan:?}");
            let fired = windows.values().filter(|signals| **signals >= ATTACK).count();
            assert_eq!((singles, fired), plan.alerts(), "{plan:?}");
            assert!(windows.values().all(|signals| *signals <= ATTACK), "{plan:?}");
        }
    }
}
