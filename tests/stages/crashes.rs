//! Crash anywhere, exactly once: the process ends at any write, again and again, and the alerts log is what it is
//! without crashes.

use std::{path::Path, sync::Arc};

use rand::{Rng, SeedableRng, rngs::StdRng};
use tripline::{
    alert::Alert,
    config::Config,
    log::{Log, local::LocalLog, memory::MemoryLog},
    rule::RuleSet,
    stage::no_hook,
};

use super::{
    generated::{self, INPUTS, Partitioned, RULES},
    harness::{Running, around, assert_same, config, ensure_topics, rules, system, until},
    severed::Severed,
};

/// Each is a run of its own, with several crashes.
const SEEDS_ON_MEMORY: u64 = 36;
const SEEDS_ON_DISK: u64 = 3;

/// Restarts after which a run goes on to its end undisturbed.
const CRASHES_MAX: u32 = 8;

/// Small batches: many writes, so many places to crash at.
fn crash_config() -> Config {
    let mut config = config(&INPUTS);
    config.local.events_partitions = 2;
    config.correlate.partitions = 3;
    config.detect.batch_records_max = 23;
    config.correlate.batch_records_max = 17;
    config
}

struct Input {
    config: Config,
    rules: Arc<RuleSet>,
    parts: Partitioned,
    expected: Vec<Alert>,
}

impl Input {
    fn of(seed: u64) -> Self {
        let (config, rules) = (crash_config(), rules(RULES));
        let parts = generated::partitioned(&generated::events(seed, 300), 2);
        let expected = generated::replay(&config, &rules, &parts);
        Input { config, rules, parts, expected }
    }

    fn feed(&self, log: &dyn Log) {
        system(async {
            ensure_topics(log, &self.config).await;
            for records in generated::batches(&self.config, &self.parts) {
                log.append(records).await.expect("the log takes records");
            }
        });
    }

    /// Runs until `writes` are spent, or to the end; says whether it came to the end.
    fn run(&self, log: Arc<dyn Log>, writes: i64, last_lands: bool) -> bool {
        let severed = Severed::new(log, writes, last_lands);
        let log: Arc<dyn Log> = severed.clone();
        let surroundings = around(&self.config, &log, no_hook());
        drop(log);
        let undisturbed = async {
            let running = Running::start(surroundings, &self.rules, Vec::new()).await;
            running.walked_past(generated::end_of_time()).await;
            running.drain().await;
        };
        let ended = system(async {
            tokio::select! {
                () = severed.is_cut() => false,
                () = undisturbed => true,
            }
        });
        // The dead process's threads are gone when nothing of it holds the log.
        system(until("the crashed process is gone", async || Arc::strong_count(&severed) == 1));
        ended
    }

    fn check(&self, log: &dyn Log, what: &str) {
        let alerts = system(super::harness::alerts(log, &self.config));
        assert_same(&alerts, &self.expected, what);
    }
}

#[test]
fn a_crash_at_any_write_leaves_each_alert_once_on_the_memory_log() {
    let mut crashes = 0;
    for seed in 0..SEEDS_ON_MEMORY {
        let mut random = StdRng::seed_from_u64(seed);
        let input = Input::of(seed);
        let log: Arc<dyn Log> = MemoryLog::new();
        input.feed(&*log);
        let mut ended = false;
        for _ in 0..CRASHES_MAX {
            let writes = random.random_range(0..60);
            ended = input.run(log.clone(), writes, random.random_bool(0.5));
            if ended {
                break;
            }
            crashes += 1;
        }
        assert!(ended || input.run(log.clone(), i64::MAX, true));
        input.check(&*log, &format!("seed {seed}"));
    }
    assert!(crashes > SEEDS_ON_MEMORY, "{crashes} crashes are few");
}

#[test]
fn a_crash_at_any_write_leaves_each_alert_once_on_the_local_log() {
    for seed in 100..100 + SEEDS_ON_DISK {
        let mut random = StdRng::seed_from_u64(seed);
        let input = Input::of(seed);
        let folder = tempfile::tempdir().expect("a folder");
        input.feed(&*open(&input.config, folder.path()));
        for _ in 0..CRASHES_MAX {
            // The folder is opened again, as by the next process.
            let writes = random.random_range(0..60);
            if input.run(open(&input.config, folder.path()), writes, random.random_bool(0.5)) {
                break;
            }
        }
        assert!(input.run(open(&input.config, folder.path()), i64::MAX, true));
        input.check(&*open(&input.config, folder.path()), &format!("seed {seed}"));
    }
}

fn open(config: &Config, data: &Path) -> Arc<dyn Log> {
    let local = tripline::config::LocalLog { data: data.to_owned(), ..config.local.clone() };
    LocalLog::open(&local).expect("the log opens")
}
