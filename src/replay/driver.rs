//! Feeds records to the sources, their signals to the correlators, and gathers what comes out.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use crate::{
    alert::Alert,
    correlate::{CHAIN_EPOCH, Chained, Correlator, Counts, Limits},
    decode::Decoder,
    detect::{Detector, Marker, Raw, RecordView, Roster, RuleCounts, Signal, SignalRecord, Source, SourceState},
    event::{ALERTS, DeadLetter, Event, InputName, Timestamp},
    rule::RuleSet,
};

/// Records between two looks at the frontier.
const ADVANCE_EVERY: u64 = 1_024;

/// What a replay runs with.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    pub lateness: Duration,
    /// Partitions of the signals; the alerts are the same for any number.
    pub signals_partitions: u32,
    pub limits: Limits,
    pub quarantine_after: u32,
}

/// Where the log ends: what is due later does not happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Until {
    /// After everything.
    #[default]
    Infinity,
    /// At the greatest event time.
    Last,
    /// Events after it are read, and seen by no rule.
    Time(Timestamp),
}

impl Until {
    fn includes(self, time: Timestamp) -> bool {
        !matches!(self, Until::Time(end) if time > end)
    }
}

/// A partition to read.
pub struct ReplaySource {
    pub input: InputName,
    pub partition: u32,
    pub decoder: Decoder,
}

/// A replay under way.
pub struct Replay {
    sources: Vec<Source>,
    until: Until,
    /// Which sources are at their end.
    ended: Vec<bool>,
    correlators: Vec<Correlator>,
    /// The next offset of each signals partition.
    offsets: Vec<u64>,
    /// The number of the first correlator's alerts as a source.
    first_alerts: u32,
    alerts: Vec<Alert>,
    dead_letters: Vec<DeadLetter>,
    totals: Totals,
    last_time: Option<Timestamp>,
}

/// What `replay --summary` says of the run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Totals {
    pub events: u64,
    pub decoded: u64,
    pub dead_letters: u64,
    pub late: u64,
    pub duplicates: u64,
    pub missing_key: u64,
    pub evicted: u64,
    /// Rules that were quarantined, with the last failure of each.
    pub quarantined: BTreeMap<Arc<str>, String>,
    /// Rules whose scripts failed, with how often and the last failure.
    pub failures: BTreeMap<Arc<str>, (u64, String)>,
}

impl Replay {
    pub fn new(rules: &Arc<RuleSet>, sources: Vec<ReplaySource>, options: Options, until: Until) -> Self {
        let mut roster = Roster::default();
        for source in &sources {
            roster.inputs.entry(source.input.clone()).or_default().push(source.partition);
        }
        let correlator = || Correlator::new(rules, options.limits, options.quarantine_after);
        let partitions = options.signals_partitions.max(1);
        let of_alerts = roster.inputs.entry(ALERTS.into()).or_default();
        let first_alerts = of_alerts.iter().max().map_or(0, |last| last + 1);
        of_alerts.extend(first_alerts..first_alerts + partitions);
        let mut replay = Replay {
            until,
            ended: vec![false; sources.len()],
            sources: sources.into_iter().map(|source| open(source, rules, options)).collect(),
            correlators: (0..partitions).map(|_| correlator()).collect(),
            offsets: vec![0; partitions as usize],
            first_alerts,
            alerts: Vec::new(),
            dead_letters: Vec::new(),
            totals: Totals::default(),
            last_time: None,
        };
        replay.tell_all(&SignalRecord::Roster(roster));
        replay
    }

    /// Reads the next record of a source; one that does not decode is a dead letter.
    pub fn read(&mut self, source: usize, raw: Raw<'_>) {
        self.totals.events += 1;
        let (offset, bytes) = (raw.offset, raw.bytes);
        match self.sources[source].read(raw) {
            Ok(signals) => self.take(source, signals),
            Err(reject) => {
                let position = self.sources[source].position(offset);
                self.totals.dead_letters += 1;
                self.dead_letters.push(DeadLetter::new(&position, "decode", reject.to_string(), bytes));
            }
        }
        self.advance_sometimes();
    }

    /// Takes an event that needs no decoding.
    pub fn see(&mut self, source: usize, event: Event) {
        self.totals.events += 1;
        let signals = self.sources[source].see(event);
        self.take(source, signals);
        self.advance_sometimes();
    }

    /// The source that is furthest behind, of those for which `open` says yes: reading it next keeps the least
    /// waiting for the others.
    pub fn furthest_behind(&self, open: impl Fn(usize) -> bool) -> Option<usize> {
        (0..self.sources.len()).filter(|at| open(*at)).min_by_key(|at| self.sources[*at].watermark())
    }

    /// The source is at its end: it holds nothing back any more.
    pub fn end_of(&mut self, source: usize) {
        self.ended[source] = true;
    }

    /// The least lateness with which no event so far would have been late.
    pub fn disorder(&self) -> Duration {
        self.sources.iter().map(Source::disorder).max().unwrap_or_default()
    }

    /// Ends the log. Gives the alerts in (time, rule, key, id, state) order.
    pub fn finish(&mut self) -> Vec<Alert> {
        let end = match self.until {
            Until::Infinity => Timestamp::MAX,
            Until::Last => self.last_time.unwrap_or(Timestamp::MAX),
            Until::Time(time) => time,
        };
        for correlator in &mut self.correlators {
            correlator.finish_events(end, &mut self.alerts);
        }
        self.pass_chained();
        for correlator in &mut self.correlators {
            correlator.finish(end, &mut self.alerts);
        }
        self.count();
        let mut alerts = std::mem::take(&mut self.alerts);
        alerts.sort_by(|a, b| alert_order(a).cmp(&alert_order(b)));
        alerts
    }

    /// The dead letters since the last call.
    pub fn take_dead_letters(&mut self) -> Vec<DeadLetter> {
        std::mem::take(&mut self.dead_letters)
    }

    pub fn totals(&self) -> &Totals {
        &self.totals
    }

    fn take(&mut self, source: usize, signals: Vec<Signal>) {
        let seen = self.sources[source].last_event_time();
        self.last_time = self.last_time.max(seen);
        let until = self.until;
        for signal in signals.into_iter().filter(|signal| until.includes(signal.time)) {
            let partition = signal.partition(self.correlators.len() as u32) as usize;
            self.tell(partition, &SignalRecord::Signal(signal));
        }
    }

    fn advance_sometimes(&mut self) {
        if self.totals.events.is_multiple_of(ADVANCE_EVERY) {
            let markers: Vec<_> = (0..self.sources.len()).map(|source| self.marker(source)).collect();
            markers.into_iter().for_each(|marker| self.tell_all(&SignalRecord::Marker(marker)));
            for correlator in &mut self.correlators {
                correlator.advance(&mut |_| {}, &mut self.alerts);
            }
            self.pass_chained();
            self.count();
        }
    }

    /// Passes what alerts are to the rules on alerts to where it belongs.
    fn pass_chained(&mut self) {
        for at in 0..self.correlators.len() {
            if !self.correlators[at].chains() {
                continue;
            }
            let Chained { signals, writes, frontier, rules, .. } = self.correlators[at].take_chained();
            for signal in signals {
                let partition = signal.partition(self.correlators.len() as u32) as usize;
                self.tell(partition, &SignalRecord::Signal(signal));
            }
            writes.into_iter().for_each(|write| self.tell_all(&SignalRecord::List(write)));
            self.tell_all(&SignalRecord::Marker(Marker {
                input: ALERTS.into(),
                partition: self.first_alerts + at as u32,
                epoch: CHAIN_EPOCH,
                watermark: frontier,
                idle: false,
                left_out: None,
                rules: None,
            }));
            self.book(rules);
        }
    }

    fn book(&mut self, rules: Vec<(Arc<str>, RuleCounts)>) {
        for (rule, counts) in rules {
            self.totals.missing_key += counts.missing_key;
            self.totals.fail(&rule, counts.failures, counts.last_failure.as_ref(), counts.quarantined);
        }
    }

    /// What is known of a source: at its end nothing more comes from it, and no source's time goes beyond the log's.
    fn marker(&self, source: usize) -> Marker {
        let mut marker = self.sources[source].marker();
        if self.ended[source] {
            marker.idle = true;
            let known = match self.until {
                Until::Infinity => Some(Timestamp::MAX),
                // what is due up to here happens wherever the log turns out to end
                Until::Last => self.last_time,
                Until::Time(end) => Some(end),
            };
            marker.watermark = marker.watermark.and(known);
        }
        if let Until::Time(end) = self.until {
            marker.watermark = marker.watermark.map(|watermark| watermark.min(end));
        }
        marker
    }

    fn tell(&mut self, partition: usize, record: &SignalRecord) {
        let offset = self.offsets[partition];
        self.offsets[partition] += 1;
        self.correlators[partition].accept(offset, RecordView::from(record), &mut self.alerts);
    }

    fn tell_all(&mut self, record: &SignalRecord) {
        (0..self.correlators.len()).for_each(|partition| self.tell(partition, record));
    }

    fn count(&mut self) {
        let mut rules = Vec::new();
        for source in &mut self.sources {
            let counts = source.take_counts();
            self.totals.decoded += counts.events;
            self.totals.late += counts.late;
            rules.extend(source.detector().take_counts());
        }
        self.book(rules);
        for correlator in &mut self.correlators {
            let Counts { duplicates, evicted, rules, .. } = correlator.take_counts();
            self.totals.duplicates += duplicates;
            self.totals.evicted += evicted;
            for (rule, tally) in rules {
                self.totals.fail(&rule, tally.failures, tally.last_failure.as_ref(), tally.quarantined);
            }
        }
    }
}

impl Totals {
    fn fail(&mut self, rule: &Arc<str>, failures: u64, last: Option<&crate::rule::ScriptError>, quarantined: bool) {
        let last = last.map(ToString::to_string).unwrap_or_default();
        if quarantined {
            self.quarantined.insert(rule.clone(), last.clone());
        }
        if failures > 0 {
            let entry = self.failures.entry(rule.clone()).or_default();
            *entry = (entry.0 + failures, last);
        }
    }
}

fn open(source: ReplaySource, rules: &Arc<RuleSet>, options: Options) -> Source {
    let state = SourceState {
        input: source.input,
        partition: source.partition,
        lateness: options.lateness,
        watermark: None,
        epoch: 1,
        max_clock_skew: None,
    };
    Source::new(state, source.decoder, Detector::new(rules.clone(), options.quarantine_after))
}

type AlertOrder<'a> = (Option<Timestamp>, &'a str, &'a [Arc<str>], &'a str, crate::alert::State);

/// (time, rule, key, id, state)
fn alert_order(alert: &Alert) -> AlertOrder<'_> {
    (Timestamp::parse(&alert.time), alert.rule_id(), &alert.key, &alert.id, alert.state)
}
