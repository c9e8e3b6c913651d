//! What an input has taken and lost, for telemetry to read.

use std::sync::atomic::{AtomicU64, Ordering};

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    pub fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// One input's counts since the process started.
#[derive(Debug, Default)]
pub struct Counts {
    /// Lines that the log has.
    pub accepted: Counter,
    /// Lines longer than the log takes.
    pub rejected: Counter,
    /// Lines of which only the beginning was kept.
    pub cut: Counter,
    /// Lines that no sender will repeat and that the log did not get: datagrams beyond the queue, lines in hand at a
    /// stop.
    pub dropped: Counter,
    /// Files that were emptied while they were followed.
    pub truncated: Counter,
    /// Files that could not be read, each counted once until it can.
    pub unreadable: Counter,
    /// Connections turned away because too many were open.
    pub connections_refused: Counter,
    /// Appends that the log refused and that were tried again.
    pub retries: Counter,
}
