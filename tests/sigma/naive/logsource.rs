//! Log sources by a plain map: what an event has to have for the category, and for the service, of a rule.

use serde_json::Value as Json;
use serde_yaml_ng::Value as Yaml;

use super::event;

/// `{"category": {name: {field: [values]}}, "service": {…}}`, for Windows.
#[derive(Debug)]
pub struct LogSources(pub Json);

impl LogSources {
    /// Whether an event may be of a log source. A source of another product than Windows, or of no product and
    /// unknown to the map, has no part in Windows events, which have a `Channel`. Else what the map lacks limits
    /// nothing.
    pub fn allow(&self, source: &Yaml, event: &Json) -> bool {
        let text = |key: &str| source.get(key).and_then(Yaml::as_str);
        let asked = ["category", "service"].map(|kind| text(kind).map(|name| self.0[kind][name].as_object()));
        let known: Vec<_> = asked.iter().copied().flatten().flatten().collect();
        let is_elsewhere = match text("product") {
            Some(product) => product != "windows",
            None => known.is_empty() && asked.iter().any(Option::is_some),
        };
        if is_elsewhere {
            return event.get("Channel").is_none();
        }
        known.iter().all(|fields| fields.iter().all(|(field, allowed)| has_one(event, field, allowed)))
    }
}

fn has_one(event: &Json, field: &str, allowed: &Json) -> bool {
    let allowed: Vec<String> = allowed.as_array().expect("a list").iter().map(event::text).collect();
    event::values(event, field).into_iter().any(|value| allowed.contains(&event::text(value)))
}
