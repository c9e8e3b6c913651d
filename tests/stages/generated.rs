//! A generated input with all that makes order hard: ties in time, disorder within lateness, two inputs, keys that
//! cross partitions, arrays and missing fields; and rules of every kind over it.
//!
//! Events of one time come from one host, and a host's records share a partition: so the order of ties is the same
//! however many partitions there are.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::{Value as Json, json};
use tripline::{
    alert::Alert,
    config::Config,
    decode::{Decoder, Timing},
    detect::Raw,
    event::Timestamp,
    log::Record,
    replay::{Options, Replay, ReplaySource, Until},
    rule::RuleSet,
    stage::limits,
};

use super::harness::{record, sorted};

pub const INPUTS: [&str; 2] = ["auth", "web"];

/// Where the generated time starts: 2024-01-01T00:00:00Z.
const START_MS: i64 = 1_704_067_200_000;

/// Events arrive up to this much after later ones: within the lateness of 10 s.
const JITTER_MS_MAX: i64 = 9_900;

/// The last event of each partition is so much later that all timers are due before.
const AFTERMATH_MS: i64 = 30 * 24 * 3600 * 1000;

pub const RULES: &str = r#"
rule(#{ id: "single", title: "one", severity: "low", input: "auth",
    event: |e| e.event.action == "sudo", by: ["user.name"],
    alert: |w| #{ title: `${w.key[0]} ran ${w.event.last.process.name}`, user: w.event.last.user.name } });

rule(#{ id: "anyone", title: "without a key", severity: "info",
    event: |e| e.http.status == 500 && e.url.path != "/health" });

rule(#{ id: "count", title: "many failures", severity: "high",
    event: |e| e.event.action == "login" && e.event.outcome == "failure",
    by: ["source.ip"], within: "30s", when: |w| w.event.count >= 5,
    alert: |w| #{ title: `${w.event.count} failures`, users: w.event.distinct("user.name") } });

rule(#{ id: "spray", title: "many users", severity: "high", input: "auth",
    events: #{ failure: |e| e.event.action == "login" && e.event.outcome == "failure" },
    by: ["source.ip"], within: "1m", when: |w| w.failure.distinct("user.name") >= 3, suppress: "40s" });

rule(#{ id: "brute", title: "failures, then success", severity: "critical",
    events: #{
        failure: |e| e.event.action == "login" && e.event.outcome == "failure",
        success: |e| e.event.action == "login" && e.event.outcome == "success",
    },
    by: ["source.ip"], within: "1m", sequence: [times(3, "failure"), "success"],
    alert: |w| #{ title: `${w.key[0]} as ${w.success.last.user.name} after ${w.failure.count}` },
    suppress: "2m", suppress_max: "3m" });

rule(#{ id: "steps", title: "sequence of any", severity: "medium",
    events: #{
        login: |e| e.event.action == "login",
        sudo: |e| e.event.action == "sudo",
        scan: |e| e.event.action == "get" && e.http.status >= 400,
    },
    by: ["user.name"], within: "20s", sequence: ["login", any("scan", "sudo"), "login"] });

rule(#{ id: "both", title: "a key of its own for each pattern", severity: "medium",
    events: #{
        failure: |e| e.event.outcome == "failure",
        scan: |e| e.event.action == "get" && e.http.status == 404,
    },
    by: #{ failure: ["source.ip"], scan: ["client.ip"] }, within: "45s",
    all_of: [times(2, "failure"), times(2, "scan")], suppress: "10s" });

rule(#{ id: "either", title: "one or the other", severity: "low",
    events: #{ sudo: |e| e.event.action == "sudo", scan: |e| e.http.status == 404 },
    by: ["user.name"], within: "25s", any_of: [times(3, "sudo"), times(4, "scan")] });

rule(#{ id: "tags", title: "arrays are keys", severity: "low",
    event: |e| exists(e.labels), by: ["labels", "roles"], within: "20s", when: |w| w.event.count >= 4,
    suppress: "15s" });

rule(#{ id: "global", title: "one window for all", severity: "low",
    event: |e| e.event.action == "login" && e.event.outcome == "success", within: "15s",
    when: |w| w.event.count >= 6 && w.event.sum("session.bytes") > 100, suppress: "30s" });

rule(#{ id: "open-at-once", title: "suppress without a window", severity: "low",
    event: |e| e.http.status == 404, by: ["client.ip"], suppress: "20s" });

rule(#{ id: "chained", title: "two rules on one address", severity: "critical", input: "alerts",
    event: |e| e.rule.id in ["count", "spray", "brute"], by: ["key"], within: "2m",
    when: |w| w.event.distinct("rule.id") >= 2, suppress: "1m" });

rule(#{ id: "each-alert", title: "alerts by themselves", severity: "info", input: "alerts",
    event: |e| e.rule.id == "single" && e.fields.user != "user-0", by: ["key"],
    alert: |w| #{ title: `again: ${w.event.last.title}` } });

rule(#{ id: "after", title: "an alert, then an event", severity: "high", input: ["alerts", "auth"],
    events: #{ alert: |e| e.rule.id == "spray", sudo: |e| e.event.action == "sudo" }, within: "30s",
    sequence: ["alert", "sudo"] });

rule(#{ id: "writer", title: "adds whom it saw", severity: "low", input: "auth",
    event: |e| e.event.action == "login" && e.event.outcome == "failure", by: ["source.ip"], within: "8s",
    when: |w| w.event.count >= 3,
    then: |w| { list_add("suspects", w.key[0], "45s"); list_add("users", w.event.last.user.name, "20s"); } });

rule(#{ id: "sudoer", title: "a writer without a window", severity: "low", input: "auth",
    event: |e| e.event.action == "sudo", by: ["user.name"], then: |w| list_add("users", w.key[0], "10s") });

rule(#{ id: "reader", title: "asks a list", severity: "high",
    event: |e| e.event.action in ["get", "login"] && e.event.outcome != "failure"
        && (in_list(e.client.ip, "suspects") || in_list(e.source.ip, "suspects")),
    by: ["user.name"] });

rule(#{ id: "stranger", title: "asks two lists, one for what is not there", severity: "high", input: "web",
    event: |e| e.event.action == "get" && in_list(e.user.name, "users") && !in_list(e.client.ip, "suspects"),
    by: ["client.ip"], within: "30s", when: |w| w.event.count >= 2, suppress: "10s" });

rule(#{ id: "closings", title: "long ones", severity: "low", input: "alerts",
    event: |e| e.state == "closed" && e.suppressed >= 2, by: ["rule.id"], within: "10m",
    all_of: [times(2, "event")] });
"#;

/// Correlations, some of others, over the same events.
pub const CORRELATIONS: &str = "
title: failure
name: failure
logsource: {category: login}
detection: {selection: {event.action: login, event.outcome: failure}, condition: selection}
---
title: success
name: success
logsource: {category: login}
detection: {selection: {event.action: login, event.outcome: success}, condition: selection}
---
title: failures
name: failures
correlation: {type: event_count, rules: failure, group-by: source.ip, timespan: 30s, condition: {gte: 3}}
---
title: a user among those of many failures
correlation: {type: temporal_ordered, rules: [failures, success], group-by: user.name, timespan: 1m}
---
title: addresses with failures
correlation: {type: value_count, rules: failures, timespan: 2m, condition: {field: source.ip, gte: 3}}
---
title: few logins
correlation: {type: event_count, rules: [failure, success], group-by: source.ip, timespan: 5s, condition: {eq: 2}}
---
title: no success after all
correlation: {type: temporal, condition: failure and not success, group-by: source.ip, timespan: 5s}
---
title: users of two outcomes
correlation:
    type: value_count
    rules: [failure, success]
    group-by: source.ip
    timespan: 1m
    condition: {field: [user.name, event.outcome], gte: 3}
";

/// A record before it has a partition.
pub struct Sent {
    input: &'static str,
    host: u32,
    body: String,
}

/// Events with their inputs and partitions, in the order in which they arrive.
pub struct Partitioned {
    records: Vec<(&'static str, u32, String)>,
    /// How many of each input.
    partitions: u32,
}

/// Events in the order in which they arrive.
pub fn events(seed: u64, count: usize) -> Vec<Sent> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut arrivals = Vec::new();
    let mut time = START_MS;
    while arrivals.len() < count {
        time += random.random_range(1..700);
        let host = random.random_range(0..9);
        let tied = if random.random_bool(0.25) { random.random_range(2..5) } else { 1 };
        for _ in 0..tied {
            let input = INPUTS[usize::from(random.random_bool(0.35))];
            let body = event(&mut random, input, time, host);
            let arrival = time + random.random_range(0..JITTER_MS_MAX);
            arrivals.push((arrival, Sent { input, host, body: body.to_string() }));
        }
    }
    arrivals.sort_by_key(|(arrival, _)| *arrival);
    arrivals.into_iter().map(|(_, sent)| sent).collect()
}

fn event(random: &mut StdRng, input: &str, time_ms: i64, host: u32) -> Json {
    let mut event = json!({
        "@timestamp": Timestamp::from_millis(time_ms).to_string(),
        "host": { "name": format!("host-{host}") },
        "user.name": format!("user-{}", random.random_range(0..6)),
    });
    let address = format!("203.0.113.{}", random.random_range(1..7));
    let fields = match (input, random.random_range(0..10)) {
        ("auth", 0..=5) => json!({
            "event": { "action": "login", "outcome": "failure" }, "source": { "ip": address },
        }),
        ("auth", 6..=7) => json!({
            "event": { "action": "login", "outcome": "success" }, "source.ip": address,
            "session": { "bytes": random.random_range(0..100) },
        }),
        ("auth", _) => json!({
            "event.action": "sudo", "process": { "name": "vi" },
            "labels": (0..random.random_range(0..4)).map(|_| random.random_range(0..4)).collect::<Vec<i32>>(),
            "roles": ["a", "b"],
        }),
        (_, n) => {
            let status = [200, 404, 500][n % 3];
            json!({ "event.action": "get", "http": { "status": status }, "client.ip": address, "url.path": "/x" })
        }
    };
    let entries = event.as_object_mut().expect("an object");
    entries.extend(fields.as_object().expect("an object").clone());
    // Fields that a key needs are missing in one event of ten.
    if random.random_bool(0.1) {
        let lost = ["source", "source.ip", "user.name", "labels", "client.ip"][random.random_range(0..5)];
        if let Some(value) = entries.get_mut(lost) {
            *value = [Json::Null, json!(""), json!([])][random.random_range(0..3)].clone();
        }
    }
    event
}

/// Spreads events over partitions by their hosts, and ends each partition with an event long after all others.
pub fn partitioned(events: &[Sent], partitions: u32) -> Partitioned {
    let place = |sent: &Sent| (sent.input, sent.host % partitions, sent.body.clone());
    let mut records: Vec<_> = events.iter().map(place).collect();
    let last = json!({ "@timestamp": aftermath().to_string(), "event.action": "none" }).to_string();
    for input in INPUTS {
        records.extend((0..partitions).map(|partition| (input, partition, last.clone())));
    }
    Partitioned { records, partitions }
}

/// The time of the last event of every partition.
fn aftermath() -> Timestamp {
    Timestamp::from_millis(START_MS + AFTERMATH_MS)
}

/// No frontier that is after this waits for anything of the generated events.
pub fn end_of_time() -> Timestamp {
    aftermath().minus(Duration::from_secs(60))
}

/// The records as their receivers would write them, a batch at a time; the last events come together.
pub fn batches(config: &Config, parts: &Partitioned) -> Vec<Vec<Record>> {
    let records = |records: &[(&'static str, u32, String)]| -> Vec<Record> {
        records.iter().map(|(input, partition, body)| record(config, input, *partition, body.as_str())).collect()
    };
    let (events, last) = parts.records.split_at(parts.records.len() - INPUTS.len() * parts.partitions as usize);
    events.chunks(40).chain([last]).map(records).collect()
}

/// What `replay` says of the same records.
pub fn replay(config: &Config, rules: &Arc<RuleSet>, parts: &Partitioned) -> Vec<Alert> {
    let options = Options {
        lateness: config.inputs[0].lateness,
        signals_partitions: 1,
        limits: limits(config),
        quarantine_after: config.detect.quarantine_after,
    };
    let mut queues: BTreeMap<(&str, u32), Vec<&str>> = BTreeMap::new();
    for (input, partition, body) in &parts.records {
        queues.entry((input, *partition)).or_default().push(body);
    }
    let source = |(input, partition): &(&str, u32)| ReplaySource {
        input: (*input).into(),
        partition: *partition,
        decoder: Decoder::new(
            &config.inputs[0].decode_spec(),
            config.detect.decode_limits(),
            Timing::Replay { year: 2024 },
        )
        .expect("a decoder"),
    };
    let mut replay = Replay::new(rules, queues.keys().map(source).collect(), options, Until::Infinity);
    let queues: Vec<_> = queues.into_values().collect();
    let mut next = vec![0; queues.len()];
    while let Some(source) = replay.furthest_behind(|source| next[source] < queues[source].len()) {
        let bytes = queues[source][next[source]].as_bytes();
        replay.read(source, Raw { offset: next[source] as u64, bytes, timestamp_ms: None, clock: None });
        next[source] += 1;
        if next[source] == queues[source].len() {
            replay.end_of(source);
        }
    }
    assert_eq!((replay.totals().late, replay.totals().dead_letters), (0, 0), "the input keeps its promises");
    sorted(replay.finish())
}
