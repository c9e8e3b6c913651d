//! Rules and events that are made so that rules match often: what rules look for is drawn from the same words that
//! events hold. Every combination of modifiers is legal.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use proptest::{prelude::*, sample::select};
use serde_json::{Map, Value as Json, json};

/// What rules look for, before wildcards.
const WORDS: [&str; 22] = [
    "foo", "Foo", "FOO bar", "bar", "o", "", "-x", "a /b", "–x y-z", "C:\\foo", "a\\\\b", "\\", "5", "5.0", "true",
    "ß", "\u{212a}", "ſ", "İ", "10.0.0.1", "%x%", "a\"b\nc",
];

/// With wildcards and escapes.
const PATTERNS: [&str; 12] =
    ["*", "?", "f?o", "f*o*", "*\\*", "\\?", "a\\\\*", "\\\\\\*", "*o?b*r", "C:\\*", "**foo", "?*"];

/// For encodings: letters of ASCII.
const PLAIN: [&str; 4] = ["foo", "Foo b", "ab", "x"];

const FIELDS: [&str; 6] = ["a", "b", "c.d", "list", "list.n", "odd name"];

fn words(some: &'static [&'static str]) -> impl Strategy<Value = String> + Clone {
    select(some).prop_map(str::to_owned)
}

fn text() -> impl Strategy<Value = String> + Clone {
    prop_oneof![3 => words(&WORDS), 2 => words(&PATTERNS)]
}

/// Modifiers with the values that they go with.
fn modified() -> impl Strategy<Value = (String, Vec<Json>)> {
    let some = |value: BoxedStrategy<Json>| prop::collection::vec(value, 1..4);
    let texts = || {
        some(
            prop_oneof![6 => text().prop_map(Json::from), 1 => number(), 1 => any::<bool>().prop_map(Json::from)]
                .boxed(),
        )
    };
    let plain = || some(words(&PLAIN).prop_map(Json::from).boxed());
    let one = |value: BoxedStrategy<Json>| value.prop_map(|value| vec![value]);
    prop_oneof![
        4 => (words(&["", "|cased"]), words(&["", "|contains", "|startswith", "|endswith"]), texts())
            .prop_map(|(cased, open, texts)| (format!("{open}{cased}"), texts)),
        1 => (words(&["|windash", "|windash|contains", "|contains|windash", "|cased|windash"]), texts())
            .prop_map(|(chain, texts)| (chain, texts)),
        1 => (
            words(&["", "|wide", "|utf16le", "|utf16be", "|utf16"]),
            words(&["|base64", "|base64offset", "|base64offset|contains", "|base64|startswith", "|base64|cased|contains"]),
            plain(),
        )
            .prop_map(|(wide, base64, texts)| (format!("{wide}{base64}"), texts)),
        1 => (words(&["|wide", "|utf16be|contains", "|cased|wide|endswith"]), plain()),
        2 => (words(&["", "|lt", "|lte", "|gt", "|gte"]), some(number().boxed())),
        1 => (words(&["|re", "|re|i", "|re|s", "|re|m", "|re|i|s", "|re|startswith", "|re|endswith", "|re|contains"]), some(regex().boxed())),
        1 => (Just("|cidr".to_owned()), some(select(vec!["10.0.0.0/8", "10.0.0.1", "fd00::/8", "::/0"]).prop_map(Json::from).boxed())),
        1 => (
            words(&["|fieldref", "|fieldref|contains", "|fieldref|startswith", "|fieldref|endswith", "|fieldref|cased", "|cased|fieldref|contains"]),
            some(select(&FIELDS[..]).prop_map(Json::from).boxed()),
        ),
        1 => (Just("|exists".to_owned()), one(any::<bool>().prop_map(Json::from).boxed())),
        1 => (Just(String::new()), some(prop_oneof![Just(Json::Null), text().prop_map(Json::from)].boxed())),
        1 => (
            words(&["|minute", "|hour", "|day", "|week", "|month", "|year", "|hour|gte", "|lt|day"]),
            some(select(vec![1, 5, 10, 18, 20, 2024]).prop_map(Json::from).boxed()),
        ),
    ]
}

fn number() -> impl Strategy<Value = Json> + Clone {
    select(vec![json!(5), json!(-1), json!(5.0), json!(2.5), json!(0)])
}

fn regex() -> impl Strategy<Value = Json> {
    select(vec!["^f.o", "o+$", "(?:foo|bar)", "^$", ".", "a.b.c", "[0-9]", "^b", "\\\\", "^c"]).prop_map(Json::from)
}

/// One value may stand alone; `all` is for several.
fn linked() -> impl Strategy<Value = (String, Json)> {
    (modified(), any::<bool>(), words(&["", "", "", "|neq"]), any::<bool>()).prop_map(
        |((chain, values), all, neq, alone)| {
            let all = if all && values.len() > 1 { "|all" } else { "" };
            let value = if alone && values.len() == 1 { values[0].clone() } else { Json::from(values) };
            (format!("{chain}{all}{neq}"), value)
        },
    )
}

/// `all` and `neq` go with every chain; other modifiers of keywords are those of texts.
fn keywords() -> impl Strategy<Value = Json> {
    let list =
        prop::collection::vec(prop_oneof![4 => text().prop_map(Json::from), 1 => number()], 1..4).prop_map(Json::from);
    prop_oneof![
        3 => list.clone(),
        1 => text().prop_map(Json::from),
        1 => (words(&["|all", "|cased", "|contains", "|neq", "|windash", "|startswith", "|endswith|all"]), list)
            .prop_map(|(chain, list)| json!({ chain: list })),
        1 => (words(&["|re", "|re|i"]), regex()).prop_map(|(chain, regex)| json!({ chain: regex })),
    ]
}

fn map() -> impl Strategy<Value = Json> {
    let item = (select(&FIELDS[..]), linked()).prop_map(|(field, (chain, value))| (format!("{field}{chain}"), value));
    prop::collection::vec(item, 1..4).prop_map(|items| Json::Object(items.into_iter().collect()))
}

fn detection() -> impl Strategy<Value = Json> {
    prop_oneof![
        4 => map(),
        1 => prop::collection::vec(map(), 1..3).prop_map(Json::from),
        1 => keywords(),
        1 => (map(), text()).prop_map(|(map, keyword)| json!([map, keyword])),
    ]
}

const NAMES: [&str; 4] = ["sel_a", "sel_b", "filter", "_own"];

fn condition() -> impl Strategy<Value = String> {
    let leaf = words(&[
        "sel_a",
        "sel_b",
        "filter",
        "_own",
        "1 of sel_*",
        "all of sel_*",
        "1 of them",
        "all of them",
        "any of *er",
        "1 of _*",
    ]);
    leaf.prop_recursive(3, 8, 2, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("{a} and {b}")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("{a} or {b}")),
            inner.clone().prop_map(|a| format!("not {a}")),
            inner.prop_map(|a| format!("({a})")),
        ]
    })
}

/// A rule, as JSON, which is YAML.
pub fn rule() -> impl Strategy<Value = Json> {
    let named = prop::collection::vec(detection(), NAMES.len());
    let conditions = prop_oneof![
        3 => condition().prop_map(Json::from),
        1 => prop::collection::vec(condition(), 1..3).prop_map(Json::from),
        2 => Just(json!("sel_a")),
    ];
    (named, conditions).prop_map(|(named, condition)| {
        let mut detection: Map<String, Json> = NAMES.iter().map(|name| (*name).to_owned()).zip(named).collect();
        detection.insert("condition".to_owned(), condition);
        json!({"title": "made", "level": "low", "logsource": {"category": "made"}, "detection": detection})
    })
}

fn scalar() -> impl Strategy<Value = Json> + Clone {
    let encoded: Vec<Json> = PLAIN
        .iter()
        .flat_map(|word| {
            let wide: Vec<u8> = word.encode_utf16().flat_map(u16::to_le_bytes).collect();
            let big: Vec<u8> = word.encode_utf16().flat_map(u16::to_be_bytes).collect();
            let marked = [&[0xff, 0xfe], &wide[..]].concat();
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("ASCII between zeros");
            let mut values: Vec<Json> =
                [word.as_bytes(), &wide, &big, &marked].map(|bytes| BASE64_STANDARD.encode(bytes).into()).into();
            values.extend(
                (1..4).map(|offset| Json::from(BASE64_STANDARD.encode(format!("{}{word} ...", "-".repeat(offset))))),
            );
            values.extend([Json::from(text(&wide)), Json::from(text(&big))]);
            values
        })
        .collect();
    prop_oneof![
        6 => words(&WORDS).prop_map(Json::from),
        2 => (words(&WORDS), words(&["", " ", "x", "*", "\\"]), words(&WORDS)).prop_map(|(a, b, c)| Json::from(format!("{a}{b}{c}"))),
        2 => select(vec![json!(5), json!(5.0), json!(-1), json!(2.5), json!(0), json!(true), json!(false), json!(null)]),
        2 => select(encoded),
        1 => select(vec![json!("2024-05-01T10:20:05Z"), json!("2024-01-05 18:10:01.5"), json!("fd00::7"), json!("*"), json!("f?o")]),
        1 => words(&PLAIN).prop_map(|word| Json::from(word.to_uppercase())),
    ]
}

/// An event with a time, as every event has one.
pub fn event() -> impl Strategy<Value = Json> {
    let value = prop_oneof![
        6 => scalar(),
        1 => prop::collection::vec(scalar(), 0..3).prop_map(Json::from),
        1 => prop::collection::vec(scalar(), 0..3).prop_map(|items| items.into_iter().map(|n| json!({ "n": n })).collect()),
    ];
    let fields = prop::collection::vec((select(vec!["a", "b", "c", "c.d", "list", "odd name", "other"]), value), 0..6);
    fields.prop_map(|fields| {
        let mut event = Map::new();
        event.insert("@timestamp".to_owned(), json!("2024-05-01T10:20:30Z"));
        for (name, value) in fields {
            // Of `c.d` and the `d` of `c`, which are one path, an event has one.
            let is_c = |name: &str| name == "c" || name == "c.d";
            if !is_c(name) || !event.keys().any(|name| is_c(name)) {
                let value = if name == "c" { json!({ "d": value }) } else { value };
                event.insert(name.to_owned(), value);
            }
        }
        Json::Object(event)
    })
}
