//! The fields of one event that somebody reads, in storage that every event reuses.
//!
//! Reading slots gives exactly what reading [`Fields`] gives: nested and dotted names are one path, of two values at
//! one path the later stays, null and `{}` are absent, a path leads through arrays of objects. Texts stay where they
//! are in the record; only what had to be unescaped is copied.

mod view;

use std::ops::Range;

use self::view::Tape;
pub use self::view::{Scalars, View};
use super::{
    Fields, Value, escape,
    wanted::{Place, Slot, Wanted},
};

/// Room that is kept for the next event, of each kind: one huge record does not hold its memory for ever.
pub const KEPT_BYTES_MAX: usize = 1 << 20;

/// The longest record that slots can point into.
pub const RECORD_BYTES_MAX: usize = 1 << 30;

/// Storage for the wanted values of one event at a time.
#[derive(Debug, Default)]
pub struct Slots {
    /// Values in the order of their text; what is in an array or object follows it.
    nodes: Vec<Node>,
    /// By slot.
    held: Vec<Held>,
    /// Slots that this event touched.
    touched: Vec<Slot>,
    /// Values at places that lead on, from the first array among them: the last of a place counts.
    leading: Vec<Leading>,
    /// Values found in objects of arrays: for a slot, in this order, where they are.
    gathered: Vec<(Slot, u32, u32)>,
    /// Texts that do not stand in the record as they are.
    scratch: String,
    /// Whether the record that they came from is plain JSON; `None` where it is no JSON.
    json_is_plain: Option<bool>,
    /// The event's values that do not stand in that record, as [`super::JsonText`] shows them.
    beside_json: String,
}

#[derive(Debug, Clone, Copy, Default)]
struct Held {
    /// 1 + the node that is the value.
    root: u32,
    below: bool,
}

/// Sorted, the arrays come in the order in which a path leads through them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Leading {
    path_len: usize,
    place: Place,
    value: u32,
}

#[derive(Debug, Clone, Copy)]
struct Node {
    kind: Kind,
    at: u32,
    /// Bytes of a text or number; nodes inside an array or object.
    len: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Null,
    True,
    False,
    Text,
    Number,
    /// In the scratch.
    OwnText,
    OwnNumber,
    Array,
    /// A name (a text) and a value by turns.
    Object,
}

/// A value that is being written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written(u32);

/// Filling. A value is written first, then put where it belongs; [`Slots::settle`] comes last.
impl Slots {
    /// Forgets the event before.
    pub fn begin(&mut self, wanted: &Wanted) {
        for slot in self.touched.drain(..) {
            self.held[slot.index()] = Held::default();
        }
        self.held.resize(wanted.len(), Held::default());
        self.nodes.clear();
        self.leading.clear();
        self.gathered.clear();
        self.json_is_plain = None;
        self.beside_json.clear();
        self.beside_json.shrink_to(KEPT_BYTES_MAX);
        self.scratch.clear();
        self.scratch.shrink_to(KEPT_BYTES_MAX);
        self.nodes.shrink_to(KEPT_BYTES_MAX / size_of::<Node>());
        self.leading.shrink_to(KEPT_BYTES_MAX / size_of::<Leading>());
        self.gathered.shrink_to(KEPT_BYTES_MAX / size_of::<(Slot, u32, u32)>());
    }

    /// A text that stands in the record as it is.
    #[inline]
    pub fn text(&mut self, range: Range<usize>) -> Written {
        self.push(Kind::Text, range.start, range.len())
    }

    /// A number that stands in the record.
    pub fn number(&mut self, range: Range<usize>) -> Written {
        self.push(Kind::Number, range.start, range.len())
    }

    /// A text that `write` appends.
    pub fn own_text(&mut self, write: impl FnOnce(&mut String)) -> Written {
        let start = self.scratch.len();
        write(&mut self.scratch);
        self.push(Kind::OwnText, start, self.scratch.len() - start)
    }

    /// A number as it is written, which does not stand in the record.
    pub fn own_number(&mut self, written: &str) -> Written {
        let start = self.scratch.len();
        self.scratch.push_str(written);
        self.push(Kind::OwnNumber, start, written.len())
    }

    pub fn bool(&mut self, value: bool) -> Written {
        self.push(if value { Kind::True } else { Kind::False }, 0, 0)
    }

    pub fn null(&mut self) -> Written {
        self.push(Kind::Null, 0, 0)
    }

    /// An array: what is written until [`Slots::close`] is inside.
    pub fn open_array(&mut self) -> Written {
        self.push(Kind::Array, 0, 0)
    }

    /// An object: what is written until [`Slots::close`] is inside, a text for each name before its value.
    pub fn open_object(&mut self) -> Written {
        self.push(Kind::Object, 0, 0)
    }

    pub fn close(&mut self, opened: Written) {
        let inside = self.nodes.len() - opened.0 as usize - 1;
        self.nodes[opened.0 as usize].len = inside as u32;
    }

    /// Puts a value at a place; of two the later stays. Null is no value.
    #[inline]
    pub fn put(&mut self, wanted: &Wanted, place: Place, value: Written) {
        let kind = self.nodes[value.0 as usize].kind;
        if kind == Kind::Null {
            return;
        }
        if let Some(slot) = wanted.slot_at(place) {
            self.touch(slot).root = value.0 + 1;
        }
        if wanted.leads_on(place) && (kind == Kind::Array || !self.leading.is_empty()) {
            self.leading.push(Leading { path_len: wanted.path_len(place), place, value: value.0 });
        }
    }

    /// There is something below the slot's path.
    pub fn put_below(&mut self, slot: Slot) {
        self.touch(slot).below = true;
    }

    /// The record is JSON, and has all values of the event but those that [`Slots::put_beside_json`] will tell of;
    /// `is_plain` as [`super::JsonText`] means it.
    pub fn came_of_json(&mut self, is_plain: bool) {
        self.json_is_plain = Some(is_plain);
    }

    /// The event has a value that may not stand in its record.
    pub fn put_beside_json(&mut self, text: &str) {
        if self.json_is_plain.is_some() {
            self.beside_json.push('\n');
            escape(text, &mut self.beside_json);
        }
    }

    /// Reads what is wanted through arrays of objects; `record` is the text that the values point into. Afterwards
    /// values may only be put at places that do not lead on.
    pub fn settle(&mut self, wanted: &Wanted, record: &str) {
        if self.leading.is_empty() {
            return;
        }
        self.leading.sort_unstable();
        let mut gathered = std::mem::take(&mut self.gathered);
        let tape = Tape { nodes: &self.nodes, record, scratch: &self.scratch };
        for (at, leading) in self.leading.iter().enumerate() {
            let is_last = self.leading.get(at + 1).is_none_or(|next| next.place != leading.place);
            if is_last && tape.nodes[leading.value as usize].kind == Kind::Array {
                tape.gather(wanted, leading.place, leading.value as usize, &mut gathered);
            }
        }
        gathered.sort_unstable();
        for values in gathered.chunk_by(|a, b| a.0 == b.0) {
            self.join(values);
        }
        self.gathered = gathered;
    }

    /// Whether a wanted path leads through an array that was put: what is put after [`Slots::settle`] would be left out.
    pub fn leads_through_arrays(&self) -> bool {
        !self.leading.is_empty()
    }

    /// Makes one array of what was gathered for a slot without a value of its own.
    fn join(&mut self, values: &[(Slot, u32, u32)]) {
        let slot = values[0].0;
        if self.held[slot.index()].root != 0 {
            return;
        }
        let array = self.open_array();
        for (_, _, value) in values {
            let start = *value as usize;
            self.nodes.extend_from_within(start..after(&self.nodes, start));
        }
        self.close(array);
        self.touch(slot).root = array.0 + 1;
    }

    /// Fills the slots from an event in full.
    pub fn fill(&mut self, wanted: &Wanted, fields: &Fields) {
        self.begin(wanted);
        for (path, value) in fields.iter() {
            wanted.above(path).for_each(|slot| self.put_below(slot));
            if let Some(place) = wanted.step(Place::ROOT, path) {
                let written = self.value(value);
                self.put(wanted, place, written);
            }
        }
        self.settle(wanted, "");
        for slot in wanted.odd() {
            let path = wanted.path(*slot);
            if let Some(value) = fields.get(path) {
                let written = self.value(&value);
                self.touch(*slot).root = written.0 + 1;
            } else if fields.exists(path) {
                self.put_below(*slot);
            }
        }
    }

    fn value(&mut self, value: &Value) -> Written {
        match value {
            Value::Null => self.null(),
            Value::Bool(value) => self.bool(*value),
            Value::Number(number) => self.own_number(number.as_written()),
            Value::Text(text) => self.own_text(|scratch| scratch.push_str(text)),
            Value::Array(items) => {
                let opened = self.open_array();
                for item in items {
                    self.value(item);
                }
                self.close(opened);
                opened
            }
            Value::Object(entries) => {
                let opened = self.open_object();
                for (name, value) in entries {
                    self.own_text(|scratch| scratch.push_str(name));
                    self.value(value);
                }
                self.close(opened);
                opened
            }
        }
    }

    #[inline]
    fn push(&mut self, kind: Kind, at: usize, len: usize) -> Written {
        let written = Written(self.nodes.len() as u32);
        self.nodes.push(Node { kind, at: at as u32, len: len as u32 });
        written
    }

    #[inline]
    fn touch(&mut self, slot: Slot) -> &mut Held {
        let held = &mut self.held[slot.index()];
        if held.root == 0 && !held.below {
            self.touched.push(slot);
        }
        held
    }
}

/// The node after a value.
fn after(nodes: &[Node], value: usize) -> usize {
    match nodes[value].kind {
        Kind::Array | Kind::Object => value + 1 + nodes[value].len as usize,
        _ => value + 1,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::event::Scalar;

    const NAMES: [&str; 7] = ["a", "b", "a.b", "b.c", "c", "", ".a"];

    fn value() -> impl Strategy<Value = Value> {
        let scalar = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            (0..20_i64).prop_map(|n| Value::Number(n.into())),
            "[a-cé]{0,2}".prop_map(Value::text),
        ];
        scalar.prop_recursive(4, 24, 4, |inner| {
            let entry = (proptest::sample::select(&NAMES[..]), inner.clone());
            prop_oneof![
                proptest::collection::vec(inner, 0..4).prop_map(Value::Array),
                proptest::collection::vec(entry, 0..4).prop_map(|entries| {
                    Value::Object(entries.into_iter().map(|(name, value)| (name.into(), value)).collect())
                }),
            ]
        })
    }

    fn fields() -> impl Strategy<Value = Fields> {
        let entry = (proptest::sample::select(&NAMES[..]).prop_map(str::to_owned), value());
        proptest::collection::vec(entry, 0..6).prop_map(|entries| entries.into_iter().collect())
    }

    fn paths() -> impl Strategy<Value = Vec<String>> {
        let path = proptest::collection::vec(proptest::sample::select(&NAMES[..]), 1..4)
            .prop_map(|names| names.join("."))
            .prop_filter("the event itself", |path| !path.is_empty());
        proptest::collection::vec(path, 1..12)
    }

    fn agrees(view: View<'_>, fields: &Fields) {
        for path in (0..view.wanted().len()).map(|slot| view.wanted().path(Slot(slot as u32))) {
            let slot = view.slot(path).unwrap();
            assert_eq!(view.value(slot), fields.get(path).map(|value| value.into_owned()), "{path} of {fields:?}");
            assert_eq!(view.exists(slot), fields.exists(path), "{path} exists in {fields:?}");
            let mut visited = Vec::new();
            fields.any(path, &mut |value| {
                visited.push(value.clone());
                false
            });
            assert_eq!(view.scalars(slot).map(Scalar::to_value).collect::<Vec<_>>(), visited, "{path} of {fields:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]
        #[test]
        fn reading_slots_is_reading_fields(events in proptest::collection::vec(fields(), 1..4), paths in paths()) {
            let wanted = Wanted::new(&paths);
            let mut slots = Slots::default();
            for event in &events {
                slots.fill(&wanted, event);
                agrees(slots.view(&wanted, ""), event);
            }
        }
    }

    #[test]
    fn a_huge_event_does_not_keep_its_room() {
        let event: Fields = [("a".to_owned(), Value::text("x".repeat(KEPT_BYTES_MAX * 2)))].into_iter().collect();
        let (wanted, mut slots) = (Wanted::new(["a"]), Slots::default());
        slots.fill(&wanted, &event);
        assert_eq!(slots.view(&wanted, "").scalars(Slot(0)).map(|text| text.as_text().len()).sum::<usize>(), 2 << 20);
        slots.fill(&wanted, &Fields::default());
        assert!(slots.scratch.capacity() <= KEPT_BYTES_MAX);
    }

    #[test]
    fn a_path_of_many_dots_is_read_all_the_same() {
        let path = vec!["a"; 200].join(".");
        let event: Fields = [(path.clone(), Value::text("x"))].into_iter().collect();
        let wanted = Wanted::new([path.as_str(), "a.a"]);
        let mut slots = Slots::default();
        slots.fill(&wanted, &event);
        agrees(slots.view(&wanted, ""), &event);
    }
}
