//! The process's own log: text on stderr, or one JSON object a line. Results of commands never go here.

use std::io::{self, IsTerminal};

use tracing_subscriber::{
    Layer,
    filter::{LevelFilter, Targets},
    fmt,
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

use crate::config::Logging;

/// Why logging could not start.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LogSetupError {
    #[error("\"{0}\" is no level; write off, error, warn, info, debug or trace, or target=level, with commas between")]
    Level(String),
    #[error("the process logs already")]
    Twice,
}

/// Starts logging for the whole process; once.
///
/// # Errors
/// When the level can't be read, or the process logs already.
pub fn init(logging: &Logging) -> Result<(), LogSetupError> {
    let targets = filter(&logging.level)?;
    let output = fmt::layer().with_writer(io::stderr);
    let output = if logging.json {
        output.json().flatten_event(true).with_current_span(false).boxed()
    } else {
        output.with_ansi(io::stderr().is_terminal()).with_target(false).boxed()
    };
    tracing_subscriber::registry().with(output.with_filter(targets)).try_init().map_err(|_| LogSetupError::Twice)
}

/// `info`, or `warn,tripline=debug`: a level for all, levels for targets.
///
/// # Errors
/// Names the part that is no level.
pub fn filter(level: &str) -> Result<Targets, LogSetupError> {
    let mut targets = Targets::new();
    for part in level.split(',').map(str::trim) {
        let (target, word) = part.split_once('=').map_or((None, part), |(target, word)| (Some(target), word));
        let level: LevelFilter = match word {
            "off" | "error" | "warn" | "info" | "debug" | "trace" => {
                word.parse().map_err(|_| LogSetupError::Level(part.to_owned()))?
            }
            _ => return Err(LogSetupError::Level(part.to_owned())),
        };
        targets = match target {
            Some(target) => targets.with_target(target, level),
            None => targets.with_default(level),
        };
    }
    Ok(targets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_level_is_refused_and_never_taken_for_a_target() {
        assert!(filter("info").is_ok());
        assert!(filter("warn, tripline=debug").is_ok());
        assert_eq!(filter("inof"), Err(LogSetupError::Level("inof".into())));
        assert_eq!(filter("tripline=7"), Err(LogSetupError::Level("tripline=7".into())));
    }
}
