//! An input: where records come from, how they decode, how their time is found.

use std::{collections::BTreeSet, net::SocketAddr, path::PathBuf, time::Duration};

use serde::de::DeserializeOwned;

use super::{
    error::Problem,
    keys::keys,
    layers::Layers,
    place::{Part, Way},
    sections::{listener, named, span, text},
    units::{Flag, List, Text, Whole},
    written,
};

pub use crate::decode::{Extract, Format, TIME_FIELDS};
use crate::{
    decode::{DecodeSpec, Decoder, Limits, SpecError, Timing},
    event::ALERTS,
};

/// A configured input.
#[derive(Debug, Clone)]
pub struct Input {
    pub name: String,
    pub kind: InputKind,
    pub format: Format,
    /// Field paths to look for the event time in, in order.
    pub time_fields: Vec<String>,
    /// An IANA name, for times that carry no zone.
    pub timezone: String,
    /// For times without a year.
    pub year: Option<i16>,
    pub lateness: Duration,
    pub idle_timeout: Duration,
    pub max_clock_skew: Duration,
    pub start: StartAt,
    /// The user's own, tried before the built-in ones.
    pub extracts: Vec<Extract>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InputKind {
    Kafka {
        topics: Vec<String>,
    },
    /// `POST /v1/events?input=NAME`
    Http,
    /// TCP and UDP on the same address.
    Syslog {
        listen: SocketAddr,
    },
    /// Paths and globs, followed like `tail -F`.
    File {
        paths: Vec<PathBuf>,
    },
}

/// Where an input starts when nothing was ever read of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartAt {
    Earliest,
    Latest,
}

impl Input {
    /// What `decode` needs to know of the input.
    pub fn decode_spec(&self) -> DecodeSpec {
        DecodeSpec {
            format: self.format,
            time_fields: self.time_fields.clone(),
            timezone: self.timezone.clone(),
            year: self.year,
            extracts: self.extracts.clone(),
        }
    }
}

/// Keys of every type of input; each type adds its own.
const COMMON: [&str; 10] = [
    "name",
    "type",
    "format",
    "time_fields",
    "timezone",
    "year",
    "lateness",
    "idle_timeout",
    "max_clock_skew",
    "extract",
];

const TYPES: [(&str, &[&str]); 4] = [
    ("kafka", &["topics", "start"]),
    ("http", &[]),
    ("syslog", &["listen", "allow_unauthenticated"]),
    ("file", &["paths", "start"]),
];

/// The configured inputs; `http` and `syslog`, on the embedded log as on Kafka, where none is written.
pub(super) fn inputs(layers: &mut Layers, has_brokers: bool) -> Vec<Input> {
    let syslog: written::Syslog = layers.section("syslog");
    let open = syslog.allow_unauthenticated.is_some_and(|Flag(open)| open);
    let loopback = SocketAddr::from(([127, 0, 0, 1], 5514));
    let listen = listener(layers, &Way::to("syslog"), syslog.listen, open, loopback);
    let tables: Vec<(Way, written::Input)> = layers.tables(&Way::to("input"));
    if tables.is_empty() {
        let kinds = [("http", InputKind::Http), ("syslog", InputKind::Syslog { listen })];
        return kinds.map(|(name, kind)| plain_input(name, kind)).into();
    }
    let inputs: Vec<(Way, Input)> = tables
        .into_iter()
        .filter_map(|(way, written)| input(layers, &way, written, listen, has_brokers).map(|input| (way, input)))
        .collect();
    refuse_repeats(layers, &inputs);
    let listens = |(_, input): &(Way, Input)| matches!(input.kind, InputKind::Syslog { .. });
    if layers.has_keys("syslog") && !inputs.iter().any(listens) {
        layers.note(&Way::to("syslog").key("listen"), Part::Key, Problem::NobodyListens);
    }
    inputs.into_iter().map(|(_, input)| input).collect()
}

/// An input with every default.
fn plain_input(name: &str, kind: InputKind) -> Input {
    Input {
        name: name.to_owned(),
        kind,
        format: Format::Auto,
        time_fields: TIME_FIELDS.map(str::to_owned).into(),
        timezone: "UTC".to_owned(),
        year: None,
        lateness: Duration::from_secs(10),
        idle_timeout: Duration::from_secs(15),
        max_clock_skew: Duration::from_secs(5 * 60),
        start: StartAt::Earliest,
        extracts: Vec::new(),
    }
}

fn input(
    layers: &mut Layers,
    way: &Way,
    written: written::Input,
    listen: SocketAddr,
    has_brokers: bool,
) -> Option<Input> {
    let name = name(layers, way, written.name)?;
    let kind = text(written.r#type, "");
    if kind.is_empty() {
        layers.missing(way, format!("input \"{name}\""), "type", "\"file\"");
        return None;
    }
    let own_keys = layers.choice(&way.key("type"), &kind, &TYPES)?;
    refuse_misplaced::<written::Input>(layers, way, &kind, &COMMON, own_keys);
    let kind = match &*kind {
        "kafka" => InputKind::Kafka { topics: topics(layers, way, &name, written.topics, has_brokers) },
        "http" => InputKind::Http,
        "syslog" => {
            let open = written.allow_unauthenticated.is_some_and(|Flag(open)| open);
            InputKind::Syslog { listen: listener(layers, way, written.listen, open, listen) }
        }
        _ => InputKind::File { paths: paths(layers, way, &name, written.paths) },
    };
    let default = plain_input(&name, kind);
    let year = written.year.and_then(|Whole(year)| known_year(layers, &way.key("year"), year));
    let start_words = [("earliest", StartAt::Earliest), ("latest", StartAt::Latest)];
    Some(Input {
        format: layers
            .choice(&way.key("format"), &text(written.format, "auto"), &Format::NAMED)
            .unwrap_or(default.format),
        time_fields: written.time_fields.map_or(default.time_fields, |List(fields)| fields),
        timezone: timezone(layers, &way.key("timezone"), text(written.timezone, &default.timezone)),
        year,
        lateness: span(written.lateness, default.lateness),
        idle_timeout: span(written.idle_timeout, default.idle_timeout),
        max_clock_skew: span(written.max_clock_skew, default.max_clock_skew),
        start: layers
            .choice(&way.key("start"), &text(written.start, "earliest"), &start_words)
            .unwrap_or(default.start),
        extracts: written.extract.map_or_else(Vec::new, |_| extracts(layers, way)),
        ..default
    })
}

/// A name that can stand in a URL, in a metric's label and in a rule.
fn name(layers: &mut Layers, way: &Way, written: Option<Text>) -> Option<String> {
    let Some(Text(name)) = written else {
        layers.missing(way, "[[input]]", "name", "\"auth\"");
        return None;
    };
    if name == ALERTS {
        layers.note(&way.key("name"), Part::Value, Problem::Reserved);
    }
    Some(named(layers, &way.key("name"), name))
}

fn topics(layers: &mut Layers, way: &Way, name: &str, written: Option<List>, has_brokers: bool) -> Vec<String> {
    if !has_brokers {
        layers.missing(way, format!("[kafka] for input \"{name}\""), "brokers", "\"localhost:9092\"");
    }
    let Some(List(topics)) = written else {
        layers.missing(way, format!("input \"{name}\""), "topics", "[\"auth-events\"]");
        return Vec::new();
    };
    let way = way.key("topics");
    topics.into_iter().enumerate().map(|(at, name)| named(layers, &way.index(at), name)).collect()
}

fn paths(layers: &mut Layers, way: &Way, name: &str, written: Option<List>) -> Vec<PathBuf> {
    let Some(List(paths)) = written else {
        layers.missing(way, format!("input \"{name}\""), "paths", "[\"/var/log/auth.log\"]");
        return Vec::new();
    };
    paths.iter().map(|path| layers.path(&way.key("paths"), path)).collect()
}

fn extracts(layers: &mut Layers, way: &Way) -> Vec<Extract> {
    let tables: Vec<(Way, written::Extract)> = layers.tables(&way.key("extract"));
    tables.into_iter().filter_map(|(way, written)| extract(layers, &way, written)).collect()
}

/// An extract that decoding takes, tried here so that a mistake has its place in the file.
fn extract(layers: &mut Layers, way: &Way, written: written::Extract) -> Option<Extract> {
    let table = "[[input.extract]]";
    if written.field.is_none() {
        layers.missing(way, table, "field", "\"message\"");
    }
    if written.regex.is_none() {
        layers.missing(way, table, "regex", "'user=(?<user.name>\\S+)'");
    }
    let (Text(field), Text(regex)) = (written.field?, written.regex?);
    let extract = Extract { when: written.when.map(|Text(when)| when), field, regex };
    let plain = plain_input("", InputKind::Http);
    let spec = DecodeSpec { extracts: vec![extract.clone()], ..plain.decode_spec() };
    let limits = Limits { record_bytes_max: 1, depth_max: 1, fields_max: 1 };
    if let Err(error) = Decoder::new(&spec, limits, Timing::Live) {
        let key = if matches!(error, SpecError::When { .. }) { "when" } else { "regex" };
        layers.wrong(&way.key(key), error.to_string());
        return None;
    }
    Some(extract)
}

fn timezone(layers: &mut Layers, way: &Way, name: String) -> String {
    if jiff::tz::TimeZone::get(&name).is_err() {
        layers.wrong(way, format!("\"{name}\" is no time zone; write an IANA name such as \"UTC\" or \"Asia/Seoul\""));
    }
    name
}

/// Event time is kept in 64 bits of nanoseconds.
fn known_year(layers: &mut Layers, way: &Way, year: i64) -> Option<i16> {
    if (1678..=2261).contains(&year) {
        return i16::try_from(year).ok();
    }
    layers.wrong(way, format!("expected a year from 1678 to 2261, found {year}"));
    None
}

/// Keys of the table at `way` that exist for other types only.
pub(super) fn refuse_misplaced<T: DeserializeOwned>(
    layers: &mut Layers,
    way: &Way,
    kind: &str,
    common: &[&str],
    own: &[&str],
) {
    let known = || own.iter().chain(common).copied();
    for key in layers.written_keys(way) {
        if keys::<T>().contains(&&*key) && !known().any(|name| name == key) {
            let problem = Problem::Misplaced {
                key: key.clone(),
                kind: kind.to_owned(),
                known: known().map(str::to_owned).collect(),
            };
            layers.note(&way.key(&key), Part::Key, problem);
        }
    }
}

/// No two inputs of one name, of one topic or on one address.
fn refuse_repeats(layers: &mut Layers, inputs: &[(Way, Input)]) {
    let mut seen = BTreeSet::new();
    for (way, input) in inputs {
        let mut claims = vec![("an input named", input.name.clone(), way.key("name"))];
        match &input.kind {
            InputKind::Kafka { topics } => {
                let claim =
                    |(at, topic): (usize, &String)| ("an input with topic", topic.clone(), way.key("topics").index(at));
                claims.extend(topics.iter().enumerate().map(claim));
            }
            InputKind::Syslog { listen } => {
                claims.push(("an input that listens on", listen.to_string(), way.key("listen")));
            }
            InputKind::Http | InputKind::File { .. } => {}
        }
        for (what, name, way) in claims {
            if !seen.insert((what, name.clone())) {
                layers.note(&way, Part::Value, Problem::Taken { what, name });
            }
        }
    }
}
