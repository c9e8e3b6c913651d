//! What the embedded log promises on a disk: durability, retention that returns room, refusals.

use std::{path::Path, time::Duration};

use tripline::{config, log::local::LocalLog};

use super::contract;

#[tokio::test]
async fn the_local_log_keeps_every_promise() {
    let folder = tempfile::tempdir().unwrap();
    contract::every_promise(LocalLog::open(&settings(folder.path())).unwrap(), "local").await;
}

pub fn settings(data: &Path) -> config::LocalLog {
    config::LocalLog {
        data: data.to_owned(),
        events_partitions: 2,
        retention: Duration::from_secs(3600),
        retention_bytes: 1 << 40,
        segment_bytes: 64 * 1024 * 1024,
        sync_interval: Duration::from_millis(2),
        free_bytes_min: 0,
    }
}
