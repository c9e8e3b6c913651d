//! A finite input: events of several inputs and partitions, in the order in which they arrive.

use serde_json::{Map, Value as Json};

/// The input that alerts are to other rules.
pub const ALERTS: &str = "alerts";

#[derive(Debug, Clone)]
pub struct Log {
    pub events: Vec<Event>,
    /// Seconds that an event may be behind the greatest time of its partition.
    pub lateness: i64,
    pub until: Until,
}

#[derive(Debug, Clone)]
pub struct Event {
    pub input: &'static str,
    pub partition: u32,
    pub time: i64,
    /// Flat, by dotted name.
    pub fields: Map<String, Json>,
}

/// Where the log ends: timers due later don't fire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    Infinity,
    /// At the greatest event time.
    Last,
    Time(i64),
}

/// An event with its place in its partition.
pub struct Placed<'a> {
    pub event: &'a Event,
    pub offset: u64,
    /// The greatest time before it in its partition is more than the lateness ahead of it.
    pub late: bool,
}

impl Log {
    pub fn placed(&self) -> Vec<Placed<'_>> {
        let place = |(at, event): (usize, &'_ Event)| {
            let before = || self.events[..at].iter().filter(|other| other.source() == event.source());
            let greatest = before().map(|other| other.time).max();
            let late = greatest.is_some_and(|greatest| event.time < greatest - self.lateness);
            (before().count() as u64, late)
        };
        let placed = self.events.iter().enumerate().map(|(at, event)| (event, place((at, event))));
        placed.map(|(event, (offset, late))| Placed { event, offset, late }).collect()
    }

    /// The last time at which something happens.
    pub fn end(&self) -> i64 {
        match self.until {
            Until::Infinity => i64::MAX,
            Until::Last => self.events.iter().map(|event| event.time).max().unwrap_or(i64::MAX),
            Until::Time(end) => end,
        }
    }

    /// Every partition that has events.
    pub fn sources(&self) -> Vec<(&'static str, u32)> {
        let mut sources: Vec<_> = self.events.iter().map(Event::source).collect();
        sources.sort_unstable();
        sources.dedup();
        sources
    }
}

impl Event {
    pub fn source(&self) -> (&'static str, u32) {
        (self.input, self.partition)
    }

    /// Every value of a field as text, as written; a list gives each of its elements. Nothing of null.
    pub fn texts(&self, field: &str) -> Vec<String> {
        self.values(field).iter().map(|value| text(value)).collect()
    }

    /// Every value of a field; a list gives each of its elements.
    pub fn values(&self, field: &str) -> Vec<&Json> {
        match self.fields.get(field) {
            None => Vec::new(),
            Some(Json::Array(items)) => items.iter().filter(|item| !item.is_null()).collect(),
            Some(value) => Some(value).into_iter().filter(|value| !value.is_null()).collect(),
        }
    }

    /// As a JSON record.
    pub fn to_record(&self) -> String {
        let mut record = self.fields.clone();
        record.insert("@timestamp".to_owned(), instant(self.time).into());
        Json::Object(record).to_string()
    }
}

/// A scalar as text, as written.
pub fn text(value: &Json) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// RFC 3339
pub fn instant(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds).expect("a time of this era").to_string()
}
