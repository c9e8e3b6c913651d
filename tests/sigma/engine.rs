//! The engine over rule files and events: which event which rule matches.

use std::{collections::BTreeSet, path::PathBuf, sync::Arc, time::Duration};

use serde_json::Value as Json;
use tripline::{
    config::Config,
    decode::{DecodeSpec, Decoder, Format, Timing},
    detect::Raw,
    replay::{Options, Replay, ReplaySource, Until},
    rule::{Diagnostic, LoadOptions, Loaded, RuleFiles, RuleSet, SigmaOptions, load},
    stage::limits,
};

/// Rules of files, by path and text.
pub fn loaded(files: impl IntoIterator<Item = (PathBuf, String)>, sigma: SigmaOptions) -> Loaded {
    let files = RuleFiles { files: files.into_iter().collect(), ..RuleFiles::default() };
    load(&files, &LoadOptions { sigma: Arc::new(sigma), ..LoadOptions::default() }, None)
}

/// The errors of loading, as they are shown.
pub fn errors(loaded: &Loaded) -> Vec<String> {
    loaded.diagnostics.iter().filter(|finding| finding.is_error()).map(Diagnostic::to_string).collect()
}

/// What the rules say of events, as JSON, in order.
pub fn alerts(rules: &Arc<RuleSet>, events: impl IntoIterator<Item = String>) -> Vec<Json> {
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
    let mut replay = Replay::new(rules, vec![source], options, Until::default());
    for (offset, line) in (0..).zip(events) {
        replay.read(0, Raw { offset, bytes: line.as_bytes(), timestamp_ms: None, clock: None });
    }
    replay.end_of(0);
    assert!(replay.take_dead_letters().is_empty());
    let alerts = replay.finish();
    let failures = replay.totals().failures.clone();
    assert!(failures.is_empty(), "{failures:?}");
    alerts.iter().map(|alert| serde_json::from_str(&alert.to_json()).expect("JSON")).collect()
}

/// The pairs of an event's number, from 1, and the id of a rule that fires on it.
pub fn pairs(loaded: Loaded, events: impl IntoIterator<Item = String>) -> BTreeSet<(usize, String)> {
    let pair = |json: &Json| {
        let line = json["trigger"]["offset"].as_u64().expect("an offset") as usize + 1;
        (line, json["rule"]["id"].as_str().expect("an id").to_owned())
    };
    alerts(&Arc::new(loaded.set), events).iter().map(pair).collect()
}
