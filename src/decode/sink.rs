//! Where the fields of a text record go: all of them, or those that somebody reads. Formats and extracts say what a
//! record holds once, to a [`Sink`]; which one it is decides what becomes of it.

use std::{ops::Range, sync::Arc};

use super::{
    field::{Field, Paths},
    syslog,
};
use crate::event::{Fields, FieldsBuilder, Number, Place, Slot, Slots, Value, Wanted};

/// Under what structured data stands: its element and its parameter follow.
pub const STRUCTURED_DATA: Field = Field::known(STRUCTURED_DATA_PATH);
const STRUCTURED_DATA_PATH: &str = "log.syslog.structured_data";

/// Takes the fields of one record; of two at one path the later stays.
pub trait Sink {
    /// Whether the field, or something below it, is of any use.
    fn wants(&self, field: Field) -> bool;

    fn text(&mut self, field: Field, text: &str);

    /// `written` has to be a number in JSON's syntax.
    fn number(&mut self, field: Field, written: &str);

    /// A parameter of structured data, whose path is no longer than [`super::PATH_BYTES_MAX`]; `value` as it stands
    /// between its quotes, escapes included.
    fn parameter(&mut self, element: &str, name: &str, value: &str);
}

/// All fields.
pub struct InFull<'a> {
    paths: &'a Paths,
    out: FieldsBuilder,
}

impl<'a> InFull<'a> {
    pub fn new(paths: &'a Paths) -> Self {
        InFull { paths, out: Fields::builder() }
    }

    /// Starts with what is known already.
    pub fn with(paths: &'a Paths, fields: Fields) -> Self {
        let mut in_full = InFull::new(paths);
        in_full.out.extend(fields);
        in_full
    }

    pub fn build(self) -> Fields {
        self.out.build()
    }
}

impl Sink for InFull<'_> {
    fn wants(&self, _: Field) -> bool {
        true
    }

    fn text(&mut self, field: Field, text: &str) {
        self.out.put_text(self.paths.path(field), text);
    }

    fn number(&mut self, field: Field, written: &str) {
        self.out.put(self.paths.path(field), Value::Number(Number::from_written(written)));
    }

    fn parameter(&mut self, element: &str, name: &str, value: &str) {
        let (mut path, mut text) = (String::new(), String::new());
        path_of_parameter(element, name, &mut path);
        syslog::unescape(value, &mut text);
        self.out.put_text(path, text);
    }
}

fn path_of_parameter(element: &str, name: &str, path: &mut String) {
    for part in [STRUCTURED_DATA_PATH, ".", element, ".", name] {
        path.push_str(part);
    }
}

/// The bytes of a parameter's path.
pub fn parameter_path_len(element: &str, name: &str) -> usize {
    STRUCTURED_DATA_PATH.len() + 1 + element.len() + 1 + name.len()
}

/// What becomes of each field where only some are read.
#[derive(Debug, Default)]
pub struct Plan {
    wanted: Arc<Wanted>,
    /// By the field's number.
    targets: Vec<Target>,
}

#[derive(Debug)]
struct Target {
    place: Option<Place>,
    /// The slots of paths that lead to it.
    above: Box<[Slot]>,
}

impl Plan {
    pub fn new(wanted: Arc<Wanted>, paths: &Paths) -> Self {
        let target = |path: &str| Target { place: wanted.step(Place::ROOT, path), above: wanted.above(path).collect() };
        let targets = paths.iter().map(target).collect();
        Plan { targets, wanted }
    }

    pub fn wanted(&self) -> &Arc<Wanted> {
        &self.wanted
    }

    /// The slot of a field that has one.
    pub fn slot(&self, field: Field) -> Option<Slot> {
        self.targets[field.index()].place.and_then(|place| self.wanted.slot_at(place))
    }

    /// Whether reading what is wanted could give something else when the field is set.
    pub fn reads(&self, field: Field) -> bool {
        let target = &self.targets[field.index()];
        target.place.is_some() || !target.above.is_empty()
    }
}

/// The fields that somebody reads, in their slots; texts that stand in the record stay there.
pub struct IntoSlots<'a> {
    pub plan: &'a Plan,
    pub slots: &'a mut Slots,
    pub record: &'a str,
    /// Room for a parameter's path.
    pub path: &'a mut String,
}

impl IntoSlots<'_> {
    fn put(&mut self, field: Field, write: impl FnOnce(&mut Slots) -> crate::event::Written) {
        let Target { place, above } = &self.plan.targets[field.index()];
        above.iter().for_each(|slot| self.slots.put_below(*slot));
        if let Some(place) = place {
            let value = write(self.slots);
            self.slots.put(&self.plan.wanted, *place, value);
        }
    }
}

impl Sink for IntoSlots<'_> {
    fn wants(&self, field: Field) -> bool {
        self.plan.reads(field)
    }

    fn text(&mut self, field: Field, text: &str) {
        let range = range_in(self.record, text);
        self.put(field, |slots| match range {
            Some(range) => slots.text(range),
            None => slots.own_text(|scratch| scratch.push_str(text)),
        });
    }

    fn number(&mut self, field: Field, written: &str) {
        let range = range_in(self.record, written);
        self.put(field, |slots| match range {
            Some(range) => slots.number(range),
            None => slots.own_number(written),
        });
    }

    fn parameter(&mut self, element: &str, name: &str, value: &str) {
        let wanted = &self.plan.wanted;
        self.path.clear();
        path_of_parameter(element, name, self.path);
        wanted.above(self.path).for_each(|slot| self.slots.put_below(slot));
        if let Some(place) = wanted.step(Place::ROOT, self.path) {
            let value = match range_in(self.record, value) {
                Some(range) if !value.contains('\\') => self.slots.text(range),
                _ => self.slots.own_text(|scratch| syslog::unescape(value, scratch)),
            };
            self.slots.put(wanted, place, value);
        }
    }
}

/// Where `part` stands in `record`, when it is a part of it and no text of its own.
pub fn range_in(record: &str, part: &str) -> Option<Range<usize>> {
    let start = (part.as_ptr() as usize).checked_sub(record.as_ptr() as usize)?;
    let end = start.checked_add(part.len())?;
    (end <= record.len()).then_some(start..end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_found_where_it_stands_and_nothing_else_is() {
        let record = String::from("a record");
        assert_eq!(range_in(&record, &record[2..5]), Some(2..5));
        assert_eq!(range_in(&record, &record[8..]), Some(8..8));
        assert_eq!(range_in(&record, &String::from("rec")), None);
        assert_eq!(range_in(&record[2..5], &record[4..7]), None);
        assert_eq!(range_in(&record[2..5], &record), None);
    }

    #[test]
    fn what_nobody_reads_is_not_wanted() {
        let plan = Plan::new(Arc::new(Wanted::new(["source", "user.name", "process.name.x"])), &Paths::default());
        let read = |path| plan.reads(Field::known(path));
        assert!(read("source.ip") && read("user.name") && read("process.name"));
        assert!(!read("message") && !read("user.effective.name"));
        assert_eq!(plan.slot(Field::known("user.name")), Some(Slot(1)));
        assert_eq!(plan.slot(Field::known("source.ip")), None);
    }
}
