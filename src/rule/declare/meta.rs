//! What a rule says of itself.

use rhai::Position;

use crate::rule::{
    Audience, InputSet, Meta, Risk, Severity, Status,
    diagnostic::did_you_mean,
    entry::{Entry, Report, listed},
};

const SEVERITIES: [(&str, Severity); 5] = [
    ("info", Severity::Info),
    ("low", Severity::Low),
    ("medium", Severity::Medium),
    ("high", Severity::High),
    ("critical", Severity::Critical),
];

const AUDIENCES: [(&str, Audience); 2] = [("everyone", Audience::Everyone), ("rules", Audience::Rules)];

/// Who is told of the rule's alerts. What is for rules alone shows in no test, and nobody follows rules on alerts.
pub(super) fn audience(map: Entry<'_>, inputs: &InputSet, report: &mut Report<'_>) -> Audience {
    let Some(entry) = map.get("audience") else { return Audience::Everyone };
    let audience = one_of(entry, "audience", &AUDIENCES, report).unwrap_or(Audience::Everyone);
    if audience == Audience::Rules && inputs.reads_alerts() {
        let message = "no rule is told of the alerts of a rule on alerts: this one would tell nobody";
        report.error("alerts-of-alerts", entry.position, message, Some("take out `audience`".to_owned()));
    }
    if audience == Audience::Rules && map.get("tests").is_some() {
        let help = Some("test the rule on its alerts, with this one in `with`".to_owned());
        let message = "alerts for rules alone show in no test";
        report.error("wrong-place", map.key_position("tests"), message, help);
    }
    audience
}

pub(super) fn read(map: Entry<'_>, position: Position, report: &mut Report<'_>) -> Meta {
    let id = match map.get("id") {
        Some(entry) => report.text(entry, "id"),
        None => {
            report.error("no-id", position, "the rule has no `id`", Some("add `id: \"a-name\"`".to_owned()));
            None
        }
    };
    let id = id.unwrap_or_default();
    let title = match map.get("title") {
        Some(entry) => report.text(entry, "title"),
        None => {
            report.warning("no-title", position, "the rule has no `title`; its alerts show the id", None);
            None
        }
    };
    let severity = match map.get("severity") {
        Some(entry) => one_of(entry, "severity", &SEVERITIES, report),
        None => {
            let message = "the rule has no `severity`; its alerts are `medium`";
            report.warning("no-severity", position, message, None);
            None
        }
    };
    let false_positives = report.optional_texts(map, "false_positives");
    if false_positives.is_empty() {
        let help = "add `false_positives: [\"…\"]`: what looks the same and is harmless".to_owned();
        report.warning("no-false-positives", position, "the rule notes no false positives", Some(help));
    }
    Meta {
        title: title.unwrap_or_else(|| id.clone()),
        id: id.into(),
        version: report.source.version.clone(),
        severity: severity.unwrap_or(Severity::Medium),
        description: report.optional_text(map, "description").unwrap_or_default(),
        author: report.optional_text(map, "author"),
        status: map.get("status").and_then(|entry| one_of(entry, "status", &Status::NAMES, report)),
        references: report.optional_texts(map, "references"),
        false_positives,
        runbook: report.optional_text(map, "runbook"),
        attack: attack(map, report),
        tags: report.optional_texts(map, "tags"),
        risk: map.get("risk").and_then(|entry| risk(entry, report)),
    }
}

fn one_of<T: Copy>(entry: Entry<'_>, name: &str, choices: &[(&str, T)], report: &mut Report<'_>) -> Option<T> {
    let text = report.text(entry, name)?;
    if let Some((_, choice)) = choices.iter().find(|(word, _)| *word == text) {
        return Some(*choice);
    }
    let words = || choices.iter().map(|(word, _)| *word);
    let help = did_you_mean(&text, words()).unwrap_or_else(|| format!("one of {}", listed(words())));
    report.error("unknown-value", entry.position, format!("`{text}` is no {name}"), Some(help));
    None
}

fn attack(map: Entry<'_>, report: &mut Report<'_>) -> Vec<String> {
    let Some(entry) = map.get("attack") else { return Vec::new() };
    let texts = report.texts(entry, "attack");
    for (text, entry) in texts.iter().filter(|(text, _)| !is_technique(text)) {
        let tidy: String = text.chars().filter(|char| !char.is_whitespace()).collect::<String>().to_uppercase();
        let help = match is_technique(&tidy) {
            true => format!("did you mean `{tidy}`?"),
            false => "a technique is written `T1110`, a sub-technique `T1110.001`".to_owned(),
        };
        let message = format!("`{text}` is no MITRE ATT&CK technique");
        report.error("unknown-technique", entry.position, message, Some(help));
    }
    texts.into_iter().map(|(text, _)| text).collect()
}

/// `T1234` or `T1234.001`
fn is_technique(text: &str) -> bool {
    let digits = |text: &str, count: usize| text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
    let Some(rest) = text.strip_prefix('T') else { return false };
    match rest.split_once('.') {
        Some((technique, sub)) => digits(technique, 4) && digits(sub, 3),
        None => digits(rest, 4),
    }
}

fn risk(entry: Entry<'_>, report: &mut Report<'_>) -> Option<Risk> {
    if !report.is_map(entry, "risk") {
        return None;
    }
    report.keys(entry, "risk", &["score", "entities"]);
    let Some(score) = entry.get("score") else {
        report.error("no-score", entry.position, "`risk` has no `score`", Some("add `score: 60`".to_owned()));
        return None;
    };
    let score = report.integer(score, "score", 0, 1_000_000)?;
    Some(Risk { score, entities: report.optional_texts(entry, "entities") })
}
