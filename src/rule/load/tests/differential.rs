//! A predicate gives the same answer lowered and interpreted: on generated predicates over all of the language, and
//! on generated events with numbers as texts, missing values and letters that fold oddly. 200,000 pairs; with
//! `PROPTEST_CASES` a thousand for each case.

use proptest::{prelude::*, sample::select};

use super::*;

const EVENTS: usize = 50;
const PREDICATES: usize = 20;

const LIBRARY: &str = r#"
    fn same(f, wanted) { f == wanted || f.icontains("ss") }
    fn known(e) { let a = e.a; if exists(a) { return same(a, "x") } inner(e.b) }
    fn inner(f) { f.c in [1, "x"] }
"#;

/// What predicates find around them.
const AROUND: &str = r#"
    import "lib/l" as l;
    let word = "x"; let words = ["x", 7, true, "ß"]; let least = 5; let kind = "b";
    fn failed(e) { e.a == "failure" || e.b.c == "x" }
    fn has(field, wanted) { field.icontains(wanted) || exists(field) && field != wanted }
    fn picked(kind, e) { (switch kind { "a" => e.a == 1, "b" if e.t == true => e.b.c, 3..7 => false, _ => e.in }) == "x" }
    fn either(e, t) { if t { e.a } else { e.b.c } }
    fn slow(e) { let n = 0; for i in 0..2 { n += i; } e.a == n }
"#;

/// Marks what is no test without Rhai.
const SLOW: &str = "/*slow*/";

fn text(some: &'static [&'static str]) -> impl Strategy<Value = String> + Clone {
    select(some).prop_map(str::to_owned)
}

fn field() -> impl Strategy<Value = String> + Clone {
    text(&["e.a", "e.b.c", "e.list", "e.list.n", "e[\"@t\"]", "e.in", "e.gone.x", "e.module", "f", "g.c"])
}

fn literal() -> impl Strategy<Value = String> + Clone {
    text(&[
        "1",
        "-1",
        "5.0",
        "0.5",
        "9007199254740993",
        "18446744073709551615.0",
        "-0.0",
        "\"1\"",
        "\"x\"",
        "\"X\"",
        "\"true\"",
        "true",
        "false",
        "\"\"",
        "\"10.0.0.1\"",
        "'x'",
        "word",
        "least",
        "least + 1",
        "`${word}-${1 + 1}`",
        "\"\u{212A}\"",
        "\"İ\"",
        "\"ſ\"",
        "\"ΟΔΟΣ\"",
        "k",
        "words[1]",
        "[\"x\", 2][0]",
    ])
}

fn wanted() -> impl Strategy<Value = String> + Clone {
    text(&[
        "\"x\"",
        "\"X\"",
        "\"1\"",
        "\"\"",
        "\"tr\"",
        "\"*\"",
        "\"?\"",
        "\"?*i\"",
        "\"İ\"",
        "\"i\u{307}\"",
        "\"K\"",
        "\"\u{212A}\"",
        "\"ſ\"",
        "\"σ\"",
        "\"ς\"",
        "\"οδοσ\"",
        "word",
        "word + \"X\"",
        "\"ß\"",
    ])
}

/// A value that may be missing.
fn value() -> impl Strategy<Value = String> {
    let operator = text(&["+", "-", "*", "/", "%"]);
    let leaf = prop_oneof![
        6 => field(),
        1 => text(&["hour(e)", "weekday(e)", "hour(e, \"Asia/Seoul\")", "n", "either(e, t)", "lower(\"ΣX\")"]),
    ];
    leaf.prop_recursive(3, 8, 2, move |inner| {
        let number = text(&["1", "2.5", "0", "-3", "\"7\"", "least", "9223372036854775807", "\"x\"", "true"]);
        prop_oneof![
            (inner.clone(), operator.clone(), number.clone()).prop_map(|(a, o, b)| format!("({a} {o} {b})")),
            (number, operator.clone(), inner.clone()).prop_map(|(a, o, b)| format!("({a} {o} {b})")),
            (inner.clone(), operator.clone(), inner.clone()).prop_map(|(a, o, b)| format!("({a} {o} {b})")),
            inner.clone().prop_map(|a| format!("-({a})")),
            (text(&["len", "lower", "base64", "entropy"]), inner.clone()).prop_map(|(f, a)| format!("{f}({a})")),
            (inner.clone(), wanted()).prop_map(|(a, w)| format!("edit_distance({a}, {w})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("edit_distance({a}, {b})")),
            (inner.clone(), inner).prop_map(|(a, b)| format!("(if t {{ {a} }} else {{ {b} }})")),
        ]
    })
}

fn comparison() -> impl Strategy<Value = String> + Clone {
    text(&["==", "!=", "<", "<=", ">", ">="])
}

fn text_test() -> impl Strategy<Value = String> + Clone {
    text(&["contains", "icontains", "starts_with", "istarts_with", "ends_with", "iends_with", "ieq", "like"])
}

fn leaf() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => (field(), comparison(), literal()).prop_map(|(a, o, b)| format!("{a} {o} {b}")),
        1 => (literal(), comparison(), field()).prop_map(|(a, o, b)| format!("{a} {o} {b}")),
        2 => (value(), comparison(), literal()).prop_map(|(a, o, b)| format!("{a} {o} {b}")),
        2 => (value(), comparison(), value()).prop_map(|(a, o, b)| format!("{a} {o} {b}")),
        2 => (value(), prop::collection::vec(prop_oneof![3 => literal(), 1 => field()], 0..4))
            .prop_map(|(a, list)| format!("{a} in [{}]", list.join(", "))),
        1 => (value(), text(&["words", "1..5", "1..=7", "#{ x: 1, failure: 2 }", "\"axb\""]))
            .prop_map(|(a, list)| format!("{a} in {list}")),
        1 => (text(&["1", "5.0", "\"x\"", "true", "word", "t"]), value()).prop_map(|(a, b)| format!("{a} in {b}")),
        1 => (field(), value()).prop_map(|(a, b)| format!("{a} in {b}")),
        4 => (text_test(), field(), wanted()).prop_map(|(f, a, w)| format!("{a}.{f}({w})")),
        1 => (text_test(), field(), value()).prop_map(|(f, a, b)| format!("{a}.{f}({b})")),
        1 => (text(&["icontains", "ieq", "like"]), wanted(), value()).prop_map(|(f, a, b)| format!("{f}({a}, {b})")),
        1 => value().prop_map(|a| format!("exists({a})")),
        1 => (text_test(), wanted()).prop_map(|(f, w)| format!("e.{f}({w})")),
        1 => text(&["matches(e, \"^x\")", "e.icontains(\"K\")"]),
        1 => (value(), text(&["^[x1]", "(?i)ſ|k", "\\\\d$", "^$"])).prop_map(|(a, r)| format!("matches({a}, \"{r}\")")),
        1 => (field(), text(&["\"10.0.0.0/8\", \"::/0\"", "\"10.0.0.1\"", "[\"0.0.0.0/0\"]"]))
            .prop_map(|(a, n)| format!("cidr({a}, {n})")),
        1 => (field(), comparison()).prop_map(|(a, o)| format!("{a} {o} t")),
        1 => (field(), wanted()).prop_map(|(a, w)| format!("has({a}, {w})")),
        1 => text(&[
            "true", "false", "t", "u == t", "failed(e)", "l::known(e)", "l::same(e.a, word)", "kind == \"b\"",
            "word in words", "picked(kind, e)", "picked(4, e)", "picked(\"a\", #{ a: 2 })",
            "exists(e)", "switch least { 5 if t => e.a == 1, 5 => u, 1..3 => false, _ => true }",
        ]),
        1 => text(&[
            "slow(e)", "`${e.a}` == \"x\"", "words.some(|w| e.a == w)", "{ let n = 1; n += 1; e.b.c == n }",
            "{ let x = false; try { x = e.a == 1; } catch { } x }", "e.a.len().to_string() == \"1\"", "word.sub_string(0, 3 + e.a.len())",
        ]).prop_map(|slow| format!("({SLOW} {slow})")),
    ]
}

fn test() -> impl Strategy<Value = String> {
    leaf().prop_recursive(4, 16, 3, |inner| {
        prop_oneof![
            3 => (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} && {b})")),
            3 => (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} || {b})")),
            2 => inner.clone().prop_map(|a| format!("!({a})")),
            1 => (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("(({a}) == ({b}))")),
            1 => (inner.clone(), inner.clone(), inner.clone())
                .prop_map(|(a, b, c)| format!("(if {a} {{ {b} }} else {{ {c} }})")),
            1 => (inner.clone(), value(), inner.clone())
                .prop_map(|(a, v, b)| format!("({{ let s = {a}; let h = {v}; s != (h == 1 || {b}) }})")),
            1 => (inner.clone(), inner.clone(), inner)
                .prop_map(|(a, b, c)| format!("(switch {a} {{ true => {b}, false => {c} }})")),
        ]
    })
}

/// The body of a closure, with `f`, `g`, `n`, `t`, `u` and `k` before it.
fn body() -> impl Strategy<Value = String> {
    let tail = prop_oneof![
        4 => test(),
        1 => (test(), test(), test()).prop_map(|(a, b, c)| format!("if {a} {{ return {b}; }} {c}")),
        1 => (test(), test(), test(), test())
            .prop_map(|(a, b, c, d)| format!("if {a} {{ let x = {b}; if x {{ return {c} }} else {{ return x }} }} {d}")),
        1 => (test(), test(), test())
            .prop_map(|(a, b, c)| format!("if {a} {{ {b} }} else if u {{ {c} }} else {{ t }}")),
    ];
    let value = (field(), value()).prop_map(|(field, value)| value.replace("(if t", &format!("(if {field} == 1")));
    (text(&["e.a", "e.b.c", "e.list"]), text(&["e.b", "e.list"]), text(&["1", "\"x\"", "2.5"]), value, tail).prop_map(
        |(f, g, k, n, tail)| {
            let n = n.replace("either(e, t)", "e.a");
            let n = if n.contains('n') && n.split(|c: char| !c.is_alphanumeric()).any(|word| word == "n") {
                "len(e.a)".to_owned()
            } else {
                n
            };
            format!(
                "let f = {f}; let g = {g}; const k = {k}; let t = f == 1 || e.t == true; let n = {n}; \
                 let u = !t && n != 2; {tail}"
            )
        },
    )
}

fn scalar() -> impl Strategy<Value = serde_json::Value> + Clone {
    select(vec![
        json!(1),
        json!(-1),
        json!(5),
        json!(5.0),
        json!(0.5),
        json!(2),
        json!(9_007_199_254_740_993_i64),
        json!(u64::MAX),
        json!(1e300),
        json!("1"),
        json!("5.0"),
        json!("01"),
        json!("1e2"),
        json!("x"),
        json!("X"),
        json!("xX"),
        json!("failure"),
        json!("ssX"),
        json!(true),
        json!("false"),
        json!("true"),
        json!(""),
        json!(null),
        json!("10.0.0.1"),
        json!("::1"),
        json!("\u{212A}elvin"),
        json!("İi"),
        json!("ſS"),
        json!("ΟΔΟΣ"),
        json!("οδος"),
        json!("eA=="),
        json!("ß"),
    ])
}

fn field_value() -> impl Strategy<Value = serde_json::Value> {
    prop_oneof![
        4 => scalar(),
        1 => prop::collection::vec(scalar(), 0..3).prop_map(serde_json::Value::from),
        1 => prop::collection::vec(scalar(), 0..3)
            .prop_map(|items| items.into_iter().map(|n| json!({ "n": n, "c": [n, 1] })).collect()),
        1 => scalar().prop_map(|n| json!({ "n": n, "c": 1 })),
    ]
}

fn an_event() -> impl Strategy<Value = Arc<Event>> {
    let values = [field_value(), field_value(), field_value(), field_value(), field_value(), field_value()];
    (values, any::<i32>()).prop_map(|([a, c, list, t, word, module], time)| {
        let json = json!({"a": a, "b": {"c": c}, "list": list, "@t": t, "in": word, "module": module, "t": t});
        Arc::new(Event { time: Timestamp(i64::from(time) * 1_000_000_000), ..(*event(json)).clone() })
    })
}

fn cases() -> u32 {
    match std::env::var_os("PROPTEST_CASES") {
        Some(_) => ProptestConfig::default().cases,
        None => 200,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn lowered_and_interpreted_agree(
        bodies in prop::collection::vec(body(), PREDICATES),
        events in prop::collection::vec(an_event(), EVENTS),
    ) {
        let mut rules = AROUND.to_owned();
        for (at, body) in bodies.iter().enumerate() {
            rules += &*format!("rule(#{{ id: \"{at:02}-lowered\", event: |e| {{ {body} }} }});\n");
            rules += &*format!("rule(#{{ id: \"{at:02}-script\", event: |e| {{ {SCRIPT} {body} }} }});\n");
        }
        let loaded = load(&files(&[("a.rhai", &rules), ("lib/l.rhai", LIBRARY)]), &LoadOptions::default(), None);
        prop_assert!(!loaded.has_errors(), "{}", rendered(&loaded));
        for (pair, body) in loaded.set.rules.chunks(2).zip(&bodies) {
            let [lowered, script] = pair else { panic!("a pair") };
            let lowered = &lowered.patterns[0].predicate;
            prop_assert!(!lowered.runs_script() || body.contains(SLOW), "not lowered: {}: {:?}", body, loaded.diagnostics);
            let script = interpreted(script);
            for event in &events {
                match (lowered.test(event), script.test(event)) {
                    (Ok(lowered), Ok(script)) => prop_assert_eq!(lowered, script, "{} of {:?}", body, event),
                    (Err(_), Err(_)) => {}
                    (lowered, script) => {
                        prop_assert!(false, "{:?}, {:?}: {} of {:?}", lowered, script, body, event)
                    }
                }
            }
        }
    }
}
