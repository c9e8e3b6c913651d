//! Which part of a key's past counts.

use std::{sync::Arc, time::Duration};

use crate::rule::{
    Baseline, FirstSeen, Season, Window,
    entry::{Entry, Report},
};

/// Keys that are a window each; a rule has at most one.
const WINDOWS: [&str; 7] = ["within", "every", "from_first", "session", "silent", "first_seen", "baseline"];

/// Keys that say more of a window, and of which.
const DETAILS: [(&str, &str); 3] = [("max", "session"), ("forget", "silent"), ("learn", "first_seen")];

/// When a silent key is dropped, where `forget` is left out.
const FORGET: Duration = Duration::from_secs(7 * 86_400);

const HOUR: Duration = Duration::from_secs(3600);
const WEEK: Duration = Duration::from_secs(7 * 86_400);

/// Whether the rule has a window, right or wrong.
pub(super) fn is_given(map: Entry<'_>) -> bool {
    WINDOWS.iter().any(|name| map.get(name).is_some())
}

pub(super) fn read(map: Entry<'_>, report: &mut Report<'_>) -> Window {
    let given: Vec<&str> = WINDOWS.into_iter().filter(|name| map.get(name).is_some()).collect();
    if let [first, second, ..] = given[..] {
        let message = format!("a rule has one window, and this one has `{first}` and `{second}`");
        report.error("two-windows", map.key_position(second), message, None);
    }
    for (name, of) in DETAILS.into_iter().filter(|(name, of)| map.get(name).is_some() && !given.contains(of)) {
        report.error("no-window", map.key_position(name), format!("`{name}` without `{of}`"), None);
    }
    given.first().and_then(|name| one(map, name, report)).unwrap_or(Window::None)
}

fn one(map: Entry<'_>, name: &str, report: &mut Report<'_>) -> Option<Window> {
    let span =
        |name: &str, report: &mut Report<'_>| map.get(name).and_then(|entry| report.duration(entry, name, false));
    match name {
        "within" => span(name, report).map(Window::Sliding),
        "every" => span(name, report).map(Window::Tumbling),
        "from_first" => span(name, report).map(Window::FromFirst),
        "session" => {
            let (gap, max) = (span(name, report), span("max", report));
            if gap.zip(max).is_some_and(|(gap, max)| max < gap) {
                let message = "`max` is shorter than the gap of the `session`";
                report.error("out-of-range", map.key_position("max"), message, None);
            }
            Some(Window::Session { gap: gap?, max })
        }
        "silent" => {
            let (after, forget) = (span(name, report), span("forget", report));
            silent(map, after?, forget, report)
        }
        "first_seen" => first_seen(map, map.get(name)?, report).map(Window::FirstSeen),
        _ => baseline(map.get(name)?, report).map(Window::Baseline),
    }
}

fn first_seen(map: Entry<'_>, entry: Entry<'_>, report: &mut Report<'_>) -> Option<FirstSeen> {
    if !report.is_map(entry, "first_seen") {
        return None;
    }
    report.keys(entry, "first_seen", &["fields", "over"]);
    let learn = map.get("learn").map(|entry| report.duration(entry, "learn", true));
    let fields =
        needed(entry, "fields", "fields: [\"user.name\"]", report).map(|fields| report.texts(fields, "fields"));
    let over = needed(entry, "over", "over: \"30d\"", report).and_then(|over| report.duration(over, "over", false));
    let fields: Vec<Arc<str>> = fields?.into_iter().map(|(path, _)| path.into()).collect();
    if fields.is_empty() {
        report.error("empty", entry.position, "`first_seen` names no field", None);
    }
    Some(FirstSeen { fields, over: over?, learn: learn.unwrap_or(Some(Duration::ZERO))? })
}

fn baseline(entry: Entry<'_>, report: &mut Report<'_>) -> Option<Baseline> {
    if !report.is_map(entry, "baseline") {
        return None;
    }
    report.keys(entry, "baseline", &["value", "every", "over", "above", "season"]);
    needed(entry, "value", "value: |w| w.event.count", report);
    let every =
        needed(entry, "every", "every: \"1h\"", report).and_then(|every| report.duration(every, "every", false));
    let over = needed(entry, "over", "over: \"7d\"", report).and_then(|over| report.duration(over, "over", false));
    let above = needed(entry, "above", "above: 4", report).and_then(|above| report.positive(above, "above"));
    let season = match entry.get("season") {
        None => None,
        Some(season) => Some((season, season_of(season, report)?)),
    };
    let baseline = Baseline { every: every?, over: over?, above: above?, season: season.map(|(_, season)| season) };
    let mut wrong = |at: Entry<'_>, message: String, help: &str| {
        report.error("out-of-range", at.position, message, Some(help.to_owned()));
        None
    };
    if let Some((at, _)) = season {
        if !HOUR.as_nanos().is_multiple_of(baseline.every.as_nanos()) {
            return wrong(
                at,
                "the buckets don't divide an hour".to_owned(),
                "set `every` to 1h, 30m, 20m, 15m or less",
            );
        }
        if baseline.over < WEEK {
            return wrong(at, "`over` is shorter than the season".to_owned(), "set `over` to some weeks: \"4w\"");
        }
    } else if baseline.over < baseline.every {
        return wrong(
            entry,
            "`over` is shorter than `every`".to_owned(),
            "a history has many buckets: \"7d\" of \"1h\"",
        );
    }
    Some(baseline)
}

fn season_of(entry: Entry<'_>, report: &mut Report<'_>) -> Option<Season> {
    let text = report.text(entry, "season")?;
    if text != "week" {
        let help = Some("write `season: \"week\"`: each hour of the week has a history of its own".to_owned());
        report.error("unknown-value", entry.position, format!("`{text}` is no season"), help);
        return None;
    }
    Some(Season::Week)
}

/// A key that its map can't do without.
fn needed<'a>(entry: Entry<'a>, name: &str, example: &str, report: &mut Report<'_>) -> Option<Entry<'a>> {
    let found = entry.get(name);
    if found.is_none() {
        report.error("missing-key", entry.position, format!("`{name}` is missing"), Some(format!("add `{example}`")));
    }
    found
}

fn silent(map: Entry<'_>, after: Duration, forget: Option<Duration>, report: &mut Report<'_>) -> Option<Window> {
    let given = map.get("forget").is_some();
    let forget = if given { forget? } else { FORGET };
    if forget <= after {
        let message = "a key is forgotten before it has been silent for so long";
        let help = "set `forget` to more than `silent`; it is 7d when left out".to_owned();
        report.error("out-of-range", map.key_position(if given { "forget" } else { "silent" }), message, Some(help));
        return None;
    }
    Some(Window::Silent { after, forget })
}
