//! Sources far behind others: one that is caught up is left out, one that still has to read is waited for.

use std::sync::Arc;

use serde_json::json;
use tripline::{
    config::Config,
    log::{Log, Record, TopicPartition, memory::MemoryLog},
    stage::Hook,
};

use super::harness::{
    EACH, Gate, Running, around, config, end_time, ensure_topics, event, record, rules, system, until,
};

const HOUR: u64 = 3_600;

fn events(config: &Config, input: &str, seconds: impl Iterator<Item = u64>) -> Vec<Record> {
    seconds
        .map(|second| record(config, input, 0, event(second, json!({ "id": format!("{input}-{second}") }))))
        .collect()
}

#[test]
fn one_that_is_caught_up_and_far_behind_blocks_nobody_and_keeps_its_own_time() {
    let config = config(&["old", "new"]);
    let log: Arc<dyn Log> = MemoryLog::new();
    let of_old = EACH.replace("event:", r#"input: "old", event:"#).replace("each", "of-old");
    let of_all = EACH.replace("exists(e.id)", r#"exists(e.id) && e.id.starts_with("new")"#);
    system(async {
        ensure_topics(&*log, &config).await;
        let running = Running::on(&config, &log, &rules(&format!("{of_all}{of_old}"))).await;
        running.append(events(&config, "old", 0..3)).await;
        running.has_read(3).await;
        running.append(events(&config, "new", (0..5).map(|n| 5 * HOUR + 20 * n))).await;
        let count = |rule: &'static str| {
            let running = &running;
            async move { running.alerts().await.iter().filter(|alert| alert.rule_id() == rule).count() }
        };
        until("the new one's windows are walked", async || count("each").await == 4).await;
        let left_out = running.status().left_out;
        assert_eq!(left_out.iter().map(|left| (&*left.input, left.count)).collect::<Vec<_>>(), [("old", 1)]);
        // It goes on at its own pace, for the rules that read nothing else.
        running.append(events(&config, "old", 100..101)).await;
        until("the old one's windows are walked", async || count("of-old").await == 3).await;
        running.drain().await;
    });
}

#[test]
fn one_that_has_a_backlog_is_waited_for_however_far_it_is_behind() {
    let config = config(&["slow", "fast"]);
    let log: Arc<dyn Log> = MemoryLog::new();
    let rules = rules(EACH);
    system(async {
        ensure_topics(&*log, &config).await;
        // Both have been read once, so both are known, hours before the outage ends.
        let running = Running::on(&config, &log, &rules).await;
        running.append(events(&config, "slow", 0..1)).await;
        running.append(events(&config, "fast", 0..1)).await;
        running.has_read(2).await;
        running.drain().await;

        log.append(events(&config, "slow", 10..20)).await.unwrap();
        log.append(events(&config, "fast", (0..10).map(|n| 5 * HOUR + 20 * n))).await.unwrap();
        let gate = Arc::new(Gate::default());
        let running = Running::start(around(&config, &log, gate.hook("slow", 1)), &rules, Vec::new()).await;
        let read = |input: &str| {
            running
                .status()
                .sources
                .iter()
                .filter(|source| &*source.input == input)
                .map(|source| source.next)
                .sum::<u64>()
        };
        until("the fast one is through", async || read("fast") == 11).await;
        gate.open();
        until("the slow one is through", async || read("slow") == 11).await;
        end_time(&running).await;
        let alerts = running.alerts().await;
        assert_eq!(alerts.len(), 22, "every event of both had its window");
        let lost: u64 = running.status().signals.iter().map(|signals| signals.before_join).sum();
        assert_eq!(lost, 0);
        running.drain().await;
    });
}

#[test]
fn one_far_ahead_waits_for_one_that_is_catching_up() {
    let mut config = config(&["slow", "fast"]);
    config.detect.batch_records_max = 10;
    let log: Arc<dyn Log> = MemoryLog::new();
    let rules = rules(EACH);
    system(async {
        ensure_topics(&*log, &config).await;
        // More than a batch each; the fast one's events are minutes apart.
        log.append(events(&config, "slow", 0..100)).await.unwrap();
        log.append(events(&config, "fast", (0..100).map(|n| n * 120))).await.unwrap();
        let (slow, fast) = (Arc::new(Gate::default()), Arc::new(Gate::default()));
        let (hold_slow, hold_fast) = (slow.hook("slow", 50), fast.hook("fast", 10));
        let hook: Hook = Arc::new(move |stage, at: &TopicPartition, offset| {
            hold_slow(stage, at, offset);
            hold_fast(stage, at, offset);
        });
        let running = Running::start(around(&config, &log, hook), &rules, Vec::new()).await;
        let source = |input: &str| running.status().sources.into_iter().find(|source| &*source.input == input);
        until("the slow one is under way", async || source("slow").is_some_and(|source| source.next == 50)).await;
        fast.open();
        until("the fast one waits", async || source("fast").is_some_and(|source| source.paused)).await;
        let waiting = source("fast").expect("a source");
        assert!(waiting.next < 50, "it stopped at {}", waiting.next);
        slow.open();
        running.has_read(200).await;
        end_time(&running).await;
        assert_eq!(running.alerts().await.len(), 200);
        running.drain().await;
    });
}
