//! Sinks that are down: alerts wait and arrive, or are in dead letters after the last try; nobody else waits.

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use serde_json::json;
use tripline::{
    config::{Filter, Retry, Sink, SinkKind, Webhook},
    log::{Log, memory::MemoryLog},
    notify::Receiver,
    stage::no_hook,
};

use super::harness::{EACH, Running, around, config, end_time, ensure_topics, event, record, rules, system, until};
use crate::sinks::http_server::{Down, HttpServer, Seen};

fn receiver(name: &str, kind: SinkKind, attempts_max: u32) -> Receiver {
    let sink = Sink {
        name: name.to_owned(),
        kind,
        filter: Filter::default(),
        timeout: Duration::from_secs(5),
        retry: Retry { attempts_max, backoff_min: Duration::from_millis(1), backoff_max: Duration::from_millis(10) },
    };
    Receiver::new(&sink, &|_, _| panic!("no log")).expect("a receiver")
}

fn webhook(url: &str, attempts_max: u32) -> Receiver {
    let webhook = Webhook { url: url.to_owned().into(), headers: BTreeMap::new(), ca_file: None };
    receiver("hook", SinkKind::Webhook(webhook), attempts_max)
}

fn file(path: &Path) -> Receiver {
    receiver("file", SinkKind::File { path: path.to_owned() }, 10)
}

/// Ten events that fire, from number `first` on.
async fn feed(running: &Running, first: u64) {
    let config = &running.around.config;
    let events = (first..first + 10).map(|n| record(config, "in", 0, event(n, json!({ "id": n }))));
    running.append(events.collect()).await;
}

/// Waits until alerts are under way to the hook.
async fn is_tried(running: &Running) {
    let sending = || running.status().sinks.iter().any(|sink| &*sink.name == "hook" && sink.sending > 0);
    until("the hook is tried", async || sending()).await;
}

/// The keys of the alerts that came, in the order of their arrival.
fn keys(seen: &[Seen]) -> Vec<u64> {
    seen.iter().map(|seen| seen.json()["key"][0].as_str().unwrap().parse().unwrap()).collect()
}

fn sent_to_hook(server: &HttpServer) -> Vec<u64> {
    keys(&server.seen())
}

#[test]
fn alerts_wait_for_a_sink_that_is_down_and_arrive_in_order_and_once() {
    let mut config = config(&["in"]);
    config.correlate.partitions = 1;
    let log: Arc<dyn Log> = MemoryLog::new();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("alerts.ndjson");
    let rules = rules(EACH);
    let start = async |receivers| Running::start(around(&config, &log, no_hook()), &rules, receivers).await;
    system(async {
        ensure_topics(&*log, &config).await;
        let down = Down::new();
        let url = format!("http://{}/", down.address);
        let running = start(vec![webhook(&url, u32::MAX), file(&path)]).await;
        feed(&running, 0).await;
        // Event 10 moves time past the first ten.
        running.append(vec![record(&config, "in", 0, event(100, json!({})))]).await;
        let lines = || std::fs::read_to_string(&path).unwrap_or_default().lines().count();
        until("the other sink has all", async || lines() == 10).await;
        is_tried(&running).await;

        let server = down.up();
        until("the alerts arrive", async || server.seen().len() >= 10).await;
        assert_eq!(sent_to_hook(&server), (0..10).collect::<Vec<_>>());
        assert!(running.dead_letters().await.is_empty());
        running.drain().await;

        let running = start(vec![webhook(&url, u32::MAX), file(&path)]).await;
        feed(&running, 200).await;
        end_time(&running).await;
        until("the next alerts arrive", async || server.seen().len() >= 20).await;
        assert_eq!(sent_to_hook(&server), (0..10).chain(200..210).collect::<Vec<_>>(), "none came twice");
        running.drain().await;
        assert_eq!((server.seen().len(), lines()), (20, 20));
    });
}

#[test]
fn after_the_last_try_alerts_are_in_dead_letters() {
    let config = config(&["in"]);
    let log: Arc<dyn Log> = MemoryLog::new();
    system(async {
        ensure_topics(&*log, &config).await;
        let down = Down::new();
        let hook = webhook(&format!("http://{}/", down.address), 3);
        let running = Running::start(around(&config, &log, no_hook()), &rules(EACH), vec![hook]).await;
        feed(&running, 0).await;
        end_time(&running).await;
        until("all are given up", async || running.dead_letters().await.len() >= 10).await;
        let letters = running.dead_letters().await;
        assert_eq!(letters.len(), 10);
        for letter in &letters {
            assert_eq!((&*letter.input, &*letter.stage), ("tripline.alerts", "notify"));
            assert!(letter.reason.starts_with("sink hook: "), "{}", letter.reason);
        }
        until("they are counted", async || running.status().sinks[0].given_up == 10).await;
        running.drain().await;
    });
}

#[test]
fn a_drain_does_not_wait_for_a_dead_sink_and_its_alerts_are_still_to_come() {
    let config = config(&["in"]);
    let log: Arc<dyn Log> = MemoryLog::new();
    let rules = rules(EACH);
    system(async {
        ensure_topics(&*log, &config).await;
        let down = Down::new();
        let url = format!("http://{}/", down.address);
        let running = Running::start(around(&config, &log, no_hook()), &rules, vec![webhook(&url, u32::MAX)]).await;
        feed(&running, 0).await;
        end_time(&running).await;
        is_tried(&running).await;
        running.drain().await;

        let server = down.up();
        let running = Running::start(around(&config, &log, no_hook()), &rules, vec![webhook(&url, 3)]).await;
        until("the alerts arrive", async || server.seen().len() >= 10).await;
        let mut keys = sent_to_hook(&server);
        keys.sort_unstable();
        assert_eq!(keys, (0..10).collect::<Vec<_>>());
        running.drain().await;
    });
}
