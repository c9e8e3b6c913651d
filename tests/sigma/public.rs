//! The engine over public rules and recorded attacks: every rule loads, and the alerts are the pairs that were agreed
//! on.

use std::collections::BTreeSet;

use tripline::rule::{SigmaOptions, convert_sigma};

use super::{data, engine};

/// Rules that ask for what only a pipeline knows.
const PLACEHOLDERS: usize = 2;

/// Files in the archive.
const RULES: usize = 3_754;

fn options() -> SigmaOptions {
    SigmaOptions { pipelines: vec![("logsource-map.json".into(), data::log_sources())] }
}

fn is_as_expected(found: &BTreeSet<(usize, String)>) {
    let expected = data::expected();
    let (missing, more): (Vec<_>, Vec<_>) =
        (expected.difference(found).collect(), found.difference(&expected).collect());
    assert!(missing.is_empty() && more.is_empty(), "missing: {missing:#?}\nmore: {more:#?}");
}

#[test]
fn every_public_rule_loads_and_finds_every_pair_and_no_other() {
    let loaded = engine::loaded(data::rules(), options());
    let refused = engine::errors(&loaded);
    let is_placeholder = |error: &String| error.starts_with("error[sigma-placeholder]");
    println!("{} of {RULES} rules refused:\n{}", refused.len(), refused.join("\n\n"));
    assert!(refused.len() == PLACEHOLDERS && refused.iter().all(is_placeholder));
    assert_eq!((loaded.set.rules.len(), loaded.refused), (RULES - PLACEHOLDERS, PLACEHOLDERS));
    is_as_expected(&engine::pairs(loaded, data::events()));
}

#[test]
fn what_is_built_in_knows_windows_logs_without_a_map() {
    is_as_expected(&engine::pairs(engine::loaded(data::rules(), SigmaOptions::default()), data::events()));
}

#[test]
fn every_public_rule_says_the_same_in_rhai() {
    let converted = convert_sigma(&data::rules(), &[], &options());
    let errors = converted.found.iter().filter(|found| found.is_error());
    let refused: Vec<String> = errors.map(|found| found.render(false)).collect();
    assert!(refused.len() == PLACEHOLDERS, "{}", refused.join("\n\n"));
    let file = |(number, text): (usize, String)| (format!("{number}.rhai").into(), text);
    let loaded = engine::loaded(converted.rules.into_iter().enumerate().map(file), SigmaOptions::default());
    assert!(!loaded.has_errors(), "{}", engine::errors(&loaded).join("\n\n"));
    assert_eq!(loaded.set.rules.len(), RULES - PLACEHOLDERS);
    is_as_expected(&engine::pairs(loaded, data::events()));
}
