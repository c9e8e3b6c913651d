//! Whether the disk has room for more.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use crate::log::LogError;

/// The disk is not asked more often than this.
const ASK_EVERY: Duration = Duration::from_millis(100);

/// After the store failed nothing is tried for this long; opening it again for each call would help nobody.
const PAUSE: Duration = Duration::from_secs(1);

/// Bytes that are free for us where a path lies.
pub type FreeBytes = Arc<dyn Fn(&Path) -> io::Result<u64> + Send + Sync>;

pub(super) struct Room {
    free_bytes: FreeBytes,
    data: PathBuf,
    free_bytes_min: u64,
    asked: Option<Instant>,
    refusal: Option<LogError>,
    /// Until then everything is refused for this reason.
    pause: Option<(Instant, LogError)>,
}

impl Room {
    pub(super) fn new(free_bytes: FreeBytes, data: PathBuf, free_bytes_min: u64) -> Self {
        Room { free_bytes, data, free_bytes_min, asked: None, refusal: None, pause: None }
    }

    /// Refuses everything for a moment, because the store failed.
    pub(super) fn pause(&mut self, cause: LogError) {
        self.pause = Some((Instant::now() + PAUSE, cause));
    }

    /// Why nothing can be written now.
    pub(super) fn refusal(&mut self) -> Option<&LogError> {
        if self.pause.as_ref().is_some_and(|(until, _)| Instant::now() >= *until) {
            self.pause = None;
        }
        if let Some((_, cause)) = &self.pause {
            return Some(cause);
        }
        if self.asked.is_none_or(|asked| asked.elapsed() >= ASK_EVERY) {
            self.asked = Some(Instant::now());
            let refusal = self.ask();
            match (&self.refusal, &refusal) {
                (None, Some(error)) => tracing::error!(%error, "the log refuses what it is given"),
                (Some(_), None) => tracing::info!(data = %self.data.display(), "the log has room again"),
                _ => {}
            }
            self.refusal = refusal;
        }
        self.refusal.as_ref()
    }

    fn ask(&self) -> Option<LogError> {
        let data = self.data.display();
        match (self.free_bytes)(&self.data) {
            Ok(free) if free >= self.free_bytes_min => None,
            Ok(free) => {
                Some(LogError::Full(format!("{data} has {free} bytes left, and {} are kept free", self.free_bytes_min)))
            }
            Err(error) => Some(LogError::Full(format!("{data} does not say how much room it has: {error}"))),
        }
    }
}
