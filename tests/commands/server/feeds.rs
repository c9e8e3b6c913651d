//! Every way in: HTTP, syslog over TCP and UDP, followed files; and every alert on its way out.

use std::{
    fs::OpenOptions,
    io::Write,
    net::{TcpStream, UdpSocket},
};

use super::{EACH, Folder, HTTP, SYSLOG, Server, configuration, event, eventually, json_lines};

/// Fires on each line of the program `app`, by what it says.
const SAID: &str = r#"rule(#{
    id: "said", title: "Said", severity: "low", by: ["message"],
    event: |e| e.process.name == "app",
});
"#;

#[test]
fn posted_events_come_out_as_alerts_on_stdout_and_in_the_file() {
    let folder = Folder::new();
    folder.write("rules/each.rhai", EACH).write("tripline.toml", configuration(&[HTTP]));
    let server = Server::start(&folder);
    server.feed("/v1/events", &[event(0, "a"), event(1, "b").replace("\"x\":1", "\"x\":2"), event(2, "c")].concat());
    let alerts = server.alerts(2);
    let mut keys: Vec<&str> = alerts.iter().filter_map(|alert| alert["key"][0].as_str()).collect();
    keys.sort_unstable();
    assert_eq!(keys, ["a", "c"]);
    let archived = eventually("the file has both", || {
        let text = std::fs::read_to_string(folder.path("alerts.ndjson")).unwrap_or_default();
        Some(json_lines(&text)).filter(|alerts| alerts.len() == 2)
    });
    for alert in &archived {
        assert!(alerts.contains(alert), "the same JSON everywhere: {alert}");
    }
    server.stops_well();
}

#[test]
fn syslog_lines_over_tcp_and_udp_become_alerts() {
    let folder = Folder::new();
    folder.write("rules/said.rhai", SAID).write("tripline.toml", configuration(&[SYSLOG]));
    let server = Server::start(&folder);
    let mut stream = TcpStream::connect(server.syslog()).expect("a listener");
    stream.write_all(b"<13>May  1 10:00:00 web-1 app[1]: over TCP\n").expect("a connection");
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    socket.send_to(b"<13>May  1 10:00:00 web-1 app[1]: over UDP", server.syslog()).expect("a datagram");
    let alerts = server.alerts(2);
    let mut keys: Vec<&str> = alerts.iter().filter_map(|alert| alert["key"][0].as_str()).collect();
    keys.sort_unstable();
    assert_eq!(keys, ["over TCP", "over UDP"]);
    assert!(alerts.iter().all(|alert| alert["trigger"]["input"] == "syslog"), "{alerts:?}");
    server.stops_well();
}

#[test]
fn a_followed_file_is_read_on_from_where_the_last_run_stopped() {
    let folder = Folder::new();
    let files = ("+input", "name = \"app\"\ntype = \"file\"\npaths = [\"logs/*.log\"]\n");
    folder.write("rules/said.rhai", SAID).write("tripline.toml", configuration(&[files]));
    let line = |message: &str| format!("May  1 10:00:00 web-1 app[1]: {message}\n");
    folder.write("logs/app.log", line("before"));
    let append = |message: &str| {
        let file = OpenOptions::new().append(true).open(folder.path("logs/app.log"));
        file.and_then(|mut file| file.write_all(line(message).as_bytes())).expect("the file can be written");
    };
    let keys = |server: &Server, count: usize| -> Vec<String> {
        let alerts = server.alerts(count);
        alerts.iter().map(|alert| alert["key"][0].as_str().expect("a text").to_owned()).collect()
    };
    let server = Server::start(&folder);
    assert_eq!(keys(&server, 1), ["before"]);
    append("while it runs");
    assert_eq!(keys(&server, 2), ["before", "while it runs"]);
    server.stops_well();
    append("while it is down");
    let server = Server::start(&folder);
    append("after it");
    let mut found = keys(&server, 2);
    found.sort_unstable();
    assert_eq!(found, ["after it", "while it is down"], "nothing is read twice, nothing is missed");
    server.stops_well();
}

#[test]
fn what_can_not_be_decoded_is_counted_as_a_dead_letter_and_holds_nothing_up() {
    let folder = Folder::new();
    let json = ("+input", "name = \"http\"\ntype = \"http\"\nformat = \"json\"\n");
    folder.write("rules/each.rhai", EACH).write("tripline.toml", configuration(&[json]));
    let server = Server::start(&folder);
    server.feed("/v1/events", &["{\"time\":\n".repeat(50), event(0, "a")].concat());
    assert_eq!(server.alerts(1)[0]["key"][0], "a");
    let status = server.status();
    let dead: u64 =
        status["dead_letters"].as_array().into_iter().flatten().filter_map(|dead| dead["count"].as_u64()).sum();
    assert_eq!(dead, 50, "{}", status["dead_letters"]);
    server.stops_well();
    let log = super::Stopped::at(&folder.path("data"));
    let letters = log.records("tripline.dead-letters");
    assert_eq!(letters.len(), 50);
    let letter: serde_json::Value = serde_json::from_slice(&letters[0]).expect("dead letters are JSON");
    assert_eq!((&letter["input"], &letter["raw_base64"]), (&"http".into(), &"eyJ0aW1lIjo=".into()));
}
