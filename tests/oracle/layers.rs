//! What alerts are to the rules that follow: events of the input `alerts`, and entries of lists.

use serde_json::{Map, Value as Json, json};

use super::{
    alert::{Alert, State},
    log::{ALERTS, Event},
    rule::Rule,
};

/// A text in a list, after one time and up to another.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    pub list: String,
    pub text: String,
    pub after: i64,
    pub until: i64,
}

/// All that was ever added.
#[derive(Debug, Default)]
pub struct Lists(pub Vec<Entry>);

impl Lists {
    pub fn has(&self, list: &str, text: &str, time: i64) -> bool {
        let is_it = |entry: &Entry| entry.list == list && entry.text == text;
        self.0.iter().any(|entry| is_it(entry) && entry.after < time && time <= entry.until)
    }
}

impl Alert {
    /// What rules on alerts see of it: what it says as JSON, and each element of the key by its field.
    pub fn to_event(&self, rule: &Rule) -> Event {
        let mut fields = Map::new();
        let mut put = |name: &str, value: Json| drop(fields.insert(name.to_owned(), value));
        put("rule.id", json!(self.rule));
        put("severity", json!("low"));
        put("state", json!(format!("{:?}", self.state).to_lowercase()));
        put("key", json!(self.key));
        put("suppressed", json!(self.suppressed));
        for pattern in &rule.patterns {
            put(&format!("counts.{}", pattern.name), json!(self.counts.get(&pattern.name).unwrap_or(&0)));
        }
        for (field, text) in rule.patterns[0].by.iter().zip(&self.key) {
            put(&format!("entity.{field}"), json!(text));
        }
        if let Some((score, entities)) = &self.risk {
            put("risk.score", json!(score));
            put("risk.entities.value", entities.iter().map(|(_, value)| value.as_str()).collect());
        }
        for (name, value) in &self.fields {
            put(&format!("fields.{name}"), value.clone());
        }
        let time = self.time.parse::<jiff::Timestamp>().expect("a time").as_second();
        Event { input: ALERTS, partition: u32::from(self.state == State::Closed), time, fields }
    }

    /// Its place among alerts: the first 13 digits of its id.
    pub fn offset(&self) -> u64 {
        u64::from_str_radix(&self.id[..13], 16).expect("hex digits")
    }
}
