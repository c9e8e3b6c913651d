//! The status board: one entry for each receiver, partition, sink and rule.
//!
//! A writer holds its entry for the length of its closure; a reader copies entry by entry, so neither waits for more
//! than one such moment. Entries are as many as there are partitions, sinks and rules; reasons of dead letters are
//! bounded by [`REASONS_MAX`].

use std::{hash::Hash, sync::Arc};

use arc_swap::ArcSwap;
use dashmap::DashMap;

use super::status::{
    DeadLetters, IntakeStatus, Phase, Restarts, RuleSetStatus, RuleStatus, SignalsStatus, SinkStatus, SourceStatus,
    Stage, Status,
};

/// Pairs of stage and reason that dead letters are counted by; what comes beyond counts as `other`.
pub const REASONS_MAX: usize = 64;

/// What a text such as a last error is cut to, in bytes.
const TEXT_BYTES_MAX: usize = 500;

pub struct Board {
    phase: ArcSwap<Phase>,
    rule_set: ArcSwap<RuleSetStatus>,
    intake: DashMap<Arc<str>, IntakeStatus>,
    sources: DashMap<(Arc<str>, u32), SourceStatus>,
    signals: DashMap<u32, SignalsStatus>,
    sinks: DashMap<Arc<str>, SinkStatus>,
    rules: DashMap<Arc<str>, RuleStatus>,
    dead_letters: DashMap<(Stage, Arc<str>), u64>,
    restarts: DashMap<Stage, u64>,
}

/// An entry to write. It is made by its first update.
pub struct Entry<'a, K, V> {
    map: &'a DashMap<K, V>,
    key: K,
}

impl<K: Eq + Hash + Clone, V: From<K>> Entry<'_, K, V> {
    /// Changes the entry. `change` must not touch the board itself.
    pub fn update(self, change: impl FnOnce(&mut V)) {
        let key = self.key.clone();
        change(&mut self.map.entry(self.key).or_insert_with(|| V::from(key)));
    }

    /// Takes the entry off the board: its partition went to another process.
    pub fn remove(self) {
        self.map.remove(&self.key);
    }
}

impl Board {
    pub(super) fn new() -> Self {
        Board {
            phase: ArcSwap::from_pointee(Phase::Starting),
            rule_set: ArcSwap::default(),
            intake: DashMap::new(),
            sources: DashMap::new(),
            signals: DashMap::new(),
            sinks: DashMap::new(),
            rules: DashMap::new(),
            dead_letters: DashMap::new(),
            restarts: DashMap::new(),
        }
    }

    pub(super) fn set_phase(&self, phase: Phase) {
        self.phase.store(Arc::new(phase));
    }

    pub(super) fn set_rules(&self, hash: &str, ids: &[Arc<str>], refused: u64) {
        self.rules.retain(|id, _| ids.contains(id));
        for id in ids {
            self.rule(id).update(|_| ());
        }
        self.rule_set.store(Arc::new(RuleSetStatus { hash: hash.to_owned(), loaded: ids.len() as u64, refused }));
    }

    pub(super) fn intake(&self, input: &str) -> Entry<'_, Arc<str>, IntakeStatus> {
        Entry { map: &self.intake, key: input.into() }
    }

    pub(super) fn source(&self, input: &str, partition: u32) -> Entry<'_, (Arc<str>, u32), SourceStatus> {
        Entry { map: &self.sources, key: (input.into(), partition) }
    }

    pub(super) fn signals(&self, partition: u32) -> Entry<'_, u32, SignalsStatus> {
        Entry { map: &self.signals, key: partition }
    }

    pub(super) fn sink(&self, name: &str) -> Entry<'_, Arc<str>, SinkStatus> {
        Entry { map: &self.sinks, key: name.into() }
    }

    pub(super) fn rule(&self, id: &str) -> Entry<'_, Arc<str>, RuleStatus> {
        Entry { map: &self.rules, key: id.into() }
    }

    pub(super) fn count_dead_letter(&self, stage: Stage, reason: &str) {
        let mut key = (stage, Arc::from(reason));
        if self.dead_letters.len() >= REASONS_MAX && !self.dead_letters.contains_key(&key) {
            key.1 = "other".into();
        }
        *self.dead_letters.entry(key).or_default() += 1;
    }

    pub(super) fn count_restart(&self, stage: Stage) {
        *self.restarts.entry(stage).or_default() += 1;
    }

    /// A copy of everything, sorted.
    pub(super) fn snapshot(&self) -> Status {
        let mut status = Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            phase: **self.phase.load(),
            rule_set: (**self.rule_set.load()).clone(),
            intake: values(&self.intake),
            sources: values(&self.sources),
            signals: values(&self.signals),
            sinks: values(&self.sinks),
            rules: values(&self.rules),
            dead_letters: Vec::new(),
            restarts: Vec::new(),
        };
        let dead = |((stage, reason), count): ((Stage, Arc<str>), u64)| DeadLetters { stage, reason, count };
        status.dead_letters = entries(&self.dead_letters).into_iter().map(dead).collect();
        status.restarts = entries(&self.restarts).into_iter().map(|(stage, count)| Restarts { stage, count }).collect();
        let errors = status.sinks.iter_mut().map(|sink| &mut sink.last_error);
        for text in errors.chain(status.intake.iter_mut().map(|intake| &mut intake.last_error)).flatten() {
            text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX));
        }
        status
    }
}

fn entries<K: Eq + Hash + Ord + Clone, V: Clone>(map: &DashMap<K, V>) -> Vec<(K, V)> {
    let mut entries: Vec<(K, V)> = map.iter().map(|entry| (entry.key().clone(), entry.value().clone())).collect();
    entries.sort_by(|(a, _), (b, _)| a.cmp(b));
    entries
}

fn values<K: Eq + Hash + Ord + Clone, V: Clone>(map: &DashMap<K, V>) -> Vec<V> {
    entries(map).into_iter().map(|(_, value)| value).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{event::Timestamp, telemetry::LineState};

    #[test]
    fn a_snapshot_survives_json() {
        let board = Board::new();
        board.source("auth", 1).update(|source| source.watermark = Some(Timestamp(1_704_067_200_000_000_001)));
        board.source("auth", 0).update(|source| source.end = Some(7));
        board.signals(3).update(|signals| signals.keys = 2);
        board.sink("mail").update(|sink| sink.last_error = Some("é".repeat(400)));
        board.count_dead_letter(Stage::Detect, "not_json");
        board.count_restart(Stage::Notify);
        let status = board.snapshot();
        assert_eq!(status.sources.iter().map(|source| source.partition).collect::<Vec<_>>(), [0, 1]);
        assert_eq!(status.sinks[0].last_error.as_ref().map(String::len), Some(TEXT_BYTES_MAX));
        let json = serde_json::to_string(&status).expect("serialises");
        assert!(json.contains("\"watermark\":\"2024-01-01T00:00:00.000000001Z\""), "{json}");
        assert_eq!(serde_json::from_str::<Status>(&json).expect("reads"), status);
    }

    #[test]
    fn reasons_stay_few_whatever_is_counted() {
        let board = Board::new();
        for reason in 0..1_000 {
            board.count_dead_letter(Stage::Detect, &format!("reason {reason}"));
        }
        let dead_letters = board.snapshot().dead_letters;
        assert_eq!(dead_letters.len(), REASONS_MAX + 1);
        assert_eq!(dead_letters.iter().map(|letters| letters.count).sum::<u64>(), 1_000);
    }

    #[test]
    fn rules_that_are_gone_leave_the_board() {
        let board = Board::new();
        board.set_rules("a", &["one".into(), "two".into()], 0);
        board.rule("two").update(|rule| rule.fired = 3);
        board.set_rules("b", &["two".into(), "three".into()], 1);
        let status = board.snapshot();
        let fired: Vec<_> = status.rules.iter().map(|rule| (&*rule.id, rule.fired)).collect();
        assert_eq!(fired, [("three", 0), ("two", 3)]);
        assert_eq!(status.rule_set, RuleSetStatus { hash: "b".into(), loaded: 2, refused: 1 });
    }

    #[test]
    fn a_line_that_is_down_makes_the_process_not_ready() {
        let board = Board::new();
        assert_eq!(board.snapshot().not_ready(), ["the process is starting"]);
        board.set_phase(Phase::Running);
        board.sink("mail").update(|sink| sink.last_error = Some("connection refused".into()));
        board.source("auth", 0).update(|source| source.state = LineState::Running);
        assert!(board.snapshot().not_ready().is_empty());
        board.source("auth", 0).update(|source| source.state = LineState::Restarting);
        assert_eq!(board.snapshot().not_ready(), ["detect auth/0 is restarting"]);
        board.source("auth", 0).remove();
        assert!(board.snapshot().not_ready().is_empty());
    }
}
