//! All files of an input: found by their paths and globs, known by their inodes, read in turn.
//!
//! Blocking file access, no tokio: [`super::FileReceiver`] drives it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::{
    positions::{FileId, FilePosition},
    tail::{self, Tail},
};
use crate::config::StartAt;

/// Files that are open at a time; further ones wait until others are gone.
pub const FILES_MAX: usize = 4096;
/// Positions that are kept of files that are not followed at the moment; the oldest goes first.
const ABSENT_MAX: usize = 4096;
/// A rotated file is read on for so long: its writer may not have noticed yet.
pub const ROTATED_GRACE: Duration = Duration::from_secs(10);
/// Rotated files that were compressed: their lines were read before.
const COMPRESSED: [&str; 6] = ["gz", "bz2", "xz", "zst", "zip", "lz4"];

/// Lines of one file.
#[derive(Debug)]
pub struct Batch {
    pub id: FileId,
    pub path: PathBuf,
    pub lines: Vec<Bytes>,
    pub cut: u64,
}

/// What happened to files since the last [`Follower::take_counts`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FollowCounts {
    /// Emptied while they were followed: what they held unread is gone.
    pub truncated: u64,
    /// Could not be read, each counted once until it can.
    pub unreadable: u64,
}

pub struct Follower {
    counts: FollowCounts,
    patterns: Vec<PathBuf>,
    start: StartAt,
    tails: BTreeMap<FileId, Tail>,
    /// Positions of files that are not open: gone, or not found yet.
    absent: Vec<FilePosition>,
    scanned: bool,
    /// What was complained about, so that each complaint is logged once.
    complaints: BTreeSet<PathBuf>,
    /// The file whose turn it is.
    turn: Option<FileId>,
}

impl Follower {
    /// `known` are the positions of the last run.
    pub fn new(patterns: Vec<PathBuf>, start: StartAt, known: Vec<FilePosition>) -> Self {
        Follower {
            counts: FollowCounts::default(),
            patterns,
            start,
            tails: BTreeMap::new(),
            absent: known,
            scanned: false,
            complaints: BTreeSet::new(),
            turn: None,
        }
    }

    /// Looks for files that are new or gone.
    pub fn scan(&mut self, now: Instant) {
        let found = self.find();
        let present: BTreeSet<FileId> = found.iter().map(|(_, id)| *id).collect();
        for (path, id) in found {
            if !self.tails.contains_key(&id) {
                let opened = self.open(&path);
                self.settle(&path, opened);
            }
        }
        if !self.scanned {
            self.find_rotated();
        }
        for tail in self.tails.values_mut() {
            tail.gone_since = match tail.gone_since {
                _ if present.contains(&tail.id) => None,
                since => since.or(Some(now)),
            };
        }
        self.scanned = true;
    }

    /// The lines of the next file that has some, each file in its turn; `None` when all are read to their ends.
    pub fn read(&mut self, now: Instant) -> Option<Batch> {
        let after = self.turn.take();
        let later = self.tails.keys().copied().filter(|id| after.is_some_and(|after| *id > after));
        let earlier = self.tails.keys().copied().filter(|id| after.is_none_or(|after| *id <= after));
        let order: Vec<FileId> = later.chain(earlier).collect();
        for id in order {
            if let Some(batch) = self.read_one(id, now) {
                self.turn = Some(id);
                return Some(batch);
            }
        }
        None
    }

    /// The log has all lines of the file that were read.
    pub fn acknowledge(&mut self, id: FileId) {
        if let Some(tail) = self.tails.get_mut(&id) {
            tail.acknowledge();
        }
    }

    pub fn take_counts(&mut self) -> FollowCounts {
        std::mem::take(&mut self.counts)
    }

    /// What to remember.
    pub fn positions(&self) -> Vec<FilePosition> {
        self.absent.iter().cloned().chain(self.tails.values().map(Tail::position)).collect()
    }

    fn read_one(&mut self, id: FileId, now: Instant) -> Option<Batch> {
        let tail = self.tails.get_mut(&id)?;
        loop {
            let read = tail.read();
            self.counts.truncated += u64::from(read.as_ref().is_ok_and(|lines| lines.truncated));
            match read {
                Ok(lines) if !lines.lines.is_empty() => {
                    let path = tail.path.clone();
                    return Some(Batch { id, path, lines: lines.lines, cut: lines.cut });
                }
                Ok(lines) if lines.progressed => {}
                Ok(_) => break,
                Err(error) => {
                    let tail = self.close(id)?;
                    self.complain(&tail.path, &error);
                    return None;
                }
            }
        }
        tail.gone_since.filter(|since| now.saturating_duration_since(*since) >= ROTATED_GRACE)?;
        match tail.finish() {
            // closed at the next turn, when the log has the line
            Some(line) => Some(Batch { id, path: tail.path.clone(), lines: vec![line], cut: 0 }),
            None => {
                self.close(id);
                None
            }
        }
    }

    /// Lets go of a file; should it come back, it is read on from where it was.
    fn close(&mut self, id: FileId) -> Option<Tail> {
        let tail = self.tails.remove(&id)?;
        self.absent.push(tail.position());
        if self.absent.len() > ABSENT_MAX {
            self.absent.remove(0);
        }
        Some(tail)
    }

    /// Every file that a path or glob leads to, by name, once.
    fn find(&self) -> Vec<(PathBuf, FileId)> {
        let mut found = Vec::new();
        let mut seen = BTreeSet::new();
        for pattern in &self.patterns {
            // patterns were checked when the input was opened; a folder that can't be read has no files
            let paths = glob::glob(&pattern.to_string_lossy()).into_iter().flatten().flatten();
            for path in paths.filter(|path| !is_compressed(path)) {
                let Ok(metadata) = fs::metadata(&path) else { continue };
                let id = FileId::of(&metadata);
                if metadata.is_file() && seen.insert(id) {
                    found.push((path, id));
                }
            }
        }
        found
    }

    /// Opens a file where reading it has to begin.
    fn open(&mut self, path: &Path) -> io::Result<Tail> {
        if self.tails.len() >= FILES_MAX {
            return Err(io::Error::other(format!("{FILES_MAX} files are followed already")));
        }
        if path.to_str().is_none() {
            return Err(io::Error::other("the name is not UTF-8"));
        }
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        let id = FileId::of(&metadata);
        let same = |known: &FilePosition| known.id == id || known.id.ino == id.ino && known.path == path;
        let at = self.absent.iter().position(same);
        let was_known = at.is_some() || self.absent.iter().any(|known| known.path == path);
        if let Some(known) = at.map(|at| self.absent.remove(at))
            && metadata.len() >= known.offset
            && known.fingerprint.matches(&file, metadata.len())?
        {
            return Tail::new(known.path, file, known.offset);
        }
        let first_time = !self.scanned && !was_known;
        let offset = if first_time && self.start == StartAt::Latest { tail::after_last_line(&file)? } else { 0 };
        Tail::new(path.to_owned(), file, offset)
    }

    /// Files that were rotated away while nobody looked: the rest of them is in the same folder under another name.
    fn find_rotated(&mut self) {
        let folders: BTreeSet<PathBuf> =
            self.absent.iter().filter_map(|known| Some(known.path.parent()?.into())).collect();
        let entries = folders.iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten().flatten();
        for path in entries.map(|entry| entry.path()).filter(|path| !is_compressed(path)) {
            let Ok(metadata) = fs::metadata(&path) else { continue };
            let id = FileId::of(&metadata);
            if self.tails.contains_key(&id) || !self.absent.iter().any(|known| known.id == id) {
                continue;
            }
            let known = self.absent.iter().find(|known| known.id == id).map(|known| known.fingerprint);
            let opened = File::open(&path).and_then(|file| known.unwrap_or_default().matches(&file, metadata.len()));
            if opened.is_ok_and(|same| same) {
                let opened = self.open(&path);
                self.settle(&path, opened);
            }
        }
    }

    fn settle(&mut self, path: &Path, opened: io::Result<Tail>) {
        match opened {
            Ok(tail) => {
                self.complaints.remove(path);
                self.tails.insert(tail.id, tail);
            }
            Err(error) => self.complain(path, &error),
        }
    }

    fn complain(&mut self, path: &Path, error: &io::Error) {
        if self.complaints.len() < FILES_MAX && self.complaints.insert(path.to_owned()) {
            self.counts.unreadable += 1;
            tracing::warn!(path = %path.display(), %error, "a file can't be read; trying again");
        }
    }
}

fn is_compressed(path: &Path) -> bool {
    path.extension().is_some_and(|end| COMPRESSED.iter().any(|compressed| end == *compressed))
}
