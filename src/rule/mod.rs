//! Rules: loading them from Rhai and Sigma files, checking them, and asking their closures.
//!
//! The only room that knows Rhai. It is given the text of rule files, never reads one, never sees a clock, and never
//! lets a script do more than its limits.

mod aggregate;
mod analysis;
mod bound;
mod bundle;
mod calculation;
pub(crate) mod code;
mod compare;
mod compiled;
mod cost;
mod data;
mod declare;
mod diagnostic;
mod duration;
mod engine;
mod enrichment;
mod entry;
mod explain;
mod field;
mod field_test;
mod glob;
mod layers;
mod list;
mod load;
mod lower;
mod matcher;
mod model;
mod number;
mod predicate;
mod reference;
mod script;
mod shape;
mod sigma;
mod source;
mod term;
mod text;
mod token;
mod vocabulary;
mod window_lower;
mod window_script;
mod window_test;
mod written;

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

pub use aggregate::*;
pub use bundle::{Bundle, BundleMark};
pub use code::{CODES, Code};
pub use compare::Comparison;
pub use compiled::{Compiled, OnceCompiled};
pub use cost::Cost;
pub use diagnostic::{Diagnostic, Level};
pub use engine::ScriptLimits;
pub use enrichment::{Database, DatabaseError, Enrichment};
pub use explain::{Compared, Explained, Outcome, Sight};
pub use field_test::{FieldTest, TermTest};
pub use list::{LIST_ENTRIES_MAX, List, ListText, Lists};
pub use load::{LoadOptions, Loaded, RuleFiles, load};
pub use matcher::{Gate, MatchCounts, Matcher, Scratch, Shown, tested_paths};
pub use model::*;
pub use number::Num;
pub use predicate::{Predicate, ScriptTest};
pub use script::ScriptError;
pub use sigma::{BuiltIn as BuiltInPipeline, Converted, SigmaOptions, convert as convert_sigma};
pub use window_script::WindowScript;
pub use window_test::{Amount, WindowFacts, WindowTest, WindowValue};
pub use written::{LIST_TEXT_BYTES_MAX, ListWrite, Question};

/// Signals that a window keeps of one key at most, as configured by default: what needs more can't occur.
pub const SIGNALS_MAX: u64 = 10_000;

/// The rules that run together.
#[derive(Debug, Clone, Default)]
pub struct RuleSet {
    /// In byte order of their ids.
    pub rules: Vec<Arc<Rule>>,
    /// Hex SHA-256 over every file that the rules come from, and all that they look things up in.
    pub hash: String,
    /// Hex SHA-256 of each of those files, what it can import included, by path.
    pub sources: BTreeMap<PathBuf, String>,
    /// What lies under `lists/`.
    pub lists: Lists,
    /// Where it was passed round as a bundle: which one it is.
    pub bundle: Option<BundleMark>,
    /// What [`RuleSet::compiled`] made.
    pub compiled: OnceCompiled,
}

impl RuleSet {
    /// The id that is spelt most like an unknown one.
    pub fn nearest(&self, id: &str) -> Option<&str> {
        diagnostic::nearest(id, self.rules.iter().map(|rule| &**rule.id()))
    }

    pub fn get(&self, id: &str) -> Option<&Arc<Rule>> {
        self.rules.binary_search_by(|rule| (**rule.id()).cmp(id)).ok().map(|at| &self.rules[at])
    }
}
