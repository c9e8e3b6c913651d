//! The state of a partition over time, commits and restarts.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;

use super::{Changes, Correlator, Limits, Snapshot};
use crate::{
    alert::{Alert, State},
    detect::{Marker, Roster, Signal, SignalRecord},
    event::{Fields, Position, Timestamp},
    rule::{LoadOptions, RuleFiles, RuleSet, load},
};

const LIMITS: Limits = Limits { signals_per_key_max: 100, evidence_max: 3 };

fn rules(keys: &str) -> Arc<RuleSet> {
    let text =
        format!(r#"rule(#{{ id: "r", title: "t", severity: "low", event: |e| exists(e.id), by: ["id"], {keys} }});"#);
    let files =
        RuleFiles { root: PathBuf::new(), files: BTreeMap::from([("r.rhai".into(), text)]), ..RuleFiles::default() };
    let loaded = load(&files, &LoadOptions::default(), None);
    assert!(!loaded.has_errors(), "{:?}", loaded.diagnostics);
    Arc::new(loaded.set)
}

fn seconds(seconds: u64) -> Timestamp {
    Timestamp(0).plus(Duration::from_secs(seconds))
}

/// A signals log of one source, its state and its alerts; the correlator over it can be made anew at any time.
struct Partition {
    rules: Arc<RuleSet>,
    log: Vec<SignalRecord>,
    state: BTreeMap<Bytes, Bytes>,
    correlator: Correlator,
    alerts: Vec<Alert>,
}

impl Partition {
    fn new(rules: &Arc<RuleSet>) -> Self {
        let mut partition = Partition {
            rules: rules.clone(),
            log: Vec::new(),
            state: BTreeMap::new(),
            correlator: Correlator::new(rules, LIMITS, 3),
            alerts: Vec::new(),
        };
        partition.push(SignalRecord::Roster(Roster { inputs: [("in".into(), vec![0])].into() }));
        partition
    }

    fn push(&mut self, record: SignalRecord) {
        self.log.push(record);
        self.read(self.log.len() as u64 - 1);
    }

    fn read(&mut self, offset: u64) {
        self.correlator.accept(offset, self.log[offset as usize].clone(), &mut self.alerts);
        self.correlator.advance(&mut |_| {}, &mut self.alerts);
    }

    fn signal(&mut self, at: u64) {
        let rule = &self.rules.rules[0];
        let offset = self.log.len() as u64;
        self.push(SignalRecord::Signal(Signal {
            rule: rule.id().clone(),
            shape: rule.shape,
            pattern: "event".into(),
            key: vec!["k".into()],
            time: seconds(at),
            position: Position { input: "in".into(), partition: 0, offset },
            element: 0,
            late: false,
            epoch: 1,
            fields: Fields::default(),
        }));
    }

    fn time_is(&mut self, at: u64) {
        let watermark = Some(seconds(at));
        let marker = Marker { input: "in".into(), partition: 0, epoch: 1, watermark, idle: false, left_out: None };
        self.push(SignalRecord::Marker(marker));
    }

    fn commit(&mut self) -> Changes {
        let changes = self.correlator.changes();
        for (key, value) in &changes.records {
            match value {
                Some(value) => self.state.insert(key.clone(), value.clone()),
                None => self.state.remove(key),
            };
        }
        self.correlator.committed();
        changes
    }

    /// A fresh line from the last commit; gives where it reads on.
    fn restart(&mut self) -> u64 {
        let snapshot = Snapshot::read(self.state.iter()).unwrap().expect("a commit");
        let resume_from = snapshot.header.resume_from;
        self.correlator = Correlator::restore(&self.rules, LIMITS, 3, snapshot);
        resume_from
    }

    fn states(&self) -> Vec<(State, String)> {
        self.alerts.iter().map(|alert| (alert.state, alert.time.clone())).collect()
    }
}

#[test]
fn an_alert_closes_at_its_end_though_its_window_is_longer() {
    let mut partition = Partition::new(&rules(r#"within: "45s", when: |w| w.event.count >= 2, suppress: "10s""#));
    [0, 1, 20, 21].into_iter().for_each(|at| partition.signal(at));
    partition.time_is(1_000);
    let times = |at: u64| seconds(at).to_string();
    let expected = [(State::Opened, 1), (State::Closed, 11), (State::Opened, 21), (State::Closed, 31)];
    assert_eq!(partition.states(), expected.map(|(state, at)| (state, times(at))));
}

#[test]
fn a_line_that_ends_while_it_reads_again_loses_nothing_that_waits() {
    let mut partition = Partition::new(&rules(r#"within: "1m", when: |w| w.event.count >= 3"#));
    (0..3).for_each(|at| partition.signal(at));
    let waits_from = partition.commit().resume_from;
    assert_eq!(waits_from, 1, "the first signal waits");
    // Each line commits before it has read on, or after one record.
    assert_eq!(partition.restart(), waits_from);
    assert_eq!(partition.commit().resume_from, waits_from);
    assert_eq!(partition.restart(), waits_from);
    partition.read(waits_from);
    assert_eq!(partition.commit().resume_from, waits_from);
    let from = partition.restart();
    (from..partition.log.len() as u64).for_each(|offset| partition.read(offset));
    partition.time_is(1_000);
    assert_eq!(partition.states(), [(State::Fired, seconds(2).to_string())]);
}

#[test]
fn what_is_passed_over_is_known_until_it_can_be_read_no_more() {
    let mut partition = Partition::new(&rules(r#"within: "1m", when: |w| w.event.count >= 2"#));
    (0..3).for_each(|at| partition.signal(at));
    partition.commit();
    partition.restart();
    partition.read(1);
    assert!(partition.correlator.pass_over(2), "this is news");
    partition.read(3);
    partition.commit();
    let from = partition.restart();
    assert!(!partition.correlator.pass_over(2), "it was in the commit");
    (from..partition.log.len() as u64).for_each(|offset| partition.read(offset));
    partition.time_is(1_000);
    assert_eq!(partition.states(), [(State::Fired, seconds(2).to_string())], "the one in the middle is left out");
    partition.commit();
    let snapshot = Snapshot::read(partition.state.iter()).unwrap().expect("a commit");
    assert_eq!(snapshot.header.passed_over, BTreeSet::new());
}

#[test]
fn keys_whose_windows_passed_leave_the_state() {
    let mut partition = Partition::new(&rules(r#"within: "1m", when: |w| w.event.count >= 9"#));
    partition.signal(0);
    partition.time_is(10);
    partition.commit();
    assert_eq!(partition.state.len(), 2, "the header and the key");
    partition.time_is(1_000);
    partition.commit();
    partition.time_is(1_001);
    partition.commit();
    assert_eq!(partition.state.len(), 1);
    assert_eq!(partition.correlator.standing().keys, 0);
}

#[test]
fn a_script_that_fails_now_and_then_is_not_quarantined_and_one_that_always_fails_is() {
    let fails_when = |condition: &str| {
        let mut partition =
            Partition::new(&rules(&format!(r#"within: "1s", when: |w| {{ if {condition} {{ throw "no"; }} false }}"#)));
        (0..20).for_each(|at| partition.signal(10 * at + at % 2 * 5));
        partition.time_is(1_000);
        partition.correlator.take_counts().rules["r"].clone()
    };
    let always = fails_when("true");
    assert_eq!((always.failures, always.quarantined), (3, true));
    let sometimes = fails_when(r#"w.end.ends_with("5Z")"#);
    assert_eq!((sometimes.failures, sometimes.quarantined), (10, false));
}
