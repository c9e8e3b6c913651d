//! How far the sources of this process are, side by side: one far ahead waits for those that
//! catch up, one that is far behind and does not catch up is left out.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use crate::event::{InputName, Timestamp};

/// Shared by the detect lines of a process.
#[derive(Debug, Clone, Default)]
pub struct Alignment(Arc<Mutex<BTreeMap<(InputName, u32), Standing>>>);

/// One source's place among the others; it is free when its line has ended, however that ended.
#[derive(Debug)]
pub struct Place {
    alignment: Alignment,
    source: (InputName, u32),
}

#[derive(Debug, Clone, Copy)]
struct Standing {
    watermark: Option<Timestamp>,
    /// It has more to read than it can read at once.
    catching_up: bool,
}

impl Place {
    pub fn report(&self, watermark: Option<Timestamp>, catching_up: bool) {
        self.alignment.lock().insert(self.source.clone(), Standing { watermark, catching_up });
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.alignment.lock().remove(&self.source);
    }
}

impl Alignment {
    /// A place for a source that begins; it counts from its first report on.
    pub fn take_place(&self, input: &InputName, partition: u32) -> Place {
        Place { alignment: self.clone(), source: (input.clone(), partition) }
    }

    /// Whether `watermark` is more than `max_ahead` beyond the least of the sources that are catching up.
    pub fn is_ahead(&self, watermark: Option<Timestamp>, max_ahead: Duration) -> bool {
        let Some(watermark) = watermark else { return false };
        let reading = self.lock();
        let least = reading.values().filter(|source| source.catching_up).filter_map(|source| source.watermark).min();
        least.is_some_and(|least| watermark.since(least) > max_ahead)
    }

    /// Whether `watermark` is more than `max_behind` short of the greatest of all sources.
    pub fn is_behind(&self, watermark: Option<Timestamp>, max_behind: Duration) -> bool {
        let Some(watermark) = watermark else { return false };
        let greatest = self.lock().values().filter_map(|source| source.watermark).max();
        greatest.is_some_and(|greatest| greatest.since(watermark) > max_behind)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<(InputName, u32), Standing>> {
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

    #[test]
    fn only_sources_that_catch_up_hold_one_back() {
        let alignment = Alignment::default();
        let place = alignment.take_place(&"a".into(), 0);
        place.report(minute(0), true);
        assert!(alignment.is_ahead(minute(11), 10 * MINUTE));
        place.report(minute(0), false);
        assert!(!alignment.is_ahead(minute(11), 10 * MINUTE));
    }

    #[test]
    fn one_that_is_far_behind_the_first_is_known() {
        let alignment = Alignment::default();
        let place = alignment.take_place(&"a".into(), 0);
        place.report(minute(60), false);
        assert!(alignment.is_behind(minute(0), 10 * MINUTE));
        assert!(!alignment.is_behind(None, 10 * MINUTE));
        drop(place);
        assert!(!alignment.is_behind(minute(0), 10 * MINUTE));
    }
}
