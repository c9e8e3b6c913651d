//! Where a key stands in a window that is no span before each signal: its bucket, its run, since when it is silent.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{arrival::Arrival, contents::Contents, key::Trigger};
use crate::{
    event::Timestamp,
    rule::{Baseline, Window},
};

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Course {
    #[default]
    Plain,
    /// Of `every`, `baseline` and a window from a first signal on: its end, and what came at the very end, which the next bucket begins with: a timer comes after the
    /// signals of its time.
    Bucket { end: Timestamp, next: Box<Contents> },
    /// Of `session`.
    Run { first: Timestamp, last: Timestamp, has_fired: bool },
    /// Of `silent`: the signal that was the last so far, and how many there were since the key was new.
    Heard { last: Box<Trigger>, times: u32 },
}

impl Course {
    /// Whether keys with such a window stand anywhere at all.
    pub fn is_of(window: &Window) -> bool {
        !matches!(window, Window::None | Window::Sliding(_) | Window::FirstSeen(_))
    }

    /// Takes notice of a signal, whether or not an alert is open. Says whether it begins a window of its own.
    pub fn see(&mut self, window: &Window, signal: &Arrival<'_>) -> bool {
        match window {
            Window::Session { gap, max } => match self {
                Course::Run { first, last, .. } if signal.time <= run_end(*first, *last, *gap, *max) => {
                    *last = signal.time;
                    false
                }
                _ => {
                    *self = Course::Run { first: signal.time, last: signal.time, has_fired: false };
                    true
                }
            },
            Window::Tumbling(span) | Window::Baseline(Baseline { every: span, .. }) => {
                self.begin(bucket_end(signal.time, *span));
                false
            }
            Window::FromFirst(span) => {
                self.begin(signal.time.plus(*span));
                false
            }
            Window::Silent { .. } => {
                let times = self.sightings().unwrap_or(0).saturating_add(1);
                *self = Course::Heard { last: Box::new(Trigger::of_signal(signal)), times };
                false
            }
            Window::None | Window::Sliding(_) | Window::FirstSeen(_) => false,
        }
    }

    /// A signal lies in a bucket that ends then, unless it lies in one already.
    fn begin(&mut self, end: Timestamp) {
        if !matches!(self, Course::Bucket { .. }) {
            *self = Course::Bucket { end, next: Box::default() };
        }
    }

    /// The bucket that a signal belongs to: `current`, or the one that follows it.
    pub fn bucket<'a>(&'a mut self, time: Timestamp, current: &'a mut Contents) -> &'a mut Contents {
        match self {
            Course::Bucket { end, next } if time >= *end => next,
            _ => current,
        }
    }

    /// After the end of a bucket: what the next one holds, and where that stands.
    pub fn next_bucket(self, span: Duration) -> (Contents, Course) {
        match self {
            Course::Bucket { end, next } if !next.is_empty() => {
                (*next, Course::Bucket { end: end.plus(span), next: Box::default() })
            }
            _ => (Contents::default(), Course::Plain),
        }
    }

    /// The start of a run that has not fired.
    pub fn run_to_look_at(&self) -> Option<Timestamp> {
        match self {
            Course::Run { first, has_fired: false, .. } => Some(*first),
            _ => None,
        }
    }

    pub fn last_heard(&self) -> Option<&Trigger> {
        match self {
            Course::Heard { last, .. } => Some(last),
            _ => None,
        }
    }

    /// The key has fired: a run goes on and fires no more, everything else is over.
    pub fn fired(&mut self) {
        match self {
            Course::Run { has_fired, .. } => *has_fired = true,
            _ => *self = Course::Plain,
        }
    }

    /// When a timer has to look.
    pub fn deadline(&self, window: &Window) -> Option<Timestamp> {
        match (self, window) {
            (Course::Bucket { end, .. }, _) => Some(*end),
            (Course::Run { first, last, .. }, Window::Session { gap, max }) => Some(run_end(*first, *last, *gap, *max)),
            (Course::Heard { last, .. }, Window::Silent { after, .. }) => Some(last.time.plus(*after)),
            _ => None,
        }
    }

    /// How often a key that may fall silent was heard.
    pub fn sightings(&self) -> Option<u32> {
        match self {
            Course::Heard { times, .. } => Some(*times),
            _ => None,
        }
    }

    /// The last signal that it took notice of.
    pub fn last_time(&self) -> Option<Timestamp> {
        match self {
            Course::Run { last, .. } => Some(*last),
            Course::Heard { last, .. } => Some(last.time),
            Course::Plain | Course::Bucket { .. } => None,
        }
    }

    pub fn is_plain(&self) -> bool {
        matches!(self, Course::Plain)
    }
}

/// The last time at which a signal still joins the run.
fn run_end(first: Timestamp, last: Timestamp, gap: Duration, max: Option<Duration>) -> Timestamp {
    let end = last.plus(gap);
    max.map_or(end, |max| end.min(first.plus(max)))
}

/// The end of the bucket that `time` lies in; buckets are counted from the epoch.
fn bucket_end(time: Timestamp, span: Duration) -> Timestamp {
    let span = i64::try_from(span.as_nanos()).unwrap_or(i64::MAX).max(1);
    Timestamp((time.0.div_euclid(span) + 1).saturating_mul(span))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_aligned_to_the_epoch() {
        let end = |time| bucket_end(Timestamp(time), Duration::from_nanos(10)).0;
        assert_eq!([-11, -10, -1, 0, 9, 10].map(end), [-10, 0, 0, 10, 10, 20]);
    }
}
