//! The process's own log: text on stderr, or one JSON object a line. Results of commands never go here.

use std::io::{self, IsTerminal};

use tracing_subscriber::{Layer, fmt, layer::SubscriberExt, util::SubscriberInitExt};

use crate::config::Logging;

/// Starts logging for the whole process. Where it has started already, the first one stays.
pub fn init(logging: &Logging) {
    let output = fmt::layer().with_writer(io::stderr);
    let output = if logging.json {
        output.json().flatten_event(true).with_current_span(false).boxed()
    } else {
        output.with_ansi(io::stderr().is_terminal()).with_target(false).boxed()
    };
    let started = tracing_subscriber::registry().with(output.with_filter(logging.level.clone())).try_init();
    if let Err(error) = started {
        tracing::warn!(%error, "logging was set up before");
    }
}
