//! The records of one source partition, one after another: shape, fields, extracts, event time.

use std::sync::Arc;

use super::{
    DecodeSpec, Format, Limits, Reason, Reject, SpecError, Timing,
    extract::{self, Extracts},
    json, syslog,
    time::{self, Written},
    web,
    year::Calendar,
};
use crate::event::{Event, Fields, Position, RECORD_BYTES_MAX, Slot, Slots, Timestamp, View, Wanted};

/// What one record turned out to be.
enum Shape<'a> {
    Json,
    Syslog,
    Line,
    /// An access or error line of a web server.
    Web(web::Line<'a>),
}

/// Decodes the records of one source partition, in their order.
///
/// A record is read into slots: of the paths that are wanted and those that the decoder itself looks at. What is
/// wanted in full is decoded again.
#[derive(Debug)]
pub struct Decoder {
    format: Format,
    time_fields: Vec<String>,
    extracts: Extracts,
    limits: Limits,
    timing: Timing,
    calendar: Calendar,
    wanted: Arc<Wanted>,
    /// Of the time fields.
    time_slots: Vec<Slot>,
    slots: Slots,
    projection: json::Projection,
}

/// A record that was read: its slots are the decoder's until the next one is.
#[derive(Debug, Clone, Copy)]
pub struct Read<'r> {
    /// Event time.
    pub time: Timestamp,
    text: &'r str,
}

impl Decoder {
    /// # Errors
    /// When the time zone is unknown or an extract can't be read.
    pub fn new(spec: &DecodeSpec, limits: Limits, timing: Timing) -> Result<Self, SpecError> {
        let mut decoder = Decoder {
            format: spec.format,
            time_fields: spec.time_fields.clone(),
            extracts: Extracts::new(&spec.extracts)?,
            limits,
            timing,
            calendar: Calendar::new(&spec.timezone, timing, spec.year)?,
            wanted: Arc::default(),
            time_slots: Vec::new(),
            slots: Slots::default(),
            projection: json::Projection::default(),
        };
        decoder.want(&Wanted::default());
        Ok(decoder)
    }

    /// From the next record on these paths are read, into slots of the same numbers.
    pub fn want(&mut self, wanted: &Wanted) {
        let own = self.time_fields.iter().map(String::as_str).chain(self.extracts.paths());
        self.wanted = Arc::new(wanted.extended(own));
        self.time_slots = self.time_fields.iter().filter_map(|path| self.wanted.slot(path)).collect();
        self.slots = Slots::default();
        self.projection = json::Projection::new(self.wanted.clone());
    }

    /// Reads a record into the slots.
    ///
    /// # Errors
    /// When the record is no event, with the reason for the dead letters.
    pub fn read<'r>(&mut self, bytes: &'r [u8], record_timestamp_ms: Option<i64>) -> Result<Read<'r>, Reject> {
        let text = self.text(bytes)?;
        let shape = self.shape(text)?;
        let written = if matches!(shape, Shape::Json) && self.project(text) {
            None
        } else {
            let (written, fields) = self.fields(text, &shape)?;
            self.slots.fill(&self.wanted, &fields);
            written
        };
        let time = self.time(text, written, record_timestamp_ms)?;
        Ok(Read { time, text })
    }

    /// Takes an event that needs no decoding into the slots.
    pub fn take(&mut self, event: &Event) -> Read<'static> {
        self.slots.fill(&self.wanted, &event.fields);
        Read { time: event.time, text: "" }
    }

    /// The slots of the record that was read last.
    pub fn view<'a>(&'a self, read: &Read<'a>) -> View<'a> {
        self.slots.view(&self.wanted, read.text)
    }

    /// All fields of a record that was read.
    ///
    /// # Errors
    /// None for a record that was read with success.
    pub fn in_full(&self, read: &Read<'_>) -> Result<Fields, Reject> {
        let shape = self.shape(read.text)?;
        self.fields(read.text, &shape).map(|(_, fields)| fields)
    }

    /// The event in a record, in full.
    ///
    /// # Errors
    /// When the record is none, with the reason for the dead letters.
    pub fn decode(
        &mut self,
        bytes: &[u8],
        record_timestamp_ms: Option<i64>,
        position: Position,
    ) -> Result<Event, Reject> {
        let read = self.read(bytes, record_timestamp_ms)?;
        Ok(Event { time: read.time, position, fields: self.in_full(&read)? })
    }

    /// Reads JSON in one pass; false where another way has to look: something is wrong or rare, or an extract adds to
    /// the record.
    fn project(&mut self, text: &str) -> bool {
        let Decoder { projection, limits, wanted, slots, extracts, .. } = self;
        projection.fill(text, limits, slots).is_ok() && !extracts.would_add(slots.view(wanted, text), true)
    }

    /// The record as text, without a byte order mark, trailing NULs and surrounding white space.
    fn text<'a>(&self, bytes: &'a [u8]) -> Result<&'a str, Reject> {
        let max = self.limits.record_bytes_max.min(RECORD_BYTES_MAX);
        if bytes.len() > max {
            let detail = format!("{} bytes, above the limit of {max}", bytes.len());
            return Err(Reject::new(Reason::TooLarge, detail));
        }
        let text = std::str::from_utf8(bytes)
            .map_err(|error| Reject::new(Reason::NotUtf8, format!("byte {}: not UTF-8", error.valid_up_to())))?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let text = text.trim_matches(|c: char| c.is_ascii_whitespace() || c == '\0');
        if text.is_empty() { Err(Reject::new(Reason::Empty, "nothing but white space")) } else { Ok(text) }
    }

    /// The shape that the format asks for.
    fn shape<'a>(&self, text: &'a str) -> Result<Shape<'a>, Reject> {
        let web = |line: Option<web::Line<'a>>, reason, shape: &str| {
            line.map(Shape::Web).ok_or_else(|| Reject::new(reason, format!("not `{shape}`")))
        };
        match self.format {
            Format::Auto => self.tell(text),
            Format::Json => Ok(Shape::Json),
            Format::Syslog => Ok(Shape::Syslog),
            Format::Line => Ok(Shape::Line),
            Format::Clf => web(web::access(text), Reason::BadClf, "host ident user [time] \"request\" status bytes"),
            Format::ApacheError => {
                let line = web::apache_error(text).filter(|line| line.written.is_some());
                web(line, Reason::BadApacheError, "[time] [level] message")
            }
        }
    }

    /// Tells the shape of one record.
    ///
    /// A brace starts JSON. A record that as a whole is another JSON value, or starts as a JSON array of objects,
    /// arrays or strings, is broken JSON rather than a line.
    fn tell<'a>(&self, text: &'a str) -> Result<Shape<'a>, Reject> {
        let first = text.as_bytes()[0];
        let list = |text: &str| text[1..].trim_start().starts_with(['{', '[', '"']);
        if first == b'{' || first == b'[' && list(text) {
            return Ok(Shape::Json);
        }
        if let Some(line) = web::apache_error(text).filter(|line| line.written.is_some()) {
            return Ok(Shape::Web(line));
        }
        if matches!(first, b'[' | b'"' | b'-' | b'0'..=b'9' | b't' | b'f' | b'n')
            && json::is_whole_value(text, &self.limits).is_ok()
        {
            return Err(Reject::new(Reason::NotAnObject, "byte 0: the record is JSON, but not an object"));
        }
        match syslog::Header::of(text) {
            // a time in ISO style starts lines of many kinds; only a tag makes it syslog
            Some(header) if !first.is_ascii_digit() || header.has_tag() => Ok(Shape::Syslog),
            _ => Ok(web::access(text).map_or(Shape::Line, Shape::Web)),
        }
    }

    /// All fields of a shape, those that the extracts add included, and the time that it writes outside of them.
    fn fields(&self, text: &str, shape: &Shape<'_>) -> Result<(Option<Written>, Fields), Reject> {
        let (written, fields) = self.own_fields(text, shape)?;
        // a web line's own fields say all that the built-in extracts would
        Ok((written, self.extracts.apply(fields, !matches!(shape, Shape::Web(_)))))
    }

    /// The fields that a shape gives, and the time that it writes outside of them.
    fn own_fields(&self, text: &str, shape: &Shape<'_>) -> Result<(Option<Written>, Fields), Reject> {
        if matches!(shape, Shape::Json) {
            return Ok((None, json::fields(text, &self.limits)?));
        }
        if let Some(at) = text.bytes().position(|byte| byte == 0) {
            return Err(Reject::new(Reason::Binary, format!("byte {at}: a NUL byte within text")));
        }
        let mut out = Fields::builder();
        let written = match shape {
            Shape::Syslog => syslog::decode(text, &mut out)?,
            Shape::Web(line) => {
                extract::put_all(line.fields.iter().copied(), &mut out);
                line.written
            }
            Shape::Line | Shape::Json => {
                out.put_text("message", text);
                time::prefix(text.trim_start_matches('[')).map(|(written, _)| written)
            }
        };
        Ok((written, out.build()))
    }

    /// The first usable candidate: the time fields, the time that the line writes, the record's own timestamp.
    fn time(&mut self, text: &str, written: Option<Written>, record_ms: Option<i64>) -> Result<Timestamp, Reject> {
        let record = record_ms.map(Timestamp::from_millis);
        let view = self.slots.view(&self.wanted, text);
        for slot in &self.time_slots {
            let written = view.scalar(*slot).and_then(|scalar| time::whole(scalar.as_text()));
            if let Some(time) = written.and_then(|written| self.calendar.resolve(written, record)) {
                return Ok(time);
            }
        }
        if let Some(time) = written.and_then(|written| self.calendar.resolve(written, record)) {
            return Ok(time);
        }
        let fallback = if self.timing == Timing::Live { record } else { None };
        fallback.ok_or_else(|| {
            let looked = self.time_fields.join(", ");
            let unusable = self.time_slots.iter().rev().find_map(|slot| {
                let value = view.value(*slot)?;
                Some(format!("; {} is {:.80} there", self.wanted.path(*slot), value.to_string()))
            });
            let unusable = unusable.unwrap_or_default();
            Reject::new(
                Reason::NoEventTime,
                format!("no usable time in {looked} or at the start of the line{unusable}"),
            )
        })
    }
}
