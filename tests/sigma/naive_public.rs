//! The naive evaluator over public rules and recorded attacks: it finds the pairs that were agreed on, as the engine
//! has to.

use std::collections::BTreeSet;

use serde_json::Value as Json;

use super::{
    data,
    naive::{LogSources, Rule},
};

/// Files whose rules ask for what only a pipeline knows.
const PLACEHOLDERS: usize = 2;

#[test]
fn the_naive_evaluator_finds_every_pair_of_the_public_data_and_no_other() {
    let parsed = |line: &String| serde_json::from_str(line).expect("an event");
    let events: Vec<Json> = data::events().iter().map(parsed).collect();
    let sources = LogSources(serde_json::from_str(&data::log_sources()).expect("the map"));
    let (mut found, mut refused) = (BTreeSet::new(), Vec::new());
    for (path, text) in data::rules() {
        let rule = match Rule::read(&serde_yaml_ng::from_str(&text).expect("a rule file is YAML")) {
            Ok(rule) => rule,
            Err(why) => {
                refused.push(format!("{}: {why}", path.display()));
                continue;
            }
        };
        let matched = (1..).zip(&events).filter(|(_, event)| rule.is_from(event, &sources) && rule.matches(event));
        found.extend(matched.map(|(line, _)| (line, rule.id.clone())));
    }
    assert!(refused.len() == PLACEHOLDERS && refused.iter().all(|why| why.contains("expand")), "{refused:#?}");
    let expected = data::expected();
    let (missing, more): (Vec<_>, Vec<_>) =
        (expected.difference(&found).collect(), found.difference(&expected).collect());
    assert!(missing.is_empty() && more.is_empty(), "missing: {missing:?}\nmore: {more:?}");
}
