//! What a predicate costs where it stands among thousands: whether an event that has nothing of it is passed by.

use std::fmt;

use serde::Serialize;

use super::{
    Predicate, Rule,
    compare::Comparison,
    field_test::{Asks, FieldTest},
};

/// From cheap to dear.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Cost {
    /// It can't hold without a literal that look-ups find: an event that has none costs nothing.
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
            predicate if predicate.has_gate() => Cost::Indexed,
            _ => Cost::Scan,
        }
    }

    /// Whether it needs one of some literals to be in an event. Never under a `!`.
    fn has_gate(&self) -> bool {
        match self {
            Predicate::Constant(answer) => !answer,
            Predicate::All(parts) => parts.iter().any(Predicate::has_gate),
            Predicate::Any(parts) => parts.iter().all(Predicate::has_gate),
            Predicate::Field(test) => test.is_gate(),
            Predicate::Not(_) | Predicate::Term(_) | Predicate::Script(_) => false,
        }
    }
}

impl FieldTest {
    fn is_gate(&self) -> bool {
        match &self.asks {
            Asks::Compare(comparison, _) => *comparison == Comparison::Equal,
            Asks::In(_) | Asks::Cidr(_) | Asks::Range { .. } => true,
            Asks::Text { wanted, .. } => wanted.chars().any(|char| !matches!(char, '*' | '?')),
            Asks::Exists
            | Asks::CompareWith(..)
            | Asks::TextWith { .. }
            | Asks::Matches(_)
            | Asks::InList(_)
            | Asks::InWritten(_) => false,
        }
    }
}

impl Rule {
    /// That of its dearest pattern.
    pub fn cost(&self) -> Cost {
        self.patterns.iter().map(|pattern| pattern.predicate.cost()).max().unwrap_or(Cost::Indexed)
    }
}
