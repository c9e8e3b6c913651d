//! The engine over public rules and recorded attacks: every rule loads, and the alerts are the pairs that were agreed
//! on.

use std::{collections::BTreeSet, path::PathBuf, sync::Arc, time::Duration};

use tripline::{
    alert::Alert,
    config::Config,
    decode::{DecodeSpec, Decoder, Format, Timing},
    detect::Raw,
    replay::{Options, Replay, ReplaySource, Until},
    rule::{Diagnostic, LoadOptions, Loaded, RuleFiles, SigmaOptions, load},
    stage::limits,
};

use super::data;

/// Rules that ask for what only a pipeline knows.
const PLACEHOLDERS: usize = 2;

/// Files in the archive.
const RULES: usize = 3_754;

fn loaded(pipelines: Vec<(PathBuf, String)>) -> Loaded {
    let files = RuleFiles { files: data::rules(), ..RuleFiles::default() };
    let sigma = SigmaOptions { pipelines };
    load(&files, &LoadOptions { sigma: Arc::new(sigma), ..LoadOptions::default() }, None)
}

fn alerts(loaded: Loaded) -> Vec<Alert> {
    let config = Config::default();
    let spec = DecodeSpec { format: Format::Json, ..DecodeSpec::default() };
    let decoder = Decoder::new(&spec, config.detect.decode_limits(), Timing::Replay { year: 2026 }).unwrap();
    let source = ReplaySource { input: "default".into(), partition: 0, decoder };
    let options = Options {
        lateness: Duration::MAX,
        signals_partitions: 1,
        limits: limits(&config),
        quarantine_after: config.detect.quarantine_after,
    };
    let mut replay = Replay::new(&Arc::new(loaded.set), vec![source], options, Until::default());
    for (offset, line) in (0..).zip(data::events()) {
        replay.read(0, Raw { offset, bytes: line.as_bytes(), timestamp_ms: None, clock: None });
    }
    replay.end_of(0);
    assert!(replay.take_dead_letters().is_empty());
    replay.finish()
}

/// (line, rule) of each alert has to be a pair that was agreed on, and each of those has to have one.
fn finds_every_pair_and_no_other(loaded: Loaded) {
    let pair = |alert: &Alert| {
        let json: serde_json::Value = serde_json::from_str(&alert.to_json()).expect("JSON");
        let line = json["trigger"]["offset"].as_u64().expect("an offset") as usize + 1;
        (line, json["rule"]["id"].as_str().expect("an id").to_owned())
    };
    let found: BTreeSet<(usize, String)> = alerts(loaded).iter().map(pair).collect();
    let expected = data::expected();
    let (missing, more): (Vec<_>, Vec<_>) =
        (expected.difference(&found).collect(), found.difference(&expected).collect());
    assert!(missing.is_empty() && more.is_empty(), "missing: {missing:#?}\nmore: {more:#?}");
}

#[test]
fn every_public_rule_loads_and_finds_every_pair_and_no_other() {
    let loaded = loaded(vec![("logsource-map.json".into(), data::log_sources())]);
    let refused: Vec<String> =
        loaded.diagnostics.iter().filter(|finding| finding.is_error()).map(Diagnostic::to_string).collect();
    let is_placeholder = |error: &String| error.starts_with("error[sigma-placeholder]");
    println!("{} of {RULES} rules refused:\n{}", refused.len(), refused.join("\n\n"));
    assert!(refused.len() == PLACEHOLDERS && refused.iter().all(is_placeholder));
    assert_eq!((loaded.set.rules.len(), loaded.refused), (RULES - PLACEHOLDERS, PLACEHOLDERS));
    finds_every_pair_and_no_other(loaded);
}

#[test]
fn what_is_built_in_knows_windows_logs_without_a_map() {
    finds_every_pair_and_no_other(loaded(Vec::new()));
}
