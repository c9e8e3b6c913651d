//! An alert that signals still accumulate into.

use serde::{Deserialize, Serialize};

use super::{
    arrival::Arrival,
    contents::Contents,
    firing::{Cuts, Facts, Firing},
    key::{Trigger, Walk},
    learned::Learned,
};
use crate::{
    alert::{Alert, State},
    event::Timestamp,
    rule::Suppress,
};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Open {
    trigger: Trigger,
    /// The trigger's time, or the timer's: part of the alert's id.
    fired_at: Timestamp,
    /// Start of the window that fired.
    start: Timestamp,
    pub until: Timestamp,
    /// `until` moves no further than this.
    until_max: Timestamp,
    suppressed: u64,
    /// Of the window that fired, and all since.
    total: Contents,
}

impl Open {
    pub fn new(trigger: Trigger, start: Timestamp, fired_at: Timestamp, suppress: Suppress, total: Contents) -> Self {
        Open {
            trigger,
            fired_at,
            start,
            until: fired_at.plus(suppress.span.min(suppress.max)),
            until_max: fired_at.plus(suppress.max),
            suppressed: 0,
            total,
        }
    }

    /// The signals of the window that fired, and all since.
    pub fn total(&self) -> &Contents {
        &self.total
    }

    /// Counts a signal into the alert, which stays open for longer.
    pub fn take(&mut self, signal: &Arrival<'_>, walk: &mut Walk<'_>) {
        self.suppressed += 1;
        walk.tally.suppressed += 1;
        self.total.add(signal, walk);
        if let Some(suppress) = walk.plan.rule.suppress {
            self.until = self.until.max(signal.time.plus(suppress.span).min(self.until_max));
        }
    }

    /// The record with the totals. `learned` is what the key has learnt.
    pub fn close(self, learned: Option<&Learned>, walk: &mut Walk<'_>) -> Box<Alert> {
        Firing {
            facts: Facts {
                rule: &walk.plan.rule,
                key: walk.key,
                start: self.start,
                end: self.total.signals.last_time().map_or(self.fired_at, |last| last.max(self.fired_at)),
                window: &self.total,
            },
            trigger: &self.trigger,
            time: self.until,
            fired_at: self.fired_at,
            state: State::Closed,
            suppressed: self.suppressed,
            cuts: Cuts { keys: walk.cut, learned: learned.and_then(Learned::cut) },
        }
        .alert(walk.limits, walk.tally)
    }
}
