//! A broker of the chaos run's own, because it is killed: with a listener for each Tripline process, whose address is
//! a proxy's, and one for the tests themselves.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{self, Child, Command, Stdio},
};

use crate::kafka::broker::{ALONE, await_ready, free_ports};

/// Processes that have a listener.
pub const SEATS: usize = 3;

pub struct OwnBroker {
    dir: PathBuf,
    /// The listener that no proxy stands before.
    pub bootstrap: String,
    /// Where the brokers' side of each proxy connects to.
    pub behind: [u16; SEATS],
    // Its standard input ends with this process, and the broker with that.
    script: Option<Child>,
}

impl OwnBroker {
    /// `advertised` are the ports that clients of each seat are told to connect to.
    pub fn start(advertised: [u16; SEATS]) -> OwnBroker {
        let dir = env::temp_dir().join(format!("tripline-chaos-{}", process::id()));
        fs::create_dir_all(&dir).expect("a folder for the broker");
        let [direct, controller, a, b, c] = free_ports();
        let behind = [a, b, c];
        fs::write(dir.join("server.properties"), properties(&dir, direct, controller, behind, advertised))
            .expect("its configuration");
        let mut broker = OwnBroker { dir, bootstrap: format!("127.0.0.1:{direct}"), behind, script: None };
        broker.run("run");
        broker
    }

    fn run(&mut self, how: &str) {
        let script = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kafka/broker.sh"))
            .arg(how)
            .arg(&self.dir)
            .stdin(Stdio::piped())
            .spawn()
            .expect("tests/kafka/broker.sh runs");
        let script = await_ready(&self.bootstrap, &self.dir, script);
        self.script = Some(script.unwrap_or_else(|why| panic!("the broker did not start: {why}")));
    }

    /// Sends it a signal that ends it; then the same broker again on what it had written.
    pub fn restart(&mut self, signal: &str) {
        let pid = fs::read_to_string(self.dir.join("pid")).expect("the broker's process id");
        let sent = Command::new("kill").args([signal, pid.trim()]).status().expect("kill runs");
        assert!(sent.success(), "no broker {pid}");
        if let Some(mut script) = self.script.take() {
            // Waiting would close it first, which means the end of it all.
            let _open = script.stdin.take();
            script.wait().expect("it ends");
        }
        self.run("again");
    }
}

fn properties(dir: &Path, direct: u16, controller: u16, behind: [u16; SEATS], advertised: [u16; SEATS]) -> String {
    let listed = |ports: [u16; SEATS]| {
        let of_seat = |(seat, port): (usize, u16)| format!("SEAT{seat}://127.0.0.1:{port}");
        ports.into_iter().enumerate().map(of_seat).collect::<Vec<_>>().join(",")
    };
    let protocols: String = (0..SEATS).map(|seat| format!(",SEAT{seat}:PLAINTEXT")).collect();
    let (behind, advertised, dir) = (listed(behind), listed(advertised), dir.display());
    format!(
        "node.id=1
process.roles=broker,controller
listeners=PLAINTEXT://127.0.0.1:{direct},{behind},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{direct},{advertised}
controller.listener.names=CONTROLLER
controller.quorum.voters=1@127.0.0.1:{controller}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT{protocols}
inter.broker.listener.name=PLAINTEXT
log.dirs={dir}/data
{ALONE}auto.create.topics.enable=false
"
    )
}
