//! The oracle itself, on rules and logs small enough to be sure of by hand.

use serde_json::json;

use super::{
    Aggregate, Alert, Baseline, Condition, Event, Log, Pattern, Rule, State, Step, Suppress, Test, Times, Until, What,
    Window, alerts,
};

/// Divisible by every span here, so that buckets begin at 0 seconds.
const START: i64 = 1_704_067_200;

fn rule(window: Window, names: &[&str], condition: Condition) -> Rule {
    let pattern =
        |name: &&str| Pattern { name: (*name).to_owned(), kind: (*name).to_owned(), by: vec!["k".to_owned()] };
    Rule {
        id: "r".to_owned(),
        inputs: None,
        patterns: names.iter().map(pattern).collect(),
        window,
        condition,
        when: Vec::new(),
        shows: Vec::new(),
        suppress: None,
    }
}

/// The seconds and states of what a rule says of events, each `(second, kind)`, of one key.
fn told(rule: Rule, events: &[(i64, &str)]) -> Vec<(i64, State)> {
    let event = |(second, kind): &(i64, &str)| {
        let fields = json!({ "kind": kind, "k": "x", "u": format!("u{}", second / 100) });
        Event { input: "i", partition: 0, time: START + second, fields: fields.as_object().expect("a map").clone() }
    };
    let log = Log { events: events.iter().map(event).collect(), lateness: 0, until: Until::Infinity };
    let mut alerts = alerts(&[rule], &log);
    alerts.sort_by(|a, b| a.time.cmp(&b.time));
    let second = |alert: &Alert| alert.time.parse::<jiff::Timestamp>().expect("a time").as_second() - START;
    alerts.iter().map(|alert| (second(alert), alert.state)).collect()
}

fn seconds(rule: Rule, events: &[(i64, &str)]) -> Vec<i64> {
    told(rule, events).into_iter().map(|(second, _)| second).collect()
}

fn count(pattern: &str) -> Aggregate {
    Aggregate { pattern: pattern.to_owned(), what: What::Count }
}

fn one(pattern: &str) -> Step {
    Step::Times(Times(1, pattern.to_owned()))
}

#[test]
fn buckets_tell_at_their_end_and_empty_ones_nothing() {
    let mut counting = rule(Window::Every(10), &["a"], Condition::Unwritten);
    counting.when = vec![Test { aggregate: count("a"), at_least: true, than: 2 }];
    assert_eq!(seconds(counting, &[(0, "a"), (9, "a"), (10, "a"), (30, "a"), (30, "a")]), [10, 40]);
}

#[test]
fn sessions_fire_once_a_run() {
    let session = |max| rule(Window::Session { gap: 5, max }, &["a"], Condition::AllOf(vec![Times(2, "a".to_owned())]));
    let events = [(0, "a"), (5, "a"), (10, "a"), (15, "a"), (21, "a"), (22, "a")];
    assert_eq!(seconds(session(None), &events), [5, 22]);
    assert_eq!(seconds(session(Some(9)), &events), [5, 15, 22]);
}

#[test]
fn silence_is_told_once_and_armed_again() {
    let silent = rule(Window::Silent(10), &["a"], Condition::Unwritten);
    assert_eq!(seconds(silent, &[(0, "a"), (10, "a"), (40, "a")]), [20, 50]);
}

#[test]
fn what_was_seen_lately_is_not_new() {
    let fields = vec!["u".to_owned()];
    let first =
        |learn| rule(Window::FirstSeen { fields: fields.clone(), over: 50, learn }, &["a"], Condition::Unwritten);
    let events = [(0, "a"), (50, "a"), (90, "a"), (100, "a"), (151, "a"), (202, "a")];
    assert_eq!(seconds(first(None), &events), [0, 100, 151, 202]);
    assert_eq!(seconds(first(Some(100)), &events), [100], "afterwards it is a new key, twice");
    assert_eq!(seconds(first(Some(101)), &events), [0; 0]);
}

#[test]
fn a_baseline_needs_a_history_with_some_spread() {
    let baseline = Baseline { value: count("a"), every: 10, over: 20, above: 1.0 };
    let mut events = vec![(0, "a"), (10, "a"), (11, "a"), (20, "a")];
    events.extend((30..36).map(|second| (second, "a")));
    assert_eq!(seconds(rule(Window::Baseline(baseline.clone()), &["a"], Condition::Unwritten), &events), [40]);
    let even: Vec<_> = (0..5).map(|bucket| (bucket * 10, "a")).collect();
    assert_eq!(seconds(rule(Window::Baseline(baseline), &["a"], Condition::Unwritten), &even), [0; 0]);
}

#[test]
fn absence_is_first_between_or_last() {
    let within = |steps| rule(Window::Within(10), &["a", "b", "x"], Condition::Sequence(steps));
    let none = || Step::None("x".to_owned());
    let any = Step::Any(vec!["a".to_owned(), "b".to_owned()]);
    assert_eq!(seconds(within(vec![none(), any]), &[(0, "x"), (10, "a"), (11, "b")]), [11]);
    let between = || within(vec![one("a"), none(), one("b")]);
    assert_eq!(seconds(between(), &[(0, "a"), (1, "x"), (2, "b"), (3, "a"), (4, "b")]), [4]);
    let last = || within(vec![one("a"), one("b"), none()]);
    assert_eq!(seconds(last(), &[(0, "a"), (1, "a"), (2, "b"), (20, "a"), (21, "b"), (30, "x")]), [10]);
    assert_eq!(seconds(last(), &[(0, "a"), (5, "b"), (11, "x")]), [10]);
}

#[test]
fn an_open_alert_takes_in_what_comes_and_closes() {
    let mut single = rule(Window::Alone, &["event"], Condition::Unwritten);
    single.suppress = Some(Suppress { span: 10, max: Some(15) });
    let (opened, closed) = (State::Opened, State::Closed);
    let events = [(0, "event"), (10, "event"), (15, "event"), (16, "event")];
    assert_eq!(told(single, &events), [(0, opened), (15, closed), (16, opened), (26, closed)]);
}
