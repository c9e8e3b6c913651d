//! Starting, stopping, reloading, and two servers that want the same.

use std::{fs, net::TcpListener};

use super::{EACH, Folder, HTTP, SYSLOG, Server, Stopped, configuration, event, events, eventually};

#[test]
fn without_arguments_the_server_runs() {
    let folder = Folder::new();
    folder.write("rules/each.rhai", EACH).write("tripline.toml", configuration(&[HTTP]));
    let server = Server::start_as(&folder, "--config tripline.toml --data elsewhere");
    server.feed("/v1/events", &event(0, "a"));
    server.alerts(1);
    server.stops_well();
    assert!(folder.path("elsewhere").is_dir() && !folder.path("data").exists());
}

#[test]
fn after_sigterm_all_that_was_taken_has_been_evaluated_and_the_exit_code_is_0() {
    let folder = Folder::new();
    folder.write("rules/each.rhai", EACH).write("tripline.toml", configuration(&[HTTP]));
    let server = Server::start(&folder);
    let events: String = (0..2_000).map(|at| event(at, &format!("k{at}"))).collect();
    server.feed("/v1/events", &events);
    server.stops_well();
    let drained = Stopped::at(&folder.path("data")).alerts().len();
    let server = Server::start(&folder);
    eventually("the rest is evaluated after the next start", || {
        let archived = fs::read_to_string(folder.path("alerts.ndjson")).unwrap_or_default();
        Some(()).filter(|()| archived.lines().count() >= 2_000)
    });
    server.stops_well();
    let mut ids: Vec<String> = Stopped::at(&folder.path("data")).alerts().into_iter().map(|alert| alert.id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 2_000, "{drained} of them before the restart");
}

#[test]
fn sighup_loads_the_rules_anew_and_a_broken_file_keeps_its_last_good_rules() {
    let folder = Folder::new();
    folder.write("rules/each.rhai", EACH).write("tripline.toml", configuration(&[HTTP]));
    let server = Server::start(&folder);
    let reload = |times: usize| {
        server.signal("HUP");
        eventually("the rules are reloaded", || {
            Some(server.stderr.saying("rules reloaded")).filter(|said| said.len() == times)
        })
        .pop()
        .expect("a line")
    };
    folder.write("rules/second.rhai", EACH.replace("\"each\"", "\"second\""));
    assert_eq!(reload(1)["rules"], 2);
    eventually("both rules see new events", || {
        server.feed("/v1/events", &event(0, "a"));
        Some(()).filter(|()| server.stdout.all().iter().any(|line| line.contains("\"second\"")))
    });

    folder.write("rules/second.rhai", "rule(#{ id: \"second\", severty: \"low\" });");
    let said = reload(2);
    assert_eq!((&said["rules"], &said["errors"].as_u64().is_some_and(|errors| errors > 0)), (&2.into(), &true));
    let told = server.stderr.all().join("\n");
    assert!(told.contains("rules/second.rhai") && told.contains("severity"), "{told}");
    let second = || server.stdout.all().iter().filter(|line| line.contains("\"second\"")).count();
    let before = second();
    server.feed("/v1/events", &event(0, "b"));
    eventually("the last good rule goes on", || Some(()).filter(|()| second() > before));

    fs::remove_dir_all(folder.path("rules")).expect("the rules can go");
    server.signal("HUP");
    eventually("the missing folder is told of", || server.stderr.saying("rules not reloaded").pop());
    let before = second();
    server.feed("/v1/events", &event(0, "c"));
    eventually("the rules go on", || Some(()).filter(|()| second() > before));
    server.stops_well();
}

#[test]
fn sighup_reads_the_lists_anew_and_rules_on_alerts_see_what_follows() {
    let folder = Folder::new();
    let listed = EACH.replace("e.x == 1", "in_list(e.k, \"watched\")");
    assert!(listed.contains("in_list"));
    let chained = "rule(#{ id: \"chained\", title: \"t\", severity: \"low\", input: \"alerts\", \
        event: |e| e.rule.id == \"each\", by: [\"key\"], within: \"1s\", when: |w| w.event.count >= 1 });";
    folder.write("rules/each.rhai", listed).write("rules/chained.rhai", chained);
    folder.write("rules/lists/watched.txt", "a\n").write("tripline.toml", configuration(&[HTTP]));
    let server = Server::start(&folder);
    server.feed("/v1/events", &events(&[(0, "a"), (1, "b")]));
    let chained = |key: &str| {
        let is_it = |line: &String| line.contains("\"chained\"") && line.contains(&format!("\"key\":[\"{key}\"]"));
        server.stdout.all().iter().any(is_it)
    };
    eventually("the chained rule fires", || Some(()).filter(|()| chained("a")));
    folder.write("rules/lists/watched.txt", "b\n");
    server.signal("HUP");
    eventually("the rules are reloaded", || server.stderr.saying("rules reloaded").pop());
    let mut now = 60;
    eventually("the list counts", || {
        now += 10;
        server.feed("/v1/events", &event(now, "b"));
        Some(()).filter(|()| chained("b"))
    });
    server.stops_well();
}

#[test]
fn every_line_of_a_json_log_is_json() {
    let folder = Folder::new();
    folder.write("rules/each.rhai", EACH).write("tripline.toml", configuration(&[HTTP]));
    folder.write("rules/bad.rhai", "rule(#{ id: \"bad\", severty: \"low\" });");
    let server = Server::start(&folder);
    server.signal("HUP");
    eventually("a reload", || server.stderr.saying("rules reloaded").pop());
    let stderr = server.stderr.clone();
    server.stops_well();
    let errors: Vec<_> = super::json_lines(&stderr.all().join("\n"))
        .into_iter()
        .filter(|line| line["level"] == "ERROR" && line["file"] == "rules/bad.rhai")
        .collect();
    assert!(errors.iter().any(|error| error["line"] == 1 && error["help"] == "did you mean `severity`?"), "{errors:?}");
}

#[test]
fn a_second_server_on_one_data_folder_says_so_and_exits_2() {
    let folder = Folder::new();
    folder.write("rules/each.rhai", EACH).write("tripline.toml", configuration(&[HTTP]));
    let server = Server::start(&folder);
    let second = folder.run("run --config tripline.toml").exits(2);
    let told = second.stderr.lines().last().unwrap_or_default();
    assert!(told.starts_with("error: ") && told.contains("another process has the data folder"), "{told}");
    server.feed("/v1/events", &event(0, "a"));
    server.alerts(1);
    server.stops_well();
}

#[test]
fn an_address_that_is_taken_is_named_and_exits_2() {
    let folder = Folder::new();
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address");
    for table in ["http", "syslog"] {
        let config = configuration(&[SYSLOG])
            .replace(&format!("[{table}]\nlisten = \"127.0.0.1:0\""), &format!("[{table}]\nlisten = \"{address}\""));
        folder.write("rules/each.rhai", EACH).write("tripline.toml", config);
        let ran = folder.run("run --config tripline.toml").exits(2);
        let told = ran.stderr.lines().last().unwrap_or_default();
        assert!(told.starts_with("error: ") && told.contains(&address.to_string()), "{table}: {}", ran.stderr);
    }
}
