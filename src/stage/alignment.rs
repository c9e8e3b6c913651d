//! How far the sources of this process are, side by side: one far ahead waits for those that
//! catch up, one that is far behind and does not catch up is left out.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::event::{InputName, Timestamp};

/// Shared by the detect lines of a process.
#[derive(Debug, Clone, Default)]
pub struct Alignment(Arc<Mutex<Sources>>);

#[derive(Debug, Default)]
struct Sources {
    standings: BTreeMap<(InputName, u32), Standing>,
    /// The least watermark of all, from when a source became unknown until none is.
    began_at: Option<Timestamp>,
}

/// One source's place among the others; it is free when its line has ended, however that ended.
#[derive(Debug)]
pub struct Place {
    alignment: Alignment,
    source: (InputName, u32),
}

/// How far a source is.
#[derive(Debug, Clone, Copy, Default)]
pub struct Standing {
    pub watermark: Option<Timestamp>,
    /// It has more to read than it can read at once.
    pub catching_up: bool,
    /// It has had no event, and whether it has one to read is not known yet: windows wait for it.
    pub unknown: bool,
}

impl Place {
    pub fn report(&self, standing: Standing) {
        let mut sources = self.alignment.lock();
        sources.standings.insert(self.source.clone(), standing);
        sources.take_bearings();
    }
}

impl Sources {
    fn take_bearings(&mut self) {
        let sources = self.standings.values();
        self.began_at = match sources.clone().any(|source| source.unknown) {
            true => self.began_at.or(sources.filter_map(|source| source.watermark).min()),
            false => None,
        };
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut sources = self.alignment.lock();
        sources.standings.remove(&self.source);
        sources.take_bearings();
    }
}

impl Alignment {
    /// A place for a source that begins; it counts from its first report on.
    pub fn take_place(&self, input: &InputName, partition: u32) -> Place {
        Place { alignment: self.clone(), source: (input.clone(), partition) }
    }

    /// Whether `watermark` is more than `max_ahead` beyond the least of the sources that are catching up; while a source
    /// is unknown, also beyond where the others began, since all that they read waits for it in memory.
    pub fn is_ahead(&self, watermark: Option<Timestamp>, max_ahead: Duration) -> bool {
        let Some(watermark) = watermark else { return false };
        let sources = self.lock();
        let catching_up = sources.standings.values().filter(|source| source.catching_up);
        let least = catching_up.filter_map(|source| source.watermark).chain(sources.began_at).min();
        least.is_some_and(|least| watermark.since(least) > max_ahead)
    }

    /// Whether `watermark` is more than `max_behind` short of the greatest of all sources.
    pub fn is_behind(&self, watermark: Option<Timestamp>, max_behind: Duration) -> bool {
        let Some(watermark) = watermark else { return false };
        let greatest = self.lock().standings.values().filter_map(|source| source.watermark).max();
        greatest.is_some_and(|greatest| greatest.since(watermark) > max_behind)
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
        let place = alignment.take_place(&"a".into(), 0);
        place.report(standing(minute(0), true));
        assert!(alignment.is_ahead(minute(11), 10 * MINUTE));
        place.report(standing(minute(0), false));
        assert!(!alignment.is_ahead(minute(11), 10 * MINUTE));
    }

    #[test]
    fn while_a_source_is_unknown_the_others_go_only_so_far() {
        let alignment = Alignment::default();
        let (unknown, known) = (alignment.take_place(&"a".into(), 0), alignment.take_place(&"b".into(), 0));
        unknown.report(Standing { unknown: true, ..Standing::default() });
        [0, 11].iter().for_each(|at| known.report(standing(minute(*at), false)));
        assert!(alignment.is_ahead(minute(11), 10 * MINUTE));
        drop(unknown);
        assert!(!alignment.is_ahead(minute(11), 10 * MINUTE));
    }

    #[test]
    fn one_that_is_far_behind_the_first_is_known() {
        let alignment = Alignment::default();
        let place = alignment.take_place(&"a".into(), 0);
        place.report(standing(minute(60), false));
        assert!(alignment.is_behind(minute(0), 10 * MINUTE));
        assert!(!alignment.is_behind(None, 10 * MINUTE));
        drop(place);
        assert!(!alignment.is_behind(minute(0), 10 * MINUTE));
    }
}
