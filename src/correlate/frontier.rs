//! Where time stands for the rules that read certain inputs: the least watermark over the partitions of those inputs.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    detect::{Marker, Roster, Signal},
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
    left_out: Option<Duration>,
    /// The greatest (offset, rule, pattern, element) that was accepted.
    accepted: Option<(u64, Arc<str>, Arc<str>, u32)>,
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
        let source = self.known.entry((marker.input.clone(), marker.partition)).or_default();
        if marker.epoch < source.epoch {
            return false;
        }
        source.epoch = marker.epoch;
        source.watermark = source.watermark.max(marker.watermark);
        source.idle = marker.idle;
        source.left_out = marker.left_out;
        true
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
    /// of them has had an event. A partition that never had one holds nothing back once it is idle, nor does one that
    /// its owner has left out, when it is so far behind the first of these very inputs.
    pub fn frontier(&self, inputs: &InputSet) -> Option<Timestamp> {
        let mut reached: Vec<(Timestamp, Option<Duration>)> = Vec::new();
        let named: Box<dyn Iterator<Item = &InputName>> = match inputs {
            InputSet::All => Box::new(self.roster.inputs.keys()),
            InputSet::Named(names) => Box::new(names.iter()),
        };
        for input in named {
            for partition in self.roster.inputs.get(input)? {
                let source = self.known.get(&(input.clone(), *partition))?;
                match source.watermark {
                    Some(watermark) => reached.push((watermark, source.left_out)),
                    None if source.idle => {}
                    None => return None,
                }
            }
        }
        let first = reached.iter().map(|(watermark, _)| *watermark).max()?;
        let is_waited_for = |(watermark, left_out): &(Timestamp, Option<Duration>)| {
            left_out.is_none_or(|behind| first.since(*watermark) <= behind)
        };
        reached.into_iter().filter(is_waited_for).map(|(watermark, _)| watermark).min()
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

#[cfg(test)]
mod tests {
    use super::*;

    fn marker(input: &str, partition: u32, epoch: u64, watermark: Option<i64>, idle: bool) -> Marker {
        Marker { input: input.into(), partition, epoch, watermark: watermark.map(Timestamp), idle, left_out: None }
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

    #[test]
    fn a_partition_that_never_had_an_event_holds_nothing_back_once_idle() {
        let mut sources = sources();
        sources.mark(&marker("a", 0, 1, Some(5), false));
        sources.mark(&marker("a", 1, 1, None, false));
        assert_eq!(sources.frontier(&only("a")), None);
        sources.mark(&marker("a", 1, 1, None, true));
        assert_eq!(sources.frontier(&only("a")), Some(Timestamp(5)));
    }

    #[test]
    fn a_partition_left_out_holds_nothing_back_until_it_goes_on() {
        let mut sources = sources();
        sources.mark(&marker("a", 0, 1, Some(500), false));
        let left_out = Some(Duration::from_nanos(100));
        sources.mark(&Marker { left_out, ..marker("a", 1, 1, Some(3), true) });
        assert_eq!(sources.frontier(&only("a")), Some(Timestamp(500)));
        sources.mark(&marker("a", 1, 1, Some(4), false));
        assert_eq!(sources.frontier(&only("a")), Some(Timestamp(4)));
    }

    #[test]
    fn inputs_that_are_far_behind_others_keep_a_time_of_their_own() {
        let mut sources = sources();
        let left_out = Some(Duration::from_nanos(100));
        sources.mark(&marker("b", 0, 1, Some(500), false));
        sources.mark(&Marker { left_out, ..marker("a", 0, 1, Some(8), false) });
        sources.mark(&Marker { left_out, ..marker("a", 1, 1, Some(5), false) });
        assert_eq!(sources.frontier(&only("a")), Some(Timestamp(5)));
        assert_eq!(sources.frontier(&InputSet::All), Some(Timestamp(500)));
    }

    #[test]
    fn a_marker_of_a_former_owner_says_nothing() {
        let mut sources = sources();
        sources.mark(&marker("b", 0, 2, Some(5), false));
        assert!(!sources.mark(&marker("b", 0, 1, Some(9), false)));
        assert_eq!(sources.frontier(&only("b")), Some(Timestamp(5)));
    }
}
