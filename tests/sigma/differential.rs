//! The engine against the naive evaluator, on made rules and events; and both against the rules converted to Rhai.
//! `PROPTEST_CASES` asks for more.

use std::{collections::BTreeSet, path::PathBuf};

use proptest::{prelude::*, test_runner::RngSeed};
use serde_json::{Value as Json, json};
use tripline::rule::{SigmaOptions, convert_sigma};

use super::{engine, generate, naive::Rule};

/// Rules and events of a case; each rule is asked of each event.
const RULES: usize = 12;
const EVENTS: usize = 24;

/// What is known not to be said in Rhai.
const REFUSED: [&str; 2] = ["the parts of a time", "two fields with `==`"];

/// The same cases each time, unless the environment asks for a number of them.
fn config() -> ProptestConfig {
    let config = ProptestConfig { failure_persistence: None, max_shrink_iters: 300, ..ProptestConfig::default() };
    match std::env::var_os("PROPTEST_CASES") {
        Some(_) => config,
        None => ProptestConfig { cases: 60, rng_seed: RngSeed::Fixed(7), ..config },
    }
}

/// The rule with the number as its id.
fn numbered(rule: &Json, number: usize) -> String {
    let mut rule = rule.clone();
    rule["id"] = json!(format!("r{number}"));
    rule.to_string()
}

/// What the specification says, word by word.
fn expected(rules: &[String], events: &[Json]) -> BTreeSet<(usize, String)> {
    let mut pairs = BTreeSet::new();
    for text in rules {
        let yaml = serde_yaml_ng::from_str(text).expect("JSON is YAML");
        let rule = Rule::read(&yaml).unwrap_or_else(|why| panic!("{why}: {text}"));
        let matched = (1..).zip(events).filter(|(_, event)| rule.matches(event));
        pairs.extend(matched.map(|(number, _)| (number, rule.id.clone())));
    }
    pairs
}

fn shown(pairs: &BTreeSet<(usize, String)>, rules: &[String], events: &[Json]) -> String {
    let one = |(event, rule): &(usize, String)| {
        let rule = &rules[rule[1..].parse::<usize>().expect("a number")];
        format!("{}\n  {rule}\n", events[event - 1])
    };
    pairs.iter().take(3).map(one).collect()
}

fn check(
    found: &BTreeSet<(usize, String)>,
    wanted: &BTreeSet<(usize, String)>,
    rules: &[String],
    events: &[Json],
) -> Result<(), TestCaseError> {
    let (missing, more) = (wanted.difference(found).cloned().collect(), found.difference(wanted).cloned().collect());
    prop_assert!(found == wanted, "missing:\n{}more:\n{}", shown(&missing, rules, events), shown(&more, rules, events));
    Ok(())
}

proptest! {
    #![proptest_config(config())]
    #[test]
    fn the_engine_and_converted_rules_say_what_the_specification_says(
        rules in prop::collection::vec(generate::rule(), RULES),
        events in prop::collection::vec(generate::event(), EVENTS),
    ) {
        let rules: Vec<String> = rules.iter().enumerate().map(|(at, rule)| numbered(rule, at)).collect();
        let wanted = expected(&rules, &events);
        let lines = || events.iter().map(Json::to_string);
        let files = rules.iter().enumerate().map(|(at, text)| (PathBuf::from(format!("r{at}.yml")), text.clone()));
        let native = engine::loaded(files, SigmaOptions::default());
        prop_assert!(!native.has_errors(), "{}", engine::errors(&native).join("\n"));
        check(&engine::pairs(native, lines()), &wanted, &rules, &events)?;

        let mut converted = Vec::new();
        let mut refused = BTreeSet::new();
        for (at, text) in rules.iter().enumerate() {
            let result = convert_sigma(&[("r.yml".into(), text.clone())].into(), &[], &SigmaOptions::default());
            match result.rules.into_iter().next() {
                Some(rule) => converted.push((PathBuf::from(format!("r{at}.rhai")), rule)),
                None => {
                    let why: Vec<String> = result.found.iter().filter(|found| found.is_error()).map(|found| found.message.clone()).collect();
                    prop_assert!(why.iter().all(|why| REFUSED.iter().any(|known| why.contains(known))), "{:?}: {}", why, text);
                    refused.insert(format!("r{at}"));
                }
            }
        }
        let texts: Vec<String> = converted.iter().map(|(_, text)| text.clone()).collect();
        let converted = engine::loaded(converted, SigmaOptions::default());
        prop_assert!(!converted.has_errors(), "{}", engine::errors(&converted).join("\n"));
        let scripts: Vec<_> = converted.set.rules.iter().filter(|rule| rule.patterns[0].predicate.runs_script()).map(|rule| rule.id().clone()).collect();
        prop_assert!(scripts.is_empty(), "{:?} run as scripts:\n{}", scripts, texts.join("\n"));
        let wanted = wanted.into_iter().filter(|(_, rule)| !refused.contains(rule)).collect();
        check(&engine::pairs(converted, lines()), &wanted, &rules, &events)?;
    }
}
