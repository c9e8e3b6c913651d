//! Whom the alerts of the chaos run are told to: a webhook that remembers each of them, and for a while takes none.

use std::{
    collections::BTreeSet,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread,
};

use serde_json::Value;

#[derive(Default)]
struct State {
    /// Of every alert that it has answered for.
    ids: Mutex<BTreeSet<String>>,
    full: Mutex<bool>,
    has_room: Condvar,
}

/// Lives as long as the test's process: its threads wait for connections that end with those of the servers.
pub struct Receiver {
    pub port: u16,
    state: Arc<State>,
}

impl Receiver {
    pub fn start() -> Receiver {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("its address").port();
        let state = Arc::<State>::default();
        let shared = state.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = shared.clone();
                // Whoever is killed in the middle of a request ends his connection.
                thread::spawn(move || while converse(&stream, &state).is_some() {});
            }
        });
        Receiver { port, state }
    }

    /// From now on, whether it takes alerts or lets them wait.
    pub fn set_full(&self, full: bool) {
        *self.state.full.lock().unwrap_or_else(PoisonError::into_inner) = full;
        self.state.has_room.notify_all();
    }

    /// How many of `ids` it was not told.
    pub fn missing(&self, ids: &BTreeSet<String>) -> usize {
        ids.difference(&self.state.ids.lock().unwrap_or_else(PoisonError::into_inner)).count()
    }
}

/// One request; `None` when there are no more.
fn converse(stream: &TcpStream, state: &State) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let line = line.trim_end().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let full = state.full.lock().unwrap_or_else(PoisonError::into_inner);
    drop(state.has_room.wait_while(full, |full| *full));
    let alert: Value = serde_json::from_slice(&body).ok()?;
    state.ids.lock().unwrap_or_else(PoisonError::into_inner).insert(alert["id"].as_str()?.to_owned());
    let mut answers = stream;
    answers.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").ok()
}
