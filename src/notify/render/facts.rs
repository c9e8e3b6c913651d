//! What an alert says below its title: label and text, cleaned, in the order in which people ask.

use serde_json::{Map, Value};

use super::clean::clean;
use crate::alert::{Alert, Evidence, State};

/// Longest value shown, in characters.
const VALUE_CHARS_MAX: usize = 200;
/// Most fields shown of one piece of evidence, or of what the rule returned.
const FIELDS_MAX: usize = 16;
/// Most patterns, key elements, techniques, tags or entities shown.
const ITEMS_MAX: usize = 16;

/// Label and fact; a fact that the alert has nothing for is left out.
pub(super) fn facts(alert: &Alert) -> Vec<(&'static str, String)> {
    let (first, last) = first_and_last(&alert.evidence);
    let facts = [
        ("rule", rule(alert)),
        ("key", key(alert)),
        ("counts", counts(alert)),
        ("state", state(alert)),
        ("window", alert.window.as_ref().map(|span| format!("{} to {}", short(&span.start), short(&span.end)))),
        ("late", alert.late.then(|| "its event came after later ones".to_owned())),
        ("attack", list(alert.attack.iter().map(|technique| short(technique)))),
        ("tags", list(alert.tags.iter().map(|tag| short(tag)))),
        ("risk", risk(alert)),
        ("fields", fields(&alert.fields)),
        ("first", first.map(evidence)),
        ("last", last.map(evidence)),
        ("runbook", alert.rule.get("runbook").and_then(Value::as_str).map(short)),
    ];
    facts.into_iter().filter_map(|(label, fact)| Some((label, fact?))).collect()
}

fn rule(alert: &Alert) -> Option<String> {
    alert.rule.get("id").and_then(Value::as_str).map(short)
}

fn key(alert: &Alert) -> Option<String> {
    list(alert.key.iter().enumerate().map(|(at, value)| match alert.by.get(at) {
        Some(field) => format!("{}={}", short(field), short(value)),
        None => short(value),
    }))
}

fn counts(alert: &Alert) -> Option<String> {
    list(alert.counts.iter().map(|(pattern, count)| format!("{} {}", short(pattern), value(count))))
}

fn state(alert: &Alert) -> Option<String> {
    match alert.state {
        State::Fired => None,
        State::Opened => Some("opened: further signals are counted into it until it closes".to_owned()),
        State::Closed if alert.suppressed == 1 => Some("closed: 1 more signal while it was open".to_owned()),
        State::Closed => Some(format!("closed: {} more signals while it was open", alert.suppressed)),
    }
}

fn risk(alert: &Alert) -> Option<String> {
    let risk = alert.risk.as_ref()?;
    let entities =
        list(risk.entities.iter().map(|entity| format!("{}={}", short(&entity.field), short(&entity.value))));
    Some(match entities {
        Some(entities) => format!("{} for {entities}", risk.score),
        None => risk.score.to_string(),
    })
}

/// By time; the evidence may be grouped by pattern. One piece of evidence is the first only.
fn first_and_last(evidence: &[Evidence]) -> (Option<&Evidence>, Option<&Evidence>) {
    let time = |evidence: &&Evidence| evidence.time.parse::<jiff::Timestamp>().ok();
    let first = evidence.iter().min_by_key(time);
    let last = evidence.iter().max_by_key(time).filter(|_| evidence.len() > 1);
    (first, last)
}

fn evidence(evidence: &Evidence) -> String {
    let Evidence { pattern, input, partition, offset, time, fields: values } = evidence;
    let place = format!("{}/{partition}@{offset}", short(input));
    let line = format!("{}  {place}  {}", short(time), short(pattern));
    match fields(values) {
        Some(fields) => format!("{line}  {fields}"),
        None => line,
    }
}

fn fields(fields: &Map<String, Value>) -> Option<String> {
    let shown = fields.iter().take(FIELDS_MAX).map(|(name, content)| format!("{}={}", short(name), value(content)));
    let mut line = shown.collect::<Vec<_>>().join(" ");
    if fields.len() > FIELDS_MAX {
        line.push_str(&format!(" … {} more", fields.len() - FIELDS_MAX));
    }
    (!fields.is_empty()).then_some(line)
}

fn value(value: &Value) -> String {
    match value {
        Value::String(text) => short(text),
        other => short(&other.to_string()),
    }
}

fn list(items: impl ExactSizeIterator<Item = String>) -> Option<String> {
    let len = items.len();
    let mut line = items.take(ITEMS_MAX).collect::<Vec<_>>().join(", ");
    if len > ITEMS_MAX {
        line.push_str(&format!(", … {} more", len - ITEMS_MAX));
    }
    (len > 0).then_some(line)
}

fn short(text: &str) -> String {
    clean(text, VALUE_CHARS_MAX)
}

#[cfg(test)]
mod tests {
    use super::{super::samples, *};
    use crate::alert::{Risk, RiskEntity};

    fn fact(alert: &Alert, wanted: &str) -> Option<String> {
        facts(alert).into_iter().find(|(label, _)| *label == wanted).map(|(_, fact)| fact)
    }

    #[test]
    fn first_and_last_go_by_time_not_by_place() {
        let mut alert = samples::alert();
        alert.evidence.reverse();
        assert!(fact(&alert, "first").unwrap().contains("auth/0@11"));
        assert!(fact(&alert, "last").unwrap().contains("auth/0@17"));
        alert.evidence.truncate(1);
        assert_eq!(fact(&alert, "last"), None);
    }

    #[test]
    fn a_thousand_fields_stay_one_readable_line() {
        let mut alert = samples::alert();
        alert.fields = (0..1000).map(|n| (format!("f{n}"), Value::from("x".repeat(10_000)))).collect();
        let line = fact(&alert, "fields").unwrap();
        assert!(line.chars().count() < FIELDS_MAX * (VALUE_CHARS_MAX + 10), "{}", line.len());
        assert!(line.ends_with("… 984 more"), "{line}");
    }

    #[test]
    fn risk_names_its_entities() {
        let mut alert = samples::alert();
        let entity = RiskEntity { field: "user.name".to_owned(), value: "root".to_owned() };
        alert.risk = Some(Risk { score: 60, entities: vec![entity] });
        assert_eq!(fact(&alert, "risk").unwrap(), "60 for user.name=root");
    }
}
