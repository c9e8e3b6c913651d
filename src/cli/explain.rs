//! `tripline explain`: one event against one rule, test by test.

use std::{fmt::Write as _, path::Path, sync::Arc};

use anyhow::{Result, anyhow, bail};
use serde_json::{Value, json};

use super::{
    args::{AnswerFormat, ExplainArgs},
    input_file::{InputFile, load_options},
    output::Output,
    rules::Rules,
};
use crate::{
    config::Config,
    detect::keys,
    event::{Event, Position, SharedEvent, Slots, Wanted},
    rule::{Explained, Gate, Outcome, Pattern, Rule, RuleSet, Sight, Window},
};

pub fn run(args: &ExplainArgs) -> Result<u8> {
    let mut file = InputFile::open(&args.input)?;
    let rules = Rules::load_with(&args.rules, load_options([&file]), &args.databases, &args.sigma.pipelines)?;
    rules.report();
    let rule = rules.set.get(&args.rule).ok_or_else(|| unknown(&args.rule, &rules.set))?;
    let event = match args.offset {
        Some(offset) => numbered(offset, args, &mut file)?,
        None => first(args, rule, &mut file)?,
    };
    let explanation = Explanation::of(rule, &event);
    let mut out = Output::stdout();
    match args.format {
        AnswerFormat::Json => out.line(explanation.to_json())?,
        AnswerFormat::Text => {
            let place = &rule.place;
            let path = rules.path_of(rule.id(), place);
            out.line(format_args!("rule {} ({}:{}:{})", rule.id(), path.display(), place.line, place.column))?;
            out.text(explanation.text(&file.path))?;
        }
    }
    out.finish()?;
    Ok(0)
}

fn unknown(id: &str, set: &RuleSet) -> anyhow::Error {
    let help = set.nearest(id).map(|id| format!("; did you mean `{id}`?")).unwrap_or_default();
    anyhow!("no rule that loads has the id `{id}`{help}")
}

/// The event with this number. Those before it are decoded too: a year may turn among them.
fn numbered(wanted: u64, args: &ExplainArgs, file: &mut InputFile) -> Result<SharedEvent> {
    let path = file.path.display().to_string();
    let mut decoder = file.decoder(args.decode, args.year, &Config::default())?;
    let (mut line, mut last) = (Vec::new(), None);
    while let Some(offset) = file.records.next(&mut line)? {
        if offset > wanted {
            bail!("{path}: record {wanted} is blank");
        }
        let decoded = decoder.decode(&line, None, position(file, offset));
        if offset == wanted {
            return decoded.map(Arc::new).map_err(|reject| anyhow!("{path}: record {offset} is no event: {reject}"));
        }
        last = Some(offset);
    }
    match last {
        Some(last) => bail!("{path}: there is no record {wanted}: the last one is {last}"),
        None => bail!("{path}: there is no record {wanted}: the file has none"),
    }
}

/// The first event that a pattern of the rule matches, else the first event.
fn first(args: &ExplainArgs, rule: &Rule, file: &mut InputFile) -> Result<SharedEvent> {
    let mut decoder = file.decoder(args.decode, args.year, &Config::default())?;
    let (mut line, mut first, mut rejected) = (Vec::new(), None, None);
    while let Some(offset) = file.records.next(&mut line)? {
        match decoder.decode(&line, None, position(file, offset)).map(Arc::new) {
            Ok(event) if rule.patterns.iter().any(|pattern| may_match(pattern, &event)) => {
                return Ok(event);
            }
            Ok(event) => first = first.or(Some(event)),
            Err(reject) => rejected = rejected.or_else(|| Some(format!(": record {offset}: {reject}"))),
        }
    }
    first.ok_or_else(|| anyhow!("{}: no event in it{}", file.path.display(), rejected.unwrap_or_default()))
}

/// The predicate is the quick half of the answer: it holds too where lists that rules write decide.
fn may_match(pattern: &Pattern, event: &SharedEvent) -> bool {
    pattern.predicate.test(event) == Ok(true)
        && matches!(pattern.explain(&Gate::None, event).outcome, Outcome::True | Outcome::Open)
}

fn position(file: &InputFile, offset: u64) -> Position {
    Position { input: file.name.clone(), partition: 0, offset }
}

/// What there is to say of an event before a rule.
struct Explanation<'a> {
    rule: &'a Rule,
    event: &'a Event,
    patterns: Vec<OfPattern<'a>>,
}

struct OfPattern<'a> {
    pattern: &'a Pattern,
    gate: Gate,
    tree: Explained,
    /// Of each field of the key.
    by: Vec<Sight>,
    /// How many keys those give; each that matches is a signal.
    keys: usize,
}

impl<'a> Explanation<'a> {
    fn of(rule: &'a Rule, event: &'a SharedEvent) -> Self {
        let of_pattern = |pattern: &'a Pattern| {
            let gate = pattern.predicate.gate();
            let (wanted, mut slots) = (Wanted::new(&pattern.by), Slots::default());
            slots.fill(&wanted, &event.fields);
            OfPattern {
                tree: pattern.explain(&gate, event),
                by: pattern.by.iter().map(|path| Sight::of_field(event, path)).collect(),
                keys: keys(slots.view(&wanted, ""), &pattern.by).kept.len(),
                gate,
                pattern,
            }
        };
        Explanation { rule, event, patterns: rule.patterns.iter().map(of_pattern).collect() }
    }

    fn is_read(&self) -> bool {
        self.rule.inputs.contains(&self.event.position.input)
    }

    fn text(&self, path: &Path) -> String {
        let Position { input, offset, .. } = &self.event.position;
        let mut text = format!("record {offset} of {}, input {input}, {}\n", path.display(), self.event.time);
        if !self.is_read() {
            text.push_str("the rule does not read this input: live, it never sees the event\n");
        }
        for of in &self.patterns {
            let says = match &of.tree.outcome {
                Outcome::True => "matches",
                Outcome::Failed(_) => "does not match, for a script failed",
                Outcome::Open => "matches if a list that rules write says so at the event's time",
                Outcome::False | Outcome::Unasked => "does not match",
            };
            // Writing to a text can't fail.
            let _ = writeln!(text, "\npattern {} {says}", of.pattern.name);
            for line in of.tree.to_string().lines() {
                let _ = writeln!(text, "  {line}");
            }
            if let Some(gate) = of.without_gate() {
                let _ = writeln!(text, "  gate: {gate}");
            }
            let _ = writeln!(text, "  key: {}", of.key(&self.rule.window));
        }
        text
    }

    fn to_json(&self) -> Value {
        let Position { input, partition, offset } = &self.event.position;
        let patterns = self.patterns.iter().map(|of| {
            let by = of.pattern.by.iter().zip(&of.by).map(|(field, sight)| json!([field, sight.to_json()]));
            json!({
                "name": of.pattern.name,
                "matches": of.matches(),
                "predicate": of.tree.to_json(),
                "by": by.collect::<Vec<_>>(),
                "keys": of.keys,
            })
        });
        json!({
            "rule": self.rule.id(),
            "event": {"input": &**input, "partition": partition, "offset": offset, "time": self.event.time.to_string()},
            "reads_input": self.is_read(),
            "patterns": patterns.collect::<Vec<_>>(),
        })
    }
}

impl OfPattern<'_> {
    /// `None` where a list that rules write decides.
    fn matches(&self) -> Option<bool> {
        (self.tree.outcome != Outcome::Open).then(|| self.tree.outcome == Outcome::True)
    }

    fn without_gate(&self) -> Option<&'static str> {
        match self.gate {
            Gate::Never => Some("the pattern is never true, so it is never asked"),
            Gate::None => Some("none: the pattern is asked of every event, or of every one that has a certain field"),
            Gate::AnyOf(_) => None,
        }
    }

    fn key(&self, window: &Window) -> String {
        if self.by.is_empty() {
            let shared = if *window == Window::None { "none" } else { "none: all events share one window" };
            return shared.to_owned();
        }
        let fields = self.pattern.by.iter().zip(&self.by).map(|(path, sight)| format!("{path} = {sight}"));
        let fields = fields.collect::<Vec<_>>().join(", ");
        match self.keys {
            0 => format!("{fields}; what is missing keeps a match from giving a signal"),
            1 => fields,
            several => format!("{fields}; {several} keys"),
        }
    }
}
