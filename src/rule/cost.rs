//! What a predicate costs where it stands among thousands: whether an event that has nothing of it is passed by.

use std::fmt;

use serde::Serialize;

use super::{Gate, Predicate, Rule};

/// From cheap to dear.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Cost {
    /// It has a gate: an event in which that is not seen costs nothing.
    Indexed,
    /// Its tests are asked of every event.
    Scan,
    /// Rhai runs for events that pass the tests before.
    Script,
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Cost::Indexed => "indexed",
            Cost::Scan => "scan",
            Cost::Script => "script",
        })
    }
}

impl Predicate {
    pub fn cost(&self) -> Cost {
        match self {
            predicate if predicate.runs_script() => Cost::Script,
            predicate if predicate.gate() == Gate::None => Cost::Scan,
            _ => Cost::Indexed,
        }
    }
}

impl Rule {
    /// That of its dearest pattern.
    pub fn cost(&self) -> Cost {
        self.patterns.iter().map(|pattern| pattern.predicate.cost()).max().unwrap_or(Cost::Indexed)
    }
}
