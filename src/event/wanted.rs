//! The field paths that somebody reads, numbered, and how to find them while walking a record's names.

use std::{collections::HashMap, sync::Arc};

/// The number of a wanted path. Numbers go up from 0 without gaps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(pub u32);

impl Slot {
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// Paths with more dots are looked up one by one: the names that lead to a path grow with the square of its dots.
const DOTS_MAX: usize = 64;

/// A set of field paths with their slots: built once for a rule set, then only read.
///
/// A *place* is a path that is wanted or leads to a wanted one. From a place, a record's member name leads on to
/// another; a name may hold dots itself.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    paths: Vec<Arc<str>>,
    slots: HashMap<Arc<str>, Slot>,
    places: Vec<Known>,
    /// Open addressing, a quarter full at most; the length is a power of two, or 0.
    steps: Vec<Step>,
    /// Slots whose paths have no place: they start with a dot, or have more than [`DOTS_MAX`].
    odd: Vec<Slot>,
}

#[derive(Debug, Clone)]
struct Known {
    path: Arc<str>,
    slot: Option<Slot>,
    leads_on: bool,
}

/// A path that is wanted or leads to a wanted one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place(u32);

/// From a place by a name to another. `to` is never the root, so the root marks what is empty.
#[derive(Debug, Clone, Copy)]
struct Step {
    hash: u32,
    from: u32,
    to: u32,
}

impl Place {
    /// The record itself.
    pub const ROOT: Place = Place(0);
}

impl Wanted {
    /// Slots are given in the order of first appearance. The empty path is the event itself, no field: it has none.
    pub fn new<P: AsRef<str>>(paths: impl IntoIterator<Item = P>) -> Self {
        Wanted::default().extended(paths)
    }

    /// The same slots, and further ones for the paths that are not among them.
    #[must_use]
    pub fn extended<P: AsRef<str>>(&self, paths: impl IntoIterator<Item = P>) -> Self {
        let mut wanted = Wanted { paths: self.paths.clone(), slots: self.slots.clone(), ..Wanted::default() };
        for path in paths {
            let path = path.as_ref();
            if !path.is_empty() && !wanted.slots.contains_key(path) {
                let path: Arc<str> = path.into();
                wanted.slots.insert(path.clone(), Slot(wanted.paths.len() as u32));
                wanted.paths.push(path);
            }
        }
        wanted.lay_out();
        wanted
    }

    pub fn len(&self) -> usize {
        self.paths.len()
    }

    pub fn is_empty(&self) -> bool {
        self.paths.is_empty()
    }

    pub fn slot(&self, path: &str) -> Option<Slot> {
        self.slots.get(path).copied()
    }

    /// # Panics
    /// When the slot is of another set.
    pub fn path(&self, slot: Slot) -> &Arc<str> {
        &self.paths[slot.index()]
    }

    /// Where `name` leads from a place; `None` when to nothing that is wanted.
    pub fn step(&self, from: Place, name: &str) -> Option<Place> {
        if self.steps.is_empty() {
            return None;
        }
        let hash = hash(from.0, name.as_bytes());
        let mask = self.steps.len() - 1;
        let mut at = hash as usize & mask;
        loop {
            let step = self.steps[at];
            if step.to == Place::ROOT.0 {
                return None;
            }
            if step.hash == hash && step.from == from.0 && self.names(step, name) {
                return Some(Place(step.to));
            }
            at = (at + 1) & mask;
        }
    }

    pub fn slot_at(&self, place: Place) -> Option<Slot> {
        self.places[place.0 as usize].slot
    }

    /// Whether something below the place is wanted.
    pub fn leads_on(&self, place: Place) -> bool {
        self.places[place.0 as usize].leads_on
    }

    /// The length of the place's path in bytes.
    pub fn path_len(&self, place: Place) -> usize {
        self.places[place.0 as usize].path.len()
    }

    /// Slots that no walk finds: their paths have to be looked up in an event's [`super::Fields`].
    pub fn odd(&self) -> &[Slot] {
        &self.odd
    }

    fn names(&self, step: Step, name: &str) -> bool {
        let before = self.places[step.from as usize].path.len();
        let start = if before == 0 { 0 } else { before + 1 };
        self.places[step.to as usize].path.as_bytes()[start..] == *name.as_bytes()
    }

    fn lay_out(&mut self) {
        let mut numbers: HashMap<&str, u32> = HashMap::from([("", Place::ROOT.0)]);
        self.places = vec![Known { path: "".into(), slot: None, leads_on: !self.paths.is_empty() }];
        let mut steps = Vec::new();
        for (slot, path) in (0..).map(Slot).zip(&self.paths) {
            if path.starts_with('.') || path.matches('.').count() > DOTS_MAX {
                self.odd.push(slot);
                continue;
            }
            for prefix in prefixes(path).chain([&**path]) {
                let next = numbers.len() as u32;
                let number = *numbers.entry(prefix).or_insert(next);
                if number == next {
                    self.places.push(Known { path: prefix.into(), slot: None, leads_on: false });
                    let from_root = hash(Place::ROOT.0, prefix.as_bytes());
                    steps.push(Step { hash: from_root, from: Place::ROOT.0, to: number });
                    steps.extend(prefixes(prefix).map(|from| {
                        let (from, name) = (numbers[from], &prefix[from.len() + 1..]);
                        Step { hash: hash(from, name.as_bytes()), from, to: number }
                    }));
                }
                let known = &mut self.places[number as usize];
                if prefix.len() < path.len() { known.leads_on = true } else { known.slot = Some(slot) }
            }
        }
        self.steps = table(&steps);
    }
}

/// What stands before each dot of `path`, shortest first.
pub(super) fn prefixes(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('.').map(|(dot, _)| &path[..dot])
}

fn table(steps: &[Step]) -> Vec<Step> {
    const EMPTY: Step = Step { hash: 0, from: 0, to: Place::ROOT.0 };
    if steps.is_empty() {
        return Vec::new();
    }
    let mut table = vec![EMPTY; (steps.len() * 4).next_power_of_two()];
    let mask = table.len() - 1;
    for step in steps {
        let mut at = step.hash as usize & mask;
        while table[at].to != Place::ROOT.0 {
            at = (at + 1) & mask;
        }
        table[at] = *step;
    }
    table
}

/// Both ends of the name, its length and where it stands. Names that agree in these only cost a comparison: what is
/// in the table comes from rules, never from records.
fn hash(from: u32, name: &[u8]) -> u32 {
    const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
    let (head, tail) = if let (Some(head), Some(tail)) = (name.first_chunk::<8>(), name.last_chunk::<8>()) {
        (u64::from_le_bytes(*head), u64::from_le_bytes(*tail))
    } else if let (Some(head), Some(tail)) = (name.first_chunk::<4>(), name.last_chunk::<4>()) {
        (u32::from_le_bytes(*head).into(), u32::from_le_bytes(*tail).into())
    } else {
        let at = |index: usize| u64::from(name.get(index).copied().unwrap_or(0));
        (at(0) | at(1) << 8 | at(2) << 16, 0)
    };
    let place = u64::from(from) << 32 | name.len() as u64;
    let mixed = (head ^ place.wrapping_mul(ODD)).wrapping_mul(ODD) ^ tail.rotate_left(29);
    (mixed.wrapping_mul(ODD) >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_found_however_its_names_are_split() {
        let wanted = Wanted::new(["source.ip", "source.geo.name", "source"]);
        let step = |names: &[&str]| {
            names.iter().try_fold(Place::ROOT, |at, name| wanted.step(at, name)).and_then(|at| wanted.slot_at(at))
        };
        assert_eq!(step(&["source", "ip"]), Some(Slot(0)));
        assert_eq!(step(&["source.ip"]), Some(Slot(0)));
        for names in [&["source", "geo", "name"][..], &["source.geo", "name"], &["source", "geo.name"]] {
            assert_eq!(step(names), Some(Slot(1)));
        }
        assert_eq!(step(&["source", "geo"]), None);
        assert_eq!(step(&["ip"]), None);
        assert_eq!(wanted.step(Place::ROOT, ""), None);
    }

    #[test]
    fn an_extended_set_keeps_its_slots() {
        let wanted = Wanted::new(["a", "b.c", "a"]);
        let more = wanted.extended(["d", "b.c", ""]);
        assert_eq!((more.slot("a"), more.slot("b.c"), more.slot("d")), (Some(Slot(0)), Some(Slot(1)), Some(Slot(2))));
        assert_eq!((wanted.len(), more.len()), (2, 3));
    }

    #[test]
    fn five_thousand_paths_are_told_apart() {
        let paths: Vec<String> = (0..5_000).map(|n| format!("process.parent.field_{n}.value")).collect();
        let wanted = Wanted::new(&paths);
        for (n, path) in (0..).zip(&paths) {
            let place = wanted.step(Place::ROOT, path).unwrap();
            assert_eq!(wanted.slot_at(place), Some(Slot(n)));
        }
    }
}
