//! Receivers: what comes over HTTP, syslog and files is appended to an input's events topic.
//!
//! A received line is not looked into beyond its host: broken ones go into the log too, and detect sends them to the
//! dead letters, so that nothing disappears before it has a position. This room never decodes, and never says that a
//! line was taken before the log has it.

mod counts;
mod deliver;
pub mod file;
mod intake;
pub mod syslog;

use std::{net::SocketAddr, path::PathBuf};

pub use counts::{Counter, Counts};
pub use intake::{Appended, IN_FLIGHT_BYTES_MAX, Intake, Received};

/// Why a receiver can't start.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    #[error("can't listen for syslog on {address}: {error}")]
    Listen { address: SocketAddr, error: std::io::Error },
    #[error("path {path}: {error}")]
    Pattern { path: PathBuf, error: glob::PatternError },
    #[error("path {} is not UTF-8", .0.display())]
    PathNotUtf8(PathBuf),
    #[error(
        "{path} holds how far files were read and can't be used ({error}); without it they are read again from `start`"
    )]
    Positions { path: PathBuf, error: String },
}
