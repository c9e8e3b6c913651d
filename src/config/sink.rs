//! A sink: who is told of alerts.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::IpAddr,
    path::PathBuf,
    time::Duration,
};

use secrecy::{ExposeSecret, SecretString};

use super::{
    error::Problem,
    input::refuse_misplaced,
    layers::Layers,
    place::{Part, Way},
    sections::{backoff, brokers_text, count, named, notify, plain, span, text},
    units::{Count, List, Text},
    written,
};

/// A configured receiver of alerts.
#[derive(Debug, Clone)]
pub struct Sink {
    pub name: String,
    pub kind: SinkKind,
    pub filter: Filter,
    /// For one attempt.
    pub timeout: Duration,
    pub retry: Retry,
}

#[derive(Clone)]
pub enum SinkKind {
    /// Readable text, or one JSON object a line.
    Stdout {
        json: bool,
    },
    /// NDJSON, appended.
    File {
        path: PathBuf,
    },
    /// A topic of the configured brokers, or of others.
    Kafka {
        brokers: Option<String>,
        topic: String,
        properties: BTreeMap<String, String>,
    },
    Webhook(Webhook),
    Email(Email),
}

/// Properties by name only: a value may be a password.
impl fmt::Debug for SinkKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SinkKind::Stdout { json } => f.debug_struct("Stdout").field("json", json).finish(),
            SinkKind::File { path } => f.debug_struct("File").field("path", path).finish(),
            SinkKind::Kafka { brokers, topic, properties } => f
                .debug_struct("Kafka")
                .field("brokers", brokers)
                .field("topic", topic)
                .field("properties", &properties.keys())
                .finish(),
            SinkKind::Webhook(webhook) => webhook.fmt(f),
            SinkKind::Email(email) => email.fmt(f),
        }
    }
}

#[derive(Debug, Clone)]
pub struct Webhook {
    /// May hold a token, so it is a secret.
    pub url: SecretString,
    pub headers: BTreeMap<String, SecretString>,
    /// A PEM file with the certificate authority of the server, where the system's do not know it.
    pub ca_file: Option<PathBuf>,
}

#[derive(Debug, Clone)]
pub struct Email {
    pub host: String,
    pub port: u16,
    pub tls: EmailTls,
    pub username: Option<String>,
    pub password: Option<SecretString>,
    pub from: String,
    pub to: Vec<String>,
    /// A PEM file with the certificate authority of the server, where the system's do not know it.
    pub ca_file: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EmailTls {
    /// Refused by configuration unless the host is on loopback.
    None,
    StartTls,
    Tls,
}

/// Which alerts a sink gets.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// `info` … `critical`; lower ones are passed over.
    pub severity_min: Option<String>,
    /// States to send; all when empty.
    pub states: Vec<String>,
}

/// Exponential backoff with full jitter, then dead letters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retry {
    pub attempts_max: u32,
    pub backoff_min: Duration,
    pub backoff_max: Duration,
}

/// Keys of every type of sink; each type adds its own.
const COMMON: [&str; 8] =
    ["name", "type", "severity_min", "states", "timeout", "attempts_max", "backoff_min", "backoff_max"];

const TYPES: [(&str, &[&str]); 5] = [
    ("stdout", &["format"]),
    ("file", &["path"]),
    ("kafka", &["brokers", "topic", "properties"]),
    ("webhook", &["url", "url_file", "headers", "ca_file"]),
    ("email", &["host", "port", "tls", "username", "password", "password_file", "from", "to", "ca_file"]),
];

const SEVERITIES: [&str; 5] = ["info", "low", "medium", "high", "critical"];
const STATES: [&str; 3] = ["fired", "opened", "closed"];

/// The configured sinks; readable text on stdout where none is written.
pub(super) fn sinks(layers: &mut Layers, has_brokers: bool) -> Vec<Sink> {
    let (timeout, retry) = notify(layers);
    let tables: Vec<(Way, written::Sink)> = layers.tables(&Way::to("sink"));
    if tables.is_empty() {
        let kind = SinkKind::Stdout { json: false };
        return vec![Sink { name: "stdout".to_owned(), kind, filter: Filter::default(), timeout, retry }];
    }
    let mut names = BTreeSet::new();
    let mut sinks = Vec::new();
    for (way, written) in tables {
        let Some(sink) = sink(layers, &way, written, timeout, &retry, has_brokers) else { continue };
        if !names.insert(sink.name.clone()) {
            let problem = Problem::Taken { what: "a sink named", name: sink.name.clone() };
            layers.note(&way.key("name"), Part::Value, problem);
        }
        sinks.push(sink);
    }
    sinks
}

fn sink(
    layers: &mut Layers,
    way: &Way,
    mut written: written::Sink,
    timeout: Duration,
    retry: &Retry,
    has_brokers: bool,
) -> Option<Sink> {
    let Some(Text(name)) = written.name.take() else {
        layers.missing(way, "[[sink]]", "name", "\"oncall\"");
        return None;
    };
    let name = named(layers, &way.key("name"), name);
    let Some(Text(kind)) = written.r#type.take() else {
        layers.missing(way, format!("sink \"{name}\""), "type", "\"webhook\"");
        return None;
    };
    let own_keys = layers.choice(&way.key("type"), &kind, &TYPES)?;
    refuse_misplaced::<written::Sink>(layers, way, &kind, &COMMON, own_keys);
    let filter = filter(layers, way, written.severity_min.take(), written.states.take());
    let (min, max) = (span(written.backoff_min, retry.backoff_min), span(written.backoff_max, retry.backoff_max));
    let (backoff_min, backoff_max) = backoff(layers, way, min, max);
    let retry = Retry { attempts_max: count(written.attempts_max, retry.attempts_max), backoff_min, backoff_max };
    let timeout = span(written.timeout, timeout);
    if timeout.is_zero() {
        layers.wrong(&way.key("timeout"), "must be more than zero");
    }
    let mut reader = KindReader { layers, way, sink: format!("sink \"{name}\"") };
    let kind = match &*kind {
        "stdout" => reader.stdout(written),
        "file" => reader.file(written)?,
        "kafka" => reader.kafka(written, has_brokers)?,
        "webhook" => reader.webhook(written)?,
        _ => reader.email(written)?,
    };
    Some(Sink { name, kind, filter, timeout, retry })
}

fn filter(layers: &mut Layers, way: &Way, severity_min: Option<Text>, states: Option<List>) -> Filter {
    let itself = |words: &[&'static str]| words.iter().map(|&word| (word, word)).collect::<Vec<_>>();
    let severity_min = severity_min
        .and_then(|Text(severity)| layers.choice(&way.key("severity_min"), &severity, &itself(&SEVERITIES)));
    let List(states) = states.unwrap_or(List(Vec::new()));
    for (at, state) in states.iter().enumerate() {
        layers.choice(&way.key("states").index(at), state, &itself(&STATES));
    }
    Filter { severity_min: severity_min.map(str::to_owned), states }
}

/// Reads what is particular to a type. `None` means that something needed is missing, and noted.
struct KindReader<'a> {
    layers: &'a mut Layers,
    way: &'a Way,
    /// How the sink is called in errors.
    sink: String,
}

impl KindReader<'_> {
    fn stdout(&mut self, written: written::Sink) -> SinkKind {
        let format = text(written.format, "text");
        let json = self.layers.choice(&self.way.key("format"), &format, &[("text", false), ("json", true)]);
        SinkKind::Stdout { json: json.unwrap_or_default() }
    }

    fn file(&mut self, written: written::Sink) -> Option<SinkKind> {
        let path = self.needed(written.path, "path", "\"alerts.ndjson\"")?;
        Some(SinkKind::File { path: self.layers.path(&self.way.key("path"), &path) })
    }

    fn kafka(&mut self, written: written::Sink, has_brokers: bool) -> Option<SinkKind> {
        let topic = self.needed(written.topic, "topic", "\"security-alerts\"");
        let properties = self.layers.properties(&self.way.key("properties"), written.properties);
        let brokers = written.brokers.map(brokers_text);
        if brokers.is_none() && !has_brokers {
            let whom = format!("{} without [kafka] brokers", self.sink);
            self.layers.missing(self.way, whom, "brokers", "\"localhost:9092\"");
        }
        let topic = named(self.layers, &self.way.key("topic"), topic?);
        let properties = properties.into_iter().map(|(name, value)| (name, plain(&value))).collect();
        Some(SinkKind::Kafka { brokers, topic, properties })
    }

    fn webhook(&mut self, written: written::Sink) -> Option<SinkKind> {
        let headers = self.layers.properties(&self.way.key("headers"), written.headers);
        let ca_file = self.ca_file(written.ca_file);
        let has_url = written.url.is_some() || written.url_file.is_some();
        let url = self.layers.secret(self.way, "url", written.url, written.url_file);
        if !has_url {
            self.layers.missing(self.way, &*self.sink, "url", "\"https://hooks.example.com/T000\"");
        }
        let url = url?;
        let starts = |scheme: &str| url.expose_secret().starts_with(scheme);
        if !starts("https://") && !starts("http://") {
            self.layers.wrong(&self.way.key("url"), "expected a URL that starts with https:// or http://");
        }
        Some(SinkKind::Webhook(Webhook { url, headers, ca_file }))
    }

    fn email(&mut self, written: written::Sink) -> Option<SinkKind> {
        let host = self.needed(written.host, "host", "\"smtp.example.com\"");
        let from = self.needed(written.from, "from", "\"tripline@example.com\"");
        let to = match written.to {
            Some(List(to)) => Some(to),
            None => self.needed(None, "to", "[\"soc@example.com\"]").map(|to| vec![to]),
        };
        let words = [("starttls", EmailTls::StartTls), ("tls", EmailTls::Tls), ("none", EmailTls::None)];
        let tls = self.layers.choice(&self.way.key("tls"), &text(written.tls, "starttls"), &words);
        let password = self.layers.secret(self.way, "password", written.password, written.password_file);
        let ca_file = self.ca_file(written.ca_file);
        let port = written.port.map(|Count(port)| u16::try_from(port));
        if let Some(Err(_)) = port {
            self.layers.wrong(&self.way.key("port"), "expected a port from 1 to 65535");
        }
        let (host, from, to, tls) = (host?, from?, to?, tls?);
        if tls == EmailTls::None && !is_loopback(&host) {
            let problem = Problem::Unencrypted { host: host.clone() };
            self.layers.note(&self.way.key("tls"), Part::Value, problem);
        }
        if password.is_some() && written.username.is_none() {
            self.layers.missing(self.way, &*self.sink, "username", "\"tripline\"");
        }
        self.addresses(&from, &to);
        let username = written.username.map(|Text(username)| username);
        let port = port.and_then(Result::ok).unwrap_or_else(|| tls.port());
        Some(SinkKind::Email(Email { host, port, tls, username, password, from, to, ca_file }))
    }

    fn addresses(&mut self, from: &str, to: &[String]) {
        let from = (self.way.key("from"), from);
        let to = to.iter().enumerate().map(|(at, to)| (self.way.key("to").index(at), &**to));
        for (way, address) in std::iter::once(from).chain(to) {
            if !address.contains('@') {
                self.layers.wrong(&way, format!("\"{address}\" is no e-mail address"));
            }
        }
    }

    fn needed(&mut self, written: Option<Text>, key: &str, example: &str) -> Option<String> {
        if written.is_none() {
            self.layers.missing(self.way, &*self.sink, key, example);
        }
        written.map(|Text(text)| text)
    }

    /// The path of a file that must be there now, so that a wrong one is not found at the first alert.
    fn ca_file(&mut self, written: Option<Text>) -> Option<PathBuf> {
        let Text(written) = written?;
        let way = self.way.key("ca_file");
        let path = self.layers.path(&way, &written);
        if let Err(error) = std::fs::File::open(&path) {
            let reason = error.to_string();
            let problem = Problem::FileUnreadable { key: "ca_file".to_owned(), path: path.clone(), reason };
            self.layers.note(&way, Part::Value, problem);
        }
        Some(path)
    }
}

impl EmailTls {
    /// The port where servers expect it.
    fn port(self) -> u16 {
        match self {
            EmailTls::None => 25,
            EmailTls::StartTls => 587,
            EmailTls::Tls => 465,
        }
    }
}

fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}
