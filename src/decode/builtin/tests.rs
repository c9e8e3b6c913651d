//! What each program says, in lines of our own, and what is made of it.

use super::{super::field::Paths, *};

/// `path=value`, sorted, the message left out.
fn said(process: &str, message: &str) -> String {
    let (mut groups, paths) = (Groups::default(), Paths::default());
    let useful = Useful::new(&|_| true);
    let asked = useful.ask(Some(process), message);
    let Some(found) = asked.and_then(|asked| asked.find(&mut groups)) else { return "nothing".to_owned() };
    let mut said = Vec::new();
    found.each(message, &groups, &mut |field, text| {
        let path = paths.path(field);
        if !text.is_empty() && **path != *"message" {
            said.push(format!("{path}={text}"));
        }
    });
    said.sort();
    said.join(" ")
}

fn check(process: &str, cases: &[(&str, &str)]) {
    for (message, expected) in cases {
        assert_eq!(said(process, message), *expected, "{process}: {message}");
    }
}

#[test]
fn one_ssh_attempt_is_one_login_event() {
    check(
        "sshd",
        &[
            (
                "Invalid user eve from 203.0.113.9 port 4022",
                "event.action=ssh_invalid_user event.outcome=failure source.ip=203.0.113.9 source.port=4022 user.name=eve",
            ),
            ("pam_unix(sshd:auth): check pass; user unknown", "event.action=pam_unknown_user event.outcome=failure"),
            (
                "pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost=203.0.113.9",
                "event.action=pam_authentication event.outcome=failure source.ip=203.0.113.9",
            ),
            (
                "Failed password for invalid user eve from 203.0.113.9 port 4022 ssh2",
                "event.action=ssh_login event.outcome=failure source.ip=203.0.113.9 source.port=4022 user.name=eve",
            ),
            (
                "Failed none for invalid user eve from 203.0.113.9 port 4022 ssh2",
                "event.action=ssh_auth_attempt event.outcome=failure source.ip=203.0.113.9 source.port=4022 user.name=eve",
            ),
            (
                "Connection closed by invalid user eve 203.0.113.9 port 4022 [preauth]",
                "event.action=ssh_disconnect source.ip=203.0.113.9 source.port=4022 user.name=eve",
            ),
            (
                "PAM 5 more authentication failures; logname= uid=0 euid=0 tty=ssh ruser= rhost=203.0.113.9  user=root",
                "event.action=pam_authentication event.outcome=failure event.repeated=5 source.ip=203.0.113.9 user.name=root",
            ),
        ],
    );
}

#[test]
fn ssh_logins_of_every_version() {
    let failure = "event.action=ssh_login event.outcome=failure source.ip=2001:db8::9 source.port=22 user.name=root";
    for process in ["sshd", "sshd-session"] {
        check(
            process,
            &[
                ("Failed password for root from 2001:db8::9 port 22 ssh2", failure),
                ("Failed keyboard-interactive/pam for root from 2001:db8::9 port 22 ssh2", failure),
                ("Failed password for illegal user root from 2001:db8::9 port 22", failure),
                (
                    "Accepted publickey for deploy from 198.51.100.4 port 50022 ssh2: ED25519 SHA256:abc",
                    "event.action=ssh_login event.outcome=success source.ip=198.51.100.4 source.port=50022 user.name=deploy",
                ),
                (
                    "Accepted password for deploy from 198.51.100.4 port 50022 ssh2",
                    "event.action=ssh_login event.outcome=success source.ip=198.51.100.4 source.port=50022 user.name=deploy",
                ),
                (
                    "message repeated 4 times: [ Failed password for root from 203.0.113.9 port 22 ssh2]",
                    "event.action=ssh_login event.outcome=failure event.repeated=4 source.ip=203.0.113.9 source.port=22 user.name=root",
                ),
                (
                    "Failed publickey for deploy from 198.51.100.4 port 50022 ssh2: RSA SHA256:abc",
                    "event.action=ssh_auth_attempt event.outcome=failure source.ip=198.51.100.4 source.port=50022 user.name=deploy",
                ),
            ],
        );
    }
}

#[test]
fn a_user_name_can_not_forge_the_address() {
    check(
        "sshd",
        &[
            (
                "Failed password for invalid user root from 198.51.100.1 port 22 ssh2 from 203.0.113.9 port 4022 ssh2",
                "event.action=ssh_login event.outcome=failure source.ip=203.0.113.9 source.port=4022 user.name=root from 198.51.100.1 port 22 ssh2",
            ),
            (
                "Invalid user a from 198.51.100.1 from 203.0.113.9",
                "event.action=ssh_invalid_user event.outcome=failure source.ip=203.0.113.9 user.name=a from 198.51.100.1",
            ),
            (
                "Failed password for invalid user  from 203.0.113.9 port 4022 ssh2",
                "event.action=ssh_login event.outcome=failure source.ip=203.0.113.9 source.port=4022",
            ),
            (
                "pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost=203.0.113.9  user=x rhost=198.51.100.1",
                "event.action=pam_authentication event.outcome=failure source.ip=203.0.113.9 user.name=x rhost=198.51.100.1",
            ),
        ],
    );
}

#[test]
fn the_rest_of_sshd() {
    check(
        "sshd",
        &[
            (
                "Received disconnect from 203.0.113.9: 11: Bye Bye [preauth]",
                "event.action=ssh_disconnect event.reason=Bye Bye source.ip=203.0.113.9",
            ),
            (
                "Received disconnect from 2001:db8::9 port 4022:11: disconnected by user",
                "event.action=ssh_disconnect event.reason=disconnected by user source.ip=2001:db8::9 source.port=4022",
            ),
            (
                "Disconnected from user deploy 198.51.100.4 port 50022",
                "event.action=ssh_disconnect source.ip=198.51.100.4 source.port=50022 user.name=deploy",
            ),
            (
                "Disconnecting authenticating user root 203.0.113.9 port 22: Too many authentication failures [preauth]",
                "event.action=ssh_disconnect event.reason=Too many authentication failures source.ip=203.0.113.9 source.port=22 user.name=root",
            ),
            (
                "Disconnecting: Too many authentication failures for root [preauth]",
                "event.action=ssh_disconnect event.reason=Too many authentication failures user.name=root",
            ),
            ("Connection closed by 203.0.113.9 [preauth]", "event.action=ssh_disconnect source.ip=203.0.113.9"),
            (
                "error: maximum authentication attempts exceeded for invalid user eve from 203.0.113.9 port 22 ssh2 [preauth]",
                "event.action=ssh_max_attempts event.outcome=failure source.ip=203.0.113.9 source.port=22 user.name=eve",
            ),
            (
                "User eve from 203.0.113.9 not allowed because not listed in AllowUsers",
                "event.action=ssh_not_allowed event.outcome=failure event.reason=not allowed because not listed in AllowUsers source.ip=203.0.113.9 user.name=eve",
            ),
            (
                "Did not receive identification string from 203.0.113.9 port 22",
                "event.action=ssh_probe source.ip=203.0.113.9 source.port=22",
            ),
            (
                "Unable to negotiate with 203.0.113.9 port 22: no matching host key type found. [preauth]",
                "event.action=ssh_probe source.ip=203.0.113.9 source.port=22",
            ),
            (
                "reverse mapping checking getaddrinfo for h.example [203.0.113.9] failed - POSSIBLE BREAK-IN ATTEMPT!",
                "event.action=ssh_reverse_mapping source.domain=h.example source.ip=203.0.113.9",
            ),
            (
                "pam_unix(sshd:session): session opened for user deploy(uid=1001) by (uid=0)",
                "event.action=session_opened event.outcome=success user.name=deploy",
            ),
            (
                "pam_unix(sshd:session): session closed for user deploy",
                "event.action=session_closed event.outcome=success user.name=deploy",
            ),
            ("Server listening on 0.0.0.0 port 22.", "nothing"),
        ],
    );
}

#[test]
fn sudo_says_who_became_whom_and_ran_what() {
    check(
        "sudo",
        &[
            (
                "   alice : TTY=pts/0 ; PWD=/home/alice ; USER=root ; COMMAND=/usr/bin/tail -f /var/log/x",
                "event.action=sudo event.outcome=success process.command_line=/usr/bin/tail -f /var/log/x process.working_directory=/home/alice user.effective.name=root user.name=alice",
            ),
            (
                "bob : 3 incorrect password attempts ; TTY=pts/1 ; PWD=/ ; USER=root ; COMMAND=/bin/sh",
                "event.action=sudo event.outcome=failure event.reason=3 incorrect password attempts process.command_line=/bin/sh process.working_directory=/ user.effective.name=root user.name=bob",
            ),
            (
                "bob : user NOT in sudoers ; TTY=pts/1 ; PWD=/ ; USER=root ; COMMAND=/bin/sh",
                "event.action=sudo event.outcome=failure event.reason=user NOT in sudoers process.command_line=/bin/sh process.working_directory=/ user.effective.name=root user.name=bob",
            ),
            (
                "ci : PWD=/srv ; USER=app ; GROUP=app ; ENV=A=1 B=2 ; COMMAND=/bin/echo ; USER=root ; COMMAND=x",
                "event.action=sudo event.outcome=success process.command_line=/bin/echo ; USER=root ; COMMAND=x process.working_directory=/srv user.effective.name=app user.name=ci",
            ),
            (
                "pam_unix(sudo:session): session opened for user root(uid=0) by alice(uid=1000)",
                "event.action=session_opened event.outcome=success user.effective.name=root user.name=alice",
            ),
            (
                "pam_unix(sudo:auth): authentication failure; logname=bob uid=1000 euid=0 tty=/dev/pts/1 ruser=bob rhost=  user=bob",
                "event.action=pam_authentication event.outcome=failure user.name=bob",
            ),
        ],
    );
}

#[test]
fn su_of_every_make() {
    check(
        "su",
        &[
            (
                "(to root) alice on pts/0",
                "event.action=su event.outcome=success user.effective.name=root user.name=alice",
            ),
            (
                "FAILED SU (to root) bob on pts/1",
                "event.action=su event.outcome=failure user.effective.name=root user.name=bob",
            ),
            (
                "Successful su for root by alice",
                "event.action=su event.outcome=success user.effective.name=root user.name=alice",
            ),
            (
                "FAILED su for root by bob",
                "event.action=su event.outcome=failure user.effective.name=root user.name=bob",
            ),
            ("+ /dev/pts/0 alice:root", "nothing"),
            (
                "session opened for user news by (uid=0)",
                "event.action=session_opened event.outcome=success user.effective.name=news",
            ),
        ],
    );
}

#[test]
fn accounts_and_groups() {
    check(
        "useradd",
        &[(
            "new user: name=eve, UID=1002, GID=1002, home=/home/eve, shell=/bin/sh, from=/dev/pts/0",
            "event.action=user_created event.outcome=success user.target.id=1002 user.target.name=eve",
        )],
    );
    check(
        "usermod",
        &[
            (
                "add 'eve' to group 'sudo'",
                "event.action=group_member_added event.outcome=success group.name=sudo user.target.name=eve",
            ),
            ("add 'eve' to shadow group 'sudo'", "nothing"),
            (
                "change user 'eve' UID from '1002' to '0'",
                "event.action=user_id_changed event.outcome=success user.target.id=0 user.target.name=eve",
            ),
        ],
    );
    check(
        "gpasswd",
        &[(
            "user eve added by root to group wheel",
            "event.action=group_member_added event.outcome=success group.name=wheel user.name=root user.target.name=eve",
        )],
    );
    check(
        "groupadd",
        &[(
            "new group: name=ops, GID=1005",
            "event.action=group_created event.outcome=success group.id=1005 group.name=ops",
        )],
    );
    check("userdel", &[("delete user 'eve'", "event.action=user_deleted event.outcome=success user.target.name=eve")]);
    check(
        "passwd",
        &[(
            "pam_unix(passwd:chauthtok): password changed for root",
            "event.action=password_changed event.outcome=success user.target.name=root",
        )],
    );
}

#[test]
fn web_servers_whoever_sends_their_lines() {
    check(
        "nginx",
        &[
            (
                r#"203.0.113.9 - - [01/May/2024:10:00:00 +0000] "GET /x HTTP/1.1" 404 153"#,
                "event.action=web_request event.outcome=failure http.request.method=GET http.response.body.bytes=153 http.response.status_code=404 http.version=1.1 source.ip=203.0.113.9 url.original=/x",
            ),
            (
                r#"2024/05/01 10:00:00 [error] 12#12: *5 open() "/srv/x" failed (2: No such file or directory), client: 203.0.113.9, server: _, request: "GET /x HTTP/1.1", host: "h""#,
                "error.message=open() \"/srv/x\" failed (2: No such file or directory) event.action=web_error event.outcome=failure http.request.method=GET http.version=1.1 log.level=error process.pid=12 source.ip=203.0.113.9 timestamp=2024/05/01 10:00:00 url.original=/x",
            ),
        ],
    );
    check(
        "httpd",
        &[(
            "[error] [client 203.0.113.9] File does not exist: /srv/x",
            "event.action=web_error event.outcome=failure file.path=/srv/x log.level=error source.ip=203.0.113.9",
        )],
    );
}

#[test]
fn only_what_is_read_is_asked_for() {
    let action = Useful::new(&|field| field == Field::known("event.action"));
    let nothing = Useful::new(&|_| false);
    let message = "Failed password for root from 203.0.113.9 port 22 ssh2";
    assert!(action.ask(Some("sshd"), message).is_some());
    assert!(nothing.ask(Some("sshd"), message).is_none());
    assert!(action.ask(Some("sshd"), "Server listening on :: port 22.").is_none());
    // an earlier row that nobody reads still takes the message from a later one
    let (reason, all) = (Useful::new(&|field| field == Field::known("event.reason")), Useful::new(&|_| true));
    let message = "Disconnecting: Too many authentication failures for root from 203.0.113.9 port 22: x";
    let found = |useful: &Useful| {
        let asked = useful.ask(Some("sshd"), message).unwrap();
        format!("{:?}", asked.find(&mut Groups::default()))
    };
    assert_eq!(found(&reason), found(&all));
    // a look for what marks a web server's line is taken where somebody reads what it says, and once
    let line = r#"[x] "y" [client x, client: y"#;
    let looks = |useful: &Useful| {
        let web = useful.look(line);
        [web.nginx, web.access, web.apache]
    };
    let status = Useful::new(&|field| field == Field::known("http.response.status_code"));
    assert_eq!((looks(&all), looks(&nothing), looks(&status)), ([true; 3], [false; 3], [true; 3]));
    assert!(status.ask(None, line).is_some() && nothing.ask(None, line).is_none());
    assert!(status.ask(None, "a line, client: x").is_none(), "nginx's says nothing of a status");
}
