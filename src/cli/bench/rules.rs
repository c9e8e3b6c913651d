//! Made-up rules in the shape of real content: a log source pinned by one or two fields, selections of five to ten
//! substrings over the fields that analysts look at, now and then a filter. Some literals are in many events; what a
//! rule can't do without is rare, as in content that people can live with: about one event in ten matches something.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    path::PathBuf,
    sync::Arc,
};

use anyhow::{Result, bail};

use super::{
    correlate,
    words::{Chance, FOLDERS, KEYS, OPTIONS, POWERSHELL, PROGRAMS, SCRIPT_LINES, SECURITY, SYSMON},
};
use crate::{
    config::Config,
    detect::Raw,
    rule::{LoadOptions, RuleFiles, RuleSet, load},
};

/// Literals that many events have, in the selections that may hold some.
const COMMON_PERCENT: usize = 30;

/// Of the other literals, those that an event may well have.
const WORDS_PERCENT: usize = 1;

/// Rules in one file: files are parsed one by one.
const RULES_PER_FILE: usize = 250;

/// The events that rules are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    Windows,
    Ecs,
    CloudTrail,
    Syslog,
}

/// What a log source's rules look at.
struct Source {
    pins: String,
    /// Fields with the texts that rules look for there, in the order of how often they do.
    fields: &'static [(&'static str, Text)],
}

#[derive(Debug, Clone, Copy)]
enum Text {
    Image,
    CommandLine,
    Path,
    Key,
    Script,
    Word,
    Address,
}

/// `count` rules for events of a shape.
///
/// # Errors
/// When one does not load, which is an error of this file.
pub fn rules(shape: Shape, count: usize, chance: &mut Chance) -> Result<Arc<RuleSet>> {
    load_all(count, &mut |id| rule(id, &source(shape, chance), chance))
}

/// The rules in `text`, and beside them as many of [`rules`] for Windows events as match none of `records`.
///
/// # Errors
/// When one does not load, which is an error of this folder.
pub fn silent_beside(text: &str, count: usize, records: &[String], chance: &mut Chance) -> Result<Arc<RuleSet>> {
    let mut files = written(count, &mut |id| rule(id, &source(Shape::Windows, chance), chance));
    files.insert("beside.rhai".into(), text.to_owned());
    let all = Arc::new(loaded(files)?);
    let mut source = correlate::source(&all, &Config::default())?;
    let mut heard = BTreeSet::new();
    for (offset, record) in (0..).zip(records) {
        let signals = source.read(Raw { offset, bytes: record.as_bytes(), timestamp_ms: None, clock: None });
        heard.extend(signals.into_iter().flatten().map(|signal| signal.rule));
    }
    let mut set = RuleSet::clone(&all);
    set.rules.retain(|rule| !heard.contains(rule.id()));
    Ok(Arc::new(set))
}

fn load_all(count: usize, rule: &mut dyn FnMut(usize) -> String) -> Result<Arc<RuleSet>> {
    Ok(Arc::new(loaded(written(count, rule))?))
}

fn written(count: usize, rule: &mut dyn FnMut(usize) -> String) -> BTreeMap<PathBuf, String> {
    let files = (0..count.div_ceil(RULES_PER_FILE)).map(|file| {
        let ids = file * RULES_PER_FILE..count.min((file + 1) * RULES_PER_FILE);
        (PathBuf::from(format!("{file:04}.rhai")), ids.map(&mut *rule).collect::<String>())
    });
    files.collect()
}

/// # Errors
/// When a rule does not load, which is an error of this folder.
pub fn loaded(files: BTreeMap<PathBuf, String>) -> Result<RuleSet> {
    let loaded = load(&RuleFiles { files, ..RuleFiles::default() }, &LoadOptions::default(), None);
    if let Some(error) = loaded.diagnostics.iter().find(|found| found.is_error()) {
        bail!("{}", error.render(false));
    }
    Ok(loaded.set)
}

/// Rule sets that ask for much at once.
///
/// # Errors
/// When one does not load, which is an error of this file.
pub fn hostile(count: usize, chance: &mut Chance) -> Result<Vec<(String, Arc<RuleSet>)>> {
    let regexes = count.div_ceil(10);
    let fields = count.div_ceil(2);
    let one = |id, test: String| format!("rule(#{{ id: \"b{id:05}\", event: |e| {test} }});\n");
    Ok(vec![
        (
            format!("{count} contains on one field"),
            load_all(count, &mut |id| one(id, format!("e.CommandLine.icontains({})", quoted(&chance.rare_word()))))?,
        ),
        (
            format!("{regexes} regexes"),
            load_all(regexes, &mut |id| {
                one(id, format!("matches(e.CommandLine, \"(?i)[{}]+[0-9]{{3}}x{id}\")", "a-f"))
            })?,
        ),
        (format!("{fields} fields"), load_all(fields, &mut |id| one(id, format!("e.field{id} == \"x\"")))?),
    ])
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn source(shape: Shape, chance: &mut Chance) -> Source {
    let pinned = |channel: &str, id: usize| format!("e.Channel == \"{channel}\" && e.EventID == {id}");
    let sysmon = |id| pinned(SYSMON, id);
    match shape {
        Shape::Windows => match chance.below(100) {
            0..48 => Source {
                pins: sysmon(1),
                fields: &[
                    ("CommandLine", Text::CommandLine),
                    ("Image", Text::Image),
                    ("ParentImage", Text::Image),
                    ("OriginalFileName", Text::Word),
                    ("ParentCommandLine", Text::CommandLine),
                ],
            },
            48..58 => Source {
                pins: format!("e.Channel == \"{SYSMON}\" && e.EventID in [12, 13, 14]"),
                fields: &[("TargetObject", Text::Key), ("Details", Text::Word), ("Image", Text::Image)],
            },
            58..66 => Source { pins: pinned(POWERSHELL, 4104), fields: &[("ScriptBlockText", Text::Script)] },
            66..74 => Source { pins: sysmon(11), fields: &[("TargetFilename", Text::Path), ("Image", Text::Image)] },
            74..79 => Source { pins: sysmon(7), fields: &[("ImageLoaded", Text::Path), ("Image", Text::Image)] },
            79..83 => Source {
                pins: sysmon(3),
                fields: &[
                    ("DestinationHostname", Text::Word),
                    ("Image", Text::Image),
                    ("DestinationIp", Text::Address),
                ],
            },
            83..85 => Source { pins: sysmon(10), fields: &[("TargetImage", Text::Image), ("CallTrace", Text::Path)] },
            85..93 => Source {
                pins: pinned(SECURITY, 4600 + chance.below(200)),
                fields: &[("TargetUserName", Text::Word), ("ObjectName", Text::Path), ("IpAddress", Text::Address)],
            },
            _ => {
                let channel = format!("Microsoft-Windows-{}/Operational", chance.word());
                Source {
                    pins: pinned(&channel, chance.below(5000)),
                    fields: &[("Path", Text::Path), ("Data", Text::Word)],
                }
            }
        },
        Shape::Ecs => Source {
            pins: "e.event.category == \"process\" && e.event.action == \"start\"".to_owned(),
            fields: &[
                ("process.command_line", Text::CommandLine),
                ("process.executable", Text::Image),
                ("process.parent.executable", Text::Image),
            ],
        },
        Shape::CloudTrail => Source {
            pins: format!(
                "e.eventSource == \"{}.amazonaws.com\"",
                chance.pick(&["s3", "ec2", "iam", "sts", "kms", "lambda", "rds"])
            ),
            fields: &[
                ("eventName", Text::Word),
                ("userIdentity.arn", Text::Word),
                ("userAgent", Text::Word),
                ("sourceIPAddress", Text::Address),
            ],
        },
        Shape::Syslog => Source {
            pins: format!("e.process.name == \"{}\"", chance.pick(&["sshd", "sudo", "cron", "kernel", "su"])),
            fields: &[("message", Text::Word)],
        },
    }
}

fn rule(id: usize, source: &Source, chance: &mut Chance) -> String {
    let mut test = source.pins.clone();
    for _ in 0..chance.below(3) {
        let _ = write!(test, " && ({})", selection(source, COMMON_PERCENT, 1 + chance.below(5), chance));
    }
    let _ = write!(test, " && ({})", selection(source, 0, 2 + chance.below(5), chance));
    if chance.percent(20) {
        let _ = write!(test, " && !({})", selection(source, COMMON_PERCENT, 1 + chance.below(3), chance));
    }
    format!("rule(#{{ id: \"b{id:05}\", title: \"Bench\", severity: \"low\", event: |e| {test} }});\n")
}

/// One of so many texts in one field.
fn selection(source: &Source, common: usize, count: usize, chance: &mut Chance) -> String {
    let at = chance.below(source.fields.len() + 1) * chance.below(source.fields.len()) / source.fields.len();
    let (field, text) = source.fields[at.min(source.fields.len() - 1)];
    let tests: Vec<String> = (0..count).map(|_| text_test(field, text, common, chance)).collect();
    tests.join(" || ")
}

fn text_test(field: &str, text: Text, common: usize, chance: &mut Chance) -> String {
    let common = chance.percent(common);
    let word = if chance.percent(WORDS_PERCENT) { chance.word() } else { chance.rare_word() };
    let (test, literal) = match text {
        Text::Image if common => ("iends_with", format!("\\{}", chance.pick(PROGRAMS))),
        Text::Image => ("iends_with", format!("\\{word}.exe")),
        Text::CommandLine if common => ("icontains", chance.pick(OPTIONS).to_owned()),
        Text::CommandLine => ("icontains", format!(" {}{word}", chance.pick(&["-", "/", "", "--"]))),
        Text::Path if common => ("istarts_with", format!("{}\\", chance.pick(FOLDERS))),
        Text::Path => {
            (chance.pick(&["icontains", "iends_with"]), format!("\\{word}.{}", chance.pick(&["dll", "exe", "tmp"])))
        }
        Text::Key if common => ("icontains", chance.pick(KEYS).to_owned()),
        Text::Key => ("icontains", format!("\\{word}\\{}", chance.word())),
        Text::Script if common => ("icontains", chance.pick(SCRIPT_LINES).chars().take(16).collect()),
        Text::Script => ("icontains", format!("Invoke-{word}")),
        Text::Word if common => ("icontains", word.chars().take(4).collect()),
        Text::Word => ("icontains", format!("{word}{}", chance.below(10))),
        Text::Address => return format!("cidr(e.{field}, \"{}/{}\")", chance.address(), 8 + chance.below(25)),
    };
    format!("e.{field}.{test}({})", quoted(&literal))
}
