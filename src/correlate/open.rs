//! An alert that signals still accumulate into.

use serde::{Deserialize, Serialize};

use super::{
    contents::Contents,
    firing::Firing,
    key::{Trigger, Walk},
};
use crate::{
    alert::{Alert, State},
    event::Timestamp,
    rule::{Kept, Suppress},
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
    pub fn take(&mut self, number: usize, kept: &Kept, walk: &mut Walk<'_>) {
        self.suppressed += 1;
        walk.tally.suppressed += 1;
        let time = kept.time;
        self.total.add(number, kept, walk);
        if let Some(suppress) = walk.plan.rule.suppress {
            self.until = self.until.max(time.plus(suppress.span).min(self.until_max));
        }
    }

    /// The record with the totals.
    pub fn close(self, walk: &mut Walk<'_>) -> Alert {
        Firing {
            rule: &walk.plan.rule,
            key: walk.key,
            trigger: &self.trigger,
            start: self.start,
            end: self.total.signals.last_time().map_or(self.fired_at, |last| last.max(self.fired_at)),
            time: self.until,
            fired_at: self.fired_at,
            window: &self.total,
            state: State::Closed,
            suppressed: self.suppressed,
            cut: walk.cut,
        }
        .alert(walk.limits, walk.tally)
    }
}
