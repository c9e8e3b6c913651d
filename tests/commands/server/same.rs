//! The same events through `replay` and through a server raise the same alerts, however many partitions they are
//! spread over.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Folder, Server, configuration, event, eventually};

const RULES: &str = r#"
rule(#{ id: "pair", title: "Pair", severity: "low", by: ["k"], within: "20s",
    events: #{ a: |e| e.x == 1, b: |e| e.x == 2 }, sequence: ["a", "b"] });
rule(#{ id: "many", title: "Many", severity: "low", by: ["k"], within: "30s", suppress: "5s",
    event: |e| e.x == 1, when: |w| w.event.count >= 4 });
rule(#{ id: "web", title: "Web", severity: "low", input: "web", by: ["k"], within: "10s",
    events: #{ b: |e| e.x == 2 }, sequence: [times(3, "b")] });
rule(#{ id: "single", title: "Single", severity: "low", by: ["k"], event: |e| e.x == 3 });
"#;

const HOSTS: u64 = 6;

/// A random walk that is the same everywhere (SplitMix64).
struct Walk(u64);

impl Walk {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

/// Lines of an input in the order in which they arrive: out of order by up to four seconds, with many at one time. A
/// key meets many hosts; of one second, a key has one host only.
fn lines(seed: u64, count: u64) -> Vec<(u64, String)> {
    let mut walk = Walk(seed);
    (0..count)
        .map(|number| {
            let second = number / 4 + 10 - walk.below(5);
            let key = walk.below(5);
            let host = (second * 7 + key) % HOSTS;
            let x = 1 + walk.below(3);
            let line = event(second as i64, &format!("k{key}"));
            (host, line.replace("\"x\":1", &format!("\"x\":{x},\"host\":{{\"name\":\"h{host}\"}}")))
        })
        .collect()
}

fn joined(lines: &[(u64, String)]) -> String {
    lines.iter().map(|(_, line)| line.as_str()).collect()
}

/// How often each `[rule, key, trigger time]` fired or opened.
fn tally(alerts: &[Value]) -> BTreeMap<String, usize> {
    let mut tally = BTreeMap::new();
    for alert in alerts.iter().filter(|alert| alert["state"] != "closed") {
        let subject = json!([alert["rule"]["id"], alert["key"], alert["trigger"]["time"]]).to_string();
        *tally.entry(subject).or_default() += 1;
    }
    tally
}

/// What a server with so many events partitions raises, when it has nothing more to say.
fn live(inputs: &[(&str, &[(u64, String)])], partitions: u32, expected: usize) -> Vec<Value> {
    let folder = Folder::new();
    let input = |name: &str| format!("name = \"{name}\"\ntype = \"http\"\nidle_timeout = \"4s\"\n");
    let (app, web) = (input("app"), input("web"));
    let config = configuration(&[("+input", &app), ("+input", &web)]);
    let config = config.replace("events_partitions = 2", &format!("events_partitions = {partitions}"));
    folder.write("rules/r.rhai", RULES).write("tripline.toml", config);
    let server = Server::start(&folder);
    // in slices, so that no partition waits for its first event while others go on
    for slice in 0..10 {
        for (name, lines) in inputs {
            let size = lines.len() / 10;
            server.feed(&format!("/v1/events?input={name}"), &joined(&lines[slice * size..(slice + 1) * size]));
        }
    }
    eventually("every signal has been walked", || {
        let alerts = server.stdout.all().iter().filter(|line| !line.contains("\"state\":\"closed\"")).count();
        let status = server.status();
        let all = |table: &str, name: &str| -> Vec<Value> {
            status[table].as_array().into_iter().flatten().map(|row| row[name].clone()).collect()
        };
        let still = all("sources", "idle").iter().all(|idle| idle == true)
            && all("signals", "buffered").iter().all(|buffered| buffered == 0);
        Some(()).filter(|()| alerts >= expected && still)
    });
    let status = server.status();
    for source in status["sources"].as_array().into_iter().flatten() {
        assert_eq!(source["late"], 0, "{source}");
    }
    let alerts = super::json_lines(&server.stdout.all().join("\n"));
    server.stops_well();
    alerts
}

#[test]
fn a_server_raises_the_alerts_that_replay_raises() {
    let folder = Folder::new();
    let (app, web) = (lines(1, 1_200), lines(2, 1_200));
    folder.write("rules/r.rhai", RULES).write("app", joined(&app)).write("web", joined(&web));
    let replay = folder.run("replay --rules rules --input app=app web=web --format json --until last").exits(0);
    let replayed = tally(&replay.json());
    for rule in ["pair", "many", "web", "single"] {
        let fired = replayed.keys().filter(|subject| subject.contains(rule)).count();
        assert!(fired > 10, "{rule} fired {fired} times: the input says too little");
    }
    for partitions in [1, 4] {
        let alerts = live(&[("app", &app), ("web", &web)], partitions, replayed.values().sum());
        assert_eq!(tally(&alerts), replayed, "{partitions} events partitions");
    }
}
