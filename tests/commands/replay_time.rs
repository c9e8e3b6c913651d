//! `tripline replay`: where the years, the late events and the end of time come from.

use std::{fs::File, time::SystemTime};

use serde_json::{Value, json};

use super::{EACH, Folder, Ran, at, event, events, json_lines};

const WINDOW: &str = r#"rule(#{
    id: "pair", title: "Pair", severity: "low", by: ["k"], within: "1m", suppress: "1h",
    events: #{ p: |e| e.x == 1 }, sequence: [times(2, "p")],
});
"#;

fn times(ran: &Ran) -> Vec<String> {
    ran.json().iter().map(|alert| alert["time"].as_str().expect("a time").to_owned()).collect()
}

/// `[rule, time, state]` of each alert.
fn fired(ran: &Ran) -> Vec<Value> {
    ran.json().iter().map(|alert| json!([alert["rule"]["id"], alert["time"], alert["state"]])).collect()
}

/// Lines without a year, from November to January.
fn yearless(folder: &Folder) {
    let rule = EACH.replace("e.x == 1", "e.process.name == \"app\"").replace("\"k\"", "\"host.name\"");
    let rule = rule.split("    tests:").next().expect("a rule").to_owned() + "});";
    folder.write("r.rhai", rule).write(
        "log",
        "Nov 30 23:59:59 web-1 app[1]: a\nDec 31 23:59:59 web-1 app[1]: b\nJan  1 00:00:01 web-1 app[1]: c\n",
    );
}

#[test]
fn a_time_without_a_year_has_the_files_and_steps_at_the_turn() {
    let folder = Folder::new();
    yearless(&folder);
    let written: jiff::Timestamp = "2019-12-31T23:59:59Z".parse().expect("a time");
    let file = File::options().append(true).open(folder.path("log")).expect("the log");
    file.set_modified(SystemTime::from(written)).expect("a file's time can be set");
    let ran = folder.run("replay --rules r.rhai --input log --format json").exits(0);
    assert_eq!(times(&ran), ["2019-11-30T23:59:59Z", "2019-12-31T23:59:59Z", "2020-01-01T00:00:01Z"]);
    let ran = folder.run("replay --rules r.rhai --input log --format json --year 2005").exits(0);
    assert_eq!(times(&ran), ["2005-11-30T23:59:59Z", "2005-12-31T23:59:59Z", "2006-01-01T00:00:01Z"]);
}

#[test]
fn on_standard_input_the_year_is_the_current_one() {
    let folder = Folder::new();
    yearless(&folder);
    let year = || jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).year();
    let before = year();
    let input = folder.read("log");
    let ran = folder.run_with_stdin("replay --rules r.rhai --input - --format json", input.as_bytes()).exits(0);
    let found: i16 = times(&ran)[0][..4].parse().expect("a year");
    assert!((before..=year()).contains(&found), "{found}");
}

#[test]
fn an_event_without_a_time_is_a_dead_letter() {
    let folder = Folder::new();
    folder.write("r.rhai", EACH).write("log", "{\"x\":1,\"k\":\"a\"}\n");
    folder.run("replay --rules r.rhai --input log --dead-letters dead").exits(0);
    let dead = json_lines(&folder.read("dead"));
    assert!(dead[0]["reason"].as_str().is_some_and(|reason| reason.starts_with("no_event_time")), "{dead:?}");
}

/// A hundred events in order, with two pairs among them whose second comes 25 s behind.
fn disordered() -> String {
    let mut log: Vec<String> = (0..100).map(|second| event(second * 10, &format!("k{second}"))).collect();
    log.insert(53, event(500 - 25, "late-1"));
    log.insert(84, event(800 - 25, "late-2"));
    log.concat()
}

#[test]
fn more_than_one_in_a_hundred_late_is_warned_of_with_a_lateness_that_would_do() {
    let folder = Folder::new();
    folder.write("r.rhai", WINDOW).write("log", disordered());
    let ran = folder.run("replay --rules r.rhai --input log --summary counts").exits(0);
    assert_eq!(json_lines(&folder.read("counts"))[0]["late"], 2);
    let named = ran.stderr.split("--lateness ").nth(1).and_then(|rest| rest.split(' ').next());
    let named = named.unwrap_or_else(|| panic!("no lateness is named: {}", ran.stderr));
    assert!(ran.stderr.starts_with("warning: 2 of 102 events are late"), "{}", ran.stderr);
    let arguments = format!("replay --rules r.rhai --input log --summary counts --lateness {named}");
    let ran = folder.run(&arguments).exits(0);
    assert_eq!((&*ran.stderr, &json_lines(&folder.read("counts"))[0]["late"]), ("", &json!(0)));
}

#[test]
fn few_late_events_are_counted_and_not_warned_of() {
    let folder = Folder::new();
    let mut log = disordered();
    log.extend((100..200).map(|second| event(second * 10, "k")));
    let ran = folder.write("r.rhai", EACH).write("log", log).run("replay --rules r.rhai --input log").exits(0);
    assert!(!ran.stderr.contains("warning") && ran.stderr.contains(", 2 late, "), "{}", ran.stderr);
}

#[test]
fn a_late_event_reaches_rules_on_single_events_and_no_window() {
    let folder = Folder::new();
    folder.write("rules/each.rhai", EACH).write("rules/pair.rhai", WINDOW);
    folder.write("log", events(&[(30, "a"), (60, "b"), (45, "a")]));
    let ran = folder.run("replay --rules rules --input log --format json").exits(0);
    let each: Vec<Value> = ran.json().iter().map(|alert| json!([alert["key"][0], alert["late"]])).collect();
    assert_eq!(each, [json!(["a", false]), json!(["a", true]), json!(["b", false])]);
    let ran = folder.run("replay --rules rules/pair.rhai --input log --format json --lateness 20s").exits(0);
    assert_eq!(fired(&ran)[0], json!(["pair", at(45), "opened"]));
}

#[test]
fn the_log_ends_where_it_is_told() {
    let folder = Folder::new();
    folder.write("r.rhai", WINDOW).write("log", events(&[(0, "a"), (10, "a"), (3_000, "b"), (3_001, "b")]));
    let replay = |until: &str| folder.run(&format!("replay --rules r.rhai --input log --format json {until}")).exits(0);
    let opened = |second| json!(["pair", at(second), "opened"]);
    let closed = |second| json!(["pair", at(second), "closed"]);
    assert_eq!(fired(&replay("")), [opened(10), opened(3_001), closed(3_610), closed(6_601)]);
    assert_eq!(fired(&replay("--until last")), [opened(10), opened(3_001)]);
    assert_eq!(fired(&replay(&format!("--until {}", at(3_610)))), [opened(10), opened(3_001), closed(3_610)]);
    assert_eq!(fired(&replay(&format!("--until {}", at(3_609)))), [opened(10), opened(3_001)]);
    assert_eq!(fired(&replay(&format!("--until {}", at(3_000)))), [opened(10)]);
    assert_eq!(fired(&replay(&format!("--until {}", at(9)))), Vec::<Value>::new());
}

#[test]
fn the_end_holds_for_an_input_that_ends_before_the_others() {
    let folder = Folder::new();
    folder
        .write("r.rhai", WINDOW.replace("by:", "input: \"short\", by:"))
        .write("short", events(&[(0, "a"), (1, "a")]));
    // more records than are read between two looks at the time
    folder.write("long", (0..5_000).map(|at| event(at / 2, "c")).collect::<String>());
    let replay = |until: &str| {
        folder.run(&format!("replay --rules r.rhai --input short=short long=long --format json {until}")).exits(0)
    };
    let (opened, closed) = (json!(["pair", at(1), "opened"]), json!(["pair", at(3_601), "closed"]));
    assert_eq!(fired(&replay("")), [opened.clone(), closed]);
    assert_eq!(fired(&replay("--until last")), std::slice::from_ref(&opened));
    assert_eq!(fired(&replay(&format!("--until {}", at(600)))), [opened]);
}
