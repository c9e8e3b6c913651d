//! An alert that signals still accumulate into.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{
    firing::Firing,
    key::{Trigger, Walk},
    window::Kepts,
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
    total: Kepts,
}

impl Open {
    pub fn new(trigger: Trigger, start: Timestamp, fired_at: Timestamp, suppress: Suppress, total: Kepts) -> Self {
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

    /// Counts a signal into the alert, which stays open for longer.
    pub fn take(&mut self, pattern: &Arc<str>, kept: Arc<Kept>, walk: &mut Walk<'_>) {
        self.suppressed += 1;
        walk.tally.suppressed += 1;
        let time = kept.time;
        walk.tally.evicted += u64::from(self.total.push(pattern, kept, walk.limits.signals_per_key_max));
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
            end: self.total.last_time().map_or(self.fired_at, |last| last.max(self.fired_at)),
            time: self.until,
            fired_at: self.fired_at,
            signals: &self.total,
            state: State::Closed,
            suppressed: self.suppressed,
        }
        .alert(walk.limits, walk.tally)
    }
}
