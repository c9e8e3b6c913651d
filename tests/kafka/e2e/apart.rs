//! Stages in processes of their own, the topics that they share, and a state that can't be read.

use std::process::{Command, Output};

use serde_json::json;
use tripline::{correlate::STATE_VERSION, event::frame, telemetry::LineState};

use super::{
    process::{Process, Site, until},
    story::{RULES, Writer, inputs},
};
use crate::kafka::log::{open_transaction, transactional};

fn sudo(user: &str) -> Vec<u8> {
    let event = json!({"@timestamp": "2024-03-01T00:00:00Z", "event": {"action": "sudo"},
                       "user": {"name": user, "target": "root"}});
    event.to_string().into_bytes()
}

fn stages_of(process: &Process) -> Vec<String> {
    let mut stages: Vec<String> = process.status().lines.iter().map(|line| line.stage.to_string()).collect();
    stages.dedup();
    stages
}

#[test]
fn each_stage_runs_in_a_process_of_its_own() {
    let site = Site::new(RULES, &inputs("1s"));
    let start = |stages: &str| site.start_with(&["--stages", stages], &[]);
    let processes = [start("detect"), start("correlate"), start("notify")];
    let writer = Writer::new();
    writer.write(&site.topic("auth"), 0, &sudo("u"));
    writer.flush();
    until("the alert on the terminal", || processes[2].output().contains("sudo to root").then_some(()));
    let stages: Vec<_> = processes.iter().map(stages_of).collect();
    assert_eq!(stages, [["detect"], ["correlate"], ["notify"]]);
}

fn topics(site: &Site, what: &str) -> Output {
    let configuration = site.path().join("tripline.toml");
    let mut command = Command::new(env!("CARGO_BIN_EXE_tripline"));
    command.args(["topics", what, "--config"]).arg(configuration).output().expect("the program starts")
}

#[test]
fn topics_are_planned_and_then_made() {
    let site = Site::new(RULES, &inputs("1s"));
    let text = |output: Output| {
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    };
    let names = ["signals", "alerts", "state", "dead-letters", "fleet", "auth", "web"].map(|name| site.topic(name));
    let is_about = |plan: &str, verb: &str| names.iter().all(|name| plan.contains(&format!("{verb} {name}: ")));
    let planned = text(topics(&site, "plan"));
    assert!(is_about(&planned, "create"), "{planned}");
    let state = planned.lines().find(|line| line.contains(".state:")).expect("the state's line");
    assert!(state.contains(": 6 partitions, 1 replicas, cleanup.policy=compact"), "{state}");
    assert!(planned.contains("cleanup.policy=delete retention.ms=7776000000"), "{planned}");
    assert_eq!(text(topics(&site, "plan")), planned, "planning makes nothing");
    assert_eq!(text(topics(&site, "apply")), planned);
    let after = text(topics(&site, "plan"));
    assert!(is_about(&after, "keep  ") && after.lines().count() == names.len(), "{after}");
}

#[test]
fn a_state_that_can_not_be_read_stops_its_partition_by_name_and_no_other() {
    let site = Site::new(RULES, &inputs("1s"));
    assert!(topics(&site, "apply").status.success());
    let writer = Writer::new();
    writer.write_keyed(&site.topic("state"), 2, &[1, 2, 3], &frame::seal(STATE_VERSION + 1, &"of a newer program"));
    let mut torn = frame::seal(STATE_VERSION, &"torn");
    torn.pop();
    writer.write_keyed(&site.topic("state"), 4, &[1, 0xee], &torn);
    writer.flush();
    let server = site.start();
    let halted = until("two lines that halt", || {
        let lines = server.status().lines;
        let halted: Vec<_> = lines.into_iter().filter(|line| line.state == LineState::Halted).collect();
        (halted.len() == 2).then_some(halted)
    });
    let errors: Vec<_> =
        halted.iter().map(|line| (line.partition, line.last_error.clone().unwrap_or_default())).collect();
    let wanted = |partition: u32, key: &str, why: &str| {
        let (at, error) = errors.iter().find(|(at, _)| *at == partition).expect("its error");
        assert!(error.contains(&format!("state/{at}: state record {key}")) && error.contains(why), "{error}");
    };
    wanted(2, "010203", &format!("version {}", STATE_VERSION + 1));
    wanted(4, "01ee", "checksum");
    until("the other partitions at work", || (server.lines("correlate").len() == 4).then_some(()));
    let reasons = server.status().not_ready();
    assert_eq!(reasons.len(), 2, "{reasons:?}");
    assert!(reasons[0].contains("signals/2 is halted"), "{reasons:?}");
}

/// Somebody's transaction in the topic of the state that never ends.
#[test]
fn a_process_that_waits_for_state_says_so_and_still_ends_when_it_is_asked() {
    let site = Site::new(RULES, &inputs("1s"));
    // Not by a process that runs: it may have written state before it ends.
    assert!(topics(&site, "apply").status.success());
    let held = transactional(&site.prefix);
    open_transaction(&held, &site.topic("state"), "held", "up");

    let mut server = site.start();
    let said = until("word that it waits", || server.said("restore stands still"));
    let facts = ["partition", "next", "of", "last_stable", "high_watermark"].map(|name| said[name].clone());
    assert_eq!(facts, [0, 0, 1, 0, 1].map(|number| json!(number)), "{said}");
    let status = server.status();
    let line = status.lines.iter().find(|line| &*line.stage == "correlate" && line.partition == 0);
    assert_eq!(line.map(|line| line.state), Some(LineState::Restoring));
    assert!(server.terminate().success());
    assert!(server.said("stopped").is_some(), "{}", server.log());
}
