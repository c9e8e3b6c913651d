//! Processes that share the work, die, and are followed by others: every alert is there once, and no other.

use std::{thread::JoinHandle, time::Duration};

use serde_json::Value;

use super::{
    process::{Process, Site, until},
    story::{RULES, Writer, epilogue, ids, inputs, make_topics, opening, replay, sorted, story},
};

const SCENES: u64 = 1_500;
pub const PARTITIONS: u32 = 4;
/// Over which the story is told: processes come and go in the middle.
const SPAN: Duration = Duration::from_secs(8);

struct Told {
    site: Site,
    wanted: Vec<Value>,
}

impl Told {
    /// Nothing is idle: what was told after a death must not be late because nobody read for a while.
    fn new() -> Told {
        let site = Site::new(RULES, &inputs("10m"));
        make_topics(&site, PARTITIONS);
        let wanted = replay(&site, &story(SCENES), PARTITIONS).alerts;
        Told { site, wanted }
    }

    fn begin(&self) -> JoinHandle<()> {
        Writer::tell_slowly(&self.site, story(SCENES), PARTITIONS, SPAN)
    }

    /// Waits until some of the alerts are there, but not the last ones.
    fn wait_for_the_middle(&self) {
        let enough = self.wanted.len() / 4;
        until("alerts in the middle", || {
            let found = self.site.alerts().len();
            assert!(found < self.wanted.len(), "the story was over before its middle was seen");
            (found > enough).then_some(())
        });
    }

    /// Ends the story and waits for all of its alerts: each is there once, as replay has it.
    fn end(&self) {
        Writer::new().end(&self.site, &epilogue(SCENES, Duration::from_secs(60)), PARTITIONS);
        let ids = ids(&self.wanted);
        let found = opening(self.site.alerts_with(&ids));
        assert_eq!(found.len(), ids.len(), "alerts, and ids of replay's");
        assert!(sorted(&found) == sorted(&self.wanted), "{} alerts, but others than replay's", found.len());
    }
}

pub fn wait_for_all_lines(server: &Process) {
    until("process with all lines", || {
        let all = server.lines("detect").len() == 2 * PARTITIONS as usize && server.lines("correlate").len() == 6;
        all.then_some(())
    });
}

/// Two processes, each with half of the lines of every stage.
pub fn start_two(site: &Site, first: &[(&str, &str)], second: &[(&str, &str)]) -> (Process, Process) {
    let (one, other) = (site.start_as(first), site.start_as(second));
    until("shared work", || {
        ["detect", "correlate", "notify"]
            .iter()
            .all(|stage| {
                let (ours, theirs) = (one.lines(stage), other.lines(stage));
                let all = if *stage == "detect" { 2 * PARTITIONS as usize } else { 6 };
                ours.is_disjoint(&theirs) && ours.len() + theirs.len() == all && ours.len() == theirs.len()
            })
            .then_some(())
    });
    (one, other)
}

fn one_of_two_is_killed(first: &[(&str, &str)], second: &[(&str, &str)]) {
    let told = Told::new();
    let (survivor, victim) = start_two(&told.site, first, second);
    let telling = told.begin();
    told.wait_for_the_middle();
    victim.kill();
    wait_for_all_lines(&survivor);
    telling.join().expect("the story is told");
    told.end();
}

#[test]
fn the_other_process_takes_over_when_one_is_killed() {
    one_of_two_is_killed(&[], &[]);
}

#[test]
fn the_other_process_takes_over_when_one_with_an_instance_is_killed() {
    const INSTANCE: &str = "TRIPLINE__KAFKA__INSTANCE";
    one_of_two_is_killed(&[(INSTANCE, "one")], &[(INSTANCE, "two")]);
}

#[test]
fn a_process_that_was_suspended_does_not_disturb_its_successor() {
    let told = Told::new();
    let (survivor, sleeper) = start_two(&told.site, &[], &[]);
    let telling = told.begin();
    told.wait_for_the_middle();
    sleeper.suspend();
    wait_for_all_lines(&survivor);
    sleeper.go_on();
    telling.join().expect("the story is told");
    until("shared work", || (survivor.lines("correlate").len() == 3).then_some(()));
    // The next owner of every partition has nothing but what was written.
    survivor.kill();
    wait_for_all_lines(&sleeper);
    told.end();
}

#[test]
fn a_killed_process_goes_on_where_it_was() {
    let told = Told::new();
    let server = told.site.start();
    let telling = told.begin();
    told.wait_for_the_middle();
    server.kill();
    let again = told.site.start();
    wait_for_all_lines(&again);
    telling.join().expect("the story is told");
    told.end();
}

#[test]
fn a_process_that_is_asked_to_end_goes_on_when_it_returns() {
    let told = Told::new();
    let mut server = told.site.start();
    let telling = told.begin();
    told.wait_for_the_middle();
    let status = server.terminate();
    assert!(status.success(), "{status}");
    assert!(server.said("stopped").is_some(), "it did not finish what it had read:\n{}", server.log());
    let _again = told.site.start();
    telling.join().expect("the story is told");
    told.end();
}

/// Sooner and cheaper, for those who can bear to see an alert twice.
#[test]
fn at_least_once_loses_nothing_when_it_is_killed() {
    let told = Told::new();
    let delivery = [("TRIPLINE__KAFKA__DELIVERY", "at_least_once")];
    let server = told.site.start_as(&delivery);
    let telling = told.begin();
    told.wait_for_the_middle();
    server.kill();
    let again = told.site.start_as(&delivery);
    wait_for_all_lines(&again);
    telling.join().expect("the story is told");
    Writer::new().end(&told.site, &epilogue(SCENES, Duration::from_secs(60)), PARTITIONS);
    let wanted = ids(&told.wanted);
    assert_eq!(ids(&opening(told.site.alerts_with(&wanted))), wanted);
}
