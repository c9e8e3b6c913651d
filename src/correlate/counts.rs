//! What a correlator counts, for those who watch it.

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};

use super::key::Tally;
use crate::rule::ScriptError;

/// What happened since the last [`super::Correlator::take_counts`]. What is read again after a crash is not counted
/// again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    pub signals: u64,
    pub late: u64,
    pub duplicates: u64,
    /// Written by lines that had lost their partition.
    pub stale_epoch: u64,
    /// Signals of a rule, or of a shape of it, that is not loaded.
    pub unknown_rule: u64,
    /// Older than the frontier on arrival, though not late in their own partition: it joined afterwards.
    pub before_join: u64,
    /// Signals that full keys and evicted ones dropped.
    pub evicted: u64,
    /// Entries that a full list dropped, and texts that are too long for any.
    pub unlisted: u64,
    /// Keys that had to go because there were too many.
    pub evicted_keys: u64,
    /// Keys that went with their rule, or with its former shape.
    pub retired_keys: u64,
    pub suppressed: u64,
    pub rules: BTreeMap<Arc<str>, RuleTally>,
}

/// Of one rule.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RuleTally {
    pub fired: u64,
    pub late: u64,
    /// Signals of a `first_seen` rule that lack one of its fields.
    pub missing_value: u64,
    /// Combinations of values that one event had beyond the bound.
    pub combinations_cut: u64,
    /// Signals and timers that changed nothing, because the rule is quarantined.
    pub passed_by: u64,
    pub failures: u64,
    pub last_failure: Option<ScriptError>,
    pub quarantined: bool,
}

/// Failures in a row of a rule's `when`, `alert` and `then`, each by itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failures {
    when: u32,
    alert: u32,
    then: u32,
}

impl Failures {
    /// Books how the scripts did; gives what failed.
    pub(super) fn book(&mut self, tally: &mut Tally) -> Vec<ScriptError> {
        let mut failed = Vec::new();
        let scripts = [
            (&mut self.when, tally.when.take()),
            (&mut self.alert, tally.alert.take()),
            (&mut self.then, tally.then.take()),
        ];
        for (in_a_row, outcome) in scripts {
            match outcome {
                None => {}
                Some(Ok(())) => *in_a_row = 0,
                Some(Err(error)) => {
                    *in_a_row += 1;
                    failed.push(error);
                }
            }
        }
        failed
    }

    /// Of the script that fails longest.
    pub fn in_a_row(&self) -> u32 {
        self.when.max(self.alert).max(self.then)
    }
}
