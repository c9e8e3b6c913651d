//! Scripts that go wrong are stopped; files that are made to break the loader don't.

use super::*;

/// The stack of a thread that runs rules, less than any thread of the engine has.
const STACK_BYTES: usize = 1 << 20;

fn on_small_stack<T: Send + 'static>(run: impl FnOnce() -> T + Send + 'static) -> T {
    std::thread::Builder::new().stack_size(STACK_BYTES).spawn(run).unwrap().join().unwrap()
}

fn stopped(text: &str) -> String {
    let rule = rule(text);
    on_small_stack(move || rule.patterns[0].predicate.test(&event(json!({"a": 1}))).unwrap_err().to_string())
}

#[test]
fn a_closure_is_stopped_at_its_limit() {
    let error = stopped("rule(#{ id: \"r\", event: |e| {\n  loop {} e.a == 1 } })");
    assert_eq!(error, "a.rhai:2:8: the script was stopped: more than 20000 operations");
    let error = stopped("fn f(x) { f(x + 1) }\nrule(#{ id: \"r\", event: |e| f(1) == e.a })");
    assert!(error.contains("calls nest deeper than 12"), "{error}");
    let error = stopped("rule(#{ id: \"r\", event: |e| { let s = \"xxxxxxxxxxxxxxxx\"; loop { s += s; } e.a == 1 } })");
    assert!(error.contains("length of string is too large (texts up to 1048576 bytes"), "{error}");
    let error = stopped("rule(#{ id: \"r\", event: |e| { let s = [1]; loop { s += s; } e.a == 1 } })");
    assert!(error.contains("size of array is too large"), "{error}");
    let error = stopped("rule(#{ id: \"r\", event: |e| { throw \"no\"; } })");
    assert_eq!(error, "a.rhai:1:31: no");
}

#[test]
fn errors_name_the_imported_file() {
    let all = files(&[
        ("a.rhai", "import \"lib/l\" as l;\nrule(#{ id: \"r\", event: |e| l::f(e) });"),
        ("lib/l.rhai", "fn f(e) {\n  let x = [1];\n  x[7]\n}"),
    ]);
    let loaded = load(&all, &LoadOptions::default(), None);
    let error = loaded.set.rules[0].patterns[0].predicate.test(&event(json!({}))).unwrap_err();
    assert_eq!(error.place, "lib/l.rhai:3:5");
}

#[test]
fn a_predicate_that_answers_no_test_is_an_error() {
    let error = stopped("let x = parse_int(\"5\"); rule(#{ id: \"r\", event: |e| [x, e.a == 1][0] })");
    assert!(error.contains("not true or false"), "{error}");
}

#[test]
fn the_deepest_allowed_script_fits_a_small_stack() {
    let nested = |inner: &str| "(1 + ".repeat(34) + inner + &*")".repeat(34);
    let text = format!(
        "fn f(n) {{ if n == 0 {{ 0 }} else {{ {} }} }}\nrule(#{{ id: \"r\", event: |e| f(10) == e.a }})",
        nested("f(n - 1)")
    );
    let rule = rule(&text);
    let answer = on_small_stack(move || rule.patterns[0].predicate.test(&event(json!({"a": 340}))));
    assert_eq!(answer, Ok(true));
}

#[test]
fn what_nests_deeper_does_not_load() {
    for (open, close) in [("if e.a == 1 {", "}"), ("!(", ")"), ("{", "}"), ("[", "]"), ("while true {", "}")] {
        let predicate = format!("{}true{}", open.repeat(200), close.repeat(200));
        let loaded = load_text(&format!("rule(#{{ id: \"r\", event: |e| {predicate} }})"));
        assert!(loaded.diagnostics.iter().any(|found| found.code == "too-deep"), "{open}");
    }
}

#[test]
fn no_text_breaks_the_loader() {
    const MANY: usize = 100_000;
    let around = |open: &str, close: &str| open.repeat(MANY) + "1" + &*close.repeat(MANY);
    let mut texts: Vec<String> = [
        ("(", ")"),
        ("[", "]"),
        ("{", "}"),
        ("#{a:", "}"),
        ("!", ""),
        ("-", ""),
        ("- ", ""),
        ("|x| ", ""),
        ("||", ""),
        ("`${", "}`"),
        ("if true {", "}"),
        ("if true {} else ", ""),
        ("fn a() {", "}"),
        ("f(", ")"),
        ("a[", "]"),
        ("1 + (", ")"),
        ("x = ", ""),
        ("try {", "} catch {}"),
        ("switch 1 { 1 => ", "}"),
        ("while true {", "}"),
        ("/*", "*/"),
        ("a::", "()"),
        ("return ", ""),
        ("do {", "} while true"),
        ("for x in [", "] {}"),
        ("1 ?? ", ""),
    ]
    .map(|(open, close)| around(open, close))
    .into();
    for link in [".a", "[0]", ".f()", "?.a", "[\"a\"]", ".f(1, 2)", "?[0]", ".a[0]"] {
        texts.push(format!("let e = 1; e{}", link.repeat(MANY)));
    }
    for operator in ["+ 1", "&& true", "|| true", "== 1", "in [1]", "?? 1", "..1", "** 2"] {
        texts.push(format!("1 {}", operator.repeat(MANY)));
        texts.push(format!("rule(#{{ id: \"r\", event: |e| e.a {} }})", operator.repeat(2_000)));
    }
    texts.extend(
        ["\u{feff}rule(", "\0", "`${", "#{", "|", "||", "'", "\"\\", "/*", "e.", "e?.", "r#\"", "`${`${1}`"]
            .map(str::to_owned),
    );
    for text in texts {
        let start: String = text.chars().take(40).collect();
        let loaded = load_text(&text);
        assert!(loaded.set.rules.is_empty() || !loaded.has_errors(), "{start}");
    }
}

#[test]
fn long_lists_of_alternatives_are_fine() {
    let list: Vec<String> = (0..100).map(|at| format!("e.a == \"{at}\"")).collect();
    let any = rule(&format!("rule(#{{ id: \"r\", event: |e| {} }})", list.join(" || ")));
    assert_eq!(any.patterns[0].predicate.test(&event(json!({"a": "99"}))), Ok(true));
    let items: Vec<String> = (0..5_000).map(|at| format!("\"{at}\"")).collect();
    let one = rule(&format!("rule(#{{ id: \"r\", event: |e| e.a in [{}] }})", items.join(", ")));
    assert_eq!(one.patterns[0].predicate.test(&event(json!({"a": 4_999}))), Ok(true));
}

#[test]
fn a_script_reaches_nothing_outside() {
    for name in [
        "sleep(1)",
        "timestamp()",
        "rand()",
        "exit()",
        "eval(\"1\")",
        "parse_json(\"1\")",
        "open(\"/etc/passwd\")",
        "import \"/etc/passwd\" as p",
    ] {
        assert!(load_text(&format!("{name};")).has_errors(), "{name}");
    }
}

#[test]
fn a_file_that_is_too_large_is_refused() {
    let loaded = load_text(&"// x\n".repeat(300_000));
    assert_eq!(loaded.diagnostics.iter().map(|found| found.code).collect::<Vec<_>>(), ["too-large"]);
}
