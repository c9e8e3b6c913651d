//! The whole server on a real broker: the program itself, started with a configuration, watched from outside.
//!
//! What is expected is what `tripline replay` says of the same records.

mod apart;
mod failover;
mod flow;
pub mod process;
mod pushed;
mod same;
mod secure;
mod standby;
pub mod story;
