//! `tripline run` on the embedded log, as its operators see it.

mod crash;
mod disk;
mod feeds;
mod life;
mod same;
mod surface;

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
    process::{Child, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use tripline::{
    alert::Alert,
    config::Config,
    log::{Log, Start, TopicPartition, local::LocalLog},
};

use super::{EACH, Folder, event, events, json_lines};

/// For anything that a server is waited for; a busy machine takes its time.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until `condition` gives something.
#[track_caller]
fn eventually<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = condition() {
            return found;
        }
        assert!(started.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// A configuration for tests: any free ports, small logs, short waits; alerts as JSON on stdout and in `alerts.ndjson`.
/// `sections` adds keys to a table, or, as `+name`, a table to a list.
fn configuration(sections: &[(&str, &str)]) -> String {
    let mut tables: BTreeMap<&str, String> = [
        ("http", "listen = \"127.0.0.1:0\"\n"),
        ("log", "events_partitions = 2\nfree_bytes_min = \"1MiB\"\n"),
        ("signals", "partitions = 4\n"),
        ("detect", "marker_interval = \"50ms\"\ncommit_interval = \"50ms\"\n"),
        ("correlate", "commit_interval = \"20ms\"\n"),
        ("logging", "format = \"json\"\n"),
        ("supervisor", "grace = \"20s\"\n"),
    ]
    .map(|(name, keys)| (name, keys.to_owned()))
    .into();
    let mut lists = String::new();
    for (name, keys) in sections {
        match name.strip_prefix('+') {
            Some(list) => lists += &format!("[[{list}]]\n{keys}\n"),
            None => tables.entry(name).or_default().push_str(keys),
        }
    }
    let tables: String = tables.iter().map(|(name, keys)| format!("[{name}]\n{keys}\n")).collect();
    format!(
        "{tables}[[sink]]\nname = \"out\"\ntype = \"stdout\"\nformat = \"json\"\n\
         [[sink]]\nname = \"archive\"\ntype = \"file\"\npath = \"alerts.ndjson\"\n{lists}"
    )
}

/// An input of type http whose time soon goes on.
const HTTP: (&str, &str) =
    ("+input", "name = \"http\"\ntype = \"http\"\nlateness = \"1s\"\nidle_timeout = \"500ms\"\n");

/// For the inputs that there are without any: one of them listens for syslog.
const SYSLOG: (&str, &str) = ("syslog", "listen = \"127.0.0.1:0\"\n");

/// A running server; killed when dropped.
struct Server {
    child: Child,
    stdout: Lines,
    stderr: Lines,
    http: SocketAddr,
}

/// What a stream said so far.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

impl Lines {
    fn of(stream: impl Read + Send + 'static) -> Self {
        let lines = Lines::default();
        let into = lines.clone();
        thread::spawn(move || {
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                into.0.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            }
        });
        lines
    }

    fn all(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The lines that are JSON objects with this `message`.
    fn saying(&self, message: &str) -> Vec<Value> {
        let lines = self.all().into_iter().filter_map(|line| serde_json::from_str::<Value>(&line).ok());
        lines.filter(|line| line["message"] == message).collect()
    }
}

impl Server {
    /// Starts the server in `folder`, on its `tripline.toml`, and waits until it is ready.
    #[track_caller]
    fn start(folder: &Folder) -> Self {
        Self::start_as(folder, "run --config tripline.toml")
    }

    #[track_caller]
    fn start_as(folder: &Folder, arguments: &str) -> Self {
        let server = Self::listen(folder, arguments);
        eventually("the server is ready", || server.stderr.saying("ready").pop());
        server
    }

    /// Starts the server and waits until it listens; the stages may have to wait longer.
    #[track_caller]
    fn listen(folder: &Folder, arguments: &str) -> Self {
        let mut command = folder.command(arguments);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts");
        let stdout = Lines::of(child.stdout.take().expect("a pipe"));
        let stderr = Lines::of(child.stderr.take().expect("a pipe"));
        let mut server = Server { child, stdout, stderr, http: SocketAddr::from(([127, 0, 0, 1], 0)) };
        let said = eventually("the server listens", || {
            if let Some(status) = server.child.try_wait().expect("a child") {
                panic!("the server ended with {status}: {:#?}", server.stderr.all());
            }
            server.stderr.saying("HTTP").pop()
        });
        server.http = said["address"].as_str().and_then(|address| address.parse().ok()).expect("an address");
        server
    }

    /// Where the input of type syslog listens.
    fn syslog(&self) -> SocketAddr {
        let said = self.stderr.saying("syslog over TCP and UDP");
        said[0]["address"].as_str().and_then(|address| address.parse().ok()).expect("an address")
    }

    fn get(&self, path: &str) -> Answer {
        Answer::to(self.http, &format!("GET {path} HTTP/1.1"), b"").expect("the server answers")
    }

    fn post(&self, path: &str, body: &str) -> Answer {
        Answer::to(self.http, &format!("POST {path} HTTP/1.1"), body.as_bytes()).expect("the server answers")
    }

    /// Posts events that have to be taken.
    #[track_caller]
    fn feed(&self, path: &str, body: &str) {
        let answer = self.post(path, body);
        let taken = format!("{{\"accepted\":{},\"rejected\":0}}", body.lines().count());
        assert_eq!((answer.status, &*answer.body), (200, &*taken));
    }

    fn status(&self) -> Value {
        serde_json::from_str(&self.get("/v1/status").body).expect("status is JSON")
    }

    /// Waits until as many alerts as that are on stdout, and gives them.
    #[track_caller]
    fn alerts(&self, count: usize) -> Vec<Value> {
        let found = eventually(&format!("{count} alerts"), || Some(self.stdout.all()).filter(|all| all.len() >= count));
        json_lines(&found.join("\n"))
    }

    fn signal(&self, name: &str) {
        let sent = std::process::Command::new("sh")
            .args(["-c", &format!("kill -{name} {}", self.child.id())])
            .status()
            .expect("a shell");
        assert!(sent.success());
    }

    /// Asks the server to stop; gives its exit code and everything that it said on stderr.
    #[track_caller]
    fn stop(mut self) -> (Option<i32>, Vec<String>) {
        self.signal("TERM");
        let status = eventually("the server ends", || self.child.try_wait().expect("a child"));
        (status.code(), self.stderr.all())
    }

    #[track_caller]
    fn stops_well(self) {
        let (code, said) = self.stop();
        assert_eq!(code, Some(0), "{said:#?}");
        assert!(!said.iter().any(|line| line.contains("panicked")), "{said:#?}");
    }

    /// As a power cut or the kernel would end it.
    fn kill(mut self) {
        self.child.kill().expect("a child");
        self.child.wait().expect("a child");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Where it has ended already there is nothing to do.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An HTTP answer.
#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    /// # Errors
    /// When the connection breaks before the whole answer came.
    fn to(address: SocketAddr, request: &str, body: &[u8]) -> std::io::Result<Self> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let head =
            format!("{request}\r\nhost: {address}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
        stream.write_all(&[head.as_bytes(), body].concat())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let broken = || std::io::Error::other(format!("no whole answer: {answer:?}"));
        let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(broken)?;
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(broken)?;
        Ok(Answer { status, head: head.to_lowercase(), body: body.to_owned() })
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")))
    }
}

/// The embedded log of a server that has stopped.
struct Stopped(Arc<LocalLog>);

impl Stopped {
    fn at(data: &Path) -> Self {
        let mut settings = Config::default().local;
        settings.data = data.to_owned();
        settings.free_bytes_min = 0;
        Stopped(LocalLog::open(&settings).expect("the server let the data folder go"))
    }

    /// Every record of a topic, by partition and offset.
    fn records(&self, topic: &str) -> Vec<Vec<u8>> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let mut found = Vec::new();
            for partition in 0..self.0.partitions(topic).await.expect("the topic") {
                let at = TopicPartition { topic: topic.to_owned(), partition };
                let (first, end) = self.0.offsets(&at).await.expect("offsets");
                let mut reader = self.0.reader(&at, Start::Earliest).await.expect("a reader");
                let mut next = first;
                while next < end {
                    reader.ready().await.expect("records");
                    let mut take =
                        |record: tripline::log::RecordRef<'_>| found.extend(record.value.map(<[u8]>::to_vec));
                    next = reader.drain(1_000, &mut take).expect("records").next;
                }
            }
            found
        })
    }

    /// What the alerts log holds.
    fn alerts(&self) -> Vec<Alert> {
        let records = self.records("tripline.alerts").into_iter();
        records.map(|record| serde_json::from_slice(&record).expect("an alert")).collect()
    }

    /// The earliest offset of a topic's partitions, and the records that are still there, summed up.
    fn extent(&self, topic: &str) -> (u64, u64) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let (mut first, mut there) = (0, 0);
            for partition in 0..self.0.partitions(topic).await.expect("the topic") {
                let at = TopicPartition { topic: topic.to_owned(), partition };
                let (from, end) = self.0.offsets(&at).await.expect("offsets");
                (first, there) = (first + from, there + end - from);
            }
            (first, there)
        })
    }
}
