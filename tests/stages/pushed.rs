//! Rules that are passed round: two processes on one log, which switch at the same places of it.

use std::sync::Arc;

use serde_json::json;
use tripline::{
    alert::Alert,
    config::Config,
    log::{Log, TopicPartition, memory::MemoryLog},
    rule::{Bundle, LoadOptions, RuleFiles, SigmaOptions},
    stage::{Rulebook, Ruling, no_hook},
};

use super::harness::{Running, START, around, config, end_time, ensure_topics, event, record, system, topics, until};

fn bundle(text: &str) -> Bundle {
    let files = RuleFiles { files: [("r.rhai".into(), text.to_owned())].into(), ..RuleFiles::default() };
    Bundle::of(&files, &SigmaOptions::default())
}

fn counting(id: &str, title: &str, within: &str) -> String {
    format!(
        r#"rule(#{{ id: "{id}", title: "{title}", severity: "low", event: |e| e.kind == "hit", by: ["host.name"],
            within: "{within}", when: |w| w.event.count >= 5 }});"#
    )
}

/// A process that follows what is pushed, as the server does it.
struct Follower {
    running: Running,
    book: Arc<Rulebook>,
    revision: u64,
}

impl Follower {
    async fn start(config: &Config, log: &Arc<dyn Log>) -> Self {
        let book = Arc::new(Rulebook::new(log.clone(), &topics(config), LoadOptions::default()));
        let newest = book.newest().await.expect("the topic can be read").expect("something was pushed");
        let Ruling { push, set, .. } = book.ruling(&newest.mark).await.expect("it loads");
        let surroundings =
            tripline::stage::Surroundings { rulebook: Some(book.clone()), ..around(config, log, no_hook()) };
        Follower { running: Running::start(surroundings, &set, Vec::new()).await, book, revision: push.mark.revision }
    }

    async fn follow(&mut self) {
        let Ruling { push, set, .. } = self.book.newer_than(self.revision).await;
        self.revision = push.mark.revision;
        self.running.pipeline.use_rules(&set).await;
    }

    fn correlates(&self) -> usize {
        self.running.status().signals.len()
    }

    /// Whether all signals partitions that it has run its rules.
    fn has_switched(&self) -> bool {
        self.running.status().signals.iter().all(|signals| signals.revision == self.revision)
    }
}

async fn topic_of_rules(config: &Config, log: &Arc<dyn Log>) -> Rulebook {
    ensure_topics(&**log, config).await;
    log.ensure(&[topics(config).rules_spec()]).await.expect("a topic");
    Rulebook::new(log.clone(), &topics(config), LoadOptions::default())
}

async fn feed(running: &Running, partition: u32, seconds: std::ops::Range<u64>) {
    let config = &running.around.config;
    let of = |second| record(config, "in", partition, event(second, json!({ "kind": "hit", "host.name": "h" })));
    running.append(seconds.map(of).collect()).await;
}

fn of_rule<'a>(alerts: &'a [Alert], id: &'a str) -> Vec<&'a Alert> {
    alerts.iter().filter(|alert| alert.rule_id() == id).collect()
}

/// Waits until detect has committed what is in a partition.
async fn is_read(running: &Running, partition: u32) {
    let at = TopicPartition { topic: topics(&running.around.config).received("in"), partition };
    until("it is read", async || {
        let (_, end) = running.around.log.offsets(&at).await.unwrap();
        let committed = running.around.log.committed("tripline", &at).await.unwrap();
        committed.is_some_and(|committed| committed.next == end)
    })
    .await;
}

#[test]
fn two_processes_switch_at_the_same_places_of_the_log() {
    let mut config = config(&["in"]);
    config.local.events_partitions = 2;
    let log: Arc<dyn Log> = MemoryLog::new();
    let alerts = system(async {
        let book = topic_of_rules(&config, &log).await;
        let (stays, goes) = (counting("stays", "before", "10m"), counting("changes", "t", "10m"));
        book.push(&bundle(&format!("{stays}{goes}")), 2, 0).await.expect("it is pushed");
        let mut first = Follower::start(&config, &log).await;
        let mut second = Follower::start(&config, &log).await;
        until("both have work", async || first.correlates() == 1 && second.correlates() == 1).await;
        // Of each rule three signals, which wait: nobody's time moves yet.
        feed(&first.running, 0, 0..2).await;
        feed(&first.running, 1, 2..3).await;
        is_read(&first.running, 0).await;
        is_read(&first.running, 1).await;

        let (stays, goes) = (counting("stays", "after", "10m"), counting("changes", "t", "11m"));
        let new =
            r#"rule(#{ id: "new", title: "new", severity: "low", event: |e| e.kind == "hit", by: ["host.name"] });"#;
        book.push(&bundle(&format!("{stays}{goes}{new}")), 3, 0).await.expect("it is pushed");
        // One process is told long before the other: correlate follows the log, not its process.
        first.follow().await;
        until("one has switched", async || first.has_switched()).await;
        second.follow().await;
        until("all have switched", async || second.has_switched()).await;

        feed(&first.running, 0, 20..21).await;
        feed(&first.running, 1, 21..22).await;
        end_time_of(&first, &second).await;
        let unknown: u64 =
            [&first, &second].iter().flat_map(|one| one.running.status().signals).map(|s| s.unknown_rule).sum();
        assert_eq!(unknown, 0, "no signal came before its rule, or after it");
        let alerts = first.running.alerts().await;
        second.running.drain().await;
        first.running.drain().await;
        alerts
    });
    // Three of before and two of after: the windows stayed. The changed rule began anew, the new one saw two.
    assert_eq!(of_rule(&alerts, "stays").iter().map(|alert| &*alert.title).collect::<Vec<_>>(), ["after"]);
    assert!(of_rule(&alerts, "changes").is_empty());
    assert_eq!(of_rule(&alerts, "new").len(), 2);
}

/// The end of time, where each process has a part of the partitions.
async fn end_time_of(first: &Follower, second: &Follower) {
    let config = &first.running.around.config;
    let last = |partition| record(config, "in", partition, event(30 * 24 * 3600, json!({})));
    first.running.append(vec![last(0), last(1)]).await;
    let end = START.plus(std::time::Duration::from_secs(29 * 24 * 3600));
    until("all time has passed", async || {
        let partitions = [first, second].into_iter().flat_map(|one| one.running.status().signals);
        let walked: Vec<bool> = partitions.map(|signals| signals.frontier.is_some_and(|at| at > end)).collect();
        walked.len() == 2 && walked.iter().all(|walked| *walked)
    })
    .await;
}

#[test]
fn a_process_that_was_down_goes_on_with_the_windows_and_what_was_pushed_meanwhile() {
    let config = config(&["in"]);
    let log: Arc<dyn Log> = MemoryLog::new();
    let alerts = system(async {
        let book = topic_of_rules(&config, &log).await;
        book.push(&bundle(&counting("stays", "before", "10m")), 1, 0).await.expect("it is pushed");
        let process = Follower::start(&config, &log).await;
        feed(&process.running, 0, 0..3).await;
        // Time moves on, so the three are in their window.
        feed(&process.running, 0, 60..61).await;
        process.running.walked_past(START.plus(std::time::Duration::from_secs(10))).await;
        process.running.drain().await;
        let other = counting("other", "t", "1h");
        book.push(&bundle(&format!("{}{other}", counting("stays", "after", "10m"))), 2, 0).await.expect("it is pushed");
        let process = Follower::start(&config, &log).await;
        feed(&process.running, 0, 70..71).await;
        end_time(&process.running).await;
        assert!(process.has_switched());
        let alerts = process.running.alerts().await;
        process.running.drain().await;
        alerts
    });
    let stays = of_rule(&alerts, "stays");
    assert_eq!((stays.len(), &*stays[0].title, &stays[0].counts["event"]), (1, "after", &json!(5)));
}

#[test]
fn rules_on_alerts_switch_with_the_rest() {
    let config = config(&["in"]);
    let log: Arc<dyn Log> = MemoryLog::new();
    let single = r#"rule(#{ id: "hit", title: "t", severity: "low", event: |e| e.kind == "hit", by: ["host.name"] });"#;
    let on_alerts = |title: &str, n: u32| {
        format!(
            r#"rule(#{{ id: "many", title: "{title}", severity: "high", input: "alerts",
                event: |e| e.rule.id == "hit", by: ["rule.id"], within: "1h", when: |w| w.event.count >= {n} }});"#
        )
    };
    let alerts = system(async {
        let book = topic_of_rules(&config, &log).await;
        book.push(&bundle(&format!("{single}{}", on_alerts("before", 4))), 2, 0).await.expect("it is pushed");
        let mut process = Follower::start(&config, &log).await;
        feed(&process.running, 0, 0..3).await;
        until("three hits", async || process.running.alerts().await.len() == 3).await;
        book.push(&bundle(&format!("{single}{}", on_alerts("after", 4))), 2, 0).await.expect("it is pushed");
        process.follow().await;
        until("it has switched", async || process.has_switched()).await;
        feed(&process.running, 0, 20..21).await;
        end_time(&process.running).await;
        until("the rule on alerts", async || process.running.alerts().await.len() == 5).await;
        let alerts = process.running.alerts().await;
        process.running.drain().await;
        alerts
    });
    assert_eq!(of_rule(&alerts, "many").iter().map(|alert| &*alert.title).collect::<Vec<_>>(), ["after"]);
}
