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
    rule::{BundleMark, RuleSet},
};

use super::engine::{decoder, limits};
use crate::oracle::Log;

const QUARANTINE_AFTER: u32 = 10;

/// What detect writes of a log: one list of records for each signals partition. The sources are read in a random
/// order, each in its own; markers come now and then. Each source begins with the first rules, and goes on with the
/// next ones somewhere.
pub fn signals(sets: &[Arc<RuleSet>], log: &Log, partitions: u32, random: &mut StdRng) -> Vec<Vec<SignalRecord>> {
    let places = log.sources();
    let mut roster = Roster::default();
    for (input, partition) in &places {
        roster.inputs.entry((*input).into()).or_default().push(*partition);
    }
    let mut sources: Vec<Source> = places.iter().map(|place| source(&sets[0], log, *place)).collect();
    let mut switched = vec![0; places.len()];
    let placed = log.placed();
    let mut queues: Vec<_> = places
        .iter()
        .map(|place| placed.iter().filter(move |placed| placed.event.source() == *place).peekable())
        .collect();
    let mut written = vec![vec![SignalRecord::Roster(roster)]; partitions as usize];
    if sets[0].bundle.is_some() {
        sources.iter().for_each(|source| mark(&mut written, source));
    }
    loop {
        let open: Vec<usize> = (0..queues.len()).filter(|at| queues[*at].peek().is_some()).collect();
        let Some(at) = open.get(random.random_range(0..open.len().max(1))).copied() else { return written };
        if switched[at] + 1 < sets.len() && random.random_bool(0.15) {
            switched[at] += 1;
            sources[at].set_detector(Detector::new(sets[switched[at]].clone(), QUARANTINE_AFTER));
            mark(&mut written, &sources[at]);
        }
        let placed = queues[at].next().expect("an open queue");
        let bytes = placed.event.to_record().into_bytes();
        let raw = Raw { offset: placed.offset, bytes: &bytes, timestamp_ms: None, clock: None };
        for signal in sources[at].read(raw).expect("a record of JSON") {
            let partition = signal.partition(partitions) as usize;
            written[partition].push(SignalRecord::Signal(signal));
        }
        if random.random_bool(0.3) {
            mark(&mut written, &sources[at]);
        }
    }
}

fn mark(written: &mut [Vec<SignalRecord>], source: &Source) {
    written.iter_mut().for_each(|records| records.push(SignalRecord::Marker(source.marker())));
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
pub fn alerts(sets: &[Arc<RuleSet>], records: &[SignalRecord], random: &mut StdRng) -> Vec<Alert> {
    let mut durable = Durable::default();
    let mut correlator = Correlator::new(&sets[0], limits(), QUARANTINE_AFTER);
    let (mut next, mut pending) = (0, Vec::new());
    while next < records.len() {
        let batch = random.random_range(1..=(records.len() - next).min(20));
        for _ in 0..batch {
            if let Some(mark) = correlator.asks_for(next as u64, &(&records[next]).into()) {
                durable.commit(&mut correlator, &mut pending);
                correlator.set_rules(set_of(sets, Some(&mark)));
            }
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
                (correlator, next) = durable.restore(sets);
            }
            _ => {}
        }
    }
    correlator.finish(Timestamp::MAX, &mut pending);
    durable.alerts.append(&mut pending);
    durable.alerts
}

fn set_of<'a>(sets: &'a [Arc<RuleSet>], mark: Option<&BundleMark>) -> &'a Arc<RuleSet> {
    sets.iter().find(|set| set.bundle.as_ref() == mark).expect("one of the sets")
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

    fn restore(&self, sets: &[Arc<RuleSet>]) -> (Correlator, usize) {
        let snapshot = Snapshot::read(self.state.iter()).expect("what was written can be read");
        match snapshot {
            None => (Correlator::new(&sets[0], limits(), QUARANTINE_AFTER), 0),
            Some(snapshot) => {
                let next = snapshot.header.resume_from as usize;
                let rules = set_of(sets, snapshot.header.rules.as_ref());
                (Correlator::restore(rules, sets, limits(), QUARANTINE_AFTER, snapshot), next)
            }
        }
    }
}
