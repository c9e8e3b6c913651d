//! Files followed through whatever log rotation does to them.

use std::{
    fs::{self, File, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
};

use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tripline::{
    config::StartAt,
    input::{InputError, file::FileReceiver},
};

use super::{House, PATIENCE, until};

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Folder(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn append(&self, name: &str, text: &str) -> File {
        let mut file = OpenOptions::new().append(true).create(true).open(self.path(name)).unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file
    }

    fn rename(&self, from: &str, to: &str) {
        fs::rename(self.path(from), self.path(to)).unwrap();
    }

    fn positions(&self) -> PathBuf {
        self.path("data/positions.json")
    }
}

/// A receiver at work.
struct Running {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Running {
    fn start(house: &House, folder: &Folder, pattern: &str, start: StartAt) -> Self {
        let receiver = FileReceiver::open(vec![folder.path(pattern)], start, folder.positions()).unwrap();
        let stop = house.stop.child_token();
        Running { task: tokio::spawn(receiver.run(house.intake.clone(), stop.clone())), stop }
    }

    async fn stop(self) {
        self.stop.cancel();
        tokio::time::timeout(PATIENCE, self.task).await.expect("it stops").unwrap();
    }
}

/// How far the positions file says that the file was read.
fn saved(positions: &Path, name: &str) -> Option<u64> {
    let saved: serde_json::Value = serde_json::from_slice(&fs::read(positions).ok()?).ok()?;
    let mut files = saved["files"].as_array()?.iter();
    files.find(|file| file["path"].as_str().is_some_and(|path| path.ends_with(name)))?["offset"].as_u64()
}

#[tokio::test]
async fn the_past_is_read_then_what_is_added_and_a_line_waits_for_its_end() {
    let (house, folder) = (House::new().await, Folder::new());
    folder.append("auth.log", "one\ntwo\nthr");
    let running = Running::start(&house, &folder, "auth.log", StartAt::Earliest);
    house.holds(&["one", "two"]).await;
    folder.append("auth.log", "ee\n\nfour\r\n");
    house.holds(&["one", "two", "three", "four"]).await;
    assert_eq!(house.lines().await, ["one", "two", "three", "four"], "in order");
    running.stop().await;
}

#[tokio::test]
async fn latest_skips_the_past_but_not_a_file_that_appears_later() {
    let (house, folder) = (House::new().await, Folder::new());
    folder.append("a.log", "past\nha");
    let running = Running::start(&house, &folder, "*.log", StartAt::Latest);
    until("the file was seen", || saved(&folder.positions(), "a.log") == Some(5)).await;
    folder.append("a.log", "lf\n");
    folder.append("b.log", "later\n");
    house.holds(&["half", "later"]).await;
    running.stop().await;
}

#[tokio::test]
async fn rename_and_create_loses_no_line_of_the_old_file() {
    let (house, folder) = (House::new().await, Folder::new());
    let mut old = folder.append("auth.log", "one\n");
    let running = Running::start(&house, &folder, "auth.log", StartAt::Earliest);
    house.holds(&["one"]).await;
    folder.rename("auth.log", "auth.log.1");
    folder.append("auth.log", "new\n");
    house.holds(&["one", "new"]).await;
    old.write_all(b"written after the rotation\n").unwrap();
    house.holds(&["one", "new", "written after the rotation"]).await;
    running.stop().await;
}

#[tokio::test]
async fn a_rotated_file_that_the_glob_still_matches_is_not_read_again() {
    let (house, folder) = (House::new().await, Folder::new());
    folder.append("app.log", "one\n");
    let running = Running::start(&house, &folder, "app.log*", StartAt::Earliest);
    house.holds(&["one"]).await;
    folder.rename("app.log", "app.log.1");
    folder.append("app.log", "two\n");
    folder.append("app.log.0.gz", "compressed\n");
    house.holds(&["one", "two"]).await;
    folder.append("app.log", "three\n");
    house.holds(&["one", "two", "three"]).await;
    running.stop().await;
}

#[tokio::test]
async fn copytruncate_goes_on_at_the_new_beginning() {
    let (house, folder) = (House::new().await, Folder::new());
    folder.append("app.log", "one, a long line\ntwo\n");
    let running = Running::start(&house, &folder, "app.log", StartAt::Earliest);
    house.holds(&["one, a long line", "two"]).await;
    fs::copy(folder.path("app.log"), folder.path("app.log.1")).unwrap();
    File::options().write(true).open(folder.path("app.log")).unwrap().set_len(0).unwrap();
    folder.append("app.log", "three\n");
    house.holds(&["one, a long line", "two", "three"]).await;
    running.stop().await;
}

#[tokio::test]
async fn a_restart_goes_on_where_it_was_and_finds_what_was_rotated_meanwhile() {
    let (house, folder) = (House::new().await, Folder::new());
    folder.append("auth.log", "one\n");
    let running = Running::start(&house, &folder, "auth.log", StartAt::Earliest);
    house.holds(&["one"]).await;
    running.stop().await;
    folder.append("auth.log", "two\n");
    let running = Running::start(&house, &folder, "auth.log", StartAt::Latest);
    house.holds(&["one", "two"]).await;
    running.stop().await;
    folder.append("auth.log", "three\n");
    folder.rename("auth.log", "auth.log.1");
    folder.append("auth.log", "four\n");
    let running = Running::start(&house, &folder, "auth.log", StartAt::Latest);
    house.holds(&["one", "two", "three", "four"]).await;
    running.stop().await;
}

#[tokio::test]
async fn what_the_log_did_not_take_is_read_again_after_a_restart() {
    let (house, folder) = (House::new().await, Folder::new());
    folder.append("auth.log", "one\n");
    let running = Running::start(&house, &folder, "auth.log", StartAt::Earliest);
    house.holds(&["one"]).await;
    house.door.shut(true);
    folder.append("auth.log", "two\n");
    until("an append is tried again", || house.intake.counts().retries.get() > 1).await;
    running.stop().await;
    assert_eq!(saved(&folder.positions(), "auth.log"), Some(4));
    house.door.shut(false);
    let running = Running::start(&house, &folder, "auth.log", StartAt::Earliest);
    house.holds(&["one", "two"]).await;
    running.stop().await;
}

#[tokio::test]
async fn a_file_that_took_the_inode_of_another_is_read_from_its_beginning() {
    let (house, folder) = (House::new().await, Folder::new());
    folder.append("a.log", "the first file\n");
    let running = Running::start(&house, &folder, "*.log", StartAt::Earliest);
    house.holds(&["the first file"]).await;
    running.stop().await;
    // written in place: the inode stays, the beginning does not
    fs::write(folder.path("a.log"), "quite another file, and longer\n").unwrap();
    let running = Running::start(&house, &folder, "*.log", StartAt::Latest);
    house.holds(&["the first file", "quite another file, and longer"]).await;
    running.stop().await;
}

#[tokio::test]
async fn more_than_one_chunk_of_many_files_arrives_whole_and_in_order() {
    let (house, folder) = (House::new().await, Folder::new());
    let text =
        |name: &str| (0..30_000).map(|n| format!("<13>May  1 10:00:00 {name} app: {n:060}\n")).collect::<String>();
    for name in ["a", "b", "c"] {
        folder.append(&format!("{name}.log"), &text(name));
    }
    let running = Running::start(&house, &folder, "*.log", StartAt::Earliest);
    until("all lines are there", || house.intake.counts().accepted.get() == 90_000).await;
    let lines = house.lines().await;
    for name in ["a", "b", "c"] {
        let of_one = lines.iter().filter(|line| line.split(' ').nth(4) == Some(name));
        assert!(of_one.map(|line| format!("{line}\n")).collect::<String>() == text(name), "{name} is out of order");
    }
    running.stop().await;
}

#[tokio::test]
async fn a_glob_that_is_none_and_positions_that_are_broken_are_refused_by_name() {
    let folder = Folder::new();
    let open = |pattern: &str| FileReceiver::open(vec![folder.path(pattern)], StartAt::Earliest, folder.positions());
    let error = open("a***b").err().expect("no glob");
    assert!(matches!(error, InputError::Pattern { .. }) && error.to_string().contains("a***b"), "{error}");
    fs::create_dir_all(folder.path("data")).unwrap();
    fs::write(folder.positions(), "{").unwrap();
    let error = open("a.log").err().expect("broken positions");
    assert!(error.to_string().contains("positions.json"), "{error}");
}
