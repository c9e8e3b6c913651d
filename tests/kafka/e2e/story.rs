//! The input that every case tells: two inputs, disorder, ties, keys that cross partitions, and rules of every kind.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    producer::{BaseProducer, BaseRecord, Producer},
};
use serde_json::Value;

use super::process::Site;
use crate::kafka::broker::broker;

/// Single events, counts, a sequence, distinct values, suppression, one input and both.
pub const RULES: &str = r#"
rule(#{ id: "root-sudo", title: "sudo to root", severity: "medium", input: "auth",
    event: |e| e.event.action == "sudo" && e.user.target == "root", by: ["user.name"] });

rule(#{ id: "many-failures", title: "Many failures", severity: "high", input: "auth",
    events: #{ failure: |e| e.event.action == "login" && e.event.outcome == "failure" },
    by: ["source.ip"], within: "1m", when: |w| w.failure.count >= 4,
    alert: |w| #{ title: `${w.failure.count} failures from ${w.key[0]}`, users: w.failure.distinct("user.name") } });

rule(#{ id: "guessed", title: "A login after failures", severity: "critical", input: "auth",
    events: #{ failure: |e| e.event.action == "login" && e.event.outcome == "failure",
               success: |e| e.event.action == "login" && e.event.outcome == "success" },
    by: ["user.name"], within: "2m", sequence: [times(3, "failure"), "success"] });

rule(#{ id: "spray", title: "Many users from one address", severity: "high", input: "auth",
    events: #{ failure: |e| e.event.action == "login" && e.event.outcome == "failure" },
    by: ["source.ip"], within: "1m", when: |w| w.failure.distinct("user.name") >= 3, suppress: "40s" });

rule(#{ id: "scan-and-login", title: "A scanner logs in", severity: "high",
    events: #{ login: |e| e.event.action == "login" && e.event.outcome == "success",
               scan: |e| e.event.action == "http" && e.http.response.status_code == 404 },
    by: ["source.ip"], within: "90s", all_of: ["login", times(2, "scan")] });

rule(#{ id: "errors", title: "Server errors", severity: "low", input: "web",
    events: #{ error: |e| e.http.response.status_code >= 500 }, by: ["url.path"], within: "2m",
    when: |w| w.error.count >= 3 });
"#;

pub const LATENESS: &str = "2s";

/// `auth` and `web`, with so much patience for a partition with nothing new.
pub fn inputs(idle_timeout: &str) -> String {
    let input = |name: &str| {
        format!(
            "[[input]]\nname = \"{name}\"\ntype = \"kafka\"\ntopics = [\"PREFIX.{name}\"]\nformat = \"json\"\n\
             lateness = \"{LATENESS}\"\nidle_timeout = \"{idle_timeout}\"\n"
        )
    };
    [input("auth"), input("web")].concat()
}

/// A record on its way into a topic.
#[derive(Debug, Clone)]
pub struct Entry {
    pub input: &'static str,
    /// The record's key: events that tie for a key of a rule share it.
    key: u64,
    pub bytes: Vec<u8>,
}

/// Numbers that look drawn, the same ones each time.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Dice {
        // Zero would only ever give zero.
        Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// One of so many sides, from 0.
    pub fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

/// The story, about 1.2 entries for each of `scenes`, in the order in which they are written. Some are broken off.
pub fn story(scenes: u64) -> Vec<Entry> {
    let mut dice = Dice(0x5eed_0f7a_1e57);
    let mut entries: Vec<(u64, Entry)> = Vec::new();
    for scene in 0..scenes {
        // No two scenes share a time; what ties is told in one scene.
        let time_ms = scene * 1_700 + 1 + dice.roll(1_600);
        // At most 1.8 s of disorder: within the lateness.
        let written_at = time_ms + dice.roll(1_800);
        let key = dice.roll(23);
        let mut say = |input: &'static str, event: String| {
            let bytes = format!("{{\"@timestamp\":\"{}\",{event}}}", time(time_ms)).into_bytes();
            entries.push((written_at, Entry { input, key, bytes }));
        };
        let (user, address) = (dice.roll(9), dice.roll(11));
        match dice.roll(20) {
            0..=8 => say("auth", login("failure", user, address)),
            9..=11 => say("auth", login("success", user, address)),
            12 => say("auth", sudo(user)),
            // Ties: for one key of every rule, for two keys, across inputs.
            13 => {
                say("auth", login("failure", user, address));
                say("auth", login("success", user, address));
            }
            14 => {
                say("auth", login("failure", user, address));
                say("auth", login("failure", (user + 1) % 9, (address + 1) % 11));
            }
            15 => {
                say("web", http(404, user, address));
                say("auth", login("success", user, address));
            }
            16 => say("web", http(500, user % 3, address)),
            _ => say("web", http(404, user, address)),
        }
        if scene % 97 == 5 {
            entries.push((written_at, Entry::broken("auth", key)));
        }
    }
    entries.sort_by_key(|(written_at, _)| *written_at);
    entries.into_iter().map(|(_, entry)| entry).collect()
}

/// An event that no rule knows, so long after the last scene.
pub fn epilogue(scenes: u64, after: Duration) -> Vec<u8> {
    let millis = scenes * 1_700 + after.as_millis() as u64;
    format!("{{\"@timestamp\":\"{}\",\"message\":\"the end\"}}", time(millis)).into_bytes()
}

/// Somebody knocks, so long after the beginning.
pub fn knock(user: u64, millis: u64) -> Entry {
    let bytes = format!(
        r#"{{"@timestamp":"{}","event":{{"action":"knock"}},"user":{{"name":"knocker {user}"}}}}"#,
        time(millis)
    );
    Entry { input: "auth", key: user, bytes: bytes.into_bytes() }
}

fn time(millis: u64) -> String {
    let start = jiff::Timestamp::constant(1_709_251_200, 0);
    (start + Duration::from_millis(millis)).to_string()
}

fn login(outcome: &str, user: u64, address: u64) -> String {
    format!(
        r#""event":{{"action":"login","outcome":"{outcome}"}},"user":{{"name":"u{user}"}},"source":{{"ip":"198.51.100.{address}"}}"#
    )
}

fn sudo(user: u64) -> String {
    format!(r#""event":{{"action":"sudo"}},"user":{{"name":"u{user}","target":"root"}}"#)
}

fn http(code: u64, path: u64, address: u64) -> String {
    format!(
        r#""event":{{"action":"http"}},"http":{{"response":{{"status_code":{code}}}}},"url":{{"path":"/p{path}"}},"source":{{"ip":"198.51.100.{address}"}}"#
    )
}

/// The entries of each partition of each input, by the hash of the record's key, in order.
pub fn split(entries: &[Entry], partitions: u32) -> BTreeMap<(&'static str, u32), Vec<&[u8]>> {
    let mut parts: BTreeMap<_, Vec<&[u8]>> = BTreeMap::new();
    for entry in entries {
        parts.entry((entry.input, entry.partition(partitions))).or_default().push(&entry.bytes);
    }
    parts
}

impl Entry {
    /// A record that breaks off.
    pub fn broken(input: &'static str, key: u64) -> Entry {
        Entry { input, key, bytes: b"{\"@timestamp\":\"2024-03-".into() }
    }

    pub fn partition(&self, partitions: u32) -> u32 {
        (self.key % u64::from(partitions)) as u32
    }
}

/// A client of the broker that is not the one under test.
pub struct Writer {
    producer: BaseProducer,
}

impl Writer {
    pub fn new() -> Writer {
        Writer::at(&broker().bootstrap)
    }

    /// Writes where the site's topics are.
    pub fn of(site: &Site) -> Writer {
        Writer::at(&site.bootstrap)
    }

    fn at(bootstrap: &str) -> Writer {
        let producer = ClientConfig::new()
            .set("bootstrap.servers", bootstrap)
            .set("enable.idempotence", "true")
            .create()
            .expect("a producer");
        Writer { producer }
    }

    pub fn write(&self, topic: &str, partition: u32, bytes: &[u8]) {
        let record = BaseRecord::<(), [u8]>::to(topic).partition(partition as i32).payload(bytes);
        self.producer.send(record).map_err(|(error, _)| error).expect("room for the record");
    }

    pub fn write_keyed(&self, topic: &str, partition: u32, key: &[u8], bytes: &[u8]) {
        let record = BaseRecord::<[u8], [u8]>::to(topic).partition(partition as i32).key(key).payload(bytes);
        self.producer.send(record).map_err(|(error, _)| error).expect("room for the record");
    }

    /// Serves deliveries, for so long.
    pub fn serve(&self, time: Duration) {
        self.producer.poll(time);
    }

    pub fn flush(&self) {
        self.producer.flush(Duration::from_secs(60)).expect("the records are delivered");
    }

    /// Writes each entry to its partition of its input's topic.
    pub fn tell(&self, site: &Site, entries: &[Entry], partitions: u32) {
        for entry in entries {
            self.write(&site.topic(entry.input), entry.partition(partitions), &entry.bytes);
        }
        self.flush();
    }

    /// Ends every partition with `bytes`.
    pub fn end(&self, site: &Site, bytes: &[u8], partitions: u32) {
        for partition in 0..partitions {
            ["auth", "web"].iter().for_each(|input| self.write(&site.topic(input), partition, bytes));
        }
        self.flush();
    }

    /// What [`Writer::tell`] does, over `span` and from a thread of its own.
    pub fn tell_slowly(site: &Site, entries: Vec<Entry>, partitions: u32, span: Duration) -> thread::JoinHandle<()> {
        const STEPS: u32 = 100;
        let topics: BTreeMap<&str, String> = ["auth", "web"].map(|input| (input, site.topic(input))).into();
        thread::spawn(move || {
            let (writer, begun) = (Writer::new(), Instant::now());
            for (step, some) in (0..).zip(entries.chunks(entries.len().div_ceil(STEPS as usize))) {
                let due = begun + span * step / STEPS;
                writer.serve(due.saturating_duration_since(Instant::now()));
                for entry in some {
                    writer.write(&topics[entry.input], entry.partition(partitions), &entry.bytes);
                }
            }
            writer.flush();
        })
    }
}

/// Makes the topics of both inputs, as a user would have.
pub fn make_topics(site: &Site, partitions: u32) {
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", &site.bootstrap).create().expect("an admin client");
    let names = ["auth", "web"].map(|input| site.topic(input));
    let topics = names.each_ref().map(|name| NewTopic::new(name, partitions as i32, TopicReplication::Fixed(1)));
    let made = admin.create_topics(&topics, &AdminOptions::new());
    let made = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(made);
    made.expect("an answer").into_iter().for_each(|topic| drop(topic.expect("the topic is made")));
}

/// What `tripline replay` says of the same partitions.
pub struct Replayed {
    pub alerts: Vec<Value>,
    pub dead_letters: Vec<Value>,
}

pub fn replay(site: &Site, entries: &[Entry], partitions: u32) -> Replayed {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |((input, partition), lines): ((&str, u32), Vec<&[u8]>)| -> String {
        let path = folder.path().join(format!("{input}-{partition}.ndjson"));
        fs::write(&path, [lines.join(&b'\n'), vec![b'\n']].concat()).expect("a file");
        format!("{input}={}", path.display())
    };
    let files: Vec<String> = split(entries, partitions).into_iter().map(write).collect();
    let letters = folder.path().join("dead.ndjson");
    let mut replay = Command::new(env!("CARGO_BIN_EXE_tripline"));
    replay.arg("replay").arg("--rules").arg(site.rules());
    replay.args(["--format", "json", "--decode", "json", "--lateness", LATENESS]).arg("--dead-letters").arg(&letters);
    replay.args(files.iter().flat_map(|file| ["--input", file]));
    let output = replay.output().expect("the program starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let dead_letters = lines_of(&fs::read_to_string(letters).expect("the dead letters"));
    Replayed { alerts: opening(lines_of(&String::from_utf8_lossy(&output.stdout))), dead_letters }
}

fn lines_of(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// Those that fired or opened: when an alert closes depends on how far time goes on after the last event.
pub fn opening(alerts: Vec<Value>) -> Vec<Value> {
    alerts.into_iter().filter(|alert| alert["state"] != "closed").collect()
}

pub fn ids(alerts: &[Value]) -> BTreeSet<String> {
    alerts.iter().map(|alert| alert["id"].as_str().expect("an id").to_owned()).collect()
}

/// Each alert whole, in an order of its own.
pub fn sorted(alerts: &[Value]) -> Vec<String> {
    let mut texts: Vec<String> = alerts.iter().map(Value::to_string).collect();
    texts.sort();
    texts
}

/// (rule, key, trigger time, state): what does not depend on the number of partitions.
pub fn essence(alerts: &[Value]) -> Vec<String> {
    let of = |alert: &Value| {
        format!("{} {} {} {}", alert["rule"]["id"], alert["key"], alert["trigger"]["time"], alert["state"])
    };
    let mut texts: Vec<String> = alerts.iter().map(of).collect();
    texts.sort();
    texts
}
