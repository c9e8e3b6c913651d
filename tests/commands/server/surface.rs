//! What operators and their machines ask a server: metrics, health, status.

use super::{EACH, Folder, HTTP, Server, configuration, event, events, eventually};

#[test]
fn metrics_health_and_status_tell_of_the_same_events() {
    let folder = Folder::new();
    folder.write("rules/each.rhai", EACH).write("tripline.toml", configuration(&[HTTP]));
    let server = Server::start(&folder);
    server.feed("/v1/events", &events(&[(0, "a"), (1, "b")]));
    server.alerts(2);
    assert_eq!(server.get("/health/live").status, 200);
    eventually("the server is ready for an orchestrator", || {
        Some(server.get("/health/ready")).filter(|answer| answer.status == 200)
    });
    let metrics = server.get("/metrics");
    assert_eq!(metrics.status, 200);
    assert!(metrics.header("content-type").is_some_and(|kind| kind.starts_with("text/plain")), "{}", metrics.head);
    for line in metrics.body.lines().filter(|line| !line.starts_with('#')) {
        assert!(line.starts_with("tripline_") && line.split(' ').count() >= 2, "{line}");
    }
    let status = eventually("both alerts are booked", || {
        Some(server.status()).filter(|status| {
            let sinks = status["sinks"].as_array().into_iter().flatten();
            sinks.filter(|sink| sink["delivered"] == 2).count() == 2
        })
    });
    assert_eq!(status["phase"], "running");
    assert_eq!(status["intake"][0]["accepted"], 2, "{status}");
    assert_eq!(status["rules"][0]["fired"], 2, "{status}");
    server.stops_well();
}

#[test]
fn the_status_command_prints_tables_for_people_and_json_for_machines() {
    let folder = Folder::new();
    folder.write("rules/each.rhai", EACH).write("tripline.toml", configuration(&[HTTP]));
    let server = Server::start(&folder);
    server.feed("/v1/events", &event(0, "a"));
    server.alerts(1);
    let text = folder.run(&format!("status --url http://{}", server.http)).exits(0).stdout;
    let expected = format!("tripline {}: running\n1 rules loaded, 0 refused\n", env!("CARGO_PKG_VERSION"));
    assert!(text.starts_with(&expected), "{text}");
    for header in ["RECEIVED", "SOURCE", "SIGNALS", "RULE", "SINK", "STAGE"] {
        assert!(text.lines().any(|line| line.starts_with(header)), "no table {header}:\n{text}");
    }
    assert!(text.lines().any(|line| line.starts_with("each ")), "{text}");
    assert!(text.lines().count() < 60, "a status fits a screen:\n{text}");
    let json = folder.run(&format!("status --url http://{}/ --format json", server.http)).exits(0).json();
    assert_eq!((json.len(), &json[0]["phase"]), (1, &"running".into()));
    server.stops_well();
}

#[test]
fn without_a_server_the_status_command_exits_2_and_names_the_address() {
    let ran = Folder::new().run("status --url http://127.0.0.1:9").exits(2);
    assert!(ran.stderr.starts_with("error: no server answers at http://127.0.0.1:9/v1/status"), "{}", ran.stderr);
}
