//! The disk's end, and the log's: refused in time, taken again when there is room, dropped when too old.

use super::{EACH, Folder, HTTP, Server, Stopped, configuration, event, eventually};

#[test]
fn without_room_events_are_refused_and_nothing_acknowledged_is_lost() {
    let folder = Folder::new();
    let sane = configuration(&[HTTP]);
    folder.write("rules/each.rhai", EACH).write("tripline.toml", &sane);
    let server = Server::start(&folder);
    server.feed("/v1/events", &event(0, "before"));
    server.alerts(1);
    server.stops_well();

    folder.write("tripline.toml", sane.replace("\"1MiB\"", "\"9000TiB\""));
    let server = Server::listen(&folder, "run --config tripline.toml");
    assert_eq!(server.get("/health/ready").status, 503);
    let refused = server.post("/v1/events", &event(1, "refused"));
    assert_eq!(refused.status, 503, "{refused:?}");
    assert!(refused.header("retry-after").and_then(|seconds| seconds.parse::<u32>().ok()).is_some(), "{refused:?}");
    assert!(refused.body.contains("no room"), "{refused:?}");
    let status = server.status();
    assert!(status["intake"][0]["refused"].as_u64().is_some_and(|refused| refused >= 1), "{}", status["intake"]);
    assert!(server.stdout.all().is_empty());
    let (code, said) = server.stop();
    assert_eq!(code, Some(0), "{said:#?}");

    folder.write("tripline.toml", &sane);
    let server = Server::start(&folder);
    server.feed("/v1/events", &event(2, "after"));
    assert_eq!(server.alerts(1)[0]["key"][0], "after");
    server.stops_well();
    let keys: Vec<String> =
        Stopped::at(&folder.path("data")).alerts().iter().map(|alert| alert.key[0].to_string()).collect();
    assert!(keys.len() == 2 && keys.contains(&"before".to_owned()) && keys.contains(&"after".to_owned()), "{keys:?}");
}

#[test]
fn events_beyond_the_retention_go_and_the_server_goes_on() {
    let folder = Folder::new();
    let small = ("log", "segment_bytes = \"64KiB\"\nretention_bytes = \"128KiB\"\n");
    folder.write("rules/each.rhai", EACH).write("tripline.toml", configuration(&[HTTP, small]));
    let server = Server::start(&folder);
    let filler = "x".repeat(1_000);
    let mut sent = 0;
    for _ in 0..20 {
        let body: String = (0..200)
            .map(|at| event(sent + at, "k").replace("\"x\":1", &format!("\"x\":2,\"filler\":\"{filler}{at}\"")))
            .collect();
        server.feed("/v1/events", &body);
        sent += 200;
    }
    eventually("all is read", || {
        let status = server.status();
        let sources = status["sources"].as_array().cloned().unwrap_or_default();
        let read: i64 = sources.iter().filter_map(|source| source["next"].as_i64()).sum();
        Some(()).filter(|()| read == sent)
    });
    server.feed("/v1/events", &event(sent, "last"));
    assert_eq!(server.alerts(1)[0]["key"][0], "last");
    server.stops_well();
    let (first, there) = Stopped::at(&folder.path("data")).extent("tripline.events.http");
    assert!(first > 0 && (there as i64) < sent, "{first} of {sent} are gone, {there} are there");
}
