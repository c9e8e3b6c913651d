//! Events whose time is odd: from the future, or behind their own partition.

use std::{sync::Arc, time::Duration};

use serde_json::json;
use tripline::{
    clock::Clock,
    decode::{DecodeSpec, Decoder, Format, Timing},
    detect::{Detector, Raw, Source, SourceState},
    event::Timestamp,
    log::{Log, memory::MemoryLog},
    stage::{Surroundings, no_hook},
};

use super::harness::{EACH, Running, START, around, config, ensure_topics, event, record, rules, system, until};

const HOUR: u64 = 3_600;

fn at(seconds: u64) -> Timestamp {
    START.plus(Duration::from_secs(seconds))
}

#[test]
fn an_event_from_the_future_is_set_to_the_clock_and_makes_no_other_late() {
    let mut config = config(&["in"]);
    config.inputs[0].max_clock_skew = Duration::from_secs(60);
    let log: Arc<dyn Log> = MemoryLog::new();
    system(async {
        ensure_topics(&*log, &config).await;
        let clock = Clock::manual(at(HOUR).as_millis());
        let surroundings = Surroundings { clock, ..around(&config, &log, no_hook()) };
        let running = Running::start(surroundings, &rules(EACH), Vec::new()).await;
        let month = 30 * 24 * HOUR;
        for (id, seconds) in [("past", HOUR - 1), ("future", month), ("skewed", HOUR + 50), ("present", HOUR + 41)] {
            running.append(vec![record(&config, "in", 0, event(seconds, json!({ "id": id })))]).await;
        }
        running.append(vec![record(&config, "in", 0, event(HOUR + 60, json!({})))]).await;
        until("all are walked but those near the end", async || running.alerts().await.len() == 3).await;
        let mut times: Vec<_> = running.alerts().await.iter().map(|a| (a.time.clone(), a.key.join(""))).collect();
        times.sort();
        let expected = [(at(HOUR - 1), "past"), (at(HOUR), "future"), (at(HOUR + 41), "present")];
        assert_eq!(times, expected.map(|(time, id)| (time.to_string(), id.to_owned())));
        let source = &running.status().sources.iter().find(|source| &*source.input == "in").cloned().expect("a source");
        assert_eq!((source.clamped, source.late, source.watermark), (1, 0, Some(at(HOUR + 50))));
        running.drain().await;
    });
}

#[test]
fn an_event_is_late_behind_its_own_partition_only() {
    let mut config = config(&["in"]);
    config.local.events_partitions = 2;
    let log: Arc<dyn Log> = MemoryLog::new();
    system(async {
        ensure_topics(&*log, &config).await;
        let running = Running::on(&config, &log, &rules(EACH)).await;
        let one =
            |partition, seconds, id: &str| vec![record(&config, "in", partition, event(seconds, json!({ "id": id })))];
        running.append(one(0, 1_000, "first")).await;
        running.append(one(1, 100, "slow")).await;
        running.append(one(0, 990, "at the watermark")).await;
        running.append(one(0, 989, "late")).await;
        running.append([one(0, 2_000, "end"), one(1, 2_000, "end")].concat()).await;
        until("what is not late is walked", async || running.alerts().await.len() == 3).await;
        let status = running.status();
        let late =
            |partition| status.sources.iter().find(|s| &*s.input == "in" && s.partition == partition).map(|s| s.late);
        assert_eq!((late(0), late(1)), (Some(1), Some(0)));
        assert_eq!(status.signals.iter().map(|signals| signals.late).sum::<u64>(), 1);
        assert_eq!(status.signals.iter().map(|signals| signals.before_join).sum::<u64>(), 0);
        assert_eq!(status.rules.iter().map(|rule| rule.late).sum::<u64>(), 1);
        running.drain().await;
    });
}

/// What the log stamped is what counts where it stamps: then the clamping follows from the log alone.
#[test]
fn times_are_held_against_the_clock_that_a_record_comes_with() {
    let limits = config(&["in"]).detect.decode_limits();
    let spec = DecodeSpec { format: Format::Json, ..DecodeSpec::default() };
    let mut source = Source::new(
        SourceState {
            input: "in".into(),
            partition: 0,
            lateness: Duration::ZERO,
            watermark: None,
            epoch: 1,
            max_clock_skew: Some(Duration::from_secs(60)),
        },
        Decoder::new(&spec, limits, Timing::Live).expect("a decoder"),
        Detector::new(rules(EACH), 3),
    );
    let mut times = Vec::new();
    for (offset, clock) in [None, Some(at(40)), Some(at(39)), Some(at(200))].into_iter().enumerate() {
        let bytes = event(100, json!({ "id": offset }));
        let raw = Raw { offset: offset as u64, bytes: bytes.as_bytes(), timestamp_ms: None, clock };
        times.extend(source.read(raw).expect("it decodes").iter().map(|signal| signal.time));
    }
    assert_eq!(times, [at(100), at(100), at(39), at(100)]);
    assert_eq!(source.take_counts().clamped, 1);
}
