//! Sigma rules in every command: they run beside Rhai rules, and a map of log sources says what their events look like.

use serde_json::json;

use super::{EACH, Folder};

const RULE: &str = "title: Whoami
id: 5F1C5B6A-4C1E-4B57-9D0C-0A8E4F2D7B11
status: test
description: Somebody asks who they are.
references:
    - https://example.org/whoami
author: A. Author
tags:
    - attack.discovery
    - attack.t1033
logsource:
    category: process_creation
    product: acme
detection:
    selection:
        Image|endswith: '\\whoami.exe'
    filter_admin:
        User: admin
    condition: selection and not 1 of filter_*
fields:
    - ParentImage
falsepositives:
    - Scripts of administrators
level: high
";

const MAP: &str = r#"{"product": "acme", "category": {"process_creation": {"kind": ["exec"]}}}"#;

const ID: &str = "5f1c5b6a-4c1e-4b57-9d0c-0a8e4f2d7b11";

fn folder() -> Folder {
    let folder = Folder::new();
    let event = |seconds: u8, rest: &str| format!(r#"{{"time":"2024-05-01T10:00:0{seconds}Z",{rest}}}"#) + "\n";
    let events = [
        event(0, r#""x":1,"k":"a""#),
        event(1, r#""kind":"exec","Image":"C:\\Windows\\WHOAMI.exe","User":"ann","ParentImage":"cmd.exe","Other":1"#),
        event(2, r#""kind":"exec","Image":"C:\\whoami.exe","User":"admin""#),
        event(3, r#""kind":"load","Image":"C:\\whoami.exe","User":"ann""#),
    ];
    folder.write("rules/whoami.yml", RULE).write("rules/each.rhai", EACH).write("a.log", events.concat());
    folder.write("map.json", MAP);
    folder
}

#[test]
fn alerts_of_sigma_rules_say_what_the_rule_says_and_show_what_it_asks() {
    let ran = folder().run("replay --rules rules --input a.log --pipeline map.json --format json").exits(0);
    let alerts = ran.json();
    let rules: Vec<_> = alerts.iter().map(|alert| (&alert["rule"]["id"], &alert["trigger"]["offset"])).collect();
    assert_eq!(rules, [(&json!("each"), &json!(0)), (&json!(ID), &json!(1))]);
    let alert = &alerts[1];
    assert_eq!((&alert["title"], &alert["severity"], &alert["key"]), (&json!("Whoami"), &json!("high"), &json!([])));
    assert_eq!((&alert["attack"], &alert["tags"]), (&json!(["T1033"]), &json!(["attack.discovery", "attack.t1033"])));
    let rule = &alert["rule"];
    assert_eq!(rule["references"], json!(["https://example.org/whoami"]));
    assert_eq!(rule["false_positives"], json!(["Scripts of administrators"]));
    assert_eq!((&rule["author"], &rule["status"]), (&json!("A. Author"), &json!("test")));
    assert_eq!(
        alert["evidence"][0]["fields"],
        json!({"Image": "C:\\Windows\\WHOAMI.exe", "ParentImage": "cmd.exe", "User": "ann", "kind": "exec"})
    );
}

#[test]
fn check_and_test_take_both_languages() {
    let folder = folder();
    let checked = folder.run("check rules").exits(0).stdout;
    assert!(checked.contains("warning[sigma-log-source]") && checked.contains("rules/whoami.yml:11:1"), "{checked}");
    assert!(checked.contains("2 rules, 0 errors, 1 warnings"), "{checked}");
    let mapped = folder.run("check rules --pipeline map.json --deny-warnings").exits(0).stdout;
    assert!(mapped.contains("2 rules, 0 errors, 0 warnings"), "{mapped}");
    assert_eq!(folder.run("test rules").exits(0).stdout.lines().last(), Some("2 passed, 0 failed"));
}

#[test]
fn explain_shows_a_sigma_rule_test_by_test() {
    let arguments = format!("explain --rule {ID} --rules rules --input a.log --pipeline map.json --offset 2");
    assert_eq!(
        folder().run(&arguments).exits(0).stdout,
        format!(
            r#"rule {ID} (rules/whoami.yml:1:1)
record 2 of a.log, input default, 2024-05-01T10:00:02Z

pattern event does not match
  false        all of
  true   gate  ├─ ieq(e.kind, "exec")                 "exec"
  true         ├─ e.Image.iends_with("\\whoami.exe")  "C:\\whoami.exe"
  false        └─ not
  true            └─ ieq(e.User, "admin")             "admin"
  key: none
"#
        )
    );
}

#[test]
fn the_configuration_names_maps_beside_itself() {
    let folder = folder();
    folder.write("etc/tripline.toml", "[sigma]\npipelines = [\"../map.json\"]\n");
    let checked = folder.run("check rules --config etc/tripline.toml").exits(0).stdout;
    assert!(checked.contains("0 errors, 0 warnings"), "{checked}");
}

#[test]
fn a_map_that_is_none_is_an_error_at_its_place() {
    let folder = folder();
    folder.write("map.json", "{\"category\": {\"process_creation\":\n  7}}");
    let ran = folder.run("check rules --pipeline map.json").exits(1);
    assert!(ran.stdout.contains("map.json:2:3") && ran.stdout.contains("fields with values belong here"), "{ran:?}");
    folder.run("check rules --pipeline none.json").exits(2);
}

const CMD: &str = "title: Command line\nid: cmd\nlevel: high\nfalsepositives: [none]\nlogsource: {product: windows, \
    category: process_creation}\ndetection:\n  selection:\n    Image|endswith: '\\cmd.exe'\n  filter:\n    User: SYSTEM\n  \
    condition: selection and not filter\n";

/// As Winlogbeat writes them.
const WINLOGBEAT: &str = concat!(
    r#"{"@timestamp":"2024-05-01T10:00:00Z","winlog":{"channel":"Microsoft-Windows-Sysmon/Operational"},"event":{"code":"1"},"process":{"executable":"C:\\W\\cmd.exe"},"user":{"name":"Ann"}}"#,
    "\n",
    r#"{"@timestamp":"2024-05-01T10:00:01Z","winlog":{"channel":"Microsoft-Windows-Sysmon/Operational"},"event":{"code":"1"},"process":{"executable":"C:\\W\\cmd.exe"},"user":{"name":"system"}}"#,
    "\n",
    r#"{"@timestamp":"2024-05-01T10:00:02Z","winlog":{"channel":"Security"},"event":{"code":"1"},"process":{"executable":"C:\\W\\cmd.exe"},"user":{"name":"Ann"}}"#,
    "\n",
);

#[test]
fn a_built_in_pipeline_finds_windows_fields_where_winlogbeat_puts_them() {
    let folder = Folder::new();
    folder.write("rules/cmd.yml", CMD).write("a.log", WINLOGBEAT);
    let alerts = folder.run("replay --rules rules --input a.log --pipeline ecs_windows --format json").exits(0).stdout;
    assert!(alerts.lines().count() == 1 && alerts.contains(r#""offset":0"#), "{alerts}");
    assert_eq!(folder.run("replay --rules rules --input a.log --format json").exits(0).stdout, "");
}

#[test]
fn a_converted_rule_fires_on_the_same_events() {
    let folder = Folder::new();
    folder.write("cmd.yml", CMD).write("a.log", WINLOGBEAT);
    let converted = folder.run("sigma convert cmd.yml --pipeline ecs_windows").exits(0).stdout;
    assert!(converted.contains("source && selection && !filter\n"), "{converted}");
    folder.write("rules/cmd.rhai", &converted);
    let alerts = folder.run("replay --rules rules --input a.log --format json").exits(0).stdout;
    assert!(alerts.lines().count() == 1 && alerts.contains(r#""offset":0"#), "{alerts}");
    folder.write("bad.yml", CMD.replace("User: SYSTEM", "UtcTime|hour: 5"));
    let ran = folder.run("sigma convert bad.yml").exits(1);
    assert!(ran.stdout.is_empty() && ran.stderr.contains("bad.yml:10:19"), "{}", ran.stderr);
}

#[test]
fn a_wrong_pipeline_is_an_error_with_line_and_column() {
    let folder = Folder::new();
    folder.write("rules/cmd.yml", CMD).write("p.yml", "transformations:\n- type: field_name_maping\n");
    let ran = folder.run("check rules --pipeline p.yml").exits(1);
    assert!(
        ran.stdout.contains("p.yml:2:9") && ran.stdout.contains("did you mean `field_name_mapping`?"),
        "{}",
        ran.stdout
    );
    let ran = folder.run("check rules --pipeline sysmn").exits(2);
    assert!(ran.stderr.contains("ecs_windows, linux_auditd, sysmon, windows"), "{}", ran.stderr);
}

#[test]
fn a_log_source_that_nothing_maps_is_said_once_with_the_first_rules() {
    let folder = Folder::new();
    for number in 0..6 {
        let rule = format!(
            "title: R{number}\nlevel: low\nfalsepositives: [none]\nlogsource: {{category: own}}\ndetection:\n  s: {{a: {number}}}\n  condition: s\n"
        );
        folder.write(&format!("rules/{number}.yml"), rule);
    }
    let text = folder.run("check rules").exits(0).stdout;
    assert!(text.contains("nothing maps the log source `category: own` of 6 rules"), "{text}");
    assert!(text.contains("see also rules/1.yml:4:1, rules/2.yml:4:1, rules/3.yml:4:1\n"), "{text}");
    assert!(text.contains("6 rules, 0 errors, 1 warnings"), "{text}");
    let found = folder.run("check rules --format json").exits(0).json();
    assert_eq!((found.len(), found[0]["also"].as_array().unwrap().len()), (1, 3));
    let sarif: serde_json::Value =
        serde_json::from_str(&folder.run("check rules --format sarif").exits(0).stdout).unwrap();
    let related = &sarif["runs"][0]["results"][0]["relatedLocations"];
    assert_eq!(related[0]["physicalLocation"]["artifactLocation"]["uri"], "rules/1.yml");
    assert_eq!(related.as_array().unwrap().len(), 3);
}

#[test]
fn a_correlation_is_converted_with_the_rules_of_other_files() {
    let folder = Folder::new();
    folder.write("s/cmd.yml", CMD).write("a.log", WINLOGBEAT);
    folder.write("s/c.yml", "title: Commands\nid: c\ncorrelation:\n  type: event_count\n  rules: [cmd]\n  timespan: 1h\n  condition: {gte: 1}\n");
    let converted = folder.run("sigma convert s --pipeline ecs_windows").exits(0).stdout;
    assert!(converted.matches("rule(#{").count() == 1 && converted.contains("within: \"1h\""), "{converted}");
    folder.write("rules/c.rhai", &converted);
    let alerts = folder.run("replay --rules rules --input a.log --format json").exits(0).json();
    assert_eq!((alerts.len(), &alerts[0]["rule"]["id"]), (1, &json!("c")));
    let ran = folder.run("sigma convert s/c.yml").exits(1);
    assert!(
        ran.stderr.contains("s/c.yml:5:11") && ran.stderr.contains("no rule has the id or name `cmd`"),
        "{}",
        ran.stderr
    );
    assert!(ran.stderr.contains("0 rules written, 1 refused"), "{}", ran.stderr);
}

#[test]
fn a_rhai_rule_that_a_correlation_refers_to_has_to_load() {
    let folder = Folder::new();
    let rhai = "rule(#{ id: \"own\", title: \"t\", severity: \"low\", event: |e| e.a == \"x\" });\n";
    let correlation =
        "title: Own\nid: c\ncorrelation:\n  type: event_count\n  rules: [own]\n  timespan: 1h\n  condition: {gte: 2}\n";
    folder.write("own.rhai", rhai).write("c.yml", correlation);
    let ran = folder.run("sigma convert own.rhai c.yml").exits(0);
    assert!(ran.stdout.contains("e.rule.id == \"own\"") && ran.stderr.is_empty(), "{}{}", ran.stdout, ran.stderr);
    folder.write("own.rhai", rhai.replace("e.a == \"x\"", "e.a"));
    let ran = folder.run("sigma convert own.rhai c.yml").exits(1);
    assert!(ran.stderr.contains("own.rhai:1:"), "{}", ran.stderr);
    assert!(ran.stderr.contains("c.yml:5:11") && ran.stderr.contains("no rule has the id"), "{}", ran.stderr);
    // Whether a correlation needs it or not.
    folder.write("cmd.yml", CMD);
    let ran = folder.run("sigma convert own.rhai cmd.yml").exits(1);
    assert!(ran.stdout.contains("rule(#{") && ran.stderr.contains("own.rhai:1:"), "{}", ran.stderr);
}
