//! Where time stands for the rules that read certain inputs: the least watermark over the partitions of those inputs.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use super::arrival::Origin;
use crate::{
    detect::{Marker, PositionView, Roster, SignalView},
    event::{ALERTS, InputName, Timestamp},
    rule::InputSet,
};

/// What a signals partition knows of the source partitions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sources {
    roster: Roster,
    known: BTreeMap<(InputName, u32), Source>,
    #[serde(skip)]
    origins: Origins,
}

/// Every source partition that signals came from, once.
#[derive(Debug, Clone, Default)]
struct Origins {
    by_name: BTreeMap<InputName, BTreeMap<u32, Arc<Origin>>>,
    /// The one that was asked for last: signals of one come together.
    last: Option<Arc<Origin>>,
}

/// They are names, known again as signals come.
impl PartialEq for Origins {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Origins {}

impl Origins {
    fn of(&mut self, position: &PositionView<'_>) -> Arc<Origin> {
        let is_of = |origin: &&Arc<Origin>| origin.place.1 == position.partition && *origin.place.0 == *position.input;
        if let Some(origin) = self.last.as_ref().filter(is_of) {
            return origin.clone();
        }
        let known = self.by_name.get(position.input).and_then(|of| of.get(&position.partition));
        let origin = known.cloned().unwrap_or_else(|| {
            let origin = Arc::new(Origin::new(position.input, position.partition));
            let of_input = self.by_name.entry(origin.place.0.clone()).or_default();
            of_input.insert(position.partition, origin.clone());
            origin
        });
        self.last = Some(origin.clone());
        origin
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Source {
    epoch: u64,
    watermark: Option<Timestamp>,
    idle: bool,
    left_out: Option<Duration>,
    /// Of a source that never had an event: how far the others were when it was found idle last, and the time before.
    /// What it has from now on was not there the time before, so it holds the others back no further than that.
    idle_at: Others,
    idle_before: Others,
    /// Of the rules that its signals come from; 0 where they are nobody's bundle.
    revision: u64,
    /// The greatest that was accepted.
    accepted: Option<Accepted>,
}

impl Source {
    fn admit(&mut self, signal: &SignalView<'_>) -> Admission {
        if signal.epoch < self.epoch {
            return Admission::StaleEpoch;
        }
        match &mut self.accepted {
            Some(accepted) if !accepted.is_before(signal) => return Admission::Duplicate,
            Some(accepted) => accepted.set(signal),
            none => *none = Some(Accepted::of(signal)),
        }
        self.epoch = signal.epoch;
        Admission::Accepted
    }
}

/// A signal among those of its source, ordered by (offset, rule, pattern, element).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Accepted {
    offset: u64,
    rule: Arc<str>,
    pattern: Arc<str>,
    element: u32,
}

impl Accepted {
    fn of(signal: &SignalView<'_>) -> Self {
        Accepted {
            offset: signal.position.offset,
            rule: signal.rule.into(),
            pattern: signal.pattern.into(),
            element: signal.element,
        }
    }

    fn is_before(&self, signal: &SignalView<'_>) -> bool {
        let place = (signal.position.offset, signal.rule, signal.pattern, signal.element);
        (self.offset, &*self.rule, &*self.pattern, self.element) < place
    }

    /// As [`Accepted::of`]; names that stay are not copied.
    fn set(&mut self, signal: &SignalView<'_>) {
        (self.offset, self.element) = (signal.position.offset, signal.element);
        for (name, of) in [(&mut self.rule, signal.rule), (&mut self.pattern, signal.pattern)] {
            if **name != *of {
                *name = of.into();
            }
        }
    }
}

/// The greatest watermarks of other sources; `None` while they had no event either.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Others {
    same_input: Option<Timestamp>,
    any_input: Option<Timestamp>,
}

/// How far a source is in one signals partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reached {
    pub input: InputName,
    pub partition: u32,
    pub watermark: Option<Timestamp>,
    /// The greatest offset of an event whose signal was accepted.
    pub accepted: Option<u64>,
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
        let is_silent = marker.watermark.is_none() && marker.idle;
        let others = if is_silent { self.others(&marker.input) } else { Others::default() };
        let source = self.known.entry((marker.input.clone(), marker.partition)).or_default();
        if marker.epoch < source.epoch {
            return false;
        }
        (source.idle_before, source.idle_at) = (source.idle_at, others);
        source.epoch = marker.epoch;
        source.watermark = source.watermark.max(marker.watermark);
        source.idle = marker.idle;
        source.left_out = marker.left_out;
        source.revision = source.revision.max(marker.rules.as_ref().map_or(0, |rules| rules.revision));
        true
    }

    /// Whether a marker is its source's owner's: see [`Sources::mark`].
    pub fn is_current(&self, marker: &Marker) -> bool {
        let known = self.known.get(&(marker.input.clone(), marker.partition));
        known.is_none_or(|source| marker.epoch >= source.epoch)
    }

    /// Whether every source of `inputs` has rules of this revision or a later one.
    pub fn have_switched(&self, inputs: &InputSet, revision: u64) -> bool {
        let sources = self.roster.inputs.iter().filter(|(input, _)| inputs.contains(input));
        let mut sources = sources.flat_map(|(input, all)| all.iter().map(move |one| (input.clone(), *one)));
        sources.all(|source| self.known.get(&source).is_some_and(|source| source.revision >= revision))
    }

    /// The greatest watermark of all.
    pub fn first(&self) -> Option<Timestamp> {
        self.known.values().filter_map(|source| source.watermark).max()
    }

    fn others(&self, input: &InputName) -> Others {
        let of = |(key, source): (&(InputName, u32), &Source)| (key.0 == *input).then_some(source.watermark).flatten();
        Others {
            same_input: self.known.iter().filter_map(of).max(),
            any_input: self.known.values().filter_map(|source| source.watermark).max(),
        }
    }

    /// Whether anything was ever heard of an input.
    pub fn has(&self, input: &str) -> bool {
        self.known.keys().any(|(known, _)| **known == *input)
    }

    /// Decides on a signal by its position and epoch, not by its time; says where it came from. Those of alerts were
    /// committed with them, once.
    pub(super) fn admit(&mut self, signal: &SignalView<'_>) -> (Admission, Arc<Origin>) {
        let origin = self.origin(signal);
        if *signal.position.input == *ALERTS {
            return (Admission::Accepted, origin);
        }
        let admission = match self.known.get_mut(&origin.place) {
            Some(source) => source.admit(signal),
            None => self.known.entry(origin.place.clone()).or_default().admit(signal),
        };
        (admission, origin)
    }

    /// The source partition that a signal came from.
    pub(super) fn origin(&mut self, signal: &SignalView<'_>) -> Arc<Origin> {
        self.origins.of(&signal.position)
    }

    /// The least watermark over the partitions of `inputs`. `None` while one of them has not been heard of, or none
    /// of them has had an event.
    ///
    /// A partition that its owner has left out is not waited for when it is so far behind the first of these very
    /// inputs. One that never had an event holds back no further than the others of its input (of all inputs, where
    /// its own has none) had come when it was known to have nothing: what was fed to several partitions at once may
    /// not have been read in all of them.
    pub fn frontier(&self, inputs: &InputSet) -> Option<Timestamp> {
        let mut reached: Vec<(Timestamp, Option<Duration>)> = Vec::new();
        let mut beside_silent: Vec<Timestamp> = Vec::new();
        let named: Box<dyn Iterator<Item = &InputName>> = match inputs {
            InputSet::All | InputSet::AllAndAlerts => {
                Box::new(self.roster.inputs.keys().filter(|input| inputs.contains(input)))
            }
            InputSet::Named(names) => Box::new(names.iter()),
        };
        for input in named {
            let partitions = self.roster.inputs.get(input)?;
            let sources = partitions.iter().map(|partition| self.known.get(&(input.clone(), *partition)));
            let sources = sources.collect::<Option<Vec<&Source>>>()?;
            let has_events = sources.iter().any(|source| source.watermark.is_some());
            for source in sources {
                let beside = || if has_events { source.idle_before.same_input } else { source.idle_before.any_input };
                match source.watermark {
                    Some(watermark) => reached.push((watermark, source.left_out)),
                    None if source.idle => beside_silent.push(beside()?),
                    None => return None,
                }
            }
        }
        let first = reached.iter().map(|(watermark, _)| *watermark).max()?;
        let is_waited_for = |(watermark, left_out): &(Timestamp, Option<Duration>)| {
            left_out.is_none_or(|behind| first.since(*watermark) <= behind)
        };
        let waited_for = reached.into_iter().filter(is_waited_for).map(|(watermark, _)| watermark);
        waited_for.chain(beside_silent).min()
    }

    /// How far each of the roster's partitions is here.
    pub fn reached(&self) -> Vec<Reached> {
        let partitions = self.roster.inputs.iter().flat_map(|(input, all)| all.iter().map(move |one| (input, *one)));
        let reached = |(input, partition): (&InputName, u32)| {
            let source = self.known.get(&(input.clone(), partition));
            Reached {
                input: input.clone(),
                partition,
                watermark: source.and_then(|source| source.watermark),
                accepted: source.and_then(|source| source.accepted.as_ref()).map(|accepted| accepted.offset),
            }
        };
        partitions.map(reached).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marker(input: &str, partition: u32, epoch: u64, watermark: Option<i64>, idle: bool) -> Marker {
        let watermark = watermark.map(Timestamp);
        Marker { input: input.into(), partition, epoch, watermark, idle, left_out: None, rules: None }
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

    /// Finds a partition without events idle, again and again.
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
        assert_eq!(sources.frontier(&only("b")), None, "it has no time of its own");
        sources.mark(&marker("a", 0, 1, Some(20), false));
        sources.mark(&marker("a", 1, 1, Some(20), false));
        assert_eq!(sources.frontier(&InputSet::All), Some(Timestamp(7)));
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
