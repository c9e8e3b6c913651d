//! The laws of the house: who may import whom, where each foreign crate lives, and that the code map tells the truth.
//! A law is changed here, on purpose, or not at all.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// Each room and the rooms that it may import.
const ROOMS: &[(&str, &[&str])] = &[
    ("clock", &[]),
    ("event", &[]),
    ("config", &["decode", "event", "telemetry"]),
    ("decode", &["event"]),
    ("rule", &["event"]),
    ("detect", &["decode", "event", "rule"]),
    ("alert", &["event"]),
    ("correlate", &["alert", "detect", "event", "rule"]),
    ("replay", &["alert", "correlate", "decode", "detect", "event", "rule"]),
    ("log", &["clock", "config"]),
    ("input", &["clock", "config", "decode", "event", "log"]),
    ("notify", &["alert", "clock", "config", "event", "log"]),
    ("telemetry", &["clock", "config", "correlate", "detect", "event", "input", "log", "notify", "rule"]),
    (
        "stage",
        &["alert", "clock", "config", "correlate", "decode", "detect", "event", "log", "notify", "rule", "telemetry"],
    ),
    ("api", &["config", "input", "log", "telemetry"]),
    (
        "cli",
        &[
            "alert",
            "api",
            "clock",
            "config",
            "correlate",
            "decode",
            "detect",
            "event",
            "input",
            "log",
            "notify",
            "replay",
            "rule",
            "stage",
            "telemetry",
        ],
    ),
];

/// Rooms that neither wait, nor read files, nor look at the clock, nor count in metrics.
const PURE: &[&str] = &["event", "decode", "rule", "detect", "alert", "correlate", "replay"];

/// What a pure room must not name.
const IMPURE: &[&str] = &[
    "tokio::",
    "std::fs",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "SystemTime",
    "Instant::now",
    "prometheus::",
    "tracing::",
    "jiff::Timestamp::now",
    "jiff::Zoned::now",
    "rand::rng",
];

/// Each foreign crate that has one home.
const HOMES: &[(&str, &str)] = &[
    ("actix::", "stage"),
    ("actix_web", "api"),
    ("rhai", "rule"),
    ("maxminddb", "rule/enrichment"),
    ("rdkafka", "log/kafka"),
    ("fjall", "log/local"),
    ("dashmap", "telemetry"),
    ("prometheus", "telemetry"),
    ("lettre", "notify/sink/email"),
    ("reqwest", "notify/sink/webhook"),
    ("regex_automata", "decode/expression"),
    ("clap", "cli"),
    ("saphyr_parser", "rule/sigma/yaml"),
];

/// `actix::System` has to be started by somebody, and commands ask servers.
const HOME_GUESTS: &[(&str, &str)] = &[("actix::", "cli/server.rs"), ("reqwest", "cli/http.rs")];

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// Every file of `src`, by its path below it, without its unit tests and comments.
fn files() -> BTreeMap<String, String> {
    fn walk(folder: &Path, files: &mut BTreeMap<String, String>) {
        for entry in fs::read_dir(folder).expect("src can be read") {
            let path = entry.expect("src can be read").path();
            if path.is_dir() {
                walk(&path, files);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).expect("source is UTF-8");
                let code = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
                let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
                let below = path.strip_prefix(source()).expect("below src").to_string_lossy().replace('\\', "/");
                files.insert(below, lines.collect::<Vec<_>>().join("\n"));
            }
        }
    }
    let mut found = BTreeMap::new();
    walk(&source(), &mut found);
    found
}

fn room_of(path: &str) -> &str {
    path.split('/').next().unwrap_or(path).trim_end_matches(".rs")
}

/// The rooms that a file names as `crate::room` or inside `use crate::{…}`.
fn imports(code: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        match rest.strip_prefix('{') {
            None => found.extend(word(rest)),
            Some(list) => found.extend(top_level_names(list)),
        }
    }
    found
}

fn word(text: &str) -> Option<String> {
    let word: String = text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    (!word.is_empty()).then_some(word)
}

/// The first name of each item of `a::{b, c}, d::e}` up to the closing brace.
fn top_level_names(list: &str) -> Vec<String> {
    let (mut depth, mut names, mut at_start) = (0, Vec::new(), true);
    for (at, c) in list.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => at_start = true,
            c if at_start && (c.is_alphabetic() || c == '_') => {
                names.extend(word(&list[at..]));
                at_start = false;
            }
            _ => {}
        }
    }
    names
}

#[test]
fn rooms_import_only_those_they_may() {
    let laws: BTreeMap<&str, &[&str]> = ROOMS.iter().copied().collect();
    let mut broken = Vec::new();
    for (path, code) in files() {
        let room = room_of(&path);
        if matches!(room, "lib" | "main") {
            continue;
        }
        let Some(allowed) = laws.get(room) else {
            broken.push(format!("{path}: the room {room} has no law"));
            continue;
        };
        for import in imports(&code) {
            if import != room && laws.contains_key(import.as_str()) && !allowed.contains(&import.as_str()) {
                broken.push(format!("{path}: {room} must not import {import}"));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn pure_rooms_stay_pure() {
    let mut broken = Vec::new();
    for (path, code) in files() {
        if PURE.contains(&room_of(&path)) {
            broken.extend(IMPURE.iter().filter(|name| code.contains(*name)).map(|name| format!("{path}: {name}")));
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn foreign_crates_stay_at_home() {
    let mut broken = Vec::new();
    for (path, code) in files() {
        for (name, home) in HOMES {
            let stem = name.trim_end_matches("::");
            let named = code.contains(&format!("{stem}::")) || code.contains(&format!("use {stem};"));
            let guest = HOME_GUESTS.contains(&(*name, path.as_str()));
            if named && !is_in(&path, home) && !guest && !names_another(&code, stem) {
                broken.push(format!("{path}: {stem} lives in {home}"));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

fn is_in(path: &str, home: &str) -> bool {
    path.strip_prefix(home).is_some_and(|rest| rest.starts_with(['/', '.']))
}

/// Whether every `stem::` in the code is the end of a longer path (`crate::log::kafka::` is no foreign crate).
fn names_another(code: &str, stem: &str) -> bool {
    let call = format!("{stem}::");
    code.match_indices(&call)
        .all(|(at, _)| code[..at].ends_with("::") || code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_'))
        && !code.contains(&format!("use {stem};"))
}

#[test]
fn the_code_map_names_every_room_and_no_other() {
    let map = fs::read_to_string(source().join("README.md")).expect("src/README.md is the code map");
    let rooms: BTreeSet<String> = files().keys().map(|path| room_of(path).to_owned()).collect();
    let named: BTreeSet<String> = map
        .lines()
        .filter_map(|line| line.strip_prefix("| `"))
        .filter_map(|line| line.split('`').next())
        .map(|name| name.trim_end_matches('/').trim_end_matches(".rs").to_owned())
        .collect();
    assert_eq!(rooms, named, "rooms in src on the left, rooms in src/README.md on the right");
}

#[test]
fn every_file_says_what_it_is_for() {
    for path in files().keys() {
        let text = fs::read_to_string(source().join(path)).expect("source is UTF-8");
        assert!(text.starts_with("//! "), "{path} does not open with //!");
    }
}

#[test]
fn nothing_is_ignored_or_left_for_later() {
    // Written apart so that this file does not find itself.
    let marks = [["to", "do!("], ["unimple", "mented!("], ["FIX", "ME"], ["TO", "DO:"]].map(|parts| parts.concat());
    for (path, code) in files() {
        for mark in &marks {
            assert!(!code.contains(mark.as_str()), "{path}: {mark}");
        }
    }
}
