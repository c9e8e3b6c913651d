//! Runs the tests that stand beside a rule.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde_json::Value as Json;

use super::{Options, Replay, ReplaySource, Until};
use crate::{
    alert::{Alert, State},
    decode::{DecodeSpec, Decoder, Format, Limits, Timing},
    event::{Event, Fields, InputName, Position, Timestamp},
    rule::{InputSet, Place, Rule, RuleSet, RuleTest, TestBody, TestEvent},
};

/// The input of a test's events where neither the event nor the rule names one. Events of a rule on alerts are for the
/// rules beside it, and alerts themselves where there are none.
const DEFAULT_INPUT: &str = "default";

/// One test, passed or failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestResult {
    pub rule: Arc<str>,
    pub test: String,
    pub place: Place,
    /// What was expected and what came; `None` when it passed.
    pub failure: Option<String>,
}

/// Runs every test of every rule, in the order of the rules.
pub fn run_tests(set: &RuleSet, options: Options, limits: Limits) -> Vec<TestResult> {
    let run = |rule: &Arc<Rule>, test: &RuleTest| TestResult {
        rule: rule.id().clone(),
        test: test.name.clone(),
        place: test.place.clone(),
        failure: alerts_of(set, rule, test, options, limits).and_then(|alerts| compare(&test.alerts, &alerts)).err(),
    };
    set.rules.iter().flat_map(|rule| rule.tests.iter().map(move |test| run(rule, test))).collect()
}

/// What fired or opened of the rule under test, in time order, as JSON.
fn alerts_of(
    set: &RuleSet,
    rule: &Arc<Rule>,
    test: &RuleTest,
    options: Options,
    limits: Limits,
) -> Result<Vec<Json>, String> {
    let mut rules = vec![rule.clone()];
    for id in &test.with {
        rules.push(set.get(id).ok_or_else(|| format!("`with` names the rule {id:?}, which is not loaded"))?.clone());
    }
    let fed = rules.iter().find(|rule| !rule.inputs.reads_alerts()).unwrap_or(rule).clone();
    rules.sort_by(|a, b| a.id().cmp(b.id()));
    rules.dedup_by(|a, b| a.id() == b.id());
    let rules = Arc::new(RuleSet { rules, ..RuleSet::default() });

    let mut inputs: BTreeMap<InputName, usize> = BTreeMap::new();
    for event in &test.events {
        let next = inputs.len();
        inputs.entry(input_of(&fed, event)).or_insert(next);
    }
    let mut sources: Vec<(&InputName, usize)> = inputs.iter().map(|(name, at)| (name, *at)).collect();
    sources.sort_by_key(|(_, at)| *at);
    let decoder = || decoder(None, limits);
    let open = |name: &InputName| Ok(ReplaySource { input: name.clone(), partition: 0, decoder: decoder()? });
    let sources = sources.into_iter().map(|(name, _)| open(name)).collect::<Result<Vec<_>, String>>()?;

    let options = Options { lateness: test.lateness.unwrap_or(Duration::MAX), ..options };
    let until = test.until.map_or(Until::Infinity, Until::Time);
    let mut replay = Replay::new(&rules, sources, options, until);
    let mut offsets: BTreeMap<InputName, u64> = BTreeMap::new();
    for event in &test.events {
        let input = input_of(&fed, event);
        let offset = offsets.entry(input.clone()).or_default();
        let position = Position { input: input.clone(), partition: 0, offset: *offset };
        *offset += 1;
        let fields = fields_of(event, &position, limits)?;
        replay.see(inputs[&input], Event { time: event.at, position, fields });
    }
    let alerts = replay.finish();
    if let Some((rule, (_, failure))) = replay.totals().failures.first_key_value() {
        return Err(format!("a script of {rule} failed: {failure}"));
    }
    let of_rule = |alert: &Alert| alert.rule_id() == &**rule.id() && alert.state != State::Closed;
    Ok(alerts.iter().filter(|alert| of_rule(alert)).map(to_json).collect())
}

fn input_of(rule: &Rule, event: &TestEvent) -> InputName {
    event.input.clone().unwrap_or_else(|| match &rule.inputs {
        InputSet::Named(names) => names.first().cloned().unwrap_or_else(|| DEFAULT_INPUT.into()),
        InputSet::All | InputSet::AllAndAlerts => DEFAULT_INPUT.into(),
    })
}

fn fields_of(event: &TestEvent, position: &Position, limits: Limits) -> Result<Fields, String> {
    match &event.body {
        TestBody::Fields(fields) => Ok(fields.clone()),
        TestBody::Raw { line, format } => decoder(format.as_deref(), limits)?
            .decode(line.as_bytes(), Some(event.at.as_millis()), position.clone())
            .map(|event| event.fields)
            .map_err(|reject| format!("event {} does not decode: {reject}: {line:?}", position.offset)),
    }
}

fn decoder(format: Option<&str>, limits: Limits) -> Result<Decoder, String> {
    let name = format.unwrap_or("auto");
    let format =
        Format::named(name).ok_or_else(|| format!("{name:?} is no format; write one of {}", Format::names()))?;
    let spec = DecodeSpec { format, ..DecodeSpec::default() };
    Decoder::new(&spec, limits, Timing::Live).map_err(|error| error.to_string())
}

fn to_json(alert: &Alert) -> Json {
    serde_json::to_value(alert).expect("an alert is JSON")
}

/// Each expected alert has to be a subset of the one in its place, and there are no more.
fn compare(expected: &[Json], found: &[Json]) -> Result<(), String> {
    for (at, expected) in expected.iter().enumerate() {
        let Some(found) = found.get(at) else {
            return Err(format!(
                "alert {at} is missing: expected {expected}, {} alerts came{}",
                found.len(),
                list(found)
            ));
        };
        subset(expected, found, "")
            .map_err(|difference| format!("alert {at}{difference}; it was\n    {}", brief(found)))?;
    }
    match found.len() - expected.len() {
        0 => Ok(()),
        more => Err(format!("{more} more than the {} expected came{}", expected.len(), list(&found[expected.len()..]))),
    }
}

fn subset(expected: &Json, found: &Json, path: &str) -> Result<(), String> {
    let differs = || Err(format!("{path}: expected {expected}, found {found}"));
    match (expected, found) {
        (Json::Object(expected), Json::Object(found)) => expected.iter().try_for_each(|(name, value)| {
            let below = format!("{path} {name}");
            match found.get(name) {
                Some(found) => subset(value, found, &below),
                None => Err(format!("{below}: expected {value}, found nothing")),
            }
        }),
        (Json::Array(expected), Json::Array(found)) if expected.len() == found.len() => (0..)
            .zip(expected.iter().zip(found))
            .try_for_each(|(at, (expected, found)): (usize, _)| subset(expected, found, &format!("{path}[{at}]"))),
        (Json::Number(expected), Json::Number(found)) if expected.as_f64() == found.as_f64() => Ok(()),
        (Json::String(expected), Json::String(found)) if same_time(expected, found) => Ok(()),
        (expected, found) if expected == found => Ok(()),
        _ => differs(),
    }
}

/// Two texts are one time when both are RFC 3339 and name the same instant.
fn same_time(a: &str, b: &str) -> bool {
    Timestamp::parse(a).is_some_and(|a| Timestamp::parse(b) == Some(a))
}

fn list(alerts: &[Json]) -> String {
    alerts.iter().map(|alert| format!("\n    {}", brief(alert))).collect()
}

fn brief(alert: &Json) -> String {
    format!("{} key {} counts {}: {}", alert["time"], alert["key"], alert["counts"], alert["title"])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_missing_alert_a_surplus_one_and_a_wrong_one_are_told_apart() {
        let fired = json!({"time": "2024-01-01T00:00:00Z", "key": ["a"], "counts": {"p": 5}, "title": "t"});
        let one = std::slice::from_ref(&fired);
        assert_eq!(compare(&[json!({"key": ["a"], "counts": {"p": 5.0}})], one), Ok(()));
        assert!(compare(&[], one).unwrap_err().starts_with("1 more"));
        assert!(compare(one, &[]).unwrap_err().starts_with("alert 0 is missing"));
        let wrong = compare(&[json!({"counts": {"p": 6}})], one).unwrap_err();
        assert!(wrong.starts_with("alert 0 counts p: expected 6, found 5"), "{wrong}");
    }

    #[test]
    fn one_instant_may_be_written_in_two_ways() {
        assert_eq!(subset(&json!("2024-01-01T01:00:00+01:00"), &json!("2024-01-01T00:00:00Z"), ""), Ok(()));
    }
}
