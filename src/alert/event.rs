//! An alert as an event, for the rules that read alerts.

use std::sync::Arc;

use super::{Alert, State};
use crate::event::{ALERTS, ENTITY, Event, Fields, Position, Timestamp, Value};

/// Hex digits of an alert's id that are its offset: numbers up to 2^52 are exact wherever JSON is read.
const ID_DIGITS: usize = 13;

impl Alert {
    /// The event that this alert is: its time is the alert's, its fields are those of its JSON, and of each element of
    /// its key one under `entity`: `entity.source.ip` where `by` names `source.ip`.
    ///
    /// Where the alert stands in a log depends on how work is spread, so its position is its own instead: the offset is
    /// the first 13 hex digits of its id, the partition 1 where it closes and 0 otherwise. So alerts of one time come
    /// in one order everywhere, and what follows from them has the same ids.
    ///
    /// `None` for an alert whose time or id is none, which no engine wrote.
    pub fn to_event(&self) -> Option<Event> {
        let position = Position {
            input: ALERTS.into(),
            partition: u32::from(self.state == State::Closed),
            offset: u64::from_str_radix(self.id.get(..ID_DIGITS)?, 16).ok()?,
        };
        Some(Event { time: Timestamp::parse(&self.time)?, position, fields: self.fields() })
    }

    fn fields(&self) -> Fields {
        let json = serde_json::to_value(self).expect("an alert is texts, numbers and maps with text keys");
        let Value::Object(entries) = Value::from_json(&json) else { unreachable!("an alert is an object") };
        let entities = self.by.iter().zip(&self.key);
        let entities = entities.map(|(name, text)| (format!("{ENTITY}.{name}"), Value::Text(text.clone())));
        let of_json = entries.into_iter().map(|(name, value): (Arc<str>, Value)| (name.to_string(), value));
        of_json.chain(entities).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alert(state: &str) -> Alert {
        serde_json::from_value(serde_json::json!({
            "id": "0123456789abcdef0123456789abcdef", "state": state, "rule": {"id": "r", "title": "t"}, "title": "x",
            "severity": "high", "time": "2024-01-01T00:00:01.5Z", "key": ["a", "b"], "by": ["f", "g"], "counts": {"p": 3},
            "trigger": {"input": "in", "partition": 3, "offset": 9, "time": "2024-01-01T00:00:01Z"}, "late": false,
            "attack": [], "tags": ["x"], "suppressed": 4, "evidence": [], "fields": {"n": 1},
            "risk": {"score": 40, "entities": [{"field": "f", "value": "a"}, {"field": "g", "value": "b"}]},
        }))
        .expect("an alert")
    }

    #[test]
    fn its_fields_are_those_of_its_json() {
        let event = alert("fired").to_event().unwrap();
        assert_eq!(event.time.to_string(), "2024-01-01T00:00:01.5Z");
        let read = |path: &str| event.fields.get(path).map(|value| value.to_string());
        let expected =
            [("rule.id", "r"), ("severity", "high"), ("risk.score", "40"), ("counts.p", "3"), ("entity.g", "b")];
        expected.iter().for_each(|(path, text)| assert_eq!(read(path).as_deref(), Some(*text), "{path}"));
        let mut entities = Vec::new();
        event.fields.any("risk.entities.value", &mut |value| {
            entities.push(value.to_string());
            false
        });
        assert_eq!(entities, ["a", "b"]);
    }

    #[test]
    fn its_position_is_its_own_and_closing_is_another() {
        let (opened, closed) = (alert("opened").to_event().unwrap(), alert("closed").to_event().unwrap());
        assert_eq!(opened.position, Position { input: ALERTS.into(), partition: 0, offset: 0x0_1234_5678_9abc });
        assert!(opened.position < closed.position);
    }
}
