//! Scripts that never end, recurse or swell: stopped at their limits, set aside, and nobody else's business.

use std::sync::Arc;

use serde_json::json;
use tripline::log::{Log, memory::MemoryLog};

use super::harness::{Running, assert_same, config, end_time, ensure_topics, event, record, rules, sorted, system};

const GOOD: &str = r#"
rule(#{ id: "good", title: "good", severity: "low",
    event: |e| e.kind == "a", by: ["host.name"], within: "1m", when: |w| w.event.count >= 3 });
rule(#{ id: "good-single", title: "good", severity: "low", event: |e| e.kind == "b", by: ["id"] });
"#;

const BAD: &str = r#"
fn deep(n) { deep(n + 1) }
rule(#{ id: "loops", title: "t", severity: "low", event: |e| { let n = 0; loop { n += 1; } n == 0 } });
rule(#{ id: "recurses", title: "t", severity: "low", event: |e| deep(0) == 1 });
rule(#{ id: "swells", title: "t", severity: "low", event: |e| { let s = "xx"; loop { s += s; } s == "" } });
rule(#{ id: "half", title: "t", severity: "low", within: "1m", by: ["host.name"],
    events: #{ good: |e| e.kind == "a", bad: |e| { while true { } false } }, any_of: ["good", "bad"] });
rule(#{ id: "loops-in-when", title: "t", severity: "low", event: |e| exists(e.kind), by: ["host.name"], within: "1m",
    when: |w| { let n = 0; loop { n += w.event.count; } n == 0 } });
rule(#{ id: "swells-in-alert", title: "still told", severity: "low", event: |e| exists(e.kind), by: ["id"],
    alert: |w| { let s = "xx"; loop { s += s; } #{ title: s } } });
"#;

fn run(text: &str) -> (Vec<tripline::alert::Alert>, tripline::telemetry::Status, usize) {
    let mut config = config(&["in"]);
    config.detect.quarantine_after = 4;
    config.correlate.partitions = 1;
    let log: Arc<dyn Log> = MemoryLog::new();
    let rules = rules(text);
    system(async {
        ensure_topics(&*log, &config).await;
        let running = Running::on(&config, &log, &rules).await;
        let body = |n: u64| json!({ "id": n, "kind": if n.is_multiple_of(3) { "b" } else { "a" }, "host.name": n % 4 });
        running.append((0..60).map(|n| record(&config, "in", 0, event(n, body(n)))).collect()).await;
        end_time(&running).await;
        let (status, letters) = (running.status(), running.dead_letters().await.len());
        running.drain().await;
        (super::harness::alerts(&*log, &config).await, status, letters)
    })
}

#[test]
fn endless_scripts_are_stopped_and_set_aside_and_other_rules_never_notice() {
    let (alone, ..) = run(GOOD);
    assert!(alone.len() >= 30, "{} alerts", alone.len());
    let (all, status, letters) = run(&format!("{GOOD}{BAD}"));

    // The rule's version is its file's.
    let plain = |alerts: &[tripline::alert::Alert]| {
        let good = alerts.iter().filter(|alert| alert.rule_id().starts_with("good")).cloned();
        let plain = good.map(|mut alert| {
            alert.rule.insert("version".to_owned(), "".into());
            alert
        });
        sorted(plain.collect())
    };
    assert_same(&plain(&all), &plain(&alone), "the good rules' alerts");

    for rule in ["loops", "recurses", "swells", "half", "loops-in-when", "swells-in-alert"] {
        let status = status.rules.iter().find(|status| &*status.id == rule).expect("the rule is on the board");
        assert!(status.quarantined, "{rule} is set aside");
        assert_eq!(status.script_failures, 4, "{rule} is tried no more");
        assert!(status.last_failure.as_ref().is_some_and(|error| error.contains("stopped")), "{status:?}");
    }
    let told = all.iter().filter(|alert| alert.rule_id() == "swells-in-alert");
    assert!(told.clone().all(|alert| alert.title == "still told"));
    assert_eq!(told.count(), 4, "the alerts up to its quarantine have the rule's title");
    assert!(!status.rules.iter().any(|status| status.id.starts_with("good") && status.quarantined));
    assert_eq!((letters, status.restarts.len()), (0, 0));
}
