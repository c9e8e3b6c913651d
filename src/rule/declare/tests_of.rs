//! Inline tests.

use std::time::Duration;

use rhai::Position;

use crate::{
    event::{Fields, Timestamp, Value},
    rule::{
        Audience, RuleTest, TEST_EPOCH, TestBody, TestEvent,
        data::Data,
        duration,
        entry::{Entry, Report},
    },
};

/// Events of one test, `repeat` spread out.
const EVENTS_MAX: usize = 100_000;

pub(super) fn read(map: Entry<'_>, position: Position, audience: Audience, report: &mut Report<'_>) -> Vec<RuleTest> {
    let Some(entry) = map.get("tests") else {
        if audience == Audience::Rules {
            // Its alerts show in the tests of the rules on them.
            return Vec::new();
        }
        let help = "add `tests: [ #{ name: \"…\", events: […], alerts: […] } ]`".to_owned();
        report.warning("no-tests", position, "the rule has no tests", Some(help));
        return Vec::new();
    };
    if !report.is_list(entry, "tests") {
        return Vec::new();
    }
    if entry.items().next().is_none() {
        report.warning("no-tests", entry.position, "the rule has no tests", None);
    }
    entry.items().filter_map(|item| test(item, report)).collect()
}

fn test(entry: Entry<'_>, report: &mut Report<'_>) -> Option<RuleTest> {
    if !report.is_map(entry, "tests") {
        return None;
    }
    report.keys(entry, "a test", &["name", "events", "alerts", "until", "lateness", "with"]);
    let name = required(entry, "name", report).and_then(|entry| report.text(entry, "name"));
    let events = required(entry, "events", report).map(|list| events(list, report));
    let alerts = required(entry, "alerts", report).map(|list| alerts(list, report));
    let until = entry.get("until").and_then(|until| time(until, "until", report));
    let lateness = entry.get("lateness").and_then(|lateness| report.duration(lateness, "lateness", true));
    let with = report.optional_texts(entry, "with");
    let place = report.source.place(entry.position);
    Some(RuleTest { name: name?, events: events?, lateness, until, alerts: alerts?, with, place })
}

fn required<'a>(map: Entry<'a>, name: &str, report: &mut Report<'_>) -> Option<Entry<'a>> {
    let entry = map.get(name);
    if entry.is_none() {
        report.error("missing-key", map.position, format!("`{name}` is missing"), None);
    }
    entry
}

fn events(list: Entry<'_>, report: &mut Report<'_>) -> Vec<TestEvent> {
    if !report.is_list(list, "events") {
        return Vec::new();
    }
    let mut events = Vec::new();
    for entry in list.items() {
        let Some((event, repeat, every)) = event(entry, report) else { continue };
        if events.len() + repeat > EVENTS_MAX {
            let message = format!("a test has at most {EVENTS_MAX} events");
            report.error("out-of-range", entry.position, message, None);
            break;
        }
        let times = std::iter::successors(Some(event.at), |at| Some(at.plus(every))).take(repeat);
        events.extend(times.map(|at| TestEvent { at, ..event.clone() }));
    }
    events
}

fn event(entry: Entry<'_>, report: &mut Report<'_>) -> Option<(TestEvent, usize, Duration)> {
    if !report.is_map(entry, "events") {
        return None;
    }
    report.keys(entry, "an event of a test", &["at", "repeat", "every", "event", "raw", "format", "input"]);
    let at = required(entry, "at", report).and_then(|at| time(at, "at", report));
    let repeat = match entry.get("repeat") {
        Some(repeat) => report.integer(repeat, "repeat", 1, EVENTS_MAX as i64)?,
        None => 1,
    };
    let every = match entry.get("every") {
        Some(every) => report.duration(every, "every", true)?,
        None => Duration::ZERO,
    };
    let input = report.optional_text(entry, "input").map(Into::into);
    let body = body(entry, report);
    Some((TestEvent { at: at?, input, body: body? }, usize::try_from(repeat).unwrap_or(1), every))
}

fn body(entry: Entry<'_>, report: &mut Report<'_>) -> Option<TestBody> {
    let format = report.optional_text(entry, "format");
    match (entry.get("event"), entry.get("raw")) {
        (Some(event), None) => {
            if format.is_some() {
                let message = "`format` names the decoder of a `raw` line";
                report.error("wrong-key", entry.key_position("format"), message, None);
            }
            report.is_map(event, "event").then(|| fields(event, report)).flatten().map(TestBody::Fields)
        }
        (None, Some(raw)) => Some(TestBody::Raw { line: report.text(raw, "raw")?, format }),
        _ => {
            let help = "write `event: #{…}` or `raw: \"…\"`".to_owned();
            report.error("missing-key", entry.position, "an event of a test is a map or a raw line", Some(help));
            None
        }
    }
}

fn fields(entry: Entry<'_>, report: &mut Report<'_>) -> Option<Fields> {
    let mut fields = Fields::builder();
    for (name, value) in entry.entries() {
        match value.data.to_value() {
            Some(found) => fields.put(name, found),
            None => {
                let message = format!("`{name}` is {}, which no event holds", value.data.kind());
                report.error("wrong-type", value.position, message, None);
                return None;
            }
        }
    }
    Some(fields.build())
}

/// From the epoch of tests, or an RFC 3339 time.
fn time(entry: Entry<'_>, name: &str, report: &mut Report<'_>) -> Option<Timestamp> {
    let text = report.text(entry, name)?;
    let absolute = || text.parse::<jiff::Timestamp>().ok().and_then(|time| i64::try_from(time.as_nanosecond()).ok());
    let time = duration::parse(&text).map(|span| TEST_EPOCH.plus(span)).or_else(|| absolute().map(Timestamp));
    if time.is_none() {
        let help = "write \"90s\" after the start of the test, or \"2024-01-01T00:01:30Z\"".to_owned();
        report.error("bad-time", entry.position, format!("`{text}` is no time"), Some(help));
    }
    time
}

fn alerts(list: Entry<'_>, report: &mut Report<'_>) -> Vec<serde_json::Value> {
    if !report.is_list(list, "alerts") {
        return Vec::new();
    }
    list.items().filter_map(|entry| alert(entry, report)).collect()
}

fn alert(entry: Entry<'_>, report: &mut Report<'_>) -> Option<serde_json::Value> {
    if !report.is_map(entry, "alerts") {
        return None;
    }
    let value = entry.data.to_value();
    if value.is_none() {
        let message = format!("an alert holds data, not {}", first_odd(entry.data));
        report.error("wrong-type", entry.position, message, None);
    }
    value.as_ref().map(Value::to_json)
}

fn first_odd(data: &Data) -> &'static str {
    let inside = match data {
        Data::List(items) => items.iter().find(|item| item.to_value().is_none()),
        Data::Map(entries) => entries.values().find(|value| value.to_value().is_none()),
        _ => None,
    };
    inside.map_or(data.kind(), first_odd)
}
