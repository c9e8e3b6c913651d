//! The table: message by message, what to look for and what it means.

/// A way to read one kind of message.
pub struct Row {
    /// The message starts with one of these: the guard before the regular expression.
    pub starts: &'static [&'static str],
    pub regex: &'static str,
    pub constants: &'static [(&'static str, &'static str)],
}

const fn row(
    starts: &'static [&'static str],
    regex: &'static str,
    constants: &'static [(&'static str, &'static str)],
) -> Row {
    Row { starts, regex, constants }
}

/// Stands for `{FROM}` in the expressions.
pub const FROM: &str = r"(?<source.ip>\S+) port (?<source.port>\d+)";

const SSHD: &[Row] = &[
    row(
        &["Failed ", "message repeated "],
        r"^(?:message repeated (?<event.repeated>\d+) times: \[ )?Failed (?:password|keyboard-interactive(?:/\S+)?) for (?:invalid user |illegal user )?(?<user.name>.*) from {FROM}(?: ssh\d?)?\]?$",
        &[("event.action", "ssh_login"), ("event.outcome", "failure")],
    ),
    row(
        &["Accepted ", "message repeated "],
        r"^(?:message repeated (?<event.repeated>\d+) times: \[ )?Accepted \S+ for (?<user.name>.+?) from {FROM}(?: ssh\d?)?(?:: .*)?\]?$",
        &[("event.action", "ssh_login"), ("event.outcome", "success")],
    ),
    row(
        &["Failed "],
        r"^Failed \S+ for (?:invalid user |illegal user )?(?<user.name>.*) from {FROM}(?: ssh\d?)?(?:: .*)?$",
        &[("event.action", "ssh_auth_attempt"), ("event.outcome", "failure")],
    ),
    row(
        &["Invalid user ", "Illegal user "],
        r"^I\w+ user (?<user.name>.*) from (?<source.ip>\S+)(?: port (?<source.port>\d+))?$",
        &[("event.action", "ssh_invalid_user"), ("event.outcome", "failure")],
    ),
    row(
        &["User "],
        r"^User (?<user.name>.*) from (?<source.ip>\S+) (?<event.reason>not allowed because .*)$",
        &[("event.action", "ssh_not_allowed"), ("event.outcome", "failure")],
    ),
    row(
        &["ROOT LOGIN REFUSED FROM "],
        r"^ROOT LOGIN REFUSED FROM (?<source.ip>\S+)(?: port (?<source.port>\d+))?",
        &[("event.action", "ssh_not_allowed"), ("event.outcome", "failure"), ("user.name", "root")],
    ),
    row(
        &["error: maximum authentication", "maximum authentication"],
        r"maximum authentication attempts exceeded for (?:invalid user )?(?<user.name>.*) from {FROM}(?: ssh\d?)?(?: \[preauth\])?$",
        &[("event.action", "ssh_max_attempts"), ("event.outcome", "failure")],
    ),
    row(
        &["Received disconnect from ", "error: Received disconnect from "],
        r"^(?:error: )?Received disconnect from (?<source.ip>\S+?)(?: port (?<source.port>\d+))?: ?\d+: ?(?<event.reason>.*?)(?: \[preauth\])?$",
        &[("event.action", "ssh_disconnect")],
    ),
    row(
        &["Disconnect", "Connection closed by ", "Connection reset by "],
        r"^(?:Disconnected from|Disconnecting|Connection (?:closed|reset) by)(?: authenticating| invalid)? user (?<user.name>.*) {FROM}(?:: (?<event.reason>.*?))?(?: \[preauth\])?$",
        &[("event.action", "ssh_disconnect")],
    ),
    row(
        &["Disconnect", "Connection closed by ", "Connection reset by "],
        r"^(?:Disconnected from|Disconnecting|Connection (?:closed|reset) by) (?<source.ip>[0-9a-fA-F.:]+)(?: port (?<source.port>\d+))?(?:: (?<event.reason>.*?))?(?: \[preauth\])?$",
        &[("event.action", "ssh_disconnect")],
    ),
    row(
        &["Disconnecting: Too many"],
        r"^Disconnecting: (?<event.reason>Too many authentication failures) for (?:invalid user )?(?<user.name>.*?)(?: \[preauth\])?$",
        &[("event.action", "ssh_disconnect")],
    ),
    row(
        &[
            "Did not receive identification string from ",
            "Unable to negotiate with ",
            "Bad protocol version identification ",
            "banner exchange: Connection from ",
        ],
        r"^(?:Did not receive identification string from|Unable to negotiate with|Bad protocol version identification '.*' from|banner exchange: Connection from) (?<source.ip>\S+?)(?: port (?<source.port>\d+))?(?:: .*)?(?: \[preauth\])?$",
        &[("event.action", "ssh_probe")],
    ),
    row(
        &["reverse mapping checking getaddrinfo for "],
        r"^reverse mapping checking getaddrinfo for (?<source.domain>\S+) \[(?<source.ip>[^\]]+)\] failed",
        &[("event.action", "ssh_reverse_mapping")],
    ),
];

const SUDO: &[Row] = &[
    row(
        &[],
        r"^\s*(?<user.name>.+?) : (?:HOST=\S+ ; )?(?:TTY=\S+ ; )?PWD=(?<process.working_directory>.*?) ; (?:CHROOT=.*? ; )?(?:USER=(?<user.effective.name>\S+) ; )?(?:GROUP=\S+ ; )?(?:TSID=\S+ ; )?(?:ENV=.*? ; )?COMMAND=(?<process.command_line>.*)$",
        &[("event.action", "sudo"), ("event.outcome", "success")],
    ),
    row(
        &[],
        r"^\s*(?<user.name>.+?) : (?<event.reason>[^;=]+) ; (?:HOST=\S+ ; )?(?:TTY=\S+ ; )?PWD=(?<process.working_directory>.*?) ; (?:CHROOT=.*? ; )?(?:USER=(?<user.effective.name>\S+) ; )?(?:GROUP=\S+ ; )?(?:TSID=\S+ ; )?(?:ENV=.*? ; )?COMMAND=(?<process.command_line>.*)$",
        &[("event.action", "sudo"), ("event.outcome", "failure")],
    ),
];

const SU: &[Row] = &[
    row(
        &["FAILED SU "],
        r"^FAILED SU \(to (?<user.effective.name>\S+)\) (?<user.name>\S+) on \S+$",
        &[("event.action", "su"), ("event.outcome", "failure")],
    ),
    row(
        &["FAILED su "],
        r"^FAILED su for (?<user.effective.name>\S+) by (?<user.name>\S+)$",
        &[("event.action", "su"), ("event.outcome", "failure")],
    ),
    row(
        &["(to "],
        r"^\(to (?<user.effective.name>\S+)\) (?<user.name>\S+) on \S+$",
        &[("event.action", "su"), ("event.outcome", "success")],
    ),
    row(
        &["Successful su "],
        r"^Successful su for (?<user.effective.name>\S+) by (?<user.name>\S+)$",
        &[("event.action", "su"), ("event.outcome", "success")],
    ),
];

/// Sessions that one user opens as another.
const SWITCHED: &[Row] = &[
    row(
        &["pam_", "session opened for user "],
        r"^(?:pam_\w+\([^)]*\): )?session opened for user (?<user.effective.name>[^\s(]+)(?:\(uid=\d+\))?(?: by (?<user.name>[^\s(]*)\(uid=\d+\))?$",
        &[("event.action", "session_opened"), ("event.outcome", "success")],
    ),
    row(
        &["pam_", "session closed for user "],
        r"^(?:pam_\w+\([^)]*\): )?session closed for user (?<user.effective.name>\S+)$",
        &[("event.action", "session_closed"), ("event.outcome", "success")],
    ),
];

const ACCOUNTS: &[Row] = &[
    row(
        &["new user: "],
        r"^new user: name=(?<user.target.name>[^,]+), UID=(?<user.target.id>\d+)",
        &[("event.action", "user_created"), ("event.outcome", "success")],
    ),
    row(
        &["failed adding user "],
        r"^failed adding user '(?<user.target.name>[^']*)'",
        &[("event.action", "user_created"), ("event.outcome", "failure")],
    ),
    row(
        &["delete user "],
        r"^delete user '(?<user.target.name>[^']*)'",
        &[("event.action", "user_deleted"), ("event.outcome", "success")],
    ),
    row(
        &["add '"],
        r"^add '(?<user.target.name>[^']*)' to group '(?<group.name>[^']*)'",
        &[("event.action", "group_member_added"), ("event.outcome", "success")],
    ),
    row(
        &["user "],
        r"^user (?<user.target.name>\S+) added by (?<user.name>\S+) to group (?<group.name>\S+)$",
        &[("event.action", "group_member_added"), ("event.outcome", "success")],
    ),
    row(
        &["change user "],
        r"^change user '(?<user.target.name>[^']*)' UID from '\d+' to '(?<user.target.id>\d+)'",
        &[("event.action", "user_id_changed"), ("event.outcome", "success")],
    ),
    row(
        &["new group: "],
        r"^new group: name=(?<group.name>[^,]+), GID=(?<group.id>\d+)",
        &[("event.action", "group_created"), ("event.outcome", "success")],
    ),
];

/// Whoever says it.
pub const ANY: &[Row] = &[
    row(
        &["pam_", "authentication failure; ", "PAM "],
        r"^(?:pam_\w+\([^)]*\): |PAM (?<event.repeated>\d+) more )?authentication failures?; logname=\S* uid=\S* euid=\S* tty=\S* ruser=\S* rhost=(?<source.ip>\S*)(?:\s+user=(?<user.name>.*?))?\s*$",
        &[("event.action", "pam_authentication"), ("event.outcome", "failure")],
    ),
    row(
        &["pam_", "check pass; "],
        r"^(?:pam_\w+\([^)]*\): )?check pass; user unknown$",
        &[("event.action", "pam_unknown_user"), ("event.outcome", "failure")],
    ),
    row(
        &["pam_", "session opened for user "],
        r"^(?:pam_\w+\([^)]*\): )?session opened for user (?<user.name>[^\s(]+)(?:\(uid=\d+\))?(?: by .*)?$",
        &[("event.action", "session_opened"), ("event.outcome", "success")],
    ),
    row(
        &["pam_", "session closed for user "],
        r"^(?:pam_\w+\([^)]*\): )?session closed for user (?<user.name>\S+)$",
        &[("event.action", "session_closed"), ("event.outcome", "success")],
    ),
    row(
        &["pam_", "password changed for "],
        r"^(?:pam_\w+\([^)]*\): )?password changed for (?<user.target.name>\S+)$",
        &[("event.action", "password_changed"), ("event.outcome", "success")],
    ),
];

/// nginx's error log, for messages that hold `, client: `.
pub const NGINX: Row = row(
    &[],
    r#"^(?:(?<timestamp>\d{4}/\d\d/\d\d \d\d:\d\d:\d\d) )?\[(?<log.level>\w+)\] (?<process.pid>\d+)#\d+: (?:\*\d+ )?(?<error.message>.*?), client: (?<source.ip>[^,\s]+)(?:, server: [^,]*)?(?:, request: "(?<http.request.method>\S+) (?<url.original>[^"]*?)(?: HTTP/(?<http.version>[\d.]+))?")?"#,
    &[("event.action", "web_error"), ("event.outcome", "failure")],
);

/// Whose messages are whose; a program's own rows come before those for any.
pub const PROGRAMS: &[(&[&str], &[&[Row]])] = &[
    (&["sshd", "sshd-session", "sshd-auth"], &[SSHD]),
    (&["sudo"], &[SUDO, SWITCHED]),
    (&["su", "runuser"], &[SU, SWITCHED]),
    (&["useradd", "adduser", "userdel", "usermod", "groupadd", "gpasswd"], &[ACCOUNTS]),
];
