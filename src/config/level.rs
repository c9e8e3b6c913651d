//! What the process's own log says: a level for all, and levels for targets.

use tracing_subscriber::filter::{LevelFilter, Targets};

/// Reads `info`, or `warn,tripline=debug`.
///
/// # Errors
/// Names the part that is no level, so that a misspelt level is never taken for a target.
pub fn targets(level: &str) -> Result<Targets, String> {
    // What the HTTP server says at its start is said by `ready` already.
    let mut targets = Targets::new().with_target("actix_server", LevelFilter::WARN);
    for part in level.split(',').map(str::trim) {
        let (target, word) = part.split_once('=').map_or((None, part), |(target, word)| (Some(target), word));
        let Some(level) = named(word) else {
            return Err(format!(
                "\"{part}\" is no level; write off, error, warn, info, debug or trace, or target=level, with commas between"
            ));
        };
        targets = match target {
            Some(target) => targets.with_target(target, level),
            None => targets.with_default(level),
        };
    }
    Ok(targets)
}

fn named(word: &str) -> Option<LevelFilter> {
    match word {
        "off" => Some(LevelFilter::OFF),
        "error" => Some(LevelFilter::ERROR),
        "warn" => Some(LevelFilter::WARN),
        "info" => Some(LevelFilter::INFO),
        "debug" => Some(LevelFilter::DEBUG),
        "trace" => Some(LevelFilter::TRACE),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_level_is_refused_and_never_taken_for_a_target() {
        assert!(targets("info").is_ok());
        assert!(targets("warn, tripline=debug").is_ok());
        assert!(targets("inof").unwrap_err().starts_with("\"inof\" is no level"));
        assert!(targets("tripline=7").unwrap_err().starts_with("\"tripline=7\" is no level"));
    }
}
