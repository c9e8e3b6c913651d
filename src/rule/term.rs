//! What is calculated from an event: arithmetic and functions on fields, without Rhai. Each gives what the function of
//! that name in a script gives, a missing value included.

use std::{
    borrow::Cow,
    hash::{Hash, Hasher},
    sync::Arc,
};

use jiff::tz::TimeZone;

use super::{
    calculation,
    enrichment::{Directory, Thing, found_in, of_found},
    number::{Arithmetic, Num},
    predicate::Reads,
    text,
};
use crate::event::{Scalar, Timestamp, Value};

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Term {
    Field(Arc<str>),
    /// A number of the rule.
    Number(Num),
    /// What is known without the event: a text of the rule, or a result; `None` is missing.
    Known(Option<Value>),
    Calculate(Arithmetic, Box<Term>, Box<Term>),
    Len(Box<Term>),
    Text(TextFunction, Box<Term>),
    /// Levenshtein's distance.
    EditDistance(Box<Term>, Box<Term>),
    Time(TimePart, Zone),
    /// Of each date that a term gives, as it is written there: no zone is changed.
    Date(DatePart, Box<Term>),
    /// What a directory knows of each address that a term gives.
    Found(Directory, Thing, Box<Term>),
}

/// A function of each text of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum TextFunction {
    Lower,
    Base64,
    Entropy,
}

impl TextFunction {
    pub(super) const NAMED: [(&'static str, TextFunction); 3] =
        [("lower", TextFunction::Lower), ("base64", TextFunction::Base64), ("entropy", TextFunction::Entropy)];

    pub(super) fn function(self) -> fn(&str) -> Option<Value> {
        match self {
            TextFunction::Lower => |text| Some(Value::text(text::fold(text))),
            TextFunction::Base64 => |text| text::base64(text).map(Value::text),
            TextFunction::Entropy => |text| Some(Num::Float(text::entropy(text)).to_value()),
        }
    }
}

/// A part of a date in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DatePart {
    /// 0 to 59.
    Minute,
    /// 0 to 23.
    Hour,
    /// Of the month, from 1.
    Day,
    /// Of ISO 8601, from 1.
    Week,
    /// From 1.
    Month,
    Year,
}

impl DatePart {
    pub(super) const NAMED: [(&'static str, DatePart); 6] = [
        ("minute", DatePart::Minute),
        ("hour", DatePart::Hour),
        ("day", DatePart::Day),
        ("week", DatePart::Week),
        ("month", DatePart::Month),
        ("year", DatePart::Year),
    ];

    /// Of a text that starts with a date and a time to the second: `2024-05-01T10:00:00`, or with a space between.
    fn of(self, text: &str) -> Option<Value> {
        const LENGTH: usize = "2024-05-01T10:00:00".len();
        let time: jiff::civil::DateTime = text.get(..LENGTH)?.parse().ok()?;
        let part: i64 = match self {
            DatePart::Minute => time.minute().into(),
            DatePart::Hour => time.hour().into(),
            DatePart::Day => time.day().into(),
            DatePart::Week => time.date().iso_week_date().week().into(),
            DatePart::Month => time.month().into(),
            DatePart::Year => time.year().into(),
        };
        Some(Num::Int(part.into()).to_value())
    }
}

/// A part of an event's time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum TimePart {
    /// 0 to 23.
    Hour,
    /// Monday is 1, Sunday 7.
    Weekday,
}

impl TimePart {
    pub(super) const NAMED: [(&'static str, TimePart); 2] = [("hour", TimePart::Hour), ("weekday", TimePart::Weekday)];

    /// `None` for a time out of the calendar's range.
    pub(super) fn of(self, time: Timestamp, zone: &Zone) -> Option<Value> {
        let time = jiff::Timestamp::from_nanosecond(time.0.into()).ok()?.to_zoned(zone.zone.clone());
        let part: i64 = match self {
            TimePart::Hour => time.hour().into(),
            TimePart::Weekday => time.weekday().to_monday_one_offset().into(),
        };
        Some(Num::Int(part.into()).to_value())
    }
}

/// A time zone, known by its name.
#[derive(Debug, Clone)]
pub(super) struct Zone {
    name: Arc<str>,
    zone: TimeZone,
}

impl Zone {
    pub(super) fn utc() -> Self {
        Zone { name: "UTC".into(), zone: TimeZone::UTC }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// `None` where no zone has that name.
    pub(super) fn named(name: &str) -> Option<Self> {
        TimeZone::get(name).ok().map(|zone| Zone { name: name.into(), zone })
    }
}

impl PartialEq for Zone {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Zone {}

impl Hash for Zone {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl Term {
    /// The value; `None` when missing.
    pub(super) fn value<'a>(&'a self, reads: &'a dyn Reads) -> Option<Cow<'a, Value>> {
        let result = match self {
            Term::Field(path) => return reads.value(path),
            Term::Known(value) => return value.as_ref().map(Cow::Borrowed),
            Term::Number(number) => Some(number.to_value()),
            Term::Calculate(operator, left, right) => match (&**left, &**right) {
                (left, Term::Number(right)) => {
                    calculation::with_number(left.value(reads).as_deref(), *operator, *right)
                }
                (Term::Number(left), right) => {
                    calculation::from_number(*left, *operator, right.value(reads).as_deref())
                }
                (left, right) => {
                    calculation::of_two(left.value(reads).as_deref(), *operator, right.value(reads).as_deref())
                }
            },
            Term::Len(of) => calculation::len(of.value(reads).as_deref()),
            Term::Text(function, of) => calculation::of_texts(of.value(reads).as_deref(), &function.function()),
            Term::EditDistance(of, other) => {
                calculation::edit_distance(of.value(reads).as_deref(), other.value(reads).as_deref())
            }
            Term::Time(part, zone) => part.of(reads.time(), zone),
            Term::Date(part, of) => calculation::of_texts(of.value(reads).as_deref(), &|text| part.of(text)),
            Term::Found(directory, thing, of) => of.value(reads).and_then(|value| {
                let found = found_in(&value, &|text| reads.found(directory, text));
                of_found(&found, matches!(*value, Value::Array(_)), &|found| found.thing(*thing))
            }),
        };
        result.map(Cow::Owned)
    }

    /// Visits every scalar, arrays opened, until `visit` answers true; says whether it did.
    pub(super) fn any(&self, reads: &dyn Reads, visit: &mut dyn FnMut(Scalar<'_>) -> bool) -> bool {
        match self {
            Term::Field(path) => reads.any(path, visit),
            term => term
                .value(reads)
                .is_some_and(|value| value.any_scalar(&mut |scalar| Scalar::of(scalar).is_some_and(&mut *visit))),
        }
    }

    /// Visits the paths of the fields that it reads.
    pub(super) fn each_path(&self, visit: &mut dyn FnMut(&Arc<str>)) {
        match self {
            Term::Field(path) => visit(path),
            Term::Number(_) | Term::Known(_) | Term::Time(..) => {}
            Term::Calculate(_, left, right) | Term::EditDistance(left, right) => {
                left.each_path(visit);
                right.each_path(visit);
            }
            Term::Len(of) | Term::Text(_, of) | Term::Date(_, of) | Term::Found(_, _, of) => of.each_path(visit),
        }
    }

    /// Terms in it.
    pub(super) fn size(&self) -> usize {
        match self {
            Term::Field(_) | Term::Number(_) | Term::Known(_) | Term::Time(..) => 1,
            Term::Calculate(_, left, right) | Term::EditDistance(left, right) => 1 + left.size() + right.size(),
            Term::Len(of) | Term::Text(_, of) | Term::Date(_, of) | Term::Found(_, _, of) => 1 + of.size(),
        }
    }
}
