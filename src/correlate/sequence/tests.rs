//! The automaton against trying every choice of events.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::{
    correlate::{arrival::Origin, packed::Packed},
    rule::Step,
};

/// Patterns by number: "a" is 0.
fn number(pattern: &str) -> Option<usize> {
    pattern.bytes().next().map(|letter| usize::from(letter - b'a'))
}

/// Steps as they are written: `2ab` is two events, each an `a` or a `b`, `!c` is no `c`.
fn steps(written: &str) -> Vec<Step> {
    let name = |letter: char| Arc::from(letter.to_string());
    let step = |word: &str| match word.strip_prefix('!') {
        Some(letter) => Step::None(letter.into()),
        None => {
            let n = word.chars().next().and_then(|digit| digit.to_digit(10));
            let letters = word.chars().filter(char::is_ascii_lowercase);
            Step::Some { n: n.unwrap_or(1), patterns: letters.map(name).collect() }
        }
    };
    written.split_whitespace().map(step).collect()
}

/// A signal: its time, its event, its pattern.
type Signal = (i64, usize, char);

/// Events, each (time, its patterns in byte order), as their signals.
fn signals(events: &[(i64, &str)]) -> Vec<Signal> {
    let of_event = |(event, (time, patterns)): (usize, &(i64, &str))| {
        let time = *time;
        patterns.chars().map(move |pattern| (time, event, pattern)).collect::<Vec<_>>()
    };
    events.iter().enumerate().flat_map(of_event).collect()
}

fn see(progress: &mut Progress, plan: &Sequence, pattern: usize, time: i64, event: usize) -> u64 {
    let (time, offset) = (Timestamp(time), event as u64);
    let fields = Packed { bytes: &[], paths: &[] };
    let origin = &Origin::new("i", 0);
    progress.see(plan, &Arrival { time, origin, offset, element: 0, late: false, pattern, fields }, 1_000)
}

/// What a sequence does when nothing it satisfies ever empties it: at which signals its window is satisfied, or, for a
/// sequence that ends with an absence, the times at which its timers find it satisfied.
#[derive(Debug, PartialEq)]
enum Found {
    AtSignals(Vec<bool>),
    ByTimer(Vec<i64>),
}

fn found(steps: &[Step], span: i64, events: &[(i64, &str)]) -> Found {
    let plan = Sequence::new(steps, &number);
    let waits = !plan.absent_after.is_empty();
    let (mut progress, mut at_signals, mut by_timer) = (Progress::default(), Vec::new(), Vec::new());
    let mut run_timers = |progress: &mut Progress, until: i64| {
        while let Some(first) = progress.first_to_complete(&plan).filter(|first| first.0 + span < until) {
            progress.expire(first);
            by_timer.push(first.0 + span);
            progress.pass(first);
        }
    };
    for (time, event, pattern) in signals(events) {
        run_timers(&mut progress, time);
        let start = Timestamp(time - span);
        progress.expire(start);
        let pattern = number(&pattern.to_string()).unwrap();
        assert_eq!(see(&mut progress, &plan, pattern, time, event), 0);
        at_signals.push(progress.is_complete(&plan, start));
    }
    run_timers(&mut progress, i64::MAX);
    if waits { Found::ByTimer(by_timer) } else { Found::AtSignals(at_signals) }
}

/// Whether the steps can be filled from signal `from` on, the one before `from` chosen last.
fn fits(steps: &[Step], signals: &[Signal], from: usize, used: &mut Vec<usize>, until: usize) -> bool {
    let absences = steps.iter().take_while(|step| matches!(step, Step::None(_))).count();
    let (absent, rest) = steps.split_at(absences);
    let is_absent = |signals: &[Signal]| {
        let spoils = |step: &Step, pattern: char| matches!(step, Step::None(of) if **of == *pattern.to_string());
        !signals.iter().any(|(_, _, pattern)| absent.iter().any(|step| spoils(step, *pattern)))
    };
    let Some((Step::Some { n, patterns }, rest)) = rest.split_first() else {
        return is_absent(&signals[from..until]);
    };
    for at in from..until {
        let (_, event, pattern) = signals[at];
        if !patterns.iter().any(|of| **of == *pattern.to_string()) || used.contains(&event) {
            continue;
        }
        if !is_absent(&signals[from..at]) {
            break;
        }
        let one_less = Step::Some { n: n - 1, patterns: patterns.clone() };
        let next: Vec<Step> = (*n > 1).then_some(one_less).into_iter().chain(rest.iter().cloned()).collect();
        used.push(event);
        let fits = fits(&next, signals, at + 1, used, until);
        used.pop();
        if fits {
            return true;
        }
    }
    false
}

/// The same by trying every choice.
fn found_by_search(steps: &[Step], span: i64, events: &[(i64, &str)]) -> Found {
    let signals = signals(events);
    if !matches!(steps.last(), Some(Step::None(_))) {
        let satisfied = |end: usize| {
            let first = signals.iter().position(|(time, ..)| *time >= signals[end].0 - span).unwrap();
            fits(steps, &signals, first, &mut Vec::new(), end + 1)
        };
        return Found::AtSignals((0..signals.len()).map(satisfied).collect());
    }
    let mut times: Vec<i64> = signals.iter().map(|(time, ..)| *time).collect();
    times.dedup();
    let first_step = steps.iter().position(|step| matches!(step, Step::Some { .. })).unwrap();
    let Step::Some { n, patterns } = &steps[first_step] else { unreachable!() };
    let is_due = |start: &i64| {
        let until = signals.partition_point(|(time, ..)| *time <= start + span);
        let window = signals.partition_point(|(time, ..)| time < start);
        // The first event has to be at the very start, so it is chosen here.
        (window..until).filter(|at| signals[*at].0 == *start).any(|at| {
            let (_, event, pattern) = signals[at];
            let free = |step: &Step| {
                !matches!(step, Step::None(of)
                if signals[window..at].iter().any(|(_, _, pattern)| **of == *pattern.to_string()))
            };
            let one_less = Step::Some { n: n - 1, patterns: patterns.clone() };
            let next: Vec<Step> =
                (*n > 1).then_some(one_less).into_iter().chain(steps[first_step + 1..].iter().cloned()).collect();
            patterns.iter().any(|of| **of == *pattern.to_string())
                && steps[..first_step].iter().all(free)
                && fits(&next, &signals, at + 1, &mut vec![event], until)
        })
    };
    Found::ByTimer(times.into_iter().filter(is_due).map(|start| start + span).collect())
}

fn at_signals(written: &str, span: i64, events: &[(i64, &str)]) -> Vec<bool> {
    match found(&steps(written), span, events) {
        Found::AtSignals(satisfied) => satisfied,
        Found::ByTimer(_) => panic!("it waits for an absence"),
    }
}

#[test]
fn one_event_fills_at_most_one_step() {
    assert_eq!(at_signals("a b", 10, &[(0, "ab"), (1, "b")]), [false, false, true]);
}

#[test]
fn a_later_start_takes_the_place_of_an_earlier_one() {
    assert_eq!(at_signals("a b c", 5, &[(0, "a"), (4, "a"), (5, "b"), (9, "c")]), [false, false, false, true]);
}

#[test]
fn what_comes_between_takes_the_waiting_choice_and_leaves_the_one_that_went_on() {
    assert_eq!(at_signals("a !x b", 9, &[(0, "a"), (1, "x"), (2, "b")]), [false; 3]);
    assert_eq!(at_signals("a !x b c", 9, &[(0, "a"), (1, "b"), (2, "x"), (3, "c")]), [false, false, false, true]);
    assert!(at_signals("2a !x b", 9, &[(0, "a"), (1, "a"), (2, "x"), (3, "a"), (4, "b")])[4]);
}

#[test]
fn a_first_absence_ends_with_the_window() {
    assert_eq!(at_signals("!x a", 5, &[(0, "x"), (5, "a"), (6, "c")]), [false, false, true]);
}

#[test]
fn a_last_absence_is_due_at_the_first_events_time_and_the_span() {
    let due = |events: &[(i64, &str)]| found(&steps("a b !x"), 5, events);
    assert_eq!(due(&[(0, "a"), (2, "b")]), Found::ByTimer(vec![5]));
    assert_eq!(due(&[(0, "a"), (2, "b"), (5, "x")]), Found::ByTimer(vec![]));
    assert_eq!(due(&[(0, "a"), (2, "b"), (6, "x")]), Found::ByTimer(vec![5]));
    assert_eq!(due(&[(0, "a"), (1, "a"), (2, "b")]), Found::ByTimer(vec![5, 6]));
}

#[test]
fn runs_are_bounded() {
    let plan = Sequence::new(&steps("a !x b c !y"), &number);
    let mut progress = Progress::default();
    let mut given_up = 0;
    for at in 0..3 * (RUNS_MAX + 5) {
        let pattern = number(["a", "b", "x"][at % 3]).unwrap();
        given_up += see(&mut progress, &plan, pattern, at as i64, at);
    }
    assert_eq!((progress.runs.len(), given_up), (RUNS_MAX, 5));
}

fn some_step() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["a", "b", "c", "ab", "2a", "2ab", "3b", "bc"])
}

/// Between two steps, before the first and after the last: mostly nothing.
fn gap() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["", "", "!c", "!a", "!b", "!d", "!c !d"])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]
    #[test]
    fn the_automaton_agrees_with_trying_every_choice(
        shape in prop::collection::vec((gap(), some_step()), 1..4),
        end in gap(),
        gaps in prop::collection::vec(
            (0i64..4, prop::sample::select(vec!["a", "b", "c", "d", "ab", "ac", "bc", "cd", "abc", "abcd"])), 1..12),
        span in 0i64..12,
    ) {
        let words: Vec<String> = shape.iter().map(|(gap, step)| format!("{gap} {step}")).collect();
        let steps = steps(&format!("{} {end}", words.join(" ")));
        let mut now = 0;
        let events: Vec<_> = gaps.into_iter().map(|(gap, patterns)| { now += gap; (now, patterns) }).collect();
        prop_assert_eq!(found(&steps, span, &events), found_by_search(&steps, span, &events));
    }
}
