//! A drain: what was read is finished and committed, and the next start reads nothing twice.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

use tripline::log::{Log, TopicPartition, memory::MemoryLog};

use super::{
    generated::{self, INPUTS, RULES},
    harness::{Running, alerts, around, assert_same, config, ensure_topics, rules, system, topics, until},
};

type Seen = Arc<Mutex<BTreeSet<(&'static str, TopicPartition, u64)>>>;

#[test]
fn the_start_after_a_drain_reads_nothing_twice() {
    let mut config = config(&INPUTS);
    config.local.events_partitions = 2;
    let rules = rules(RULES);
    let parts = generated::partitioned(&generated::events(3, 400), 2);
    let log: Arc<dyn Log> = MemoryLog::new();
    let batches = generated::batches(&config, &parts);
    let (first, second) = batches.split_at(batches.len() / 2);
    let run = async |batches: &[Vec<tripline::log::Record>], to_the_end: bool| {
        let seen = Seen::default();
        let notes = seen.clone();
        let hook = move |stage, at: &TopicPartition, offset| {
            if stage == "detect" {
                assert!(notes.lock().unwrap().insert((stage, at.clone(), offset)), "{at:?} {offset} is read twice");
            }
        };
        let running = Running::start(around(&config, &log, Arc::new(hook)), &rules, Vec::new()).await;
        for records in batches {
            running.append(records.clone()).await;
        }
        if to_the_end {
            running.walked_past(generated::end_of_time()).await;
        } else {
            until("every partition is read", async || {
                running.status().sources.iter().filter(|source| source.next > 0).count() == 4
            })
            .await;
        }
        running.drain().await;
        seen
    };
    system(async {
        ensure_topics(&*log, &config).await;
        let before = run(first, false).await;
        for input in INPUTS {
            for partition in 0..2 {
                let at = TopicPartition { topic: topics(&config).received(input), partition };
                let read = before.lock().unwrap().iter().filter(|(_, found, _)| *found == at).count() as u64;
                let committed = log.committed("tripline", &at).await.unwrap().expect("a commit");
                assert_eq!(committed.next, read, "all that was read is committed");
            }
        }
        let after = run(second, true).await;
        let (before, after) = (before.lock().unwrap(), after.lock().unwrap());
        assert!(before.is_disjoint(&after), "read again: {:?}", before.intersection(&after).collect::<Vec<_>>());
    });
    let expected = generated::replay(&config, &rules, &parts);
    assert_same(&system(alerts(&*log, &config)), &expected, "over two runs");
}

#[test]
fn a_drain_ends_every_line_and_starts_none() {
    let config = config(&INPUTS);
    let log: Arc<dyn Log> = MemoryLog::new();
    system(async {
        ensure_topics(&*log, &config).await;
        let running = Running::on(&config, &log, &rules(RULES)).await;
        running.pipeline.use_rules(&rules(RULES)).await;
        let telemetry = running.around.telemetry.clone();
        running.drain().await;
        for line in telemetry.status().lines {
            assert_eq!(line.state, tripline::telemetry::LineState::Stopped, "{}", line.title());
        }
    });
    // Nothing of the pipeline holds the log any more.
    system(until("its threads are gone", async || Arc::strong_count(&log) == 1));
}
