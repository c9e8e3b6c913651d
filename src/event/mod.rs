//! What happened: an event's time, its place in a log and its fields. This room imports nothing of ours.

mod dead_letter;
mod fields;
pub mod frame;
mod json_text;
mod position;
mod scalar;
mod slots;
mod time;
mod value;
mod wanted;

use std::sync::Arc;

pub use dead_letter::DeadLetter;
pub use fields::{Fields, FieldsBuilder};
pub use json_text::{JsonText, escape};
pub use position::{ALERTS, ENTITY, InputName, Position};
pub use scalar::Scalar;
pub use slots::{KEPT_BYTES_MAX, RECORD_BYTES_MAX, Scalars, Slots, View, Written};
pub use time::Timestamp;
pub use value::{Number, Value};
pub use wanted::{Place, Slot, Wanted};

/// A decoded record, ready for the rules.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Event time: what the event says, or what its input's time rules gave it.
    pub time: Timestamp,
    pub position: Position,
    pub fields: Fields,
}

/// Events are shared between the rules that read them.
pub type SharedEvent = Arc<Event>;
