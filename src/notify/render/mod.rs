//! An alert for people and for programs.
//!
//! Much of an alert was chosen by whoever is being watched: user names, paths, commands. Nothing of it reaches a
//! terminal, a mail or a page as a control character, an escape sequence or a right-to-left trick. Pure: no clock, no
//! terminal; whether to colour is the caller's answer.

mod clean;
mod facts;
mod html;
#[cfg(test)]
pub(crate) mod samples;

use anstyle::{AnsiColor, Style};

pub(super) use clean::{clean, token};
pub(super) use html::html;

use crate::alert::{Alert, State};

/// Longest title shown, in characters.
const TITLE_CHARS_MAX: usize = 300;
/// Longest mail subject, in characters.
const SUBJECT_CHARS_MAX: usize = 160;

/// One line of JSON without its line break: the same in every sink. Characters that a terminal may obey or hide are
/// written as `\u` escapes, which JSON readers read as the characters that they are.
pub fn json(alert: &Alert) -> String {
    let written = serde_json::to_string(alert).expect("an alert encodes: its maps have text keys");
    clean::escape_json(written)
}

/// A compact block that ends with a line break: what and when on the first line, the facts indented below it.
pub fn text(alert: &Alert, color: bool) -> String {
    let paint = |style: Style, text: &str| if color { format!("{style}{text}{style:#}") } else { text.to_owned() };
    let mut block = format!(
        "{}  {}  {}{}\n",
        paint(Style::new().dimmed(), &clean(&alert.time, TITLE_CHARS_MAX)),
        paint(severity_style(&alert.severity), &format!("{:<8}", severity(alert))),
        paint(Style::new().bold(), &clean(&alert.title, TITLE_CHARS_MAX)),
        match alert.state {
            State::Fired => String::new(),
            State::Opened => format!("  {}", paint(AnsiColor::Magenta.on_default(), "[opened]")),
            State::Closed => format!("  {}", paint(AnsiColor::Green.on_default(), "[closed]")),
        },
    );
    for (label, fact) in facts::facts(alert) {
        let label = paint(Style::new().dimmed(), &format!("{label:<7}"));
        block.push_str(&format!("    {label} {fact}\n"));
    }
    block
}

/// A mail's subject: one line.
pub(super) fn subject(alert: &Alert) -> String {
    let closed = if alert.state == State::Closed { "closed: " } else { "" };
    format!("[{}] {closed}{}", severity(alert), clean(&alert.title, SUBJECT_CHARS_MAX))
}

/// Names one record of an alert for whoever wants to know repeats: `<id>-<state>`, in letters that any header takes.
pub(super) fn record_id(alert: &Alert) -> String {
    format!("{}-{}", token(&alert.id), state_word(alert.state))
}

pub(super) fn state_word(state: State) -> &'static str {
    match state {
        State::Fired => "fired",
        State::Opened => "opened",
        State::Closed => "closed",
    }
}

fn severity(alert: &Alert) -> String {
    clean(&alert.severity, 16).to_uppercase()
}

fn severity_style(severity: &str) -> Style {
    match severity {
        "critical" => AnsiColor::BrightWhite.on(AnsiColor::Red).bold(),
        "high" => AnsiColor::Red.on_default().bold(),
        "medium" => AnsiColor::Yellow.on_default().bold(),
        "low" => AnsiColor::Cyan.on_default(),
        _ => Style::new().dimmed(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_says_what_when_who_and_shows_the_evidence() {
        assert_eq!(
            text(&samples::alert(), false),
            "\
2024-01-01T00:01:10Z  HIGH      203.0.113.9 logged in as root after 5 failures
    rule    ssh-brute-force-success
    key     source.ip=203.0.113.9
    counts  failure 5, success 1
    window  2023-12-31T23:51:10Z to 2024-01-01T00:01:10Z
    attack  T1110.001, T1078
    fields  users=[\"root\",\"admin\"]
    first   2024-01-01T00:00:00Z  auth/0@11  failure  source.ip=203.0.113.9 user.name=root
    last    2024-01-01T00:01:10Z  auth/0@17  success  source.ip=203.0.113.9 user.name=root
"
        );
    }

    #[test]
    fn opened_and_closed_are_told_apart_and_closed_has_the_totals() {
        let mut alert = samples::alert();
        alert.state = State::Opened;
        let opened = text(&alert, false);
        assert!(opened.lines().next().unwrap().ends_with("[opened]"), "{opened}");
        alert.state = State::Closed;
        alert.suppressed = 293;
        let closed = text(&alert, false);
        assert!(closed.lines().next().unwrap().ends_with("[closed]"), "{closed}");
        assert!(closed.contains("293 more signals"), "{closed}");
        assert!(closed.contains("failure 5, success 1"), "{closed}");
    }

    #[test]
    fn colour_is_only_added() {
        let alert = samples::alert();
        let coloured = text(&alert, true);
        assert!(coloured.contains("\u{1b}["));
        let mut plain = String::new();
        let mut rest = coloured.as_str();
        while let Some((before, after)) = rest.split_once('\u{1b}') {
            plain.push_str(before);
            rest = &after[after.find('m').unwrap() + 1..];
        }
        assert_eq!(plain + rest, text(&alert, false));
    }

    #[test]
    fn what_an_attacker_wrote_cannot_reach_the_terminal() {
        let evil = "root\u{1b}[2J\u{1b}]0;owned\u{7}\r\n2024-01-01T00:00:00Z  INFO  all is well\u{9b}31m\u{202e}txt";
        let alert = samples::hostile(evil);
        let block = text(&alert, false);
        assert!(block.lines().skip(1).all(|line| line.starts_with("    ")), "no line is forged: {block}");
        let hidden = |c: char| c != '\n' && clean::is_hidden(c);
        assert!(!block.contains(hidden), "{block:?}");
        assert!(block.contains("\\u{1b}[2J"), "it can be seen that it was tried: {block}");
        assert!(!json(&alert).contains(clean::is_hidden));
        assert!(!subject(&alert).contains(clean::is_hidden));
        assert!(!html(&alert).contains(hidden));
    }

    #[test]
    fn json_reads_back_as_the_same_alert() {
        let alert = samples::hostile("a\u{9b}b\u{202e}c\u{7f}\u{e0041}\u{1b}é日本\"\\");
        assert_eq!(serde_json::from_str::<Alert>(&json(&alert)).unwrap(), alert);
        assert!(!json(&alert).contains('\n'));
    }

    #[test]
    fn a_subject_is_one_short_line() {
        let mut alert = samples::alert();
        alert.title = "x\r\nBcc: all@example.com ".repeat(50);
        alert.state = State::Closed;
        let subject = subject(&alert);
        assert!(subject.starts_with("[HIGH] closed: x\\r\\nBcc"), "{subject}");
        assert!(subject.chars().count() < 200 && subject.lines().count() == 1);
    }

    #[test]
    fn a_record_id_fits_any_header() {
        let mut alert = samples::alert();
        assert_eq!(record_id(&alert), "00112233445566778899aabbccddeeff-fired");
        alert.id = "a\r\nb: c".to_owned();
        assert_eq!(record_id(&alert), "a__b__c-fired");
    }
}
