//! The lists that rules write, as one signals partition knows them.
//!
//! A text that is added at t for d is a member in (t, t + d]: an event of the write's own time does not see it, one of
//! exactly t + d does. Adding it again makes the membership longer, never shorter. What is remembered is the union of
//! all these spans, so it does not matter in which order writes of several partitions arrive, nor that a rule which
//! waits for a slow input asks about a time long before the last write.
//!
//! A list keeps a bounded number of spans. In a full one the span that ends first makes room (of several, that of the
//! first text in byte order), which may be the new one, and is counted.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::{event::Timestamp, rule::ListWrite};

/// (list, text)
pub type Member = (Arc<str>, Arc<str>);

/// When a text is a member: after the first of each pair, up to the second. In order, none touches the next.
pub type Spans = Vec<(Timestamp, Timestamp)>;

#[derive(Debug, Default)]
pub(super) struct WrittenLists {
    lists: BTreeMap<Arc<str>, WrittenList>,
    /// What changed since [`WrittenLists::take_changes`].
    dirty: BTreeSet<Member>,
}

#[derive(Debug, Default)]
struct WrittenList {
    /// Until when, by text and from when.
    spans: BTreeMap<(Arc<str>, Timestamp), Timestamp>,
    /// The same by their ends.
    ends: BTreeSet<(Timestamp, Arc<str>, Timestamp)>,
}

impl WrittenLists {
    /// Takes a write in, after what ended before `past` has been forgotten. Gives how many spans had to make room.
    pub fn write(&mut self, write: ListWrite, past: Timestamp, entries_max: usize) -> u64 {
        let ListWrite { list: name, text, from, until } = write;
        let list = self.lists.entry(name.clone()).or_default();
        let mut changed = list.forget(past);
        list.add(text.clone(), from, until);
        changed.push(text);
        let mut evicted = 0;
        while list.spans.len() > entries_max {
            changed.extend(list.drop_first());
            evicted += 1;
        }
        self.dirty.extend(changed.into_iter().map(|text| (name.clone(), text)));
        evicted
    }

    pub fn contains(&self, list: &str, text: &str, time: Timestamp) -> bool {
        self.lists.get(list).is_some_and(|list| list.contains(text, time))
    }

    /// As it was stored.
    pub fn restore(&mut self, (name, text): Member, spans: Spans) {
        let list = self.lists.entry(name).or_default();
        spans.into_iter().for_each(|(from, until)| list.add(text.clone(), from, until));
    }

    /// What changed since the last call, with its spans now; forgets what ended before `past` on the way.
    pub fn take_changes(&mut self, past: Timestamp) -> Vec<(Member, Spans)> {
        for (name, list) in &mut self.lists {
            self.dirty.extend(list.forget(past).into_iter().map(|text| (name.clone(), text)));
        }
        let spans = |(list, text): &Member| self.lists.get(list).map(|list| list.spans_of(text)).unwrap_or_default();
        let changes =
            std::mem::take(&mut self.dirty).into_iter().map(|member| (member.clone(), spans(&member))).collect();
        self.lists.retain(|_, list| !list.spans.is_empty());
        changes
    }
}

impl WrittenList {
    fn contains(&self, text: &str, time: Timestamp) -> bool {
        let text: Arc<str> = text.into();
        let before = self.spans.range((text.clone(), Timestamp::MIN)..(text, time)).next_back();
        before.is_some_and(|(_, until)| time <= *until)
    }

    /// Spans that meet become one.
    fn add(&mut self, text: Arc<str>, from: Timestamp, until: Timestamp) {
        let (mut first, mut last) = (from, until);
        let meets = |list: &Self, last| {
            let before = list.spans.range((text.clone(), Timestamp::MIN)..=(text.clone(), last)).next_back();
            before.filter(|(_, until)| **until >= from).map(|((_, from), until)| (*from, *until))
        };
        while let Some((other_from, other_until)) = meets(self, last) {
            self.remove(&text, other_from, other_until);
            (first, last) = (first.min(other_from), last.max(other_until));
        }
        self.ends.insert((last, text.clone(), first));
        self.spans.insert((text, first), last);
    }

    fn remove(&mut self, text: &Arc<str>, from: Timestamp, until: Timestamp) {
        self.spans.remove(&(text.clone(), from));
        self.ends.remove(&(until, text.clone(), from));
    }

    /// Drops the span that ends first.
    fn drop_first(&mut self) -> Option<Arc<str>> {
        let (_, text, from) = self.ends.pop_first()?;
        self.spans.remove(&(text.clone(), from));
        Some(text)
    }

    /// Drops what ended before `past`; gives whose spans those were.
    fn forget(&mut self, past: Timestamp) -> Vec<Arc<str>> {
        let mut of = Vec::new();
        while self.ends.first().is_some_and(|(until, ..)| *until < past) {
            of.extend(self.drop_first());
        }
        of
    }

    fn spans_of(&self, text: &Arc<str>) -> Spans {
        let all = self.spans.range((text.clone(), Timestamp::MIN)..=(text.clone(), Timestamp::MAX));
        all.map(|((_, from), until)| (*from, *until)).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn write(text: &str, from: i64, until: i64) -> ListWrite {
        ListWrite { list: "l".into(), text: text.into(), from: Timestamp(from), until: Timestamp(until) }
    }

    fn of(writes: &[ListWrite], entries_max: usize) -> (WrittenLists, u64) {
        let mut lists = WrittenLists::default();
        let evicted = writes.iter().map(|one| lists.write(one.clone(), Timestamp::MIN, entries_max)).sum();
        (lists, evicted)
    }

    proptest! {
        #[test]
        fn a_text_is_a_member_in_any_of_its_spans_whatever_the_order_of_writes(
            spans in prop::collection::vec((0..30i64, 0..8i64), 0..12),
            times in Just((0..40i64).collect::<Vec<_>>()),
        ) {
            let writes: Vec<_> = spans.iter().map(|(from, span)| write("a", *from, from + span)).collect();
            let (lists, _) = of(&writes, 100);
            for time in times {
                let expected = writes.iter().any(|write| write.from.0 < time && time <= write.until.0);
                prop_assert_eq!(lists.contains("l", "a", Timestamp(time)), expected, "at {}", time);
            }
            prop_assert!(!lists.contains("l", "b", Timestamp(5)) && !lists.contains("m", "a", Timestamp(5)));
        }
    }

    #[test]
    fn in_a_full_list_the_span_that_ends_first_makes_room() {
        let (lists, evicted) = of(&[write("b", 0, 9), write("a", 0, 9), write("c", 0, 20), write("d", 0, 5)], 2);
        let members: Vec<_> =
            ["a", "b", "c", "d"].into_iter().filter(|text| lists.contains("l", text, Timestamp(4))).collect();
        assert_eq!((members, evicted), (vec!["b", "c"], 2));
    }

    #[test]
    fn what_ended_before_every_question_is_forgotten_and_what_is_stored_is_what_there_is() {
        let (mut lists, _) = of(&[write("a", 0, 9), write("a", 20, 30), write("b", 0, 10)], 9);
        let spans = |pairs: &[(i64, i64)]| {
            pairs.iter().map(|(from, until)| (Timestamp(*from), Timestamp(*until))).collect::<Spans>()
        };
        let member = |text: &str| (Arc::from("l"), Arc::from(text));
        let first = lists.take_changes(Timestamp(10));
        assert_eq!(first, [(member("a"), spans(&[(20, 30)])), (member("b"), spans(&[(0, 10)]))]);
        assert_eq!(lists.take_changes(Timestamp(11)), [(member("b"), spans(&[]))]);
        let mut again = WrittenLists::default();
        first.into_iter().for_each(|(member, spans)| again.restore(member, spans));
        assert!(again.contains("l", "a", Timestamp(25)) && again.contains("l", "b", Timestamp(10)));
        assert!(again.take_changes(Timestamp(11)).len() == 1, "only what left");
    }
}
