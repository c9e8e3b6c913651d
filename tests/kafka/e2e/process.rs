//! `tripline run` as a process: started, asked, signalled, killed.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;
use tripline::telemetry::{LineState, Status};

use crate::kafka::broker::{self, broker, topic_records, topic_records_at, unique_prefix};

/// How long anything may take on a machine that is busy with other tests.
pub const PATIENCE: Duration = Duration::from_secs(90);
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Looks until there is something, a bounded time.
pub fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "no {what} after {PATIENCE:?}");
        thread::sleep(LOOK_AGAIN);
    }
}

/// A folder with rules and a configuration, and the topics and groups of one prefix: what several processes share.
pub struct Site {
    folder: TempDir,
    pub prefix: String,
    /// Where the topics are.
    pub bootstrap: String,
}

impl Site {
    /// On the plain listener. `rest` is what the configuration has besides `[kafka]`.
    pub fn new(rules: &str, rest: &str) -> Site {
        let prefix = unique_prefix();
        let head = format!(
            "[kafka]\nbrokers = [\"{}\"]\ngroup = \"{prefix}\"\ntopic_prefix = \"{prefix}\"\nreplication = 1\n\
             events_partitions = 2\n[kafka.properties]\n\"session.timeout.ms\" = 6000\n\
             \"heartbeat.interval.ms\" = 500\n",
            broker().bootstrap
        );
        Site::with(prefix, rules, &format!("{head}{rest}"))
    }

    pub fn with(prefix: String, rules: &str, configuration: &str) -> Site {
        Site::on(&broker().bootstrap, prefix, rules, configuration)
    }

    /// With its topics on any broker.
    pub fn on(bootstrap: &str, prefix: String, rules: &str, configuration: &str) -> Site {
        let folder = tempfile::tempdir().expect("a folder");
        fs::create_dir(folder.path().join("rules")).expect("a folder for rules");
        let site = Site { folder, prefix, bootstrap: bootstrap.to_owned() };
        site.write_rules(rules);
        let tail = "\n[http]\nlisten = \"127.0.0.1:0\"\n[signals]\npartitions = 6\n[logging]\nformat = \"json\"\n";
        let configuration = configuration.replace("PREFIX", &site.prefix);
        fs::write(site.path().join("tripline.toml"), format!("{configuration}{tail}")).expect("a configuration");
        site
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn rules(&self) -> PathBuf {
        self.path().join("rules/rules.rhai")
    }

    pub fn write_rules(&self, rules: &str) {
        fs::write(self.rules(), rules).expect("the rules");
    }

    /// Starts a process and waits until it says that it is ready.
    pub fn start(&self) -> Process {
        self.start_as(&[])
    }

    pub fn start_as(&self, environment: &[(&str, &str)]) -> Process {
        self.start_with(&[], environment)
    }

    pub fn start_with(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Process {
        let mut process = self.spawn_with(arguments, environment);
        let ready = until("process that is ready", || {
            if let Some(status) = process.child.try_wait().expect("its state") {
                panic!("the process ended with {status}:\n{}", process.log());
            }
            process.said("ready")
        });
        process.http = ready["http"].as_str().expect("its address").to_owned();
        process
    }

    /// Starts a process that may not come up.
    pub fn spawn(&self, environment: &[(&str, &str)]) -> Process {
        self.spawn_with(&[], environment)
    }

    fn spawn_with(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Process {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let output = |name: &str| self.path().join(format!("{name}-{number}"));
        let (log, out) = (output("stderr"), output("stdout"));
        let child = Command::new(env!("CARGO_BIN_EXE_tripline"))
            .args(["run", "--config"])
            .arg(self.path().join("tripline.toml"))
            .args(arguments)
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(File::create(&out).expect("a file"))
            .stderr(File::create(&log).expect("a file"))
            .spawn()
            .expect("the program starts");
        Process { child, http: String::new(), log, out }
    }

    /// The lines with that message in the logs of all processes that there were.
    pub fn said_by_any(&self, message: &str) -> Vec<Value> {
        let files = fs::read_dir(self.path()).expect("the folder").map(|entry| entry.expect("an entry").path());
        let logs =
            files.filter(|path| path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"stderr-")));
        logs.flat_map(|path| lines_with(message, &fs::read_to_string(path).expect("a log"))).collect()
    }

    pub fn topic(&self, name: &str) -> String {
        format!("{}.{name}", self.prefix)
    }

    /// Every alert of the alerts topic, in the order of its partitions.
    pub fn alerts(&self) -> Vec<Value> {
        json(topic_records_at(&self.bootstrap, &self.topic("alerts")))
    }

    /// Waits until the alerts topic has an alert of every one of `ids`; gives all that it has.
    pub fn alerts_with(&self, ids: &BTreeSet<String>) -> Vec<Value> {
        let mut missing = ids.clone();
        let deadline = Instant::now() + PATIENCE;
        loop {
            let alerts = self.alerts();
            missing.retain(|id| !alerts.iter().any(|alert| alert["id"] == **id));
            if missing.is_empty() {
                return alerts;
            }
            assert!(Instant::now() < deadline, "{} of {} alerts are missing", missing.len(), ids.len());
            thread::sleep(LOOK_AGAIN);
        }
    }
}

/// The lines of a log with that message. A process that was killed may have broken off in its last one.
fn lines_with(message: &str, log: &str) -> Vec<Value> {
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter(|line| line["message"] == message).collect()
}

/// Every value of a topic as JSON.
pub fn values(topic: &str) -> Vec<Value> {
    json(topic_records(topic))
}

fn json(records: Vec<broker::Read>) -> Vec<Value> {
    let json = |value: Option<Vec<u8>>| serde_json::from_slice(&value.unwrap_or_default()).expect("JSON");
    records.into_iter().map(|(_, _, _, value)| json(value)).collect()
}

/// Sends a process a signal, as `kill` names it.
pub fn signal(child: &Child, name: &str) {
    let pid = child.id().to_string();
    let sent = Command::new("kill").args([name, &pid]).status().expect("kill runs");
    assert!(sent.success(), "no process {pid} for {name}");
}

/// A running server; killed when dropped.
pub struct Process {
    child: Child,
    http: String,
    log: PathBuf,
    out: PathBuf,
}

impl Process {
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).expect("its log")
    }

    /// Everything that it wrote.
    pub fn output(&self) -> String {
        [self.log(), fs::read_to_string(&self.out).expect("its output")].concat()
    }

    /// The newest line of its log with that message.
    pub fn said(&self, message: &str) -> Option<Value> {
        lines_with(message, &self.log()).pop()
    }

    pub fn status(&self) -> Status {
        serde_json::from_str(&self.ask("GET /v1/status", "")).expect("a status")
    }

    /// The partitions that it works on in a stage, as (topic, partition).
    pub fn lines(&self, stage: &str) -> BTreeSet<(String, u32)> {
        let status = self.status();
        let running = status.lines.iter().filter(|line| *line.stage == *stage && line.state == LineState::Running);
        running.map(|line| (line.topic.to_string(), line.partition)).collect()
    }

    pub fn post(&self, input: &str, body: &str) -> Value {
        serde_json::from_str(&self.ask(&format!("POST /v1/events?input={input}"), body)).expect("an answer")
    }

    fn ask(&self, what: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(&self.http).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time limit");
        let length = body.len();
        let head = format!("{what} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n");
        stream.write_all((head + body).as_bytes()).expect("it takes the request");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
        assert!(head.starts_with("HTTP/1.1 200"), "{answer}");
        body.to_owned()
    }

    pub fn reload(&self) {
        signal(&self.child, "-HUP");
    }

    /// SIGSTOP: as a machine that is suspended.
    pub fn suspend(&self) {
        signal(&self.child, "-STOP");
    }

    pub fn go_on(&self) {
        signal(&self.child, "-CONT");
    }

    /// SIGKILL.
    pub fn kill(mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ends");
    }

    /// SIGTERM; waits for the end.
    pub fn terminate(&mut self) -> ExitStatus {
        signal(&self.child, "-TERM");
        self.ended()
    }

    /// How it ended, if it has.
    pub fn has_ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("its state")
    }

    pub fn ended(&mut self) -> ExitStatus {
        until("end of the process", || self.child.try_wait().expect("its state"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It has ended already where the test asked for that.
        if self.child.kill().is_ok() {
            self.child.wait().ok();
        }
        if thread::panicking() {
            eprintln!("--- {} said:\n{}", self.http, self.log());
        }
    }
}
