//! What happened: an event's time, its place in a log and its fields. This room imports nothing of ours.

mod dead_letter;
mod fields;
pub mod frame;
mod position;
mod time;
mod value;

use std::sync::Arc;

pub use dead_letter::DeadLetter;
pub use fields::{Fields, FieldsBuilder};
pub use position::{InputName, Position};
pub use time::Timestamp;
pub use value::{Number, Scalar, Value};

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
