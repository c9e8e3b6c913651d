//! Files followed like `tail -F`: by name through rotation, by inode to their last line.
//!
//! A file that is renamed is read to its end while the new one under its name is read from its beginning; one that is
//! truncated is read again from its start. How far each was read is saved after the log has the lines, so a crash
//! repeats lines and loses none. A file seen first when the input starts is read as `start` says; one that appears
//! later from its beginning. Rotated files that were compressed are left alone.

mod follow;
mod positions;
mod tail;

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

pub use self::{follow::FILES_MAX, tail::LINE_BYTES_MAX};
use self::{follow::Follower, positions::FilePosition};
use super::{InputError, Intake, Received, deliver::deliver};
use crate::config::StartAt;

/// Between two looks at the files.
const POLL: Duration = Duration::from_millis(250);

/// While much is there to be read, how far it was read is saved this often.
const SAVE_INTERVAL: Duration = Duration::from_secs(1);

/// The files of one input.
pub struct FileReceiver {
    follower: Follower,
    positions: PathBuf,
    saved: Vec<FilePosition>,
    saved_at: Instant,
}

impl FileReceiver {
    /// Follows `paths`, which may be globs. `positions` is the file that remembers how far each was read.
    ///
    /// # Errors
    /// When a glob is none, or the positions can't be read.
    pub fn open(paths: Vec<PathBuf>, start: StartAt, positions: PathBuf) -> Result<Self, InputError> {
        for path in &paths {
            let pattern = path.to_str().ok_or_else(|| InputError::PathNotUtf8(path.clone()))?;
            glob::Pattern::new(pattern).map_err(|error| InputError::Pattern { path: path.clone(), error })?;
        }
        let known = positions::load(&positions)?.unwrap_or_default();
        let follower = Follower::new(paths, start, known);
        Ok(FileReceiver { follower, positions, saved: Vec::new(), saved_at: Instant::now() })
    }

    /// Follows the files until `stop`.
    pub async fn run(mut self, intake: Arc<Intake>, stop: CancellationToken) {
        while !stop.is_cancelled() {
            self = self.blocking(|receiver| receiver.follower.scan(Instant::now())).await.0;
            self = self.read_all(&intake, &stop).await;
            let counts = self.follower.take_counts();
            intake.counts().truncated.add(counts.truncated);
            intake.counts().unreadable.add(counts.unreadable);
            self = self.blocking(FileReceiver::save).await.0;
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(POLL) => {}
            }
        }
    }

    /// Reads every file to its end, or until the stop.
    async fn read_all(mut self, intake: &Intake, stop: &CancellationToken) -> Self {
        while !stop.is_cancelled() {
            let batch;
            (self, batch) = self.blocking(|receiver| receiver.follower.read(Instant::now())).await;
            let Some(batch) = batch else { break };
            let sender = batch.path.to_string_lossy().into_owned();
            let line = |bytes| Received { bytes, sender: Some(sender.clone()), key: None };
            intake.counts().cut.add(batch.cut);
            if deliver(intake, batch.lines.into_iter().map(line).collect(), stop).await.is_err() {
                break;
            }
            self.follower.acknowledge(batch.id);
            if self.saved_at.elapsed() >= SAVE_INTERVAL {
                self = self.blocking(FileReceiver::save).await.0;
            }
        }
        self
    }

    /// Saves the positions when they are not what was saved.
    fn save(&mut self) {
        let positions = self.follower.positions();
        if positions == self.saved {
            return;
        }
        match positions::save(&self.positions, &positions) {
            Ok(()) => (self.saved, self.saved_at) = (positions, Instant::now()),
            Err(error) => {
                tracing::warn!(%error, "how far files were read can't be saved; a restart would repeat lines");
            }
        }
    }

    /// File access, away from the threads that must not wait.
    async fn blocking<T, F>(mut self, work: F) -> (Self, T)
    where
        T: Send + 'static,
        F: FnOnce(&mut Self) -> T + Send + 'static,
    {
        let worked = spawn_blocking(move || {
            let outcome = work(&mut self);
            (self, outcome)
        });
        worked.await.unwrap_or_else(|panicked| std::panic::resume_unwind(panicked.into_panic()))
    }
}
