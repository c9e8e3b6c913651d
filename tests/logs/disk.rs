//! What the embedded log promises on a disk: durability, retention that returns room, refusals.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tripline::{
    clock::Clock,
    config,
    log::{
        Cleanup, Committed, Log, LogError, Start, TopicSpec,
        local::{LocalLog, Machine},
    },
};

use super::contract::{self, Seat, at, commit, create, create_compacted, drive, read, record, text, within};

#[tokio::test]
async fn the_local_log_keeps_every_promise() {
    let folder = tempfile::tempdir().unwrap();
    contract::every_promise(LocalLog::open(&settings(folder.path())).unwrap(), "local").await;
}

#[tokio::test]
async fn a_reader_that_retention_overtook_hears_of_the_gap() {
    let folder = tempfile::tempdir().unwrap();
    contract::a_gap_is_reported(LocalLog::open(&settings(folder.path())).unwrap(), "local").await;
}

#[tokio::test]
async fn a_log_that_is_opened_again_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let small = config::LocalLog { segment_bytes: 20_000, ..settings(folder.path()) };
    let committed = Committed { next: 2, metadata: "epoch 3".to_owned() };
    for round in 0..3u64 {
        let log = LocalLog::open(&small).unwrap();
        let topic = create(&*log, "again", "events", 3).await;
        let state = create_compacted(&*log, "again", "state", 2).await;
        for n in 0..100 {
            let offsets = log.append(vec![text(&topic, 1, &format!("{round}.{n}.{}", "x".repeat(500)))]).await.unwrap();
            assert_eq!(offsets, [round * 100 + n]);
        }
        log.append(vec![record(&state, 1, Some("round"), Some(&round.to_string()))]).await.unwrap();
        log.commit(commit("g", &topic, 1, committed.clone())).await.unwrap();
    }
    let log = LocalLog::open(&small).unwrap();
    assert_eq!(log.partitions("again.events").await.unwrap(), 3);
    assert_eq!(log.offsets(&at("again.events", 1)).await.unwrap(), (0, 300));
    assert_eq!(log.offsets(&at("again.state", 1)).await.unwrap(), (0, 3));
    assert_eq!(log.compacted(&at("again.state", 1)).await.unwrap().into_values().collect::<Vec<_>>(), ["2"]);
    let mut seat = Seat::join(&*log, "g", "again.events");
    drive(&mut [&mut seat], |seats| seats[0].owned.len() == 3).await;
    let mine = seat.owned.get_mut(&at("again.events", 1)).unwrap();
    assert_eq!(mine.committed, Some(committed));
    let read = read(&mut *mine.reader, 298).await;
    for (index, record) in read.iter().enumerate() {
        let (round, n) = ((index + 2) / 100, (index + 2) % 100);
        assert!(record.text().starts_with(&format!("{round}.{n}.")), "{}", record.offset);
    }
}

#[tokio::test]
async fn a_second_opener_is_told_who_holds_the_data() {
    let folder = tempfile::tempdir().unwrap();
    let first = LocalLog::open(&settings(folder.path())).unwrap();
    let second = LocalLog::open(&settings(folder.path()));
    assert!(matches!(second, Err(LogError::Locked(path)) if path == folder.path().display().to_string()));
    drop(first);
    LocalLog::open(&settings(folder.path())).unwrap();
}

#[tokio::test]
async fn a_fixed_count_is_held_over_restarts() {
    let folder = tempfile::tempdir().unwrap();
    create(&*LocalLog::open(&settings(folder.path())).unwrap(), "fixed", "signals", 32).await;
    let spec = TopicSpec { name: "fixed.signals".to_owned(), partitions: 16, cleanup: bytes(1), fixed: true };
    let refused = LocalLog::open(&settings(folder.path())).unwrap().ensure(&[spec]).await;
    assert!(matches!(refused, Err(LogError::Partitions { found: 32, wanted: 16, .. })));
}

#[tokio::test]
async fn retention_by_size_returns_the_room() {
    let folder = tempfile::tempdir().unwrap();
    let log = LocalLog::open(&config::LocalLog { segment_bytes: 4 << 20, ..settings(folder.path()) }).unwrap();
    let spec = |bytes_max| TopicSpec { name: "a".to_owned(), partitions: 2, cleanup: bytes(bytes_max), fixed: true };
    log.ensure(&[spec(1 << 30)]).await.unwrap();
    for batch in 0..48 {
        let records = (0..1000).map(|n| text("a", n % 2, &noise(u64::from(batch * 1000 + n), 1000)));
        log.append(records.collect()).await.unwrap();
    }
    until("segments lie in files", || used_bytes(&folder.path().join("log/keyspaces")) > 40 << 20).await;
    let full = used_bytes(folder.path());
    log.ensure(&[spec(4 << 20)]).await.unwrap();
    until("what is too much is free again", || used_bytes(folder.path()) + (30 << 20) < full).await;
    let (first, end) = log.offsets(&at("a", 0)).await.unwrap();
    assert!(first > 0 && end == 24_000, "{first}..{end}");
    let mut reader = log.reader(&at("a", 0), Start::Earliest).await.unwrap();
    assert_eq!(read(&mut *reader, (end - first) as usize).await[0].offset, first);
}

#[tokio::test]
async fn retention_by_age_drops_what_nobody_writes_to_any_more() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Clock::manual(1_000_000);
    let log =
        LocalLog::open_on(&settings(folder.path()), Machine { clock: clock.clone(), ..Machine::default() }).unwrap();
    let cleanup = Cleanup::Delete { age: Some(Duration::from_secs(800)), bytes: None };
    log.ensure(&[TopicSpec { name: "a".to_owned(), partitions: 1, cleanup, fixed: true }]).await.unwrap();
    log.append(vec![text("a", 0, "old"); 3]).await.unwrap();
    clock.advance(Duration::from_secs(101));
    until("the segment is sealed", || segments(folder.path()) == 2).await;
    log.append(vec![text("a", 0, "new")]).await.unwrap();
    assert_eq!(log.offsets(&at("a", 0)).await.unwrap(), (0, 4));
    clock.advance(Duration::from_secs(750));
    until("the newer one is sealed", || segments(folder.path()) == 3).await;
    assert_eq!(log.offsets(&at("a", 0)).await.unwrap(), (0, 4), "it is kept for all its time");
    clock.advance(Duration::from_secs(51));
    until("the old one's files are gone", || segments(folder.path()) == 2).await;
    assert_eq!(log.offsets(&at("a", 0)).await.unwrap(), (3, 4));
}

#[tokio::test]
async fn a_full_disk_refuses_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let free = Arc::new(AtomicU64::new(1000));
    let machine = Machine {
        free_bytes: Arc::new({
            let free = free.clone();
            move |_| Ok(free.load(Ordering::SeqCst))
        }),
        ..Machine::default()
    };
    let log =
        LocalLog::open_on(&config::LocalLog { free_bytes_min: 1000, ..settings(folder.path()) }, machine).unwrap();
    let topic = create(&*log, "full", "events", 1).await;
    log.append(vec![text(&topic, 0, "first")]).await.unwrap();

    free.store(999, Ordering::SeqCst);
    let mut accepted = 1;
    let refused = within(async {
        loop {
            match log.append(vec![text(&topic, 0, "while there was room")]).await {
                Ok(_) => accepted += 1,
                Err(error) => break error,
            }
        }
    })
    .await;
    assert!(matches!(&refused, LogError::Full(_)) && refused.is_transient(), "{refused}");
    let commit = log.commit(commit("g", &topic, 0, Committed { next: 1, metadata: String::new() })).await;
    assert!(matches!(commit, Err(LogError::Full(_))));
    assert_eq!(log.offsets(&at(&topic, 0)).await.unwrap(), (0, accepted), "what was refused is not there");
    create(&*log, "full", "events", 1).await;

    free.store(1000, Ordering::SeqCst);
    within(async { while log.append(vec![text(&topic, 0, "again")]).await.is_err() {} }).await;
    assert_eq!(log.offsets(&at(&topic, 0)).await.unwrap(), (0, accepted + 1));
    let mut reader = log.reader(&at(&topic, 0), Start::Earliest).await.unwrap();
    assert_eq!(read(&mut *reader, accepted as usize + 1).await[accepted as usize].text(), "again");
}

/// A segment that is sealed is written to files by a thread of the store, which fails here for want of the folder.
#[tokio::test]
async fn a_store_that_failed_is_opened_again_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let log = LocalLog::open(&config::LocalLog { segment_bytes: 100_000, ..settings(folder.path()) }).unwrap();
    let topic = create(&*log, "broken", "events", 1).await;
    let mut acknowledged = log.append(vec![text(&topic, 0, "first")]).await.unwrap();

    let (segment, aside) = (folder.path().join("log/keyspaces/3"), folder.path().join("aside"));
    fs::rename(&segment, &aside).unwrap();
    let filler = "x".repeat(10_000);
    let failing = within(async {
        // The call whose batch is on its way when the store fails is answered when it is open again, and truly.
        let (sender, mut failed) = tokio::sync::mpsc::unbounded_channel();
        loop {
            let append = log.append(vec![text(&topic, 0, &filler); 5]);
            let sender = sender.clone();
            tokio::spawn(async move { sender.send(append.await).ok() });
            match tokio::time::timeout(Duration::from_secs(2), failed.recv()).await {
                Ok(Some(Ok(offsets))) => acknowledged.extend(offsets),
                Ok(_) => break None,
                Err(_) => break Some(failed),
            }
        }
    })
    .await;
    let refused = log.append(vec![text(&topic, 0, "refused")]).await;
    assert!(matches!(&refused, Err(error) if error.is_transient()), "{refused:?}");

    fs::rename(&aside, &segment).unwrap();
    within(async { while log.append(vec![text(&topic, 0, "again")]).await.is_err() {} }).await;
    if let Some(mut failing) = failing
        && let Some(Ok(offsets)) = within(failing.recv()).await
    {
        acknowledged.extend(offsets);
    }
    let (_, end) = log.offsets(&at(&topic, 0)).await.unwrap();
    assert_eq!(acknowledged, (0..end - 1).collect::<Vec<_>>(), "what was acknowledged is there, and nothing else");
    let mut reader = log.reader(&at(&topic, 0), Start::Earliest).await.unwrap();
    assert_eq!(read(&mut *reader, end as usize).await.last().unwrap().text(), "again");
}

#[tokio::test]
async fn damaged_records_are_an_error_that_names_them() {
    let folder = tempfile::tempdir().unwrap();
    let log = LocalLog::open(&config::LocalLog { segment_bytes: 100_000, ..settings(folder.path()) }).unwrap();
    let topic = create(&*log, "damaged", "events", 2).await;
    for n in 0..4 {
        log.append((0..100).map(|m| text(&topic, 1, &noise(n * 100 + m, 1000))).collect()).await.unwrap();
    }
    until("a segment lies in files", || !files(folder.path(), "blobs").is_empty()).await;
    let mut reader = log.reader(&at(&topic, 1), Start::Earliest).await.unwrap();
    for blob in files(folder.path(), "blobs") {
        let mut bytes = fs::read(&blob).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0xff;
        fs::write(&blob, bytes).unwrap();
    }
    let (mut seen, mut next) = (Vec::new(), 0);
    let error = loop {
        match reader.drain(10, &mut |record| seen.push(record.offset)) {
            Ok(drained) => next = drained.next,
            Err(error) => break error,
        }
        assert!(next < 400, "the damage is met");
    };
    assert_eq!(seen, (0..next).collect::<Vec<_>>());
    let LogError::Corrupt { topic: named, partition: 1, offset, .. } = error else { panic!("{error}") };
    assert_eq!((named, offset), (topic, next));
}

#[tokio::test]
async fn a_lost_tail_is_an_error_and_not_an_empty_log() {
    let folder = tempfile::tempdir().unwrap();
    let log = LocalLog::open(&settings(folder.path())).unwrap();
    let topic = create(&*log, "tail", "events", 1).await;
    log.append(vec![text(&topic, 0, "kept"); 10]).await.unwrap();
    drop(log);
    for journal in files(folder.path(), "jnl") {
        fs::File::options().write(true).open(journal).unwrap().set_len(0).unwrap();
    }
    let opened = LocalLog::open(&settings(folder.path()));
    let Err(LogError::Corrupt { topic: named, partition: 0, offset: 0, .. }) = opened else { panic!("it opened") };
    assert_eq!(named, topic);
    fs::remove_file(folder.path().join("acknowledged")).unwrap();
    LocalLog::open(&settings(folder.path())).expect("the operator goes on without them");
}

#[tokio::test]
async fn a_closed_log_tells_everyone() {
    let folder = tempfile::tempdir().unwrap();
    let log = LocalLog::open(&settings(folder.path())).unwrap();
    let topic = create(&*log, "closed", "events", 1).await;
    let mut reader = log.reader(&at(&topic, 0), Start::Latest).await.unwrap();
    let queued = log.append(vec![text(&topic, 0, "queued before the close")]);
    drop(log);
    assert_eq!(within(queued).await.unwrap(), [0]);
    assert!(matches!(within(reader.seek(1)).await, Ok(())));
    assert!(matches!(within(reader.ready()).await, Err(LogError::Closed)));
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

fn bytes(bytes: u64) -> Cleanup {
    Cleanup::Delete { age: None, bytes: Some(bytes) }
}

/// Text that does not compress.
fn noise(seed: u64, length: usize) -> String {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let letter = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(b'!' + (state >> 32) as u8 % 94)
    };
    (0..length).map(letter).collect()
}

fn used_bytes(folder: &Path) -> u64 {
    walkdir::WalkDir::new(folder)
        .into_iter()
        .filter_map(|entry| entry.ok()?.metadata().ok())
        .map(|file| file.blocks() * 512)
        .sum()
}

/// Folders of keyspaces, less the three that are no segments.
fn segments(folder: &Path) -> usize {
    fs::read_dir(folder.join("log/keyspaces")).unwrap().count() - 3
}

/// Files whose path has a part that ends in `word`.
fn files(folder: &Path, word: &str) -> Vec<PathBuf> {
    let is_it = |path: &PathBuf| {
        path.is_file() && path.strip_prefix(folder).unwrap().iter().any(|part| part.to_string_lossy().ends_with(word))
    };
    walkdir::WalkDir::new(folder).into_iter().filter_map(|entry| Some(entry.ok()?.into_path())).filter(is_it).collect()
}

async fn until(what: &str, mut happens: impl FnMut() -> bool) {
    let poll = async {
        while !happens() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), poll).await.unwrap_or_else(|_| panic!("in time: {what}"));
}
