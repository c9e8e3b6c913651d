//! Logs, metrics and the status board.
