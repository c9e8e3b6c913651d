//! Sources that have nothing to say: they hold nobody back, and time goes on without events.

use std::{sync::Arc, time::Duration};

use serde_json::json;
use tripline::{
    alert::State,
    log::{Log, memory::MemoryLog},
};

use super::harness::{EACH, Running, START, config, ensure_topics, event, record, rules, system, until};

#[test]
fn alerts_come_though_one_partition_never_had_an_event() {
    let mut config = config(&["in"]);
    config.local.events_partitions = 2;
    config.inputs[0].idle_timeout = Duration::from_millis(50);
    let log: Arc<dyn Log> = MemoryLog::new();
    system(async {
        ensure_topics(&*log, &config).await;
        let running = Running::on(&config, &log, &rules(EACH)).await;
        let events = (0..10).map(|n| record(&config, "in", 0, event(n, json!({ "id": n }))));
        running.append(events.collect()).await;
        running.append(vec![record(&config, "in", 0, event(100, json!({})))]).await;
        until("the windows are walked", async || running.alerts().await.len() == 10).await;
        running.drain().await;
    });
}

#[test]
fn a_partition_not_heard_of_holds_its_input_back_and_no_other() {
    let config = config(&["in", "other"]);
    let log: Arc<dyn Log> = MemoryLog::new();
    let named = EACH.replace("event:", r#"input: "in", event:"#).replace("each", "named");
    system(async {
        ensure_topics(&*log, &config).await;
        let running = Running::on(&config, &log, &rules(&format!("{EACH}{named}"))).await;
        let events = (0..10).map(|n| record(&config, "in", 0, event(n, json!({ "id": n }))));
        running.append(events.collect()).await;
        running.append(vec![record(&config, "in", 0, event(100, json!({})))]).await;
        until("the rule over its own input fires", async || running.alerts().await.len() == 10).await;
        assert!(running.alerts().await.iter().all(|alert| alert.rule_id() == "named"));
        running.append(vec![record(&config, "other", 0, event(100, json!({})))]).await;
        until("the other input speaks", async || running.alerts().await.len() == 20).await;
        running.drain().await;
    });
}

/// The end of a live log: what replay closes at the end of its input, idle time closes here.
#[test]
fn an_open_alert_closes_when_idle_time_has_passed_its_end() {
    let mut config = config(&["in"]);
    config.inputs[0].idle_timeout = Duration::from_millis(50);
    config.inputs[0].lateness = Duration::ZERO;
    let rules = rules(
        r#"rule(#{ id: "opens", title: "t", severity: "low", event: |e| exists(e.id), by: ["id"], suppress: "300ms" });"#,
    );
    let log: Arc<dyn Log> = MemoryLog::new();
    system(async {
        ensure_topics(&*log, &config).await;
        let running = Running::on(&config, &log, &rules).await;
        running.append(vec![record(&config, "in", 0, event(0, json!({ "id": 1 })))]).await;
        until("it closes", async || running.alerts().await.len() == 2).await;
        let alerts = running.alerts().await;
        assert_eq!(alerts.iter().map(|alert| alert.state).collect::<Vec<_>>(), [State::Opened, State::Closed]);
        assert_eq!(alerts[1].time, START.plus(Duration::from_millis(300)).to_string());
        let idle = running.status().sources.iter().all(|source| source.idle);
        assert!(idle, "the source is known to be idle");
        running.drain().await;
    });
}
