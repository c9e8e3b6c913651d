//! The records of one source partition, one after another: shape, fields, extracts, event time.

use std::sync::Arc;

use super::{
    DecodeSpec, Format, Limits, Reason, Reject, SpecError, Timing,
    expression::Groups,
    extract::{self, Extracts},
    field::{Field, Paths},
    json,
    sink::{InFull, IntoSlots, Plan, Sink},
    syslog,
    time::{self, Written},
    web,
    year::Calendar,
};
use crate::event::{Event, Fields, Position, RECORD_BYTES_MAX, Slot, Slots, Timestamp, View, Wanted};

const MESSAGE: Field = Field::known("message");

/// What one record turned out to be.
#[expect(
    clippy::large_enum_variant,
    reason = "there is one at a time, and a box would be an allocation for each record"
)]
enum Shape<'a> {
    Json,
    Text(Line<'a>),
}

#[expect(
    clippy::large_enum_variant,
    reason = "there is one at a time, and a box would be an allocation for each record"
)]
enum Line<'a> {
    /// Without a header it is refused.
    Syslog(Option<syslog::Header<'a>>),
    Plain,
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
    /// Of the fields that formats and extracts set.
    paths: Paths,
    extracts: Extracts,
    limits: Limits,
    timing: Timing,
    calendar: Calendar,
    /// For the slots.
    plan: Plan,
    /// For fields that somebody reads: all where the event itself is asked. What only extracts look at is not among
    /// them.
    useful: extract::Useful,
    /// Of the time fields.
    time_slots: Vec<Slot>,
    slots: Slots,
    projection: json::Projection,
    scratch: extract::Scratch,
    /// Room for a path of [`super::PATH_BYTES_MAX`].
    path: String,
}

/// The fields in full have to say what the slots hold.
struct Unusual;

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
        let mut paths = Paths::default();
        let extracts = Extracts::new(&spec.extracts, &mut paths)?;
        let mut decoder = Decoder {
            format: spec.format,
            time_fields: spec.time_fields.clone(),
            useful: extracts.useful(&|_| false),
            extracts,
            paths,
            limits,
            timing,
            calendar: Calendar::new(&spec.timezone, timing, spec.year)?,
            plan: Plan::default(),
            time_slots: Vec::new(),
            slots: Slots::default(),
            projection: json::Projection::default(),
            scratch: extract::Scratch::default(),
            path: String::new(),
        };
        decoder.want(&Wanted::default());
        Ok(decoder)
    }

    /// From the next record on these paths are read, into slots of the same numbers.
    pub fn want(&mut self, wanted: &Wanted) {
        let read = Arc::new(wanted.extended(&self.time_fields));
        self.time_slots = self.time_fields.iter().filter_map(|path| read.slot(path)).collect();
        let all = Arc::new(read.extended(self.extracts.looked_at()));
        let read = Plan::new(read, &self.paths);
        self.useful = self.extracts.useful(&|field| all.is_whole() || extract::reads(&read, field));
        self.plan = Plan::new(all.clone(), &self.paths);
        self.slots = Slots::default();
        self.projection = json::Projection::new(all);
    }

    /// Reads a record into the slots.
    ///
    /// # Errors
    /// When the record is no event, with the reason for the dead letters.
    pub fn read<'r>(&mut self, bytes: &'r [u8], record_timestamp_ms: Option<i64>) -> Result<Read<'r>, Reject> {
        let text = self.text(bytes)?;
        let shape = shape(self.format, text, &self.limits, &mut self.scratch.groups)?;
        let written = match self.project(text, &shape) {
            Ok(written) => written,
            Err(Unusual) => {
                let (written, fields) = self.fields(text, &shape)?;
                self.slots.fill(self.plan.wanted(), &fields);
                written
            }
        };
        let time = self.time(text, written, record_timestamp_ms)?;
        Ok(Read { time, text })
    }

    /// Takes an event that needs no decoding into the slots.
    pub fn take(&mut self, event: &Event) -> Read<'static> {
        self.slots.fill(self.plan.wanted(), &event.fields);
        Read { time: event.time, text: "" }
    }

    /// The slots of the record that was read last.
    pub fn view<'a>(&'a self, read: &Read<'a>) -> View<'a> {
        self.slots.view(self.plan.wanted(), read.text)
    }

    /// All fields of a record that was read.
    ///
    /// # Errors
    /// None for a record that was read with success.
    pub fn in_full(&self, read: &Read<'_>) -> Result<Fields, Reject> {
        let shape = shape(self.format, read.text, &self.limits, &mut Groups::default())?;
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

    /// Reads what is wanted straight into the slots; answers the time that the record writes outside of its fields.
    fn project(&mut self, text: &str, shape: &Shape<'_>) -> Result<Option<Written>, Unusual> {
        let Decoder { projection, limits, plan, useful, slots, extracts, scratch, path, .. } = self;
        let written = match shape {
            Shape::Json => {
                projection.fill(text, limits, slots).map_err(|_| Unusual)?;
                None
            }
            Shape::Text(_) if !plan.wanted().odd().is_empty() => return Err(Unusual),
            Shape::Text(line) => {
                slots.begin(plan.wanted());
                let mut into = IntoSlots { plan, slots, record: text, path };
                put_line(text, line, limits, &mut into).map_err(|_| Unusual)?
            }
        };
        let into = IntoSlots { plan, slots, record: text, path };
        extracts.add_to_slots(into, useful, shape.has_builtin(), scratch).map_err(|_| Unusual)?;
        Ok(written)
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

    /// All fields of a shape, those that the extracts add included, and the time that it writes outside of them.
    fn fields(&self, text: &str, shape: &Shape<'_>) -> Result<(Option<Written>, Fields), Reject> {
        let (written, fields) = match shape {
            Shape::Json => (None, json::fields(text, &self.limits)?),
            Shape::Text(line) => {
                let mut out = InFull::new(&self.paths);
                let written = put_line(text, line, &self.limits, &mut out)?;
                (written, out.build())
            }
        };
        Ok((written, self.extracts.apply(fields, shape.has_builtin(), &self.paths)))
    }

    /// The first usable candidate: the time fields, the time that the line writes, the record's own timestamp.
    fn time(&mut self, text: &str, written: Option<Written>, record_ms: Option<i64>) -> Result<Timestamp, Reject> {
        let record = record_ms.map(Timestamp::from_millis);
        let view = self.slots.view(self.plan.wanted(), text);
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
                Some(format!("; {} is {:.80} there", self.plan.wanted().path(*slot), value.to_string()))
            });
            let unusable = unusable.unwrap_or_default();
            Reject::new(
                Reason::NoEventTime,
                format!("no usable time in {looked} or at the start of the line{unusable}"),
            )
        })
    }
}

impl Shape<'_> {
    /// Whether the built-in extracts may say more than the record's own fields.
    fn has_builtin(&self) -> bool {
        !matches!(self, Shape::Text(Line::Web(_)))
    }
}

/// The shape that the format asks for.
fn shape<'a>(format: Format, text: &'a str, limits: &Limits, groups: &mut Groups) -> Result<Shape<'a>, Reject> {
    let web = |line: Option<web::Line<'a>>, reason, shape: &str| {
        let line = line.map(|line| Shape::Text(Line::Web(line)));
        line.ok_or_else(|| Reject::new(reason, format!("not `{shape}`")))
    };
    match format {
        Format::Auto => tell(text, limits, groups),
        Format::Json => Ok(Shape::Json),
        Format::Syslog => Ok(Shape::Text(Line::Syslog(syslog::Header::of(text)))),
        Format::Line => Ok(Shape::Text(Line::Plain)),
        Format::Clf => {
            web(web::access(text, groups), Reason::BadClf, "host ident user [time] \"request\" status bytes")
        }
        Format::ApacheError => {
            let line = web::apache_error(text, groups).filter(|line| line.written.is_some());
            web(line, Reason::BadApacheError, "[time] [level] message")
        }
    }
}

/// Tells the shape of one record.
///
/// A brace starts JSON. A record that as a whole is another JSON value, or starts as a JSON array of objects, arrays or
/// strings, is broken JSON rather than a line.
fn tell<'a>(text: &'a str, limits: &Limits, groups: &mut Groups) -> Result<Shape<'a>, Reject> {
    let first = text.as_bytes()[0];
    let list = |text: &str| text[1..].trim_start().starts_with(['{', '[', '"']);
    if first == b'{' || first == b'[' && list(text) {
        return Ok(Shape::Json);
    }
    if let Some(line) = web::apache_error(text, groups).filter(|line| line.written.is_some()) {
        return Ok(Shape::Text(Line::Web(line)));
    }
    if matches!(first, b'[' | b'"' | b'-' | b'0'..=b'9' | b't' | b'f' | b'n')
        && json::is_whole_value(text, limits).is_ok()
    {
        return Err(Reject::new(Reason::NotAnObject, "byte 0: the record is JSON, but not an object"));
    }
    Ok(Shape::Text(match syslog::Header::of(text) {
        // a time in ISO style starts lines of many kinds; only a tag makes it syslog
        Some(header) if !first.is_ascii_digit() || header.has_tag() => Line::Syslog(Some(header)),
        _ => web::access(text, groups).map_or(Line::Plain, Line::Web),
    }))
}

/// Puts a line's own fields; answers the time that it writes outside of them.
fn put_line(text: &str, line: &Line<'_>, limits: &Limits, out: &mut impl Sink) -> Result<Option<Written>, Reject> {
    if let Some(at) = memchr::memchr(0, text.as_bytes()) {
        return Err(Reject::new(Reason::Binary, format!("byte {at}: a NUL byte within text")));
    }
    match line {
        Line::Syslog(header) => {
            let header = header.as_ref().ok_or_else(|| {
                Reject::new(Reason::BadSyslog, "byte 0: neither a priority nor a time that ends its word")
            })?;
            syslog::put(header, limits, out)?;
            Ok(header.written)
        }
        Line::Web(line) => {
            line.parts().for_each(|(field, text)| extract::put(field, text, out));
            Ok(line.written)
        }
        Line::Plain => {
            out.text(MESSAGE, text);
            Ok(time::prefix(text.trim_start_matches('[')).map(|(written, _)| written))
        }
    }
}
