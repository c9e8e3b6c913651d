//! What detect knows of one event: its slots, and all of it when something asks.

use std::{cell::OnceCell, sync::Arc};

use crate::event::{Event, Fields, InputName, Position, SharedEvent, Timestamp, View};

/// One event before the rules.
pub struct Facts<'a> {
    pub view: View<'a>,
    pub time: Timestamp,
    pub input: &'a InputName,
    pub partition: u32,
    pub offset: u64,
    /// It came after its own partition's watermark had passed it.
    pub late: bool,
    /// The epoch of the detect line that reads it.
    pub epoch: u64,
    pub whole: Whole<'a>,
}

/// An event in full, made when it is first asked for.
pub struct Whole<'a> {
    event: OnceCell<SharedEvent>,
    fields: &'a dyn Fn() -> Fields,
}

impl<'a> Whole<'a> {
    /// `fields` has to give what the view shows, and everything else.
    pub fn later(fields: &'a dyn Fn() -> Fields) -> Self {
        Whole { event: OnceCell::new(), fields }
    }
}

impl Facts<'_> {
    pub fn position(&self) -> Position {
        Position { input: self.input.clone(), partition: self.partition, offset: self.offset }
    }

    pub fn whole(&self) -> &SharedEvent {
        self.whole.event.get_or_init(|| {
            Arc::new(Event { time: self.time, position: self.position(), fields: (self.whole.fields)() })
        })
    }

    /// Only the fields at `paths`, and below them: [`Fields::project`].
    pub fn project(&self, paths: &[Arc<str>]) -> Fields {
        let mut kept = Fields::builder();
        for path in paths {
            let Some(slot) = self.view.slot(path) else { return self.whole().fields.project(paths) };
            match self.view.value(slot) {
                Some(value) => kept.put(path, value),
                // what stands below has no slots
                None if self.view.exists(slot) => return self.whole().fields.project(paths),
                None => {}
            }
        }
        kept.build()
    }
}
