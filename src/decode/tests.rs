//! Whole records through a decoder: format by format, and what every format shares.

mod lines;
mod records;

use proptest::prelude::*;

use super::*;
use crate::event::{Event, Fields, JsonText, Position, Scalar, Wanted, escape};

const LIMITS: Limits = Limits { record_bytes_max: 1 << 20, depth_max: 64, fields_max: 1000 };
const REPLAY: Timing = Timing::Replay { year: 2024 };

fn position() -> Position {
    Position { input: "default".into(), partition: 0, offset: 0 }
}

fn decoder(format: Format, timing: Timing) -> Decoder {
    Decoder::new(&DecodeSpec { format, ..DecodeSpec::default() }, LIMITS, timing).unwrap()
}

fn decode(record: &[u8]) -> Result<Event, Reject> {
    decoder(Format::Auto, REPLAY).decode(record, None, position())
}

fn reason(record: &[u8]) -> &'static str {
    decode(record).expect_err(&String::from_utf8_lossy(record)).reason.as_str()
}

fn text(event: &Event, path: &str) -> String {
    event.fields.get(path).map(|value| value.to_string()).unwrap_or_default()
}

#[test]
fn auto_tells_the_formats_apart() {
    let cases: [(&str, &str, &str); 8] = [
        (r#"{"@timestamp": "2024-05-01T10:00:00Z", "event": {"action": "x"}}"#, "event.action", "x"),
        ("\u{feff}{\"ts\": 1714557600, \"a\": 1}\n", "a", "1"),
        (
            "<38>May  1 10:00:00 gate sshd[7]: Failed password for root from 203.0.113.9 port 4022 ssh2",
            "event.action",
            "ssh_login",
        ),
        (
            "2024-05-01T12:00:00+02:00 gate sshd[7]: Failed password for root from 203.0.113.9 port 4022 ssh2",
            "source.ip",
            "203.0.113.9",
        ),
        (
            "[Wed May 01 10:00:00 2024] [error] [client 203.0.113.9] File does not exist: /srv/x",
            "event.action",
            "web_error",
        ),
        (r#"203.0.113.9 - - [01/May/2024:10:00:00 +0000] "GET /a?b HTTP/1.1" 404 153 "-" "curl/8""#, "url.path", "/a"),
        ("2024-05-01 10:00:00 INFO main started", "message", "2024-05-01 10:00:00 INFO main started"),
        ("[2024-05-01T10:00:00Z] words", "message", "[2024-05-01T10:00:00Z] words"),
    ];
    for (record, path, expected) in cases {
        let event = decode(record.as_bytes()).unwrap_or_else(|reject| panic!("{record}: {reject}"));
        assert_eq!(text(&event, path), expected, "{record}");
        assert_eq!(event.time.to_string(), "2024-05-01T10:00:00Z", "{record}");
    }
}

#[test]
fn what_is_no_event_is_rejected_with_its_reason() {
    let deep = format!("{{\"a\":{}1{}}}", "[".repeat(100), "]".repeat(100));
    let huge = format!("{{\"a\":\"{}\"}}", "x".repeat(20 << 20));
    let cases: [(&[u8], &str); 14] = [
        (b" \n", "empty"),
        (b"\0\0", "empty"),
        (huge.as_bytes(), "too_large"),
        (deep.as_bytes(), "too_deep"),
        (b"\x89PNG\xff\xfe", "not_utf8"),
        (b"May  1 10:00:00 gate a: b\0c", "binary"),
        (br#"{"a": "tru"#, "bad_json"),
        (br#"[{"a": 1}, {"a": 2"#, "not_an_object"),
        (br#"[{"a": 1}]"#, "not_an_object"),
        (b"[1, 2]", "not_an_object"),
        (b"42", "not_an_object"),
        (b"\"text\"", "not_an_object"),
        (br#"{"a": 1}"#, "no_event_time"),
        (b"words without a time", "no_event_time"),
    ];
    for (record, expected) in cases {
        assert_eq!(reason(record), expected, "{:.60}", String::from_utf8_lossy(record));
    }
    for (format, expected) in
        [(Format::Syslog, "bad_syslog"), (Format::Clf, "bad_clf"), (Format::ApacheError, "bad_apache_error")]
    {
        assert_eq!(decoder(format, REPLAY).decode(b"words", None, position()).unwrap_err().reason.as_str(), expected);
    }
}

#[test]
fn time_candidates_go_in_order_and_an_unusable_one_is_passed_over() {
    let time = |record: &str| decode(record.as_bytes()).unwrap().time.to_string();
    assert_eq!(time(r#"{"time": 1, "timestamp": "2024-05-01T10:00:00Z"}"#), "2024-05-01T10:00:00Z");
    assert_eq!(
        time(r#"{"@timestamp": "soon", "timestamp": {"a": 1}, "event": {"created": "1714557600.5"}}"#),
        "2024-05-01T10:00:00.5Z"
    );
    assert_eq!(time(r#"{"UtcTime": "2024-05-01 10:00:00.123456789"}"#), "2024-05-01T10:00:00.123456789Z");
    let spec =
        DecodeSpec { time_fields: vec!["when.it".into()], timezone: "Asia/Seoul".into(), ..DecodeSpec::default() };
    let mut own = Decoder::new(&spec, LIMITS, REPLAY).unwrap();
    let record = br#"{"@timestamp": "2020-01-01T00:00:00Z", "when": {"it": "2024-05-01 19:00:00"}}"#;
    assert_eq!(own.decode(record, None, position()).unwrap().time.to_string(), "2024-05-01T10:00:00Z");
    let reject = decode(br#"{"@timestamp": "soon"}"#).unwrap_err();
    assert!(reject.detail.contains("@timestamp is soon there"), "{reject}");
}

#[test]
fn live_falls_back_to_the_records_timestamp_and_replay_does_not() {
    let mut live = decoder(Format::Auto, Timing::Live);
    let at = Some(1_714_557_600_000);
    assert_eq!(live.decode(b"words", at, position()).unwrap().time.to_string(), "2024-05-01T10:00:00Z");
    assert_eq!(
        live.decode(b"Dec 31 23:00:00 a b: c", at, position()).unwrap().time.to_string(),
        "2023-12-31T23:00:00Z"
    );
    assert_eq!(live.decode(b"words", None, position()).unwrap_err().reason, Reason::NoEventTime);
    let mut replay = decoder(Format::Auto, REPLAY);
    assert_eq!(replay.decode(b"words", at, position()).unwrap_err().reason, Reason::NoEventTime);
}

#[test]
fn a_decoder_remembers_the_year_of_its_source() {
    let mut replay = decoder(Format::Syslog, Timing::Replay { year: 2023 });
    let mut time = |line: &str| replay.decode(line.as_bytes(), None, position()).unwrap().time.to_string();
    assert_eq!(time("Dec 31 23:59:59 a b: c"), "2023-12-31T23:59:59Z");
    assert_eq!(time("Jan  1 00:00:00 a b: c"), "2024-01-01T00:00:00Z");
}

#[test]
fn extracts_read_the_message_of_json_too() {
    let record = br#"{"ts": 1714557600, "process": {"name": "sshd"}, "message": "Failed password for root from 203.0.113.9 port 4022 ssh2"}"#;
    let event = decode(record).unwrap();
    assert_eq!((text(&event, "event.action"), text(&event, "event.outcome")), ("ssh_login".into(), "failure".into()));
    assert_eq!((text(&event, "source.ip"), text(&event, "user.name")), ("203.0.113.9".into(), "root".into()));
}

#[test]
fn an_extract_can_give_the_time() {
    let extract = Extract { when: None, field: "message".into(), regex: r"at (?<ts>\d+)".into() };
    let spec = DecodeSpec { format: Format::Line, extracts: vec![extract], ..DecodeSpec::default() };
    let event = Decoder::new(&spec, LIMITS, REPLAY).unwrap().decode(b"done at 1714557600", None, position()).unwrap();
    assert_eq!(event.time.to_string(), "2024-05-01T10:00:00Z");
}

#[test]
fn records_of_extremes_are_read_within_wider_limits_and_refused_within_narrow_ones() {
    let plain = format!("{{\"ts\":1714557600,\"a\":\"{}\"}}", "x".repeat(1_000_000));
    let escaped = format!("{{\"ts\":1714557600,\"a\":\"{}\"}}", "\\\\".repeat(500_000));
    let deep = format!("{{\"ts\":1714557600,\"a\":{}7{}}}", "[{\"b\":".repeat(99), "}]".repeat(99));
    let names: Vec<String> = (0..10_000).map(|n| format!("\"f{n}\":{n}")).collect();
    let wide = format!("{{\"ts\":1714557600,{}}}", names.join(","));
    let wider = Limits { record_bytes_max: 2 << 20, depth_max: 200, fields_max: 20_000 };
    let mut generous = Decoder::new(&DecodeSpec::default(), wider, REPLAY).unwrap();
    generous.want(&Wanted::new(["a", "a.b", "f9999", "f0.x"]));
    for (record, path, expected) in
        [(&plain, "a", "x".repeat(1_000_000)), (&escaped, "a", "\\".repeat(500_000)), (&wide, "f9999", "9999".into())]
    {
        let read = generous.read(record.as_bytes(), None).unwrap();
        let view = generous.view(&read);
        assert_eq!(view.scalar(view.slot(path).unwrap()).unwrap().as_text(), expected);
    }
    let read = generous.read(deep.as_bytes(), None).unwrap();
    let (view, fields) = (generous.view(&read), generous.in_full(&read).unwrap());
    for path in ["a", "a.b"] {
        assert_eq!(view.value(view.slot(path).unwrap()), fields.get(path).map(|value| value.into_owned()));
    }
    let mut strict = decoder(Format::Auto, REPLAY);
    let mut reason = |record: &str| strict.read(record.as_bytes(), None).unwrap_err().reason;
    let longer = format!("{plain}{}", " ".repeat(100_000));
    assert_eq!(
        (reason(&longer), reason(&deep), reason(&wide)),
        (Reason::TooLarge, Reason::TooDeep, Reason::TooManyFields)
    );
}

#[test]
fn structured_data_is_held_to_the_limits_whoever_reads_it() {
    let parameters = |count: usize| " b=\"c\"".repeat(count);
    let name = |length: usize| "n".repeat(length - "log.syslog.structured_data.a.".len());
    for start in ["<34>1 2024-05-01T10:00:00Z gate su 1 - ", "<34>May  1 10:00:00 gate su: "] {
        let cases = [
            (format!("{start}[a{}] words", parameters(LIMITS.fields_max)), None),
            (format!("{start}[a{}][d{}] words", parameters(1), parameters(LIMITS.fields_max)), Some("too_many_fields")),
            (format!("{start}[a {}=\"c\"] words", name(PATH_BYTES_MAX)), None),
            (format!("{start}[a {}=\"c\"] words", name(PATH_BYTES_MAX + 1)), Some("path_too_long")),
            (format!("{start}[{}{}]", "a".repeat(400_000), parameters(100_000)), Some("path_too_long")),
        ];
        for (record, expected) in cases {
            for paths in [&[][..], &["message"], &["log.syslog.structured_data.a.b"]] {
                let mut decoder = decoder(Format::Auto, REPLAY);
                decoder.want(&Wanted::new(paths));
                let reason = decoder.read(record.as_bytes(), None).err().map(|reject| reject.reason.as_str());
                assert_eq!(reason, expected, "{record:.60}");
            }
        }
    }
}

/// What a test of all values is answered from without taking the event apart.
pub fn all_values_stand_in(json: JsonText<'_>, fields: &Fields) {
    let mut all = String::new();
    json.each_piece(&mut |piece| all.push_str(piece));
    for (path, value) in fields.iter() {
        value.any_scalar_within(&mut |scalar| {
            let mut plain = String::new();
            Scalar::of(scalar).into_iter().for_each(|scalar| escape(scalar.as_text(), &mut plain));
            assert!(all.contains(&plain), "{path}: {plain} in {all}");
            false
        });
    }
}

#[test]
fn what_an_extract_adds_stands_beside_the_record_where_all_values_are_asked() {
    let mut decoder = decoder(Format::Auto, Timing::Live);
    let record = br#"{"process": {"name": "sshd"}, "message": "Failed password for a\b from 10.0.0.1 port 22 ssh2"}"#;
    for (paths, is_asked) in [(&["source.ip"][..], false), (&[""], true), (&["", "event.action"], true)] {
        decoder.want(&Wanted::new(paths));
        let read = decoder.read(record, Some(0)).unwrap();
        let (view, fields) = (decoder.view(&read), decoder.in_full(&read).unwrap());
        assert_eq!(fields.get("event.action").unwrap().to_string(), "ssh_login");
        assert_eq!(view.json_text().is_some(), is_asked);
        view.json_text().into_iter().for_each(|json| all_values_stand_in(json, &fields));
    }
    let read = decoder.read(br#"{"message": "words"}"#, Some(0)).unwrap();
    let mut pieces = String::new();
    decoder.view(&read).json_text().unwrap().each_piece(&mut |piece| pieces.push_str(piece));
    assert_eq!(pieces, r#"{"message": "words"}"#, "what was beside the record before is gone");
}

const RECORDS: [&str; 9] = [
    r#"{"@timestamp": "2024-05-01T10:00:00Z", "process": {"name": "sshd"}, "message": "Failed password for bob from 203.0.113.9 port 4022 ssh2"}"#,
    r#"{"ts": 1714557600, "message": "words", "event.action": "mine", "user": [{"name": "a"}, {"name": "b"}]}"#,
    r#"{"ts": 1714557600, "\u006dessage": "10.0.0.1 did x", "source": {"ip": "10.0.0.2", "port": 1}}"#,
    r#"{"time": "soon", "message": 7, "a": {"b": null}}"#,
    "<38>May  1 10:00:00 gate sshd[7]: Failed password for root from 203.0.113.9 port 4022 ssh2",
    "<34>1 2024-05-01T10:00:00Z gate su 1 - [x@1 user=\"a\"] 10.0.0.1 did x",
    r#"203.0.113.9 - - [01/May/2024:10:00:00 +0000] "GET /a?b HTTP/1.1" 404 153 "-" "curl/8""#,
    "2024-05-01 10:00:00 10.0.0.1 did x",
    "[Wed May 01 10:00:00 2024] [error] [client 203.0.113.9] File does not exist: /srv/x",
];

proptest! {
    #[test]
    fn the_slots_of_a_record_hold_what_its_fields_do(
        records in proptest::collection::vec((0..RECORDS.len(), any::<proptest::sample::Index>(), any::<u8>()), 1..4),
        paths in proptest::collection::vec(proptest::sample::select(vec![
            "message", "source.ip", "source", "source.address", "user.name", "user", "event.action", "url.path",
            "process.name", "host.name", "log.syslog", "a.b", "ts", "done",
        ]), 0..8),
        with_extract: bool,
        asks_all: bool,
    ) {
        let extract = Extract { when: None, field: "message".into(), regex: r"^(?<source.ip>\S+) did (?<done>\w)".into() };
        let extracts = if with_extract { vec![extract] } else { vec![] };
        let spec = DecodeSpec { extracts, ..DecodeSpec::default() };
        let mut decoder = Decoder::new(&spec, LIMITS, Timing::Live).unwrap();
        decoder.want(&Wanted::new(paths.iter().copied().chain(asks_all.then_some(""))));
        for (record, at, with) in records {
            let mut bytes = RECORDS[record].as_bytes().to_vec();
            if with < 128 {
                let at = at.index(bytes.len());
                bytes[at] = with;
            }
            let Ok(read) = decoder.read(&bytes, Some(1_714_557_600_000)) else { continue };
            let (view, fields) = (decoder.view(&read), decoder.in_full(&read).unwrap());
            for path in &paths {
                let slot = view.slot(path).unwrap();
                prop_assert_eq!(view.value(slot), fields.get(path).map(|value| value.into_owned()), "{}", path);
                prop_assert_eq!(view.exists(slot), fields.exists(path), "{}", path);
            }
            prop_assert!(asks_all || view.json_text().is_none());
            view.json_text().into_iter().for_each(|json| all_values_stand_in(json, &fields));
        }
    }

    #[test]
    fn no_record_panics(bytes in proptest::collection::vec(any::<u8>(), 0..80), line in "\\PC{0,80}") {
        for (_, format) in Format::NAMED {
            let _ = decoder(format, REPLAY).decode(&bytes, None, position());
            let _ = decoder(format, Timing::Live).decode(line.as_bytes(), Some(0), position());
        }
    }
}
