//! The examples of the specification, in its order, and what it says of each.

use serde_json::json;

use super::Rule;

/// Whether a rule whose detection is this YAML matches an event.
fn is_found(detection: &str, event: serde_json::Value) -> bool {
    let indented: String = detection.lines().map(|line| format!("  {line}\n")).collect();
    let yaml = serde_yaml_ng::from_str(&format!("title: x\ndetection:\n{indented}")).expect("YAML");
    Rule::read(&yaml).unwrap_or_else(|why| panic!("{why}: {detection}")).matches(&event)
}

/// The same of one item.
fn asks(item: &str, event: serde_json::Value) -> bool {
    is_found(&format!("s:\n  {item}\ncondition: s"), event)
}

#[test]
fn wildcards_stand_for_one_character_or_any_text() {
    assert!(asks("a: prog?.exe", json!({"a": "progA.exe"})) && !asks("a: prog?.exe", json!({"a": "prog.exe"})));
    assert!(asks("a: antivirus_V*.exe", json!({"a": "ANTIVIRUS_v21.2.1.exe"})));
}

#[test]
fn a_backslash_escapes_wildcards_and_itself() {
    for (written, value) in [(r"a\b", r"a\b"), (r"a\\b", r"a\b"), (r"a\*", "a*"), (r"a\\*", r"a\x"), (r"a\\\*", r"a\*")]
    {
        assert!(asks(&format!("a: {written}"), json!({"a": value})), "{written}");
    }
    for written in [r"\\\", r"\\\\"] {
        assert!(asks(&format!("a: {written}x"), json!({"a": r"\\x"})), "{written}");
    }
    assert!(!asks(r"a: a\*", json!({"a": "ax"})));
}

#[test]
fn lists_are_alternatives_and_maps_conjunctions() {
    let keywords = "k:\n  - EVILSERVICE\n  - svchost.exe -n evil\ncondition: k";
    assert!(is_found(keywords, json!({"message": "an EvilService started"})) && !is_found(keywords, json!({"a": "x"})));
    let all = "k:\n  '|all':\n    - OabVirtualDirectory\n    - ' -ExternalUrl '\ncondition: k";
    assert!(is_found(all, json!({"a": "x -ExternalUrl y", "b": ["oabvirtualdirectory"]})));
    assert!(!is_found(all, json!({"a": "OabVirtualDirectory"})));
    let maps = "s:\n  - Image|endswith: '\\example.exe'\n  - Description|contains: Test executable\ncondition: s";
    assert!(
        is_found(maps, json!({"Description": "a test executable."}))
            && is_found(maps, json!({"Image": r"C:\example.exe"}))
    );
    let map = "s:\n  EventLog: Security\n  EventID:\n    - 517\n    - 1102\ncondition: s";
    assert!(is_found(map, json!({"EventLog": "security", "EventID": "1102"})));
    assert!(!is_found(map, json!({"EventLog": "Security", "EventID": 1})));
}

#[test]
fn null_is_no_value_and_the_empty_text_is_one() {
    let detection = "s:\n  id: 1\nf:\n  p: null\ncondition: s and not f";
    assert!(is_found(detection, json!({"id": 1, "p": ""})) && !is_found(detection, json!({"id": 1, "p": null})));
    assert!(asks("p: ''", json!({"p": ""})) && !asks("p: ''", json!({})));
    assert!(asks("p|exists: true", json!({"p": ""})) && asks("p|exists: false", json!({"q": 1})));
}

#[test]
fn modifiers_change_what_is_asked() {
    assert!(asks("a|cased: Foo", json!({"a": "Foo"})) && !asks("a|cased: Foo", json!({"a": "foo"})));
    assert!(
        asks("a|contains|windash: ' -p'", json!({"a": "x /P y"}))
            && !asks("a|contains|windash: a-p", json!({"a": "a/p"}))
    );
    assert!(
        asks("a|re: ^F.o$", json!({"a": "Foo"}))
            && !asks("a|re: f.o", json!({"a": "Foo"}))
            && asks("a|re|i: f.o", json!({"a": "Foo"}))
    );
    assert!(asks("a|base64: foobar", json!({"a": "Zm9vYmFy"})) && asks("a|wide|base64: cmd", json!({"a": "YwBtAGQA"})));
    assert!(
        asks("a|utf16|base64: cmd", json!({"a": "//5jAG0AZAA="}))
            && asks("a|utf16be|base64: cmd", json!({"a": "AGMAbQBk"}))
    );
    for encoded in ["Zm9vYmFy", "Zvb2Jhc", "mb29iYX"] {
        assert!(asks("a|base64offset|contains: foobar", json!({"a": format!("AB{encoded}CD")})), "{encoded}");
    }
    assert!(asks("a|gte: 5", json!({"a": "5.0"})) && !asks("a|lt: 5", json!({"a": "many"})));
    assert!(asks("a|neq: x", json!({"a": "y"})) && !asks("a|neq: x", json!({"a": "X"})));
    assert!(
        asks("a|cidr: 10.0.0.0/8", json!({"a": "10.9.8.7"}))
            && asks("a|cidr: 2001:db8::/33", json!({"a": "2001:db8:7fff::1"}))
    );
    assert!(
        asks("a|fieldref: b", json!({"a": "X", "b": "x"})) && asks("a|fieldref|neq: b", json!({"a": "X", "b": "y"}))
    );
    let at = json!({"t": "2024-12-30T23:59:01Z"});
    for part in ["minute: 59", "hour: 23", "day: 30", "week: 1", "month: 12", "year: 2024"] {
        assert!(asks(&format!("t|{part}"), at.clone()), "{part}");
    }
}

#[test]
fn conditions_bind_as_the_specification_orders_them() {
    let found = |condition: &str| {
        let named = "sel_a:\n  a: 1\nsel_b:\n  a: 2\nfilter:\n  b: 1\n_hidden:\n  a: 1";
        is_found(&format!("{named}\ncondition: {condition}"), json!({"a": 1, "b": 1}))
    };
    for yes in
        ["sel_a or sel_b and filter", "1 of sel_*", "1 of them", "not sel_b", "not (sel_b and filter)", "all of _*"]
    {
        assert!(found(yes), "{yes}");
    }
    for no in [
        "all of sel_*",
        "all of them",
        "sel_b or sel_a and not filter",
        "1 of *_b",
        "(sel_a or sel_b) and not 1 of filter*",
    ] {
        assert!(!found(no), "{no}");
    }
    assert!(found("[sel_b, sel_a]"));
}
