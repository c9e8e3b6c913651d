//! Which alerts a receiver wants.

use super::error::SinkError;
use crate::{
    alert::{Alert, State},
    config,
};

/// From the least to the most.
const SEVERITIES: [&str; 5] = ["info", "low", "medium", "high", "critical"];

/// A checked [`config::Filter`].
#[derive(Debug, Clone)]
pub(super) struct Filter {
    /// An index of [`SEVERITIES`].
    severity_min: usize,
    /// All when empty.
    states: Vec<State>,
}

impl Filter {
    pub fn new(sink: &str, written: &config::Filter) -> Result<Self, SinkError> {
        let severity_min = match &written.severity_min {
            None => 0,
            Some(severity) => rank(severity)
                .ok_or_else(|| SinkError::Severity { sink: sink.to_owned(), written: severity.clone() })?,
        };
        let states = written.states.iter().map(|state| parse_state(sink, state)).collect::<Result<_, _>>()?;
        Ok(Filter { severity_min, states })
    }

    /// An alert whose severity no one knows is wanted: better told than lost.
    pub fn wants(&self, alert: &Alert) -> bool {
        rank(&alert.severity).is_none_or(|severity| severity >= self.severity_min)
            && (self.states.is_empty() || self.states.contains(&alert.state))
    }
}

fn rank(severity: &str) -> Option<usize> {
    SEVERITIES.iter().position(|known| *known == severity)
}

fn parse_state(sink: &str, written: &str) -> Result<State, SinkError> {
    match written {
        "fired" => Ok(State::Fired),
        "opened" => Ok(State::Opened),
        "closed" => Ok(State::Closed),
        _ => Err(SinkError::State { sink: sink.to_owned(), written: written.to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::render::samples::alert;

    fn filter(severity_min: Option<&str>, states: &[&str]) -> Result<Filter, SinkError> {
        let states = states.iter().map(|state| (*state).to_owned()).collect();
        Filter::new("pager", &config::Filter { severity_min: severity_min.map(str::to_owned), states })
    }

    #[test]
    fn lower_severities_and_other_states_are_passed_over() {
        let pager = filter(Some("high"), &["fired", "opened"]).unwrap();
        let mut alert = alert();
        assert!(pager.wants(&alert));
        alert.severity = "medium".to_owned();
        assert!(!pager.wants(&alert));
        alert.severity = "critical".to_owned();
        alert.state = State::Closed;
        assert!(!pager.wants(&alert));
        assert!(filter(None, &[]).unwrap().wants(&alert));
    }

    #[test]
    fn an_unknown_word_is_named() {
        let error = filter(Some("hihg"), &[]).unwrap_err().to_string();
        assert!(error.contains("sink pager") && error.contains("\"hihg\"") && error.contains("critical"), "{error}");
        assert!(filter(None, &["open"]).unwrap_err().to_string().contains("\"open\""));
    }
}
