//! Logs, metrics and the status board.

pub mod log;
