//! Ten thousand malformed records among a hundred thousand good ones: each bad one is a dead letter with its reason,
//! each good one is evaluated, and no line restarts.

use std::{collections::BTreeMap, sync::Arc};

use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::json;
use tripline::log::{Log, Record, memory::MemoryLog};

use super::harness::{Running, config, ensure_topics, event, record, rules, system, until};

const GOOD: u64 = 100_000;
const BAD: u64 = 10_000;

/// Each of these is larger than what a record may be.
const HUGE: u64 = 20;

const RULES: &str = r#"
rule(#{ id: "all", title: "all", severity: "low", event: |e| exists(e.id), by: ["no.such.field"] });
rule(#{ id: "some", title: "some", severity: "low", event: |e| e.id % 500 == 7, by: ["id"] });
"#;

fn bad(random: &mut StdRng, n: u64, record_bytes_max: usize) -> Vec<u8> {
    let whole = event(n, json!({ "id": n, "message": "a record that was cut off on its way" }));
    if n < HUGE {
        let filler = "x".repeat(record_bytes_max);
        return event(n, json!({ "id": n, "message": filler })).into_bytes();
    }
    match n % 10 {
        // Its last byte at least is gone.
        0..=2 => whole.as_bytes()[..random.random_range(1..whole.len())].to_vec(),
        3 => (0..random.random_range(1..200)).map(|_| random.random_range(0x80..=0xff)).collect(),
        4 => [&whole.as_bytes()[..10], b"\0\x01\x02", &whole.as_bytes()[10..]].concat(),
        5 => format!("[{whole}]").into_bytes(),
        6 => [&b"42"[..], b"\"text\"", b"null", b"true"][n as usize / 10 % 4].to_vec(),
        7 => [&br#"{"a":"#.repeat(100), &b"1"[..], &b"}".repeat(100)].concat(),
        8 => event(n, (0..1_500).map(|n| (format!("f{n}"), n.into())).collect::<serde_json::Map<_, _>>().into())
            .into_bytes(),
        _ => format!("{whole} and more").into_bytes(),
    }
}

#[test]
fn malformed_records_are_dead_letters_and_every_good_one_is_evaluated() {
    let mut config = config(&["in"]);
    config.local.events_partitions = 2;
    config.detect.marker_interval = std::time::Duration::from_millis(100);
    let mut random = StdRng::seed_from_u64(7);
    let mut expected = BTreeMap::new();
    let mut next = [0; 2];
    let mut batches: Vec<Vec<Record>> = Vec::new();
    let (mut good, mut bads) = (0, 0);
    while good + bads < GOOD + BAD {
        let mut batch = Vec::new();
        while batch.len() < 1_000 && good + bads < GOOD + BAD {
            let partition = random.random_range(0..2);
            let bytes = if random.random_range(0..GOOD + BAD - good - bads) < BAD - bads {
                let bytes = bad(&mut random, bads, config.detect.record_bytes_max);
                expected.insert((partition, next[partition as usize]), bytes.len());
                bads += 1;
                bytes
            } else {
                good += 1;
                event(good, json!({ "id": good })).into_bytes()
            };
            next[partition as usize] += 1;
            batch.push(record(&config, "in", partition, bytes));
        }
        batches.push(batch);
    }

    let log: Arc<dyn Log> = MemoryLog::new();
    system(async {
        ensure_topics(&*log, &config).await;
        let running = Running::on(&config, &log, &rules(RULES)).await;
        for batch in batches {
            running.append(batch).await;
        }
        running.has_read(GOOD + BAD).await;
        let wanted = GOOD as usize / 500;
        until("the alerts are there", async || running.alerts().await.len() >= wanted).await;

        let status = running.status();
        let all = status.rules.iter().find(|rule| &*rule.id == "all").expect("the rule is on the board");
        assert_eq!((all.matched, all.missing_key), (GOOD, GOOD));
        assert_eq!(status.sources.iter().map(|source| source.events).sum::<u64>(), GOOD);
        assert!(status.restarts.is_empty(), "{:?}", status.restarts);
        assert_eq!(running.alerts().await.len(), wanted);

        let letters = running.dead_letters().await;
        let found: BTreeMap<_, _> = letters.iter().map(|letter| ((letter.partition, letter.offset), letter)).collect();
        assert_eq!((letters.len(), found.len()), (BAD as usize, BAD as usize));
        for (position, bytes) in &expected {
            let letter = found[position];
            assert_eq!((&*letter.input, &*letter.stage), ("in", "decode"));
            assert_eq!(letter.raw_base64.len(), bytes.div_ceil(3) * 4, "its bytes are kept");
        }
        let mut reasons: Vec<&str> = letters.iter().filter_map(|letter| letter.reason.split(':').next()).collect();
        reasons.sort_unstable();
        reasons.dedup();
        for reason in ["bad_json", "not_utf8", "not_an_object", "too_deep", "too_large", "too_many_fields"] {
            assert!(reasons.contains(&reason), "{reason} is not among {reasons:?}");
        }
        let counted: u64 = status.dead_letters.iter().map(|letters| letters.count).sum();
        assert_eq!(counted, BAD, "{:?}", status.dead_letters);
        running.drain().await;
    });
}
