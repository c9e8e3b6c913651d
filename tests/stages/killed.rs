//! The process is killed with kill -9 at random moments, and the alerts log is what it is without that.
//!
//! The process that is killed is this test binary, started again with [`CHILD`] in its environment: it runs the
//! stages on the folder until it dies.

use std::{
    env,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use rand::{Rng, SeedableRng, rngs::StdRng};
use tripline::{
    config::Config,
    log::{Log, local::LocalLog},
};

use super::{
    generated::{self, INPUTS, RULES},
    harness::{Running, alerts, assert_same, config, ensure_topics, rules, system},
};

/// Names the data folder of the process that is to be killed.
const CHILD: &str = "TRIPLINE_TEST_KILLED_STAGES";
const KILLS: u32 = 6;

fn kill_config(data: &Path) -> Config {
    let mut config = config(&INPUTS);
    config.local.data = data.to_owned();
    config.local.events_partitions = 2;
    config.local.sync_interval = Duration::from_millis(2);
    config.detect.batch_records_max = 11;
    config.correlate.batch_records_max = 13;
    config
}

fn open(config: &Config) -> Arc<dyn Log> {
    LocalLog::open(&config.local).expect("the log opens")
}

#[test]
fn a_pipeline_that_is_killed_with_kill_9_leaves_each_alert_once() {
    if let Some(data) = env::var_os(CHILD) {
        run_until_killed(Path::new(&data));
    }
    let folder = tempfile::tempdir().expect("a folder");
    let (config, rules) = (kill_config(folder.path()), rules(RULES));
    let parts = generated::partitioned(&generated::events(9, 2_500), 2);
    {
        let log = open(&config);
        system(async {
            ensure_topics(&*log, &config).await;
            for records in generated::batches(&config, &parts) {
                log.append(records).await.expect("the log takes records");
            }
        });
    }
    let mut random = StdRng::seed_from_u64(9);
    for _ in 0..KILLS {
        let mut child = start(folder.path());
        let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        assert!(lines.by_ref().map_while(Result::ok).any(|line| line.contains("the stages run")), "the child runs");
        let alive = Duration::from_millis(random.random_range(5..120));
        let started = Instant::now();
        while started.elapsed() < alive {
            std::thread::yield_now();
        }
        child.kill().expect("it is killed");
        child.wait().expect("it is gone");
    }
    let log = open(&config);
    system(async {
        let before = alerts(&*log, &config).await.len();
        let running = Running::on(&config, &log, &rules).await;
        running.walked_past(generated::end_of_time()).await;
        running.drain().await;
        let all = alerts(&*log, &config).await;
        assert!(before < all.len(), "all was done before the last kill");
        assert_same(&all, &generated::replay(&config, &rules, &parts), "after the kills");
    });
}

fn start(data: &Path) -> Child {
    Command::new(env::current_exe().expect("this binary"))
        .args(["a_pipeline_that_is_killed_with_kill_9", "--nocapture"])
        .env(CHILD, data)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts")
}

fn run_until_killed(data: &Path) -> ! {
    let config = kill_config(data);
    let (log, rules) = (open(&config), rules(RULES));
    actix::System::new().block_on(async {
        let _running = Running::on(&config, &log, &rules).await;
        println!("\nthe stages run");
        std::future::pending::<()>().await;
    });
    unreachable!("it is killed")
}
