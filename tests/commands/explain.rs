//! `tripline explain`: which test of a pattern an event fails, what it saw, and what kept the pattern from being asked.

use serde_json::json;

use super::{EACH, Folder};

const LOGINS: &str = r#"rule(#{
    id: "logins", title: "Logins", severity: "low", input: "auth",
    events: #{
        failure: |e| e.action == "login" && (e.outcome == "failure" || e.reason.icontains("denied")),
        odd: |e| e.outcome != e.expected,
    },
    by: ["ip", "user"], within: "10m",
});
"#;

fn folder() -> Folder {
    let folder = Folder::new();
    let lines = [
        r#"{"time":"2024-05-01T10:00:00Z","action":"logout"}"#,
        "",
        "{broken",
        r#"{"time":"2024-05-01T10:00:01Z","action":"login","outcome":"success","reason":["Denied"],"ip":["b","a"],"user":7}"#,
    ];
    folder.write("rules/logins.rhai", LOGINS).write("rules/each.rhai", EACH).write("a.log", lines.join("\n"));
    folder
}

#[test]
fn the_first_event_that_matches_is_shown_test_by_test() {
    let ran = folder().run("explain --rule logins --rules rules --input auth=a.log").exits(0);
    assert_eq!(
        ran.stdout,
        r#"rule logins (rules/logins.rhai:1:1)
record 3 of a.log, input auth, 2024-05-01T10:00:01Z

pattern failure matches
  true         all of
  true   gate  ├─ e.action == "login"              "login"
  true         └─ any of
  false           ├─ e.outcome == "failure"        "success"
  true            └─ e.reason.icontains("denied")  ["Denied"]
  key: ip = ["b", "a"], user = 7; 2 keys

pattern odd does not match
  false  e.outcome != e.expected  e.outcome is "success", e.expected is missing
  gate: none: the pattern is asked of every event, or of every one that has a certain field
  key: ip = ["b", "a"], user = 7; 2 keys
"#
    );
}

#[test]
fn without_a_match_the_first_event_is_shown_and_so_is_a_missing_key() {
    let folder = folder();
    folder.write("b.log", r#"{"time":"2024-05-01T10:00:00Z","action":"logout","ip":"a","user":""}"#);
    let shown = folder.run("explain --rule logins --rules rules --input b.log").exits(0).stdout;
    assert!(shown.contains("record 0 of b.log, input default,"), "{shown}");
    assert!(shown.contains("pattern failure does not match\n  false        all of\n"), "{shown}");
    assert!(shown.contains("e.action == \"login\"") && shown.contains("\"logout\"\n"), "{shown}");
    assert!(
        shown.contains("  key: ip = \"a\", user = \"\"; what is missing keeps a match from giving a signal\n"),
        "{shown}"
    );
}

#[test]
fn a_record_is_asked_for_by_its_number() {
    let folder = folder();
    let explain = |rest: &str| folder.run(&format!("explain --rules rules --input auth=a.log {rest}"));
    let shown = explain("--rule logins --offset 0").exits(0).stdout;
    assert!(shown.contains("record 0 of a.log") && shown.contains("pattern failure does not match"), "{shown}");
    for (rest, says) in [
        ("--rule logins --offset 1", "a.log: record 1 is blank"),
        ("--rule logins --offset 2", "a.log: record 2 is no event: "),
        ("--rule logins --offset 4", "a.log: there is no record 4: the last one is 3"),
        ("--rule login", "no rule that loads has the id `login`; did you mean `logins`?"),
    ] {
        let ran = explain(rest).exits(2);
        assert!(ran.stdout.is_empty() && ran.stderr.contains(says), "{rest}: {}", ran.stderr);
    }
    let missing = folder.run("explain --rule each --rules rules --input nowhere").exits(2);
    assert!(missing.stderr.contains("nowhere: No such file"), "{}", missing.stderr);
}

#[test]
fn an_input_that_the_rule_does_not_read_is_told() {
    let shown = folder().run("explain --rule logins --rules rules --input web=a.log").exits(0).stdout;
    assert!(shown.contains("the rule does not read this input"), "{shown}");
}

/// Whether an address is on a list that rules write is known to a running engine only.
#[test]
fn a_list_that_rules_write_is_left_open_unless_another_test_decides() {
    let folder = folder();
    let written = r#"
rule(#{ id: "writes", title: "W", severity: "low", event: |e| e.x == 1, by: ["ip"],
    then: |w| list_add("suspects", w.key[0], "24h") });
rule(#{ id: "reads", title: "R", severity: "low", event: |e| in_list(e.ip, "suspects") && e.x == 2, by: ["ip"] });
"#;
    folder.write("lists.rhai", written);
    folder.write(
        "b.log",
        format!("{}\n{}\n", r#"{"ts":1714557600,"ip":"a","x":3}"#, r#"{"ts":1714557601,"ip":"a","x":2}"#),
    );
    let explain = |rest: &str| folder.run(&format!("explain --rule reads --rules lists.rhai --input b.log {rest}"));
    let open = explain("").exits(0).stdout;
    assert!(open.contains("record 1 of") && open.contains("matches if a list that rules write says so"), "{open}");
    assert!(open.contains("in_list(e.ip, \"suspects\")") && open.contains("\n  open "), "{open}");
    let decided = explain("--offset 0").exits(0).stdout;
    assert!(decided.contains("pattern event does not match\n  false"), "{decided}");
}

#[test]
fn programs_read_the_same_as_json() {
    let folder = folder();
    folder.write("b.log", r#"{"time":"2024-05-01T10:00:00Z","x":1,"k":["a","b"]}"#);
    let ran = folder.run("explain --rule each --rules rules --input b.log --format json").exits(0);
    assert_eq!(
        ran.json(),
        [json!({
            "rule": "each",
            "event": {"input": "default", "partition": 0, "offset": 0, "time": "2024-05-01T10:00:00Z"},
            "reads_input": true,
            "patterns": [{
                "name": "event",
                "matches": true,
                "predicate": {
                    "asks": "e.x == 1", "outcome": "true", "error": null, "gate": true,
                    "seen": [{"of": "e.x", "value": 1}], "parts": [],
                },
                "by": [["k", ["a", "b"]]],
                "keys": 2,
            }],
        })]
    );
}
