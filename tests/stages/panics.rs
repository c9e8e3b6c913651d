//! A line that panics: a fresh one takes its place, nothing is lost, and a record that kills twice is set aside.

use std::{
    collections::BTreeSet,
    hash::{BuildHasher, BuildHasherDefault, DefaultHasher},
    path::Path,
    sync::{Arc, Mutex},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::json;
use tripline::{
    alert::Alert,
    config::{Config, Filter, Sink, SinkKind},
    detect::SignalRecord,
    log::{Log, TopicPartition, memory::MemoryLog},
    notify::Receiver,
    stage::{Hook, no_hook},
};

use super::{
    generated::{self, INPUTS, RULES},
    harness::{
        self, EACH, INJECTED, Running, alerts, around, assert_same, config, dead_letters, end_time, ensure_topics,
        event, record, rules, system, until,
    },
};

fn to_file(path: &Path) -> Receiver {
    let sink = Sink {
        name: "file".to_owned(),
        kind: SinkKind::File { path: path.to_owned() },
        filter: Filter::default(),
        timeout: std::time::Duration::from_secs(10),
        retry: Config::default().sinks[0].retry.clone(),
    };
    Receiver::new(&sink, &|_, _| panic!("no log")).expect("a receiver")
}

fn delivered(path: &Path) -> Vec<Alert> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    // The last line may be on its way.
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    harness::sorted(whole.lines().map(|line| serde_json::from_str(line).expect("an alert")).collect())
}

/// Where the hook has panicked: stage, partition, offset.
type Seen = Arc<Mutex<BTreeSet<(String, TopicPartition, u64)>>>;

/// Where it panics again and again.
type Died = Arc<Mutex<Vec<(TopicPartition, u64)>>>;

/// Panics at one place of sixty, the first time that a line comes by.
fn now_and_then(seed: u64) -> (Hook, Seen) {
    let panicked = Arc::new(Mutex::new(BTreeSet::new()));
    let seen = panicked.clone();
    let hasher: BuildHasherDefault<DefaultHasher> = BuildHasherDefault::default();
    let hook = move |stage: &'static str, at: &TopicPartition, offset: u64| {
        let place = (stage.to_owned(), at.clone(), offset);
        // A signal is read and walked: panicking at both would kill twice.
        let is_its_turn = match stage {
            "correlate" => offset.is_multiple_of(2),
            "walk" => !offset.is_multiple_of(2),
            _ => true,
        };
        let is_chosen = hasher.hash_one((seed, stage, at, offset)).is_multiple_of(60);
        if is_its_turn && is_chosen && seen.lock().unwrap().insert(place) {
            panic!("{INJECTED}");
        }
    };
    (Arc::new(hook), panicked)
}

#[test]
fn panics_in_any_stage_lose_nothing_and_repeat_no_alert() {
    let rules = rules(RULES);
    let mut stages = BTreeSet::new();
    for seed in 0..6 {
        let mut config = config(&INPUTS);
        config.local.events_partitions = 2;
        config.supervisor.restarts_max = 1_000;
        let parts = generated::partitioned(&generated::events(seed, 300), 2);
        let expected = generated::replay(&config, &rules, &parts);
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("alerts.ndjson");
        let log: Arc<dyn Log> = MemoryLog::new();
        let (hook, panicked) = now_and_then(seed);
        let restarts = system(async {
            ensure_topics(&*log, &config).await;
            let around = around(&config, &log, hook);
            let running = Running::start(around, &rules, vec![to_file(&file)]).await;
            for records in generated::batches(&config, &parts) {
                running.append(records).await;
            }
            running.walked_past(generated::end_of_time()).await;
            until("every alert is delivered", async || {
                let ids: BTreeSet<_> = delivered(&file).into_iter().map(|alert| (alert.id, alert.state)).collect();
                ids.len() == expected.len()
            })
            .await;
            let restarts = ["detect", "correlate", "notify"].map(|stage| running.restarts(stage));
            running.drain().await;
            restarts
        });
        assert_same(&system(alerts(&*log, &config)), &expected, &format!("seed {seed}"));
        assert!(system(dead_letters(&*log, &config)).is_empty(), "no record crashed twice");
        let panicked = panicked.lock().unwrap();
        assert_eq!(restarts.iter().sum::<u64>(), panicked.len() as u64, "{restarts:?} restarts of {panicked:?}");
        stages.extend(panicked.iter().map(|(stage, ..)| stage.clone()));
    }
    assert_eq!(stages.len(), 4, "panics in {stages:?}");
}

/// Panics each time at the place where `stage` is at its `nth` record.
fn always_at(stage: &'static str, nth: usize) -> (Hook, Died) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let places = seen.clone();
    let hook = move |found: &'static str, at: &TopicPartition, offset: u64| {
        let place = (at.clone(), offset);
        let mut places = places.lock().unwrap();
        if found == stage && places.len() < nth && !places.contains(&place) {
            places.push(place.clone());
        }
        let fatal = found == stage && places.len() == nth && places.last() == Some(&place);
        drop(places);
        if fatal {
            panic!("{INJECTED}");
        }
    };
    (Arc::new(hook), seen)
}

/// Twenty events, of which one or its signal or alert is fatal to `stage`: gives the alerts' keys, what the sink got,
/// and the dead letters.
fn with_fatal_record(stage: &'static str, nth: usize) -> (Vec<String>, Vec<String>, Vec<tripline::event::DeadLetter>) {
    let mut config = config(&["in"]);
    config.correlate.partitions = 1;
    let rules = rules(EACH);
    let log: Arc<dyn Log> = MemoryLog::new();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("alerts.ndjson");
    let (hook, places) = always_at(stage, nth);
    let records: Vec<_> = (0..20).map(|n| record(&config, "in", 0, event(n, json!({ "id": n })))).collect();
    system(async {
        ensure_topics(&*log, &config).await;
        let running = Running::start(around(&config, &log, hook), &rules, vec![to_file(&file)]).await;
        running.append(records).await;
        end_time(&running).await;
        until("a record is set aside", async || !running.dead_letters().await.is_empty()).await;
        let left = if stage == "notify" { 19 } else { running.alerts().await.len() };
        until("the others are delivered", async || delivered(&file).len() >= left).await;
        let line = if stage == "walk" { "correlate" } else { stage };
        let restarts = running.restarts(line);
        // A sink gets its first alerts together: the first crash may be laid to another one than the culprit.
        let most = if stage == "notify" { 3 } else { 2 };
        assert!((2..=most).contains(&restarts), "{restarts} restarts");
        running.drain().await;
        // The next start knows what was set aside.
        let running = Running::start(around(&config, &log, no_hook()), &rules, Vec::new()).await;
        end_time(&running).await;
        running.drain().await;
    });
    let letters = system(dead_letters(&*log, &config));
    let (at, offset) = places.lock().unwrap()[nth - 1].clone();
    assert_eq!(letters.len(), 1, "{letters:?}");
    let input = if stage == "detect" { "in" } else { at.topic.as_str() };
    assert_eq!((&*letters[0].input, letters[0].partition, letters[0].offset), (input, at.partition, offset));
    let keys = |alerts: Vec<Alert>| {
        let mut keys: Vec<String> = alerts.iter().map(|alert| alert.key.join("|")).collect();
        keys.sort_by_key(|key| key.parse::<u32>().unwrap());
        keys
    };
    (keys(system(alerts(&*log, &config))), keys(delivered(&file)), letters)
}

fn all_but(id: &str) -> Vec<String> {
    (0..20).map(|n| n.to_string()).filter(|n| n != id).collect()
}

fn raw(letter: &tripline::event::DeadLetter) -> Vec<u8> {
    STANDARD.decode(&letter.raw_base64).unwrap()
}

#[test]
fn an_event_that_kills_detect_twice_is_set_aside_and_the_rest_goes_on() {
    let (alerts, delivered, letters) = with_fatal_record("detect", 8);
    assert_eq!((&*letters[0].stage, &*letters[0].reason), ("detect", "crashed: its line died of it twice"));
    let event: serde_json::Value = serde_json::from_slice(&raw(&letters[0])).unwrap();
    assert_eq!(event["id"], 7);
    assert_eq!((alerts, delivered), (all_but("7"), all_but("7")));
}

#[test]
fn a_signal_that_kills_correlate_as_it_is_read_is_set_aside_and_the_rest_goes_on() {
    assert_only_its_alert_is_missing(with_fatal_record("correlate", 8));
}

#[test]
fn a_signal_that_kills_correlate_in_its_turn_is_set_aside_and_the_rest_goes_on() {
    assert_only_its_alert_is_missing(with_fatal_record("walk", 8));
}

fn assert_only_its_alert_is_missing(
    (alerts, delivered, letters): (Vec<String>, Vec<String>, Vec<tripline::event::DeadLetter>),
) {
    assert_eq!((&*letters[0].stage, &*letters[0].reason), ("correlate", "crashed: its line died of it twice"));
    let id = match SignalRecord::decode(&raw(&letters[0])).unwrap() {
        SignalRecord::Signal(signal) => signal.key[0].to_string(),
        SignalRecord::Marker(_) | SignalRecord::Roster(_) | SignalRecord::List(_) => "none".to_owned(),
    };
    assert_eq!((alerts, delivered), (all_but(&id), all_but(&id)));
}

#[test]
fn an_alert_that_kills_notify_twice_is_set_aside_and_the_rest_goes_on() {
    let (alerts, delivered, letters) = with_fatal_record("notify", 8);
    assert_eq!(&*letters[0].stage, "notify");
    assert!(letters[0].reason.contains("crashed: its line died of it twice"), "{}", letters[0].reason);
    let alert: Alert = serde_json::from_slice(&raw(&letters[0])).unwrap();
    assert_eq!((alerts, delivered), (all_but("none"), all_but(&alert.key[0])));
}

#[test]
fn two_fatal_records_beside_each_other_are_both_set_aside() {
    let config = config(&["in"]);
    let rules = rules(EACH);
    let log: Arc<dyn Log> = MemoryLog::new();
    let hook = |stage: &'static str, _: &TopicPartition, offset: u64| {
        if stage == "detect" && matches!(offset, 3 | 5) {
            panic!("{INJECTED}");
        }
    };
    let (alerts, letters) = system(async {
        ensure_topics(&*log, &config).await;
        let running = Running::start(around(&config, &log, Arc::new(hook)), &rules, Vec::new()).await;
        let records = (0..20).map(|n| record(&config, "in", 0, event(n, json!({ "id": n }))));
        running.append(records.collect()).await;
        end_time(&running).await;
        let found = (running.alerts().await, running.dead_letters().await);
        running.drain().await;
        found
    });
    assert_eq!(alerts.len(), 18);
    assert_eq!(letters.iter().map(|letter| letter.offset).collect::<BTreeSet<_>>(), BTreeSet::from([3, 5]));
}

#[test]
fn a_stage_that_keeps_failing_escalates() {
    for stage in ["detect", "correlate"] {
        let mut config = config(&["in"]);
        config.supervisor.restarts_max = 3;
        let log: Arc<dyn Log> = MemoryLog::new();
        let hook = move |found: &'static str, _: &TopicPartition, _: u64| {
            if found == stage {
                panic!("{INJECTED}");
            }
        };
        let (escalation, restarts) = system(async {
            ensure_topics(&*log, &config).await;
            let mut running = Running::start(around(&config, &log, Arc::new(hook)), &rules(EACH), Vec::new()).await;
            running.append((0..9).map(|n| record(&config, "in", 0, event(n, json!({ "id": n })))).collect()).await;
            let escalation = running.escalations.recv().await.expect("an escalation");
            (escalation, running.restarts(stage))
        });
        assert_eq!(escalation.stage, stage);
        assert!(escalation.reason.contains(INJECTED), "{}", escalation.reason);
        assert!(restarts > 3, "{restarts} restarts");
    }
}
