//! How far the sources of this process are, side by side: one far ahead waits for those that
//! catch up, one that is far behind and does not catch up is left out.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::{
    detect::LeftOut,
    event::{InputName, Timestamp},
};

/// Shared by the detect lines of a process.
#[derive(Debug, Clone, Default)]
pub struct Alignment(Arc<Mutex<Sources>>);

#[derive(Debug, Default)]
struct Sources {
    standings: BTreeMap<(InputName, u32), Standing>,
    /// The least watermark of those with events, since when one has been unknown.
    began_at: Option<Timestamp>,
}

/// How far a source is.
#[derive(Debug, Clone, Copy)]
pub struct Standing {
    pub watermark: Option<Timestamp>,
    /// It has more to read than it can read at once.
    pub catching_up: bool,
    /// Nobody knows yet whether it has events: every window waits for it.
    pub unknown: bool,
}

impl Alignment {
    pub fn report(&self, input: &InputName, partition: u32, standing: Standing) {
        let mut sources = self.lock();
        sources.standings.insert((input.clone(), partition), standing);
        sources.began_at = match sources.standings.values().any(|source| source.unknown) {
            true => sources.began_at.or(sources.standings.values().filter_map(|source| source.watermark).min()),
            false => None,
        };
    }

    pub fn leave(&self, input: &InputName, partition: u32) {
        self.lock().standings.remove(&(input.clone(), partition));
    }

    /// Whether `watermark` is more than `max_ahead` beyond the least of the sources that are catching up; while a
    /// source is unknown, also beyond where the others began.
    pub fn is_ahead(&self, watermark: Option<Timestamp>, max_ahead: Duration) -> bool {
        let Some(watermark) = watermark else { return false };
        let sources = self.lock();
        let catching_up = sources.standings.values().filter(|source| source.catching_up);
        let least = catching_up.filter_map(|source| source.watermark).chain(sources.began_at).min();
        least.is_some_and(|least| watermark.since(least) > max_ahead)
    }

    /// Whom `watermark`, of a source of `input`, is more than `max_behind` short of.
    pub fn is_behind(&self, input: &InputName, watermark: Option<Timestamp>, max_behind: Duration) -> LeftOut {
        let Some(watermark) = watermark else { return LeftOut::No };
        let is_far = |other: Timestamp| other.since(watermark) > max_behind;
        let mut behind = LeftOut::No;
        for ((of, _), source) in &self.lock().standings {
            match source.watermark.is_some_and(is_far) {
                true if of == input => return LeftOut::OfAll,
                true => behind = LeftOut::OfOthers,
                false => {}
            }
        }
        behind
    }

    fn lock(&self) -> MutexGuard<'_, Sources> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn minute(n: i64) -> Option<Timestamp> {
        Some(Timestamp(n * 60_000_000_000))
    }

    fn standing(watermark: Option<Timestamp>, catching_up: bool) -> Standing {
        Standing { watermark, catching_up, unknown: false }
    }

    #[test]
    fn only_sources_that_catch_up_hold_one_back() {
        let alignment = Alignment::default();
        alignment.report(&"a".into(), 0, standing(minute(0), true));
        assert!(alignment.is_ahead(minute(11), 10 * MINUTE));
        alignment.report(&"a".into(), 0, standing(minute(0), false));
        assert!(!alignment.is_ahead(minute(11), 10 * MINUTE));
    }

    #[test]
    fn while_a_source_is_unknown_the_others_go_only_so_far() {
        let alignment = Alignment::default();
        let unknown = Standing { unknown: true, ..standing(None, false) };
        alignment.report(&"a".into(), 0, unknown);
        alignment.report(&"b".into(), 0, standing(minute(0), false));
        alignment.report(&"b".into(), 0, standing(minute(11), false));
        assert!(alignment.is_ahead(minute(11), 10 * MINUTE));
        alignment.report(&"a".into(), 0, standing(None, false));
        assert!(!alignment.is_ahead(minute(11), 10 * MINUTE));
    }

    #[test]
    fn one_that_is_far_behind_the_first_is_known() {
        let alignment = Alignment::default();
        let behind = |input: &str, watermark| alignment.is_behind(&input.into(), watermark, 10 * MINUTE);
        alignment.report(&"a".into(), 0, standing(minute(60), false));
        assert_eq!(behind("a", minute(0)), LeftOut::OfAll);
        assert_eq!(behind("b", minute(0)), LeftOut::OfOthers);
        assert_eq!((behind("a", minute(50)), behind("a", None)), (LeftOut::No, LeftOut::No));
        alignment.leave(&"a".into(), 0);
        assert_eq!(behind("a", minute(0)), LeftOut::No);
    }
}
