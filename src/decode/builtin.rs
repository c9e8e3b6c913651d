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

use memchr::memmem;

use self::rows::{ANY, FROM, NGINX, PROGRAMS, Row};
use super::{
    expression::{Expression, Groups},
    field::Field,
    web,
};

const LEVEL: Field = Field::known("log.level");

/// A row of the table, ready to apply.
#[derive(Debug)]
pub struct Compiled {
    starts: &'static [&'static str],
    expression: Expression,
    groups: Vec<(usize, Field)>,
    constants: Vec<(Field, &'static str)>,
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

/// In the messages of nginx's error log, and of Apache's.
static NGINX_CLIENT: LazyLock<memmem::Finder<'static>> = LazyLock::new(|| memmem::Finder::new(", client: "));
static APACHE_CLIENT: LazyLock<memmem::Finder<'static>> = LazyLock::new(|| memmem::Finder::new("[client "));

fn compile(row: &Row) -> Compiled {
    let expression = Expression::new(&row.regex.replace("{FROM}", FROM)).expect("a built-in expression is valid");
    let groups = expression.names().map(|(number, name)| (number, Field::known(name))).collect();
    let constants = row.constants.iter().map(|(path, text)| (Field::known(path), *text)).collect();
    Compiled { starts: row.starts, expression, groups, constants }
}

/// Which rows set a field that is read, settled once for all records.
#[derive(Debug)]
pub struct Useful {
    /// What is tried on the messages of each of [`PROGRAMS`], and last of all others, in order; with whether it sets
    /// such a field.
    rows: Vec<Vec<(&'static Compiled, bool)>>,
    nginx: bool,
    web: bool,
}

/// What has to be tried on a message, in its order, before it is clear what it says of fields that are read.
pub struct Asked<'a> {
    rows: &'a [(&'static Compiled, bool)],
    message: &'a str,
    /// Which lines of web servers it may be; they come last.
    web: MayBe,
}

/// What a look at a message leaves open.
#[derive(Debug, Clone, Copy)]
struct MayBe {
    nginx: bool,
    access: bool,
    apache: bool,
}

/// What the first row that matches found.
#[expect(
    clippy::large_enum_variant,
    reason = "there is one at a time, and a box would be an allocation for each record"
)]
#[derive(Debug)]
pub enum Found<'a> {
    Row(&'static Compiled),
    Web(web::Line<'a>),
}

impl Useful {
    pub fn new(reads: &dyn Fn(Field) -> bool) -> Self {
        let others: &[Compiled] = &[];
        let programs = PROGRAM_ROWS.iter().map(Vec::as_slice).chain([others]);
        let of_program = |own: &'static [Compiled]| {
            own.iter().chain(ANY_ROWS.iter()).map(|row| (row, row.sets(reads))).collect::<Vec<_>>()
        };
        Useful {
            rows: programs.map(of_program).collect(),
            nginx: NGINX_ROW.sets(reads),
            web: web::FIELDS.iter().any(|field| reads(*field)),
        }
    }

    /// What to try on a message of a program; `None` where it can say nothing of fields that are read.
    pub fn ask<'a>(&'a self, process: Option<&str>, message: &'a str) -> Option<Asked<'a>> {
        let program = process.and_then(|name| BY_PROGRAM.get(name).copied()).unwrap_or(PROGRAMS.len());
        let (rows, web) = (&self.rows[program], self.look(message));
        let is_web = web.nginx && self.nginx || web.access || web.apache;
        let is_worth = |(row, is_useful): &(&Compiled, bool)| *is_useful && row.may_match(message);
        // whatever matches before a line of a web server keeps that from being one
        let tried = if is_web { rows.len() } else { rows.iter().rposition(is_worth).map_or(0, |at| at + 1) };
        (tried > 0).then_some(Asked { rows: &rows[..tried], message, web })
    }

    fn look(&self, message: &str) -> MayBe {
        let holds = |literal: &memmem::Finder<'_>| literal.find(message.as_bytes()).is_some();
        MayBe {
            nginx: (self.nginx || self.web) && holds(&NGINX_CLIENT),
            access: self.web && web::may_be_access(message),
            apache: self.web && holds(&APACHE_CLIENT),
        }
    }
}

impl<'a> Asked<'a> {
    /// The first that matches; `groups` are those of its row.
    pub fn find(&self, groups: &mut Groups) -> Option<Found<'a>> {
        let Asked { rows, message, web } = *self;
        let mut rows = rows.iter().map(|(row, _)| *row).filter(|row| row.may_match(message));
        if let Some(row) = rows.find(|row| row.expression.find(message, groups)) {
            return Some(Found::Row(row));
        }
        if web.nginx && NGINX_ROW.expression.find(message, groups) {
            return Some(Found::Row(&NGINX_ROW));
        }
        let access = if web.access { web::access_looked_at(message, groups) } else { None };
        access.or_else(|| if web.apache { web::apache_error(message, groups) } else { None }).map(Found::Web)
    }
}

impl<'a> Found<'a> {
    /// Visits the fields that it says of `message`, with their texts.
    pub fn each(&self, message: &'a str, groups: &Groups, visit: &mut dyn FnMut(Field, &'a str)) {
        match self {
            Found::Row(row) => row.each(message, groups, visit),
            Found::Web(line) => line.parts().for_each(|(field, text)| visit(field, text)),
        }
    }
}

impl Compiled {
    fn may_match(&self, message: &str) -> bool {
        self.starts.is_empty() || self.starts.iter().any(|start| message.starts_with(start))
    }

    /// Whether it sets a field that is read.
    fn sets(&self, reads: &dyn Fn(Field) -> bool) -> bool {
        self.constants.iter().any(|(field, _)| reads(*field)) || self.groups.iter().any(|(_, field)| reads(*field))
    }

    fn each<'a>(&self, message: &'a str, groups: &Groups, visit: &mut dyn FnMut(Field, &'a str)) {
        let parts = || self.groups.iter().filter_map(|(number, field)| Some((*field, groups.of(*number, message)?)));
        // a line below the level of an error is no event of its own
        let is_mild =
            parts().any(|(field, text)| field == LEVEL && matches!(text, "warn" | "notice" | "info" | "debug"));
        if !is_mild {
            self.constants.iter().for_each(|(field, text)| visit(*field, text));
        }
        parts().for_each(|(field, text)| visit(field, text));
    }
}

#[cfg(test)]
mod tests;
