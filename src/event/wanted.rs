//! The field paths that somebody reads, numbered, and how to find them while walking a record's names.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

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
    places: Vec<Known>,
    /// Open addressing, a quarter full at most; the length is a power of two, or 0.
    steps: Vec<Step>,
    /// Slots whose paths have no place: they start with a dot, or have more than [`DOTS_MAX`].
    odd: Vec<Slot>,
    /// Somebody asks the event itself.
    is_whole: bool,
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
    name: Name,
    from: u32,
    to: u32,
}

/// A name by its ends, which are all of it up to 16 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Name {
    head: u64,
    tail: u64,
    len: u32,
}

impl Place {
    /// The record itself.
    pub const ROOT: Place = Place(0);
}

impl Wanted {
    /// Slots are given in the order of first appearance. The empty path is the event itself, no field: it has none, and
    /// makes the set [whole](Wanted::is_whole).
    pub fn new<P: AsRef<str>>(paths: impl IntoIterator<Item = P>) -> Self {
        Wanted::default().extended(paths)
    }

    /// The same slots, and further ones for the paths that are not among them.
    #[must_use]
    pub fn extended<P: AsRef<str>>(&self, paths: impl IntoIterator<Item = P>) -> Self {
        let mut wanted = Wanted { paths: self.paths.clone(), is_whole: self.is_whole, ..Wanted::default() };
        let mut known: HashSet<Arc<str>> = self.paths.iter().cloned().collect();
        for path in paths {
            let path = path.as_ref();
            wanted.is_whole |= path.is_empty();
            if !path.is_empty() && !known.contains(path) {
                let path: Arc<str> = path.into();
                known.insert(path.clone());
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

    /// Whether somebody asks for a text in any value of the event, whatever field it is in.
    pub fn is_whole(&self) -> bool {
        self.is_whole
    }

    pub fn slot(&self, path: &str) -> Option<Slot> {
        let odd = || self.odd.iter().find(|slot| *self.paths[slot.index()] == *path).copied();
        self.step(Place::ROOT, path).and_then(|place| self.slot_at(place)).or_else(odd)
    }

    /// # Panics
    /// When the slot is of another set.
    pub fn path(&self, slot: Slot) -> &Arc<str> {
        &self.paths[slot.index()]
    }

    /// All paths, in the order of their slots.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.paths.iter().map(|path| &**path)
    }

    /// The slots of paths that `path` stands below.
    pub fn above(&self, path: &str) -> impl Iterator<Item = Slot> {
        prefixes(path).filter_map(|above| self.slot_at(self.step(Place::ROOT, above)?))
    }

    /// Where the name `text` leads from a place; `None` when to nothing that is wanted.
    #[inline]
    pub fn step(&self, from: Place, text: &str) -> Option<Place> {
        let name = Name::of(text);
        let mask = self.steps.len().checked_sub(1)?;
        let mut at = name.hash(from.0) & mask;
        loop {
            let step = &self.steps[at];
            if step.to == Place::ROOT.0 {
                return None;
            }
            if step.name == name && step.from == from.0 && (text.len() <= 16 || self.is_named(step, text)) {
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

    fn is_named(&self, step: &Step, text: &str) -> bool {
        self.places[step.to as usize].path.ends_with(text)
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
                    steps.push(Step { name: Name::of(prefix), from: Place::ROOT.0, to: number });
                    steps.extend(prefixes(prefix).map(|from| {
                        let name = Name::of(&prefix[from.len() + 1..]);
                        Step { name, from: numbers[from], to: number }
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
fn prefixes(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('.').map(|(dot, _)| &path[..dot])
}

fn table(steps: &[Step]) -> Vec<Step> {
    const EMPTY: Step = Step { name: Name { head: 0, tail: 0, len: 0 }, from: 0, to: Place::ROOT.0 };
    if steps.is_empty() {
        return Vec::new();
    }
    let mut table = vec![EMPTY; (steps.len() * 4).next_power_of_two()];
    let mask = table.len() - 1;
    for step in steps {
        let mut at = step.name.hash(step.from) & mask;
        while table[at].to != Place::ROOT.0 {
            at = (at + 1) & mask;
        }
        table[at] = *step;
    }
    table
}

impl Name {
    #[inline]
    fn of(text: &str) -> Self {
        let bytes = text.as_bytes();
        let (head, tail) = if let (Some(head), Some(tail)) = (bytes.first_chunk::<8>(), bytes.last_chunk::<8>()) {
            (u64::from_le_bytes(*head), u64::from_le_bytes(*tail))
        } else if let (Some(head), Some(tail)) = (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
            (u32::from_le_bytes(*head).into(), u32::from_le_bytes(*tail).into())
        } else {
            (bytes.iter().fold(0, |all, byte| all << 8 | u64::from(*byte)), 0)
        };
        Name { head, tail, len: bytes.len() as u32 }
    }

    /// Names that differ in the middle only share a hash; what is in the table comes from rules, never from records.
    #[inline]
    fn hash(self, from: u32) -> usize {
        const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
        let ends = self.head.wrapping_mul(ODD) ^ self.tail.rotate_left(29);
        let place = u64::from(from) << 32 | u64::from(self.len);
        ((ends ^ place).wrapping_mul(ODD) >> 32) as usize
    }
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
        assert_eq!((wanted.is_whole(), more.is_whole(), more.extended(["e"]).is_whole()), (false, true, true));
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
