//! Generated JSON records whose names and values meet what extracts set: what is read straight into slots is what the
//! whole record says, whatever else is wanted.

use proptest::{collection::vec, prelude::*, sample::select};

use super::*;
use crate::event::{Scalar, Slot};

/// Names of members, which meet those that extracts look at and set: nested, dotted, and between.
const NAMES: [&str; 22] = [
    "message",
    "process",
    "process.name",
    "name",
    "source",
    "source.ip",
    "ip",
    "address",
    "event",
    "event.action",
    "action",
    "user",
    "user.name",
    "url",
    "url.original",
    "original",
    "a",
    "b",
    "a.b",
    "ts",
    "time",
    "host",
];

/// Wanted paths: those, what stands above and below them, and odd ones.
const PATHS: [&str; 36] = [
    "",
    "message",
    "message.a",
    "process",
    "process.name",
    "process.name.a",
    "source",
    "source.ip",
    "source.address",
    "source.domain",
    "source.port",
    "source.ip.a",
    "event",
    "event.action",
    "event.action.a",
    "event.outcome",
    "user",
    "user.name",
    "user.name.a",
    "url",
    "url.original",
    "url.path",
    "url.query",
    "a",
    "a.b",
    "a.b.a",
    "a.b.name",
    "a.name",
    "b",
    ".a",
    "a..b",
    "ts",
    "ts.a",
    "host.name",
    "log.level",
    "done",
];

/// Texts that extracts find something in.
const TEXTS: [&str; 14] = [
    "sshd",
    "sudo",
    "x",
    "Failed password for eve from 203.0.113.9 port 22 ssh2",
    "Accepted publickey for bob from gate.example port 022 ssh2",
    "eve : TTY=pts/0 ; PWD=/home/\\\"eve ; USER=root ; COMMAND=/usr/bin/id",
    "203.0.113.9 - eve [01/May/2024:10:00:00 +0000] \\\"GET http://h/a?b=c HTTP/1.1\\\" 404 153",
    "2024/05/01 10:00:00 [error] 12#12: *5 open() failed, client: 203.0.113.9, server: _, request: \\\"GET /x HTTP/1.1\\\"",
    "[authz_core:warn] [pid 7] [client 203.0.113.9:54321] AH01630: client denied",
    "10.0.0.1 did x",
    "http://h",
    "caf\\u00e9 did \\/",
    "2024-05-01T10:00:00Z",
    "",
];

const EXTRACTS: [(Option<&str>, &str, &str); 10] = [
    (Some(r#"process.name == "sshd""#), "message", r"for (?<user>\S+)"),
    (Some(r#"user.name == "x" && a == "x""#), "a.b", r"(?<a>.+)"),
    (None, "message", r"^(?<source.ip>\S+) did (?<a.b>\S+)"),
    (None, "a", r"(?<event.action.a>\w+)(?<event.action>\W.*)?"),
    (None, "message", r"(?<ts>2024-\S+)"),
    (None, "a.name", r"(?<url.original>\S+)"),
    (None, "url.original", r"(?<url.path>\w+)(?<url.original>.*)"),
    (None, "process", r"(?<process.name>s.*)(?<message.a>d)"),
    (None, "b", r"(?<done>\S*)"),
    (None, "a.b", r"(?<source.address>\d+)|(?<source>\w+)"),
];

/// Rarely one that the fast way leaves to the strict parser.
fn name() -> impl Strategy<Value = &'static str> {
    prop_oneof![60 => select(&NAMES[..]), 1 => select(vec!["", ".a", "a.", "\\u0061"])]
}

fn value() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        2 => Just("null".to_owned()),
        1 => Just("true".to_owned()),
        2 => "-?(0|[1-9][0-9]{0,9})(\\.[0-9]{1,2})?([eE][+-]?[0-9])?",
        8 => select(&TEXTS[..]).prop_map(|text| format!("\"{text}\"")),
    ];
    word.prop_recursive(4, 12, 3, |inner| {
        let member = (name(), inner.clone()).prop_map(|(name, value)| format!("\"{name}\":{value}"));
        prop_oneof![
            vec(inner, 0..3).prop_map(|items| format!("[{}]", items.join(","))),
            vec(member, 0..3).prop_map(|members| format!("{{{}}}", members.join(", "))),
        ]
    })
}

/// Members that mostly are what extracts look at, among others.
fn record() -> impl Strategy<Value = String> {
    let member = prop_oneof![
        3 => (name(), value()),
        2 => select(&TEXTS[..]).prop_map(|text| ("message", format!("\"{text}\""))),
        1 => select(&TEXTS[..3]).prop_map(|text| ("process.name", format!("\"{text}\""))),
        1 => select(&TEXTS[..3]).prop_map(|text| ("process", format!("{{\"name\":\"{text}\"}}"))),
    ];
    vec(member, 0..7).prop_map(|members| {
        let members: Vec<String> = members.iter().map(|(name, value)| format!("\"{name}\": {value}")).collect();
        format!("{{{}}}", members.join(","))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_record_reads_the_same_whatever_is_wanted(
        records in vec(record(), 1..4),
        paths in proptest::sample::subsequence(&PATHS[..], 0..10),
        extracts in proptest::sample::subsequence(&EXTRACTS[..], 0..4),
    ) {
        let extract = |(when, field, regex): &(Option<&str>, &str, &str)| {
            Extract { when: when.map(str::to_owned), field: (*field).to_owned(), regex: (*regex).to_owned() }
        };
        let spec = DecodeSpec { extracts: extracts.iter().map(extract).collect(), ..DecodeSpec::default() };
        let decoder = |paths: &[&str]| {
            let mut decoder = Decoder::new(&spec, LIMITS, Timing::Live).unwrap();
            decoder.want(&Wanted::new(paths));
            decoder
        };
        let (mut some, mut all) = (decoder(&paths), decoder(&PATHS));
        for record in &records {
            let read = some.read(record.as_bytes(), Some(1));
            let whole = all.read(record.as_bytes(), Some(1));
            prop_assert_eq!(read.as_ref().map(|read| read.time), whole.as_ref().map(|read| read.time), "{}", record);
            let Ok(read) = read else { continue };
            let (view, fields) = (some.view(&read), some.in_full(&read).unwrap());
            for path in paths.iter().filter(|path| !path.is_empty()) {
                let slot: Slot = view.slot(path).unwrap();
                let value = fields.get(path).map(|value| value.into_owned());
                prop_assert_eq!(view.value(slot), value, "{} of {}", path, record);
                prop_assert_eq!(view.exists(slot), fields.exists(path), "{} exists in {}", path, record);
                let mut visited = Vec::new();
                fields.any(path, &mut |value| { visited.push(value.clone()); false });
                prop_assert_eq!(view.scalars(slot).map(Scalar::to_value).collect::<Vec<_>>(), visited, "{} of {}", path, record);
            }
            prop_assert!(paths.contains(&"") || view.json_text().is_none());
            view.json_text().into_iter().for_each(|json| all_values_stand_in(json, &fields));
        }
    }
}
