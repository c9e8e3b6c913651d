//! Web server logs: access lines (CLF, common and combined, with or without a virtual host before them) and Apache's
//! error log (2.2 and 2.4).

use core::net::IpAddr;
use std::sync::LazyLock;

use memchr::memmem;

use super::{
    expression::{Expression, Groups},
    field::Field,
    time::{self, Written},
};

/// The fields that lines may hold; which of them a line has room for is by its kind.
const PARTS_MAX: usize = 13;

/// What a line says, `message` included, for [`super::extract`] to put; values borrowed from the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line<'a> {
    pub written: Option<Written>,
    parts: [(Field, &'a str); PARTS_MAX],
}

impl<'a> Line<'a> {
    /// Of parts, those left out that say nothing.
    fn new<const N: usize>(written: Option<Written>, parts: [(Field, &'a str); N]) -> Self {
        let mut line = Line { written, parts: [(MESSAGE, ""); PARTS_MAX] };
        line.parts[..N].copy_from_slice(&parts);
        line
    }

    /// The fields that have a value.
    pub fn parts(&self) -> impl Iterator<Item = (Field, &'a str)> + use<'_, 'a> {
        self.parts.iter().copied().filter(|(_, text)| !text.is_empty())
    }
}

const ACTION: Field = Field::known("event.action");
const BYTES: Field = Field::known("http.response.body.bytes");
const CODE: Field = Field::known("error.code");
const DOMAIN: Field = Field::known("url.domain");
const FILE: Field = Field::known("file.path");
const LEVEL: Field = Field::known("log.level");
const LOGGER: Field = Field::known("log.logger");
const MESSAGE: Field = Field::known("message");
const METHOD: Field = Field::known("http.request.method");
const OUTCOME: Field = Field::known("event.outcome");
const PID: Field = Field::known("process.pid");
const PORT: Field = Field::known("source.port");
const REFERRER: Field = Field::known("http.request.referrer");
const SOURCE: Field = Field::known("source.ip");
const STATUS: Field = Field::known("http.response.status_code");
const THREAD: Field = Field::known("process.thread.id");
const URL: Field = Field::known("url.original");
const USER: Field = Field::known("user.name");
const USER_AGENT: Field = Field::known("user_agent.original");
const VERSION: Field = Field::known("http.version");

/// What lines set besides `message`.
pub const FIELDS: [Field; 19] = [
    ACTION, BYTES, CODE, DOMAIN, FILE, LEVEL, LOGGER, METHOD, OUTCOME, PID, PORT, REFERRER, SOURCE, STATUS, THREAD,
    URL, USER, USER_AGENT, VERSION,
];

/// A quoted field, in which quotes are escaped.
const QUOTED: &str = r#""((?:[^"\\]|\\.)*)""#;

static ACCESS: LazyLock<Expression> = LazyLock::new(|| {
    let tail = format!("(?: {QUOTED} {QUOTED})?");
    let line = format!(r"^(?:([^\s:]+):\d+ )?(\S+) \S+ (.+?) \[([^\]]+)\] {QUOTED} (\d{{3}}) (\d+|-){tail}");
    Expression::new(&line).expect("the access log's expression is valid")
});

/// In every access line, between its time and its request.
static TIME_END: LazyLock<memmem::Finder<'static>> = LazyLock::new(|| memmem::Finder::new("] \""));

/// Whether a look at the line leaves it open that it is an access line.
pub fn may_be_access(line: &str) -> bool {
    TIME_END.find(line.as_bytes()).is_some()
}

/// The fields of an access line; `None` when it is none.
pub fn access<'a>(line: &'a str, groups: &mut Groups) -> Option<Line<'a>> {
    if may_be_access(line) { access_looked_at(line, groups) } else { None }
}

/// As [`access`], of a line that [`may_be_access`].
pub fn access_looked_at<'a>(line: &'a str, groups: &mut Groups) -> Option<Line<'a>> {
    if !ACCESS.find(line, groups) {
        return None;
    }
    let group = |number: usize| groups.of(number, line).filter(|text| *text != "-").unwrap_or_default();
    let written = time::whole(groups.of(4, line)?)?;
    let status = group(6);
    let (method, url, version) = request(group(5)).unwrap_or(("", group(5), ""));
    let parts = [
        (MESSAGE, line),
        (ACTION, "web_request"),
        (OUTCOME, if status.starts_with(['4', '5']) { "failure" } else { "success" }),
        (DOMAIN, group(1)),
        (SOURCE, group(2)),
        (USER, group(3)),
        (STATUS, status),
        (BYTES, group(7)),
        (REFERRER, group(8)),
        (USER_AGENT, group(9)),
        (METHOD, method),
        (URL, url),
        (VERSION, version),
    ];
    Some(Line::new(Some(written), parts.map(|(field, text)| (field, if text == "-" { "" } else { text }))))
}

/// `GET /a?b HTTP/1.1`: method, target and version.
fn request(line: &str) -> Option<(&str, &str, &str)> {
    let (method, rest) = line.split_once(' ')?;
    if method.is_empty() || !method.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'_' || byte == b'-') {
        return None;
    }
    let (url, version) = rest.rsplit_once(" HTTP/").unwrap_or((rest, ""));
    Some((method, url, version))
}

static ERROR: LazyLock<Expression> = LazyLock::new(|| {
    Expression::new(concat!(
        r"^\[(?:([\w-]*):)?(emerg|alert|crit|error|warn|notice|info|debug|trace\d)\] ",
        r"(?:\[pid (\d+)(?::tid (\d+))?\] )?(?:\S+: )??(?:\[client (([^\]\s]+?)(?::(\d+))?)\] )?",
        r"(?:(AH\d+): )?(.*?)(?:, referer: (\S+))?$",
    ))
    .expect("the error log's expression is valid")
});

/// Where an error message names the file that it is about.
static NAMED_FILE: LazyLock<Expression> = LazyLock::new(|| {
    Expression::new(r"^(?:File does not exist: |script not found or unable to stat: |Directory index forbidden by rule: |client denied by server configuration: )(.+)$|^script '([^']+)' not found")
        .expect("the error message's expression is valid")
});

/// The fields of a line of Apache's error log; `None` when it is none. Without the leading time
/// it is what Apache sends to syslog.
pub fn apache_error<'a>(line: &'a str, groups: &mut Groups) -> Option<Line<'a>> {
    let inner = line.strip_prefix('[')?;
    let (written, rest) = match time::prefix(inner) {
        Some((written, length)) => (Some(written), inner[length..].strip_prefix("] ")?),
        None => (None, line),
    };
    if !ERROR.find(rest, groups) {
        return None;
    }
    let group = |number: usize| groups.of(number, rest).unwrap_or_default();
    let (client, port) = client(group(1), group(5), group(6), group(7));
    let failed = matches!(group(2), "emerg" | "alert" | "crit" | "error");
    let message = group(9);
    let parts = [
        (ACTION, if failed { "web_error" } else { "" }),
        (OUTCOME, if failed { "failure" } else { "" }),
        (LOGGER, group(1)),
        (LEVEL, group(2)),
        (PID, group(3)),
        (THREAD, group(4)),
        (SOURCE, client),
        (PORT, port),
        (CODE, group(8)),
        (MESSAGE, message),
        (REFERRER, group(10)),
    ];
    let mut line = Line::new(written, parts);
    if NAMED_FILE.find(message, groups) {
        let file = groups.of(1, message).or_else(|| groups.of(2, message)).unwrap_or_default();
        line.parts[parts.len()] = (FILE, file);
    }
    Some(line)
}

/// Apache 2.4 (the level has a module) adds the port; 2.2 does not, so that the end of an IPv6 address is none.
fn client<'a>(module: &str, whole: &'a str, address: &'a str, port: &'a str) -> (&'a str, &'a str) {
    if module.is_empty() && whole.parse::<IpAddr>().is_ok() { (whole, "") } else { (address, port) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get<'a>(line: &Line<'a>, path: &str) -> &'a str {
        line.parts().find(|(field, _)| *field == Field::known(path)).map_or("", |(_, value)| value)
    }

    fn access(line: &str) -> Option<Line<'_>> {
        super::access(line, &mut Groups::default())
    }

    fn apache_error(line: &str) -> Option<Line<'_>> {
        super::apache_error(line, &mut Groups::default())
    }

    #[test]
    fn common_and_combined_lines() {
        let common =
            access(r#"203.0.113.9 - alice [10/Oct/2000:13:55:36 -0700] "GET /a?b=c HTTP/1.0" 200 2326"#).unwrap();
        assert_eq!(get(&common, "source.ip"), "203.0.113.9");
        assert_eq!(get(&common, "user.name"), "alice");
        assert_eq!(get(&common, "http.request.method"), "GET");
        assert_eq!(get(&common, "url.original"), "/a?b=c");
        assert_eq!(get(&common, "http.version"), "1.0");
        assert_eq!(get(&common, "http.response.status_code"), "200");
        assert_eq!(get(&common, "event.outcome"), "success");
        let combined = r#"www.example.com:443 2001:db8::1 - - [10/Oct/2000:13:55:36 +0000] "POST /login HTTP/1.1" 403 - "https://example.com/" "Mozilla/5.0 \"x\"" 17"#;
        let combined = access(combined).unwrap();
        assert_eq!(get(&combined, "url.domain"), "www.example.com");
        assert_eq!(get(&combined, "source.ip"), "2001:db8::1");
        assert_eq!(get(&combined, "user.name"), "");
        assert_eq!(get(&combined, "http.response.body.bytes"), "");
        assert_eq!(get(&combined, "user_agent.original"), r#"Mozilla/5.0 \"x\""#);
        assert_eq!(get(&combined, "event.outcome"), "failure");
    }

    #[test]
    fn requests_that_are_no_requests_are_kept_whole() {
        let line = access(r#"::1 - - [10/Oct/2000:13:55:36 +0000] "\x16\x03\x01" 400 226 "-" "-""#).unwrap();
        assert_eq!(get(&line, "url.original"), r"\x16\x03\x01");
        assert_eq!(get(&line, "http.request.method"), "");
        let line = access(r#"::1 - - [10/Oct/2000:13:55:36 +0000] "GET /a b HTTP/1.1" 400 226"#).unwrap();
        assert_eq!(get(&line, "url.original"), "/a b");
        assert_eq!(access(r#"a [x] "b""#), None);
    }

    #[test]
    fn error_logs_of_both_styles() {
        let old =
            apache_error("[Sun Dec 04 04:47:44 2005] [error] [client 203.0.113.9] File does not exist: /var/www/a")
                .unwrap();
        assert!(matches!(old.written, Some(Written::Civil(_))));
        assert_eq!(get(&old, "source.ip"), "203.0.113.9");
        assert_eq!(get(&old, "message"), "File does not exist: /var/www/a");
        assert_eq!(get(&old, "file.path"), "/var/www/a");
        let new = "[Fri Sep 09 10:42:29.902022 2011] [authz_core:error] [pid 35708:tid 4328636416] [client 2001:db8::7:54321] AH01630: client denied by server configuration: /srv/x, referer: http://example.com/";
        let new = apache_error(new).unwrap();
        assert_eq!(get(&new, "log.logger"), "authz_core");
        assert_eq!(get(&new, "log.level"), "error");
        assert_eq!(get(&new, "process.pid"), "35708");
        assert_eq!(get(&new, "source.port"), "54321");
        assert_eq!(get(&new, "error.code"), "AH01630");
        assert_eq!(get(&new, "file.path"), "/srv/x");
        assert_eq!(get(&new, "http.request.referrer"), "http://example.com/");
        let notice = apache_error("[Sun Dec 04 04:47:44 2005] [notice] workerEnv.init() ok /etc/httpd/conf").unwrap();
        assert_eq!(get(&notice, "event.outcome"), "");
        assert_eq!(get(&apache_error("[error] [client 2001:db8::7] denied").unwrap(), "source.ip"), "2001:db8::7");
        assert_eq!(apache_error("[1,2]"), None);
    }
}
