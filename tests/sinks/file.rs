//! The file.

use std::fs;

use tripline::{alert::Alert, config::SinkKind};

use super::{alerts, deliver, receiver, sink};

#[tokio::test]
async fn alerts_are_whole_lines_across_restarts_and_rotation() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new/alerts.ndjson");
    let sink = sink(SinkKind::File { path: path.clone() });
    let batch = alerts(3);

    let mut before = receiver(&sink);
    assert_eq!(deliver(&mut before, &batch[..1]).await.acknowledged(), 1);
    let rotated = folder.path().join("new/alerts.1");
    fs::rename(&path, &rotated).unwrap();
    assert_eq!(deliver(&mut before, &batch[1..2]).await.acknowledged(), 1);
    let mut after = receiver(&sink);
    assert_eq!(deliver(&mut after, &batch[2..]).await.acknowledged(), 1);

    let read = |path| -> Vec<Alert> {
        let text = fs::read_to_string(path).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    assert_eq!(read(&rotated), batch[..1]);
    assert_eq!(read(&path), batch[1..]);
}

#[tokio::test]
async fn a_full_disk_gives_up_with_its_reason_after_the_attempts() {
    // The device that answers every write with "no space left".
    let mut receiver = receiver(&sink(SinkKind::File { path: "/dev/full".into() }));
    let delivered = deliver(&mut receiver, &alerts(2)).await;
    assert_eq!((delivered.decided, delivered.acknowledged()), (2, 0));
    for given_up in &delivered.given_up {
        assert_eq!(given_up.attempts, 4);
        assert!(given_up.reason.contains("/dev/full") && given_up.reason.contains("No space"), "{}", given_up.reason);
    }
}
