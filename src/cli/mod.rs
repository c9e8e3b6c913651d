//! The commands: what a user types, what it prints, and how it exits.

mod args;
mod bench;
mod check;
mod databases;
mod demo;
mod explain;
mod fleet;
mod http;
mod init;
mod input_file;
mod origin;
mod output;
mod pipelines;
mod records;
mod replay;
mod rule_files;
mod rules;
mod run;
mod sarif;
mod server;
mod sigma;
mod status;
mod test;
mod topics;

use std::process::ExitCode;

use clap::Parser;

use self::{
    args::{Cli, Command},
    output::tell,
};
pub use self::{
    bench::Allocator,
    rule_files::{RuleFilesError, read_rule_files},
};

/// A test failed, or a rule did not load.
const FAILED: u8 = 1;
/// Wrong usage, a wrong configuration, or an input that can't be read.
const UNUSABLE: u8 = 2;
/// A stage failed past its restart limit.
const ESCALATED: u8 = 3;

/// Runs the command line. Results go to stdout, everything else to stderr.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match cli.command.unwrap_or(Command::Run(cli.run)) {
        Command::Run(args) => run::run(&args),
        Command::Init(args) => init::run(&args),
        Command::Demo(args) => demo::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Test(args) => test::run(&args),
        Command::Replay(args) => replay::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Topics(args) => topics::run(&args),
        Command::Rules(args) => fleet::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Status(args) => status::run(&args),
        Command::Sigma(args) => sigma::run(&args),
    };
    result.map(ExitCode::from).unwrap_or_else(|error| {
        tell(format_args!("error: {error:#}"));
        ExitCode::from(UNUSABLE)
    })
}
