//! What rules look things up in. It belongs to the rule set, and to its hash.

use std::collections::BTreeSet;

use super::{Enrichment, Lists, field_test::Asks};

#[derive(Debug, Clone, Default)]
pub(super) struct Reference {
    pub(super) lists: Lists,
    /// Names of the lists that rules write.
    pub(super) written: BTreeSet<String>,
    pub(super) enrichment: Enrichment,
    /// There is a configuration: what it lacks is missing for good.
    pub(super) is_configured: bool,
}

impl Reference {
    /// The test of a list, by its name.
    pub(super) fn in_list(&self, name: &str) -> Option<Asks> {
        let of_file = self.lists.get(name).cloned().map(Asks::InList);
        of_file.or_else(|| self.written.contains(name).then(|| Asks::InWritten(name.into())))
    }

    /// For the hash of the rule set; empty where there is nothing.
    pub(super) fn hashes(&self) -> String {
        [self.lists.hashes(), self.enrichment.hashes()].concat()
    }
}
