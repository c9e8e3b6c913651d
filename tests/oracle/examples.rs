//! The oracle itself, on rules and logs small enough to be sure of by hand.

use serde_json::json;

use super::{
    ALERTS, Adding, Aggregate, Alert, Ask, Baseline, Condition, Event, Log, Pattern, Risk, Rule, State, Step, Suppress,
    Test, Times, Until, What, Window, Written, alerts,
};

/// Divisible by every span here, so that buckets begin at 0 seconds.
const START: i64 = 1_704_067_200;

fn rule(window: Window, names: &[&str], condition: Condition) -> Rule {
    let pattern =
        |name: &&str| Pattern { name: (*name).to_owned(), asks: vec![is("kind", name)], by: vec!["k".to_owned()] };
    Rule {
        id: "r".to_owned(),
        inputs: None,
        patterns: names.iter().map(pattern).collect(),
        window,
        condition,
        when: Vec::new(),
        shows: Vec::new(),
        suppress: None,
        risk: None,
        then: None,
    }
}

fn is(field: &str, text: &str) -> Ask {
    Ask::Is { field: field.to_owned(), text: text.to_owned() }
}

/// The seconds and states of what a rule says of events, each `(second, kind)`, of one key.
fn told(rule: Rule, events: &[(i64, &str)]) -> Vec<(i64, State)> {
    told_by("r", &[rule], events)
}

/// The seconds and states of what one of the rules says.
fn told_by(id: &str, rules: &[Rule], events: &[(i64, &str)]) -> Vec<(i64, State)> {
    let event = |(second, kind): &(i64, &str)| {
        let fields = json!({ "kind": kind, "k": "x", "u": format!("u{}", second / 100) });
        Event { input: "i", partition: 0, time: START + second, fields: fields.as_object().expect("a map").clone() }
    };
    let log = Log { events: events.iter().map(event).collect(), lateness: 0, until: Until::Infinity };
    let mut alerts = alerts(rules, &log);
    alerts.retain(|alert| alert.rule == id);
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
    let baseline = Baseline { value: count("a"), every: 10, over: 20, above: 1.0, by_week: false };
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

const HOUR: i64 = 3600;
const WEEK: i64 = 7 * 24 * HOUR;

#[test]
fn with_a_season_each_hour_of_the_week_has_a_history_of_its_own() {
    let baseline = |by_week| Baseline { value: count("a"), every: HOUR, over: 2 * WEEK, above: 1.0, by_week };
    // of the same hour: 1, 2, 1 and 4 events; of another one always 5
    let mut events: Vec<(i64, &str)> = Vec::new();
    for (week, count) in (0..).zip([1, 2, 1, 4]) {
        events.extend((0..count).map(|at| (week * WEEK + at, "a")));
        events.extend((0..5).map(|at| (week * WEEK + 30 * HOUR + at, "a")));
    }
    let hours = |by_week| -> Vec<i64> {
        let rule = rule(Window::Baseline(baseline(by_week)), &["a"], Condition::Unwritten);
        seconds(rule, &events).into_iter().map(|second| second / HOUR).collect()
    };
    assert_eq!(hours(true), [3 * 168 + 1]);
    assert!(hours(false).contains(&(2 * 168 + 31)), "five in an hour are many: {:?}", hours(false));
}

/// A rule on the alerts of `r`.
fn on_alerts(window: Window, asks: Vec<Ask>, by: &str) -> Rule {
    let pattern = Pattern { name: "event".to_owned(), asks, by: vec![by.to_owned()] };
    let id = "s".to_owned();
    Rule { id, inputs: Some(vec![ALERTS]), patterns: vec![pattern], ..rule(window, &["event"], Condition::Unwritten) }
}

#[test]
fn alerts_are_events_and_their_closing_is_for_those_who_ask() {
    let mut first = rule(Window::Alone, &["a"], Condition::Unwritten);
    first.suppress = Some(Suppress { span: 10, max: None });
    let events = [(0, "a"), (3, "a"), (40, "a")];
    let all = [first.clone(), on_alerts(Window::Alone, vec![is("rule.id", "r")], "entity.k")];
    assert_eq!(told_by("s", &all, &events), [(0, State::Fired), (40, State::Fired)]);
    let closed = [first, on_alerts(Window::Alone, vec![is("state", "closed")], "key")];
    assert_eq!(told_by("s", &closed, &events), [(13, State::Fired), (50, State::Fired)]);
}

#[test]
fn risk_adds_up_by_entity() {
    let mut first = rule(Window::Alone, &["a"], Condition::Unwritten);
    first.risk = Some(Risk { score: 40, entities: vec!["k".to_owned()] });
    let mut sum = on_alerts(Window::Within(10), vec![is("rule.id", "r")], "risk.entities.value");
    let aggregate = Aggregate { pattern: "event".to_owned(), what: What::Sum("risk.score".to_owned()) };
    sum.when = vec![Test { aggregate, at_least: true, than: 100 }];
    assert_eq!(told_by("s", &[first, sum], &[(0, "a"), (5, "a"), (11, "a"), (14, "a")]), [(14, State::Fired)]);
}

#[test]
fn a_text_is_in_a_list_after_it_was_added_and_up_to_its_time() {
    let mut writer = rule(Window::Alone, &["a"], Condition::Unwritten);
    writer.then = Some(Adding { list: "l".to_owned(), text: Written::Key(0), span: 5 });
    let mut reader = rule(Window::Alone, &["b"], Condition::Unwritten);
    reader.id = "s".to_owned();
    reader.patterns[0].asks.push(Ask::Listed { field: "k".to_owned(), list: "l".to_owned(), is_in: true });
    let events = [(0, "b"), (1, "a"), (1, "b"), (2, "b"), (6, "b"), (7, "b")];
    assert_eq!(told_by("s", &[writer, reader], &events), [(2, State::Fired), (6, State::Fired)]);
}
