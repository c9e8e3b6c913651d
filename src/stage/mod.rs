//! The stages as actors: the only room that knows actix. Each line reads one partition of a log, lets a pure room
//! think, appends to the next log and commits. A supervisor for each stage starts lines and replaces dead ones.

mod alignment;
mod correlate;
mod detect;
mod enlisted;
mod fleet;
mod input_topic;
mod line;
mod lines;
mod messages;
mod notify;
mod pipeline;
mod rulebook;
mod seat;
mod stages;
mod standby;
mod supervisor;
mod topics;

use std::sync::Arc;

pub use correlate::limits;
pub use fleet::{Herald, Progress, Report, reports};
pub use line::{AtWork, Work};
pub use lines::{Lines, Stage};
pub use messages::{Ended, Order};
pub use pipeline::{Pipeline, PipelineError, Surroundings};
pub use rulebook::{Push, Rulebook, RulebookError, Ruling};
pub use seat::Seat;
pub use stages::Stages;
pub use standby::Standby;
pub use supervisor::Escalation;
pub use topics::Topics;

use crate::log::TopicPartition;

/// Called with (stage, partition, offset) before each record; tests panic in it to see a line die. The server's does
/// nothing. The stages are `detect`, `correlate`, `notify`, and `walk` where correlate applies a signal in its turn.
pub type Hook = Arc<dyn Fn(&'static str, &TopicPartition, u64) + Send + Sync>;

/// The hook that does nothing.
pub fn no_hook() -> Hook {
    Arc::new(|_, _, _| {})
}
