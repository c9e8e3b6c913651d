//! The same alerts as `tripline replay`, whatever the number of partitions.

use std::time::Duration;

use tripline::event::Timestamp;

use super::{
    process::{Process, Site, until, values},
    story::{
        Entry, RULES, Replayed, Writer, epilogue, essence, ids, inputs, make_topics, opening, replay, sorted, story,
    },
};

const SCENES: u64 = 400;

/// An input that nobody writes to, which the rules for all inputs wait for too.
const QUIET: &str =
    "[[input]]\nname = \"quiet\"\ntype = \"kafka\"\ntopics = [\"PREFIX.quiet\"]\nidle_timeout = \"1s\"\n";

/// Waits until every window has been walked up to `time` and nothing waits.
fn wait_until_through(server: &Process, time: &str) {
    let end = Timestamp::parse(time).expect("a time");
    until("end of the walk", || {
        let signals = server.status().signals;
        let is_through = signals.iter().all(|part| part.frontier.is_some_and(|at| at > end) && part.buffered == 0);
        (signals.len() == 6 && is_through).then_some(())
    });
}

fn kafka_agrees_with_replay(partitions: u32) {
    let site = Site::new(RULES, &[&inputs("1s"), QUIET].concat());
    let entries = story(SCENES);
    let Replayed { alerts: wanted, dead_letters } = replay(&site, &entries, partitions);
    assert!(wanted.len() > 50, "the story has only {} alerts", wanted.len());
    assert_eq!(essence(&wanted), essence(&replay(&site, &entries, 1).alerts), "replay itself depends on partitions");

    make_topics(&site, partitions);
    let writer = Writer::new();
    writer.tell(&site, &entries, partitions);
    // The last lateness has to pass as idle time.
    writer.end(&site, &epilogue(SCENES, Duration::ZERO), partitions);
    let server = site.start();
    site.alerts_with(&ids(&wanted));
    wait_until_through(&server, wanted.iter().map(|alert| alert["time"].as_str().expect("a time")).max().expect("one"));
    let found = opening(site.alerts());
    assert!(sorted(&found) == sorted(&wanted), "{} alerts, {} by replay", found.len(), wanted.len());
    assert!(!dead_letters.is_empty(), "nothing in the story is broken");
    assert_eq!(sorted(&values(&site.topic("dead-letters"))), sorted(&dead_letters));
    for source in server.status().sources {
        assert_eq!((source.late, source.clamped, source.left_out), (0, 0, false), "{source:?}");
    }
    for part in server.status().signals {
        assert_eq!((part.before_join, part.duplicates, part.unknown_rule), (0, 0, 0), "{part:?}");
    }
}

#[test]
fn one_events_partition_gives_the_alerts_of_replay() {
    kafka_agrees_with_replay(1);
}

#[test]
fn two_events_partitions_give_the_alerts_of_replay() {
    kafka_agrees_with_replay(2);
}

#[test]
fn four_events_partitions_give_the_alerts_of_replay() {
    kafka_agrees_with_replay(4);
}

#[test]
fn history_that_is_fed_to_an_idle_server_is_not_late() {
    let site = Site::new(RULES, &inputs("500ms"));
    let entries = story(SCENES);
    let wanted = replay(&site, &entries, 4).alerts;
    make_topics(&site, 4);
    let server = site.start();
    until("idle sources", || {
        let sources = server.status().sources;
        (sources.len() == 8 && sources.iter().all(|source| source.idle)).then_some(())
    });
    let writer = Writer::new();
    // Partition by partition: the first one is read while the others still look as if they never had an event.
    for partition in 0..4 {
        let some: Vec<Entry> = entries.iter().filter(|entry| entry.partition(4) == partition).cloned().collect();
        writer.tell(&site, &some, 4);
    }
    writer.end(&site, &epilogue(SCENES, Duration::from_secs(60)), 4);
    let found = opening(site.alerts_with(&ids(&wanted)));
    assert!(sorted(&found) == sorted(&wanted), "{} alerts, {} by replay", found.len(), wanted.len());
}
