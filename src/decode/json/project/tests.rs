//! The walk takes what the strict parser takes, and reads it as that does.

use proptest::prelude::*;

use super::*;
use crate::{
    decode::{json, tests::all_values_stand_in},
    event::Slot,
};

const LIMITS: Limits = Limits { record_bytes_max: 1 << 20, depth_max: 5, fields_max: 12 };
const PATHS: [&str; 12] = ["a", "b", "a.b", "a.b.c", "b.a", "c.a.b", "a.a", "b.c", "c", "a.b.a.c", "a..b", "b."];

/// Whether the walk took the record; what it took has to be what the strict parser gives.
fn is_taken(text: &str, projection: &mut Projection, slots: &mut Slots) -> bool {
    if projection.fill(text, &LIMITS, slots).is_err() {
        return false;
    }
    let wanted = &projection.wanted;
    let fields = json::fields(text, &LIMITS).unwrap_or_else(|fault| panic!("{text} was taken: {fault:?}"));
    let view = slots.view(wanted, text);
    for slot in (0..wanted.len() as u32).map(Slot) {
        let path = wanted.path(slot);
        assert_eq!(view.value(slot), fields.get(path).map(|value| value.into_owned()), "{path} of {text}");
        assert_eq!(view.exists(slot), fields.exists(path), "{path} exists in {text}");
    }
    all_values_stand_in(view.json_text().expect("the record"), &fields);
    true
}

fn wanting<'p>(paths: impl IntoIterator<Item = &'p str>) -> Projection {
    Projection::new(Arc::new(Wanted::new(paths.into_iter().chain([""]))))
}

fn record() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        Just("false".to_owned()),
        "-?(0|[1-9][0-9]{0,3})(\\.[0-9]{1,2})?([eE][+-]?[0-9])?",
        "\"([a-cé ]|\\\\[nrtbf/\"\\\\]|\\\\u00[4-6][0-9a-f]|\\\\ud83d\\\\ude0[0-9]){0,6}\"",
    ];
    let name = "(a|b|c|a\\.b|b\\.c|a\\.b\\.c|d|d\\.a|a\\.d){1}";
    let value = word.prop_recursive(5, 24, 4, move |inner| {
        let entry = (name, inner.clone(), "[ \t\r\n]?").prop_map(|(n, v, space)| format!("\"{n}\"{space}:{space}{v}"));
        prop_oneof![
            (proptest::collection::vec(inner, 0..4), "[ \n]?")
                .prop_map(|(items, space)| format!("[{space}{}{space}]", items.join(&format!("{space},{space}")))),
            proptest::collection::vec(entry, 0..4).prop_map(|entries| format!("{{{}}}", entries.join(","))),
        ]
    });
    proptest::collection::vec((name, value), 0..6).prop_map(|entries| {
        let entries: Vec<String> = entries.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
        format!(" {{{}}}\n", entries.join(", "))
    })
}

/// A record with some characters lost, doubled, replaced, or with its end cut off.
fn broken() -> impl Strategy<Value = String> {
    let change =
        (any::<proptest::sample::Index>(), 0..4, proptest::sample::select(b"{}[]\":,\\ue0.-n\n\x01 a".to_vec()));
    (record(), proptest::collection::vec(change, 1..4)).prop_map(|(record, changes)| {
        let mut chars: Vec<char> = record.chars().collect();
        for (at, how, with) in changes {
            if chars.is_empty() {
                break;
            }
            let at = at.index(chars.len());
            match how {
                0 => drop(chars.remove(at)),
                1 => chars.truncate(at),
                2 => chars[at] = with.into(),
                _ => chars.insert(at, with.into()),
            }
        }
        chars.into_iter().collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn what_is_taken_reads_as_the_strict_parser_reads_it(
        records in proptest::collection::vec(record(), 1..6),
        paths in proptest::collection::vec(proptest::sample::select(&PATHS[..]), 0..8),
    ) {
        let (mut projection, mut slots) = (wanting(paths), Slots::default());
        for record in &records {
            let is_json = json::fields(record, &LIMITS).is_ok();
            prop_assert_eq!(is_taken(record, &mut projection, &mut slots), is_json, "{}", record);
        }
    }

    #[test]
    fn what_the_strict_parser_refuses_is_not_taken(
        before in record(),
        record in broken(),
        paths in proptest::collection::vec(proptest::sample::select(&PATHS[..]), 0..8),
    ) {
        let (mut projection, mut slots) = (wanting(paths), Slots::default());
        is_taken(&before, &mut projection, &mut slots);
        is_taken(&record, &mut projection, &mut slots);
    }
}

#[test]
fn rare_names_and_limits_are_left_to_the_strict_parser() {
    let (mut projection, mut slots) = (wanting(["a"]), Slots::default());
    let long = format!("{{\"{}\":1}}", "x".repeat(PATH_BYTES_MAX + 1));
    for rare in [r#"{"\u0061": 1}"#, r#"{"": 1}"#, r#"{"": {"a": 1}}"#, r#"{"b": {"": 1}}"#, &long, "[1]", "", " "] {
        assert!(!is_taken(rare, &mut projection, &mut slots), "{rare:.40}");
    }
    for usual in [r#"{}"#, r#"{"a":[{"":1}]}"#, r#"{"a":"\u0061"}"#] {
        assert!(is_taken(usual, &mut projection, &mut slots), "{usual}");
    }
}
