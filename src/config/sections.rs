//! Sections as written to sections that run: checks, and every default in one place.

use std::{net::SocketAddr, thread, time::Duration};

use secrecy::{ExposeSecret, SecretString};
use tracing_subscriber::filter::Targets;

use super::{
    Config, Correlate, Delivery, Detect, Enrichment, Http, Kafka, LocalLog, Logging, Retry, Rules, RulesSource, Sigma,
    Supervisor,
    error::Problem,
    input,
    layers::Layers,
    level,
    place::{Part, Way},
    sink,
    units::{Count, Flag, List, Size, Span, Text, Whole},
    written,
};
use crate::event::RECORD_BYTES_MAX;

/// Every section, in the order of `examples/tripline.toml`.
pub const SECTIONS: [&str; 15] = [
    "log",
    "kafka",
    "http",
    "syslog",
    "input",
    "rules",
    "sigma",
    "enrichment",
    "sink",
    "notify",
    "detect",
    "signals",
    "correlate",
    "supervisor",
    "logging",
];

const MIB: u64 = 1 << 20;

/// Reads everything. Where something is wrong, a default stands in and `layers` has the error.
pub fn config(layers: &mut Layers) -> Config {
    layers.refuse_other_sections(&SECTIONS);
    let kafka = kafka(layers);
    let supervisor: written::Supervisor = layers.section("supervisor");
    let grace = span(supervisor.grace, Duration::from_secs(30));
    let has_brokers = kafka.is_some();
    Config {
        local: local(layers),
        http: http(layers),
        inputs: input::inputs(layers, has_brokers),
        rules: rules(layers, has_brokers),
        sigma: sigma(layers),
        enrichment: enrichment(layers),
        sinks: sink::sinks(layers, has_brokers),
        detect: detect(layers),
        correlate: correlate(layers, has_brokers),
        supervisor: self::supervisor(layers, supervisor),
        logging: logging(layers),
        kafka,
        grace,
    }
}

/// `None` without brokers: then the log is the embedded one.
fn kafka(layers: &mut Layers) -> Option<Kafka> {
    let way = Way::to("kafka");
    let written: written::Kafka = layers.section("kafka");
    let properties = layers.properties(&way.key("properties"), written.properties);
    let replication = written.replication.map_or(-1, |Whole(number)| number);
    if !(replication == -1 || (1..=i64::from(i16::MAX)).contains(&replication)) {
        layers.wrong(&way.key("replication"), "expected -1 (the broker's default) or the number of copies");
    }
    let delivery = text(written.delivery, "exactly_once");
    let deliveries = [("exactly_once", Delivery::ExactlyOnce), ("at_least_once", Delivery::AtLeastOnce)];
    let delivery = layers.choice(&way.key("delivery"), &delivery, &deliveries);
    let Some(brokers) = written.brokers else {
        if layers.has_keys("kafka") {
            layers.missing(&way, "[kafka]", "brokers", "\"localhost:9092\"");
        }
        return None;
    };
    let plainly = Kafka::at(&brokers_text(brokers));
    Some(Kafka {
        group: text(written.group, &plainly.group),
        topic_prefix: named(layers, &way.key("topic_prefix"), text(written.topic_prefix, &plainly.topic_prefix)),
        instance: written.instance.map(|Text(instance)| instance),
        events_partitions: count(written.events_partitions, plainly.events_partitions),
        replication: written.replication.map_or(plainly.replication, |_| replication as i32),
        events_retention: span(written.events_retention, plainly.events_retention),
        signals_retention: span(written.signals_retention, plainly.signals_retention),
        alerts_retention: span(written.alerts_retention, plainly.alerts_retention),
        delivery: delivery.unwrap_or(plainly.delivery),
        properties: properties.into_iter().map(|(name, value)| (name, plain(&value))).collect(),
        ..plainly
    })
}

fn local(layers: &mut Layers) -> LocalLog {
    let way = Way::to("log");
    let written: written::Log = layers.section("log");
    let retention_bytes = size(written.retention_bytes, 4096 * MIB);
    let segment_bytes = size(written.segment_bytes, 64 * MIB);
    if segment_bytes > retention_bytes {
        layers.wrong(&way.key("segment_bytes"), "a segment can't be larger than retention_bytes");
    }
    LocalLog {
        data: layers.path(&way.key("data"), &text(written.data, "data")),
        events_partitions: count(written.events_partitions, cores()),
        retention: span(written.retention, days(7)),
        retention_bytes,
        segment_bytes,
        sync_interval: span(written.sync_interval, Duration::from_millis(5)),
        free_bytes_min: size(written.free_bytes_min, 512 * MIB),
    }
}

fn rules(layers: &mut Layers, has_brokers: bool) -> Rules {
    let way = Way::to("rules").key("source");
    let written: written::Rules = layers.section("rules");
    let sources = [("path", RulesSource::Path), ("topic", RulesSource::Topic)];
    let source = layers.choice(&way, &text(written.source, "path"), &sources).unwrap_or(RulesSource::Path);
    if source == RulesSource::Topic && !has_brokers {
        layers.wrong(&way, "rules are pushed to a Kafka topic, and [kafka] names no brokers");
    }
    Rules { source, path: layers.path(&Way::to("rules").key("path"), &text(written.path, "rules")) }
}

fn sigma(layers: &mut Layers) -> Sigma {
    let written: written::Sigma = layers.section("sigma");
    let List(paths) = written.pipelines.unwrap_or(List(Vec::new()));
    let way = Way::to("sigma").key("pipelines");
    Sigma { pipelines: paths.iter().map(|path| layers.path(&way, path)).collect() }
}

fn enrichment(layers: &mut Layers) -> Enrichment {
    let way = Way::to("enrichment");
    let written: written::Enrichment = layers.section("enrichment");
    let path = |key: &str, written: Option<Text>| written.map(|Text(path)| layers.path(&way.key(key), &path));
    Enrichment { geo: path("geo", written.geo), asn: path("asn", written.asn) }
}

fn http(layers: &mut Layers) -> Http {
    let written: written::Http = layers.section("http");
    let body_bytes_max = size(written.body_bytes_max, 16 * MIB);
    if usize::try_from(body_bytes_max).is_err() || body_bytes_max > 1 << 30 {
        layers.wrong(&Way::to("http").key("body_bytes_max"), "a body is held in memory; at most \"1GiB\"");
    }
    let allow_unauthenticated = written.allow_unauthenticated.is_some_and(|Flag(allow)| allow);
    let loopback = SocketAddr::from(([127, 0, 0, 1], 8686));
    let listen = listener(layers, &Way::to("http"), written.listen, allow_unauthenticated, loopback);
    Http { listen, allow_unauthenticated, body_bytes_max: body_bytes_max as usize }
}

fn detect(layers: &mut Layers) -> Detect {
    let written: written::Detect = layers.section("detect");
    let record_bytes_max = size(written.record_bytes_max, MIB);
    if record_bytes_max > RECORD_BYTES_MAX as u64 {
        layers.wrong(&Way::to("detect").key("record_bytes_max"), "a record is held in memory; at most \"1GiB\"");
    }
    Detect {
        batch_records_max: count(written.batch_records_max, 1_000) as usize,
        marker_interval: span(written.marker_interval, Duration::from_millis(200)),
        commit_interval: span(written.commit_interval, Duration::from_secs(1)),
        record_bytes_max: record_bytes_max.min(RECORD_BYTES_MAX as u64) as usize,
        depth_max: count(written.depth_max, 64) as usize,
        fields_max: count(written.fields_max, 1_000) as usize,
        quarantine_after: count(written.quarantine_after, 10),
        max_ahead: span(written.max_ahead, Duration::from_secs(10 * 60)),
        left_out_after: span(written.left_out_after, Duration::from_secs(60 * 60)),
    }
}

fn correlate(layers: &mut Layers, has_brokers: bool) -> Correlate {
    let signals: written::Signals = layers.section("signals");
    let written: written::Correlate = layers.section("correlate");
    let standby = written.standby.is_some_and(|Flag(follow)| follow);
    if standby && !has_brokers {
        let why = "it follows what other processes write to Kafka, and [kafka] names no brokers";
        layers.wrong(&Way::to("correlate").key("standby"), why);
    }
    Correlate {
        partitions: count(signals.partitions, 32),
        batch_records_max: count(written.batch_records_max, 1_000) as usize,
        commit_interval: span(written.commit_interval, Duration::from_millis(50)),
        keys_per_rule_max: count(written.keys_per_rule_max, 1_000_000) as usize,
        state_bytes_max: size(written.state_bytes_max, 1024 * MIB),
        signals_per_key_max: count(written.signals_per_key_max, 10_000) as usize,
        evidence_max: count(written.evidence_max, 10) as usize,
        list_entries_max: count(written.list_entries_max, 10_000) as usize,
        standby,
        standby_bytes_max: size(written.standby_bytes_max, 1024 * MIB),
    }
}

fn supervisor(layers: &mut Layers, written: written::Supervisor) -> Supervisor {
    let (backoff_min, backoff_max) = backoff(
        layers,
        &Way::to("supervisor"),
        span(written.backoff_min, Duration::from_millis(100)),
        span(written.backoff_max, Duration::from_secs(30)),
    );
    Supervisor {
        backoff_min,
        backoff_max,
        restarts_max: count(written.restarts_max, 10),
        period: span(written.period, Duration::from_secs(10 * 60)),
    }
}

fn logging(layers: &mut Layers) -> Logging {
    let way = Way::to("logging");
    let written: written::Logging = layers.section("logging");
    let level = level::targets(&text(written.level, "info")).unwrap_or_else(|reason| {
        layers.wrong(&way.key("level"), reason);
        Targets::default()
    });
    let format = text(written.format, "text");
    let json = layers.choice(&way.key("format"), &format, &[("text", false), ("json", true)]);
    Logging { level, json: json.unwrap_or_default() }
}

/// The defaults that `[notify]` gives to all sinks.
pub fn notify(layers: &mut Layers) -> (Duration, Retry) {
    let written: written::Notify = layers.section("notify");
    let (backoff_min, backoff_max) = backoff(
        layers,
        &Way::to("notify"),
        span(written.backoff_min, Duration::from_millis(500)),
        span(written.backoff_max, Duration::from_secs(60)),
    );
    let retry = Retry { attempts_max: count(written.attempts_max, 10), backoff_min, backoff_max };
    (span(written.timeout, Duration::from_secs(10)), retry)
}

/// An address to listen on, in the table at `way`: on loopback, unless the operator says that it may be open.
pub fn listener(
    layers: &mut Layers,
    way: &Way,
    written: Option<Text>,
    allow_unauthenticated: bool,
    default: SocketAddr,
) -> SocketAddr {
    let Some(Text(written)) = written else { return default };
    let way = way.key("listen");
    let Ok(address) = written.parse::<SocketAddr>() else {
        layers.wrong(&way, format!("expected an IP address and port such as \"{default}\", found \"{written}\""));
        return default;
    };
    if !address.ip().to_canonical().is_loopback() && !allow_unauthenticated {
        layers.note(&way, Part::Value, Problem::Exposed { address: address.to_string() });
    }
    address
}

/// Least and greatest backoff of the table at `way`.
pub fn backoff(layers: &mut Layers, way: &Way, min: Duration, max: Duration) -> (Duration, Duration) {
    if min.is_zero() || min > max {
        layers.wrong(&way.key("backoff_min"), "must be more than zero and not more than backoff_max");
    }
    (min, max)
}

/// The name of an input, a sink or a topic, fit for a URL, a metric's label and a broker.
pub fn named(layers: &mut Layers, way: &Way, name: String) -> String {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if name.len() > 200 || !name.chars().all(allowed) {
        layers
            .wrong(way, format!("\"{name}\" won't do as a name: letters, digits, '.', '_' and '-' only, at most 200"));
    }
    name
}

pub fn brokers_text(List(brokers): List) -> String {
    brokers.join(",")
}

pub fn plain(secret: &SecretString) -> String {
    secret.expose_secret().to_owned()
}

pub fn text(written: Option<Text>, default: &str) -> String {
    written.map_or_else(|| default.to_owned(), |Text(text)| text)
}

pub fn span(written: Option<Span>, default: Duration) -> Duration {
    written.map_or(default, |Span(span)| span)
}

pub fn count(written: Option<Count>, default: u32) -> u32 {
    written.map_or(default, |Count(count)| count)
}

fn size(written: Option<Size>, default: u64) -> u64 {
    written.map_or(default, |Size(size)| size)
}

fn days(days: u64) -> Duration {
    Duration::from_secs(days * 24 * 60 * 60)
}

pub fn cores() -> u32 {
    thread::available_parallelism().map_or(1, |cores| cores.get() as u32)
}
