//! Syslog lines (RFC 3164, RFC 5424, and what daemons write to files) to ECS fields.
//!
//! `syslog_loose` takes the header apart. The time is cut out first and read by this room's own rules, because zone
//! and year are the input's to say; a nil timestamp stands in its place.

use core::net::IpAddr;

use syslog_loose::{Message, ProcId, Protocol, Variant};

use super::{
    Reason, Reject,
    time::{self, Written},
};
use crate::event::{FieldsBuilder, Number, Value};

/// The parts of a line around its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header<'a> {
    /// `<34>`, for RFC 5424 with version and blank (`<34>1 `); empty in files.
    pub priority: &'a str,
    pub written: Option<Written>,
    /// Host, tag and message.
    pub rest: &'a str,
    version: bool,
}

impl<'a> Header<'a> {
    /// `None` when the line starts with neither a priority nor a time.
    pub fn of(line: &'a str) -> Option<Self> {
        let line = line.trim();
        let (priority, version) = priority(line);
        let rest = line[priority.len()..].trim_start();
        if version && (rest == "-" || rest.starts_with("- ")) {
            return Some(Header { priority, written: None, rest: &rest[1..], version });
        }
        match time::prefix(rest) {
            Some((written, length)) if rest[length..].starts_with([' ', ':']) || rest.len() == length => {
                let rest = &rest[length..];
                Some(Header { priority, written: Some(written), rest: rest.strip_prefix(':').unwrap_or(rest), version })
            }
            _ if priority.is_empty() || version => None,
            _ => Some(Header { priority, written: None, rest, version }),
        }
    }

    /// Whether a tag with a colon follows, as in what syslog daemons write: tells a syslog line from another that
    /// starts with a time.
    pub fn has_tag(&self) -> bool {
        self.rest.split_ascii_whitespace().take(2).any(|word| word.len() > 1 && word.ends_with(':'))
    }

    /// The host that the line names.
    pub fn host(&self) -> Option<&'a str> {
        if self.written.is_none() && !self.version {
            return None;
        }
        let host = self.rest.split_ascii_whitespace().next()?;
        let named = self.version || !(host.ends_with(':') || host.contains('['));
        (named && host != "-").then_some(host)
    }
}

/// `<n>` with 0 ≤ n ≤ 191, and the version and blank of RFC 5424 when they follow.
fn priority(line: &str) -> (&str, bool) {
    let Some(end) = line.as_bytes().iter().take(5).position(|byte| *byte == b'>') else { return ("", false) };
    let valid =
        line.starts_with('<') && line[1..end].parse::<u8>().is_ok_and(|code| code <= 191) && line.as_bytes()[1] != b'+';
    if !valid {
        return ("", false);
    }
    match line.as_bytes()[end + 1..] {
        [b'1'..=b'9', b' ', ..] => (&line[..end + 3], true),
        _ => (&line[..=end], false),
    }
}

/// Puts the line's fields; answers its time as written.
///
/// # Errors
/// `bad_syslog` when the line starts with neither a priority nor a time, or its RFC 5424 header is broken.
pub fn decode(line: &str, out: &mut FieldsBuilder) -> Result<Option<Written>, Reject> {
    let header = Header::of(line)
        .ok_or_else(|| Reject::new(Reason::BadSyslog, "byte 0: neither a priority nor a time that ends its word"))?;
    if header.written.is_none() && !header.version && !header.has_tag() {
        return Ok(untagged(&header, out));
    }
    let blank = if header.rest.is_empty() || header.rest.starts_with(' ') { "" } else { " " };
    let line = format!("{}-{blank}{}", header.priority, header.rest);
    let variant = if header.version { Variant::RFC5424 } else { Variant::RFC3164 };
    let message = syslog_loose::parse_message_with_year_exact(&line, |_| 2000, variant)
        .map_err(|_| Reject::new(Reason::BadSyslog, "the header is not that of RFC 5424 or RFC 3164"))?;
    put_message(&message, &line, out);
    Ok(header.written)
}

/// `<13>some words`: RFC 3164 (4.3.3) takes all of it as the message.
fn untagged(header: &Header<'_>, out: &mut FieldsBuilder) -> Option<Written> {
    if let Ok(message) =
        syslog_loose::parse_message_with_year_exact(&format!("{}-", header.priority), |_| 2000, Variant::RFC3164)
    {
        put_codes(&message, out);
    }
    out.put_text("message", header.rest);
    None
}

fn put_message(message: &Message<&str>, line: &str, out: &mut FieldsBuilder) {
    put_codes(message, out);
    let (host, app) = host_and_app(message, line);
    if let Some(host) = host {
        out.put_text("host.name", host);
    }
    if let Some(app) = app {
        let name = process_name(app);
        out.put_text("process.name", name);
        if name != app {
            out.put_text("log.syslog.appname", app);
        }
    }
    match &message.procid {
        Some(ProcId::PID(pid)) => out.put("process.pid", Value::Number(Number::from(i64::from(*pid)))),
        Some(ProcId::Name(name)) => out.put_text("log.syslog.procid", name),
        None => {}
    }
    if let Some(id) = message.msgid {
        out.put_text("log.syslog.msgid", id);
    }
    for element in &message.structured_data {
        for (name, value) in element.params() {
            out.put_text(format!("log.syslog.structured_data.{}.{name}", element.id), value);
        }
    }
    out.put_text("message", text(message, line));
}

fn put_codes(message: &Message<&str>, out: &mut FieldsBuilder) {
    if let Some(facility) = message.facility {
        out.put("log.syslog.facility.code", Value::Number(Number::from(facility as i64)));
    }
    if let Some(severity) = message.severity {
        out.put("log.syslog.severity.code", Value::Number(Number::from(severity as i64)));
    }
}

/// A single word before the colon is the library's host; unless it is an address it is a program that wrote without
/// one, as `cron:` does.
fn host_and_app<'a>(message: &Message<&'a str>, line: &'a str) -> (Option<&'a str>, Option<&'a str>) {
    match (message.hostname, message.appname) {
        (Some(word), None) if message.protocol == Protocol::RFC3164 && word.parse::<IpAddr>().is_err() => {
            let after = line.find(word).map_or("", |at| &line[at + word.len()..]);
            if after.starts_with(':') { (None, Some(word)) } else { (Some(word), None) }
        }
        pair => pair,
    }
}

/// `sshd(pam_unix)` is sshd; the tag as written is kept beside it.
fn process_name(app: &str) -> &str {
    match app.split_once('(') {
        Some((name, module)) if !name.is_empty() && module.ends_with(')') => name,
        _ => app,
    }
}

/// The message as written. In RFC 3164 the library takes a leading dash for empty structured data; it is text.
fn text<'a>(message: &Message<&'a str>, line: &'a str) -> &'a str {
    let start = line.len() - message.msg.len();
    if message.protocol != Protocol::RFC3164 {
        return message.msg.strip_prefix('\u{feff}').unwrap_or(message.msg);
    }
    let before = line[..start].trim_end();
    let dash = before.len().saturating_sub(1);
    if message.structured_data.is_empty() && (before.ends_with(" -") || before.ends_with(":-")) {
        &line[dash..]
    } else {
        message.msg
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::event::Fields;

    fn fields(line: &str) -> Fields {
        let mut out = Fields::builder();
        decode(line, &mut out).unwrap_or_else(|reject| panic!("{line}: {reject}"));
        out.build()
    }

    /// `path=value` in byte order of the path.
    fn listed(line: &str) -> Vec<String> {
        fields(line).iter().map(|(path, value)| format!("{path}={value}")).collect()
    }

    #[test]
    fn rfc_5424_with_structured_data() {
        let line = "<165>1 2003-10-11T22:14:15.003Z web.example.com su 77 ID47 [auth@32473 user=\"a \\\"b\\\"\" n=\"3\"][empty] \u{feff}it failed";
        assert_eq!(
            listed(line),
            [
                "host.name=web.example.com",
                "log.syslog.facility.code=20",
                "log.syslog.msgid=ID47",
                "log.syslog.severity.code=5",
                "log.syslog.structured_data.auth@32473.n=3",
                "log.syslog.structured_data.auth@32473.user=a \"b\"",
                "message=it failed",
                "process.name=su",
                "process.pid=77",
            ]
        );
        assert_eq!(
            listed("<34>1 - - - - - -"),
            ["log.syslog.facility.code=4", "log.syslog.severity.code=2", "message="]
        );
    }

    #[test]
    fn rfc_3164_with_and_without_priority_and_host() {
        let same = ["host.name=gate", "message=Accepted x", "process.name=sshd", "process.pid=12"];
        assert_eq!(listed("Dec  1 06:55:46 gate sshd[12]: Accepted x"), same);
        assert_eq!(listed("2024-05-01T10:00:00.123456+02:00 gate sshd[12]: Accepted x"), same);
        assert_eq!(listed("<38>Dec  1 06:55:46.5 gate sshd[12]: Accepted x")[3..], same[1..]);
        assert_eq!(listed("Dec  1 06:55:46 sshd[12]: Accepted x"), same[1..]);
        assert_eq!(listed("Dec  1 06:55:46 cron: x"), ["message=x", "process.name=cron"]);
        assert_eq!(listed("Dec  1 06:55:46 10.0.0.1: x"), ["host.name=10.0.0.1", "message=x"]);
        assert_eq!(listed("<13>cron[7]: x")[2..], ["message=x", "process.name=cron", "process.pid=7"]);
        assert_eq!(listed("<13>some words here")[2..], ["message=some words here"]);
    }

    #[test]
    fn tags_with_dots_slashes_and_parentheses() {
        let process =
            |tag: &str| fields(&format!("Dec  1 06:55:46 gate {tag}: x")).get("process.name").unwrap().to_string();
        assert_eq!(process("sshd(pam_unix)[19939]"), "sshd");
        assert_eq!(process("postfix/smtpd[1]"), "postfix/smtpd");
        assert_eq!(process("rpc.statd[1]"), "rpc.statd");
        assert_eq!(process("systemd-logind[1]"), "systemd-logind");
        let tagged = fields("Jun 14 15:16:01 combo su(pam_unix)[2]: session opened");
        assert_eq!(tagged.get("log.syslog.appname").unwrap().to_string(), "su(pam_unix)");
        assert_eq!(tagged.get("process.pid").unwrap().to_string(), "2");
    }

    #[test]
    fn the_message_stays_as_written() {
        let message = |line: &str| fields(line).get("message").unwrap().to_string();
        assert_eq!(message("Jul 27 14:41:57 combo kernel: [12345.678] usb 1-1: new"), "[12345.678] usb 1-1: new");
        assert_eq!(message("Jul 27 14:41:57 combo app: - dashed"), "- dashed");
        assert_eq!(
            message("Jul 27 14:41:57 combo  -- root[2421]: ROOT LOGIN ON tty2"),
            "-- root[2421]: ROOT LOGIN ON tty2"
        );
        assert_eq!(message("Jul 27 14:41:57 combo app: a: b: [c]"), "a: b: [c]");
    }

    #[test]
    fn what_has_neither_priority_nor_time_is_refused() {
        for bad in [
            "hello world",
            "<192>Dec  1 06:55:46 a b: c",
            "<34>1 yesterday host app - - - x",
            "<34>1 2003-10-11T22:14:15Z host",
        ] {
            assert_eq!(decode(bad, &mut Fields::builder()).unwrap_err().reason, Reason::BadSyslog, "{bad}");
        }
    }

    #[test]
    fn the_host_is_found_without_taking_the_line_apart() {
        let host = |line: &'static str| Header::of(line).and_then(|header| header.host());
        assert_eq!(host("<38>Dec  1 06:55:46 gate sshd[12]: x"), Some("gate"));
        assert_eq!(host("<38>1 2024-05-01T10:00:00Z gate - - - - x"), Some("gate"));
        assert_eq!(host("<38>1 - - - - - - x"), None);
        assert_eq!(host("Dec  1 06:55:46 sshd[12]: x"), None);
        assert_eq!(host("<13>words"), None);
    }

    proptest! {
        #[test]
        fn no_line_panics(line in "(<[0-9]{1,3}>)?([1-9] )?(Dec 10 06:55:46|-|2024-05-01T10:00:00Z)?[ -]?\\PC{0,40}") {
            let mut out = Fields::builder();
            if decode(&line, &mut out).is_ok() {
                let _ = out.build();
            }
        }
    }
}
