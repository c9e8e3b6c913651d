//! Which rules a correlate line runs, where they are passed round.

use std::sync::Arc;

use super::Correlating;
use crate::{
    correlate::{Correlator, Header},
    detect::RecordView,
    rule::{BundleMark, RuleSet},
    stage::{messages::Ended, rulebook::RulebookError, seat::Seat},
};

impl From<RulebookError> for Ended {
    fn from(error: RulebookError) -> Self {
        match error {
            RulebookError::Log(error) => error.into(),
            error => Ended::Halted(error.to_string()),
        }
    }
}

impl Correlating {
    /// The rules that a partition begins with: where they are passed round, those of its last commit. Without one it
    /// has none until a source announces some.
    pub(super) async fn rules_of(&self, seat: &mut Seat, header: Option<&Header>) -> Result<Arc<RuleSet>, Ended> {
        let own = seat.rules.borrow_and_update().clone();
        match (&self.rulebook, header) {
            (None, _) => Ok(own),
            (Some(_), None) => Ok(Arc::default()),
            (Some(_), Some(header)) => match &header.rules {
                Some(mark) => self.set_of(mark).await,
                // It ran rules of its process's own.
                None => Ok(own),
            },
        }
    }

    /// The sets of rules that are not over.
    pub(super) async fn former_sets(&self, header: &Header) -> Result<Vec<Arc<RuleSet>>, Ended> {
        let mut sets = Vec::new();
        for mark in header.former_bundles().iter().filter(|_| self.rulebook.is_some()) {
            sets.push(self.set_of(mark).await?);
        }
        Ok(sets)
    }

    pub(super) async fn set_of(&self, mark: &BundleMark) -> Result<Arc<RuleSet>, Ended> {
        let Some(rulebook) = &self.rulebook else { return Ok(Arc::default()) };
        Ok(rulebook.ruling(mark).await?.set)
    }

    pub(super) fn asked_for(
        &self,
        correlator: &Correlator,
        offset: u64,
        record: &RecordView<'_>,
    ) -> Option<BundleMark> {
        self.rulebook.as_ref().and_then(|_| correlator.asks_for(offset, record))
    }
}
