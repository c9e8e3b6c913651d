//! `tripline bench`: rows that scripts can read.

use serde_json::Value;

use super::{EACH, Folder};

fn rows(stdout: &str) -> Vec<Value> {
    stdout.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

fn names(rows: &[Value]) -> Vec<&str> {
    rows.iter().filter_map(|row| row["name"].as_str()).collect()
}

#[test]
fn every_row_has_the_keys_of_the_contract_and_a_baseline_among_the_rows() {
    let ran = Folder::new().run("bench detect --events 30 --rule-count 30 --json").exits(0);
    let rows = rows(&ran.stdout);
    let names = names(&rows);
    for row in &rows {
        assert!(row["events"].as_u64().is_some_and(|events| events > 0), "{row}");
        assert!(row["cpu_us_per_event"].as_f64().is_some_and(|cpu| cpu > 0.0), "{row}");
        assert!(row["ratio"].as_f64().is_some_and(|ratio| ratio > 0.0), "{row}");
        assert!(row["baseline"].as_str().is_some_and(|baseline| names.contains(&baseline)), "{row}");
    }
    for kind in
        ["10 % process creation", "90 % process creation", "script blocks", "nested ECS", "CloudTrail", "syslog lines"]
    {
        for step in ["bare JSON parse", "decode, 30 rules", "decode and scan, 30 rules", "decode and match, 30 rules"] {
            assert!(names.contains(&format!("{kind}: {step}").as_str()), "{kind}: {step}");
        }
    }
    for hostile in ["100 contains on one field", "10 regexes", "50 fields"] {
        assert!(names.contains(&format!("hostile rules: decode and match, {hostile}").as_str()), "{hostile}");
    }
    for hostile in ["text of 1 MB", "60 deep", "1,000 keys"] {
        assert!(names.contains(&format!("{hostile}: decode and match, 30 rules").as_str()), "{hostile}");
    }
}

#[test]
fn own_rules_and_records_take_the_place_of_made_up_ones() {
    let folder = Folder::new();
    folder.write("rules/each.rhai", EACH).write("in.ndjson", "{\"ts\":1704067200,\"x\":1,\"k\":\"a\"}\n".repeat(10));
    let ran = folder.run("bench detect --rules rules --input in.ndjson --json").exits(0);
    let rows = rows(&ran.stdout);
    assert_eq!(
        names(&rows),
        [
            "given: bare JSON parse",
            "given: decode, 1 rules",
            "given: decode and scan, 1 rules",
            "given: decode and match, 1 rules"
        ]
    );
    assert_eq!(
        (&rows[3]["events"], &rows[3]["hits_per_event"], &rows[3]["asked_per_event"]),
        (&10.into(), &1.0.into(), &1.0.into())
    );
}

#[test]
fn correlation_is_measured_kind_by_kind_with_few_keys_and_many_and_by_bytes() {
    let ran = Folder::new().run("bench correlate --events 200 --keys 50 --json").exits(0);
    let rows = rows(&ran.stdout);
    let names = names(&rows);
    for row in &rows {
        assert!(row["cpu_us_per_event"].as_f64().is_some_and(|cpu| cpu > 0.0), "{row}");
        assert!(row["ratio"].as_f64().is_some_and(|ratio| ratio > 0.0), "{row}");
        assert!(row["baseline"].as_str().is_some_and(|baseline| names.contains(&baseline)), "{row}");
    }
    for kind in ["count threshold", "sequence of 3 steps", "session", "tumbling", "percentile"] {
        assert!(names.contains(&format!("signals: {kind}, 50 keys").as_str()), "{kind}: {names:?}");
    }
    assert!(names.contains(&"signals: distinct, 1,800 values in the window, 10 keys"), "{names:?}");
    assert!(names.contains(&"keys: many keys, 50 keys, commits"), "{names:?}");
    for each in [1, 5] {
        let name = format!("memory: signals, 50 keys with {each} each");
        let row = rows.iter().find(|row| row["name"] == name.as_str()).expect("a row");
        assert!(row["bytes_per_key"].as_f64().is_some_and(|bytes| bytes > 64.0), "{row}");
    }
}

#[test]
fn own_rules_and_records_give_the_signals() {
    let folder = Folder::new();
    folder.write("rules/each.rhai", EACH).write("in.ndjson", "{\"ts\":1704067200,\"x\":1,\"k\":\"a\"}\n".repeat(10));
    let ran = folder.run("bench correlate --rules rules --input in.ndjson --json").exits(0);
    let rows = rows(&ran.stdout);
    assert_eq!(names(&rows), ["given: decode", "given: correlate"]);
    assert_eq!(rows[1]["hits_per_event"].as_f64().map(|hits| hits > 0.5), Some(true), "{}", rows[1]);
}
