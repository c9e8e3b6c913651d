//! Rules that are pushed to a fleet: checked before, taken at a start, switched to by all, and seen by whoever asks.

use std::{
    collections::BTreeSet,
    process::{Command, Output},
};

use serde_json::{Value, json};

use super::{
    process::{Process, Site, until},
    story::{Writer, inputs},
};

fn counting(title: &str) -> String {
    format!(
        r#"rule(#{{ id: "count", title: "{title}", severity: "low", input: "auth", event: |e| e.kind == "hit",
            by: ["user.name"], within: "10m", when: |w| w.event.count >= 5 }});"#
    )
}

fn hit(writer: &Writer, site: &Site, seconds: u32) {
    let time = format!("2024-03-01T00:{:02}:{:02}Z", seconds / 60, seconds % 60);
    let event = json!({ "@timestamp": time, "kind": "hit", "user": { "name": "ada" } });
    writer.write(&site.topic("auth"), 0, event.to_string().as_bytes());
    writer.flush();
}

fn rules(site: &Site, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tripline"));
    command.arg("rules").args(arguments).arg("--config").arg(site.path().join("tripline.toml"));
    command.output().expect("the program starts")
}

/// Pushes a rule file; gives the revision.
fn push(site: &Site, text: &str) -> u64 {
    site.write_rules(text);
    let output = rules(site, &["push"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    fleet(site)["pushed"]["revision"].as_u64().expect("its revision")
}

fn fleet(site: &Site) -> Value {
    let output = rules(site, &["status", "--format", "json"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// Waits until so many processes say that they and all of their partitions run a revision.
fn all_run(site: &Site, processes: usize, revision: u64) -> Value {
    until("fleet that runs one revision", || {
        let fleet = fleet(site);
        let reports = fleet["processes"].as_array().expect("a list").clone();
        let count = |of: &str, what: &str| reports.iter().filter_map(|one| one[of][what].as_u64()).sum::<u64>();
        let has_it = |one: &Value| one["rules"]["revision"] == revision;
        let is_whole = |of, partitions| count(of, "partitions") == partitions && count(of, "switched") == partitions;
        let all = reports.len() == processes && reports.iter().all(has_it);
        (all && is_whole("sources", 4) && is_whole("signals", 6)).then_some(fleet)
    })
}

fn unknown_signals(processes: &[Process]) -> u64 {
    processes.iter().flat_map(|process| process.status().signals).map(|signals| signals.unknown_rule).sum()
}

#[test]
fn a_fleet_runs_what_is_pushed_and_switches_without_losing_a_window() {
    let site = Site::new("", &format!("{}\n[rules]\nsource = \"topic\"\n", inputs("1s")));
    let mut early = site.spawn(&[]);
    assert_eq!(early.ended().code(), Some(2));
    assert!(early.log().contains("tripline rules push"), "{}", early.log());

    let first = push(&site, &counting("before"));
    let mut processes = vec![site.start(), site.start()];
    all_run(&site, 2, first);
    let writer = Writer::new();
    (0..3).for_each(|second| hit(&writer, &site, second));
    until("signals of the first rules", || {
        let read: u64 = processes.iter().flat_map(|one| one.status().signals).map(|signals| signals.signals).sum();
        (read == 3).then_some(())
    });

    site.write_rules("rule(#{ id: \"count\", severity: \"lw\", event: |e| e.kind == \"hit\" });");
    let refused = rules(&site, &["push"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(said.contains("rules.rhai:1:") && said.contains("nothing was pushed"), "{said}");
    assert_eq!(fleet(&site)["pushed"]["revision"], first, "a bad set is never written");

    let second = push(&site, &format!("{}{}", counting("after"), counting("t").replace("\"count\"", "\"other\"")));
    assert!(second > first);
    all_run(&site, 2, second);
    (300..302).for_each(|second| hit(&writer, &site, second));
    let alert = until("the alert", || site.alerts().into_iter().next());
    assert_eq!((&alert["title"], &alert["counts"]["event"]), (&json!("after"), &json!(5)), "the window stayed");
    assert_eq!(unknown_signals(&processes), 0);

    let mut ended = processes.pop().expect("two processes");
    assert!(ended.terminate().success());
    assert_eq!(fleet(&site)["processes"].as_array().map(Vec::len), Some(1), "who leaves is gone from the list");
    let third = push(&site, &counting("third"));
    processes.push(site.start());
    assert_eq!(processes[1].status().rule_set.revision, Some(third), "it starts with what was pushed meanwhile");
    let fleet = all_run(&site, 2, third);
    let names: BTreeSet<&str> =
        fleet["processes"].as_array().expect("a list").iter().filter_map(|one| one["process"].as_str()).collect();
    let shown = String::from_utf8(rules(&site, &["status"]).stdout).expect("text");
    assert!(names.len() == 2 && names.iter().all(|name| shown.contains(name)), "{shown}");
    assert!(shown.starts_with(&format!("revision {third}, ")) && shown.contains("ready"), "{shown}");
}
