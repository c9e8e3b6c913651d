//! The same input gives the same alerts through `replay`, the memory log and the local log, whatever the partitions.
//!
//! Each partition ends with an event long after the others, so every alert that opened is closed by event time, in
//! `replay` as in a live log. Without it a live log's last alerts stay open until idle time has passed their end, and
//! idle time that is crossed is an exception to the promise: `idle` has that case.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use tripline::{
    alert::{Alert, State},
    config::Config,
    log::{Log, local::LocalLog, memory::MemoryLog},
    rule::{Audience, RuleSet},
};

use super::{
    generated::{self, CORRELATIONS, INPUTS, Partitioned, RULES},
    harness::{self, Running, assert_same, config, ensure_topics, rules, system},
};

const SEED: u64 = 20_240_101;
const EVENTS: usize = 1_500;

fn with_partitions(events: u32, signals: u32) -> Config {
    let mut config = config(&INPUTS);
    config.local.events_partitions = events;
    config.correlate.partitions = signals;
    config
}

/// Feeds a pipeline that runs already.
fn live(config: &Config, log: &Arc<dyn Log>, rules: &Arc<RuleSet>, parts: &Partitioned) -> Vec<Alert> {
    system(async {
        ensure_topics(&**log, config).await;
        let running = Running::on(config, log, rules).await;
        for records in generated::batches(config, parts) {
            running.append(records).await;
        }
        running.walked_past(generated::end_of_time()).await;
        running.drain().await;
        harness::alerts(&**log, config).await
    })
}

fn on_memory(events: u32, signals: u32, rules: &Arc<RuleSet>, parts: &Partitioned) -> Vec<Alert> {
    let log: Arc<dyn Log> = MemoryLog::new();
    live(&with_partitions(events, signals), &log, rules, parts)
}

fn on_disk(events: u32, signals: u32, rules: &Arc<RuleSet>, parts: &Partitioned, data: &Path) -> Vec<Alert> {
    let mut config = with_partitions(events, signals);
    config.local.data = data.to_owned();
    let log: Arc<dyn Log> = LocalLog::open(&config.local).expect("the log opens");
    live(&config, &log, rules, parts)
}

/// What does not depend on how events are spread over partitions.
fn essence(alerts: &[Alert]) -> Vec<String> {
    harness::lines(alerts)
}

#[test]
fn replay_and_both_logs_give_the_same_alerts_for_1_2_and_4_events_partitions() {
    let rules = rules(RULES);
    let events = generated::events(SEED, EVENTS);
    let mut essences = BTreeMap::new();
    for partitions in [1, 2, 4] {
        let parts = generated::partitioned(&events, partitions);
        let expected = generated::replay(&with_partitions(partitions, 1), &rules, &parts);
        assert_every_rule_fired(&rules, &expected);
        assert_same(&on_memory(partitions, 2, &rules, &parts), &expected, "the memory log");
        let folder = tempfile::tempdir().expect("a folder");
        assert_same(&on_disk(partitions, 2, &rules, &parts, folder.path()), &expected, "the local log");
        essences.insert(partitions, essence(&expected));
    }
    assert_eq!(essences[&1], essences[&2]);
    assert_eq!(essences[&1], essences[&4]);
}

#[test]
fn the_number_of_signals_partitions_changes_no_byte() {
    let rules = rules(RULES);
    let parts = generated::partitioned(&generated::events(SEED + 1, EVENTS), 2);
    let expected = generated::replay(&with_partitions(2, 1), &rules, &parts);
    for signals in [1, 2, 7] {
        assert_same(&on_memory(2, signals, &rules, &parts), &expected, &format!("{signals} signals partitions"));
    }
}

#[test]
fn correlations_say_live_what_they_say_replayed() {
    let rules = harness::rules_at("test.yml", CORRELATIONS);
    let parts = generated::partitioned(&generated::events(SEED + 2, EVENTS), 2);
    let expected = generated::replay(&with_partitions(2, 1), &rules, &parts);
    assert_every_rule_fired(&rules, &expected);
    assert_same(&on_memory(2, 3, &rules, &parts), &expected, "the memory log");
}

/// A test of alerts that hardly come proves little.
fn assert_every_rule_fired(rules: &RuleSet, alerts: &[Alert]) {
    for rule in rules.rules.iter().filter(|rule| rule.audience == Audience::Everyone) {
        let fired = alerts.iter().filter(|alert| alert.rule_id() == &**rule.id());
        assert!(fired.clone().count() >= 2, "{} hardly fires", rule.id());
        let (opened, closed) = (State::Opened, State::Closed);
        let count = |state| fired.clone().filter(|alert| alert.state == state).count();
        assert_eq!(count(opened), count(closed), "{} closes what it opens", rule.id());
    }
}
