//! No silent miss: for each way in which a record comes to nothing there is a number that says so.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::json;
use tripline::{
    config::Config,
    log::{Log, Record, TopicPartition, memory::MemoryLog},
    telemetry::LineState,
};

use super::harness::{PATIENCE, Running, config, ensure_topics, event, record, rules, system, topics, until, values};

const RULES: &str = r#"
rule(#{ id: "three", title: "t", severity: "low", event: |e| e.kind == "a", by: ["host.name"], within: "1h",
    when: |w| w.event.count >= 100 });
rule(#{ id: "spread", title: "t", severity: "low", event: |e| exists(e.many), by: ["many"] });
rule(#{ id: "new-value", title: "t", severity: "low", event: |e| e.kind == "v", by: ["host.name"],
    first_seen: #{ fields: ["value"], over: "1d" } });
rule(#{ id: "loops", title: "t", severity: "low", event: |e| { let n = 0; while e.kind == "x" { n += 1; } n > 0 } });
"#;

fn small() -> Config {
    let mut config = config(&["in", "odd"]);
    config.correlate.partitions = 1;
    config.correlate.signals_per_key_max = 3;
    config.detect.quarantine_after = 2;
    config
}

/// Waits until the metrics have every one of these lines.
async fn shown(running: &Running, lines: &[&str]) {
    let missing = || {
        let text = running.around.telemetry.encode();
        let is_missing = |line: &&&str| !text.lines().any(|found| found == **line);
        lines.iter().filter(is_missing).copied().collect::<Vec<_>>()
    };
    let started = Instant::now();
    while !missing().is_empty() {
        let (missing, text) = (missing(), running.around.telemetry.encode());
        assert!(started.elapsed() < PATIENCE, "{missing:#?} are not in\n{text}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

fn signal_record(config: &Config, bytes: Vec<u8>) -> Record {
    let topic = topics(config).signals;
    Record { topic, partition: 0, key: None, value: Some(bytes.into()), timestamp_ms: 0 }
}

#[test]
fn whatever_comes_to_nothing_is_a_number_in_metrics_and_status() {
    let config = small();
    let log: Arc<dyn Log> = MemoryLog::new();
    system(async {
        ensure_topics(&*log, &config).await;
        let running = Running::on(&config, &log, &rules(RULES)).await;
        let of = |second, body| record(&config, "in", 0, event(second, body));
        let many: Vec<u32> = (0..1_200).collect();
        running
            .append(vec![
                record(&config, "in", 0, "no event"),
                of(100, json!({ "kind": "a", "host.name": "late" })),
                of(10, json!({ "kind": "a", "host.name": "late" })),
                of(101, json!({ "kind": "a" })),
                of(102, json!({ "many": many })),
                of(103, json!({ "kind": "v", "host.name": "h" })),
            ])
            .await;
        running.append((0..5).map(|n| of(110 + n, json!({ "kind": "a", "host.name": "full" }))).collect()).await;
        running.append((0..4).map(|n| of(120 + n, json!({ "kind": "x", "host.name": "h" }))).collect()).await;
        running
            .append(vec![record(&config, "odd", 0, json!({ "@timestamp": "2200-01-01T00:00:00Z" }).to_string())])
            .await;
        running.append(vec![of(10_000, json!({}))]).await;
        shown(
            &running,
            &[
                r#"tripline_dead_letters_total{stage="decode",reason="not_an_object"} 1"#,
                r#"tripline_source_dead_letters_total{input="in",partition="0"} 1"#,
                r#"tripline_source_late_total{input="in",partition="0"} 1"#,
                r#"tripline_source_disorder_seconds{input="in",partition="0"} 90"#,
                r#"tripline_source_clamped_total{input="odd",partition="0"} 1"#,
                r#"tripline_rule_late_total{rule="three"} 1"#,
                r#"tripline_signals_late_total{partition="0"} 1"#,
                r#"tripline_rule_missing_key_total{rule="three"} 1"#,
                r#"tripline_rule_keys_cut_total{rule="spread"} 200"#,
                r#"tripline_rule_missing_value_total{rule="new-value"} 1"#,
                r#"tripline_rule_quarantined{rule="loops"} 1"#,
                r#"tripline_rule_passed_by_total{rule="loops"} 3"#,
                r#"tripline_signals_evicted_total{partition="0"} 2"#,
            ],
        )
        .await;

        let first = values(&*log, &topics(&config).signals).await;
        running.append(first.into_iter().map(|bytes| signal_record(&config, bytes)).collect()).await;
        until("signals that were there before are duplicates", async || {
            running.status().signals.iter().any(|signals| signals.duplicates > 0)
        })
        .await;
        let status = running.status();
        let reached = status.reached.iter().find(|source| &*source.input == "in").expect("a source");
        assert_eq!((reached.signals_partitions, reached.accepted), (1, Some(10)), "{reached:?}");
        let text = status.to_string();
        for cause in ["late for their window", "seen before", "of rules in quarantine", "dropped from full keys"] {
            assert!(text.contains(cause), "{cause} is not in\n{text}");
        }

        running.append(vec![signal_record(&config, b"what is this".to_vec())]).await;
        let halted = r#"tripline_line_halted{stage="correlate",name="",topic="tripline.signals",partition="0"} 1"#;
        shown(&running, &[halted]).await;
        let status = running.status();
        let line = status.lines.iter().find(|line| line.state == LineState::Halted).expect("a line that halted");
        assert!(line.last_error.as_ref().is_some_and(|error| error.contains("tripline.signals/0@")), "{line:?}");
        assert!(!status.not_ready().is_empty());
        running.drain().await;
    });
}

#[test]
fn what_retention_took_unread_is_counted_record_by_record() {
    let mut config = small();
    config.local.retention_bytes = 4_000;
    let log: Arc<dyn Log> = MemoryLog::new();
    let rules = rules(RULES);
    system(async {
        ensure_topics(&*log, &config).await;
        let running = Running::on(&config, &log, &rules).await;
        let of = |second| record(&config, "in", 0, event(second, json!({ "kind": "none" })));
        running.append(vec![of(1)]).await;
        until("it is read", async || {
            let at = TopicPartition { topic: topics(&config).received("in"), partition: 0 };
            log.committed("tripline", &at).await.unwrap().is_some_and(|committed| committed.next == 1)
        })
        .await;
        running.drain().await;
        log.append((0..1_000).map(of).collect()).await.unwrap();
        let at = TopicPartition { topic: topics(&config).received("in"), partition: 0 };
        let (first, _) = log.offsets(&at).await.unwrap();
        let running = Running::on(&config, &log, &rules).await;
        let missed = format!("tripline_source_missed_total{{input=\"in\",partition=\"0\"}} {}", first - 1);
        shown(&running, &[&missed]).await;
        running.drain().await;
    });
}
