//! The Kafka log, and the whole server on it, against a real broker.

mod bench;
pub mod broker;
mod chaos;
mod e2e;
mod followed;
pub mod log;
