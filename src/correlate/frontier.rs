//! Where time stands for the rules that read certain inputs: the least watermark over the partitions of those inputs.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    detect::{LeftOut, Marker, Roster, Signal},
    event::{InputName, Timestamp},
    rule::InputSet,
};

/// What a signals partition knows of the source partitions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sources {
    roster: Roster,
    known: BTreeMap<(InputName, u32), Source>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Source {
    epoch: u64,
    watermark: Option<Timestamp>,
    idle: bool,
    left_out: LeftOut,
    /// For a source that never had an event: how far the others were when it was found idle last, and the time before.
    /// Whatever it has from now on was not there at the time before.
    idle_at: Others,
    idle_before: Others,
    /// The greatest (offset, rule, pattern, element) that was accepted.
    accepted: Option<(u64, std::sync::Arc<str>, std::sync::Arc<str>, u32)>,
}

/// The greatest watermarks of other sources.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Others {
    same_input: Option<Timestamp>,
    any_input: Option<Timestamp>,
}

/// How far an input is.
enum Standing {
    Counted(Timestamp),
    /// Other inputs go on without it.
    LeftOut(Timestamp),
    /// It never had an event; with what the other inputs had reached when that was last known.
    Silent(Option<Timestamp>),
}

/// What becomes of a signal on arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    Accepted,
    /// It has been here before.
    Duplicate,
    /// Written by a line that no longer owned its partition.
    StaleEpoch,
}

impl Sources {
    pub fn set_roster(&mut self, roster: Roster) {
        self.roster = roster;
    }

    /// Takes a marker in; says whether it counts. A watermark never goes back.
    pub fn mark(&mut self, marker: &Marker) -> bool {
        let others =
            if marker.watermark.is_none() && marker.idle { self.greatest(&marker.input) } else { Others::default() };
        let source = self.known.entry((marker.input.clone(), marker.partition)).or_default();
        if marker.epoch < source.epoch {
            return false;
        }
        source.epoch = marker.epoch;
        source.watermark = source.watermark.max(marker.watermark);
        source.idle = marker.idle;
        source.left_out = marker.left_out;
        (source.idle_before, source.idle_at) = (source.idle_at, others);
        true
    }

    fn greatest(&self, input: &InputName) -> Others {
        let watermark = |(_, source): (_, &Source)| source.watermark;
        let same_input = self.known.iter().filter(|((name, _), _)| name == input);
        Others {
            same_input: same_input.filter_map(watermark).max(),
            any_input: self.known.iter().filter_map(watermark).max(),
        }
    }

    /// Decides on a signal by its position and epoch, not by its time.
    pub fn admit(&mut self, signal: &Signal) -> Admission {
        let source = self.known.entry((signal.position.input.clone(), signal.position.partition)).or_default();
        if signal.epoch < source.epoch {
            return Admission::StaleEpoch;
        }
        let place = (signal.position.offset, &signal.rule, &signal.pattern, signal.element);
        if source
            .accepted
            .as_ref()
            .is_some_and(|(offset, rule, pattern, element)| place <= (*offset, rule, pattern, *element))
        {
            return Admission::Duplicate;
        }
        source.epoch = signal.epoch;
        source.accepted = Some((signal.position.offset, signal.rule.clone(), signal.pattern.clone(), signal.element));
        Admission::Accepted
    }

    /// The least watermark over the partitions of `inputs`. `None` while one of them has not been heard of, or none
    /// of them has had an event.
    ///
    /// Whoever is left out holds nothing back, unless nobody else is there. A partition that never had an event holds
    /// back as far as the others were when it was known to have none.
    pub fn frontier(&self, inputs: &InputSet) -> Option<Timestamp> {
        let (mut counted, mut left_out, mut others_of_silent) = (None, None, None);
        let named: Box<dyn Iterator<Item = &InputName>> = match inputs {
            InputSet::All => Box::new(self.roster.inputs.keys()),
            InputSet::Named(names) => Box::new(names.iter()),
        };
        for input in named {
            match self.standing(input)? {
                Standing::Counted(watermark) => lower(&mut counted, watermark),
                Standing::LeftOut(watermark) => lower(&mut left_out, watermark),
                Standing::Silent(others) => lower(&mut others_of_silent, others?),
            }
        }
        let least = counted.or(left_out)?;
        Some(others_of_silent.map_or(least, |others| least.min(others)))
    }

    /// `None` when one of its partitions may have what nobody has read yet.
    fn standing(&self, input: &InputName) -> Option<Standing> {
        let (mut counted, mut left_out, mut silent) = (None, None, Vec::new());
        let mut counts_for_others = false;
        for partition in self.roster.inputs.get(input)? {
            let source = self.known.get(&(input.clone(), *partition))?;
            counts_for_others |= source.watermark.is_some() && source.left_out == LeftOut::No;
            match source.watermark {
                Some(watermark) if source.left_out == LeftOut::OfAll => lower(&mut left_out, watermark),
                Some(watermark) => lower(&mut counted, watermark),
                None if source.idle => silent.push(source.idle_before),
                None => return None,
            }
        }
        let Some(mut least) = counted.or(left_out) else {
            return Some(Standing::Silent(silent.iter().map(|others| others.any_input).min().flatten()));
        };
        for others in silent {
            least = least.min(others.same_input?);
        }
        Some(if counts_for_others { Standing::Counted(least) } else { Standing::LeftOut(least) })
    }

    /// The roster's partitions with what is known of each: (input, partition, watermark, idle).
    pub fn iter(&self) -> impl Iterator<Item = (&InputName, u32, Option<Timestamp>, bool)> {
        self.roster.inputs.iter().flat_map(move |(input, partitions)| {
            partitions.iter().map(move |partition| {
                let source = self.known.get(&(input.clone(), *partition));
                (
                    input,
                    *partition,
                    source.and_then(|source| source.watermark),
                    source.is_some_and(|source| source.idle),
                )
            })
        })
    }
}

fn lower(least: &mut Option<Timestamp>, watermark: Timestamp) {
    *least = Some(least.map_or(watermark, |least| least.min(watermark)));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marker(input: &str, partition: u32, epoch: u64, watermark: Option<i64>, idle: bool) -> Marker {
        Marker {
            input: input.into(),
            partition,
            epoch,
            watermark: watermark.map(Timestamp),
            idle,
            left_out: LeftOut::No,
        }
    }

    fn sources() -> Sources {
        let mut sources = Sources::default();
        sources.set_roster(Roster { inputs: [("a".into(), vec![0, 1]), ("b".into(), vec![0])].into() });
        sources
    }

    fn only(input: &str) -> InputSet {
        InputSet::Named([input.into()].into())
    }

    #[test]
    fn a_partition_not_heard_of_holds_its_input_back() {
        let mut sources = sources();
        sources.mark(&marker("a", 0, 1, Some(5), false));
        assert_eq!(sources.frontier(&only("a")), None);
        sources.mark(&marker("a", 1, 1, Some(3), false));
        assert_eq!(sources.frontier(&only("a")), Some(Timestamp(3)));
        assert_eq!(sources.frontier(&InputSet::All), None);
    }

    /// Marks a partition without events idle, again and again.
    fn still_idle(sources: &mut Sources, input: &str, partition: u32, times: u32) {
        (0..times).for_each(|_| assert!(sources.mark(&marker(input, partition, 1, None, true))));
    }

    #[test]
    fn a_partition_without_events_holds_back_until_it_was_found_idle_since() {
        let mut sources = sources();
        still_idle(&mut sources, "a", 1, 3);
        sources.mark(&marker("a", 0, 1, Some(5), false));
        assert_eq!(sources.frontier(&only("a")), None, "what was fed at the same time may just not have been read");
        still_idle(&mut sources, "a", 1, 1);
        assert_eq!(sources.frontier(&only("a")), None);
        sources.mark(&marker("a", 0, 1, Some(8), false));
        still_idle(&mut sources, "a", 1, 1);
        assert_eq!(sources.frontier(&only("a")), Some(Timestamp(5)));
        sources.mark(&marker("a", 1, 1, None, false));
        assert_eq!(sources.frontier(&only("a")), None, "it has something");
    }

    #[test]
    fn an_input_without_events_follows_the_other_inputs() {
        let mut sources = sources();
        sources.mark(&marker("a", 0, 1, Some(5), false));
        sources.mark(&marker("a", 1, 1, Some(7), false));
        still_idle(&mut sources, "b", 0, 2);
        assert_eq!(sources.frontier(&InputSet::All), Some(Timestamp(5)));
        assert_eq!(sources.frontier(&only("b")), None, "its own first events are not late");
        sources.mark(&marker("a", 0, 1, Some(20), false));
        sources.mark(&marker("a", 1, 1, Some(20), false));
        assert_eq!(sources.frontier(&InputSet::All), Some(Timestamp(7)));
    }

    #[test]
    fn an_input_that_is_left_out_as_a_whole_goes_by_its_own_time() {
        let mut sources = sources();
        let far_behind =
            |partition, at| Marker { left_out: LeftOut::OfOthers, ..marker("a", partition, 1, Some(at), false) };
        sources.mark(&marker("b", 0, 1, Some(500), false));
        sources.mark(&far_behind(0, 3));
        sources.mark(&marker("a", 1, 1, Some(4), false));
        assert_eq!(sources.frontier(&InputSet::All), Some(Timestamp(3)), "a part of it is still to be waited for");
        sources.mark(&far_behind(1, 4));
        assert_eq!(sources.frontier(&InputSet::All), Some(Timestamp(500)));
        assert_eq!(sources.frontier(&only("a")), Some(Timestamp(3)));
    }

    #[test]
    fn a_partition_left_out_holds_nothing_back_until_it_goes_on() {
        let mut sources = sources();
        sources.mark(&marker("a", 0, 1, Some(500), false));
        sources.mark(&Marker { left_out: LeftOut::OfAll, ..marker("a", 1, 1, Some(3), true) });
        assert_eq!(sources.frontier(&only("a")), Some(Timestamp(500)));
        sources.mark(&marker("a", 1, 1, Some(4), false));
        assert_eq!(sources.frontier(&only("a")), Some(Timestamp(4)));
    }

    #[test]
    fn a_marker_of_a_former_owner_says_nothing() {
        let mut sources = sources();
        sources.mark(&marker("b", 0, 2, Some(5), false));
        assert!(!sources.mark(&marker("b", 0, 1, Some(9), false)));
        assert_eq!(sources.frontier(&only("b")), Some(Timestamp(5)));
    }
}
