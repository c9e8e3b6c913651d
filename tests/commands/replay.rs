//! `tripline replay`: files in, alerts out, and every number and record accounted for.

use std::{
    io::{BufRead, BufReader, Write},
    process::Stdio,
};

use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};

use super::{EACH, Folder, Ran, event, json_lines, repository};

/// Two rules in a folder: [`EACH`], and one that reads the input `web` only.
fn folder() -> Folder {
    let folder = Folder::new();
    let web = EACH.replace("\"each\"", "\"web-only\"").replace("by: [\"k\"],", "by: [\"k\"], input: \"web\",");
    folder.write("rules/each.rhai", EACH).write("rules/web.rhai", web);
    folder
}

/// `[rule, key, input, partition, offset]` of each alert.
fn places(ran: &Ran) -> Vec<Value> {
    let place = |alert: Value| {
        let trigger = &alert["trigger"];
        json!([alert["rule"]["id"], alert["key"][0], trigger["input"], trigger["partition"], trigger["offset"]])
    };
    ran.json().into_iter().map(place).collect()
}

#[test]
fn each_file_is_a_partition_of_its_input_numbered_as_given() {
    let folder = folder();
    folder.write("a", event(0, "a")).write("b", event(1, "b")).write("c", event(2, "c")).write("d", event(3, "d"));
    let ran = folder.run("replay --rules rules --input web=a app=b --input web=c app=d --format json").exits(0);
    assert_eq!(
        places(&ran),
        [
            json!(["each", "a", "web", 0, 0]),
            json!(["web-only", "a", "web", 0, 0]),
            json!(["each", "b", "app", 0, 0]),
            json!(["each", "c", "web", 1, 0]),
            json!(["web-only", "c", "web", 1, 0]),
            json!(["each", "d", "app", 1, 0]),
        ]
    );
}

#[test]
fn a_file_without_a_name_is_read_by_every_rule() {
    let folder = folder();
    folder.write("a", event(0, "a")).write("b", event(1, "b"));
    let ran = folder.run("replay --rules rules --input a app=b --format json").exits(0);
    assert_eq!(
        places(&ran),
        [
            json!(["each", "a", "default", 0, 0]),
            json!(["web-only", "a", "default", 0, 0]),
            json!(["each", "b", "app", 0, 0])
        ]
    );
}

#[test]
fn a_file_whose_name_has_an_equals_sign_can_be_named() {
    let folder = folder();
    folder.write("a=b", event(0, "x")).write("sub/c=d", event(1, "y")).write("e=f", event(2, "z"));
    let ran = folder.run("replay --rules rules/each.rhai --input a=b sub/c=d web=./e=f --format json").exits(0);
    assert_eq!(
        places(&ran),
        [
            json!(["each", "x", "default", 0, 0]),
            json!(["each", "y", "default", 1, 0]),
            json!(["each", "z", "web", 0, 0])
        ]
    );
}

#[test]
fn an_offset_is_the_number_of_the_line() {
    let folder = folder();
    let log = format!("{}\n\r\n{}not an event\n{}", event(0, "a"), event(1, "b"), event(2, "c").trim_end());
    let ran = folder.write("log", log).run("replay --rules rules --input log --format json").exits(0);
    assert_eq!(
        places(&ran),
        [
            json!(["each", "a", "default", 0, 0]),
            json!(["web-only", "a", "default", 0, 0]),
            json!(["each", "b", "default", 0, 3]),
            json!(["web-only", "b", "default", 0, 3]),
            json!(["each", "c", "default", 0, 5]),
            json!(["web-only", "c", "default", 0, 5]),
        ]
    );
}

#[test]
fn alerts_come_in_order_of_time_rule_key_id_and_state() {
    let folder = folder();
    let opens = EACH.replace("\"each\"", "\"opens\"").replace("by:", "suppress: \"10s\", by:");
    folder.write("rules/opens.rhai", opens);
    let log: String =
        [(7, "b"), (7, "a"), (3, "z"), (13, "z"), (0, "c")].map(|(second, key)| event(second, key)).concat();
    let ran = folder.write("log", log).run("replay --rules rules --input log --lateness 20s --format json").exits(0);
    let order = |alert: &Value| {
        let text = |value: &Value| value.as_str().unwrap_or_else(|| panic!("{value}")).to_owned();
        let time: jiff::Timestamp = text(&alert["time"]).parse().expect("a time");
        (time, text(&alert["rule"]["id"]), text(&alert["key"][0]), text(&alert["id"]), alert["state"] == "closed")
    };
    let found: Vec<_> = ran.json().iter().map(order).collect();
    // three rules, five events; `opens` opens once for each of four keys, and closes each
    assert_eq!(found.len(), 5 + 5 + 4 + 4, "{found:?}");
    assert!(found.is_sorted(), "{found:?}");
}

#[test]
fn compressed_files_and_standard_input_give_what_the_plain_file_gives() {
    let folder = folder();
    let log: String = (0..500).map(|second| event(second, &format!("k{}", second % 7))).collect();
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(log.as_bytes()).expect("memory");
    let gzip = gzip.finish().expect("memory");
    folder
        .write("log", &log)
        .write("log.gz", &gzip)
        .write("log.zst", zstd::encode_all(log.as_bytes(), 1).expect("memory"));
    let plain = folder.run("replay --rules rules --input log --format json").exits(0);
    assert_eq!(plain.json().len(), 1_000);
    for file in ["log.gz", "log.zst"] {
        let ran = folder.run(&format!("replay --rules rules --input {file} --format json")).exits(0);
        assert!(ran.stdout == plain.stdout, "{file} gives other alerts");
    }
    for input in [log.as_bytes(), &gzip] {
        let ran = folder.run_with_stdin("replay --rules rules --input - --format json", input).exits(0);
        assert!(ran.stdout == plain.stdout, "standard input gives other alerts");
    }
    let twice = folder.run("replay --rules rules --input - web=-").exits(2);
    assert!(twice.stderr.contains("standard input"), "{}", twice.stderr);
}

#[test]
fn the_summary_is_one_object_with_every_count() {
    let folder = folder();
    folder.write("rules/bad.rhai", "rule(#{ id: \"bad\", severty: \"low\", tilte: \"x\", severity: \"odd\" });");
    let log = format!("{}{}not an event\n", event(0, "a"), event(1, "b").replace(r#","k":"b""#, ""));
    folder.write("log", log);
    let counts = json!({
        "events": 3, "decoded": 2, "dead_letters": 1, "late": 0, "duplicates": 0, "missing_key": 2, "evicted": 0,
        "quarantined": 0, "alerts": 2, "rules_loaded": 2, "rules_refused": 1,
    });
    let ran = folder.run("replay --rules rules --input log --format json --summary counts.json").exits(1);
    assert_eq!(json_lines(&folder.read("counts.json")), std::slice::from_ref(&counts));
    assert_eq!(ran.json().len(), 2);
    let ran = folder.run("replay --rules rules --input log --format json --summary -").exits(1);
    assert_eq!(ran.json().last(), Some(&counts));
    let ran = folder.run("replay --rules rules --input log --format json").exits(1);
    let line = "3 events, 2 decoded, 1 dead letters, 0 late, 0 duplicates, 2 missing key, 0 evicted, 0 quarantined, \
                2 alerts, 2 rules loaded, 1 rules refused\n";
    assert!(ran.stderr.ends_with(line), "{}", ran.stderr);
    assert_eq!(ran.json().len(), 2);
}

#[test]
fn dead_letters_name_their_place_and_keep_their_bytes() {
    let folder = folder();
    folder.write("log", [event(0, "a").as_bytes(), b"\xff\x00\n{\"time\":\n", event(1, "b").as_bytes()].concat());
    let ran = folder.run("replay --rules rules --input web=log --format json --dead-letters dead").exits(0);
    assert_eq!(ran.json().len(), 4);
    let dead = json_lines(&folder.read("dead"));
    let kept: Vec<Value> = dead
        .iter()
        .map(|letter| {
            json!([letter["input"], letter["partition"], letter["offset"], letter["stage"], letter["raw_base64"]])
        })
        .collect();
    assert_eq!(kept, [json!(["web", 0, 1, "decode", "/wA="]), json!(["web", 0, 2, "decode", "eyJ0aW1lIjo="])]);
    assert!(dead.iter().all(|letter| letter["reason"].as_str().is_some_and(|reason| !reason.is_empty())), "{dead:?}");
    let ran = folder.run("replay --rules rules --input web=log --format json --dead-letters -").exits(0);
    assert_eq!(ran.json().iter().filter(|line| line["stage"] == "decode").count(), 2);
    assert_eq!(ran.json().len(), 6);
}

#[test]
fn text_is_for_people_and_stays_plain_in_a_pipe() {
    let folder = folder();
    let ran = folder.write("log", event(0, "a\\u001b[31m")).run("replay --rules rules/each.rhai --input log").exits(0);
    assert!(ran.stdout.starts_with("2024-05-01T10:00:00Z  LOW"), "{}", ran.stdout);
    assert!(!ran.stdout.contains('\u{1b}') && ran.stdout.contains("k="), "{}", ran.stdout);
}

#[test]
fn what_can_not_be_read_exits_2_and_is_named() {
    let folder = folder();
    let mut cut = GzEncoder::new(Vec::new(), Compression::fast());
    cut.write_all(event(0, "a").repeat(50).as_bytes()).expect("memory");
    let cut = cut.finish().expect("memory");
    folder.write("log", event(0, "a")).write("cut.gz", &cut[..cut.len() / 2]).write("odd.gz", b"\x1f\x8bnot gzip");
    folder.write("odd.zst", b"\x28\xb5\x2f\xfdnot zstd");
    for named in ["missing", "rules", "cut.gz", "odd.gz", "odd.zst"] {
        let ran = folder.run(&format!("replay --rules rules --input log {named}")).exits(2);
        assert!(ran.stderr.lines().any(|line| line.starts_with(&format!("error: {named}: "))), "{}", ran.stderr);
        assert_eq!(ran.stdout, "");
    }
    let ran = folder.run("replay --rules nowhere --input log").exits(2);
    assert!(ran.stderr.starts_with("error: nowhere: No such file"), "{}", ran.stderr);
    for option in ["--summary", "--dead-letters"] {
        let ran = folder.run(&format!("replay --rules rules --input log {option} no/where")).exits(2);
        assert!(ran.stderr.starts_with("error: no/where: can't be written"), "{}", ran.stderr);
        assert_eq!(ran.stdout, "", "nothing is read for a result that can't be written");
    }
}

#[test]
fn a_rule_that_does_not_load_exits_1_and_the_others_run() {
    let folder = folder();
    folder.write("rules/bad.rhai", "rule(#{ id: 5 });").write("log", event(0, "a"));
    let ran = folder.run("replay --rules rules --input log --format json").exits(1);
    assert_eq!(ran.json().len(), 2);
    assert!(ran.stderr.contains("rules/bad.rhai:1:"), "{}", ran.stderr);
}

#[test]
fn a_script_that_fails_is_told_of_and_set_aside_and_the_others_go_on() {
    let folder = folder();
    let fails =
        EACH.replace("\"each\"", "\"fails\"").replace("e.x == 1", "{ let n = 0; while true { n += 1; } n == 1 }");
    let fails = fails.split("    tests:").next().expect("a rule").to_owned() + "});";
    folder.write("rules/fails.rhai", fails).write("log", (0..30).map(|second| event(second, "a")).collect::<String>());
    let ran = folder.run("replay --rules rules --input log --format json --summary counts").exits(0);
    assert_eq!(ran.json().len(), 60);
    assert!(ran.stderr.contains("warning: scripts of fails failed 10 times, quarantined: "), "{}", ran.stderr);
    assert_eq!(json_lines(&folder.read("counts"))[0]["quarantined"], 1);
}

#[test]
fn a_reader_that_goes_away_is_no_failure_and_files_are_whole() {
    let folder = folder();
    folder.write("log", (0..5_000).map(|second| event(second, "a")).collect::<String>());
    let mut child = folder
        .command("replay --rules rules --input log --format json --summary counts")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut first = String::new();
    let mut reader = BufReader::new(child.stdout.take().expect("a pipe"));
    reader.read_line(&mut first).expect("a line");
    drop(reader);
    let ran = Ran::from(child.wait_with_output().expect("the program ends")).exits(0);
    assert_eq!(json_lines(&first).len(), 1);
    assert!(!ran.stderr.contains("roken pipe"), "{}", ran.stderr);
    assert_eq!(json_lines(&folder.read("counts"))[0]["alerts"], 10_000);
}

#[test]
fn raw_logs_of_every_kind_are_told_apart() {
    let folder = Folder::new();
    let (rules, demo) = (repository().join("rules"), repository().join("examples/demo"));
    let (rules, demo) = (rules.display(), demo.display());
    let ran = folder
        .run(&format!(
            "replay --rules {rules} --input {demo}/auth.log {demo}/access.log {demo}/events.ndjson --format json"
        ))
        .exits(0);
    let fired: Vec<Value> = ran.json().into_iter().filter(|alert| alert["state"] != "closed").collect();
    for rule in ["ssh-brute-force-success", "web-scan", "windows-logon-spray"] {
        assert!(fired.iter().any(|alert| alert["rule"]["id"] == rule), "{rule}");
    }
    assert!(ran.stderr.contains(", 0 dead letters, "), "{}", ran.stderr);
}
