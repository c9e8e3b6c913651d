//! How far a source partition's time is: its watermark.

use std::time::Duration;

use crate::event::Timestamp;

/// The greatest event time of one source partition less the input's lateness. It never goes back.
#[derive(Debug, Clone)]
pub struct Watermark {
    lateness: Duration,
    /// `None` before the first event.
    at: Option<Timestamp>,
    /// The greatest event time seen by this line.
    greatest: Option<Timestamp>,
    /// How far an event came behind a greater time, at most.
    disorder: Duration,
}

impl Watermark {
    /// `at` is what an earlier owner of the partition committed.
    pub fn new(lateness: Duration, at: Option<Timestamp>) -> Self {
        Watermark { lateness, at, greatest: None, disorder: Duration::ZERO }
    }

    pub fn at(&self) -> Option<Timestamp> {
        self.at
    }

    /// Takes an event's time in; says whether the event is late: earlier than what the events before it made certain.
    pub fn observe(&mut self, time: Timestamp) -> bool {
        let late = self.at.is_some_and(|at| time < at);
        match self.greatest {
            Some(greatest) if time < greatest => self.disorder = self.disorder.max(greatest.since(time)),
            _ => self.greatest = Some(time),
        }
        let reached = time.minus(self.lateness);
        self.at = Some(self.at.map_or(reached, |at| at.max(reached)));
        late
    }

    /// The least lateness with which no event so far would have been late.
    pub fn disorder(&self) -> Duration {
        self.disorder
    }

    /// Moves on by `span` that passed while the source was idle. Without any event there is nothing to move.
    pub fn advance(&mut self, span: Duration) {
        self.at = self.at.map(|at| at.plus(span));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;

    #[test]
    fn an_event_at_the_watermark_is_on_time() {
        let mut watermark = Watermark::new(Duration::from_secs(10), None);
        assert!(!watermark.observe(Timestamp(100 * SECOND)));
        assert!(!watermark.observe(Timestamp(90 * SECOND)));
        assert!(watermark.observe(Timestamp(90 * SECOND - 1)));
        assert_eq!(watermark.at(), Some(Timestamp(90 * SECOND)));
    }

    #[test]
    fn infinite_lateness_makes_nothing_late() {
        let mut watermark = Watermark::new(Duration::MAX, None);
        assert!(!watermark.observe(Timestamp(5)));
        assert!(!watermark.observe(Timestamp(-5)));
    }

    #[test]
    fn idle_time_moves_it_from_where_it_stood() {
        let mut watermark = Watermark::new(Duration::from_secs(1), None);
        watermark.advance(Duration::from_secs(60));
        assert_eq!(watermark.at(), None);
        watermark.observe(Timestamp(10 * SECOND));
        watermark.advance(Duration::from_secs(60));
        assert_eq!(watermark.at(), Some(Timestamp(69 * SECOND)));
    }
}
