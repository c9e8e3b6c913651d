//! Correlations and filters written in Rhai say what they say in Sigma: the same alerts of the events of each story
//! under `tests/cases/correlations`, and of logs that are made of those events.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use rand::{SeedableRng, rngs::StdRng, seq::IndexedRandom};
use serde_json::Value as Json;
use tripline::{
    cli::read_rule_files,
    rule::{Loaded, RuleFiles, SigmaOptions, convert_sigma},
};

use super::engine;

/// Logs that are made of the events of one story, and events of each.
const LOGS: u64 = 12;
const EVENTS: usize = 150;

struct Story {
    files: RuleFiles,
    options: SigmaOptions,
    events: Vec<Json>,
}

impl Story {
    fn read(folder: &Path) -> Self {
        let pipeline = folder.join("pipeline");
        let pipelines = fs::read_to_string(&pipeline).ok().map(|text| (pipeline, text));
        let events = fs::read_to_string(folder.join("events.ndjson")).expect("events");
        Story {
            files: read_rule_files(folder).expect("rules"),
            options: SigmaOptions { pipelines: pipelines.into_iter().collect() },
            events: events.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect(),
        }
    }

    fn native(&self) -> Loaded {
        engine::loaded(self.files.files.clone(), self.options.clone())
    }

    /// All of it in Rhai; what is Rhai's already stays.
    fn converted(&self) -> Loaded {
        let (sigma, rhai) = self.files.clone().sigma_apart();
        let rhai = rhai.files;
        let others = engine::loaded(rhai.clone(), SigmaOptions::default()).set;
        let others: Vec<_> = others.rules.iter().map(|rule| &**rule).collect();
        let converted = convert_sigma(&sigma, &others, &self.options);
        let errors: Vec<_> = converted.found.iter().filter(|finding| finding.is_error()).collect();
        assert!(errors.is_empty() && converted.refused == 0, "{errors:#?}");
        let text = converted.rules.join("\n");
        let loaded =
            engine::loaded(rhai.into_iter().chain([("converted.rhai".into(), text.clone())]), SigmaOptions::default());
        assert!(!loaded.has_errors(), "{}\n{text}", engine::errors(&loaded).join("\n"));
        loaded
    }

    /// A log of its events, in another order, some often, some at the same time.
    fn made(&self, seed: u64) -> Vec<String> {
        let mut random = StdRng::seed_from_u64(seed);
        let mut second = 0;
        let event = |_| {
            second += [0, 0, 1, 5, 20, 60, 200, 700].choose(&mut random).expect("some");
            let mut event = self.events.choose(&mut random).expect("an event").clone();
            event["@timestamp"] = format!(
                "2024-01-{:02}T{:02}:{:02}:{:02}Z",
                1 + second / 86_400,
                second / 3_600 % 24,
                second / 60 % 60,
                second % 60
            )
            .into();
            event.to_string()
        };
        (0..EVENTS).map(event).collect()
    }
}

/// What an alert says apart from where it was written: the version of the file, what patterns and the elements of the key
/// are called, and which fields evidence shows.
fn said(alerts: Vec<Json>) -> Vec<String> {
    let said = |mut alert: Json| {
        let of = |alert: &mut Json, name: &str| alert.as_object_mut().expect("an object").remove(name);
        of(&mut alert["rule"], "version");
        of(&mut alert, "by");
        // Patterns are in the byte order of their names, whatever those are.
        let counts = alert["counts"].as_object().expect("counts").clone();
        for evidence in alert["evidence"].as_array_mut().into_iter().flatten() {
            of(evidence, "fields");
            evidence["pattern"] = counts.keys().position(|name| evidence["pattern"] == **name).into();
        }
        alert["counts"] = counts.values().cloned().collect();
        alert.to_string()
    };
    alerts.into_iter().map(said).collect()
}

#[test]
fn correlations_and_filters_in_rhai_give_the_same_alerts() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/correlations");
    let mut folders: Vec<PathBuf> = fs::read_dir(&root).expect("stories").map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    let mut wrong = Vec::new();
    for folder in folders {
        let story = Story::read(&folder);
        let logs = (0..LOGS).map(|seed| story.made(seed));
        let logs = logs.chain([story.events.iter().map(Json::to_string).collect()]);
        let mut alerts = 0;
        let (native, converted) = (Arc::new(story.native().set), Arc::new(story.converted().set));
        for (number, log) in logs.enumerate() {
            let native = said(engine::alerts(&native, log.clone()));
            let converted = said(engine::alerts(&converted, log));
            alerts += native.len();
            let differs = (0..native.len().max(converted.len())).find(|at| native.get(*at) != converted.get(*at));
            if let Some(at) = differs {
                let (native, converted) = (native.get(at), converted.get(at));
                wrong.push(format!("{}, log {number}, alert {at}:\n{native:?}\n{converted:?}", folder.display()));
                break;
            }
        }
        assert!(alerts > 0, "{}: no log makes an alert", folder.display());
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}
