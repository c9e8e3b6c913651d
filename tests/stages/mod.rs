//! The stages together: detect, correlate and notify on the memory and the local log, crashed, reloaded and starved.
//!
//! Every test has a system and logs of its own. What is expected comes from `replay` over the same records, or is
//! written down.

mod completeness;
mod crashes;
mod drained;
mod full_log;
mod generated;
mod harness;
mod idle;
mod killed;
mod left_out;
mod malformed;
mod odd_time;
mod panics;
mod pushed;
mod rebalanced;
mod reload;
mod same_alerts;
mod scripts;
mod severed;
mod sinks;
