//! The Sigma specification read word by word: slow, and sharing nothing with the engine. A rule is asked of one event
//! at a time, both as parsed data.
//!
//! Where the specification leaves something open, this file and those beside it say what Tripline answers.

mod condition;
mod detection;
mod event;
mod examples;
mod logsource;
mod pattern;
mod values;

use serde_json::Value as Json;
use serde_yaml_ng::Value as Yaml;

pub use logsource::LogSources;

use condition::Condition;
use detection::Detection;

/// A rule that asks something of single events.
#[derive(Debug)]
pub struct Rule {
    pub id: String,
    source: Yaml,
    detections: Vec<(String, Detection)>,
    /// Any of them.
    conditions: Vec<Condition>,
}

impl Rule {
    /// # Errors
    /// What about the rule is not as the specification wants it.
    pub fn read(rule: &Yaml) -> Result<Self, String> {
        let text = |key: &str| rule.get(key).and_then(Yaml::as_str).map(str::to_owned);
        let detection = rule.get("detection").and_then(Yaml::as_mapping).ok_or("no detection")?;
        let mut detections = Vec::new();
        for (name, value) in detection {
            let name = name.as_str().ok_or("a name that is no text")?;
            if name != "condition" && name != "timeframe" {
                detections.push((name.to_owned(), Detection::read(value).map_err(|why| format!("{name}: {why}"))?));
            }
        }
        let written = match detection.get("condition") {
            Some(Yaml::String(one)) => vec![one.as_str()],
            Some(Yaml::Sequence(many)) => many.iter().filter_map(Yaml::as_str).collect(),
            _ => return Err("no condition".to_owned()),
        };
        let names: Vec<&str> = detections.iter().map(|(name, _)| name.as_str()).collect();
        let conditions = written.iter().map(|one| Condition::read(one, &names)).collect::<Result<_, _>>()?;
        let source = rule.get("logsource").cloned().unwrap_or(Yaml::Null);
        Ok(Rule { id: text("id").or(text("title")).unwrap_or_default(), source, detections, conditions })
    }

    /// Whether its detection matches, whatever log the event is from.
    pub fn matches(&self, event: &Json) -> bool {
        let holds = |name: &str| {
            let (_, detection) = self.detections.iter().find(|(known, _)| known == name).expect("a known name");
            detection.matches(event)
        };
        self.conditions.iter().any(|condition| condition.holds(&holds))
    }

    /// Whether the event is from the log that the rule speaks of.
    pub fn is_from(&self, event: &Json, sources: &LogSources) -> bool {
        sources.allow(&self.source, event)
    }
}
