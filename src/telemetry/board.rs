//! The status board: one entry for each receiver, line, partition, sink and rule.
//!
//! A writer holds its entry for the length of its closure; a reader copies entry by entry, so neither waits for more
//! than one such moment. Entries are as many as there are inputs, partitions, sinks and rules; reasons of dead letters
//! are bounded by [`REASONS_MAX`].

use std::{
    collections::BTreeMap,
    hash::Hash,
    sync::Arc,
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use dashmap::DashMap;

use super::status::{
    DeadLetters, FollowedStatus, IntakeStatus, LeftOut, LineStatus, Phase, ReachedStatus, Restarts, RuleSetStatus,
    RuleStatus, SignalsStatus, SinkStatus, SourceStatus, StageStatus, StandbyStatus, Status,
};
use crate::{clock::Clock, correlate::Reached, event::Timestamp, input::Intake, log::TopicPartition};

/// Pairs of stage and reason that dead letters are counted by; what comes beyond counts as `other`.
const REASONS_MAX: usize = 64;

/// What a text such as a last error is cut to, in bytes.
const TEXT_BYTES_MAX: usize = 500;

/// Reasons that are kept why rules did not load.
const RULE_ERRORS_MAX: usize = 20;

/// Stage, sink, topic, partition.
type LineKey = (Arc<str>, Arc<str>, Arc<str>, u32);

pub struct Board {
    phase: ArcSwap<Phase>,
    rule_set: ArcSwap<RuleSetStatus>,
    intakes: DashMap<Arc<str>, Arc<Intake>>,
    refused: DashMap<Arc<str>, (u64, String)>,
    stages: DashMap<(Arc<str>, Arc<str>), StageStatus>,
    lines: DashMap<LineKey, LineStatus>,
    /// When each actor was last seen alive.
    beats: DashMap<LineKey, Instant>,
    sources: DashMap<(Arc<str>, u32), SourceStatus>,
    signals: DashMap<u32, SignalsStatus>,
    /// By signals partition.
    reached: DashMap<u32, Vec<Reached>>,
    sinks: DashMap<Arc<str>, SinkStatus>,
    rules: DashMap<Arc<str>, RuleStatus>,
    dead_letters: DashMap<(Arc<str>, Arc<str>), u64>,
    restarts: DashMap<Arc<str>, u64>,
    left_out: DashMap<Arc<str>, u64>,
    /// By signals partition.
    followed: DashMap<u32, FollowedStatus>,
    standby: ArcSwap<StandbyStatus>,
}

impl Default for Board {
    fn default() -> Self {
        Board {
            phase: ArcSwap::from_pointee(Phase::Starting),
            rule_set: ArcSwap::default(),
            intakes: DashMap::new(),
            refused: DashMap::new(),
            stages: DashMap::new(),
            lines: DashMap::new(),
            beats: DashMap::new(),
            sources: DashMap::new(),
            signals: DashMap::new(),
            reached: DashMap::new(),
            sinks: DashMap::new(),
            rules: DashMap::new(),
            dead_letters: DashMap::new(),
            restarts: DashMap::new(),
            left_out: DashMap::new(),
            followed: DashMap::new(),
            standby: ArcSwap::default(),
        }
    }
}

impl Board {
    pub fn set_phase(&self, phase: Phase) {
        self.phase.store(Arc::new(phase));
    }

    pub fn set_rules(&self, of: RuleSetStatus, ids: Vec<Arc<str>>) {
        self.rules.retain(|id, _| ids.contains(id));
        let errors = of.errors.into_iter().take(RULE_ERRORS_MAX).map(shortened).collect();
        let before = self.rule_set.load();
        let are_same = (&before.hash, before.revision) == (&of.hash, of.revision);
        let since = before.since.filter(|_| are_same).or_else(|| Some(now()));
        self.rule_set.store(Arc::new(RuleSetStatus {
            loaded: ids.len() as u64,
            since,
            errors,
            // until they have been compared again
            others: before.others,
            ..of
        }));
        for id in ids {
            self.rule(&id, |rule| rule.quarantined = false);
        }
    }

    pub fn other_rules(&self, processes: u64) {
        self.rule_set.rcu(|rules| RuleSetStatus { others: processes, ..(**rules).clone() });
    }

    pub fn watch_intake(&self, input: &str, intake: Arc<Intake>) {
        self.intakes.insert(input.into(), intake);
    }

    pub fn refused(&self, input: &str, error: &str) {
        let change = |(count, last): &mut (u64, String)| {
            *count += 1;
            error.clone_into(last);
        };
        update(&self.refused, input.into(), |_| (0, String::new()), change);
    }

    fn intake_status(&self, input: Arc<str>, intake: &Intake) -> IntakeStatus {
        let counts = intake.counts();
        let refused = self.refused.get(&input).map(|entry| entry.clone());
        let (refused, last_error) = refused.map_or((0, None), |(count, last)| (count, Some(last)));
        IntakeStatus {
            input,
            accepted: counts.accepted.get(),
            rejected: counts.rejected.get(),
            cut: counts.cut.get(),
            dropped: counts.dropped.get(),
            truncated: counts.truncated.get(),
            unreadable: counts.unreadable.get(),
            connections_refused: counts.connections_refused.get(),
            retries: counts.retries.get(),
            refused,
            last_error,
        }
    }

    pub fn line(&self, stage: &str, name: &str, at: &TopicPartition, change: impl FnOnce(&mut LineStatus)) {
        let new = |(stage, name, topic, partition): &LineKey| LineStatus {
            stage: stage.clone(),
            name: name.clone(),
            topic: topic.clone(),
            partition: *partition,
            ..Default::default()
        };
        update(&self.lines, line_key(stage, name, at), new, change);
    }

    pub fn stage(&self, stage: &str, name: &str, change: impl FnOnce(&mut StageStatus)) {
        let new = |(stage, name): &(Arc<str>, Arc<str>)| StageStatus {
            stage: stage.clone(),
            name: name.clone(),
            ..Default::default()
        };
        update(&self.stages, (stage.into(), name.into()), new, change);
    }

    pub fn beat(&self, stage: &str, name: &str, at: &TopicPartition) {
        self.beats.insert(line_key(stage, name, at), Instant::now());
    }

    /// The actor has ended: nothing more is to be heard of it.
    pub fn beat_over(&self, stage: &str, name: &str, at: &TopicPartition) {
        self.beats.remove(&line_key(stage, name, at));
    }

    /// Actors that have not been heard of for so long, sorted.
    pub fn silent_for(&self, silence: Duration) -> Vec<String> {
        let beats = entries(&self.beats).into_iter().filter(|(_, at)| at.elapsed() > silence);
        let title = |((stage, name, topic, partition), _): (LineKey, Instant)| {
            let line = LineStatus { stage, name, topic, partition, ..Default::default() };
            line.title()
        };
        beats.map(title).collect()
    }

    /// What a line told of its partition goes with it.
    pub fn line_gone(&self, stage: &str, name: &str, at: &TopicPartition) {
        self.beat_over(stage, name, at);
        self.lines.remove(&line_key(stage, name, at));
        match stage {
            "detect" => self.sources.retain(|_, source| !is_of(source, at)),
            "correlate" => {
                self.signals.remove(&at.partition);
                self.reached.remove(&at.partition);
                self.sources.retain(|_, source| !is_of(source, at));
            }
            _ => {}
        }
    }

    pub fn source(&self, input: &str, partition: u32, change: impl FnOnce(&mut SourceStatus)) {
        let new = |(input, partition): &(Arc<str>, u32)| SourceStatus {
            input: input.clone(),
            partition: *partition,
            ..Default::default()
        };
        update(&self.sources, (input.into(), partition), new, change);
    }

    pub fn signals(&self, partition: u32, change: impl FnOnce(&mut SignalsStatus)) {
        let new = |partition: &u32| SignalsStatus { partition: *partition, ..Default::default() };
        update(&self.signals, partition, new, change);
    }

    pub fn reached(&self, partition: u32, sources: Vec<Reached>) {
        self.reached.insert(partition, sources);
    }

    /// The sources as all signals partitions together know them.
    fn reached_status(&self) -> Vec<ReachedStatus> {
        let mut sources: BTreeMap<(Arc<str>, u32), ReachedStatus> = BTreeMap::new();
        for (_, reached) in entries(&self.reached) {
            for Reached { input, partition, watermark, accepted } in reached {
                let input: Arc<str> = input.as_ref().into();
                let known = sources.entry((input.clone(), partition)).or_insert_with(|| ReachedStatus {
                    input,
                    partition,
                    watermark,
                    ..Default::default()
                });
                known.signals_partitions += 1;
                known.watermark = known.watermark.min(watermark);
                known.accepted = known.accepted.max(accepted);
            }
        }
        sources.into_values().collect()
    }

    pub fn sink(&self, name: &str, change: impl FnOnce(&mut SinkStatus)) {
        let new = |name: &Arc<str>| SinkStatus { name: name.clone(), ..Default::default() };
        update(&self.sinks, name.into(), new, change);
    }

    pub fn rule(&self, id: &str, change: impl FnOnce(&mut RuleStatus)) {
        let new = |id: &Arc<str>| RuleStatus { id: id.clone(), ..Default::default() };
        update(&self.rules, id.into(), new, change);
    }

    pub fn count_dead_letter(&self, stage: &str, reason: &str) {
        let mut key = (Arc::from(stage), Arc::from(reason));
        if self.dead_letters.len() >= REASONS_MAX && !self.dead_letters.contains_key(&key) {
            key.1 = "other".into();
        }
        *self.dead_letters.entry(key).or_default() += 1;
    }

    pub fn count_restart(&self, stage: &str) {
        *self.restarts.entry(stage.into()).or_default() += 1;
    }

    pub fn count_left_out(&self, input: &str) {
        *self.left_out.entry(input.into()).or_default() += 1;
    }

    pub fn followed(&self, of: FollowedStatus) {
        self.followed.insert(of.partition, of);
    }

    pub fn followed_no_longer(&self, partition: u32) {
        self.followed.remove(&partition);
    }

    pub fn standby(&self, change: impl Fn(&mut StandbyStatus)) {
        self.standby.rcu(|standby| {
            let mut standby = (**standby).clone();
            change(&mut standby);
            standby
        });
    }

    /// A copy of everything, sorted.
    pub fn snapshot(&self) -> Status {
        let letters = |((stage, reason), count)| DeadLetters { stage, reason, count };
        let intakes = entries(&self.intakes).into_iter();
        let mut status = Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            now: Some(now()),
            phase: **self.phase.load(),
            rule_set: (**self.rule_set.load()).clone(),
            intake: intakes.map(|(input, intake)| self.intake_status(input, &intake)).collect(),
            stages: values(&self.stages),
            lines: values(&self.lines),
            sources: values(&self.sources),
            reached: self.reached_status(),
            signals: values(&self.signals),
            sinks: values(&self.sinks),
            rules: values(&self.rules),
            dead_letters: entries(&self.dead_letters).into_iter().map(letters).collect(),
            restarts: entries(&self.restarts).into_iter().map(|(stage, count)| Restarts { stage, count }).collect(),
            left_out: entries(&self.left_out).into_iter().map(|(input, count)| LeftOut { input, count }).collect(),
            followed: values(&self.followed),
            standby: (**self.standby.load()).clone(),
        };
        status.intake.iter_mut().for_each(|intake| cut(&mut intake.last_error));
        status.stages.iter_mut().for_each(|stage| cut(&mut stage.last_error));
        status.lines.iter_mut().for_each(|line| cut(&mut line.last_error));
        status.sinks.iter_mut().for_each(|sink| cut(&mut sink.last_error));
        status.rules.iter_mut().for_each(|rule| cut(&mut rule.last_failure));
        status
    }
}

fn line_key(stage: &str, name: &str, at: &TopicPartition) -> LineKey {
    (stage.into(), name.into(), at.topic.as_str().into(), at.partition)
}

/// Whether a source is what a line reads at `at`: an input's k-th topic numbers its partitions from k * 65536.
fn is_of(source: &SourceStatus, at: &TopicPartition) -> bool {
    *source.topic == *at.topic && source.partition % 65_536 == at.partition
}

fn update<K: Eq + Hash, V>(map: &DashMap<K, V>, key: K, new: impl FnOnce(&K) -> V, change: impl FnOnce(&mut V)) {
    let first = new(&key);
    change(&mut map.entry(key).or_insert(first));
}

fn entries<K: Eq + Hash + Ord + Clone, V: Clone>(map: &DashMap<K, V>) -> Vec<(K, V)> {
    let mut entries: Vec<(K, V)> = map.iter().map(|entry| (entry.key().clone(), entry.value().clone())).collect();
    entries.sort_by(|(a, _), (b, _)| a.cmp(b));
    entries
}

fn values<K: Eq + Hash + Ord + Clone, V: Clone>(map: &DashMap<K, V>) -> Vec<V> {
    entries(map).into_iter().map(|(_, value)| value).collect()
}

fn cut(text: &mut Option<String>) {
    *text = text.take().map(shortened);
}

fn shortened(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX));
    text
}

fn now() -> Timestamp {
    Timestamp::from_millis(Clock::System.now_ms())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::LineState;

    fn at(topic: &str, partition: u32) -> TopicPartition {
        TopicPartition { topic: topic.to_owned(), partition }
    }

    #[test]
    fn a_snapshot_survives_json() {
        let board = Board::default();
        board.source("auth", 1, |source| source.watermark = Some(Timestamp(1_704_067_200_000_000_001)));
        board.source("auth", 0, |source| source.next = 7);
        board.signals(3, |signals| signals.keys = 2);
        board.sink("mail", |sink| sink.last_error = Some("é".repeat(400)));
        board.line("notify", "mail", &at("alerts", 0), |line| line.state = LineState::Halted);
        board.count_dead_letter("decode", "not_json");
        board.count_restart("notify");
        board.count_left_out("auth");
        let status = board.snapshot();
        assert_eq!(status.sources.iter().map(|source| source.partition).collect::<Vec<_>>(), [0, 1]);
        assert_eq!(status.sinks[0].last_error.as_ref().map(String::len), Some(TEXT_BYTES_MAX));
        let json = serde_json::to_string(&status).expect("serialises");
        assert!(json.contains("\"watermark\":\"2024-01-01T00:00:00.000000001Z\""), "{json}");
        assert_eq!(serde_json::from_str::<Status>(&json).expect("reads"), status);
    }

    #[test]
    fn reasons_stay_few_whatever_is_counted() {
        let board = Board::default();
        for reason in 0..1_000 {
            board.count_dead_letter("decode", &format!("reason {reason}"));
        }
        let dead_letters = board.snapshot().dead_letters;
        assert_eq!(dead_letters.len(), REASONS_MAX + 1);
        assert_eq!(dead_letters.iter().map(|letters| letters.count).sum::<u64>(), 1_000);
    }

    #[test]
    fn rules_that_are_gone_leave_the_board() {
        let board = Board::default();
        let of = |hash: &str, refused| RuleSetStatus { hash: hash.into(), refused, ..RuleSetStatus::default() };
        board.set_rules(of("a", 0), vec!["one".into(), "two".into()]);
        board.rule("two", |rule| rule.fired = 3);
        board.rule("two", |rule| rule.quarantined = true);
        board.set_rules(of("b", 1), vec!["two".into(), "three".into()]);
        let status = board.snapshot();
        let fired: Vec<_> = status.rules.iter().map(|rule| (&*rule.id, rule.fired, rule.quarantined)).collect();
        assert_eq!(fired, [("three", 0, false), ("two", 3, false)]);
        let expected = RuleSetStatus { loaded: 2, since: status.rule_set.since, ..of("b", 1) };
        assert!(status.rule_set == expected && expected.since.is_some(), "{:?}", status.rule_set);
    }

    #[test]
    fn a_line_that_is_down_makes_the_process_not_ready() {
        let board = Board::default();
        assert_eq!(board.snapshot().not_ready(), ["the process is starting"]);
        board.set_phase(Phase::Running);
        board.sink("mail", |sink| sink.last_error = Some("connection refused".into()));
        board.line("detect", "", &at("t", 0), |line| line.state = LineState::Running);
        assert!(board.snapshot().not_ready().is_empty());
        board.line("detect", "", &at("t", 0), |line| line.state = LineState::Restarting);
        board.line("notify", "mail", &at("alerts", 1), |line| line.state = LineState::Halted);
        assert_eq!(board.snapshot().not_ready(), ["detect t/0 is restarting", "notify mail alerts/1 is halted"]);
    }

    #[test]
    fn a_partition_that_moves_away_takes_its_entries_along() {
        let board = Board::default();
        for partition in [0, 65_536] {
            let topic = if partition == 0 { "first" } else { "second" };
            board.source("auth", partition, |source| source.topic = topic.into());
            board.line("detect", "", &at(topic, 0), |_| ());
        }
        board.signals(0, |_| ());
        board.line_gone("detect", "", &at("second", 0));
        let status = board.snapshot();
        assert_eq!(status.sources.iter().map(|source| source.partition).collect::<Vec<_>>(), [0]);
        assert_eq!((status.lines.len(), status.signals.len()), (1, 1));
        board.line_gone("correlate", "", &at("signals", 0));
        assert!(board.snapshot().signals.is_empty());
    }
}
