//! Commands.

mod rule_files;

use std::process::ExitCode;

pub use rule_files::{RuleFilesError, read_rule_files};

pub fn main() -> ExitCode {
    ExitCode::SUCCESS
}
