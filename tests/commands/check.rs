//! `tripline check`: what is wrong with rules, where, and what to write instead.

use serde_json::json;

use super::{EACH, Folder, repository};

const BAD: &str = r#"rule(#{
    id: "bad", title: "Bad", severity: "hgih",
    events: #{ p: |e| e.a == 1 && matchez(e.b, "x") },
    by: ["k"],
    withn: "10m",
});
"#;

#[test]
fn rules_without_findings_exit_0() {
    let folder = Folder::new();
    let ran = folder.write("rules/each.rhai", EACH).run("check --deny-warnings").exits(0);
    let said = "1 indexed, 0 asked of every event, 0 with a script\n1 rules, 0 errors, 0 warnings\n";
    assert_eq!((&*ran.stdout, &*ran.stderr), (said, ""));
}

#[test]
fn an_error_names_file_line_column_and_what_to_write_and_exits_1() {
    let folder = Folder::new();
    let ran = folder.write("rules/each.rhai", EACH).write("rules/sub/bad.rhai", BAD).run("check rules").exits(1);
    for part in [
        "--> rules/sub/bad.rhai:2:40",
        "did you mean `high`?",
        "--> rules/sub/bad.rhai:3:35",
        "did you mean `matches`?",
        "--> rules/sub/bad.rhai:5:5",
        "did you mean `within`?",
    ] {
        assert!(ran.stdout.contains(part), "{part} is not in:\n{}", ran.stdout);
    }
    let last = ran.stdout.lines().last().unwrap_or_default();
    assert!(last.starts_with("1 rules, 3 errors, "), "{last}");
}

#[test]
fn as_json_every_finding_is_one_object_a_line() {
    let folder = Folder::new();
    let found = folder.write("rules/bad.rhai", BAD).run("check --format json rules").exits(1).json();
    let severity = found.iter().find(|finding| finding["line"] == 2).expect("the severity is wrong");
    assert_eq!(severity["level"], "error");
    assert_eq!(severity["file"], "rules/bad.rhai");
    assert_eq!((&severity["column"], &severity["length"]), (&40.into(), &6.into()));
    assert_eq!(severity["help"], "did you mean `high`?");
}

#[test]
fn warnings_fail_only_where_they_are_denied() {
    let folder = Folder::new();
    folder.write("r.rhai", EACH.replace("false_positives", "references"));
    let ran = folder.run("check r.rhai").exits(0);
    assert!(ran.stdout.contains("warning[") && ran.stdout.contains("--> r.rhai:1:1"), "{}", ran.stdout);
    assert_eq!(folder.run("check --deny-warnings r.rhai").exits(1).stdout, ran.stdout);
}

#[test]
fn with_a_configuration_its_rules_are_checked_against_its_inputs() {
    let folder = Folder::new();
    let rule = EACH.replace("by: [\"k\"],", "by: [\"k\"], input: \"atuh\",");
    folder
        .write("etc/own/r.rhai", rule)
        .write("etc/tripline.toml", "[rules]\npath = \"own\"\n[[input]]\nname = \"auth\"\ntype = \"http\"\n");
    let ran = folder.run("check --config etc/tripline.toml").exits(1);
    assert!(ran.stdout.contains("atuh") && ran.stdout.contains("did you mean `auth`?"), "{}", ran.stdout);
    let ran = folder.run("check etc/own").exits(0);
    assert!(ran.stdout.starts_with("warning[unknown-input]"), "{}", ran.stdout);
}

#[test]
fn a_database_that_is_none_is_named_with_the_rules_that_need_it() {
    let folder = Folder::new();
    let rule = EACH.replace("e.x == 1", "e.x == 1 && geo(e.source.ip).country != \"KR\"");
    assert!(rule.contains("geo("));
    folder
        .write("rules/r.rhai", rule)
        .write("geo.mmdb", "no database")
        .write("tripline.toml", "[enrichment]\ngeo = \"geo.mmdb\"\n");
    let ran = folder.run("check --config tripline.toml").exits(1);
    for part in ["error[database]: no MaxMind database", "geo.mmdb:1:1", "error[no-database]"] {
        assert!(ran.stdout.contains(part), "{part} is not in:\n{}", ran.stdout);
    }
    let ran = folder.run("check rules").exits(0);
    assert!(ran.stdout.contains("warning[no-database]"), "{}", ran.stdout);
}

#[test]
fn one_id_twice_names_both_places_also_across_paths() {
    let folder = Folder::new();
    folder.write("a/each.rhai", EACH).write("b/each.rhai", EACH);
    let ran = folder.run("check a b").exits(1);
    assert!(ran.stdout.contains("b/each.rhai:1:1") && ran.stdout.contains("a/each.rhai:1:1"), "{}", ran.stdout);
    assert!(ran.stdout.ends_with("1 rules, 1 errors, 0 warnings\n"), "{}", ran.stdout);
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let folder = Folder::new();
    let many: String = (0..2_000).map(|at| BAD.replace("\"bad\"", &format!("\"bad-{at}\""))).collect();
    folder.write("rules/bad.rhai", many);
    for arguments in ["check rules", "check --format json rules"] {
        let mut child = folder
            .command(arguments)
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .expect("the program starts");
        drop(child.stdout.take());
        let ran = super::Ran::from(child.wait_with_output().expect("the program ends")).exits(1);
        assert_eq!(ran.stderr, "", "{arguments}");
    }
}

#[test]
fn a_result_that_can_not_be_written_exits_2_and_says_so() {
    let folder = Folder::new();
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("/dev/full");
    let output = folder.write("rules/each.rhai", EACH).command("check rules").stdout(full).output();
    let ran = super::Ran::from(output.expect("the program starts")).exits(2);
    assert!(ran.stderr.starts_with("error: standard output: No space left"), "{}", ran.stderr);
}

#[test]
fn the_rules_that_come_with_tripline_have_no_findings_and_pass() {
    let folder = Folder::new();
    let rules = repository().join("rules");
    let checked = folder.run(&format!("check --deny-warnings {}", rules.display())).exits(0).stdout;
    assert!(checked.lines().last().is_some_and(|last| last.ends_with(" rules, 0 errors, 0 warnings")), "{checked}");
    let tested = folder.run(&format!("test {}", rules.display())).exits(0).stdout;
    assert!(tested.ends_with(" passed, 0 failed\n") && !tested.starts_with("0 passed"), "{tested}");
}

#[test]
fn a_note_is_no_warning() {
    let folder = Folder::new();
    let rule = EACH.replace("e.x == 1", "!(e.x == 1)");
    let ran = folder.write("r.rhai", rule).run("check --deny-warnings r.rhai").exits(0);
    assert!(ran.stdout.starts_with("note[scan]") && ran.stdout.contains("--> r.rhai:3:12"), "{}", ran.stdout);
    assert!(ran.stdout.contains("0 indexed, 1 asked of every event, 0 with a script\n"), "{}", ran.stdout);
}

/// What code hosts and editors read of SARIF 2.1.0, as its schema has it.
fn sarif_schema() -> serde_json::Value {
    let text = json!({"type": "object", "required": ["text"], "properties": {"text": {"type": "string"}}});
    let line = json!({"type": "integer", "minimum": 1});
    let region = json!({"type": "object", "required": ["startLine", "startColumn", "endColumn"],
        "properties": {"startLine": line, "startColumn": line, "endColumn": line, "snippet": text}});
    let place = json!({"type": "object", "required": ["artifactLocation", "region"], "properties": {"region": region,
        "artifactLocation": {"type": "object", "required": ["uri"],
            "properties": {"uri": {"type": "string", "pattern": "^[A-Za-z0-9._~%/:-]+$"}}}}});
    let result = json!({"type": "object", "required": ["ruleId", "ruleIndex", "level", "message", "locations"],
        "properties": {"level": {"enum": ["none", "note", "warning", "error"]}, "message": text,
            "ruleIndex": {"type": "integer", "minimum": 0}, "locations": {"type": "array", "minItems": 1,
                "items": {"type": "object", "required": ["physicalLocation"], "properties": {"physicalLocation": place}}}}});
    let rule = json!({"type": "object", "required": ["id"], "properties": {"shortDescription": text}});
    let driver = json!({"type": "object", "required": ["name"],
        "properties": {"rules": {"type": "array", "uniqueItems": true, "items": rule}}});
    let run = json!({"type": "object", "required": ["tool", "results"], "properties": {
        "tool": {"type": "object", "required": ["driver"], "properties": {"driver": driver}},
        "columnKind": {"enum": ["utf16CodeUnits", "unicodeCodePoints"]},
        "results": {"type": "array", "items": result}}});
    json!({"type": "object", "required": ["version", "runs"],
        "properties": {"version": {"const": "2.1.0"}, "runs": {"type": "array", "items": run}}})
}

#[test]
fn as_sarif_every_finding_is_a_result_of_one_run() {
    let folder = Folder::new();
    let ran = folder.write("rules-ü/bad.rhai", BAD).run("check --format sarif rules-ü").exits(1);
    let sarif: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    let validator = jsonschema::validator_for(&sarif_schema()).unwrap();
    let errors: Vec<_> = validator.iter_errors(&sarif).map(|error| error.to_string()).collect();
    assert!(errors.is_empty(), "{errors:?}\n{}", ran.stdout);
    let results = sarif["runs"][0]["results"].as_array().unwrap();
    let severity = results.iter().find(|result| result["ruleId"] == "unknown-value").expect("the severity is wrong");
    let place = &severity["locations"][0]["physicalLocation"];
    assert_eq!(place["artifactLocation"]["uri"], "rules-%C3%BC/bad.rhai");
    assert_eq!(
        place["region"],
        json!({"startLine": 2, "startColumn": 40, "endColumn": 46,
        "snippet": {"text": BAD.lines().nth(1).unwrap()}})
    );
    for result in results {
        let rule = &sarif["runs"][0]["tool"]["driver"]["rules"][result["ruleIndex"].as_u64().unwrap() as usize];
        assert_eq!(rule["id"], result["ruleId"]);
    }
}
