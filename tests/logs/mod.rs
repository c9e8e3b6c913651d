//! What the logs promise: one contract for every log, and what the embedded one promises beyond it on a disk.

pub mod contract;
mod crash;
mod disk;
mod memory;
