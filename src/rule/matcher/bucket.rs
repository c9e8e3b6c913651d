//! The predicates that an event of certain classes may match, behind their gates.
//!
//! The gates of all predicates stand together by field: a text is looked through once for all of them.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    super::{number::Num, text::Address},
    atom::{Atom, Cue},
    edges::{Edge, Edges, Wholes},
    folds::Folds,
    frequency::Frequencies,
    gate::{Gated, Known},
    grams::Grams,
    marks::Hint,
    needle::Place,
    networks::Networks,
    numbers::Numbers,
    program::{Before, Node, Programs},
    shown::{ALL_VALUES, Shown},
    unfolded::Unfolded,
    values::{self, Trial, Values},
};
use crate::event::{JsonText, Slot};

/// As many times the fields that an event has: where gates are in more fields, those are looked up that it has.
const SPARSE: usize = 4;

/// Predicates with their gates, ready to be asked which of them an event may match.
#[derive(Debug, Default)]
pub(super) struct Bucket {
    /// Predicates that may be true: those without a gate and those behind one. Here they are known by their place in
    /// this list.
    pub(super) possible: Vec<u32>,
    /// What is left of each to ask.
    pub(super) programs: Programs,
    /// Predicates without a gate.
    pub(super) always: Vec<u32>,
    pub(super) gates: Vec<GateAtom>,
    /// The predicates of all gates, those of one together.
    pub(super) behind: Vec<Behind>,
    pub(super) fields: FieldsGates,
}

/// A predicate behind a gate, by its place, with [`Behind::ALL`] or a half of it for each of two gates.
#[derive(Debug, Clone, Copy)]
pub(super) struct Behind(u32);

/// The gates of all fields, by slot.
#[derive(Debug, Default)]
pub(super) struct FieldsGates(Vec<FieldGates>);

/// An atom that predicates are behind.
#[derive(Debug, Clone, Copy)]
pub(super) struct GateAtom {
    pub(super) atom: u32,
    first: u32,
    end: u32,
    /// Events in which it was seen.
    pub(super) seen: u32,
}

/// The gates of one field; each table gives `2 * gate`, or one more where what it found proves the atom.
#[derive(Debug)]
struct FieldGates {
    slot: Slot,
    /// No other field of a bucket has it, nor had it.
    number: u32,
    /// Where it costs more to look a value through than to look it up.
    trial: Option<Trial>,
    exists: Vec<u32>,
    grams: Option<Grams>,
    /// Of the grams, where they are looked for in the text of the whole event.
    unfolded: Option<Unfolded>,
    starts: Option<Edges>,
    ends: Option<Edges>,
    wholes: Option<Wholes>,
    numbers: Numbers,
    networks: Networks,
}

/// Needles by place, and everything else, while the gates of a field are gathered.
#[derive(Default)]
struct Gathered {
    exists: Vec<u32>,
    needles: [Vec<(Arc<[u8]>, u32)>; 4],
    numbers: Numbers,
    networks: Networks,
}

impl Bucket {
    /// Of those of the predicates that may be true where what is known holds. Its fields take the next of the
    /// numbers.
    pub(super) fn new<'n>(
        numbers: &mut u32,
        predicates: impl Iterator<Item = (u32, &'n Node)>,
        known: &Known<'_>,
        hints: &[Option<Hint>],
        frequencies: &Frequencies,
    ) -> Self {
        let mut bucket = Bucket::default();
        let mut by_atom: BTreeMap<u32, Vec<Behind>> = BTreeMap::new();
        let mut left = Vec::new();
        for (predicate, node) in predicates {
            let place = bucket.possible.len() as u32;
            match known.gate(node) {
                Gated::Never => continue,
                Gated::Always => bucket.always.push(place),
                Gated::By(atoms) => {
                    let mut enter = |atoms: &[u32], part| {
                        let behind = Behind::new(place, part);
                        atoms.iter().for_each(|atom| by_atom.entry(*atom).or_default().push(behind));
                    };
                    if let Some(second) = known.second(node) {
                        enter(&atoms, Behind::FIRST);
                        enter(&second, Behind::SECOND);
                    } else {
                        enter(&atoms, Behind::ALL);
                    }
                }
            }
            bucket.possible.push(predicate);
            left.push(node);
        }
        let before = |atom: u32| match known.answers[atom as usize] {
            Some(answer) => Before::Known(answer),
            None if by_atom.contains_key(&atom) => Before::Sought,
            None => Before::Unknown(hints[atom as usize]),
        };
        left.iter().for_each(|node| bucket.programs.push(node, &before));
        let mut fields: BTreeMap<Slot, Gathered> = BTreeMap::new();
        for (atom, behind) in by_atom {
            let first = bucket.behind.len() as u32;
            bucket.behind.extend(behind);
            if let Atom::Field(field) = &known.atoms[atom as usize] {
                fields
                    .entry(field.slot)
                    .or_default()
                    .enter(known.atoms[atom as usize].cue(), bucket.gates.len() as u32);
            }
            bucket.gates.push(GateAtom { atom, first, end: bucket.behind.len() as u32, seen: 0 });
        }
        let fields = fields.into_iter().map(|(slot, gathered)| {
            *numbers += 1;
            gathered.finish(slot, *numbers, frequencies)
        });
        bucket.fields = FieldsGates(fields.collect());
        bucket
    }

    /// Entries of the tables: what it weighs.
    pub(super) fn weight(&self) -> usize {
        let tables = self.fields.0.iter().map(FieldGates::weight).sum::<usize>();
        self.possible.len() + self.behind.len() + self.programs.steps() / 3 + tables
    }
}

impl Behind {
    /// Every gate of a predicate has been seen.
    pub(super) const ALL: u64 = 3;
    const FIRST: u64 = 1;
    const SECOND: u64 = 2;

    fn new(place: u32, part: u64) -> Self {
        Behind(place << 2 | part as u32)
    }

    pub(super) fn place(self) -> u32 {
        self.0 >> 2
    }

    pub(super) fn part(self) -> u64 {
        u64::from(self.0) & Behind::ALL
    }
}

impl GateAtom {
    /// Its own among the predicates behind all gates.
    pub(super) fn behind<'b>(&self, behind: &'b [Behind]) -> &'b [Behind] {
        &behind[self.first as usize..self.end as usize]
    }
}

impl FieldsGates {
    /// Calls `found` with each gate that something of the event speaks for, and whether that proves its atom. The
    /// same gate may be found more than once.
    pub(super) fn scan(
        &mut self,
        seen: Shown<'_>,
        event: u32,
        (folds, values): (&mut Folds, &mut Values),
        found: &mut impl FnMut(u32, bool),
    ) {
        let mut found = |entry: u32| found(entry >> 1, entry & 1 == 1);
        let mut scan = |field: &mut FieldGates| {
            field.exists.iter().for_each(|entry| found(*entry));
            if field.slot == ALL_VALUES {
                field.scan_whole(seen, event, folds, &mut found);
            } else {
                field.scan_values(seen, event, folds, values, &mut found);
            }
        };
        let slots = seen.view.slots();
        if self.0.len() <= slots.len() * SPARSE {
            self.0.iter_mut().filter(|field| seen.has(field.slot)).for_each(scan);
        } else {
            let all = std::iter::once(&ALL_VALUES);
            for slot in slots.iter().chain(all) {
                if let Ok(at) = self.0.binary_search_by_key(slot, |field| field.slot) {
                    scan(&mut self.0[at]);
                }
            }
        }
    }
}

impl Gathered {
    fn enter(&mut self, cue: &Cue, gate: u32) {
        let entry = |proves: bool| gate * 2 + u32::from(proves);
        match cue {
            Cue::Exists => self.exists.push(entry(true)),
            Cue::Signs(signs) => {
                for needle in &signs.needles {
                    self.needles[needle.place as usize].push((needle.text.clone(), entry(needle.proves)));
                }
                for (comparison, number) in &signs.numbers {
                    self.numbers.enter(*comparison, *number, entry(signs.numbers_prove));
                }
                for network in signs.networks.iter().flat_map(|networks| networks.iter()) {
                    self.networks.enter(network, entry(true));
                }
            }
            Cue::Instead(_) | Cue::None => {}
        }
    }

    fn finish(mut self, slot: Slot, number: u32, frequencies: &Frequencies) -> FieldGates {
        self.numbers.sort();
        let mut take = |place: Place| std::mem::take(&mut self.needles[place as usize]);
        let anywhere = take(Place::Anywhere);
        let unfolded = (slot == ALL_VALUES).then(|| Unfolded::new(&anywhere, frequencies)).flatten();
        let grams = Grams::new(anywhere, frequencies);
        let starts = Edges::new(Edge::Start, take(Place::Start));
        let ends = Edges::new(Edge::End, take(Place::End));
        let is_dear = grams.is_some() || starts.is_some() || ends.is_some();
        FieldGates {
            slot,
            number,
            trial: is_dear.then(Trial::default),
            grams,
            unfolded,
            starts,
            ends,
            wholes: Wholes::new(take(Place::Whole)),
            exists: self.exists,
            numbers: self.numbers,
            networks: self.networks,
        }
    }
}

impl FieldGates {
    /// The event's value of the field, where it may have come before.
    #[inline]
    fn recurring<'a>(&mut self, seen: Shown<'a>) -> Option<&'a [u8]> {
        let trial = self.trial.as_mut()?;
        let value = seen.view.scalar(self.slot)?.as_text().as_bytes();
        (value.len() <= values::BYTES_MAX && trial.is_on()).then_some(value)
    }

    /// Looks for the gates of the field itself.
    fn scan_values(
        &mut self,
        seen: Shown<'_>,
        event: u32,
        folds: &mut Folds,
        values: &mut Values,
        found: &mut impl FnMut(u32),
    ) {
        let Some(value) = self.recurring(seen) else { return self.scan(folds.of(event, seen, self.slot), found) };
        let mut trial = self.trial.take().unwrap_or_default();
        let look = |into: &mut Vec<u32>| self.scan(folds.of(event, seen, self.slot), &mut |entry| into.push(entry));
        values.found(self.number, value, &mut trial, look).iter().for_each(|entry| found(*entry));
        self.trial = Some(trial);
    }

    /// Looks for the gates of all values of the event.
    fn scan_whole(&self, seen: Shown<'_>, event: u32, folds: &mut Folds, found: &mut impl FnMut(u32)) {
        if let Some(grams) = &self.grams
            && self.may_stand_in(seen)
        {
            grams.scan(folds.whole(event, seen), found);
        }
    }

    /// Whether the event's text as a whole may hold one of the needles; it may where a look at the record as it stands
    /// does not tell.
    fn may_stand_in(&self, seen: Shown<'_>) -> bool {
        let texts = seen.view.json_text().and_then(JsonText::plain);
        let stands = |(unfolded, texts): (&Unfolded, [&str; 2])| texts.iter().any(|text| unfolded.may_stand_in(text));
        self.unfolded.as_ref().zip(texts).is_none_or(stands)
    }

    fn scan<'t>(&self, texts: impl Iterator<Item = &'t [u8]>, found: &mut impl FnMut(u32)) {
        for text in texts {
            if let Some(grams) = &self.grams {
                grams.scan(text, found);
            }
            for edges in self.starts.iter().chain(&self.ends) {
                edges.scan(text, found);
            }
            if let Some(wholes) = &self.wholes {
                wholes.get(text).for_each(&mut *found);
            }
            if self.numbers.is_empty() && self.networks.is_empty() {
                continue;
            }
            // Folding changes neither numbers nor addresses.
            let Ok(text) = std::str::from_utf8(text) else { continue };
            if !self.numbers.is_empty()
                && let Some(number) = Num::parse(text)
            {
                self.numbers.scan(number, found);
            }
            if !self.networks.is_empty()
                && let Some(address) = Address::parse(text)
            {
                self.networks.scan(address, found);
            }
        }
    }

    fn weight(&self) -> usize {
        let edges = self.starts.iter().chain(&self.ends).map(Edges::len).sum::<usize>();
        self.exists.len()
            + edges
            + self.grams.as_ref().map_or(0, Grams::len)
            + self.wholes.as_ref().map_or(0, Wholes::len)
            + self.numbers.len()
            + self.networks.len()
    }
}
