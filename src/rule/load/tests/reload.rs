//! What stays over a change of the files.

use super::*;

fn ids(loaded: &Loaded) -> Vec<&str> {
    loaded.set.rules.iter().map(|rule| &**rule.id()).collect()
}

fn reload(texts: &[(&str, &str)], previous: &Loaded) -> Loaded {
    load(&files(texts), &LoadOptions::default(), Some(&previous.set))
}

const GOOD: &str = "rule(#{ id: \"a\", event: |e| e.a == 1 }); rule(#{ id: \"b\", event: |e| e.a == 2 });";

#[test]
fn a_bad_rule_takes_no_good_one_down() {
    let text = "rule(#{ id: \"a\", event: |e| e.a == 1 }); rule(#{ id: \"b\", event: 1 });";
    let loaded = load(
        &files(&[("x.rhai", text), ("y.rhai", "rule("), ("z.rhai", "rule(#{ id: \"c\", event: |e| e.a == 1 })")]),
        &LoadOptions::default(),
        None,
    );
    assert_eq!(ids(&loaded), ["a", "c"]);
    assert_eq!(loaded.diagnostics.iter().filter(|found| found.is_error()).count(), 2);
}

#[test]
fn a_file_with_errors_keeps_its_last_good_version_and_says_so() {
    let first = load(
        &files(&[("x.rhai", GOOD), ("y.rhai", "rule(#{ id: \"c\", event: |e| e.a == 1 })")]),
        &LoadOptions::default(),
        None,
    );
    for broken in [
        "rule(",
        "rule(#{ id: \"a\", event: |e| e.a == 9, severity: \"x\" }); rule(#{ id: \"d\", event: |e| e.a == 1 });",
    ] {
        let second = reload(&[("x.rhai", broken), ("y.rhai", "rule(#{ id: \"e\", event: |e| e.a == 1 })")], &first);
        assert_eq!(ids(&second), ["a", "b", "e"]);
        assert!(Arc::ptr_eq(&first.set.rules[0], &second.set.rules[0]));
        assert!(second.diagnostics.iter().any(|found| found.code == "kept" && !found.is_error()));
        assert_ne!(first.set.hash, second.set.hash);
        let third = reload(&[("x.rhai", GOOD)], &second);
        assert_eq!(ids(&third), ["a", "b"]);
        assert!(!third.has_errors());
    }
}

#[test]
fn the_hash_names_the_rules_and_what_they_import() {
    let hash = |rules: &str, library: &str| {
        load(&files(&[("x.rhai", rules), ("lib/l.rhai", library)]), &LoadOptions::default(), None).set.hash
    };
    let base = hash(GOOD, "fn f() { 1 }");
    assert_eq!(base, hash(GOOD, "fn f() { 1 }"));
    assert_ne!(base, hash(&format!("{GOOD} // c"), "fn f() { 1 }"));
    assert_ne!(base, hash(GOOD, "fn f() { 2 }"));
    assert_eq!(base.len(), 64);
}

#[test]
fn a_disabled_rule_stays_out_and_leaves_its_id() {
    let text = "rule(#{ id: \"a\", enabled: false, event: |e| e.a == 1 }); rule(#{ id: \"a\", event: |e| e.a == 2 });";
    let loaded = load_text(text);
    assert!(!loaded.has_errors(), "{}", rendered(&loaded));
    assert_eq!(ids(&loaded), ["a"]);
}

#[test]
fn the_shape_is_what_shapes_the_windows() {
    let text = r#"
        import "lib/l" as l;
        fn is_bad(e) { e.outcome == "failure" }
        rule(#{ id: "r", title: "t", severity: "low", events: #{ a: |e| is_bad(e) && l::good(e), b: |e| e.x == 1 },
                by: ["ip"], within: "10m", sequence: [times(3, "a"), "b"], when: |w| w.a.distinct("user") > 2,
                alert: |w| #{ title: `${w.key[0]}` }, suppress: "1h" });
    "#;
    let library = "fn good(e) { e.y == 1 }";
    let shape = |path: &str, text: &str, library: &str| {
        let loaded = load(&files(&[(path, text), ("lib/l.rhai", library)]), &LoadOptions::default(), None);
        assert!(!loaded.has_errors(), "{}", rendered(&loaded));
        loaded.set.rules[0].shape
    };
    let base = shape("a.rhai", text, library);
    for (from, to) in [
        ("\"t\"", "\"another\""),
        ("\"low\"", "\"high\""),
        ("rule(#{ id", "\n\n/* c */ rule(#{   id"),
        ("e.outcome ==", "e.outcome   /* c */ =="),
        ("alert: |w| #{ title: `${w.key[0]}` }", "alert: |w| #{ title: \"x\" }"),
        ("suppress:", "tests: [], suppress:"),
        ("user\") > 2", "user\") > 3"),
    ] {
        assert_eq!(base, shape("b/c.rhai", &text.replace(from, to), library), "{to}");
    }
    for (from, to) in [
        ("\"failure\"", "\"success\""),
        ("e.x == 1", "e.x == 2"),
        ("[\"ip\"]", "[\"host\"]"),
        ("10m", "11m"),
        ("times(3", "times(4"),
        ("w.a.distinct", "w.a.max"),
        ("1h", "2h"),
        ("`${w.key[0]}`", "`${w.a.last.new_field}`"),
    ] {
        assert_ne!(base, shape("a.rhai", &text.replace(from, to), library), "{to}");
    }
    assert_ne!(base, shape("a.rhai", text, "fn good(e) { e.y == 2 }"));
}

#[test]
fn findings_are_json_too() {
    let loaded = load_text("rule(#{\n  id: \"a\", event: |e| e.a == 1, severty: \"x\" })");
    let error = loaded.diagnostics.iter().find(|found| found.is_error()).unwrap();
    let expected = json!({"level": "error", "code": "unknown-key", "message": "unknown key `severty`", "file": "a.rhai",
        "line": 2, "column": 33, "length": 7, "help": "did you mean `severity`?",
        "source": "  id: \"a\", event: |e| e.a == 1, severty: \"x\" })"});
    assert_eq!(serde_json::to_value(error).unwrap(), expected);
}

const SIGMA: &str = "title: Sigma rule
logsource:
    category: process_creation
    product: windows
detection:
    selection:
        Image: a
    condition: selection
level: low
falsepositives: [none]
";

#[test]
fn a_sigma_file_with_errors_keeps_its_last_good_rules_too() {
    let first = load(&files(&[("x.rhai", GOOD), ("s.yml", SIGMA)]), &LoadOptions::default(), None);
    assert_eq!(ids(&first), ["a", "b", "sigma-rule"]);
    for broken in ["title: [", &SIGMA.replace("condition: selection", "condition: selecton")] {
        let second = reload(&[("x.rhai", GOOD), ("s.yml", broken)], &first);
        assert_eq!(ids(&second), ["a", "b", "sigma-rule"]);
        let kept = second.diagnostics.iter().find(|found| found.code == "kept").expect("it says so");
        assert_eq!(kept.place.file, PathBuf::from("s.yml"));
    }
    assert_eq!(ids(&reload(&[("x.rhai", GOOD)], &first)), ["a", "b"]);
}

#[test]
fn a_map_of_log_sources_belongs_to_the_rules_hash() {
    let hash = |map: &str| {
        let sigma = SigmaOptions { pipelines: vec![("map.json".into(), map.to_owned())] };
        let options = LoadOptions { sigma: Arc::new(sigma), ..LoadOptions::default() };
        load(&files(&[("s.yml", SIGMA)]), &options, None).set.hash
    };
    assert_eq!(hash("category: {a: {b: c}}"), hash("category: {a: {b: c}}"));
    assert_ne!(hash("category: {a: {b: c}}"), hash("category: {a: {b: d}}"));
}
