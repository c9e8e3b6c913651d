//! Rules that look values up in lists.

use super::*;

const RULE: &str = r#"
    let name = "bad";
    rule(#{ id: "lowered", event: |e| in_list(e.ip, "bad") && !in_list(e.host, "assets:host") });
    rule(#{ id: "script", event: |e| { while false {} e.ip.in_list(name) && !in_list(e.host, "assets:host") } });
"#;

const BAD: (&str, &str) = ("lists/bad.txt", "10.0.0.0/8\n");
const ASSETS: (&str, &str) = ("lists/assets.csv", "ip,host\n10.0.0.1,gate\n");

fn with_lists(rule: &str, lists: &[(&str, &str)], previous: Option<&Loaded>) -> Loaded {
    let lists = lists.iter().map(|(path, text)| (PathBuf::from(path), Ok((*text).to_owned()))).collect();
    let files = RuleFiles { lists, ..files(&[("a.rhai", rule)]) };
    load(&files, &LoadOptions::default(), previous.map(|loaded| &loaded.set))
}

fn matches(loaded: &Loaded, id: &str, json: serde_json::Value) -> bool {
    loaded.set.get(id).expect("the rule is there").patterns[0].predicate.test(&event(json)).unwrap()
}

#[test]
fn membership_is_the_same_lowered_and_interpreted() {
    let loaded = with_lists(RULE, &[BAD, ASSETS], None);
    assert!(!loaded.has_errors(), "{}", rendered(&loaded));
    assert!(matches!(loaded.set.get("script").unwrap().patterns[0].predicate, Predicate::Script(_)));
    assert!(!matches!(loaded.set.get("lowered").unwrap().patterns[0].predicate, Predicate::Script(_)));
    for id in ["lowered", "script"] {
        assert!(matches(&loaded, id, json!({"ip": ["192.0.2.1", "10.1.1.1"]})));
        assert!(!matches(&loaded, id, json!({"ip": "10.1.1.1", "host": "gate"})));
        assert!(!matches(&loaded, id, json!({})));
    }
}

#[test]
fn a_reload_reads_the_lists_again_and_a_broken_one_stays_as_it_was() {
    let first = with_lists(RULE, &[BAD, ASSETS], None);
    let second = with_lists(RULE, &[("lists/bad.txt", "192.0.2.1\n"), ASSETS], Some(&first));
    assert_ne!(first.set.hash, second.set.hash);
    assert_eq!(first.set.rules[0].shape, second.set.rules[0].shape, "windows stay");
    let third = with_lists(RULE, &[("lists/bad.txt", "10.0.0.0/99\n"), ASSETS], Some(&second));
    assert!(third.has_errors());
    assert_eq!(third.set.hash, second.set.hash);
    for loaded in [&second, &third] {
        assert!(matches(loaded, "lowered", json!({"ip": "192.0.2.1"})));
        assert!(!matches(loaded, "lowered", json!({"ip": "10.1.1.1"})));
    }
}
