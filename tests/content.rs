//! The rules and the demo's log that come with Tripline: the rules pass their own tests, and the log raises the
//! alerts that its page lists, and no other.

use std::{fs, path::Path, process::Command};

fn tripline(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_tripline"))
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("the program runs");
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{arguments:?}\n{told}{}", String::from_utf8_lossy(&output.stderr));
    told
}

/// `["10:07:47", "web-scan", "203.0.113.66"]` for each alert on the demo's page.
fn listed() -> Vec<[String; 3]> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/demo/README.md");
    let page = fs::read_to_string(page).expect("the demo has a page");
    let rows = page.lines().filter(|line| line.starts_with("| 1"));
    rows.map(|row| {
        let mut cells = row.split('|').skip(1).map(|cell| cell.trim().trim_matches('`').to_owned());
        std::array::from_fn(|_| cells.next().expect("a row has a time, a rule and a key"))
    })
    .collect()
}

/// The same for each alert that the demo's log raises; `names` are the inputs' names, each with its `=`.
fn raised(names: [&str; 3]) -> Vec<[String; 3]> {
    let files = ["auth.log", "access.log", "events.ndjson"];
    let inputs: Vec<String> =
        names.iter().zip(files).map(|(name, file)| format!("{name}examples/demo/{file}")).collect();
    let mut arguments = vec!["replay", "--rules", "rules", "--format", "json", "--until", "last"];
    inputs.iter().for_each(|input| arguments.extend(["--input", input]));
    let alerts = tripline(&arguments);
    let alerts = alerts.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).expect("alerts are JSON"));
    let text = |value: &serde_json::Value| value.as_str().expect("a text").to_owned();
    alerts
        .map(|alert| {
            let key: Vec<String> = alert["key"].as_array().expect("a key is a list").iter().map(text).collect();
            [text(&alert["time"])[11..19].to_owned(), text(&alert["rule"]["id"]), key.join(", ")]
        })
        .collect()
}

#[test]
fn every_rule_that_comes_along_passes_its_tests() {
    assert!(tripline(&["test", "rules"]).trim_end().ends_with(" 0 failed"));
    tripline(&["check", "rules"]);
}

#[test]
fn the_demo_raises_the_alerts_on_its_page_and_no_other() {
    let listed = listed();
    assert!(!listed.is_empty());
    assert_eq!(raised(["", "", ""]), listed);
    assert_eq!(raised(["auth=", "web=", "app="]), listed);
}
