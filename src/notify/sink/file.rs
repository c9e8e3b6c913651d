//! A file of NDJSON: appended, on the disk before it counts, and found again after a rotation.

use std::{
    fs,
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use futures_util::{FutureExt, future::BoxFuture};

use super::{Sink, lane::Lane};
use crate::{
    alert::Alert,
    notify::{error::Failure, render},
};

/// Alerts that share an fsync.
const BATCH_MAX: usize = 500;
/// Alerts tell of people and machines: not for everyone's eyes.
const MODE: u32 = 0o640;

pub(super) struct File {
    path: PathBuf,
    appender: Arc<Mutex<Appender>>,
    lane: Lane,
}

impl File {
    pub fn new(path: &Path) -> Self {
        let appender = Appender { path: path.to_owned(), open: None };
        File { path: path.to_owned(), appender: Arc::new(Mutex::new(appender)), lane: Lane::default() }
    }
}

impl Sink for File {
    fn batch_max(&self) -> usize {
        BATCH_MAX
    }

    fn send<'a>(&'a mut self, alerts: &'a [Alert]) -> BoxFuture<'a, Result<(), Failure>> {
        let lines: String = alerts.iter().map(|alert| render::json(alert) + "\n").collect();
        let appender = self.appender.clone();
        // A job that panicked left no open file behind: `append` takes it out while it works.
        let append = move || appender.lock().unwrap_or_else(PoisonError::into_inner).append(lines.as_bytes());
        async move {
            let result = self.lane.run(append).await;
            result.map_err(|error| Failure::passing(format!("{}: {error}", self.path.display())))
        }
        .boxed()
    }
}

struct Appender {
    path: PathBuf,
    open: Option<fs::File>,
}

impl Appender {
    /// Appends whole lines; they are on the disk when this returns `Ok`. After an error the file is opened anew, and
    /// a line that was left half is ended first.
    fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        let mut file = match self.open.take() {
            Some(file) if is_still_at(&file, &self.path) => file,
            _ => open(&self.path)?,
        };
        file.write_all(lines)?;
        if file.metadata()?.is_file() {
            file.sync_data()?;
        }
        self.open = Some(file);
        Ok(())
    }
}

/// Whether `path` still names the file that is open: a rotation moves it away or removes it.
fn is_still_at(file: &fs::File, path: &Path) -> bool {
    match (file.metadata(), fs::metadata(path)) {
        (Ok(open), Ok(there)) => open.dev() == there.dev() && open.ino() == there.ino() && open.nlink() > 0,
        _ => false,
    }
}

fn open(path: &Path) -> io::Result<fs::File> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let is_new = !path.exists();
    let mut file = fs::OpenOptions::new().append(true).read(true).create(true).mode(MODE).open(path)?;
    if file.metadata()?.is_file() {
        end_half_line(&mut file)?;
        if is_new {
            // The name has to survive a power cut too.
            fs::File::open(folder)?.sync_all()?;
        }
    }
    Ok(file)
}

/// A crash in the middle of a write leaves a line without its end; what follows must not be glued to it.
fn end_half_line(file: &mut fs::File) -> io::Result<()> {
    if file.metadata()?.len() == 0 {
        return Ok(());
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    if last != *b"\n" {
        file.write_all(b"\n")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn appender(path: &Path) -> Appender {
        Appender { path: path.to_owned(), open: None }
    }

    #[test]
    fn a_half_written_line_is_ended_before_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("alerts.ndjson");
        fs::write(&path, "{\"a\":1}\n{\"a\":").unwrap();
        appender(&path).append(b"{\"a\":3}\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "{\"a\":1}\n{\"a\":\n{\"a\":3}\n");
    }

    #[test]
    fn a_rotated_file_is_left_alone_and_a_new_one_begun() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/er/alerts.ndjson");
        let mut appender = appender(&path);
        appender.append(b"1\n").unwrap();
        let rotated = path.with_extension("1");
        fs::rename(&path, &rotated).unwrap();
        appender.append(b"2\n").unwrap();
        fs::remove_file(&path).unwrap();
        appender.append(b"3\n").unwrap();
        assert_eq!(fs::read_to_string(&rotated).unwrap(), "1\n");
        assert_eq!(fs::read_to_string(&path).unwrap(), "3\n");
    }

    #[test]
    fn what_is_no_file_is_written_without_fsync() {
        appender(Path::new("/dev/null")).append(b"1\n").unwrap();
    }
}
