//! Which part of a key's past counts.

use std::time::Duration;

use crate::rule::{
    Window,
    entry::{Entry, Report},
};

/// Keys that are a window each; a rule has at most one.
const WINDOWS: [&str; 6] = ["within", "every", "session", "silent", "first_seen", "baseline"];

/// Keys that say more of a window, and of which.
const DETAILS: [(&str, &str); 2] = [("max", "session"), ("forget", "silent")];

/// When a silent key is dropped, where `forget` is left out.
const FORGET: Duration = Duration::from_secs(7 * 86_400);

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
        _ => None,
    }
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
