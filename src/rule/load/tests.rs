//! What loading promises.

use std::sync::Arc;

use super::*;
use crate::{
    event::{Event, Fields, Position, Timestamp, Value},
    rule::{Kept, PatternView, WindowView},
};

fn files(texts: &[(&str, &str)]) -> RuleFiles {
    let files = texts.iter().map(|(path, text)| (PathBuf::from(path), (*text).to_owned())).collect();
    RuleFiles { root: PathBuf::new(), files }
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

#[track_caller]
fn holds(predicate: &str, json: serde_json::Value) -> bool {
    let rule = rule(&format!("rule(#{{ id: \"r\", event: |e| {predicate} }})"));
    rule.patterns[0].predicate.test(&event(json)).unwrap()
}

#[test]
fn a_simple_rule_loads_and_matches() {
    assert!(holds("e.a.b == \"x\" && e.n > 5", serde_json::json!({"a": {"b": "x"}, "n": 6})));
    assert!(!holds("e.a.b == \"x\" && e.n > 5", serde_json::json!({"a.b": "x", "n": 5})));
    let _ = (PatternView::default(), Option::<(Kept, WindowView)>::None);
}
