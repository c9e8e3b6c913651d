//! Malformed records among good ones: each is in the dead letters, and no good one suffers.

use std::collections::BTreeMap;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::Value;

use super::{EACH, Folder, at, event, json_lines};

const GOOD: usize = 100_000;
const BAD: usize = 10_000;
/// One good event in so many matches the rule.
const MATCHES_EVERY: usize = 100;
/// Records beyond the size limit, which are costly to write.
const HUGE: usize = 8;

/// Truncated, binary, of wrong types, too deep, huge: never an event with a time.
fn bad(number: usize) -> Vec<u8> {
    let line = event(0, "bad");
    match number {
        n if n < HUGE => format!(r#"{{"time":"{}","text":"{}"}}"#, at(0), "x".repeat(1 << 20)).into_bytes(),
        n => match n % 6 {
            0 => line.as_bytes()[..10 + n % 20].to_vec(),
            1 => (0..40).map(|byte| (byte * 7 + n) as u8 | 0x80).collect(),
            2 => format!(r#"{{"time":{{"at":[{n}]}},"x":1,"k":"bad"}}"#).into_bytes(),
            3 => {
                format!(r#"{{"time":"{}","x":{}1{},"k":"bad"}}"#, at(0), "[".repeat(100), "]".repeat(100)).into_bytes()
            }
            4 => format!(r#"{{"time":"when {n}","x":1,"k":"bad"}}"#).into_bytes(),
            _ => format!(r#"["time","{}",{n}]"#, at(0)).into_bytes(),
        },
    }
}

/// The log, and each bad record by its offset.
fn log() -> (Vec<u8>, BTreeMap<u64, Vec<u8>>) {
    let (mut log, mut expected) = (Vec::new(), BTreeMap::new());
    let mut number = 0;
    for good in 0..GOOD {
        if good % (GOOD / BAD) == 3 {
            let record = bad(number);
            let offset = (good + number) as u64;
            number += 1;
            log.extend_from_slice(&record);
            log.push(b'\n');
            expected.insert(offset, record);
        }
        let line = event(good as i64 / 10, &format!("k{good}"));
        let line = if good % MATCHES_EVERY == 0 { line } else { line.replace("\"x\":1", "\"x\":2") };
        log.extend_from_slice(line.as_bytes());
    }
    (log, expected)
}

#[test]
fn ten_thousand_malformed_among_a_hundred_thousand_good_are_all_accounted_for() {
    let folder = Folder::new();
    let (log, expected) = log();
    assert_eq!(expected.len(), BAD);
    folder.write("r.rhai", EACH).write("log", log);
    let ran =
        folder.run("replay --rules r.rhai --input log --format json --summary counts --dead-letters dead").exits(0);
    let counts = &json_lines(&folder.read("counts"))[0];
    let count = |name: &str| counts[name].as_u64().unwrap_or_else(|| panic!("{counts}")) as usize;
    assert_eq!(
        (count("events"), count("decoded"), count("dead_letters"), count("late")),
        (GOOD + BAD, GOOD, BAD, 0),
        "{counts}"
    );

    let mut dead = BTreeMap::new();
    let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
    for letter in json_lines(&folder.read("dead")) {
        let text = |name: &str| letter[name].as_str().unwrap_or_else(|| panic!("{letter}"));
        let raw = STANDARD.decode(text("raw_base64")).expect("base64");
        assert!(dead.insert(letter["offset"].as_u64().expect("an offset"), raw).is_none(), "twice: {letter}");
        *reasons.entry(text("reason").split(':').next().unwrap_or_default().to_owned()).or_default() += 1;
    }
    assert!(dead == expected, "other records are in the dead letters than were bad");
    assert!(reasons.len() >= 4, "reasons tell the kinds apart: {reasons:?}");

    let keys: Vec<Value> = ran.json().iter().map(|alert| alert["key"][0].clone()).collect();
    let matching = (0..GOOD).step_by(MATCHES_EVERY).map(|good| Value::from(format!("k{good}")));
    assert_eq!(keys, matching.collect::<Vec<_>>(), "every good event is evaluated");
}
