//! Syslog lines (RFC 3164, RFC 5424, and what daemons write to files) to ECS fields.
//!
//! The time is cut out first and read by this room's own rules, because zone and year are the input's to say.

mod message;
mod structured;

use self::message::Message;
pub use self::structured::unescape;
use super::{
    Limits, PATH_BYTES_MAX, Reason, Reject,
    field::Field,
    json,
    sink::{STRUCTURED_DATA, Sink, parameter_path_len},
    time::{self, Written},
};

const APP: Field = Field::known("log.syslog.appname");
const FACILITY: Field = Field::known("log.syslog.facility.code");
const HOST: Field = Field::known("host.name");
const MESSAGE: Field = Field::known("message");
const MESSAGE_ID: Field = Field::known("log.syslog.msgid");
const PROCESS_ID: Field = Field::known("process.pid");
const PROCESS_NAME: Field = Field::known("process.name");
const PROCESS_WORD: Field = Field::known("log.syslog.procid");
const SEVERITY: Field = Field::known("log.syslog.severity.code");

/// The codes of facilities and severities, as written.
const CODES: [&str; 24] = [
    "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15", "16", "17", "18", "19", "20",
    "21", "22", "23",
];

/// The parts of a line around its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header<'a> {
    /// 8 · facility + severity, 191 at most; there is none in files.
    priority: Option<u8>,
    pub written: Option<Written>,
    /// Host, tag and message.
    pub rest: &'a str,
    version: bool,
}

impl<'a> Header<'a> {
    /// `None` when the line starts with neither a priority nor a time.
    pub fn of(line: &'a str) -> Option<Self> {
        let line = line.trim();
        let (priority, length, version) = priority(line);
        let rest = line[length..].trim_start();
        if version && (rest == "-" || rest.starts_with("- ")) {
            return Some(Header { priority, written: None, rest: &rest[1..], version });
        }
        match time::prefix(rest) {
            Some((written, length)) if rest[length..].starts_with([' ', ':']) || rest.len() == length => {
                let rest = &rest[length..];
                Some(Header { priority, written: Some(written), rest: rest.strip_prefix(':').unwrap_or(rest), version })
            }
            _ if priority.is_none() || version => None,
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

/// `<n>` with 0 ≤ n ≤ 191, the length of what stands for it, and whether version and blank of RFC 5424 are in that.
fn priority(line: &str) -> (Option<u8>, usize, bool) {
    let number = || {
        let digits = line.strip_prefix('<')?;
        let digits = &digits[..digits.bytes().take(4).position(|byte| byte == b'>')?];
        let code = digits.parse().ok().filter(|code| *code <= 191 && !digits.starts_with('+'))?;
        Some((code, digits.len() + 2))
    };
    let Some((code, length)) = number() else { return (None, 0, false) };
    match line.as_bytes()[length..] {
        [b'1'..=b'9', b' ', ..] => (Some(code), length + 2, true),
        _ => (Some(code), length, false),
    }
}

/// Puts the fields of a line.
///
/// # Errors
/// `bad_syslog` when its RFC 5424 header is broken, and where its structured data is beyond a limit the word for that.
pub fn put(header: &Header<'_>, limits: &Limits, out: &mut impl Sink) -> Result<(), Reject> {
    if let Some(priority) = header.priority {
        out.number(FACILITY, CODES[usize::from(priority >> 3)]);
        out.number(SEVERITY, CODES[usize::from(priority & 7)]);
    }
    if header.written.is_none() && !header.version && !header.has_tag() {
        // `<13>some words`: RFC 3164 (4.3.3) takes all of it as the message
        out.text(MESSAGE, header.rest);
        return Ok(());
    }
    let message = match header.version {
        true => Message::rfc_5424(header.rest)
            .ok_or_else(|| Reject::new(Reason::BadSyslog, "the header is not that of RFC 5424"))?,
        false => Message::rfc_3164(header.rest),
    };
    if let Some(host) = message.host {
        out.text(HOST, host);
    }
    if let Some(app) = message.app {
        let name = process_name(app);
        out.text(PROCESS_NAME, name);
        if name != app {
            out.text(APP, app);
        }
    }
    if let Some(process) = message.process {
        put_process(process, out);
    }
    if let Some(id) = message.id {
        out.text(MESSAGE_ID, id);
    }
    if !message.structured.is_empty() {
        put_structured(message.structured, limits, out)?;
    }
    let text = message.text;
    out.text(MESSAGE, if header.version { text.strip_prefix('\u{feff}').unwrap_or(text) } else { text });
    Ok(())
}

/// Puts the parameters of structured data. They are held against the limits before anything is kept of them, and
/// whoever reads them: a record is refused or taken whatever the rules are.
fn put_structured(elements: &str, limits: &Limits, out: &mut impl Sink) -> Result<(), Reject> {
    let is_wanted = out.wants(STRUCTURED_DATA);
    for (before, (element, name, value)) in structured::parameters(elements).enumerate() {
        if before >= limits.fields_max {
            let detail = format!("more than {} parameters of structured data", limits.fields_max);
            return Err(Reject::new(Reason::TooManyFields, detail));
        }
        if parameter_path_len(element, name) > PATH_BYTES_MAX {
            let detail = format!("a parameter of structured data has a path of over {PATH_BYTES_MAX} bytes");
            return Err(Reject::new(Reason::PathTooLong, detail));
        }
        if is_wanted {
            out.parameter(element, name, value);
        }
    }
    Ok(())
}

/// A number is the process's id, in its usual form.
fn put_process(process: &str, out: &mut impl Sink) {
    match process.parse::<i32>() {
        Ok(_) if json::is_number(process) && process != "-0" => out.number(PROCESS_ID, process),
        Ok(id) => out.number(PROCESS_ID, &id.to_string()),
        Err(_) => out.text(PROCESS_WORD, process),
    }
}

/// `sshd(pam_unix)` is sshd; the tag as written is kept beside it.
fn process_name(app: &str) -> &str {
    match app.split_once('(') {
        Some((name, module)) if !name.is_empty() && module.ends_with(')') => name,
        _ => app,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{
        super::{field::Paths, sink::InFull},
        *,
    };
    use crate::event::Fields;

    const LIMITS: Limits = Limits { record_bytes_max: 1 << 20, depth_max: 64, fields_max: 1000 };

    fn decoded(line: &str) -> Option<Fields> {
        let paths = Paths::default();
        let mut out = InFull::new(&paths);
        put(&Header::of(line)?, &LIMITS, &mut out).ok()?;
        Some(out.build())
    }

    fn fields(line: &str) -> Fields {
        decoded(line).unwrap_or_else(|| panic!("{line} is no syslog"))
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
            assert_eq!(decoded(bad), None, "{bad}");
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
            let _ = decoded(&line);
        }
    }
}
