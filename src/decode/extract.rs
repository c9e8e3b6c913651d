//! Extracts: fields out of a text field. The user's come first, then the built-in ones; the first that matches wins.
//!
//! A user's extract says which field holds what, so its groups replace what the record has. A built-in one only adds:
//! a record that brings its own `event.action` keeps it. Either way empty groups are left out, `source.ip` takes
//! addresses only (a name goes to `source.domain`; `source.address` is either), and `url.original` gives `url.path` and `url.query` too.
//!
//! Where only some fields are read, an expression runs when it sets one of them, or when its match would keep a later
//! one from that, and when a look for its literal leaves a match open.

mod when;

use core::net::IpAddr;
use std::ops::Range;

use self::when::{Test, read_when};
use super::{
    SpecError, builtin,
    expression::{Expression, Groups},
    field::{Field, Paths},
    json,
    sink::{InFull, IntoSlots, Plan, Sink, range_in},
};
use crate::event::{Fields, KEPT_BYTES_MAX, Scalar, Slots, View, Wanted};

/// Fields out of text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extract {
    /// `field == "value"`, joined by `&&`; `None` is always.
    pub when: Option<String>,
    pub field: String,
    /// Named groups are field paths, dots included: `(?<source.ip>…)`.
    pub regex: String,
}

/// What the built-in extracts look at.
const PROCESS: &str = "process.name";
const MESSAGE: &str = "message";

/// Fields that give others: an address or a name, and the parts of a URL.
const SOURCE_IP: Field = Field::known("source.ip");
const SOURCE_ADDRESS: Field = Field::known("source.address");
const SOURCE_DOMAIN: Field = Field::known("source.domain");
const URL: Field = Field::known("url.original");
const URL_PATH: Field = Field::known("url.path");
const URL_QUERY: Field = Field::known("url.query");

/// An input's extracts, ready to apply.
#[derive(Debug)]
pub struct Extracts {
    own: Vec<Own>,
    /// The paths that they look at.
    looked_at: Wanted,
    /// Where all fields are read.
    all: Useful,
}

/// Which extracts set a field that is read, settled once for all records.
#[derive(Debug)]
pub struct Useful {
    /// By the user's extract.
    own: Vec<bool>,
    builtin: builtin::Useful,
}

#[derive(Debug)]
struct Own {
    when: Vec<Test>,
    field: String,
    expression: Expression,
    groups: Vec<(usize, Field)>,
}

/// Room that every record reuses; but for the texts, the expressions bound it.
#[derive(Debug, Default)]
pub struct Scratch {
    pub groups: Groups,
    /// What was found, before it is put.
    found: Vec<(Field, Piece)>,
    /// Found texts that do not stand in the record.
    texts: String,
}

#[derive(Debug, Clone)]
enum Piece {
    OfRecord(Range<usize>),
    OfTexts(Range<usize>),
}

/// The extract that matches first, and the text that it read.
struct Found<'v> {
    of: By<'v>,
    text: &'v str,
}

#[expect(
    clippy::large_enum_variant,
    reason = "there is one at a time, and a box would be an allocation for each record"
)]
enum By<'v> {
    Own(&'v Own),
    BuiltIn(builtin::Found<'v>),
}

/// Nothing may be added to these slots any more; the fields in full can tell.
#[derive(Debug)]
pub struct Settled;

impl Extracts {
    /// The paths that their groups set get a number.
    ///
    /// # Errors
    /// When a `when` or a regular expression can't be read, or names no group.
    pub fn new(extracts: &[Extract], paths: &mut Paths) -> Result<Self, SpecError> {
        let own = extracts.iter().map(|extract| Own::new(extract, paths)).collect::<Result<Vec<_>, _>>()?;
        let tested = own.iter().flat_map(|own| own.when.iter().map(|test| test.field.as_str()));
        let read = own.iter().map(|own| own.field.as_str()).chain([PROCESS, MESSAGE]);
        // whether these exist decides about fields that come of them
        let given = [SOURCE_IP, URL].map(|field| paths.path(field).to_string());
        let looked_at = Wanted::new(tested.chain(read).chain(given.iter().map(String::as_str)));
        let all = useful(&own, &|_| true);
        Ok(Extracts { own, looked_at, all })
    }

    /// For records of which only some fields are read.
    pub fn useful(&self, reads: &dyn Fn(Field) -> bool) -> Useful {
        useful(&self.own, reads)
    }

    /// The paths that are looked at to know whether an extract adds anything.
    pub fn looked_at(&self) -> impl Iterator<Item = &str> {
        self.looked_at.paths()
    }

    /// Adds to the slots of a record what the first matching extract finds of fields that are read. The built-in ones
    /// are left out for formats that already say all of it.
    ///
    /// # Errors
    /// When something was found and nothing may be added to the slots, which are as they were.
    pub fn add_to_slots(
        &self,
        mut into: IntoSlots<'_>,
        useful: &Useful,
        with_builtin: bool,
        scratch: &mut Scratch,
    ) -> Result<(), Settled> {
        let Scratch { groups, found, texts } = scratch;
        found.clear();
        texts.clear();
        texts.shrink_to(KEPT_BYTES_MAX);
        let view = into.slots.view(into.plan.wanted(), into.record);
        let Some(first) = self.find(view, useful, with_builtin, groups) else { return Ok(()) };
        if into.slots.leads_through_arrays() {
            return Err(Settled);
        }
        let is_there = |field| into.plan.slot(field).is_some_and(|slot| view.exists(slot));
        first.each(groups, &mut |field, text| {
            if text.is_empty() || first.only_adds() && is_there(field) {
                return;
            }
            let piece = range_in(into.record, text).map(Piece::OfRecord).unwrap_or_else(|| {
                let start = texts.len();
                texts.push_str(text);
                Piece::OfTexts(start..texts.len())
            });
            found.push((field, piece));
        });
        for (field, piece) in found.drain(..) {
            let text = match piece {
                Piece::OfRecord(range) => &into.record[range],
                Piece::OfTexts(range) => {
                    into.slots.put_beside_json(&texts[range.clone()]);
                    &texts[range]
                }
            };
            put(field, text, &mut into);
        }
        Ok(())
    }

    /// The fields with what the first matching extract adds.
    pub fn apply(&self, fields: Fields, with_builtin: bool, paths: &Paths) -> Fields {
        let (mut slots, mut groups) = (Slots::default(), Groups::default());
        slots.fill(&self.looked_at, &fields);
        let view = slots.view(&self.looked_at, "");
        let Some(first) = self.find(view, &self.all, with_builtin, &mut groups) else { return fields };
        let mut out = InFull::with(paths, fields.clone());
        first.each(&groups, &mut |field, text| {
            if !(text.is_empty() || first.only_adds() && fields.exists(paths.path(field))) {
                put(field, text, &mut out);
            }
        });
        out.build()
    }

    /// The first that matches, tried as far as it matters for the fields that are read.
    fn find<'v>(
        &'v self,
        view: View<'v>,
        useful: &'v Useful,
        with_builtin: bool,
        groups: &mut Groups,
    ) -> Option<Found<'v>> {
        let text_at = |path| match view.slot(path).and_then(|slot| view.scalar(slot)) {
            Some(Scalar::Text(text)) => Some(text),
            _ => None,
        };
        let message = text_at(MESSAGE).filter(|_| with_builtin);
        let builtin = message.and_then(|message| Some((message, useful.builtin.ask(text_at(PROCESS), message)?)));
        let with_text = |own: &'v Own| Some((own, own.text(view)?));
        let (before, last) = match builtin {
            Some(_) => (self.own.len(), None),
            None => {
                let mut worth = (0..self.own.len()).rev().filter(|at| useful.own[*at]);
                worth.find_map(|at| Some((at, Some(with_text(&self.own[at])?)))).unwrap_or_default()
            }
        };
        for (own, text) in self.own[..before].iter().filter_map(with_text).chain(last) {
            if own.expression.find(text, groups) {
                return Some(Found { of: By::Own(own), text });
            }
        }
        let (text, asked) = builtin?;
        Some(Found { of: By::BuiltIn(asked.find(groups)?), text })
    }
}

fn useful(own: &[Own], reads: &dyn Fn(Field) -> bool) -> Useful {
    Useful { own: own.iter().map(|own| own.sets(reads)).collect(), builtin: builtin::Useful::new(reads) }
}

/// Whether reading `plan`'s paths could give something else when an extract sets the field.
pub fn reads(plan: &Plan, field: Field) -> bool {
    plan.reads(field)
        || match field {
            SOURCE_IP => plan.reads(SOURCE_ADDRESS) || plan.reads(SOURCE_DOMAIN),
            URL => plan.reads(URL_PATH) || plan.reads(URL_QUERY),
            _ => false,
        }
}

impl<'v> Found<'v> {
    /// A user's extract says which field holds what.
    fn only_adds(&self) -> bool {
        matches!(self.of, By::BuiltIn(_))
    }

    fn each(&self, groups: &Groups, visit: &mut dyn FnMut(Field, &'v str)) {
        match &self.of {
            By::BuiltIn(found) => found.each(self.text, groups, visit),
            By::Own(own) => {
                let parts = own.groups.iter();
                parts
                    .filter_map(|(number, field)| Some((*field, groups.of(*number, self.text)?)))
                    .for_each(|(field, text)| visit(field, text));
            }
        }
    }
}

impl Own {
    fn new(extract: &Extract, paths: &mut Paths) -> Result<Self, SpecError> {
        let when = extract.when.as_deref().map_or(Ok(Vec::new()), read_when)?;
        let expression = Expression::new(&extract.regex)
            .map_err(|error| SpecError::Regex { regex: extract.regex.clone(), error })?;
        let groups: Vec<_> = expression.names().map(|(number, name)| (number, paths.number(name))).collect();
        if groups.is_empty() {
            return Err(SpecError::NoGroup(extract.regex.clone()));
        }
        Ok(Own { when, field: extract.field.clone(), expression, groups })
    }

    fn sets(&self, reads: &dyn Fn(Field) -> bool) -> bool {
        self.groups.iter().any(|(_, field)| reads(*field))
    }

    /// The text to read; `None` where the extract is not for the record, or has nothing to find in it.
    fn text<'v>(&self, view: View<'v>) -> Option<&'v str> {
        let holds = |test: &Test| {
            let mut scalars = view.slot(&test.field).map(|slot| view.scalars(slot)).into_iter().flatten();
            scalars.any(|scalar| scalar.as_text() == test.value)
        };
        let text = view.scalar(view.slot(&self.field)?)?.as_text();
        (self.when.iter().all(holds) && self.expression.may_match(text)).then_some(text)
    }
}

/// Puts an extracted text as its field wants it.
pub fn put(field: Field, text: &str, out: &mut impl Sink) {
    match field {
        SOURCE_IP => {
            out.text(SOURCE_ADDRESS, text);
            out.text(if is_address(text) { field } else { SOURCE_DOMAIN }, text);
        }
        URL => {
            out.text(field, text);
            let (path, query) = split_url(text);
            out.text(URL_PATH, path);
            if !query.is_empty() {
                out.text(URL_QUERY, query);
            }
        }
        _ if field.is_number() && json::is_number(text) => out.number(field, text),
        _ => out.text(field, text),
    }
}

fn is_address(text: &str) -> bool {
    text.split_once('%').map_or(text, |(address, _)| address).parse::<IpAddr>().is_ok()
}

/// Path and query of a request's target, scheme and host left out.
fn split_url(url: &str) -> (&str, &str) {
    let url = match url.split_once("://") {
        Some((scheme, rest)) if scheme.bytes().all(|byte| byte.is_ascii_alphabetic()) => {
            rest.find(['/', '?']).map_or("/", |at| &rest[at..])
        }
        _ => url,
    };
    let url = url.split_once('#').map_or(url, |(url, _)| url);
    url.split_once('?').unwrap_or((url, ""))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::event::{Slot, Value};

    fn extract(when: Option<&str>, regex: &str) -> Extract {
        Extract { when: when.map(str::to_owned), field: "message".into(), regex: regex.into() }
    }

    fn apply(extracts: &[Extract], fields: &[(&str, &str)]) -> Fields {
        let fields = fields.iter().map(|(path, text)| ((*path).to_owned(), Value::text(text))).collect();
        let mut paths = Paths::default();
        Extracts::new(extracts, &mut paths).unwrap().apply(fields, true, &paths)
    }

    fn text(fields: &Fields, path: &str) -> String {
        fields.get(path).map(|value| value.to_string()).unwrap_or_default()
    }

    #[test]
    fn the_users_come_first_and_the_first_that_matches_wins() {
        let extracts = [
            extract(Some(r#"process.name == "other""#), r"(?<user.name>\w+)"),
            extract(Some(r#"process.name == "sshd" && host.name=="gate""#), r"^Failed password for (?<user.name>\S+)"),
            extract(None, r"(?<user.name>never)|Failed"),
        ];
        let event = [
            ("process.name", "sshd"),
            ("host.name", "gate"),
            ("message", "Failed password for bob from 10.0.0.1 port 1 ssh2"),
        ];
        let fields = apply(&extracts, &event);
        assert_eq!(text(&fields, "user.name"), "bob");
        assert!(!fields.exists("event.action"), "the built-in ones come after");
        assert_eq!(text(&apply(&[], &event), "event.action"), "ssh_login");
    }

    #[test]
    fn a_users_extract_replaces_and_a_built_in_one_only_adds() {
        let event = [
            ("process.name", "sshd"),
            ("event.action", "mine"),
            ("message", "Failed password for bob from 10.0.0.1 port 1 ssh2"),
        ];
        let fields = apply(&[], &event);
        assert_eq!(text(&fields, "event.action"), "mine");
        assert_eq!(text(&fields, "user.name"), "bob");
        let fields = apply(&[extract(None, r"(?<event.action>Failed) (?<message>.*)")], &event);
        assert_eq!(text(&fields, "event.action"), "Failed");
        assert_eq!(text(&fields, "message"), "password for bob from 10.0.0.1 port 1 ssh2");
    }

    #[test]
    fn a_huge_text_does_not_keep_its_room() {
        let mut paths = Paths::default();
        let extracts = Extracts::new(&[extract(None, "(?<all>.+)")], &mut paths).unwrap();
        let plan = Plan::new(Arc::new(Wanted::new(["message", "all"])), &paths);
        let (useful, all) = (extracts.useful(&|_| true), Slot(1));
        let (mut slots, mut scratch) = (Slots::default(), Scratch::default());
        for (length, keeps) in [(2 * KEPT_BYTES_MAX, true), (1, false)] {
            let fields = [("message".to_owned(), Value::text("x".repeat(length)))].into_iter().collect();
            slots.fill(plan.wanted(), &fields);
            let into = IntoSlots { plan: &plan, slots: &mut slots, record: "", path: &mut String::new() };
            extracts.add_to_slots(into, &useful, true, &mut scratch).unwrap();
            assert_eq!(slots.view(plan.wanted(), "").scalar(all).unwrap().as_text().len(), length);
            assert_eq!(scratch.texts.capacity() > KEPT_BYTES_MAX, keeps);
        }
    }

    #[test]
    fn fields_get_the_kind_that_they_want() {
        let fields = apply(
            &[extract(None, r"(?<source.ip>\S+) (?<source.port>\S+) (?<url.original>\S+)")],
            &[("message", "host.example 022 https://a.example/b?c=d#e")],
        );
        assert!(!fields.exists("source.ip"));
        assert_eq!(text(&fields, "source.domain"), "host.example");
        assert_eq!(text(&fields, "source.address"), "host.example");
        assert!(matches!(*fields.get("source.port").unwrap(), Value::Text(_)), "022 is no JSON number");
        assert_eq!((text(&fields, "url.path"), text(&fields, "url.query")), ("/b".into(), "c=d".into()));
    }

    #[test]
    fn a_when_that_can_not_be_read_says_where() {
        let message = |when: &str| {
            Extracts::new(&[extract(Some(when), "(?<a>b)")], &mut Paths::default()).unwrap_err().to_string()
        };
        assert!(
            message("process.name = \"x\"").contains("column 14: `==` was expected"),
            "{}",
            message("process.name = \"x\"")
        );
        assert!(
            message("a == \"x\" || b == \"y\"").contains("column 10: `&&` or the end"),
            "{}",
            message("a == \"x\" || b")
        );
        assert!(message("a == 'x'").contains("column 6: a text in double quotes"));
        assert!(message("a == \"x").contains("the closing quote is missing"));
        assert!(message("").contains("column 1: a field's name"));
        assert_eq!(read_when(r#"a == "q\"\\" && b.c=="""#).unwrap().len(), 2);
    }

    #[test]
    fn a_regex_needs_to_be_one_and_to_name_a_group() {
        let new = |regex| Extracts::new(&[extract(None, regex)], &mut Paths::default());
        assert!(matches!(new("("), Err(SpecError::Regex { .. })));
        assert!(matches!(new("(a)"), Err(SpecError::NoGroup(_))));
    }
}
