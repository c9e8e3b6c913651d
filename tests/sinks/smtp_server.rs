//! Starts `smtp_server.py` and collects what it accepted.

use std::{
    collections::BTreeSet,
    io::{BufRead, BufReader, Read},
    net::TcpListener,
    process::{Child, ChildStdout, Command, Stdio},
    sync::{
        Mutex,
        mpsc::{self, Receiver},
    },
};

use serde_json::Value;

use super::{PATIENCE, authority::Authority};

/// A message as the server accepted it.
#[derive(Debug, Clone, serde::Deserialize)]
pub struct Mail {
    pub from: String,
    pub to: Vec<String>,
    pub data: String,
    pub tls: bool,
    pub user: Option<String>,
    /// The client's port: which connection it came by.
    pub peer: u16,
}

impl Mail {
    /// A header that stands on one line.
    pub fn header(&self, name: &str) -> &str {
        let head = self.data.split("\r\n\r\n").next().unwrap_or_default();
        let value = head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        value.unwrap_or_else(|| panic!("no {name} in {head}"))
    }
}

/// Ends when it is dropped.
pub struct SmtpServer {
    pub port: u16,
    child: Child,
    lines: Receiver<String>,
}

impl SmtpServer {
    pub fn start(options: &[&str]) -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/sinks/smtp_server.py");
        let mut child = Command::new(python())
            .arg(script)
            .args(options)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the Python that was just asked runs");
        let lines = follow(child.stdout.take().expect("its output is piped"));
        let Ok(first) = lines.recv_timeout(PATIENCE) else {
            child.kill().ok();
            let mut said = String::new();
            child.stderr.take().expect("its errors are piped").read_to_string(&mut said).ok();
            panic!("the SMTP server of the mail tests did not start: {said}");
        };
        let started: Value = serde_json::from_str(&first).unwrap();
        let port = started["port"].as_u64().and_then(|port| u16::try_from(port).ok()).expect("a port");
        SmtpServer { port, child, lines }
    }

    pub fn start_tls(kind: &str, authority: &Authority, options: &[&str]) -> Self {
        let (certificate, key) = (authority.certificate_file(), authority.key_file());
        let mut all = vec!["--tls", kind, "--certificate", certificate.to_str().unwrap()];
        all.extend(["--key", key.to_str().unwrap()]);
        all.extend(options);
        Self::start(&all)
    }

    /// Ends the server and gives every message that it accepted, in order.
    pub fn stop(mut self) -> Vec<Mail> {
        self.end();
        let lines = std::mem::replace(&mut self.lines, mpsc::channel().1);
        lines.iter().map(|line| serde_json::from_str(&line).unwrap()).collect()
    }

    fn end(&mut self) {
        // It ends with its standard input; the kill is for one that does not.
        drop(self.child.stdin.take());
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Drop for SmtpServer {
    fn drop(&mut self) {
        self.end();
    }
}

/// A free port below those that the system gives to others, so that it is still free when the server comes back.
pub fn port_for_restarts() -> u16 {
    let start = u16::try_from(std::process::id() % 10_000).expect("below 10,000");
    let mut ports =
        (0..10_000).map(|n| 20_000 + (start + n) % 10_000).filter(|port| TAKEN.lock().unwrap().insert(*port));
    ports.find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).expect("a free port")
}

/// By tests of this process.
static TAKEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());

/// The Python that has the server's module: the one of the PATH may be another than the system's, for which the
/// system's packages are.
fn python() -> &'static str {
    let has_module = |python: &&str| {
        let asked = Command::new(python).args(["-c", "import aiosmtpd"]).stderr(Stdio::null()).status();
        asked.is_ok_and(|status| status.success())
    };
    ["python3", "/usr/bin/python3"]
        .into_iter()
        .find(has_module)
        .expect("the mail tests need an SMTP server, Python's aiosmtpd: apt-get install python3-aiosmtpd")
}

/// Hands on each line that the server prints; the channel closes when the server ends.
fn follow(output: ChildStdout) -> Receiver<String> {
    let (sender, lines) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    lines
}
