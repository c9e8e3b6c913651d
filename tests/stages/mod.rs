//! The stages together: detect, correlate and notify on the memory and the local log, crashed, reloaded and starved.
//!
//! Every test has a system and logs of its own. What is expected comes from `replay` over the same records, or is
//! written down.

mod crashes;
mod full_log;
mod generated;
mod harness;
mod idle;
mod killed;
mod malformed;
mod panics;
mod reload;
mod same_alerts;
mod scripts;
mod severed;
