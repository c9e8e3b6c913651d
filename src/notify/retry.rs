//! How long to wait before the next attempt, and when to give up.
//!
//! Exponential backoff with full jitter (M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015):
//! the pause is uniform between nothing and a ceiling that doubles, so receivers that failed together do not return
//! together.

use std::time::Duration;

use rand::{Rng, SeedableRng, rngs::StdRng};

use crate::config::Retry;

/// The longest pause that the other side may ask for (`Retry-After`); it is asked again after that in any case.
pub(super) const ASKED_PAUSE_MAX: Duration = Duration::from_secs(3600);

/// The pauses between attempts at one alert.
#[derive(Debug)]
pub(super) struct Backoff {
    retry: Retry,
    random: StdRng,
}

impl Backoff {
    pub fn new(retry: Retry) -> Self {
        Backoff { retry, random: StdRng::from_os_rng() }
    }

    /// Always the same pauses.
    #[cfg(test)]
    pub fn seeded(retry: Retry, seed: u64) -> Self {
        Backoff { retry, random: StdRng::seed_from_u64(seed) }
    }

    /// Whether `failed` attempts are all that there are.
    pub fn is_spent(&self, failed: u32) -> bool {
        failed >= self.retry.attempts_max
    }

    /// The pause after the `failed`th attempt (from 1); at least what the other side `asked` for.
    pub fn pause(&mut self, failed: u32, asked: Option<Duration>) -> Duration {
        let doublings = failed.saturating_sub(1).min(31);
        let ceiling = self.retry.backoff_min.saturating_mul(1 << doublings).min(self.retry.backoff_max);
        let jittered = ceiling.mul_f64(self.random.random::<f64>());
        asked.map_or(jittered, |asked| asked.min(ASKED_PAUSE_MAX).max(jittered))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn retry() -> Retry {
        Retry { attempts_max: 5, backoff_min: Duration::from_millis(100), backoff_max: Duration::from_secs(2) }
    }

    #[test]
    fn the_pause_stays_under_a_ceiling_that_doubles_and_reaches_all_of_it() {
        let mut backoff = Backoff::seeded(retry(), 7);
        for (failed, ceiling_ms) in [(1, 100), (2, 200), (3, 400), (5, 1600), (6, 2000), (400, 2000)] {
            let ceiling = Duration::from_millis(ceiling_ms);
            let pauses: Vec<Duration> = (0..500).map(|_| backoff.pause(failed, None)).collect();
            assert!(pauses.iter().all(|pause| *pause <= ceiling), "after {failed} failures");
            assert!(pauses.iter().any(|pause| *pause < ceiling / 10), "jitter is full after {failed} failures");
            assert!(pauses.iter().any(|pause| *pause > ceiling * 9 / 10), "the ceiling is reached after {failed}");
        }
    }

    #[test]
    fn a_seed_gives_the_same_pauses_again() {
        let pauses = |seed| {
            let mut backoff = Backoff::seeded(retry(), seed);
            (1..9).map(|failed| backoff.pause(failed, None)).collect::<Vec<_>>()
        };
        assert_eq!(pauses(1), pauses(1));
        assert_ne!(pauses(1), pauses(2));
    }

    #[test]
    fn what_the_other_side_asks_for_is_honoured_up_to_a_bound() {
        let mut backoff = Backoff::seeded(retry(), 7);
        assert_eq!(backoff.pause(1, Some(Duration::from_secs(30))), Duration::from_secs(30));
        assert_eq!(backoff.pause(1, Some(Duration::MAX)), ASKED_PAUSE_MAX);
    }

    #[test]
    fn attempts_are_bounded() {
        let backoff = Backoff::seeded(retry(), 7);
        assert!(!backoff.is_spent(4) && backoff.is_spent(5));
    }
}
