//! The built-in extracts: what sshd, sudo, su, PAM, the account tools and web servers say in words, as ECS fields.
//!
//! One attempt is one event: of the lines that OpenSSH writes about a failed password ("Invalid user", "authentication
//! failure", "Failed password") only the last is `ssh_login` with outcome `failure`; the others have actions of their
//! own. Texts that a stranger chooses (user names, directories) are matched so that they can't forge the address that
//! follows them.
//!
//! | who | `event.action` | `event.outcome` | further fields |
//! |---|---|---|---|
//! | sshd: password or keyboard-interactive | `ssh_login` | failure | `user.name`, `source.ip`, `source.port`; "message repeated N times" is one event with `event.repeated` N |
//! | sshd: accepted, any method | `ssh_login` | success | `user.name`, `source.ip`, `source.port` |
//! | sshd: failed `none`, `publickey` and other methods | `ssh_auth_attempt` | failure | the same |
//! | sshd: invalid user | `ssh_invalid_user` | failure | the same |
//! | sshd: user or root not allowed | `ssh_not_allowed` | failure | `user.name`, `source.ip`, `event.reason` |
//! | sshd: maximum attempts exceeded | `ssh_max_attempts` | failure | `user.name`, `source.ip`, `source.port` |
//! | sshd: connection ended | `ssh_disconnect` | | `source.ip`, `source.port`, `user.name`, `event.reason` |
//! | sshd: no or another protocol | `ssh_probe` | | `source.ip`, `source.port` |
//! | sshd: reverse mapping | `ssh_reverse_mapping` | | `source.ip`, `source.domain` |
//! | sudo | `sudo` | success, failure | `user.name`, `user.effective.name`, `process.command_line`, `process.working_directory`, `event.reason` |
//! | su | `su` | success, failure | `user.name`, `user.effective.name` |
//! | any, by PAM | `pam_authentication` | failure | `user.name`, `source.ip`; "PAM N more" has `event.repeated` N |
//! | any, by PAM | `pam_unknown_user` | failure | |
//! | any, by PAM | `session_opened`, `session_closed` | success | `user.name`; of su and sudo `user.effective.name` and, who asked, `user.name` |
//! | useradd, adduser | `user_created` | success, failure | `user.target.name`, `user.target.id` |
//! | userdel | `user_deleted` | success | `user.target.name` |
//! | usermod, gpasswd, useradd | `group_member_added` | success | `user.target.name`, `group.name`, `user.name` |
//! | usermod | `user_id_changed` | success | `user.target.name`, `user.target.id` |
//! | groupadd | `group_created` | success | `group.name`, `group.id` |
//! | passwd and others, by PAM | `password_changed` | success | `user.target.name` |
//! | access lines (CLF, combined) | `web_request` | failure from 400, else success | `source.ip`, `user.name`, `http.request.method`, `url.original`, `url.path`, `url.query`, `url.domain`, `http.version`, `http.response.status_code`, `http.response.body.bytes`, `http.request.referrer`, `user_agent.original` |
//! | error lines (Apache, nginx) | `web_error`, from level error up | failure | `log.level`, `log.logger`, `process.pid`, `process.thread.id`, `source.ip`, `source.port`, `error.code`, `file.path`; nginx: `timestamp`, `error.message`, `http.request.method`, `url.original`, `url.path`, `url.query` |
//!
//! A `source.ip` that is no address is `source.domain` instead; `source.address` is whichever of them was written.

mod rows;

use std::{collections::HashMap, sync::LazyLock};

use regex::Regex;

use self::rows::{ANY, FROM, NGINX, PROGRAMS, Row};
use super::web;

struct Compiled {
    starts: &'static [&'static str],
    regex: Regex,
    names: Vec<(usize, &'static str)>,
    constants: &'static [(&'static str, &'static str)],
}

static BY_PROGRAM: LazyLock<HashMap<&'static str, usize>> = LazyLock::new(|| {
    let names = |(index, (names, _)): (usize, &(&[&'static str], _))| {
        names.iter().map(move |name| (*name, index)).collect::<Vec<_>>()
    };
    PROGRAMS.iter().enumerate().flat_map(names).collect()
});
static PROGRAM_ROWS: LazyLock<Vec<Vec<Compiled>>> = LazyLock::new(|| {
    PROGRAMS.iter().map(|(_, tables)| tables.iter().flat_map(|table| table.iter().map(compile)).collect()).collect()
});
static ANY_ROWS: LazyLock<Vec<Compiled>> = LazyLock::new(|| ANY.iter().map(compile).collect());
static NGINX_ROW: LazyLock<Compiled> = LazyLock::new(|| compile(&NGINX));

fn compile(row: &Row) -> Compiled {
    let regex = Regex::new(&row.regex.replace("{FROM}", FROM)).expect("a built-in expression is valid");
    let names = regex.capture_names().enumerate().filter_map(|(index, name)| Some((index, path(row, name?)))).collect();
    Compiled { starts: row.starts, regex, names, constants: row.constants }
}

/// The group's name as it stands in the program.
fn path(row: &Row, name: &str) -> &'static str {
    let find = |text: &'static str| {
        let at = text.find(&format!("(?<{name}>"))? + 3;
        Some(&text[at..at + name.len()])
    };
    find(row.regex).or_else(|| find(FROM)).expect("a group's name stands in its expression")
}

/// What the first built-in extract that matches says of a message; values borrowed from it.
pub fn find<'a>(process: Option<&str>, message: &'a str) -> Option<Vec<(&'static str, &'a str)>> {
    let own = process.and_then(|name| BY_PROGRAM.get(name)).map(|index| PROGRAM_ROWS[*index].as_slice());
    let rows = own.unwrap_or_default().iter().chain(ANY_ROWS.iter());
    rows.filter(|row| row.may_match(message)).find_map(|row| row.find(message)).or_else(|| find_web(message))
}

fn find_web(message: &str) -> Option<Vec<(&'static str, &str)>> {
    if message.contains(", client: ")
        && let Some(mut found) = NGINX_ROW.find(message)
    {
        let mild = |(path, level): &(&str, &str)| {
            *path == "log.level" && matches!(*level, "warn" | "notice" | "info" | "debug")
        };
        if found.iter().any(mild) {
            found.retain(|(path, _)| !path.starts_with("event."));
        }
        return Some(found);
    }
    let line = web::access(message).or_else(|| message.contains("[client ").then(|| web::apache_error(message))?)?;
    Some(line.fields)
}

impl Compiled {
    fn may_match(&self, message: &str) -> bool {
        self.starts.is_empty() || self.starts.iter().any(|start| message.starts_with(start))
    }

    fn find<'a>(&self, message: &'a str) -> Option<Vec<(&'static str, &'a str)>> {
        let groups = self.regex.captures(message)?;
        let named = self.names.iter().filter_map(|(index, path)| Some((*path, groups.get(*index)?.as_str())));
        Some(self.constants.iter().copied().chain(named).collect())
    }
}

#[cfg(test)]
mod tests;
