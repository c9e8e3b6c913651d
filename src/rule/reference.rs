//! What rules look things up in. It belongs to the rule set, and to its hash.

use super::{Enrichment, Lists};

#[derive(Debug, Clone, Default)]
pub(super) struct Reference {
    pub(super) lists: Lists,
    pub(super) enrichment: Enrichment,
    /// There is a configuration: what it lacks is missing for good.
    pub(super) is_configured: bool,
}

impl Reference {
    /// For the hash of the rule set; empty where there is nothing.
    pub(super) fn hashes(&self) -> String {
        [self.lists.hashes(), self.enrichment.hashes()].concat()
    }
}
