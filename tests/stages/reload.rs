//! Other rules while the stages run: unchanged ones never notice, a changed shape starts anew, what went still closes.

use std::sync::Arc;

use serde_json::json;
use tripline::{
    alert::{Alert, State},
    log::{Log, TopicPartition, memory::MemoryLog},
    rule::RuleSet,
};

use super::harness::{Running, START, config, end_time, ensure_topics, event, record, rules, system, topics, until};

const OTHER: &str = r#"
rule(#{ id: "other", title: "other", severity: "low", event: |e| e.kind == "other", by: ["host.name"] });
"#;

fn counting(title: &str, within: &str) -> String {
    format!(
        r#"rule(#{{ id: "count", title: "{title}", severity: "low", event: |e| e.kind == "hit", by: ["host.name"],
            within: "{within}", when: |w| w.event.count >= 5 }});"#
    )
}

/// Feeds events at the given seconds.
async fn feed(running: &Running, seconds: std::ops::Range<u64>, kind: &str) {
    let config = &running.around.config;
    let body = json!({ "kind": kind, "host.name": "h" });
    running.append(seconds.map(|second| record(config, "in", 0, event(second, body.clone()))).collect()).await;
}

/// Passes rules on, and waits until detect has switched to them.
async fn reload(running: &Running, rules: &Arc<RuleSet>) {
    running.pipeline.use_rules(rules).await;
    let at = TopicPartition { topic: topics(&running.around.config).received("in"), partition: 0 };
    until("detect has switched", async || {
        let committed = running.around.log.committed("tripline", &at).await.unwrap();
        committed.is_some_and(|committed| committed.metadata.contains(&rules.hash))
    })
    .await;
}

/// Three events, another set of rules, and two more: gives the alerts of the rule that counts to five.
fn three_and_two(before: &str, after: &str) -> Vec<Alert> {
    let config = config(&["in"]);
    let log: Arc<dyn Log> = MemoryLog::new();
    system(async {
        ensure_topics(&*log, &config).await;
        let running = Running::on(&config, &log, &rules(before)).await;
        feed(&running, 0..3, "hit").await;
        // Time moves on, so the three are in their window.
        feed(&running, 60..61, "none").await;
        running.walked_past(START.plus(std::time::Duration::from_secs(10))).await;
        reload(&running, &rules(after)).await;
        feed(&running, 70..72, "hit").await;
        end_time(&running).await;
        running.drain().await;
        let alerts = super::harness::alerts(&*log, &config).await;
        alerts.into_iter().filter(|alert| alert.rule_id() == "count").collect()
    })
}

#[test]
fn a_rule_whose_shape_stays_keeps_its_windows() {
    let before = counting("before", "10m");
    let alerts = three_and_two(&before, &format!("{before}{OTHER}"));
    assert_eq!((alerts.len(), &alerts[0].counts["event"]), (1, &json!(5)));
    let alerts = three_and_two(&before, &counting("after", "10m"));
    assert_eq!((alerts.len(), &*alerts[0].title), (1, "after"));
}

#[test]
fn a_rule_whose_shape_changes_starts_anew() {
    assert!(three_and_two(&counting("before", "10m"), &counting("before", "11m")).is_empty());
}

const OPENS: &str = r#"
rule(#{ id: "opens", title: "opens", severity: "low", event: |e| e.kind == "hit", by: ["host.name"], within: "10s",
    when: |w| w.event.count >= 2, suppress: "5m", alert: |w| #{ title: `${w.event.count} hits` } });
"#;

#[test]
fn an_open_alert_of_a_rule_that_went_still_closes() {
    let config = config(&["in"]);
    let log: Arc<dyn Log> = MemoryLog::new();
    let alerts = system(async {
        ensure_topics(&*log, &config).await;
        let running = Running::on(&config, &log, &rules(&format!("{OPENS}{OTHER}"))).await;
        feed(&running, 0..4, "hit").await;
        feed(&running, 60..61, "none").await;
        until("it opens", async || running.alerts().await.len() == 1).await;
        reload(&running, &rules(OTHER)).await;
        // What comes now is no longer the rule's.
        feed(&running, 100..103, "hit").await;
        // The alert's end is far off yet, and the rule is kept for it while time passes on.
        feed(&running, 200..201, "none").await;
        running.walked_past(START.plus(std::time::Duration::from_secs(180))).await;
        assert_eq!(running.alerts().await.len(), 1);
        end_without_ordered_rules(&running).await;
        running.drain().await;
        super::harness::alerts(&*log, &config).await
    });
    assert_eq!(alerts.iter().map(|alert| alert.state).collect::<Vec<_>>(), [State::Opened, State::Closed]);
    assert_eq!((&*alerts[1].title, alerts[1].suppressed), ("4 hits", 2));
    assert_eq!(alerts[1].time, START.plus(std::time::Duration::from_secs(303)).to_string());
}

async fn end_without_ordered_rules(running: &Running) {
    feed(running, 100_000..100_001, "none").await;
    until("it closes", async || running.alerts().await.len() == 2).await;
}

#[test]
fn no_signal_of_a_new_rule_comes_before_correlate_knows_it() {
    let config = config(&["in"]);
    let log: Arc<dyn Log> = MemoryLog::new();
    let texts = |count: usize| {
        let rule = |n: usize| {
            format!(
                r#"rule(#{{ id: "r{n}", title: "t", severity: "low", event: |e| exists(e.id), by: ["id"],
                    within: "1s", when: |w| w.event.count >= 1 }});"#
            )
        };
        rules(&(0..count).map(rule).collect::<String>())
    };
    system(async {
        ensure_topics(&*log, &config).await;
        let running = Running::on(&config, &log, &texts(1)).await;
        let mut second = 0;
        for count in 2..20 {
            let set = texts(count);
            let reloaded = async {
                reload(&running, &set).await;
            };
            let fed = async {
                for _ in 0..10 {
                    let id = json!({ "id": second });
                    running.append(vec![record(&config, "in", 0, event(second, id))]).await;
                    second += 1;
                    tokio::task::yield_now().await;
                }
            };
            tokio::join!(reloaded, fed);
        }
        end_time(&running).await;
        let unknown: u64 = running.status().signals.iter().map(|signals| signals.unknown_rule).sum();
        assert_eq!(unknown, 0);
        until("the first rule saw every event", async || {
            let alerts = running.alerts().await;
            alerts.iter().filter(|alert| alert.rule_id() == "r0").count() as u64 == second
        })
        .await;
        running.drain().await;
    });
}
