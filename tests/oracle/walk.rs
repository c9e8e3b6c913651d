//! One key of one rule: its signals in the total order, with the timers between them.
//!
//! A timer at T comes after every signal at T. Nothing is kept but the signals themselves; each question is answered
//! from all of them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use tripline::event::{Position, Timestamp};

use super::{
    aggregate::{self, View},
    alert::{Alert, State, Trigger},
    choice,
    layers::Entry,
    log::instant,
    rule::{Adding, Baseline, Rule, Window, Written},
    signal::{self, Signal},
};

/// Signals of a pattern that an alert shows.
const EVIDENCE_MAX: usize = 10;

const HOUR: i64 = 3600;
const WEEK: i64 = 7 * 24 * HOUR;

/// The alert of a rule on single events, which waits for nothing.
pub fn alone(rule: &Rule, signal: &Signal) -> Option<Alert> {
    let view = View { signals: &[signal], start: signal.time(), end: signal.time() };
    aggregate::meets_when(rule, &view).then(|| alert_of(rule, &signal.key, signal.time(), signal, &view))
}

/// The alerts of a key, up to the end of the log.
pub fn walk(rule: &Rule, key: &[String], signals: &[Signal], end: i64) -> Vec<Alert> {
    let walk = Walk {
        rule,
        key,
        seen: vec![],
        since: vec![],
        open: None,
        asked: i64::MIN,
        fired_run: None,
        fired_by: None,
        alerts: vec![],
    };
    walk.run(signals, end)
}

struct Walk<'a> {
    rule: &'a Rule,
    key: &'a [String],
    /// Every signal so far.
    seen: Vec<&'a Signal>,
    /// Those since the key was last emptied.
    since: Vec<&'a Signal>,
    open: Option<Open<'a>>,
    /// Timers due up to then have had their turn.
    asked: i64,
    /// Where the session began that has fired.
    fired_run: Option<i64>,
    /// The signal that fired last.
    fired_by: Option<&'a Signal>,
    alerts: Vec<Alert>,
}

/// An alert under suppression.
struct Open<'a> {
    alert: Alert,
    /// The window that opened it, and all that came since.
    signals: Vec<&'a Signal>,
    start: i64,
    opened: i64,
    end: i64,
    suppressed: u64,
}

impl<'a> Walk<'a> {
    fn run(mut self, signals: &'a [Signal], end: i64) -> Vec<Alert> {
        for signal in signals {
            self.timers(|due| due < signal.time());
            self.signal(signal);
        }
        self.timers(|due| due <= end);
        self.alerts
    }

    fn signal(&mut self, signal: &'a Signal) {
        let is_new = self.is_new(signal);
        self.seen.push(signal);
        match &mut self.open {
            Some(open) => {
                let suppress = self.rule.suppress.expect("only suppress keeps an alert open");
                open.signals.push(signal);
                open.suppressed += 1;
                open.end = (signal.time() + suppress.span).min(open.opened + suppress.longest());
            }
            // firing empties the trigger too, with all that its event matches
            None if self.fired_by.is_some_and(|trigger| trigger.is_same_event(signal)) => {}
            None => {
                self.since.push(signal);
                self.ask_at_signal(signal, is_new);
            }
        }
    }

    fn ask_at_signal(&mut self, signal: &'a Signal, is_new: bool) {
        let time = signal.time();
        let fired = match &self.rule.window {
            Window::Every(_) | Window::Silent(_) | Window::Baseline(_) => false,
            Window::Within(_) if self.rule.ends_in_none() => false,
            Window::Within(span) => self.fire_if_satisfied(time - span, time, None, signal),
            Window::Session { .. } => {
                let start = self.run_start();
                self.fired_run != Some(start) && self.fire_if_satisfied(start, time, None, signal)
            }
            Window::Alone | Window::FirstSeen { .. } => {
                self.since = vec![signal];
                (is_new || matches!(self.rule.window, Window::Alone))
                    && self.fire_if_satisfied(time, time, None, signal)
            }
        };
        if fired {
            self.fired_by = Some(signal);
        }
    }

    /// The turn of every timer that is due by then, one after the other.
    fn timers(&mut self, due_by: impl Fn(i64) -> bool) {
        while let Some(due) = self.next_timer().filter(|due| due_by(*due)) {
            self.asked = due;
            match &self.open {
                // what falls due while the alert is open is dropped
                Some(open) if open.end > due => {}
                Some(_) => self.close(due),
                None => self.ask_at_timer(due),
            }
        }
    }

    fn next_timer(&self) -> Option<i64> {
        let of_rule: Vec<i64> = match &self.rule.window {
            Window::Within(span) if self.rule.ends_in_none() => self.since.iter().map(|s| s.time() + span).collect(),
            Window::Every(span) => self.since.iter().map(|s| bucket_end(s.time(), *span)).collect(),
            Window::Silent(span) => self.seen.last().map(|s| s.time() + span).into_iter().collect(),
            Window::Baseline(Baseline { every, .. }) => {
                self.seen.iter().map(|s| bucket_end(s.time(), *every)).collect()
            }
            _ => Vec::new(),
        };
        let close = self.open.as_ref().map(|open| open.end);
        of_rule.into_iter().chain(close).filter(|due| *due > self.asked).min()
    }

    fn ask_at_timer(&mut self, due: i64) {
        let last_before = |limit: i64| self.seen.iter().copied().rfind(|signal| signal.time() < limit);
        let (start, first, last) = match &self.rule.window {
            Window::Within(span) => (due - span, Some(due - span), last_before(due + 1)),
            // the next bucket begins at the timer's time
            Window::Every(span) => (due - span, None, last_before(due)),
            Window::Baseline(baseline) if !self.leaves_its_history(baseline, due) => return,
            Window::Baseline(baseline) => (due - baseline.every, None, last_before(due)),
            Window::Silent(span) => (due - span, None, last_before(due + 1)),
            Window::Alone | Window::Session { .. } | Window::FirstSeen { .. } => return,
        };
        self.fire_if_satisfied(start, due, first, last.expect("a timer follows a signal"));
    }

    fn fire_if_satisfied(&mut self, start: i64, end: i64, first: Option<i64>, trigger: &'a Signal) -> bool {
        let is_bucket = matches!(self.rule.window, Window::Every(_) | Window::Baseline(_));
        let inside =
            |signal: &&&Signal| signal.time() >= start && (signal.time() < end || !is_bucket && signal.time() == end);
        let window: Vec<&Signal> = self.since.iter().filter(inside).copied().collect();
        let view = View { signals: &window, start, end };
        // a firing, or an alert that was open, has emptied it
        if is_bucket && window.is_empty() {
            return false;
        }
        if !choice::holds(self.rule, &window, first) || !aggregate::meets_when(self.rule, &view) {
            return false;
        }
        let alert = alert_of(self.rule, self.key, end, trigger, &view);
        // also what came at the time of a bucket's end, and so before its timer
        self.since.clear();
        self.fired_run = matches!(self.rule.window, Window::Session { .. }).then(|| self.run_start());
        if let Some(suppress) = self.rule.suppress {
            let signals = window;
            self.open = Some(Open {
                alert: alert.clone(),
                signals,
                start,
                opened: end,
                end: end + suppress.span,
                suppressed: 0,
            });
        }
        self.alerts.push(alert);
        true
    }

    fn close(&mut self, time: i64) {
        let Some(open) = self.open.take() else { return };
        // it reaches from the opening window's start to the last signal that was counted in
        let last = open.signals.iter().map(|signal| signal.time()).fold(open.opened, i64::max);
        let view = View { signals: &open.signals, start: open.start, end: last };
        self.alerts.push(Alert {
            state: State::Closed,
            time: instant(time),
            counts: counts(&open.signals),
            suppressed: open.suppressed,
            window: open.alert.window.as_ref().map(|(start, _)| (start.clone(), instant(last))),
            fields: aggregate::shown(self.rule, &view),
            risk: risk(self.rule, &open.signals),
            evidence: evidence(&open.signals),
            adds: Vec::new(),
            ..open.alert
        });
    }

    /// Where the session of the last signal began: a run of signals no further apart than the gap, and no longer
    /// than its `max`.
    fn run_start(&self) -> i64 {
        let Window::Session { gap, max } = self.rule.window else { return i64::MIN };
        let mut run: Option<(i64, i64)> = None;
        for time in self.seen.iter().map(|signal| signal.time()) {
            let goes_on = |(start, last): (i64, i64)| time - last <= gap && max.is_none_or(|max| time - start <= max);
            run = Some((run.filter(|run| goes_on(*run)).map_or(time, |(start, _)| start), time));
        }
        run.map_or(i64::MIN, |(start, _)| start)
    }

    /// Whether a combination of values was not seen for this key lately, and learning is over.
    fn is_new(&self, signal: &Signal) -> bool {
        let Window::FirstSeen { fields, over, learn } = &self.rule.window else { return false };
        // a key that was silent for longer than `over` is a new one
        let mut first = signal.time();
        for seen in self.seen.iter().rev() {
            if first - seen.time() > *over {
                break;
            }
            first = seen.time();
        }
        if learn.is_some_and(|learn| signal.time() < first + learn) {
            return false;
        }
        combinations(signal, fields).iter().any(|combination| {
            let sightings = self.seen.iter().filter(|seen| combinations(seen, fields).contains(combination));
            sightings.map(|seen| seen.time()).max().is_none_or(|last| last < signal.time() - over)
        })
    }

    /// Whether the bucket that ends at `end` is above the mean of those before it by so many deviations; with a season,
    /// of those of the same hour of the week. The moving mean and variance start at the first bucket's value and at 0.
    fn leaves_its_history(&self, baseline: &Baseline, end: i64) -> bool {
        let Baseline { value, every, over, above, by_week } = baseline;
        let value_of = |start: i64| {
            let inside = |signal: &&&Signal| (start..start + every).contains(&signal.time());
            let signals: Vec<&Signal> = self.seen.iter().filter(inside).copied().collect();
            value.of(&View { signals: &signals, start, end: start + every }).as_f64().unwrap_or(0.0)
        };
        let last = end - every;
        let hour = |start: i64| start.rem_euclid(WEEK) / HOUR;
        let is_like = |start: &i64| !by_week || hour(*start) == hour(last);
        let before = (self.history_start(baseline, end)..last).step_by(*every as usize).filter(is_like);
        let warm_up = if *by_week { (over / every / (WEEK / HOUR)).max(1) } else { over / every };
        let weight = 2.0 / (warm_up as f64 + 1.0);
        let (mut mean, mut variance, mut buckets) = (0.0, 0.0f64, 0);
        for x in before.map(value_of) {
            if buckets == 0 {
                mean = x;
            }
            let d = x - mean;
            mean += weight * d;
            variance = (1.0 - weight) * (variance + weight * d * d);
            buckets += 1;
        }
        buckets >= warm_up && variance > 0.0 && value_of(last) > mean + above * variance.sqrt()
    }

    /// The start of the first bucket of a history: after as many empty buckets as it has, a key is a new one.
    fn history_start(&self, baseline: &Baseline, end: i64) -> i64 {
        let Baseline { every, over, .. } = baseline;
        let mut start = end - every;
        let times = self.seen.iter().rev().map(|signal| bucket_end(signal.time(), *every) - every);
        for bucket in times.filter(|bucket| *bucket < end) {
            if (start - bucket) / every > over / every {
                break;
            }
            start = bucket;
        }
        start
    }
}

fn bucket_end(time: i64, span: i64) -> i64 {
    (time.div_euclid(span) + 1) * span
}

fn combinations(signal: &Signal, fields: &[String]) -> Vec<Vec<String>> {
    fields.iter().fold(vec![Vec::new()], |before, field| {
        let values = signal::values(&signal.event, field);
        before
            .iter()
            .flat_map(|before| values.iter().map(|value| [&before[..], std::slice::from_ref(value)].concat()))
            .collect()
    })
}

fn counts(signals: &[&Signal]) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    signals.iter().for_each(|signal| *counts.entry(signal.pattern.clone()).or_default() += 1);
    counts
}

fn alert_of(rule: &Rule, key: &[String], time: i64, trigger: &Signal, view: &View<'_>) -> Alert {
    let has_window = !matches!(rule.window, Window::Alone);
    Alert {
        rule: rule.id.clone(),
        key: key.to_vec(),
        state: if rule.suppress.is_some() { State::Opened } else { State::Fired },
        time: instant(time),
        id: id(rule, key, time, trigger),
        trigger: place(trigger),
        late: trigger.late,
        counts: counts(view.signals),
        suppressed: 0,
        window: has_window.then(|| (instant(view.start), instant(view.end))),
        fields: aggregate::shown(rule, view),
        risk: risk(rule, view.signals),
        partial: Vec::new(),
        evidence: evidence(view.signals),
        adds: if trigger.late { Vec::new() } else { adds(rule, key, time, view.signals) },
    }
}

/// The entities are the texts of some fields in all signals.
fn risk(rule: &Rule, signals: &[&Signal]) -> Option<(i64, BTreeSet<(String, String)>)> {
    let risk = rule.risk.as_ref()?;
    let entities = risk.entities.iter().flat_map(|field| {
        let texts = signals.iter().flat_map(|signal| signal::values(&signal.event, field));
        texts.map(|text| (field.clone(), text))
    });
    Some((risk.score, entities.collect()))
}

/// Of each pattern the first ones and the last, ten at most.
fn evidence(signals: &[&Signal]) -> Vec<(String, Trigger)> {
    let is_shown = |(at, signal): &(usize, &&Signal)| {
        let count = |signals: &[&Signal]| signals.iter().filter(|other| other.pattern == signal.pattern).count();
        count(&signals[..*at]) < EVIDENCE_MAX - 1 || count(&signals[*at..]) == 1
    };
    let shown = signals.iter().enumerate().filter(is_shown);
    shown.map(|(_, signal)| (signal.pattern.clone(), place(signal))).collect()
}

fn adds(rule: &Rule, key: &[String], time: i64, signals: &[&Signal]) -> Vec<Entry> {
    let Some(Adding { list, text, span }) = &rule.then else { return Vec::new() };
    let texts = match text {
        Written::Key(at) => vec![key[*at].clone()],
        Written::Last { pattern, field } => {
            let last = signals.iter().rfind(|signal| signal.pattern == *pattern);
            last.map(|signal| signal::values(&signal.event, field)).unwrap_or_default()
        }
    };
    let entry = |text: String| Entry { list: list.clone(), text, after: time, until: time + span };
    texts.into_iter().map(entry).collect()
}

fn place(signal: &Signal) -> Trigger {
    let (input, partition) = signal.event.source();
    (input.to_owned(), partition, signal.offset, instant(signal.time()))
}

/// The id's format is documented where it is made; what goes in is the oracle's.
fn id(rule: &Rule, key: &[String], time: i64, trigger: &Signal) -> String {
    let key: Vec<Arc<str>> = key.iter().map(|part| part.as_str().into()).collect();
    let (input, partition) = trigger.event.source();
    let position = Position { input: input.into(), partition, offset: trigger.offset };
    tripline::alert::id(&rule.id, &key, Timestamp(0).plus(Duration::from_secs(time as u64)), &position, trigger.element)
}
