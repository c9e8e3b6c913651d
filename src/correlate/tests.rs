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
    event::{Fields, Position, Timestamp, Value},
    rule::{LoadOptions, RuleFiles, RuleSet, load},
};

const LIMITS: Limits = Limits {
    keys_per_rule_max: 1_000,
    state_bytes_max: 1 << 30,
    signals_per_key_max: 100,
    evidence_max: 3,
    list_entries_max: 100,
};

/// One rule over events with an `id`.
fn rules(keys: &str) -> Arc<RuleSet> {
    rule_of(&format!("event: |e| exists(e.id), {keys}"))
}

fn rule_of(keys: &str) -> Arc<RuleSet> {
    loaded("r.rhai", format!(r#"rule(#{{ id: "r", title: "t", severity: "low", by: ["id"], {keys} }});"#))
}

/// A correlation of Sigma rules `a`, `b` and `c`; it comes first, whether or not it refers to all of them.
fn correlation_of(body: &str) -> Arc<RuleSet> {
    let rule = |name: &str| {
        let logsource = "logsource: {category: x}";
        format!("---\ntitle: {name}\nname: {name}\n{logsource}\ndetection: {{s: {{kind: {name}}}, condition: s}}\n")
    };
    let correlation = format!("title: r\nid: 0\ncorrelation: {{group-by: id, timespan: 10s, {body}}}\n");
    loaded("r.yml", [correlation, rule("a"), rule("b"), rule("c")].concat())
}

fn loaded(path: &str, text: String) -> Arc<RuleSet> {
    let files =
        RuleFiles { root: PathBuf::new(), files: BTreeMap::from([(path.into(), text)]), ..RuleFiles::default() };
    let loaded = load(&files, &LoadOptions::default(), None);
    assert!(!loaded.has_errors(), "{:?}", loaded.diagnostics);
    Arc::new(loaded.set)
}

fn seconds(seconds: u64) -> Timestamp {
    Timestamp(0).plus(Duration::from_secs(seconds))
}

/// A signals log of one source, its state and its alerts; the correlator over it can be made anew at any time.
struct Partition {
    limits: Limits,
    rules: Arc<RuleSet>,
    log: Vec<SignalRecord>,
    state: BTreeMap<Bytes, Bytes>,
    correlator: Correlator,
    alerts: Vec<Alert>,
}

impl Partition {
    fn new(rules: &Arc<RuleSet>) -> Self {
        Partition::with(rules, LIMITS)
    }

    fn with(rules: &Arc<RuleSet>, limits: Limits) -> Self {
        let mut partition = Partition {
            limits,
            rules: rules.clone(),
            log: Vec::new(),
            state: BTreeMap::new(),
            correlator: Correlator::new(rules, limits, 3),
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
        self.correlator.accept(offset, (&self.log[offset as usize]).into(), &mut self.alerts);
        self.correlator.advance(&mut |_| {}, &mut self.alerts);
    }

    fn signal(&mut self, at: u64) {
        self.signal_of("k", "event", at);
    }

    fn signal_of(&mut self, key: &str, pattern: &str, at: u64) {
        self.signal_with(key, pattern, [("kind".to_owned(), Value::text(pattern))].into_iter().collect(), at);
    }

    /// One event from so many addresses to as many others, each named after it.
    fn signal_between(&mut self, name: &str, addresses: usize, at: u64) {
        let texts =
            |side: &str| Value::Array((0..addresses).map(|n| Value::text(format!("{name}-{side}-{n}"))).collect());
        let fields = ["from", "to"].map(|side| (side.to_owned(), texts(side)));
        self.signal_with("k", "event", fields.into_iter().collect(), at);
    }

    fn signal_with(&mut self, key: &str, pattern: &str, fields: Fields, at: u64) {
        let rule = &self.rules.rules[0];
        let offset = self.log.len() as u64;
        self.push(SignalRecord::Signal(Signal {
            rule: rule.id().clone(),
            shape: rule.shape,
            pattern: pattern.into(),
            key: vec![key.into()],
            time: seconds(at),
            position: Position { input: "in".into(), partition: 0, offset },
            element: 0,
            late: false,
            epoch: 1,
            fields,
            question: None,
        }));
    }

    fn time_is(&mut self, at: u64) {
        let watermark = Some(seconds(at));
        let marker =
            Marker { input: "in".into(), partition: 0, epoch: 1, watermark, idle: false, left_out: None, rules: None };
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
        changes
    }

    /// A fresh line from the last commit; gives where it reads on.
    fn restart(&mut self) -> u64 {
        let snapshot = Snapshot::read(self.state.iter()).unwrap().expect("a commit");
        let resume_from = snapshot.header.resume_from;
        self.correlator = Correlator::restore(&self.rules, &[], self.limits, 3, snapshot);
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

/// Every kind of window and step, in rules and in correlations.
const KINDS: [&str; 17] = [
    r#"within: "10s", all_of: [times(2, "a"), "b"]"#,
    r#"within: "10s", any_of: [times(3, "a"), "c"], suppress: "7s""#,
    r#"within: "10s", sequence: [times(2, "a"), any("b", "c")]"#,
    r#"within: "10s", sequence: [none("c"), "a", none("b"), "a", none("c")]"#,
    r#"within: "10s", sequence: ["a", "b", none("c")], suppress: "7s", when: |w| w.c.count < 2"#,
    r#"every: "10s", when: |w| w.a.count + w.b.count > 2"#,
    r#"every: "10s", sequence: ["a", none("c"), "b"], suppress: "12s""#,
    r#"session: "4s", max: "20s", all_of: [times(2, "a"), "b"]"#,
    r#"silent: "4s""#,
    r#"silent: "4s", suppress: "9s", when: |w| w.c.count == 0"#,
    r#"first_seen: #{ fields: ["kind"], over: "8s" }, learn: "6s", any_of: ["a", "b", "c"]"#,
    r#"first_seen: #{ fields: ["kind"], over: "8s" }, suppress: "9s", any_of: ["a", "b", "c"]"#,
    r#"baseline: #{ value: |w| w.a.count + w.b.count, every: "5s", over: "30s", above: 0.4 }, any_of: ["a", "b"]"#,
    "type: event_count, rules: [a, b], condition: {gte: 2}",
    "type: event_count, rules: [a, b], condition: {eq: 2}",
    "type: temporal, rules: [a, b, c], condition: {gte: 2, lt: 3}",
    "type: temporal, condition: (a or b) and not c",
];

/// A random log: at most so many keys, patterns that now and then match one event.
fn random_log(seed: u64, keys: u64) -> Vec<(String, &'static str, u64)> {
    let mut state = seed;
    let mut next = move |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let mut at = 0;
    let signal = |_| {
        at += next(4);
        (format!("key-{}", next(keys)), ["a", "b", "c"][next(3) as usize], at)
    };
    (0..120).map(signal).collect()
}

fn of_three_patterns(keys: &str) -> Arc<RuleSet> {
    let patterns = r#"a: |e| e.kind == "a", b: |e| e.kind == "b", c: |e| e.kind == "c""#;
    let keys = format!("{keys}, alert: |w| #{{ counts: [w.a.count, w.b.count, w.c.count] }}");
    rule_of(&format!("events: #{{ {patterns} }}, {keys}"))
}

/// Plays a log of three patterns, time moving with each signal; a line starts anew after every `restart_every`th one.
fn played(keys: &str, log: &[(String, &'static str, u64)], limits: Limits, restart_every: usize) -> Partition {
    let rules = if keys.starts_with("type: ") { correlation_of(keys) } else { of_three_patterns(keys) };
    let mut partition = Partition::with(&rules, limits);
    for (number, (key, pattern, at)) in log.iter().enumerate() {
        partition.signal_of(key, pattern, *at);
        partition.time_is(at.saturating_sub(2));
        if number % restart_every == restart_every - 1 {
            partition.commit();
            let from = partition.restart();
            (from..partition.log.len() as u64).for_each(|offset| partition.read(offset));
        }
    }
    partition.time_is(10_000);
    partition
}

#[test]
fn a_restart_at_any_point_changes_no_alert_of_any_kind_of_window() {
    for keys in KINDS {
        let mut fired = 0;
        for seed in 0..5 {
            let log = random_log(seed, 3);
            let whole = played(keys, &log, LIMITS, usize::MAX);
            fired += whole.alerts.len();
            for restart_every in [1, 7] {
                assert_eq!(played(keys, &log, LIMITS, restart_every).alerts, whole.alerts, "{keys} {seed}");
            }
        }
        assert!(fired > 0, "{keys} never fires");
    }
}

#[test]
fn nothing_of_a_key_stays_when_its_time_has_passed() {
    for keys in KINDS {
        let mut partition = played(keys, &random_log(9, 3), LIMITS, 5);
        partition.commit();
        assert_eq!((partition.correlator.standing().keys, partition.state.len()), (0, 1), "{keys}");
    }
}

#[test]
fn what_is_evicted_follows_from_the_log_alone() {
    let limits = Limits { keys_per_rule_max: 5, ..LIMITS };
    for keys in KINDS {
        let log = random_log(3, 12);
        let mut whole = played(keys, &log, limits, usize::MAX);
        let restarted = played(keys, &log, limits, 3);
        assert_eq!(restarted.alerts, whole.alerts, "{keys}");
        assert!(whole.correlator.take_counts().evicted_keys > 0, "{keys}");
    }
}

#[test]
fn a_flood_of_keys_pushes_out_its_own() {
    for limits in [Limits { keys_per_rule_max: 64, ..LIMITS }, Limits { state_bytes_max: 32 << 10, ..LIMITS }] {
        let mut partition = Partition::with(&rules(r#"within: "1h", all_of: [times(3, "event")]"#), limits);
        (0..2).for_each(|at| partition.signal_of("203.0.113.9", "event", at));
        (0..1_000).for_each(|at| partition.signal_of(&format!("spoofed-{at}"), "event", 2 + at));
        partition.signal_of("203.0.113.9", "event", 1_100);
        partition.time_is(2_000);
        let [alert] = &partition.alerts[..] else { panic!("{:?}", partition.states()) };
        assert_eq!((&*alert.key[0], alert.partial.as_slice()), ("203.0.113.9", ["keys".to_owned()].as_slice()));
        let keys = partition.correlator.standing().keys;
        assert!(keys < 300, "{keys} keys");
        let counts = partition.correlator.take_counts();
        assert_eq!(counts.evicted_keys + keys as u64, 1_000);
        assert_eq!(counts.evicted, counts.evicted_keys, "each had one signal");
    }
}

/// Whatever the rule waits for: the key with all but the last outlives a thousand that were seen once.
#[test]
fn a_key_one_step_from_firing_outlives_a_flood() {
    let limits = Limits { keys_per_rule_max: 64, ..LIMITS };
    let patterns = "events: #{ a: |e| e.kind == 1, b: |e| e.kind == 2 }";
    let cases = [
        (r#"within: "1h", all_of: [times(2, "a"), "b"]"#, "aab"),
        (r#"within: "1h", any_of: [times(4, "a"), times(3, "b")]"#, "bbb"),
        (r#"within: "1h", sequence: ["a", "a", "b"]"#, "aab"),
        (r#"within: "1h", sequence: [times(2, "a"), none("b"), "a"]"#, "aaa"),
        (r#"within: "1h", when: |w| w.a.count >= 2 && w.b.count >= 1"#, "aab"),
        (r#"every: "1h", when: |w| w.a.count + w.b.count >= 3"#, "aab"),
        (r#"session: "1h", all_of: [times(3, "a")], alert: |w| #{ b: w.b.count }"#, "aaa"),
    ];
    for (keys, signals) in cases {
        let mut partition = Partition::with(&rule_of(&format!("{patterns}, {keys}")), limits);
        let (before, last) = signals.split_at(2);
        before.chars().zip(0..).for_each(|(pattern, at)| partition.signal_of("203.0.113.9", &pattern.to_string(), at));
        (0..1_000).for_each(|at| partition.signal_of(&format!("spoofed-{at}"), "a", 2 + at));
        partition.signal_of("203.0.113.9", last, 1_100);
        partition.time_is(8_000);
        let fired: Vec<&str> = partition.alerts.iter().map(|alert| &*alert.key[0]).collect();
        assert_eq!(fired, ["203.0.113.9"], "{keys}");
        assert!(partition.correlator.take_counts().evicted_keys > 900, "{keys}");
    }
}

#[test]
fn keys_that_have_learnt_more_outlive_a_flood_and_what_was_evicted_learns_anew() {
    let limits = Limits { keys_per_rule_max: 32, ..LIMITS };
    let keys = r#"events: #{ a: |e| e.kind == "a", b: |e| e.kind == "b" }, first_seen: #{ fields: ["kind"], over: "1h" },
        learn: "10s", any_of: ["a", "b"]"#;
    let mut partition = Partition::with(&rule_of(keys), limits);
    ["a", "b", "a"].into_iter().zip(0..).for_each(|(kind, at)| partition.signal_of("203.0.113.9", kind, at));
    (0..200).for_each(|at| partition.signal_of(&format!("spoofed-{at}"), "a", 10 + at));
    partition.signal_of("203.0.113.9", "b", 300);
    partition.signal_of("spoofed-0", "b", 301);
    partition.time_is(400);
    assert_eq!(partition.states(), [], "one knew `b`, the other was forgotten and learns");
    let counts = partition.correlator.take_counts();
    assert!(counts.evicted_keys >= 150, "{counts:?}");
    partition.signal_of("spoofed-0", "a", 411);
    partition.time_is(500);
    let [alert] = &partition.alerts[..] else { panic!("{:?}", partition.states()) };
    assert_eq!(alert.partial, ["keys"], "it says that keys went");
}

#[test]
fn a_full_key_says_that_its_count_is_partial() {
    let limits = Limits { signals_per_key_max: 4, ..LIMITS };
    let mut partition = Partition::with(&rules(r#"every: "1m""#), limits);
    (0..9).for_each(|at| partition.signal(at));
    partition.time_is(100);
    assert_eq!(partition.alerts[0].partial, ["event.count"]);
    assert_eq!(partition.alerts[0].counts["event"], 9);
    assert_eq!(partition.correlator.take_counts().evicted, 5);
}

#[test]
fn combinations_that_were_too_many_are_partial_until_their_event_leaves() {
    let limits = Limits { signals_per_key_max: 10_000, ..LIMITS };
    let rules = rules(r#"within: "10s", when: |w| w.all.distinct(["from", "to"]) > 1000, suppress: "5s""#);
    let mut partition = Partition::with(&rules, limits);
    // Of 1,600 combinations 1,000 are looked at. Later there are 49 + 961, and none is left out.
    let events = [("wide", 40, 0), ("one", 1, 10), ("more", 1, 12), ("few", 7, 31), ("many", 31, 32)];
    events.into_iter().for_each(|(name, addresses, at)| partition.signal_between(name, addresses, at));
    partition.time_is(100);
    let said = partition.alerts.iter().map(|alert| (alert.state, &*alert.time, alert.partial.clone()));
    let [at_10, at_17, at_32, at_37] = [10, 17, 32, 37].map(|at| seconds(at).to_string());
    let distinct = vec![r#"all.distinct("from, to")"#.to_owned()];
    let expected = [
        (State::Opened, &*at_10, distinct.clone()),
        (State::Closed, &*at_17, distinct),
        (State::Opened, &*at_32, Vec::new()),
        (State::Closed, &*at_37, Vec::new()),
    ];
    assert_eq!(said.collect::<Vec<_>>(), expected);
    assert_eq!(partition.correlator.take_counts().rules["r"].combinations_cut, 600);
}

#[test]
fn a_first_sighting_says_where_not_every_sighting_is_known() {
    let limits = Limits { signals_per_key_max: 1_500, ..LIMITS };
    let rules = rules(r#"first_seen: #{ fields: ["from", "to"], over: "100s" }"#);
    let mut partition = Partition::with(&rules, limits);
    let first_seen = || vec!["first_seen".to_owned()];
    // Of 1,600 combinations 1,000 are looked at. The 961 at 200 push some of those at 150 out.
    let events = [("a", 1, 0), ("wide", 40, 1), ("b", 1, 101), ("c", 1, 102), ("many", 30, 150), ("more", 31, 200)];
    events.into_iter().for_each(|(name, addresses, at)| partition.signal_between(name, addresses, at));
    partition.time_is(201);
    partition.commit();
    partition.restart();
    partition.signal_between("d", 1, 250);
    partition.signal_between("e", 1, 251);
    partition.time_is(1_000);
    let said: Vec<_> = partition.alerts.iter().map(|alert| alert.partial.clone()).collect();
    let nothing = Vec::new;
    assert_eq!(
        said,
        [nothing(), first_seen(), first_seen(), nothing(), nothing(), first_seen(), first_seen(), nothing()]
    );
}

#[test]
fn timers_of_one_time_go_in_the_order_of_their_keys() {
    let mut partition = Partition::new(&rules(r#"every: "1m""#));
    ["c", "a", "b"].into_iter().zip(0..).for_each(|(key, at)| partition.signal_of(key, "event", at));
    partition.time_is(100);
    let keys: Vec<&str> = partition.alerts.iter().map(|alert| &*alert.key[0]).collect();
    assert_eq!(keys, ["a", "b", "c"]);
}
