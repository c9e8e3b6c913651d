//! Web server logs: access lines (CLF, common and combined, with or without a virtual host before them) and Apache's
//! error log (2.2 and 2.4).

use core::net::IpAddr;
use std::sync::LazyLock;

use regex::Regex;

use super::time::{self, Written};

/// What a line says, `message` included, for [`super::extract`] to put; values borrowed from the line.
#[derive(Debug, PartialEq, Eq)]
pub struct Line<'a> {
    pub written: Option<Written>,
    pub fields: Vec<(&'static str, &'a str)>,
}

/// A quoted field, in which quotes are escaped.
const QUOTED: &str = r#""((?:[^"\\]|\\.)*)""#;

static ACCESS: LazyLock<Regex> = LazyLock::new(|| {
    let tail = format!("(?: {QUOTED} {QUOTED})?");
    let line = format!(r"^(?:([^\s:]+):\d+ )?(\S+) \S+ (.+?) \[([^\]]+)\] {QUOTED} (\d{{3}}) (\d+|-){tail}");
    Regex::new(&line).expect("the access log's expression is valid")
});

/// The fields of an access line; `None` when it is none.
pub fn access(line: &str) -> Option<Line<'_>> {
    if !line.contains("] \"") {
        return None;
    }
    let groups = ACCESS.captures(line)?;
    let group = |index: usize| groups.get(index).map_or("", |group| group.as_str());
    let written = time::whole(group(4))?;
    let mut fields = vec![
        ("message", line),
        ("event.action", "web_request"),
        ("event.outcome", if matches!(group(6).as_bytes()[0], b'4' | b'5') { "failure" } else { "success" }),
        ("url.domain", group(1)),
        ("source.ip", group(2)),
        ("user.name", group(3)),
        ("http.response.status_code", group(6)),
        ("http.response.body.bytes", group(7)),
        ("http.request.referrer", group(8)),
        ("user_agent.original", group(9)),
    ];
    match request(group(5)) {
        Some(request) => fields.extend(request),
        None => fields.push(("url.original", group(5))),
    }
    fields.retain(|(_, value)| !value.is_empty() && *value != "-");
    Some(Line { written: Some(written), fields })
}

/// `GET /a?b HTTP/1.1`
fn request(line: &str) -> Option<[(&'static str, &str); 3]> {
    let (method, rest) = line.split_once(' ')?;
    if method.is_empty() || !method.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'_' || byte == b'-') {
        return None;
    }
    let (url, version) = rest.rsplit_once(" HTTP/").unwrap_or((rest, ""));
    Some([("http.request.method", method), ("url.original", url), ("http.version", version)])
}

static ERROR: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(concat!(
        r"^\[(?:([\w-]*):)?(emerg|alert|crit|error|warn|notice|info|debug|trace\d)\] ",
        r"(?:\[pid (\d+)(?::tid (\d+))?\] )?(?:\S+: )??(?:\[client (([^\]\s]+?)(?::(\d+))?)\] )?",
        r"(?:(AH\d+): )?(.*?)(?:, referer: (\S+))?$",
    ))
    .expect("the error log's expression is valid")
});

/// Where an error message names the file that it is about.
static FILE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^(?:File does not exist: |script not found or unable to stat: |Directory index forbidden by rule: |client denied by server configuration: )(.+)$|^script '([^']+)' not found")
        .expect("the error message's expression is valid")
});

/// The fields of a line of Apache's error log; `None` when it is none. Without the leading time
/// it is what Apache sends to syslog.
pub fn apache_error(line: &str) -> Option<Line<'_>> {
    let inner = line.strip_prefix('[')?;
    let (written, rest) = match time::prefix(inner) {
        Some((written, length)) => (Some(written), inner[length..].strip_prefix("] ")?),
        None => (None, line),
    };
    let groups = ERROR.captures(rest)?;
    let group = |index: usize| groups.get(index).map_or("", |group| group.as_str());
    let message = group(9);
    let (client, port) = client(group(1), group(5), group(6), group(7));
    let failed = matches!(group(2), "emerg" | "alert" | "crit" | "error");
    let mut fields = vec![
        ("event.action", if failed { "web_error" } else { "" }),
        ("event.outcome", if failed { "failure" } else { "" }),
        ("log.logger", group(1)),
        ("log.level", group(2)),
        ("process.pid", group(3)),
        ("process.thread.id", group(4)),
        ("source.ip", client),
        ("source.port", port),
        ("error.code", group(8)),
        ("message", message),
        ("http.request.referrer", group(10)),
    ];
    if let Some(file) = FILE.captures(message).and_then(|groups| groups.get(1).or(groups.get(2))) {
        fields.push(("file.path", file.as_str()));
    }
    fields.retain(|(_, value)| !value.is_empty());
    Some(Line { written, fields })
}

/// Apache 2.4 (the level has a module) adds the port; 2.2 does not, so that the end of an IPv6 address is none.
fn client<'a>(module: &str, whole: &'a str, address: &'a str, port: &'a str) -> (&'a str, &'a str) {
    if module.is_empty() && whole.parse::<IpAddr>().is_ok() { (whole, "") } else { (address, port) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get<'a>(line: &Line<'a>, path: &str) -> &'a str {
        line.fields.iter().find(|(name, _)| *name == path).map_or("", |(_, value)| value)
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
