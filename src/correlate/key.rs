//! One key of one rule: its window, what it waits for, and its open alert.

use std::{sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use super::{firing::Firing, sequence::Progress, window::Kepts};
use crate::{
    alert::{Alert, State},
    detect::{Order, Signal},
    event::{Position, Timestamp},
    rule::{Condition, Kept, Rule, ScriptError, Window},
};

/// Which state a signal belongs to. Another shape of the rule is another state.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct StateKey {
    pub rule: Arc<str>,
    pub shape: u64,
    pub key: Vec<Arc<str>>,
}

/// What a key remembers between signals.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyState {
    window: Kepts,
    /// For a rule with a `sequence`.
    progress: Option<Progress>,
    open: Option<Open>,
    /// The last signal that was applied: what is read again after a crash is not applied again.
    applied: Option<Order>,
    /// The event that fired last. Firing empties all of it: its further patterns start nothing.
    fired_on: Option<Position>,
}

/// An alert that signals still accumulate into.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Open {
    trigger: Trigger,
    /// Start of the window that fired.
    start: Timestamp,
    until: Timestamp,
    /// `until` moves no further than this.
    until_max: Timestamp,
    suppressed: u64,
    /// Of the window that fired, and all since.
    total: Kepts,
}

/// The signal that fired.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Trigger {
    pub time: Timestamp,
    pub position: Position,
    pub element: u32,
    pub late: bool,
}

/// Named bounds of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Signals that a key keeps for each pattern; the oldest goes first, and is counted.
    pub signals_per_key_max: usize,
    /// Signals of each pattern that an alert shows: the first ones and the last.
    pub evidence_max: usize,
}

/// What happened to a rule while its state changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    pub evicted: u64,
    /// Signals that went into an open alert.
    pub suppressed: u64,
    /// How the rule's scripts did; `None` where one was not asked.
    pub when: Option<Result<(), ScriptError>>,
    pub alert: Option<Result<(), ScriptError>>,
}

impl Tally {
    pub fn has_failed(&self) -> bool {
        [&self.when, &self.alert].into_iter().flatten().any(Result::is_err)
    }
}

impl KeyState {
    /// Applies the next signal of the total order; says what fired.
    pub fn apply(&mut self, rule: &Rule, limits: Limits, signal: &Signal, tally: &mut Tally) -> Option<Alert> {
        let order = signal.order();
        if self.applied.as_ref().is_some_and(|applied| order <= *applied) {
            return None;
        }
        self.applied = Some(order);
        let kept = Arc::new(Kept {
            time: signal.time,
            position: signal.position.clone(),
            element: signal.element,
            fields: signal.fields.clone(),
        });
        if let Some(open) = &mut self.open {
            open.take(rule, limits, signal, kept, tally);
            return None;
        }
        if self.fired_on.as_ref() == Some(&signal.position) {
            return None;
        }
        self.fired_on = None;
        let start = self.enter(rule, limits, signal, kept, tally);
        self.fire_if_satisfied(rule, limits, signal, start, tally)
    }

    /// Puts a signal into the window that ends with it; gives the window's start.
    fn enter(&mut self, rule: &Rule, limits: Limits, signal: &Signal, kept: Arc<Kept>, tally: &mut Tally) -> Timestamp {
        let start = match rule.window {
            Window::Sliding(span) => signal.time.minus(span),
            _ => {
                self.window.clear();
                signal.time
            }
        };
        self.window.expire(start);
        tally.evicted += u64::from(self.window.push(&signal.pattern, kept, limits.signals_per_key_max));
        if let Condition::Sequence(steps) = &rule.condition {
            let progress = self.progress.get_or_insert_with(|| Progress::new(steps));
            progress.expire(start);
            progress.see(steps, &signal.pattern, signal.time, &signal.position);
        }
        start
    }

    fn fire_if_satisfied(
        &mut self,
        rule: &Rule,
        limits: Limits,
        signal: &Signal,
        start: Timestamp,
        tally: &mut Tally,
    ) -> Option<Alert> {
        if !self.meets_condition(rule) {
            return None;
        }
        let trigger = Trigger {
            time: signal.time,
            position: signal.position.clone(),
            element: signal.element,
            late: signal.late,
        };
        let state = if rule.suppress.is_some() { State::Opened } else { State::Fired };
        let firing = Firing {
            rule,
            key: &signal.key,
            trigger: &trigger,
            start,
            end: signal.time,
            time: signal.time,
            signals: &self.window,
            state,
            suppressed: 0,
        };
        if !firing.meets_when(tally) {
            return None;
        }
        let alert = firing.alert(limits, tally);
        let total = std::mem::take(&mut self.window);
        self.progress = None;
        match rule.suppress {
            None => self.fired_on = Some(signal.position.clone()),
            Some(suppress) => {
                self.open = Some(Open {
                    trigger,
                    start,
                    until: signal.time.plus(suppress.span.min(suppress.max)),
                    until_max: signal.time.plus(suppress.max),
                    suppressed: 0,
                    total,
                });
            }
        }
        Some(alert)
    }

    fn meets_condition(&self, rule: &Rule) -> bool {
        match &rule.condition {
            Condition::AllOf(all) => all.iter().all(|times| self.window.count(&times.pattern) >= u64::from(times.n)),
            Condition::AnyOf(any) => any.iter().any(|times| self.window.count(&times.pattern) >= u64::from(times.n)),
            Condition::Sequence(steps) => self.progress.as_ref().is_some_and(|progress| progress.is_complete(steps)),
        }
    }

    /// When this key has to be looked at although no signal comes: its alert closes, or its window has passed.
    pub fn deadline(&self, rule: &Rule) -> Option<Timestamp> {
        match &self.open {
            Some(open) => Some(open.until),
            None => self.window.last_time().map(|last| last.plus(span(rule))),
        }
    }

    /// What is due at `now`, after every signal of that time: gives the `closed` record of an alert whose time is
    /// over, and forgets a window that no signal can join any more.
    pub fn expire(
        &mut self,
        rule: &Rule,
        limits: Limits,
        key: &StateKey,
        now: Timestamp,
        tally: &mut Tally,
    ) -> Option<Alert> {
        if let Some(open) = self.open.take_if(|open| open.until <= now) {
            return Some(open.close(rule, limits, key, tally));
        }
        if self.window.last_time().is_some_and(|last| last.plus(span(rule)) <= now) {
            self.window.clear();
            self.progress = None;
        }
        None
    }

    /// Nothing that matters later; `applied` still guards what is read again.
    pub fn is_empty(&self) -> bool {
        self.open.is_none() && self.window.is_empty()
    }

    pub fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// The time of the last signal applied.
    pub fn applied_time(&self) -> Option<Timestamp> {
        self.applied.as_ref().map(|order| order.time)
    }
}

impl Open {
    fn take(&mut self, rule: &Rule, limits: Limits, signal: &Signal, kept: Arc<Kept>, tally: &mut Tally) {
        self.suppressed += 1;
        tally.suppressed += 1;
        tally.evicted += u64::from(self.total.push(&signal.pattern, kept, limits.signals_per_key_max));
        if let Some(suppress) = rule.suppress {
            self.until = self.until.max(signal.time.plus(suppress.span).min(self.until_max));
        }
    }

    fn close(self, rule: &Rule, limits: Limits, key: &StateKey, tally: &mut Tally) -> Alert {
        Firing {
            rule,
            key: &key.key,
            trigger: &self.trigger,
            start: self.start,
            end: self.total.last_time().unwrap_or(self.trigger.time),
            time: self.until,
            signals: &self.total,
            state: State::Closed,
            suppressed: self.suppressed,
        }
        .alert(limits, tally)
    }
}

fn span(rule: &Rule) -> Duration {
    match rule.window {
        Window::Sliding(span) => span,
        _ => Duration::ZERO,
    }
}
