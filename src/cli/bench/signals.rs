//! Made-up signals of one rule: its keys come by turns, in an order that no memory guesses, and every window holds as
//! many signals of its key at any time.

use std::{path::PathBuf, sync::Arc, time::Duration};

use anyhow::{Result, bail};

use super::{rules::loaded, words::Chance};
use crate::{
    detect::{Marker, Roster, Signal, SignalRecord},
    event::{Fields, Number, Position, Timestamp, Value},
    rule::RuleSet,
};

/// The input that signals are of.
const INPUT: &str = "bench";

/// Signals between two markers.
const MARKER_EVERY: usize = 100;

/// Signals that wait for time to pass them, as lateness makes them wait.
const WAITING: usize = 1_000;

/// 2026-01-01T00:00:00Z
const START: Timestamp = Timestamp(1_767_225_600_000_000_000);

/// A rule, and the signals that it gets.
#[derive(Debug, Clone, Copy)]
pub struct Scenario {
    pub name: &'static str,
    /// Everything of the rule but its id.
    pub rule: &'static str,
    pub keys: usize,
    /// The time in which a key gets `per_key` signals.
    pub window: Duration,
    pub per_key: usize,
    /// The patterns that a key's signals are of, by turns.
    pub patterns: &'static [&'static str],
    pub fields: Made,
}

/// The fields of a signal.
#[derive(Debug, Clone, Copy)]
pub enum Made {
    None,
    /// `user.name`, one of so many by turns.
    User(usize),
    /// `bytes`, at random.
    Bytes,
}

/// Signals without end.
pub struct Stream {
    scenario: Scenario,
    pub rules: Arc<RuleSet>,
    names: Names,
    keys: Vec<Arc<str>>,
    /// From one key to the next; it has no divisor in common with the number of keys.
    step: usize,
    chance: Chance,
    /// Signals so far.
    signals: usize,
    /// Records so far.
    records: u64,
}

struct Names {
    rule: Arc<str>,
    shape: u64,
    input: Arc<str>,
    patterns: Vec<Arc<str>>,
    fields: [Arc<str>; 2],
}

/// A record of the signals log and its offset there.
pub type Encoded = (u64, Vec<u8>);

impl Stream {
    /// # Errors
    /// When the rule does not load, which is an error of this folder.
    pub fn new(scenario: Scenario, seed: u64) -> Result<Self> {
        let source = format!("rule(#{{ id: \"bench\", title: \"t\", severity: \"low\", {} }});", scenario.rule);
        let set = loaded([(PathBuf::from("bench.rhai"), source)].into())?;
        let Some(rule) = set.rules.first() else { bail!("{} has no rule", scenario.name) };
        let names = Names {
            rule: rule.id().clone(),
            shape: rule.shape,
            input: INPUT.into(),
            patterns: scenario.patterns.iter().map(|name| Arc::from(*name)).collect(),
            fields: ["user.name".into(), "bytes".into()],
        };
        let step = (scenario.keys as f64 * 0.618) as usize;
        Ok(Stream {
            rules: Arc::new(set),
            names,
            keys: (0..scenario.keys).map(address).collect(),
            step: (step.max(1)..).find(|step| greatest_divisor(*step, scenario.keys) == 1).unwrap_or(1),
            scenario,
            chance: Chance::new(seed),
            signals: 0,
            records: 0,
        })
    }

    /// The signals that fill every window.
    pub fn window(&self) -> usize {
        self.scenario.keys * self.scenario.per_key
    }

    /// The next `count` signals with the markers that belong to them, the roster first of all.
    pub fn next(&mut self, count: usize) -> Vec<Encoded> {
        let mut records = Vec::with_capacity(count + count / MARKER_EVERY + 2);
        if self.records == 0 {
            self.put(&SignalRecord::Roster(Roster { inputs: [(INPUT.into(), vec![0])].into() }), &mut records);
        }
        for _ in 0..count {
            let signal = self.signal();
            self.put(&SignalRecord::Signal(signal), &mut records);
            self.signals += 1;
            if self.signals.is_multiple_of(MARKER_EVERY) {
                let passed = self.time(self.signals.saturating_sub(WAITING));
                self.put(&self.marker(passed), &mut records);
            }
        }
        records
    }

    /// The marker that passes every signal so far.
    pub fn end(&mut self) -> Vec<Encoded> {
        let mut records = Vec::new();
        self.put(&self.marker(self.time(self.signals)), &mut records);
        records
    }

    fn put(&mut self, record: &SignalRecord, into: &mut Vec<Encoded>) {
        into.push((self.records, record.encode()));
        self.records += 1;
    }

    fn marker(&self, watermark: Timestamp) -> SignalRecord {
        let input = self.names.input.clone();
        let watermark = Some(watermark);
        SignalRecord::Marker(Marker {
            input,
            partition: 0,
            epoch: 1,
            watermark,
            idle: false,
            left_out: None,
            rules: None,
        })
    }

    /// Of the signal with this number.
    fn time(&self, signal: usize) -> Timestamp {
        let gap = self.scenario.window.as_nanos() / self.window().max(1) as u128;
        Timestamp(START.0 + (gap * signal as u128) as i64)
    }

    fn signal(&mut self) -> Signal {
        let (turn, at) = (self.signals / self.keys.len(), self.signals % self.keys.len());
        let key = &self.keys[(at as u128 * self.step as u128 % self.keys.len() as u128) as usize];
        let [user, bytes] = &self.names.fields;
        let fields = match self.scenario.fields {
            Made::None => Fields::default(),
            Made::User(many) => {
                [(user.to_string(), Value::text(format!("user{:05}", turn % many)))].into_iter().collect()
            }
            Made::Bytes => {
                let number = Number::from(self.chance.below(100_000) as i64);
                [(bytes.to_string(), Value::Number(number))].into_iter().collect()
            }
        };
        Signal {
            rule: self.names.rule.clone(),
            shape: self.names.shape,
            pattern: self.names.patterns[turn % self.names.patterns.len()].clone(),
            key: vec![key.clone()],
            time: self.time(self.signals),
            position: Position { input: self.names.input.clone(), partition: 0, offset: self.signals as u64 },
            element: 0,
            late: false,
            epoch: 1,
            fields,
            question: None,
        }
    }
}

/// The key of a number below 16 million: an IPv4 address.
fn address(number: usize) -> Arc<str> {
    format!("10.{}.{}.{}", number >> 16 & 255, number >> 8 & 255, number & 255).into()
}

fn greatest_divisor(a: usize, b: usize) -> usize {
    if b == 0 { a } else { greatest_divisor(b, a % b) }
}
