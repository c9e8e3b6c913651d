//! `tripline bench kafka`, small: every row is there, and what was planted came out.

use std::{
    collections::BTreeMap,
    process::{Command, Stdio},
    time::Duration,
};

use rdkafka::{
    ClientConfig,
    consumer::{BaseConsumer, Consumer},
};
use serde_json::Value;

use super::{
    broker::broker,
    e2e::process::{signal, until},
};

const EVENTS: u64 = 3_000;
const KEYS: u64 = 300;
const PATIENCE: Duration = Duration::from_secs(60);

fn command(arguments: &[&str]) -> Command {
    let numbers =
        ["--events", &EVENTS.to_string(), "--keys", &KEYS.to_string(), "--rule-count", "20"].map(str::to_owned);
    let mut command = Command::new(env!("CARGO_BIN_EXE_tripline"));
    command.args(["bench", "kafka", "--bootstrap", &broker().bootstrap, "--json"]).args(numbers).args(arguments);
    command
}

fn bench(arguments: &[&str]) -> BTreeMap<String, Value> {
    let ran = command(arguments).output().expect("the program starts");
    let (stdout, stderr) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success(), "{stderr}");
    let row = |line: &str| -> Value { serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")) };
    let named = |row: Value| (row["name"].as_str().expect("a name").to_owned(), row);
    stdout.lines().map(row).map(named).collect()
}

/// Topics and groups of any bench.
fn left_on_the_broker() -> Vec<String> {
    let client: BaseConsumer =
        ClientConfig::new().set("bootstrap.servers", &broker().bootstrap).create().expect("a client");
    let metadata = client.fetch_metadata(None, PATIENCE).expect("metadata");
    let groups = client.fetch_group_list(None, PATIENCE).expect("groups");
    let topics = metadata.topics().iter().map(|topic| topic.name().to_owned());
    let names = topics.chain(groups.groups().iter().map(|group| group.name().to_owned()));
    names.filter(|name| name.starts_with("tripline-bench-")).collect()
}

#[test]
fn every_row_is_there_and_what_was_planted_came_out() {
    let rows = bench(&["--rounds", "1"]);
    for (name, row) in &rows {
        let positive = |key: &str| row[key].as_f64().is_some_and(|figure| figure > 0.0);
        assert!(positive("cpu_us_per_event") && positive("ratio"), "{row}");
        assert!(row["baseline"].as_str().is_some_and(|baseline| rows.contains_key(baseline)), "{row}");
        let events = if name.starts_with("restore") { KEYS } else { EVENTS };
        assert_eq!(row["events"], events, "{row}");
    }
    let steps = ["fetch only", "fetch and decode", "fetch, decode, match and signals out"];
    let drain = steps.map(|step| (format!("drain: {step}"), None));
    // So many signals; of each thousand that begin, the first is an alert, and if there are ten more, so are they.
    let piped = [
        ("delivery: at least once", 30, 2),
        ("delivery: exactly once", 30, 2),
        ("hop: 0.1 % match", 3, 1),
        ("hop: 1 % match", 30, 2),
        ("hop: 10 % match", 300, 2),
        ("scale: 1 partition", 30, 2),
        ("scale: 2 partitions", 30, 2),
        ("scale: 4 partitions", 30, 2),
    ];
    let piped = piped.map(|(name, signals, alerts)| (name.to_owned(), Some((signals, alerts))));
    let others = ["restore: changelog read", "restore: every line reads on"].map(|name| (name.to_owned(), None));
    let latency = ["latency: single-event rules", "latency: windowed rules"].map(|name| (name.to_owned(), None));
    let expected: BTreeMap<String, Option<(u64, u64)>> =
        drain.into_iter().chain(piped).chain(others).chain(latency).collect();
    assert_eq!(rows.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    for (name, planted) in &expected {
        if let Some((signals, alerts)) = planted {
            assert_eq!(
                (&rows[name]["signals"], &rows[name]["alerts"]),
                (&(*signals).into(), &(*alerts).into()),
                "{name}"
            );
        }
    }
    for rule in ["single-event", "windowed"] {
        let row = &rows[&format!("latency: {rule} rules")];
        let (p50, p99) = (row["p50_ms"].as_f64().expect("a median"), row["p99_ms"].as_f64().expect("a quantile"));
        assert!(row["alerts"].as_u64().is_some_and(|alerts| alerts > 0) && 0.0 < p50 && p50 <= p99, "{row}");
    }
    let again = bench(&["--rounds", "2", "--only", "drain"]);
    assert_eq!(again.len(), steps.len(), "{again:?}");
    nothing_is_left();
    an_interrupted_bench_takes_its_stages_and_topics_with_it();
}

/// In the same test: it looks at what every bench left.
fn an_interrupted_bench_takes_its_stages_and_topics_with_it() {
    let child = command(&["--only", "latency", "--rate", "1"]).stderr(Stdio::piped()).spawn().expect("it starts");
    // The group of the first stages: detect is in it when it reads.
    until("stages that run", || left_on_the_broker().iter().any(|name| name.ends_with(".1")).then_some(()));
    signal(&child, "-TERM");
    let ended = child.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(!ended.status.success() && said.contains("interrupted") && !said.contains("are left"), "{said}");
    nothing_is_left();
}

/// A broker that has agreed to a removal may name what it removes for a moment more.
fn nothing_is_left() {
    until("end of what the bench made", || left_on_the_broker().is_empty().then_some(()));
}
