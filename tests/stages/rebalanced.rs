//! Several members of one group: partitions move while events come, and the alerts are those of one.

use std::sync::Arc;

use rand::{Rng, SeedableRng, rngs::StdRng};
use tripline::log::{Log, memory::MemoryLog};

use super::{
    generated::{self, INPUTS, RULES},
    harness::{Running, alerts, assert_same, config, ensure_topics, rules, system, until},
};

#[test]
fn members_that_come_and_go_lose_nothing_and_repeat_nothing() {
    let rules = rules(RULES);
    for seed in 0..8 {
        let mut random = StdRng::seed_from_u64(seed);
        let mut config = config(&INPUTS);
        config.local.events_partitions = 3;
        config.correlate.partitions = 5;
        config.detect.batch_records_max = 20;
        let parts = generated::partitioned(&generated::events(seed, 400), 3);
        let log: Arc<dyn Log> = MemoryLog::new();
        system(async {
            ensure_topics(&*log, &config).await;
            let mut members = vec![Running::on(&config, &log, &rules).await];
            for records in generated::batches(&config, &parts) {
                log.append(records).await.unwrap();
                match random.random_range(0..3) {
                    0 if members.len() < 4 => members.push(Running::on(&config, &log, &rules).await),
                    1 if members.len() > 1 => {
                        let leaver = members.swap_remove(random.random_range(0..members.len()));
                        leaver.drain().await;
                    }
                    _ => tokio::task::yield_now().await,
                }
            }
            until("time has passed everything", async || {
                let walked = members.iter().flat_map(|member| member.status().signals);
                let past = walked.filter(|signals| signals.frontier.is_some_and(|at| at > generated::end_of_time()));
                past.map(|signals| signals.partition).collect::<std::collections::BTreeSet<_>>().len() == 5
            })
            .await;
            for member in members {
                member.drain().await;
            }
        });
        let expected = generated::replay(&config, &rules, &parts);
        assert_same(&system(alerts(&*log, &config)), &expected, &format!("seed {seed}"));
    }
}
