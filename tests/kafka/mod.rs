//! The Kafka log, and the whole server on it, against a real broker.

pub mod broker;
mod chaos;
mod e2e;
pub mod log;
