//! The pure halves of detect and correlate as their lines use them: signals and markers into a signals log; from it,
//! in batches of any size, alerts, with commits, and restarts from what was committed.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use rand::{Rng, rngs::StdRng};
use tripline::{
    alert::Alert,
    correlate::{CHAIN_EPOCH, Chained, Correlator, Snapshot},
    detect::{Detector, Marker, Raw, Roster, Signal, SignalRecord, Source, SourceState},
    event::{ALERTS, Timestamp},
    rule::{BundleMark, RuleSet},
};

use super::engine::{decoder, limits};
use crate::oracle::Log;

const QUARANTINE_AFTER: u32 = 10;

/// Of one line. After each it tells all lines again how far it is.
const CRASHES_MAX: u32 = 5;

/// What detect writes of a log: one list of records for each signals partition. The sources are read in a random
/// order, each in its own; markers come now and then. Each source begins with the first rules, and goes on with the
/// next ones somewhere.
pub fn signals(sets: &[Arc<RuleSet>], log: &Log, partitions: u32, random: &mut StdRng) -> Vec<Vec<SignalRecord>> {
    let places = log.sources();
    let mut roster = Roster::default();
    for (input, partition) in &places {
        roster.inputs.entry((*input).into()).or_default().push(*partition);
    }
    roster.inputs.insert(ALERTS.into(), (0..partitions).collect());
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

/// What came of a signals log: the alerts, and the log as it is then, with what alerts are to rules on alerts.
pub struct Run {
    pub alerts: Vec<Alert>,
    /// For each signals partition: its records, and how many there were when the events were over.
    logs: Vec<(Vec<SignalRecord>, usize)>,
    /// What was added to the log, in no order that means something.
    pub chained: Vec<String>,
}

/// All partitions at once, each as far as chance has it: what the alerts of one are is read by others, wherever in
/// their logs it lands.
pub fn live(sets: &[Arc<RuleSet>], signals: Vec<Vec<SignalRecord>>, random: &mut StdRng) -> Run {
    let mut lines: Vec<Line<'_>> = (0..).zip(signals).map(|(number, log)| Line::new(sets, number, log)).collect();
    let mut chained = Vec::new();
    loop {
        let open: Vec<usize> = (0..lines.len()).filter(|at| !lines[*at].has_read(usize::MAX)).collect();
        let Some(at) = open.get(random.random_range(0..open.len().max(1))).copied() else { break };
        let sent = lines[at].step(usize::MAX, random);
        deliver(&mut lines, sent, &mut chained);
    }
    let ends: Vec<usize> = lines.iter().map(|line| line.log.len()).collect();
    for at in 0..lines.len() {
        let sent = lines[at].end_events();
        deliver(&mut lines, sent, &mut chained);
    }
    let mut alerts = Vec::new();
    let mut logs = Vec::new();
    for (line, end) in lines.into_iter().zip(ends) {
        let (of_line, log) = line.end();
        alerts.extend(of_line);
        logs.push((log, end));
    }
    chained.sort();
    Run { alerts, logs, chained }
}

/// Goes through the logs of a run once more, with other batches and restarts; gives the alerts, and what would be added
/// to the logs.
pub fn again(sets: &[Arc<RuleSet>], run: &Run, random: &mut StdRng) -> (Vec<Alert>, Vec<String>) {
    let (mut alerts, mut chained) = (Vec::new(), Vec::new());
    for (number, (log, end)) in (0..).zip(&run.logs) {
        let mut line = Line::new(sets, number, log.clone());
        while !line.has_read(*end) {
            note(&line.step(*end, random), &mut chained);
        }
        note(&line.end_events(), &mut chained);
        alerts.extend(line.end().0);
    }
    chained.sort();
    (alerts, chained)
}

/// What a commit adds to the signals log: to one partition, or to each.
type Sent = Vec<(Option<u32>, SignalRecord)>;

fn deliver(lines: &mut [Line<'_>], sent: Sent, chained: &mut Vec<String>) {
    note(&sent, chained);
    for (to, record) in sent {
        match to {
            Some(partition) => lines[partition as usize].log.push(record),
            None => lines.iter_mut().for_each(|line| line.log.push(record.clone())),
        }
    }
}

/// Markers come when they come.
fn note(sent: &Sent, chained: &mut Vec<String>) {
    let lasting = sent.iter().filter(|(_, record)| !matches!(record, SignalRecord::Marker(_)));
    chained.extend(lasting.map(|(_, record)| format!("{record:?}")));
}

/// A correlate line on one signals partition.
struct Line<'a> {
    sets: &'a [Arc<RuleSet>],
    /// The number of its signals partition, and how many there are.
    number: u32,
    partitions: u32,
    log: Vec<SignalRecord>,
    next: usize,
    correlator: Correlator,
    pending: Vec<Alert>,
    /// What it told every partition: how far its alerts are, and of which rules they are.
    marked: Option<Timestamp>,
    marked_rules: Option<BundleMark>,
    durable: Durable,
    crashes: u32,
}

/// What is durable of a correlate line.
#[derive(Default)]
struct Durable {
    alerts: Vec<Alert>,
    state: BTreeMap<Bytes, Bytes>,
}

impl<'a> Line<'a> {
    fn new(sets: &'a [Arc<RuleSet>], number: u32, log: Vec<SignalRecord>) -> Self {
        let Some(SignalRecord::Roster(roster)) = log.first() else { panic!("a log begins with its roster") };
        Line {
            sets,
            number,
            partitions: roster.inputs[ALERTS].len() as u32,
            log,
            next: 0,
            correlator: Correlator::new(&sets[0], limits(), QUARANTINE_AFTER),
            pending: Vec::new(),
            marked: None,
            marked_rules: None,
            durable: Durable::default(),
            crashes: 0,
        }
    }

    fn has_read(&self, end: usize) -> bool {
        self.next >= end.min(self.log.len())
    }

    /// Takes some records in; then a commit or a crash may follow.
    fn step(&mut self, end: usize, random: &mut StdRng) -> Sent {
        let left = end.min(self.log.len()) - self.next;
        let mut sent = self.read(random.random_range(1..=left.min(20)));
        if random.random_bool(0.7) {
            self.correlator.advance(&mut |_| {}, &mut self.pending);
        }
        match random.random_range(0..10) {
            0..4 => sent.extend(self.commit(random.random_bool(0.5))),
            4 if self.crashes < CRASHES_MAX => self.crash(),
            _ => {}
        }
        sent
    }

    fn read(&mut self, records: usize) -> Sent {
        let mut sent = Vec::new();
        for _ in 0..records {
            let at = self.next as u64;
            if let Some(mark) = self.correlator.asks_for(at, &(&self.log[self.next]).into()) {
                sent.extend(self.commit(false));
                self.correlator.set_rules(set_of(self.sets, Some(&mark)));
            }
            self.correlator.accept(at, (&self.log[self.next]).into(), &mut self.pending);
            self.next += 1;
        }
        sent
    }

    /// The events are over: what their rules say is committed.
    fn end_events(&mut self) -> Sent {
        self.correlator.finish_events(Timestamp::MAX, &mut self.pending);
        self.commit(true)
    }

    /// Everything is over. Gives all alerts, and the log.
    fn end(mut self) -> (Vec<Alert>, Vec<SignalRecord>) {
        self.read(self.log.len() - self.next);
        self.correlator.finish(Timestamp::MAX, &mut self.pending);
        self.durable.alerts.append(&mut self.pending);
        (self.durable.alerts, self.log)
    }

    fn commit(&mut self, mark: bool) -> Sent {
        self.correlator.advance(&mut |_| {}, &mut self.pending);
        for (key, value) in self.correlator.changes().records {
            match value {
                Some(value) => drop(self.durable.state.insert(key, value)),
                None => drop(self.durable.state.remove(&key)),
            }
        }
        self.durable.alerts.append(&mut self.pending);
        if self.correlator.chains() { self.chain(mark) } else { Vec::new() }
    }

    /// The rules that what follows is of; signals and writes; how far this partition is.
    fn chain(&mut self, mark: bool) -> Sent {
        let mut sent = Vec::new();
        if self.correlator.bundle() != self.marked_rules.as_ref() {
            self.marked_rules = self.correlator.bundle().cloned();
            sent.push((None, self.marker()));
        }
        let Chained { signals, writes, frontier, .. } = self.correlator.take_chained();
        let to = |signal: Signal| (Some(signal.partition(self.partitions)), SignalRecord::Signal(signal));
        sent.extend(signals.into_iter().map(to));
        sent.extend(writes.into_iter().map(|write| (None, SignalRecord::List(write))));
        if mark && frontier > self.marked {
            self.marked = frontier;
            sent.push((None, self.marker()));
        }
        sent
    }

    fn marker(&self) -> SignalRecord {
        SignalRecord::Marker(Marker {
            input: ALERTS.into(),
            partition: self.number,
            epoch: CHAIN_EPOCH,
            watermark: self.marked,
            idle: false,
            left_out: None,
            rules: self.marked_rules.clone(),
        })
    }

    /// What was not committed is gone, and read again.
    fn crash(&mut self) {
        self.crashes += 1;
        self.pending.clear();
        (self.marked, self.marked_rules) = (None, None);
        let snapshot = Snapshot::read(self.durable.state.iter()).expect("what was written can be read");
        (self.correlator, self.next) = match snapshot {
            None => (Correlator::new(&self.sets[0], limits(), QUARANTINE_AFTER), 0),
            Some(snapshot) => {
                let next = snapshot.header.resume_from as usize;
                let rules = set_of(self.sets, snapshot.header.rules.as_ref());
                (Correlator::restore(rules, self.sets, limits(), QUARANTINE_AFTER, snapshot), next)
            }
        };
    }
}

fn set_of<'a>(sets: &'a [Arc<RuleSet>], mark: Option<&BundleMark>) -> &'a Arc<RuleSet> {
    sets.iter().find(|set| set.bundle.as_ref() == mark).expect("one of the sets")
}
