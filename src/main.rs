//! The exit code, and the allocator that `bench` can ask; nothing else.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: tripline::cli::Allocator = tripline::cli::Allocator;

fn main() -> ExitCode {
    tripline::cli::main()
}
