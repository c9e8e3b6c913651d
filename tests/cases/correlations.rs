//! Sigma's meta rules, told as stories: a folder has rules, `events.ndjson`, and in `alerts.ndjson` what `tripline
//! replay` says of them: every alert in order, each a part of the alert's JSON. A file `pipeline` is given to it.

use std::{fs, path::Path, process::Command};

use serde_json::Value;

use super::folders;

fn lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"))).collect()
}

/// Whether all that `part` says is in `whole`.
fn is_part(part: &Value, whole: &Value) -> bool {
    match (part, whole) {
        (Value::Object(part), Value::Object(whole)) => {
            part.iter().all(|(name, value)| whole.get(name).is_some_and(|found| is_part(value, found)))
        }
        (part, whole) => part == whole,
    }
}

/// What is wrong with a story.
fn told(folder: &Path) -> Option<String> {
    let pipeline = folder.join("pipeline");
    let with_pipeline = pipeline.exists().then_some(["--pipeline".as_ref(), pipeline.as_os_str()]);
    let output = Command::new(env!("CARGO_BIN_EXE_tripline"))
        .args(["replay", "--format", "json", "--lateness", "1d", "--rules"])
        .args([folder.as_os_str(), "--input".as_ref(), folder.join("events.ndjson").as_os_str()])
        .args(with_pipeline.iter().flatten())
        .output()
        .expect("the program runs");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let alerts: Vec<Value> = out.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let expected = lines(&folder.join("alerts.ndjson"));
    let is_right = output.status.success()
        && alerts.len() == expected.len()
        && expected.iter().zip(&alerts).all(|(expected, alert)| is_part(expected, alert));
    (!is_right).then(|| format!("{}:\n{out}{err}", folder.display()))
}

#[test]
fn every_correlation_and_filter_does_what_its_story_tells() {
    let wrong: Vec<String> = folders("correlations").iter().filter_map(|folder| told(folder)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
