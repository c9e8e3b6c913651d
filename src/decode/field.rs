//! The fields that text formats and extracts set, by number: the names that stand in the program, then those of the
//! user's groups. What a record's reader does with a field is found by its number, without comparing a name.

use std::sync::Arc;

/// Every path that this room's formats and built-in extracts set, in byte order.
const KNOWN: [&str; 43] = [
    "error.code",
    "error.message",
    "event.action",
    "event.outcome",
    "event.reason",
    "event.repeated",
    "file.path",
    "group.id",
    "group.name",
    "host.name",
    "http.request.method",
    "http.request.referrer",
    "http.response.body.bytes",
    "http.response.status_code",
    "http.version",
    "log.level",
    "log.logger",
    "log.syslog.appname",
    "log.syslog.facility.code",
    "log.syslog.msgid",
    "log.syslog.procid",
    "log.syslog.severity.code",
    "log.syslog.structured_data",
    "message",
    "process.command_line",
    "process.name",
    "process.pid",
    "process.thread.id",
    "process.working_directory",
    "source.address",
    "source.domain",
    "source.ip",
    "source.port",
    "timestamp",
    "url.domain",
    "url.original",
    "url.path",
    "url.query",
    "user.effective.name",
    "user.name",
    "user.target.id",
    "user.target.name",
    "user_agent.original",
];

/// ECS fields that are numbers; everything else that is extracted is text.
const NUMBERS: [Field; 6] = [
    Field::known("event.repeated"),
    Field::known("http.response.body.bytes"),
    Field::known("http.response.status_code"),
    Field::known("process.pid"),
    Field::known("process.thread.id"),
    Field::known("source.port"),
];

/// The number of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Field(u32);

impl Field {
    /// A path of the program. Meant for constants: one that is not in the table does not compile there.
    ///
    /// # Panics
    /// When the table does not hold it.
    pub const fn known(path: &str) -> Self {
        let mut at = 0;
        while at < KNOWN.len() {
            if is_same(KNOWN[at].as_bytes(), path.as_bytes()) {
                return Field(at as u32);
            }
            at += 1;
        }
        panic!("a path of the table of fields")
    }

    pub fn index(self) -> usize {
        self.0 as usize
    }

    /// Whether a text that is a number is one there.
    pub fn is_number(self) -> bool {
        NUMBERS.contains(&self)
    }
}

const fn is_same(a: &[u8], b: &[u8]) -> bool {
    let mut at = 0;
    while at < a.len() && at < b.len() && a[at] == b[at] {
        at += 1;
    }
    at == a.len() && at == b.len()
}

/// The paths by their numbers.
#[derive(Debug)]
pub struct Paths(Vec<Arc<str>>);

impl Default for Paths {
    fn default() -> Self {
        Paths(KNOWN.iter().map(|path| Arc::from(*path)).collect())
    }
}

impl Paths {
    /// The number of a path, which gets one when it has none.
    pub fn number(&mut self, path: &str) -> Field {
        let number = self.0.iter().position(|known| **known == *path).unwrap_or_else(|| {
            self.0.push(path.into());
            self.0.len() - 1
        });
        Field(number as u32)
    }

    pub fn path(&self, field: Field) -> &Arc<str> {
        &self.0[field.index()]
    }

    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|path| &**path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_one_number() {
        let mut paths = Paths::default();
        let own = paths.number("my.field");
        assert_eq!(paths.number("source.ip"), Field::known("source.ip"));
        assert_eq!(paths.number("my.field"), own);
        assert_eq!((&**paths.path(own), own.index()), ("my.field", KNOWN.len()));
        assert!(KNOWN.is_sorted());
    }
}
