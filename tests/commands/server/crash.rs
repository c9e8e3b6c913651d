//! kill -9 in the middle of ingesting: nothing acknowledged is lost, and no alert is in the alerts log twice.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use super::{Answer, EACH, Folder, Server, Stopped, configuration, event, eventually};

/// Fires when a key has come three times.
const THRICE: &str = r#"rule(#{
    id: "thrice", title: "Thrice", severity: "low", by: ["g"], within: "1h",
    events: #{ p: |e| e.x == 1 }, sequence: [times(3, "p")],
});
"#;

const KILLS: u64 = 3;
/// Batches that are acknowledged before each kill, and events in one.
const BATCHES: u64 = 25;
const BATCH: u64 = 40;
const SENDERS: u64 = 2;

/// Room for the senders' disorder and for a busy machine.
const INPUT: (&str, &str) = ("+input", "name = \"http\"\ntype = \"http\"\nlateness = \"5s\"\nidle_timeout = \"2s\"\n");

/// The events of batch `number`: each has a key of its own, and shares `g` with one in each of two other batches.
fn batch(number: u64) -> String {
    let line = |at: u64| {
        let line = event(number as i64, &format!("{number}-{at}"));
        line.replace("\"x\":1", &format!("\"x\":1,\"g\":\"g{}-{at}\"", number / 3))
    };
    (0..BATCH).map(line).collect()
}

/// Posts batches from `next` on until the server is gone; gives those that were acknowledged.
fn send(server: &Server, next: &AtomicU64, acknowledged: &Mutex<BTreeSet<u64>>) {
    loop {
        let number = next.fetch_add(1, Ordering::SeqCst);
        let request = format!("POST /v1/events?key=k{} HTTP/1.1", number % 3);
        match Answer::to(server.http, &request, batch(number).as_bytes()) {
            Ok(answer) if answer.status == 200 => acknowledged.lock().expect("no sender fails").insert(number),
            _ => return,
        };
    }
}

#[test]
fn after_kill_9_all_that_was_acknowledged_is_evaluated_and_no_alert_is_committed_twice() {
    let folder = Folder::new();
    folder.write("rules/each.rhai", EACH).write("rules/thrice.rhai", THRICE);
    folder.write("tripline.toml", configuration(&[INPUT]));
    let next = AtomicU64::new(0);
    let acknowledged = Mutex::new(BTreeSet::new());
    let count = || acknowledged.lock().expect("no sender fails").len() as u64;
    for kill in 1..=KILLS {
        let server = Server::start(&folder);
        let id = server.child.id();
        thread::scope(|scope| {
            for _ in 0..SENDERS {
                scope.spawn(|| send(&server, &next, &acknowledged));
            }
            eventually("batches are acknowledged", || Some(()).filter(|()| count() >= kill * BATCHES));
            server.signal("KILL");
        });
        assert_eq!(server.child.id(), id);
        server.kill();
    }
    let acknowledged = acknowledged.into_inner().expect("no sender fails");
    let server = Server::start(&folder);
    let singles: BTreeSet<String> =
        acknowledged.iter().flat_map(|number| (0..BATCH).map(move |at| format!("{number}-{at}"))).collect();
    let whole = |group: &u64| (group * 3..group * 3 + 3).all(|number| acknowledged.contains(&number));
    let groups: BTreeSet<String> = (0..next.load(Ordering::SeqCst) / 3)
        .filter(whole)
        .flat_map(|group| (0..BATCH).map(move |at| format!("g{group}-{at}")))
        .collect();
    assert!(groups.len() as u64 > BATCH, "{acknowledged:?}");
    eventually("every alert of what was acknowledged is in the file", || {
        let archived = fs::read_to_string(folder.path("alerts.ndjson")).unwrap_or_default();
        let keys = keys_of(archived.lines().filter_map(|line| serde_json::from_str(line).ok()));
        let has =
            |rule: &str, expected: &BTreeSet<String>| keys.get(rule).is_some_and(|found| found.is_superset(expected));
        Some(()).filter(|()| has("each", &singles) && has("thrice", &groups))
    });
    server.stops_well();

    let alerts = Stopped::at(&folder.path("data")).alerts();
    let ids: BTreeSet<&str> = alerts.iter().map(|alert| &*alert.id).collect();
    assert_eq!(ids.len(), alerts.len(), "an alert is in the alerts log once");
    let subjects: BTreeSet<(&str, &str)> = alerts.iter().map(|alert| (alert.rule_id(), &*alert.key[0])).collect();
    assert_eq!(subjects.len(), alerts.len(), "no event fired twice under two ids");
    let archived = fs::read_to_string(folder.path("alerts.ndjson")).expect("the file");
    let archived: Vec<tripline::alert::Alert> =
        archived.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let delivered: BTreeSet<&str> = archived.iter().map(|alert| &*alert.id).collect();
    assert_eq!(delivered, ids, "what is repeated has the id that it had, and nothing is left out");
}

/// The first key elements of each rule's alerts.
fn keys_of(alerts: impl Iterator<Item = tripline::alert::Alert>) -> BTreeMap<String, BTreeSet<String>> {
    let mut keys: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for alert in alerts {
        keys.entry(alert.rule_id().to_owned()).or_default().insert(alert.key[0].to_string());
    }
    keys
}
