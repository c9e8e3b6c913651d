//! What predicates are lowered to.

use super::*;

const LOWERED: &str = r#"
    import "lib/l" as l;
    let word = "x"; let words = ["x", 7, true]; let least = 5;
    fn failed(e) { e.outcome == "failure" }
    fn has(field, wanted) { field.icontains(wanted) || exists(field) && field != wanted }
    for (predicate, at) in [
        |e| e.a == 1, |e| !(e.a.b != "x") && (e["@t"] >= 1.5 || 3 < e.b.c), |e| e.a == e.b, |e| e.a in ["x", 1],
        |e| word in e.tags, |e| e.a in words && e.n > least && e.a == word, |e| failed(e) && has(e.user.name, "root"),
        |e| e.a.contains("x") && e.a.iends_with("X") && ieq(e.a, "x") && like(e.a, "*x"), |e| exists(e.a.b), |e| true,
        |e| matches(e.a, "^x") && cidr(e.ip, "10.0.0.0/8", "::1"), |e| l::good(e), |e| { failed(e) },
    ] {
        rule(#{ id: `r${at}`, event: predicate });
    }
"#;

#[test]
fn simple_predicates_run_without_rhai() {
    let all = files(&[
        ("a.rhai", LOWERED),
        ("lib/l.rhai", "fn good(e) { e.a.b == 1 && inner(e.c) }\nfn inner(f) { f.d == 2 }"),
    ]);
    let loaded = load(&all, &LoadOptions::default(), None);
    assert!(!loaded.has_errors(), "{}", rendered(&loaded));
    assert_eq!(loaded.set.rules.len(), 13);
    for rule in &loaded.set.rules {
        assert!(!matches!(rule.patterns[0].predicate, Predicate::Script(_)), "{}", rule.id());
    }
    let matches = |id: &str, json| loaded.set.get(id).unwrap().patterns[0].predicate.test(&event(json)).unwrap();
    assert!(matches("r5", json!({"a": "x", "n": 6})) && !matches("r5", json!({"a": "x", "n": 5})));
    assert!(matches("r6", json!({"outcome": "failure", "user.name": "ROOT"})));
    assert!(matches("r11", json!({"a": {"b": 1}, "c": {"d": 2}})) && !matches("r11", json!({"a": {"b": 1}})));
}

/// Predicates whose parts are lowered but for what is in brackets.
#[test]
fn only_the_part_that_cannot_be_lowered_is_a_script() {
    let text = r#"
        fn odd(e) { let n = 0; for i in 0..3 { n += i; } e.n == n }
        rule(#{ id: "guarded", event: |e| e.a == 1 && odd(e) && !exists(e.b) });
        rule(#{ id: "after-let", event: |e| { let a = e.a; let t = a == 1; if t { return odd(e) } a == 2 } });
        rule(#{ id: "text", event: |e| e.a == 1 && `${e.b}-x` == "b-x" });
    "#;
    let loaded = load_text(text);
    assert!(!loaded.has_errors(), "{}", rendered(&loaded));
    let matches = |id: &str, json| loaded.set.get(id).unwrap().patterns[0].predicate.test(&event(json)).unwrap();
    let Predicate::All(parts) = &loaded.set.get("guarded").unwrap().patterns[0].predicate else { panic!("all of") };
    assert!(matches!(parts[..], [Predicate::Field(_), Predicate::Script(_), Predicate::Not(_)]));
    assert!(matches("guarded", json!({"a": 1, "n": 3})) && !matches("guarded", json!({"a": 1, "n": 2})));
    assert!(!matches!(loaded.set.get("after-let").unwrap().patterns[0].predicate, Predicate::Script(_)));
    assert!(matches("after-let", json!({"a": 1, "n": 3})) && matches("after-let", json!({"a": 2})));
    assert!(!matches("after-let", json!({"a": 1, "n": 2})));
    assert!(matches("text", json!({"a": 1, "b": "b"})) && !matches("text", json!({"a": 1, "b": "c"})));
    let scripts: Vec<_> = loaded.diagnostics.iter().filter(|found| found.code == "script").collect();
    assert_eq!(scripts.iter().map(|found| found.place.line).collect::<Vec<_>>(), [2, 5]);
}

#[test]
fn equal_tests_are_equal_values() {
    let text = r#"
        rule(#{ id: "a", event: |e| e.a.icontains("CMD") || e.n in [1, "x", 1] || e.l == lower(e.u) });
        rule(#{ id: "b", event: |f| { let n = f.n; f.a.icontains("cmd") || n in ["x", 1] || f.l == lower(f.u) } });
    "#;
    let loaded = load_text(text);
    let parts = |id: &str| match &loaded.set.get(id).unwrap().patterns[0].predicate {
        Predicate::Any(parts) => parts.clone(),
        other => panic!("{other:?}"),
    };
    for (a, b) in parts("a").iter().zip(&parts("b")) {
        let (Predicate::Field(a), Predicate::Field(b)) = (a, b) else { panic!("{a:?}") };
        assert_eq!(a, b);
    }
}

#[test]
fn what_needs_no_event_is_folded() {
    let text = r#"
        let kind = "ssh";
        rule(#{ id: "a", event: |e| kind == "dns" && e.a == 1 });
        rule(#{ id: "b", event: |e| e.a in [] });
        rule(#{ id: "c", event: |e| kind.len() + 1 == 4 || e.a == 1 });
        rule(#{ id: "d", event: |e| e.a == `${kind}-${1 + 1}` && true });
    "#;
    let loaded = load_text(text);
    let constant = |id: &str| match loaded.set.get(id).unwrap().patterns[0].predicate {
        Predicate::Constant(answer) => Some(answer),
        _ => None,
    };
    assert_eq!(["a", "b", "c", "d"].map(constant), [Some(false), Some(false), Some(true), None]);
    let found: Vec<_> = loaded.diagnostics.iter().filter(|found| found.code == "constant").collect();
    assert_eq!(found.iter().map(|found| found.place.line).collect::<Vec<_>>(), [3, 4, 5]);
}

/// A closure that doubles what it holds at each step stays small.
#[test]
fn doubling_ends_in_a_script() {
    let mut body = String::from("let t0 = e.a == 1;");
    for at in 1..60 {
        body += &*format!("let t{at} = t{0} == t{0};", at - 1);
    }
    let loaded = load_text(&format!("rule(#{{ id: \"r\", event: |e| {{ {body} t59 }} }})"));
    assert!(!loaded.has_errors(), "{}", rendered(&loaded));
    assert!(loaded.set.get("r").unwrap().patterns[0].predicate.test(&event(json!({"a": 1}))).unwrap());
    assert!(loaded.diagnostics.iter().any(|found| found.code == "script"));
}

#[test]
fn a_sign_after_any_name_calculates() {
    assert!(holds("e.in - 1 == 4 && e.as + 1 == 3 && e.module -1 == 0", json!({"in": 5, "as": 2, "module": 1})));
}
