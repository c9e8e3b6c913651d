//! When a segment is sealed and when it is dropped: decisions only.
//!
//! Segments are dropped whole and the one being written never, so a topic keeps up to a segment more than it must.
//! A segment holds all partitions of its topic; a size for each partition therefore bounds the topic as a whole.

use std::time::Duration;

use super::keys::TopicManifest;

/// A topic that keeps records for a time is cut into about this many segments, one that keeps a size into half of it
/// at the least.
const SEGMENTS: u64 = 8;

/// A segment, oldest first; the last one is being written.
pub(super) struct Extent {
    pub(super) created_ms: i64,
    pub(super) bytes: u64,
}

/// Whether the segment being written, which is not empty, is to be sealed.
pub(super) fn is_full(active: &Extent, topic: &TopicManifest, segment_bytes: u64, now_ms: i64) -> bool {
    let age = topic.age_ms.map(|age_ms| age_ms / SEGMENTS);
    active.bytes >= bytes_max(topic, segment_bytes)
        || age.is_some_and(|age_ms| since(active.created_ms, now_ms) >= age_ms)
}

/// The bytes at which a segment of the topic is sealed, when `segment_bytes` is what is configured.
pub(super) fn bytes_max(topic: &TopicManifest, segment_bytes: u64) -> u64 {
    budget(topic).map_or(segment_bytes, |budget| segment_bytes.min(budget / (SEGMENTS / 2))).max(1)
}

/// How many of the oldest segments are to be dropped.
pub(super) fn expired(segments: &[Extent], topic: &TopicManifest, now_ms: i64) -> usize {
    let mut bytes: u64 = segments.iter().map(|segment| segment.bytes).sum();
    let is_expired = |pair: &&[Extent]| {
        let [segment, following] = pair else { return false };
        // A segment was written to until the following one was created.
        let too_old = topic.age_ms.is_some_and(|age_ms| since(following.created_ms, now_ms) > age_ms);
        bytes -= segment.bytes;
        let too_many = budget(topic).is_some_and(|budget| bytes >= budget);
        too_old || too_many
    };
    segments.windows(2).take_while(is_expired).count()
}

fn budget(topic: &TopicManifest) -> Option<u64> {
    topic.bytes.map(|bytes| bytes.saturating_mul(u64::from(topic.partitions)))
}

fn since(then_ms: i64, now_ms: i64) -> u64 {
    u64::try_from(now_ms.saturating_sub(then_ms)).unwrap_or(0)
}

/// An age as manifests keep it.
pub(super) fn age_ms(age: Duration) -> u64 {
    u64::try_from(age.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic(age_ms: Option<u64>, bytes: Option<u64>) -> TopicManifest {
        TopicManifest { partitions: 2, compacted: false, age_ms, bytes }
    }

    fn segments(all: &[(i64, u64)]) -> Vec<Extent> {
        all.iter().map(|(created_ms, bytes)| Extent { created_ms: *created_ms, bytes: *bytes }).collect()
    }

    #[test]
    fn age_counts_from_the_end_of_a_segment() {
        let segments = segments(&[(0, 1), (100, 1), (200, 1)]);
        assert_eq!(expired(&segments, &topic(Some(1000), None), 1100), 0);
        assert_eq!(expired(&segments, &topic(Some(1000), None), 1101), 1);
        assert_eq!(expired(&segments, &topic(Some(1000), None), i64::MAX), 2);
    }

    #[test]
    fn size_drops_what_is_not_needed_to_keep_it() {
        let segments = segments(&[(0, 50), (1, 50), (2, 50), (3, 10)]);
        assert_eq!(expired(&segments, &topic(None, Some(80)), 5), 0);
        assert_eq!(expired(&segments, &topic(None, Some(40)), 5), 1);
        assert_eq!(expired(&segments, &topic(None, Some(30)), 5), 2);
        assert_eq!(expired(&segments, &topic(None, Some(0)), 5), 3);
    }

    #[test]
    fn a_clock_that_goes_back_drops_nothing() {
        assert_eq!(expired(&segments(&[(500, 1), (600, 1)]), &topic(Some(10), None), 100), 0);
    }

    #[test]
    fn a_segment_is_sealed_by_size_or_by_age_and_small_budgets_get_small_segments() {
        let active = |bytes| Extent { created_ms: 0, bytes };
        assert!(!is_full(&active(99), &topic(None, None), 100, 1 << 40));
        assert!(is_full(&active(100), &topic(None, None), 100, 0));
        assert!(is_full(&active(20), &topic(None, Some(40)), 100, 0));
        assert!(is_full(&active(1), &topic(Some(8000), None), 100, 1000));
        assert!(!is_full(&active(1), &topic(Some(8000), None), 100, 999));
    }
}
