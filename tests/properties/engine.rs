//! The engine over a case: the rule file is loaded, the records are decoded, and `replay` does the rest.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use tripline::{
    alert::Alert,
    config::Config,
    correlate::Limits,
    decode::{self, DecodeSpec, Decoder, Format, Timing},
    detect::Raw,
    event::Timestamp,
    replay::{Options, Replay, ReplaySource, Until},
    rule::{LoadOptions, RuleFiles, RuleSet, load},
    stage,
};

use crate::oracle::{self, Log};

/// The bounds of a server that is configured with nothing: no case here reaches them.
pub fn limits() -> Limits {
    stage::limits(&Config::default())
}

/// The rules as the engine loads them from their text.
///
/// # Errors
/// What loading says, where a rule is refused.
pub fn rules(rules: &[oracle::Rule]) -> Result<Arc<RuleSet>, String> {
    let text = oracle::file(rules);
    let files = RuleFiles {
        root: PathBuf::from("rules"),
        files: BTreeMap::from([("case.rhai".into(), text)]),
        ..RuleFiles::default()
    };
    let loaded = load(&files, &LoadOptions::default(), None);
    let errors: Vec<String> =
        loaded.diagnostics.iter().filter(|finding| finding.is_error()).map(|finding| finding.render(false)).collect();
    if errors.is_empty() { Ok(Arc::new(loaded.set)) } else { Err(errors.join("\n")) }
}

pub fn decoder() -> Decoder {
    let limits = decode::Limits { record_bytes_max: 1 << 20, depth_max: 64, fields_max: 1_000 };
    let spec = DecodeSpec { format: Format::Json, ..DecodeSpec::default() };
    Decoder::new(&spec, limits, Timing::Live).expect("a decoder of JSON")
}

/// # Errors
/// When a rule does not load, or a script fails.
pub fn replay(rules: &Arc<RuleSet>, log: &Log) -> Result<Vec<Alert>, String> {
    let sources = log.sources();
    let options = Options {
        lateness: Duration::from_secs(log.lateness as u64),
        signals_partitions: 3,
        limits: limits(),
        quarantine_after: 10,
    };
    let until = match log.until {
        oracle::Until::Infinity => Until::Infinity,
        oracle::Until::Last => Until::Last,
        oracle::Until::Time(end) => Until::Time(Timestamp(0).plus(Duration::from_secs(end as u64))),
    };
    let open = |(input, partition): &(&'static str, u32)| ReplaySource {
        input: (*input).into(),
        partition: *partition,
        decoder: decoder(),
    };
    let mut replay = Replay::new(rules, sources.iter().map(open).collect(), options, until);
    for placed in log.placed() {
        let source = sources.binary_search(&placed.event.source()).expect("a source of the log");
        let bytes = placed.event.to_record().into_bytes();
        replay.read(source, Raw { offset: placed.offset, bytes: &bytes, timestamp_ms: None, clock: None });
    }
    let alerts = replay.finish();
    let totals = replay.totals();
    if !totals.failures.is_empty() || totals.dead_letters + totals.evicted > 0 {
        return Err(format!("{totals:?}"));
    }
    Ok(alerts)
}
