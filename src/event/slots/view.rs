//! Reading the slots of one event.

use super::{Held, Kind, Node, Slots, after};
use crate::event::{JsonText, Number, Scalar, Slot, Value, Wanted, wanted::Place};

/// Values and the texts that they point into.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tape<'a> {
    pub(super) nodes: &'a [Node],
    pub(super) record: &'a str,
    pub(super) scratch: &'a str,
}

impl<'a> Tape<'a> {
    /// The text of a text or number.
    fn text(self, node: Node) -> &'a str {
        let own = matches!(node.kind, Kind::OwnText | Kind::OwnNumber);
        let whole = if own { self.scratch } else { self.record };
        &whole[node.at as usize..node.at as usize + node.len as usize]
    }

    fn scalar(self, node: Node) -> Option<Scalar<'a>> {
        match node.kind {
            Kind::Text | Kind::OwnText => Some(Scalar::Text(self.text(node))),
            Kind::Number | Kind::OwnNumber => Some(Scalar::Number(self.text(node))),
            Kind::True => Some(Scalar::Bool(true)),
            Kind::False => Some(Scalar::Bool(false)),
            Kind::Null | Kind::Array | Kind::Object => None,
        }
    }

    /// Finds the wanted members of the objects in `value`, which is at `place` or inside what is. Recurses once for
    /// each level of the record, which its decoder bounds.
    pub(super) fn gather(self, wanted: &Wanted, place: Place, value: usize, into: &mut Vec<(Slot, u32, u32)>) {
        let end = after(self.nodes, value);
        let mut at = value + 1;
        match self.nodes[value].kind {
            Kind::Array => {
                while at < end {
                    self.gather(wanted, place, at, into);
                    at = after(self.nodes, at);
                }
            }
            Kind::Object => {
                while at < end {
                    let (name, member) = (self.text(self.nodes[at]), at + 1);
                    if let Some(place) = wanted.step(place, name) {
                        if let Some(slot) = wanted.slot_at(place) {
                            into.push((slot, into.len() as u32, member as u32));
                        }
                        if wanted.leads_on(place) {
                            self.gather(wanted, place, member, into);
                        }
                    }
                    at = after(self.nodes, member);
                }
            }
            _ => {}
        }
    }

    fn value(self, at: usize) -> Value {
        let (node, end) = (self.nodes[at], after(self.nodes, at));
        let mut inside = at + 1;
        let mut next = || {
            let this = inside;
            (this < end).then(|| inside = after(self.nodes, this)).map(|()| this)
        };
        match node.kind {
            Kind::Array => Value::Array(std::iter::from_fn(next).map(|item| self.value(item)).collect()),
            Kind::Object => {
                let entries = std::iter::from_fn(|| {
                    let name = self.text(self.nodes[next()?]).into();
                    Some((name, self.value(next()?)))
                });
                Value::Object(entries.collect())
            }
            Kind::Text | Kind::OwnText => Value::text(self.text(node)),
            Kind::Number | Kind::OwnNumber => Value::Number(Number::from_written(self.text(node))),
            Kind::True => Value::Bool(true),
            Kind::False => Value::Bool(false),
            Kind::Null => Value::Null,
        }
    }
}

/// The wanted fields of one event, to read.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    wanted: &'a Wanted,
    held: &'a [Held],
    touched: &'a [Slot],
    tape: Tape<'a>,
    json_is_plain: Option<bool>,
    beside_json: &'a str,
}

impl Slots {
    /// To read what was filled in; `record` is the text that it was filled from, empty after [`Slots::fill`].
    pub fn view<'a>(&'a self, wanted: &'a Wanted, record: &'a str) -> View<'a> {
        let tape = Tape { nodes: &self.nodes, record, scratch: &self.scratch };
        View {
            wanted,
            held: &self.held,
            touched: &self.touched,
            tape,
            json_is_plain: self.json_is_plain,
            beside_json: &self.beside_json,
        }
    }
}

impl<'a> View<'a> {
    pub fn wanted(self) -> &'a Wanted {
        self.wanted
    }

    /// The slots that [exist](View::exists), each once, in no order.
    pub fn slots(self) -> &'a [Slot] {
        self.touched
    }

    /// The record with all values of the event; `None` where it is no JSON, or nobody asked for the
    /// [whole](Wanted::is_whole) event.
    pub fn json_text(self) -> Option<JsonText<'a>> {
        self.json_is_plain.map(|is_plain| JsonText::new(self.tape.record, is_plain, self.beside_json))
    }

    /// The slot of a path, for those who did not keep it.
    pub fn slot(self, path: &str) -> Option<Slot> {
        self.wanted.slot(path)
    }

    /// Every scalar of the field, arrays opened, in order: what [`Fields::any`] visits.
    pub fn scalars(self, slot: Slot) -> Scalars<'a> {
        match self.root(slot) {
            Some(root) => Scalars { tape: self.tape, at: root, end: after(self.tape.nodes, root) },
            None => Scalars { tape: self.tape, at: 0, end: 0 },
        }
    }

    /// The value when it is one scalar, not an array.
    pub fn scalar(self, slot: Slot) -> Option<Scalar<'a>> {
        self.tape.scalar(self.tape.nodes[self.root(slot)?])
    }

    /// Whether there is a value at the path or below it, as [`Fields::exists`] says.
    pub fn exists(self, slot: Slot) -> bool {
        let held = self.held[slot.index()];
        held.root != 0 || held.below
    }

    /// The value as [`Fields::get`] gives it: a scalar, an array, or an array gathered from the objects of one.
    pub fn value(self, slot: Slot) -> Option<Value> {
        self.root(slot).map(|root| self.tape.value(root))
    }

    /// Whether there is a value at the path: an array counts, also an empty one.
    pub fn has_value(self, slot: Slot) -> bool {
        self.root(slot).is_some()
    }

    fn root(self, slot: Slot) -> Option<usize> {
        (self.held[slot.index()].root as usize).checked_sub(1)
    }
}

/// The scalars of one field.
#[derive(Debug, Clone)]
pub struct Scalars<'a> {
    tape: Tape<'a>,
    at: usize,
    end: usize,
}

impl<'a> Iterator for Scalars<'a> {
    type Item = Scalar<'a>;

    fn next(&mut self) -> Option<Scalar<'a>> {
        while self.at < self.end {
            let node = self.tape.nodes[self.at];
            self.at = if node.kind == Kind::Object { after(self.tape.nodes, self.at) } else { self.at + 1 };
            if let Some(scalar) = self.tape.scalar(node) {
                return Some(scalar);
            }
        }
        None
    }
}
