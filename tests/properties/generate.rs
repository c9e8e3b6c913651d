//! Cases from seeds: a few rules of one kind, and a log in which a lot happens at once.
//!
//! Times are whole seconds and spans are short, so that ties and events at the very edge of a window are common; few
//! values, so that keys meet; fields are missing, empty, lists, numbers and texts.

mod aggregates;
mod layers;
mod logs;
mod rules;
mod windows;

use std::fmt;

use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::{Map, Value as Json};

use self::rules::Of;
use crate::oracle::{self, Event, Log, Rule, Until};

/// 2024-01-01T00:00:00Z
const START: i64 = 1_704_067_200;

/// Long after everything that a generated log makes due.
pub const AFTERMATH: i64 = START + 400 * 24 * 3600;

pub const INPUTS: [&str; 2] = ["auth", "web"];

const KINDS: [&str; 4] = ["a", "b", "c", "d"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Alone,
    Sliding,
    Sequence,
    /// Sequences with a `none`.
    Absence,
    Tumbling,
    Session,
    Silent,
    FirstSeen,
    Baseline,
    /// Baselines of each hour of the week.
    Season,
    /// Rules on alerts.
    Chain,
    /// Rules on lists that rules write.
    Lists,
}

impl Kind {
    pub const ALL: [Kind; 12] = [
        Kind::Alone,
        Kind::Sliding,
        Kind::Sequence,
        Kind::Absence,
        Kind::Tumbling,
        Kind::Session,
        Kind::Silent,
        Kind::FirstSeen,
        Kind::Baseline,
        Kind::Season,
        Kind::Chain,
        Kind::Lists,
    ];

    /// Seeds take turns.
    pub fn of(seed: u64) -> Self {
        Kind::among(&Kind::ALL, seed)
    }

    /// The same of some kinds.
    pub fn among(kinds: &[Kind], seed: u64) -> Self {
        kinds[(seed % kinds.len() as u64) as usize]
    }
}

#[derive(Clone)]
pub struct Case {
    pub rules: Vec<Rule>,
    pub log: Log,
}

impl Case {
    pub fn of(kind: Kind, seed: u64) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let rules = match kind {
            Kind::Chain | Kind::Lists => layers::rules(&mut random, kind),
            _ => {
                let count = random.random_range(1..4);
                (0..count).map(|at| rules::rule(&mut random, kind, Of::Events, format!("r{at}"))).collect()
            }
        };
        let log = if kind == Kind::Season { logs::of_weeks(&mut random) } else { logs::dense(&mut random) };
        Case { rules, log }
    }
}

impl Case {
    /// The same over a log that never ends, with one event in each partition so late that every timer is due before.
    pub fn with_an_end(mut self) -> Self {
        let partitions = self.partitions();
        self.log.until = Until::Infinity;
        let last = |(input, partition)| Event { input, partition, time: AFTERMATH, fields: Map::new() };
        let sources = INPUTS.into_iter().flat_map(|input| (0..partitions).map(move |partition| (input, partition)));
        self.log.events.extend(sources.map(last));
        self
    }

    /// How many partitions every input has.
    pub fn partitions(&self) -> u32 {
        self.log.events.iter().map(|event| event.partition + 1).max().unwrap_or(1)
    }
}

/// What a person needs to see of a failing case: the rule file and the log.
impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", oracle::file(&self.rules))?;
        writeln!(f, "lateness {}s, until {:?}", self.log.lateness, self.log.until)?;
        for placed in self.log.placed() {
            let Event { input, partition, time, fields } = placed.event;
            let late = if placed.late { " (late)" } else { "" };
            let seconds = time - START;
            writeln!(f, "{seconds:>5}s {input}/{partition}@{} {}{late}", placed.offset, Json::Object(fields.clone()))?;
        }
        Ok(())
    }
}
