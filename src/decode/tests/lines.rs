//! Generated lines of every format, with and without extracts: what is read straight into slots is what the whole
//! record says.

use proptest::{prelude::*, sample::select};

use super::*;

/// Paths that formats and extracts set, what stands above and below them, and some that nobody sets.
const PATHS: [&str; 34] = [
    "message",
    "host.name",
    "host",
    "process.name",
    "process.pid",
    "process",
    "process.command_line",
    "log",
    "log.syslog",
    "log.syslog.appname",
    "log.syslog.procid",
    "log.syslog.msgid",
    "log.syslog.facility.code",
    "log.syslog.severity",
    "log.syslog.structured_data",
    "log.syslog.structured_data.a@1",
    "log.syslog.structured_data.a@1.user",
    "log.level",
    "event.action",
    "event.outcome",
    "event.reason",
    "event",
    "source.ip",
    "source.address",
    "source.domain",
    "source.port",
    "source",
    "user.name",
    "user",
    "user.name.first",
    "url.path",
    "url.query",
    "http.response.status_code",
    "done",
];

const MESSAGES: [&str; 20] = [
    "Failed password for invalid user eve from 203.0.113.9 port 4022 ssh2",
    "message repeated 3 times: [ Failed password for root from gate.example port 4022 ssh2]",
    "Accepted publickey for bob from 2001:db8::7 port 22 ssh2: ED25519 SHA256:x",
    "Disconnecting: Too many authentication failures for root from 203.0.113.9 port 22: x, client: y",
    "Connection closed by invalid user [client x] 203.0.113.9 port 22 [preauth]",
    "eve : TTY=pts/0 ; PWD=/home/eve ; USER=root ; COMMAND=/usr/bin/id",
    "eve : command not allowed ; TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/bin/sh",
    "pam_unix(su:session): session opened for user root by eve(uid=1000)",
    "pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost=203.0.113.9  user=root",
    "new user: name=eve, UID=1002, GID=1002",
    "10.0.0.1 did x",
    "port 077 and done",
    "words, and - more: [x] \\\"y\\\" é",
    "",
    "- dashed",
    r#"203.0.113.9 - eve [01/May/2024:10:00:00 +0000] \"GET /a?b HTTP/1.1\" 404 153"#,
    r#"2024/05/01 10:00:00 [warn] 12#12: *5 open() failed, client: 203.0.113.9, server: _, request: \"GET /x HTTP/1.1\""#,
    r#"2024/05/01 10:00:00 [error] 12#12: *5 open() failed, client: 203.0.113.9, server: _"#,
    "[authz_core:error] [pid 7] [client 203.0.113.9:54321] AH01630: client denied by server configuration: /srv/x",
    "user a logged in",
];

const EXTRACTS: [(Option<&str>, &str, &str); 6] = [
    (Some(r#"process.name == "sshd""#), "message", r"user (?<user.name>\S+)"),
    (None, "message", r"^(?<source.ip>\S+) did (?<done>\w)"),
    (None, "host.name", r"(?<host.id>\d+)$"),
    (None, "message", r"port (?<source.port>\d+)(?<message>.*)"),
    (Some(r#"log.syslog.severity.code == "6""#), "process.pid", r"(?<done>\d)"),
    (None, "message", r"(?<url.original>/\S*)|(?<user>eve)"),
];

fn message() -> impl Strategy<Value = String> {
    prop_oneof![4 => select(&MESSAGES[..]).prop_map(|text| text.replace("\\\"", "\"")), 1 => "\\PC{0,30}"]
}

fn line() -> impl Strategy<Value = String> {
    let priority = "(<(13|38|191|192|7)>)?";
    let time =
        select(vec!["May  1 10:00:00", "2024-05-01T12:00:00+02:00", "May 1 2024 10:00:00", "2024-05-01 10:00:00"]);
    let tag = select(vec![
        "gate sshd[7]: ",
        "gate1 sudo: ",
        "10.0.0.1 su(pam_unix)[07]: ",
        "cron: ",
        "gate - ",
        "gate [a@1 user=\"e\"] sshd[1]: ",
        "gate sshd[7]: [a@1 user=\"e\"] ",
        "gate sshd[007]: ",
        "gate x[-0]: ",
        "a:b su: ",
        "gate useradd[x]: ",
        "- ",
        "",
    ]);
    let syslog = (priority, time, tag, message())
        .prop_map(|(priority, time, tag, text)| format!("{priority}{time} {tag}{text}"));
    let data = select(vec![
        "-",
        r#"[a@1 user="eve" n="\"1\""]"#,
        r#"[b][a@1 user="x"][a@1 user="y"]"#,
        "[",
        "",
        r#"[a@1 user="x" user.b="1"][a@1.user c="2"]"#,
        r#"[a " b="]"#,
        "[][]",
        r#"[a@1 ="x" user="\\""]"#,
        r#"[a@1 ser.x="a"][. .="b"]"#,
    ]);
    let app = select(vec!["sshd", "sudo", "-", "su"]);
    let newer = (app, data, message())
        .prop_map(|(app, data, text)| format!("<38>1 2024-05-01T10:00:00Z gate {app} 12 ID {data} {text}"));
    let web = (
        select(vec!["203.0.113.9", "gate.example", "::1"]),
        select(vec!["GET /a?b=c HTTP/1.1", "\\x16", "-"]),
        200..600,
    )
        .prop_map(|(from, request, status)| {
            format!("{from} - eve [01/May/2024:10:00:00 +0000] \"{request}\" {status} 17 \"-\" \"curl\"")
        });
    let error = message().prop_map(|text| format!("[Wed May 01 10:00:00 2024] [error] [client 203.0.113.9] {text}"));
    let json = (select(vec!["sshd", "sudo", "x"]), message(), select(vec!["1", r#"[{"name":"a"}]"#, r#"{"name":"a"}"#]))
        .prop_map(|(process, text, user)| {
            let text = serde_json::Value::from(text);
            format!(r#"{{"ts":1714557600,"process":{{"name":"{process}"}},"message":{text},"user":{user},"source.ip":"10.0.0.9"}}"#)
        });
    prop_oneof![4 => syslog, 2 => newer, 1 => web, 1 => error, 1 => message(), 1 => json]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn slots_filled_directly_are_those_of_the_whole_event(
        lines in proptest::collection::vec(line(), 1..4),
        paths in proptest::sample::subsequence(&PATHS[..], 0..10),
        extracts in proptest::sample::subsequence(&EXTRACTS[..], 0..4),
        (_, format) in select(&Format::NAMED[..]),
    ) {
        let extract = |(when, field, regex): &(Option<&str>, &str, &str)| {
            Extract { when: when.map(str::to_owned), field: (*field).to_owned(), regex: (*regex).to_owned() }
        };
        let spec = DecodeSpec { format, extracts: extracts.iter().map(extract).collect(), ..DecodeSpec::default() };
        let decoder = |paths: &[&str]| {
            let mut decoder = Decoder::new(&spec, LIMITS, Timing::Live).unwrap();
            decoder.want(&Wanted::new(paths));
            decoder
        };
        let (mut some, mut all) = (decoder(&paths), decoder(&PATHS));
        for line in &lines {
            let read = some.read(line.as_bytes(), Some(1_714_557_600_000));
            let whole = all.read(line.as_bytes(), Some(1_714_557_600_000));
            prop_assert_eq!(read.as_ref().map(|read| read.time), whole.as_ref().map(|read| read.time), "{}", line);
            let Ok(read) = read else { continue };
            let (view, fields) = (some.view(&read), some.in_full(&read).unwrap());
            for path in &paths {
                let slot = view.slot(path).unwrap();
                let value = fields.get(path).map(|value| value.into_owned());
                prop_assert_eq!(view.value(slot), value, "{} of {}", path, line);
                prop_assert_eq!(view.exists(slot), fields.exists(path), "{} exists in {}", path, line);
            }
        }
    }
}
