//! What users see: the program itself, its output, its exit codes and its files.

mod bench;
mod check;
mod configuration;
mod databases;
mod demo;
mod explain;
mod help;
mod init;
mod malformed;
mod replay;
mod replay_time;
mod server;
mod sigma;
mod test;

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use serde_json::Value;
use tempfile::TempDir;

/// A rule that fires on every event with `x` 1, by `k`.
const EACH: &str = r#"rule(#{
    id: "each", title: "Each", severity: "low",
    event: |e| e.x == 1,
    by: ["k"],
    false_positives: ["none"],
    tests: [
        #{ name: "one", events: [#{ at: "0s", event: #{ x: 1, k: "a" } }], alerts: [#{ key: ["a"] }] },
        #{ name: "none", events: [#{ at: "0s", event: #{ x: 2, k: "a" } }], alerts: [] },
    ],
});
"#;

/// A folder of a test's own, in which its commands run.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Folder(tempfile::tempdir().expect("a temporary folder"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a file, with the folders above it.
    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> &Self {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a file lies in a folder")).expect("folders can be made");
        fs::write(path, content).expect("files can be written");
        self
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// The program with `arguments`, words apart by spaces, started here with nothing of the caller's environment that
    /// it would read.
    fn command(&self, arguments: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tripline"));
        command.current_dir(self.0.path()).args(arguments.split_whitespace()).stdin(Stdio::null());
        let read = |name: &str| name.starts_with("TRIPLINE") || name == "NO_COLOR";
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(read)) {
            command.env_remove(name);
        }
        command
    }

    fn run(&self, arguments: &str) -> Ran {
        Ran::from(self.command(arguments).output().expect("the program starts"))
    }

    fn run_with_stdin(&self, arguments: &str, input: &[u8]) -> Ran {
        let piped = self.command(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = piped.expect("the program starts");
        let mut stdin = child.stdin.take().expect("a pipe");
        let input = input.to_vec();
        let writer = std::thread::spawn(move || stdin.write_all(&input));
        let output = child.wait_with_output().expect("the program ends");
        writer.join().expect("the writer ends").expect("the program reads all of it");
        Ran::from(output)
    }
}

/// What a command said.
#[derive(Debug)]
struct Ran {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("output is UTF-8");
        Ran { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}

impl Ran {
    #[track_caller]
    fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:#?}");
        assert!(!self.stderr.contains("panicked"), "{self:#?}");
        self
    }

    /// Every line of stdout as JSON.
    #[track_caller]
    fn json(&self) -> Vec<Value> {
        json_lines(&self.stdout)
    }
}

#[track_caller]
fn json_lines(text: &str) -> Vec<Value> {
    let json = |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    text.lines().map(json).collect()
}

/// The repository, where the rules and examples are.
fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// `2024-05-01T10:00:00Z` and so many seconds.
fn at(seconds: i64) -> String {
    let start: jiff::Timestamp = "2024-05-01T10:00:00Z".parse().expect("a time");
    (start + jiff::SignedDuration::from_secs(seconds)).to_string()
}

/// Such events, one a line.
fn events(seconds_and_keys: &[(i64, &str)]) -> String {
    seconds_and_keys.iter().map(|(seconds, key)| event(*seconds, key)).collect()
}

/// An event that [`EACH`] fires on, at [`at`] so many seconds.
fn event(seconds: i64, key: &str) -> String {
    format!(r#"{{"time":"{}","x":1,"k":"{key}"}}"#, at(seconds)) + "\n"
}
