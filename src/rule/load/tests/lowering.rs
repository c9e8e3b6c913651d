//! A predicate gives the same answer lowered and interpreted.

use proptest::prelude::*;

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

fn field() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["e.a", "e.b.c", "e.list", "e.list.n", "e[\"@t\"]", "e.in", "e.gone.x"])
        .prop_map(str::to_owned)
}

fn literal() -> impl Strategy<Value = String> {
    let some = [
        "1",
        "-1",
        "5.0",
        "0.5",
        "9007199254740993",
        "\"1\"",
        "\"x\"",
        "\"X\"",
        "\"true\"",
        "true",
        "false",
        "\"\"",
        "\"10.0.0.1\"",
    ];
    prop::sample::select(some.to_vec()).prop_map(str::to_owned)
}

fn text() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["\"x\"", "\"X\"", "\"1\"", "\"\"", "\"tr\"", "\"*\"", "\"?\"", "\"10.0.0.0/8\""])
        .prop_map(str::to_owned)
}

fn predicate() -> impl Strategy<Value = String> {
    let comparison = prop::sample::select(vec!["==", "!=", "<", "<=", ">", ">="]);
    let method = prop::sample::select(vec![
        "contains",
        "icontains",
        "starts_with",
        "istarts_with",
        "ends_with",
        "iends_with",
        "ieq",
        "like",
    ]);
    let leaf = prop_oneof![
        (field(), comparison.clone(), literal()).prop_map(|(field, sign, literal)| format!("{field} {sign} {literal}")),
        (literal(), comparison.clone(), field()).prop_map(|(literal, sign, field)| format!("{literal} {sign} {field}")),
        (field(), comparison, field()).prop_map(|(left, sign, right)| format!("{left} {sign} {right}")),
        (field(), prop::collection::vec(literal(), 0..4))
            .prop_map(|(field, list)| format!("{field} in [{}]", list.join(", "))),
        (literal(), field()).prop_map(|(literal, field)| format!("{literal} in {field}")),
        (method, field(), text()).prop_map(|(name, field, text)| format!("{field}.{name}({text})")),
        field().prop_map(|field| format!("exists({field})")),
        field().prop_map(|field| format!("matches({field}, \"^[x1]\")")),
        field().prop_map(|field| format!("cidr({field}, \"10.0.0.0/8\", \"::/0\")")),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} && {b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} || {b})")),
            inner.prop_map(|a| format!("!({a})")),
        ]
    })
}

fn value() -> impl Strategy<Value = serde_json::Value> {
    let scalar = prop::sample::select(vec![
        json!(1),
        json!(-1),
        json!(5),
        json!(5.0),
        json!(0.5),
        json!(9_007_199_254_740_993_i64),
        json!("1"),
        json!("x"),
        json!("X"),
        json!("xX"),
        json!(true),
        json!("false"),
        json!(""),
        json!(null),
        json!("10.0.0.1"),
        json!("::1"),
    ]);
    prop_oneof![
        3 => scalar.clone(),
        1 => prop::collection::vec(scalar.clone(), 0..3).prop_map(serde_json::Value::from),
        1 => prop::collection::vec(scalar, 0..3).prop_map(|items| items.into_iter().map(|n| json!({"n": n})).collect()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn lowered_and_interpreted_agree(
        predicates in prop::collection::vec(predicate(), 1..12),
        values in prop::collection::vec([value(), value(), value(), value(), value()], 1..12),
    ) {
        let mut rules = String::new();
        for (at, predicate) in predicates.iter().enumerate() {
            rules += &*format!("rule(#{{ id: \"{at:02}-lowered\", event: |e| {predicate} }});\n");
            rules += &*format!("rule(#{{ id: \"{at:02}-script\", event: |e| {{ let script = 1; {predicate} }} }});\n");
        }
        let loaded = load_text(&rules);
        prop_assert!(!loaded.has_errors(), "{}", rendered(&loaded));
        for [a, c, list, t, word] in values {
            let event = event(json!({"a": a, "b": {"c": c}, "list": list, "@t": t, "in": word}));
            for pair in loaded.set.rules.chunks(2) {
                let [lowered, script] = pair else { panic!("a pair") };
                prop_assert!(!matches!(lowered.patterns[0].predicate, Predicate::Script(_)));
                prop_assert!(matches!(script.patterns[0].predicate, Predicate::Script(_)));
                let place = lowered.place.line;
                prop_assert_eq!(
                    lowered.patterns[0].predicate.test(&event),
                    script.patterns[0].predicate.test(&event),
                    "{} of {:?}", rules.lines().nth(place - 1).unwrap_or_default(), event
                );
            }
        }
    }
}
