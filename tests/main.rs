//! One binary for all tests that are not unit tests. A test of a room's promise belongs in that room's module here;
//! a test of what users see belongs in `commands`.

mod allocations;
mod api;
mod cases;
mod commands;
mod content;
mod docker;
mod enrichment;
mod fuzzing;
mod intake;
mod kafka;
mod logs;
mod oracle;
mod properties;
mod sigma;
mod simulation;
mod sinks;
mod stages;
mod tidy;

#[global_allocator]
static ALLOCATOR: allocations::Counting = allocations::Counting;
