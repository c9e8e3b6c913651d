//! What loading promises.

use std::sync::Arc;

use serde_json::json;

use super::*;
use crate::{
    event::{Event, Fields, Position, Timestamp, Value},
    rule::{Predicate, ScriptTest, TestBody, predicate::Code},
};

fn files(texts: &[(&str, &str)]) -> RuleFiles {
    let files = texts.iter().map(|(path, text)| (PathBuf::from(path), (*text).to_owned())).collect();
    RuleFiles { files, ..RuleFiles::default() }
}

fn load_text(text: &str) -> Loaded {
    load(&files(&[("a.rhai", text)]), &LoadOptions::default(), None)
}

fn rendered(loaded: &Loaded) -> String {
    loaded.diagnostics.iter().filter(|found| found.is_error()).map(|found| found.render(false) + "\n").collect()
}

/// The only rule of a file without errors.
fn rule(text: &str) -> Arc<Rule> {
    let loaded = load_text(text);
    assert!(!loaded.has_errors(), "{}", rendered(&loaded));
    assert_eq!(loaded.set.rules.len(), 1);
    loaded.set.rules[0].clone()
}

fn event(json: serde_json::Value) -> Arc<Event> {
    let Value::Object(entries) = Value::from_json(&json) else { panic!("an object") };
    let fields: Fields = entries.into_iter().map(|(name, value)| (name.to_string(), value)).collect();
    let position = Position { input: "i".into(), partition: 0, offset: 0 };
    Arc::new(Event { time: Timestamp(1_704_067_200_000_000_000), position, fields })
}

/// A statement that keeps a closure from being lowered.
const SCRIPT: &str = "while false {}";

/// The closure of a rule that begins with [`SCRIPT`], as Rhai calls it.
fn interpreted(rule: &Rule) -> Predicate {
    let Predicate::Script(ScriptTest(code)) = &rule.patterns[0].predicate else { panic!("it is lowered") };
    match &**code {
        Code::Fragment(fragment, _) => Predicate::Script(ScriptTest(Arc::new(Code::Closure(fragment.script.clone())))),
        Code::Closure(_) => rule.patterns[0].predicate.clone(),
    }
}

#[track_caller]
fn holds(predicate: &str, json: serde_json::Value) -> bool {
    let plain = rule(&format!("rule(#{{ id: \"r\", event: |e| {predicate} }})"));
    let script = interpreted(&rule(&format!("rule(#{{ id: \"r\", event: |e| {{ {SCRIPT} {predicate} }} }})")));
    let event = event(json);
    let answer = plain.patterns[0].predicate.test(&event).unwrap();
    assert_eq!(script.test(&event), Ok(answer), "{predicate}");
    answer
}

#[test]
fn a_simple_rule_loads_and_matches() {
    assert!(holds("e.a.b == \"x\" && e.n > 5", json!({"a": {"b": "x"}, "n": 6})));
    assert!(!holds("e.a.b == \"x\" && e.n > 5", json!({"a.b": "x", "n": 5})));
    assert!(holds("{ let n = e.n; if n > 5 { return true; } n == 1; }", json!({"n": 1})));
}

#[test]
fn reading_is_total_and_the_missing_is_never_equal() {
    let some = || json!({"a": "y", "nothing": null, "n": 0});
    assert!(holds("e.a != \"x\"", some()));
    assert!(!holds("e.b != \"x\"", some()) && holds("!(e.b == \"x\")", some()));
    assert!(!holds("e.b.c.d == 1 || e.b.c.d != 1 || e.b < 1 || e.b > 1", some()));
    assert!(!holds("e.nothing != 1", some()) && !holds("exists(e.nothing)", some()));
    assert!(holds("exists(e.a) && !exists(e.b) && exists(e)", some()));
    assert!(!holds("e.b == e.c || e.b != e.a || e.a != e.b", some()));
    assert!(!holds("e.b.contains(\"\") || cidr(e.b, \"0.0.0.0/0\") || e.b in [1] || e.b in 0..9", some()));
}

#[test]
fn literals_decide_how_a_field_compares() {
    let some = || json!({"n": 22, "t": "22", "f": 22.0, "yes": true, "no": "false", "big": 9_007_199_254_740_993_i64});
    assert!(holds("e.n == 22 && e.t == 22 && e.f == 22 && 22 == e.t", some()));
    assert!(holds("e.n == \"22\" && e.t == \"22\" && e.f != \"22\" && \"22\" == e.n", some()));
    assert!(holds("e.n > 5 && 5 < e.n && e.n >= 22.0 && !(e.n > 22)", some()));
    assert!(holds("e.n < \"5\"", some()));
    assert!(holds("e.yes == true && e.yes == \"true\" && e.no == false && e.no != true", some()));
    assert!(holds("e.big == 9007199254740993 && e.big != 9007199254740992 && e.big > 9007199254740992.0", some()));
    assert!(holds("e.n == e.t && e.n == e.f && e.t != e.f && e.t == e.n", some()));
    assert!(holds("e.n in [1, 22] && e.n in [\"22\"] && !(e.n in []) && e.n in 20..23 && !(e.n in 0..22)", some()));
    assert!(holds("e.n in 0..=22 && e.n !in [1]", some()));
}

#[test]
fn an_array_matches_if_any_element_does() {
    let some = || json!({"tags": ["a", "b"], "list": [{"n": 1}, {"n": 7}], "none": []});
    assert!(holds("e.tags == \"a\" && e.tags != \"a\" && \"b\" in e.tags && !(\"c\" in e.tags)", some()));
    assert!(holds("e.list.n > 5 && e.list.n < 5 && e.list.n in [7]", some()));
    assert!(holds("e.tags.contains(\"b\") && len(e.tags) == 2 && !(e.none == \"a\") && !(e.none != \"a\")", some()));
    assert!(holds("e.list.n + 1 == 8 && e.tags == e.tags", some()));
}

#[test]
fn contains_asks_for_a_part_and_in_for_the_whole() {
    let some = || json!({"m": "hello world", "contains": "x"});
    assert!(holds("e.m.contains(\"lo w\") && !(\"lo w\" in e.m) && contains(e.m, \"hello\")", some()));
    assert!(holds("e.m in \"say hello world\" && e.contains == \"x\" && e.contains.contains(\"x\")", some()));
    assert!(holds("[\"a\", \"b\"].contains(\"a\") && \"abc\".contains(\"b\") && \"a\" in [\"a\"]", some()));
}

#[test]
fn arithmetic_gives_missing_where_there_is_no_number() {
    let some = || json!({"n": 7, "t": "3", "x": "x", "max": i64::MAX, "z": 0});
    assert!(holds("e.n + e.t == 10 && e.n - 1 == 6 && 10 - e.n == 3 && -e.n == -7 && e.n * 0.5 == 3.5", some()));
    assert!(holds("e.n / 2 == 3 && e.n % 4 == 3 && e.n / 2.0 == 3.5", some()));
    for missing in ["e.max + 1", "e.n / e.z", "e.n % 0", "e.n + e.x", "e.n + e.missing", "e.x * 2", "e.missing + 1"] {
        assert!(!holds(&format!("exists({missing})"), some()), "{missing}");
    }
}

#[test]
fn every_word_after_a_dot_is_a_field() {
    for word in [
        "module",
        "thread",
        "as",
        "type",
        "package",
        "in",
        "if",
        "fn",
        "true",
        "this",
        "eval",
        "call",
        "global",
        "contains",
        "tag",
        "len",
        "private",
        "let",
        "new",
        "static",
        "print",
        "is_shared",
        "curry",
        "name",
    ] {
        let event = json!({"a": {word: {"id": 1}}, word: {"b": "x"}});
        let predicate = format!("e.{word}.b == \"x\" && e.a.{word}.id == 1 && e?.{word}.b == \"x\"");
        assert!(holds(&predicate, event.clone()), "{word}");
        assert!(holds(&format!("`${{e.{word}.b}}` == \"x\" && `${{e.a.{word}.id}}-` == \"1-\""), event), "{word}");
    }
    let keys = "rule(#{ id: \"r\", event: |e| e.a == 1, tests: [ #{ name: \"t\", until: \"1h\", with: [], alerts: [],
        events: [ #{ at: \"0s\", event: #{ module: 1, \"thread\": 2, in: 3, contains: 4 } } ] } ] })";
    let TestBody::Fields(fields) = &rule(keys).tests[0].events[0].body else { panic!("fields") };
    assert_eq!(serde_json::Value::from(fields.to_json()), json!({"contains": 4, "in": 3, "module": 1, "thread": 2}));
    assert!(holds("e[\"@timestamp\"] == 1 && e.a[\"b-c\"].d == 2", json!({"@timestamp": 1, "a": {"b-c": {"d": 2}}})));
}

#[test]
fn functions_of_fields() {
    let some = || {
        json!({"image": "C:\\Windows\\CMD.EXE", "ip": "10.1.2.3", "b": "aGVsbG8=", "u": "Ärger", "n": 22,
               "pairs": "abab", "domain": "gooogle.com"})
    };
    assert!(holds(
        "like(e.image, \"*\\\\cmd.exe\") && e.image.iends_with(\"cmd.exe\") && !e.image.ends_with(\"cmd.exe\")",
        some()
    ));
    assert!(holds(
        "ieq(e.u, \"ÄRGER\") && e.u.icontains(\"RGE\") && e.u.istarts_with(\"är\") && e.u.starts_with(\"Är\")",
        some()
    ));
    assert!(holds("matches(e.image, \"(?i)cmd\\\\.exe$\") && !matches(e.image, \"^cmd\")", some()));
    assert!(holds(
        "cidr(e.ip, \"192.168.0.0/16\", \"10.0.0.0/8\") && !cidr(e.ip, \"10.1.2.4\") && cidr(e.ip, [\"10.0.0.0/8\"])",
        some()
    ));
    assert!(holds("base64(e.b) == \"hello\" && !exists(base64(e.ip)) && base64(e.b).starts_with(\"he\")", some()));
    assert!(holds(
        "len(e.u) == 5 && len(e.n) == 2 && lower(e.image).ends_with(\"cmd.exe\") && entropy(e.pairs) == 1",
        some()
    ));
    assert!(holds(
        "edit_distance(e.domain, \"google.com\") == 1 && edit_distance(e.domain, \"google.com\") <= 2",
        some()
    ));
    assert!(holds(
        "hour(e) == 0 && hour(e, \"Asia/Seoul\") == 9 && weekday(e) == 1 && weekday(e, \"America/New_York\") == 7",
        some()
    ));
}

#[test]
fn a_loop_gives_each_rule_values_of_its_own() {
    let text = r#"
        for (word, at) in ["a", "b"] {
            let wanted = #{ word: word };
            rule(#{ id: `r-${at}`, event: |e| e.x == wanted.word });
            wanted.word = "changed";
        }
    "#;
    let loaded = load_text(text);
    assert!(!loaded.has_errors(), "{}", rendered(&loaded));
    let test = |id: &str, x: &str| loaded.set.get(id).unwrap().patterns[0].predicate.test(&event(json!({"x": x})));
    assert_eq!((test("r-0", "a"), test("r-0", "b")), (Ok(true), Ok(false)));
    assert_eq!((test("r-1", "a"), test("r-1", "b")), (Ok(false), Ok(true)));
    assert_ne!(loaded.set.rules[0].shape, loaded.set.rules[1].shape);
}

#[test]
fn functions_and_imports_work_in_closures_called_later() {
    let library = r#"
        import "lib/base" as base;
        const ROOT = "root";
        fn admin(e) { base::named(e, global::ROOT) }
    "#;
    let base = "fn named(e, name) { e.user.name == name }";
    let text = r#"
        import "lib/users" as users;
        fn twice(f, e) { f.call(e) && f.call(e) }
        fn plain(e) { e.a == 1 }
        rule(#{ id: "r", event: |e| users::admin(e) && twice(|x| plain(x), e) });
        rule(#{ id: "s", event: plain });
    "#;
    let all = files(&[
        ("r.rhai", &text.replace("event: plain", "event: Fn(\"plain\")")),
        ("lib/users.rhai", library),
        ("lib/base.rhai", base),
    ]);
    let loaded = load(&all, &LoadOptions::default(), None);
    assert!(!loaded.has_errors(), "{}", rendered(&loaded));
    let rule = loaded.set.get("r").unwrap();
    assert_eq!(rule.patterns[0].predicate.test(&event(json!({"user.name": "root", "a": 1}))), Ok(true));
    assert_eq!(rule.patterns[0].predicate.test(&event(json!({"user.name": "me", "a": 1}))), Ok(false));
    let keep: Vec<&str> = rule.patterns[0].keep.iter().map(|path| &**path).collect();
    assert_eq!(keep, ["a", "user.name"]);
    assert_eq!(loaded.set.get("s").unwrap().patterns[0].predicate.test(&event(json!({"a": 1}))), Ok(true));
}

mod differential;
mod limits;
mod lists;
mod lowering;
mod reload;
mod windows;
