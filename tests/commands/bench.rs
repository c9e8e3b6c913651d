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
        assert!(names.contains(&format!("process creation: decode and match, {hostile}").as_str()), "{hostile}");
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
