//! The pure halves of detect and correlate as their lines use them: signals and markers into a signals log; from it,
//! in batches of any size, alerts, with commits, and restarts from what was committed.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use rand::{Rng, rngs::StdRng};
use tripline::{
    alert::Alert,
    correlate::{Correlator, Snapshot},
    detect::{Detector, Raw, Roster, SignalRecord, Source, SourceState},
    event::Timestamp,
    rule::RuleSet,
};

use super::engine::{decoder, limits};
use crate::oracle::Log;

const QUARANTINE_AFTER: u32 = 10;

/// What detect writes of a log: one list of records for each signals partition. The sources are read in a random
/// order, each in its own; markers come now and then.
pub fn signals(rules: &Arc<RuleSet>, log: &Log, partitions: u32, random: &mut StdRng) -> Vec<Vec<SignalRecord>> {
    let places = log.sources();
    let mut roster = Roster::default();
    for (input, partition) in &places {
        roster.inputs.entry((*input).into()).or_default().push(*partition);
    }
    let mut sources: Vec<Source> = places.iter().map(|place| source(rules, log, *place)).collect();
    let placed = log.placed();
    let mut queues: Vec<_> = places
        .iter()
        .map(|place| placed.iter().filter(move |placed| placed.event.source() == *place).peekable())
        .collect();
    let mut written = vec![vec![SignalRecord::Roster(roster)]; partitions as usize];
    loop {
        let open: Vec<usize> = (0..queues.len()).filter(|at| queues[*at].peek().is_some()).collect();
        let Some(at) = open.get(random.random_range(0..open.len().max(1))).copied() else { return written };
        let placed = queues[at].next().expect("an open queue");
        let bytes = placed.event.to_record().into_bytes();
        let raw = Raw { offset: placed.offset, bytes: &bytes, timestamp_ms: None, clock: None };
        for signal in sources[at].read(raw).expect("a record of JSON") {
            let partition = signal.partition(partitions) as usize;
            written[partition].push(SignalRecord::Signal(signal));
        }
        if random.random_bool(0.3) {
            let marker = SignalRecord::Marker(sources[at].marker());
            written.iter_mut().for_each(|records| records.push(marker.clone()));
        }
    }
}

fn source(rules: &Arc<RuleSet>, log: &Log, (input, partition): (&'static str, u32)) -> Source {
    let state = SourceState {
        input: input.into(),
        partition,
        lateness: Duration::from_secs(log.lateness as u64),
        watermark: None,
        epoch: 1,
        max_clock_skew: None,
    };
    Source::new(state, decoder(), Detector::new(rules.clone(), QUARANTINE_AFTER))
}

/// What is durable of a correlate line.
#[derive(Default)]
struct Durable {
    alerts: Vec<Alert>,
    state: BTreeMap<Bytes, Bytes>,
}

/// The alerts of one signals partition. At each step some records are taken in; then a commit or a crash may follow.
pub fn alerts(rules: &Arc<RuleSet>, records: &[SignalRecord], random: &mut StdRng) -> Vec<Alert> {
    let mut durable = Durable::default();
    let mut correlator = Correlator::new(rules, limits(), QUARANTINE_AFTER);
    let (mut next, mut pending) = (0, Vec::new());
    while next < records.len() {
        let batch = random.random_range(1..=(records.len() - next).min(20));
        for _ in 0..batch {
            correlator.accept(next as u64, (&records[next]).into(), &mut pending);
            next += 1;
        }
        if random.random_bool(0.7) {
            correlator.advance(&mut |_| {}, &mut pending);
        }
        match random.random_range(0..10) {
            0..4 => durable.commit(&mut correlator, &mut pending),
            4 => {
                pending.clear();
                (correlator, next) = durable.restore(rules);
            }
            _ => {}
        }
    }
    correlator.finish(Timestamp::MAX, &mut pending);
    durable.alerts.append(&mut pending);
    durable.alerts
}

impl Durable {
    fn commit(&mut self, correlator: &mut Correlator, pending: &mut Vec<Alert>) {
        correlator.advance(&mut |_| {}, pending);
        for (key, value) in correlator.changes().records {
            match value {
                Some(value) => drop(self.state.insert(key, value)),
                None => drop(self.state.remove(&key)),
            }
        }
        self.alerts.append(pending);
    }

    fn restore(&self, rules: &Arc<RuleSet>) -> (Correlator, usize) {
        let snapshot = Snapshot::read(self.state.iter()).expect("what was written can be read");
        match snapshot {
            None => (Correlator::new(rules, limits(), QUARANTINE_AFTER), 0),
            Some(snapshot) => {
                let next = snapshot.header.resume_from as usize;
                (Correlator::restore(rules, limits(), QUARANTINE_AFTER, snapshot), next)
            }
        }
    }
}
