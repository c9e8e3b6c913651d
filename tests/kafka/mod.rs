//! The Kafka log against a real broker.

pub mod broker;
mod log;
