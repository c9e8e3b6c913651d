//! The three stages in one thread over a finite input: what `replay` and `test` run, and what tests hold the others to.
//!
//! Pure: records come in, alerts come out. The rooms that it calls are those that the live server calls.

mod driver;
mod inline;

pub use driver::{Options, Replay, ReplaySource, Totals, Until};
pub use inline::{TestResult, run_tests};
