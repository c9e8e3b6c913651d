//! A rule set made ready to be asked: once, for all who ask.

use std::sync::{Arc, OnceLock};

use super::{Matcher, RuleSet, tested_paths};
use crate::event::Wanted;

/// The matcher of a rule set, and the paths that the set reads of an event.
#[derive(Debug)]
pub struct Compiled {
    /// What predicates test, what makes keys, and what signals keep.
    pub wanted: Wanted,
    pub matcher: Matcher,
}

/// Made when it is first asked for. A copy of a set makes its own.
#[derive(Debug, Default)]
pub struct OnceCompiled(OnceLock<Arc<Compiled>>);

impl Clone for OnceCompiled {
    fn clone(&self) -> Self {
        OnceCompiled::default()
    }
}

impl RuleSet {
    /// Compiles the rules, which takes a while for thousands; from the second call on it is there. Nobody may change
    /// `rules` afterwards.
    pub fn compiled(&self) -> &Arc<Compiled> {
        self.compiled.0.get_or_init(|| {
            let patterns = self.rules.iter().flat_map(|rule| &rule.patterns);
            let taken = patterns.flat_map(|pattern| pattern.by.iter().chain(&pattern.keep)).cloned();
            let wanted = Wanted::new(tested_paths(&self.rules).into_iter().chain(taken));
            Arc::new(Compiled { matcher: Matcher::new(&self.rules, &wanted), wanted })
        })
    }
}
