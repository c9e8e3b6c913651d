//! A pipeline in this process, and what tests ask of it.

use std::{
    collections::BTreeMap,
    future::Future,
    sync::{Arc, Condvar, Mutex, Once},
    time::{Duration, Instant},
};

use tokio::sync::mpsc;
use tripline::{
    alert::Alert,
    clock::Clock,
    config::{Config, Format, Input, InputKind},
    event::{DeadLetter, Timestamp},
    log::{Log, Record, Start, TopicPartition},
    notify::Receiver,
    rule::{LoadOptions, RuleFiles, RuleSet, load},
    stage::{Escalation, Hook, Pipeline, Stages, Surroundings, Topics, no_hook},
    telemetry::{Status, Telemetry},
};

/// Everything takes less than this, or fails.
const LIMIT: Duration = Duration::from_secs(60);

/// What is waited for comes within this.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Panics that a test injects say so, and are not printed.
pub const INJECTED: &str = "injected by the test";

/// Runs `work` in an actix system of its own, which ends with it: whatever still runs there is cut off.
pub fn system<T>(work: impl Future<Output = T>) -> T {
    silence_injected_panics();
    let runner = actix::System::new();
    let system = actix::System::current();
    let outcome = runner.block_on(async { tokio::time::timeout(LIMIT, work).await });
    system.stop();
    runner.run().expect("the system ends");
    outcome.expect("it took too long")
}

fn silence_injected_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let print = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !panic.payload_as_str().is_some_and(|text| text.contains(INJECTED)) {
                print(panic);
            }
        }));
    });
}

/// Waits until `condition` holds.
pub async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let started = Instant::now();
    while !condition().await {
        assert!(started.elapsed() < PATIENCE, "it never came that {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Inputs of JSON records; everything happens soon, but for idle time, which never comes.
pub fn config(inputs: &[&str]) -> Config {
    let defaults = Config::default();
    let input = |name: &&str| Input {
        name: (*name).to_owned(),
        kind: InputKind::Http,
        format: Format::Json,
        idle_timeout: Duration::from_secs(3600),
        ..defaults.inputs[0].clone()
    };
    let mut config = Config { inputs: inputs.iter().map(input).collect(), ..defaults };
    config.local.events_partitions = 1;
    config.local.sync_interval = Duration::from_millis(1);
    config.local.free_bytes_min = 0;
    config.correlate.partitions = 2;
    config.correlate.commit_interval = Duration::from_millis(5);
    config.detect.marker_interval = Duration::from_millis(5);
    config.detect.commit_interval = Duration::from_millis(10);
    config.supervisor.backoff_min = Duration::from_millis(1);
    config.supervisor.backoff_max = Duration::from_millis(20);
    config
}

/// The rules of one file, which has to be right.
pub fn rules(text: &str) -> Arc<RuleSet> {
    rules_at("test.rhai", text)
}

/// The same of a file by this name.
pub fn rules_at(path: &str, text: &str) -> Arc<RuleSet> {
    let files = RuleFiles { files: BTreeMap::from([(path.into(), text.into())]), ..RuleFiles::default() };
    let loaded = load(&files, &LoadOptions::default(), None);
    assert!(!loaded.has_errors(), "{:#?}", loaded.diagnostics);
    Arc::new(loaded.set)
}

/// Fires once for each value of the field `id`, in the ordered walk.
pub const EACH: &str = r#"
rule(#{ id: "each", title: "each", severity: "low", event: |e| exists(e.id), by: ["id"], within: "1s",
    when: |w| w.event.count >= 1 });
"#;

/// Where the times of hand-written events start: 2024-01-01T00:00:00Z.
pub const START: Timestamp = Timestamp(1_704_067_200_000_000_000);

/// An event at so many seconds after [`START`], with fields.
pub fn event(seconds: u64, fields: serde_json::Value) -> String {
    let mut event = serde_json::json!({ "@timestamp": START.plus(Duration::from_secs(seconds)).to_string() });
    let entries = event.as_object_mut().expect("an object");
    entries.extend(fields.as_object().expect("an object").clone());
    event.to_string()
}

/// One event in each partition of each input, long after all others: every timer is due, nothing waits any more.
pub async fn end_time(running: &Running) {
    let config = &running.around.config;
    let last = event(AFTERMATH.as_secs(), serde_json::json!({}));
    let partitions = 0..config.local.events_partitions;
    let of_input = |input: &Input| {
        let name = input.name.clone();
        partitions.clone().map(|partition| record(config, &name, partition, last.as_str())).collect::<Vec<_>>()
    };
    running.append(config.inputs.iter().flat_map(of_input).collect()).await;
    running.walked_past(START.plus(AFTERMATH).minus(Duration::from_secs(60))).await;
}

/// How long after [`START`] the last events come.
const AFTERMATH: Duration = Duration::from_secs(30 * 24 * 3600);

/// Surroundings with a telemetry of their own.
pub fn around(config: &Config, log: &Arc<dyn Log>, hook: Hook) -> Surroundings {
    Surroundings {
        config: Arc::new(config.clone()),
        log: log.clone(),
        clock: Clock::System,
        telemetry: Telemetry::default(),
        hook,
        stages: Stages::default(),
        rulebook: None,
    }
}

/// Holds detect's line of an input at an offset until it is let go.
#[derive(Default)]
pub struct Gate(Mutex<bool>, Condvar);

impl Gate {
    pub fn hook(self: &Arc<Self>, input: &'static str, from: u64) -> Hook {
        let gate = self.clone();
        Arc::new(move |stage, at: &TopicPartition, offset| {
            if stage == "detect" && at.topic.ends_with(input) && offset >= from {
                let (open, _) =
                    gate.1.wait_timeout_while(gate.0.lock().unwrap(), Duration::from_secs(30), |open| !*open).unwrap();
                assert!(*open, "the gate was never opened");
            }
        })
    }

    pub fn open(&self) {
        *self.0.lock().unwrap() = true;
        self.1.notify_all();
    }
}

/// A running pipeline.
pub struct Running {
    pub around: Surroundings,
    pub pipeline: Pipeline,
    pub escalations: mpsc::UnboundedReceiver<Escalation>,
}

impl Running {
    pub async fn start(around: Surroundings, rules: &Arc<RuleSet>, receivers: Vec<Receiver>) -> Self {
        let (sender, escalations) = mpsc::unbounded_channel();
        let pipeline = Pipeline::start(&around, rules.clone(), receivers, sender).await.expect("the pipeline starts");
        Running { around, pipeline, escalations }
    }

    pub async fn on(config: &Config, log: &Arc<dyn Log>, rules: &Arc<RuleSet>) -> Self {
        Self::start(around(config, log, no_hook()), rules, Vec::new()).await
    }

    pub fn status(&self) -> Status {
        self.around.telemetry.status()
    }

    /// Waits until every signals partition has walked past `time`.
    pub async fn walked_past(&self, time: Timestamp) {
        let partitions = self.around.config.correlate.partitions as usize;
        let started = Instant::now();
        loop {
            let Status { signals, sources, .. } = self.status();
            let has = |at: &Option<Timestamp>| at.is_some_and(|at| at > time);
            if signals.len() == partitions && signals.iter().all(|signals| has(&signals.frontier)) {
                return;
            }
            assert!(started.elapsed() < PATIENCE, "time stands still: {signals:#?} {sources:#?}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Waits until detect has read all `records` of every input.
    pub async fn has_read(&self, records: u64) {
        until("all records are read", async || {
            self.status().sources.iter().map(|source| source.next).sum::<u64>() >= records
        })
        .await;
    }

    pub async fn alerts(&self) -> Vec<Alert> {
        alerts(&*self.around.log, &self.around.config).await
    }

    pub async fn dead_letters(&self) -> Vec<DeadLetter> {
        dead_letters(&*self.around.log, &self.around.config).await
    }

    pub async fn append(&self, records: Vec<Record>) {
        self.around.log.append(records).await.expect("the log takes records");
    }

    pub fn restarts(&self, stage: &str) -> u64 {
        self.status().restarts.iter().filter(|restarts| &*restarts.stage == stage).map(|restarts| restarts.count).sum()
    }

    pub async fn drain(self) {
        self.pipeline.drain().await;
    }
}

pub fn topics(config: &Config) -> Topics {
    assert!(config.kafka.is_none());
    Topics::new("tripline")
}

/// A record of `input`, as its receiver would write it.
pub fn record(config: &Config, input: &str, partition: u32, value: impl Into<Vec<u8>>) -> Record {
    Record {
        topic: topics(config).received(input),
        partition,
        key: None,
        value: Some(value.into().into()),
        timestamp_ms: 1_704_067_200_000,
    }
}

pub async fn ensure_topics(log: &dyn Log, config: &Config) {
    log.ensure(&topics(config).specs(config)).await.expect("the log takes topics");
}

/// Every value of a topic, partition by partition.
pub async fn values(log: &dyn Log, topic: &str) -> Vec<Vec<u8>> {
    let mut values = Vec::new();
    for partition in 0..log.partitions(topic).await.expect("the topic is there") {
        let at = TopicPartition { topic: topic.to_owned(), partition };
        let mut reader = log.reader(&at, Start::Earliest).await.expect("the topic can be read");
        let (_, end) = log.offsets(&at).await.expect("the topic has an end");
        let mut next = 0;
        while next < end {
            reader.ready().await.expect("the topic can be read");
            let visit = &mut |record: tripline::log::RecordRef<'_>| {
                values.push(record.value.unwrap_or_default().to_vec());
            };
            next = reader.drain(10_000, visit).expect("the topic can be read").next;
        }
    }
    values
}

/// Every alert of the log, in order of id and state.
pub async fn alerts(log: &dyn Log, config: &Config) -> Vec<Alert> {
    let values = values(log, &topics(config).alerts).await;
    sorted(values.iter().map(|value| serde_json::from_slice(value).expect("an alert")).collect())
}

pub fn sorted(mut alerts: Vec<Alert>) -> Vec<Alert> {
    alerts.sort_by(|a, b| (&a.id, a.state).cmp(&(&b.id, b.state)));
    alerts
}

pub async fn dead_letters(log: &dyn Log, config: &Config) -> Vec<DeadLetter> {
    let values = values(log, &topics(config).dead_letters).await;
    let mut letters: Vec<DeadLetter> =
        values.iter().map(|value| serde_json::from_slice(value).expect("a dead letter")).collect();
    letters.sort_by(|a, b| (&a.input, a.partition, a.offset).cmp(&(&b.input, b.partition, b.offset)));
    letters
}

/// One line for each alert: what a person would compare.
pub fn lines(alerts: &[Alert]) -> Vec<String> {
    let line = |alert: &Alert| {
        let state = serde_json::to_value(alert.state).expect("a state");
        format!("{} {} {} {} {:?}", alert.time, alert.rule_id(), state, alert.key.join("|"), alert.counts)
    };
    let mut lines: Vec<String> = alerts.iter().map(line).collect();
    lines.sort();
    lines
}

/// Both lists hold the same alerts, byte for byte.
#[track_caller]
pub fn assert_same(found: &[Alert], expected: &[Alert], what: &str) {
    let (a, b) = (lines(found), lines(expected));
    let only = |a: &[String], b: &[String]| a.iter().filter(|line| !b.contains(line)).cloned().collect::<Vec<_>>();
    let (surplus, missing) = (only(&a, &b), only(&b, &a));
    assert!(
        a == b,
        "{what}: {} alerts, {} expected; surplus {surplus:#?}, missing {missing:#?}",
        found.len(),
        expected.len()
    );
    for (found, expected) in found.iter().zip(expected) {
        assert_eq!(found.to_json(), expected.to_json(), "{what}");
    }
}
