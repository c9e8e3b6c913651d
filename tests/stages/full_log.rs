//! A log without room holds the stages up and ends nothing: they go on when there is room, and lose or repeat nothing.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use tripline::{
    clock::Clock,
    log::{
        Log, LogError,
        local::{LocalLog, Machine},
    },
    stage::no_hook,
    telemetry::LineState,
};

use super::{
    generated::{self, INPUTS, RULES},
    harness::{Running, alerts, around, assert_same, config, ensure_topics, record, rules, system, until},
};

#[test]
fn the_stages_wait_for_room_without_end_and_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(&INPUTS);
    config.local.data = folder.path().to_owned();
    config.local.free_bytes_min = 1;
    config.supervisor.restarts_max = 3;
    let free = Arc::new(AtomicU64::new(u64::MAX));
    let room = free.clone();
    let machine = Machine { clock: Clock::System, free_bytes: Arc::new(move |_| Ok(room.load(Ordering::SeqCst))) };
    let log: Arc<dyn Log> = LocalLog::open_on(&config.local, machine).expect("the log opens");
    let rules = rules(RULES);
    let parts = generated::partitioned(&generated::events(11, 300), 1);
    system(async {
        ensure_topics(&*log, &config).await;
        let mut running = Running::start(around(&config, &log, no_hook()), &rules, Vec::new()).await;
        let batches = generated::batches(&config, &parts);
        let (last, events) = batches.split_last().expect("batches");
        for records in events {
            running.append(records.clone()).await;
        }
        free.store(0, Ordering::SeqCst);
        until("the log refuses", async || {
            let refused = log.append(vec![record(&config, "auth", 0, "x")]).await;
            matches!(refused, Err(LogError::Full(_)))
        })
        .await;
        until("lines are held up more often than failures are forgiven", async || {
            let detect = running.restarts("detect");
            detect > 8 && running.status().lines.iter().any(|line| line.state == LineState::Restarting)
        })
        .await;
        assert!(running.escalations.try_recv().is_err(), "a full disk is no reason to end");
        free.store(u64::MAX, Ordering::SeqCst);
        until("the log takes records again", async || log.append(last.clone()).await.is_ok()).await;
        running.walked_past(generated::end_of_time()).await;
        running.drain().await;
    });
    let found = system(alerts(&*log, &config));
    let essence = super::harness::lines;
    assert_eq!(essence(&found), essence(&generated::replay(&config, &rules, &parts)));
    assert_same(&found, &super::harness::sorted(found.clone()), "one of each");
}
