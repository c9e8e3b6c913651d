//! The command line, as written.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::{decode::Format, event::Timestamp, replay::Until, stage::Stages};

/// Correlates security events over time and tells people what it finds.
#[derive(Debug, Parser)]
#[command(name = "tripline", version, args_conflicts_with_subcommands = true)]
#[command(after_help = "`tripline` alone is `tripline run`.")]
pub struct Cli {
    #[command(subcommand)]
    pub command: Option<Command>,
    #[command(flatten)]
    pub run: RunArgs,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the server
    Run(RunArgs),
    /// Write a commented configuration and a tested rule
    Init(InitArgs),
    /// Show Tripline at work on a bundled log
    Demo(DemoArgs),
    /// Report what is wrong with rules
    Check(CheckArgs),
    /// Run the tests that stand beside rules
    Test(TestArgs),
    /// Run rules over files, without a server
    Replay(ReplayArgs),
    /// Show why an event matches a rule, or does not
    Explain(ExplainArgs),
    /// Show or create the topics that a configuration needs
    Topics(TopicsArgs),
    /// Give a fleet its rules, and see who runs what
    Rules(FleetRulesArgs),
    /// Measure what Tripline costs on this machine
    Bench(BenchArgs),
    /// Ask a running server how it is
    Status(StatusArgs),
    /// Work with Sigma rules
    Sigma(SigmaCommandArgs),
}

#[derive(Debug, Default, Args)]
pub struct RunArgs {
    /// Configuration file; without one everything has its default
    #[arg(long, value_name = "FILE", env = "TRIPLINE_CONFIG")]
    pub config: Option<PathBuf>,
    /// Folder of the embedded log
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Rule file, or folder of rules
    #[arg(long, value_name = "PATH")]
    pub rules: Option<PathBuf>,
    /// Stages that this process runs, some of detect,correlate,notify; others run the rest. Kafka only
    #[arg(long, value_name = "STAGES", default_value_t)]
    pub stages: Stages,
}

#[derive(Debug, Args)]
pub struct TopicsArgs {
    #[command(subcommand)]
    pub command: TopicsCommand,
}

#[derive(Debug, Subcommand)]
pub enum TopicsCommand {
    /// Show every topic with its settings, and which are missing
    Plan(TopicsOf),
    /// Create the topics that are missing
    Apply(TopicsOf),
}

#[derive(Debug, Args)]
pub struct TopicsOf {
    /// Configuration file; it must name brokers
    #[arg(long, value_name = "FILE", env = "TRIPLINE_CONFIG")]
    pub config: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct FleetRulesArgs {
    #[command(subcommand)]
    pub command: FleetRulesCommand,
}

#[derive(Debug, Subcommand)]
pub enum FleetRulesCommand {
    /// Check rules and lists, and write them to the topic that processes with `source = "topic"` follow
    Push(PushArgs),
    /// Show what was pushed last, and what each process runs
    Status(WhoArgs),
}

#[derive(Debug, Args)]
pub struct PushArgs {
    /// Configuration file; it must name brokers
    #[arg(long, value_name = "FILE", env = "TRIPLINE_CONFIG")]
    pub config: Option<PathBuf>,
    /// Rule file, or folder of rules; else the configuration's path
    #[arg(long, value_name = "PATH")]
    pub rules: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct WhoArgs {
    /// Configuration file; it must name brokers
    #[arg(long, value_name = "FILE", env = "TRIPLINE_CONFIG")]
    pub config: Option<PathBuf>,
    /// How the answer is written
    #[arg(long, value_enum, default_value_t = AnswerFormat::Text)]
    pub format: AnswerFormat,
}

#[derive(Debug, Args)]
pub struct InitArgs {
    /// Where to write
    #[arg(value_name = "DIR", default_value = ".")]
    pub dir: PathBuf,
}

#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Rule file, or folder of rules, in place of those of the repository
    #[arg(long, value_name = "PATH", default_value = "rules")]
    pub rules: PathBuf,
}

/// What Sigma rules are read with.
#[derive(Debug, Default, Args)]
pub struct SigmaArgs {
    /// A processing pipeline for Sigma rules, or a map of their log sources: a file, or one of ecs_windows,
    /// linux_auditd, sysmon and windows
    #[arg(long = "pipeline", value_name = "NAME|FILE")]
    pub pipelines: Vec<PathBuf>,
}

#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Rule files, or folders of rules; else the configuration's path, else `rules`
    #[arg(value_name = "PATH")]
    pub rules: Vec<PathBuf>,
    /// How findings are written
    #[arg(long, value_enum, default_value_t = CheckFormat::Text)]
    pub format: CheckFormat,
    /// Warnings count as errors
    #[arg(long)]
    pub deny_warnings: bool,
    /// Check this configuration, and the rules' inputs against its own
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    #[command(flatten)]
    pub sigma: SigmaArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CheckFormat {
    Text,
    /// One JSON object a line
    Json,
    /// SARIF 2.1.0, for code hosts and editors
    Sarif,
}

#[derive(Debug, Args)]
pub struct SigmaCommandArgs {
    #[command(subcommand)]
    pub command: SigmaCommand,
}

#[derive(Debug, Subcommand)]
pub enum SigmaCommand {
    /// Write Sigma rules as Rhai rules
    Convert(ConvertArgs),
}

#[derive(Debug, Args)]
pub struct ConvertArgs {
    /// Files of Sigma rules, or folders of them; what a correlation or filter refers to has to be among them
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
    #[command(flatten)]
    pub sigma: SigmaArgs,
}

#[derive(Debug, Args)]
pub struct TestArgs {
    /// Rule files, or folders of rules
    #[arg(value_name = "PATH", default_value = "rules")]
    pub rules: Vec<PathBuf>,
    #[command(flatten)]
    pub sigma: SigmaArgs,
    #[command(flatten)]
    pub databases: DatabaseArgs,
}

/// What `geo` and `asn` look addresses up in.
#[derive(Debug, Args)]
pub struct DatabaseArgs {
    /// MaxMind database (.mmdb) of countries or cities, for rules that ask `geo`
    #[arg(long, value_name = "FILE")]
    pub geo: Option<PathBuf>,
    /// MaxMind database (.mmdb) of autonomous systems, for rules that ask `asn`
    #[arg(long, value_name = "FILE")]
    pub asn: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// Rule files, or folders of rules
    #[arg(long, value_name = "PATH", required = true, num_args = 1..)]
    pub rules: Vec<PathBuf>,
    /// Files of records, one a line, plain or compressed (gzip, zstd); each is a partition of the input NAME. `-` is
    /// standard input
    #[arg(long = "input", value_name = "[NAME=]FILE", required = true, num_args = 1..)]
    pub inputs: Vec<String>,
    /// How alerts are written
    #[arg(long, value_enum, default_value_t = AlertFormat::Text)]
    pub format: AlertFormat,
    /// What a record looks like: auto, json, syslog, line, clf or apache_error
    #[arg(long, value_name = "FORMAT", default_value = "auto", value_parser = parse_format)]
    pub decode: Format,
    /// How far an event may come behind a later one of its file
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = humantime::parse_duration)]
    pub lateness: Duration,
    /// The log ends here: at a time, or at its last event; else at infinity
    #[arg(long, value_name = "TIME|last", value_parser = parse_until)]
    pub until: Option<Until>,
    /// The year of the first event, for times without one; else the year in which the file was written
    #[arg(long, value_name = "YEAR", allow_negative_numbers = false)]
    pub year: Option<i16>,
    /// Write the counts of the run as a JSON object; `-` is standard output
    #[arg(long, value_name = "FILE")]
    pub summary: Option<PathBuf>,
    /// Write the records that could not go on, as NDJSON; `-` is standard output
    #[arg(long, value_name = "FILE")]
    pub dead_letters: Option<PathBuf>,
    #[command(flatten)]
    pub sigma: SigmaArgs,
    #[command(flatten)]
    pub databases: DatabaseArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum AlertFormat {
    Text,
    /// One JSON object a line
    Json,
}

#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// The rule's id
    #[arg(long = "rule", value_name = "ID")]
    pub rule: String,
    /// Rule files, or folders of rules
    #[arg(long, value_name = "PATH", required = true, num_args = 1..)]
    pub rules: Vec<PathBuf>,
    /// A file of records, one a line, plain or compressed (gzip, zstd), of the input NAME. `-` is standard input
    #[arg(long, value_name = "[NAME=]FILE")]
    pub input: String,
    /// The record's number, from 0; else the first that matches, else the first
    #[arg(long, value_name = "N")]
    pub offset: Option<u64>,
    /// What a record looks like: auto, json, syslog, line, clf or apache_error
    #[arg(long, value_name = "FORMAT", default_value = "auto", value_parser = parse_format)]
    pub decode: Format,
    /// The year of the first event, for times without one; else the year in which the file was written
    #[arg(long, value_name = "YEAR", allow_negative_numbers = false)]
    pub year: Option<i16>,
    /// How the answer is written
    #[arg(long, value_enum, default_value_t = AnswerFormat::Text)]
    pub format: AnswerFormat,
    #[command(flatten)]
    pub sigma: SigmaArgs,
    #[command(flatten)]
    pub databases: DatabaseArgs,
}

#[derive(Debug, Args)]
pub struct BenchArgs {
    #[command(subcommand)]
    pub command: BenchCommand,
    /// Write one JSON object a row
    #[arg(long, global = true)]
    pub json: bool,
}

#[derive(Debug, Subcommand)]
pub enum BenchCommand {
    /// Decode events and match them against rules
    Detect(BenchDetectArgs),
    /// Correlate signals: windows, sequences, many keys
    Correlate(BenchCorrelateArgs),
    /// Run the stages on a broker: throughput, exactly-once, restore, latency
    Kafka(BenchKafkaArgs),
}

#[derive(Debug, Args)]
pub struct BenchDetectArgs {
    /// Rule files, or folders of rules, in place of made-up ones
    #[arg(long, value_name = "PATH", num_args = 1..)]
    pub rules: Vec<PathBuf>,
    /// A file of records, one a line, in place of made-up ones
    #[arg(long, value_name = "FILE")]
    pub input: Option<PathBuf>,
    /// Events of each kind
    #[arg(long, value_name = "N", default_value_t = 20_000, value_parser = parse_count)]
    pub events: usize,
    /// Made-up rules; growth is shown from a thirtieth to three times as many
    #[arg(long, value_name = "N", default_value_t = 3_000, value_parser = parse_count)]
    pub rule_count: usize,
    /// What made-up events and rules come from
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
}

#[derive(Debug, Args)]
pub struct BenchCorrelateArgs {
    /// Rule files, or folders of rules, in place of made-up ones
    #[arg(long, value_name = "PATH", num_args = 1.., requires = "input")]
    pub rules: Vec<PathBuf>,
    /// A file of records, one a line, whose signals are correlated in place of made-up ones
    #[arg(long, value_name = "FILE", requires = "rules")]
    pub input: Option<PathBuf>,
    /// Signals of each kind; records of the file
    #[arg(long, value_name = "N", default_value_t = 200_000, value_parser = parse_count)]
    pub events: usize,
    /// Keys of the rows that show what many keys cost
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = parse_count)]
    pub keys: usize,
    /// What made-up signals come from
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
}

#[derive(Debug, Args)]
pub struct BenchKafkaArgs {
    /// A broker; topics and groups of the bench's own are made there, and removed at the end
    #[arg(long, value_name = "HOST:PORT")]
    pub bootstrap: String,
    /// Events of each row
    #[arg(long, value_name = "N", default_value_t = 200_000, value_parser = parse_count)]
    pub events: usize,
    /// Made-up rules that match nothing, beside two whose matches are planted
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = parse_count)]
    pub rule_count: usize,
    /// Keys whose state is restored
    #[arg(long, value_name = "N", default_value_t = 50_000, value_parser = parse_count)]
    pub keys: usize,
    /// What made-up events and rules come from
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// How often each row of a comparison is measured, by turns with the others; the median counts
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = parse_count)]
    pub rounds: usize,
    /// Events a second while latency is measured, in place of half of what is sustained
    #[arg(long, value_name = "N", value_parser = parse_count)]
    pub rate: Option<usize>,
    /// Only these parts
    #[arg(long, value_enum, value_name = "PART", value_delimiter = ',')]
    pub only: Vec<KafkaPart>,
}

/// A part of `tripline bench kafka`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum KafkaPart {
    /// Fetching alone, decoding, and the detect stage
    Drain,
    /// The whole pipeline exactly-once against at-least-once
    ExactlyOnce,
    /// With 0.1 %, 1 % and 10 % of the events matching
    Hop,
    /// Over 1, 2 and 4 partitions
    Scale,
    /// The state of many keys from its changelog
    Restore,
    /// From an event to its alert, at half load
    Latency,
}

#[derive(Debug, Args)]
pub struct StatusArgs {
    /// The server's address
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8686")]
    pub url: String,
    /// How the answer is written
    #[arg(long, value_enum, default_value_t = AnswerFormat::Text)]
    pub format: AnswerFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum AnswerFormat {
    Text,
    /// One JSON object
    Json,
}

/// A number of things to make, from 1 to what fits in memory.
fn parse_count(text: &str) -> Result<usize, String> {
    let count = text.parse().ok().filter(|count| (1..=10_000_000).contains(count));
    count.ok_or_else(|| "write a number from 1 to 10000000".to_owned())
}

fn parse_until(text: &str) -> Result<Until, String> {
    match text {
        "last" => Ok(Until::Last),
        time => Timestamp::parse(time)
            .map(Until::Time)
            .ok_or_else(|| "write `last` or a time like 2024-05-01T10:00:00Z".to_owned()),
    }
}

fn parse_format(text: &str) -> Result<Format, String> {
    Format::named(text).ok_or_else(|| format!("write one of {}", Format::names()))
}
