//! `tests/cases/sigma/<story>/`: Sigma rules, and in `events.tsv` events with the ids of the rules that match them.
//! Every way to ask an event has to give that answer: the predicate, the matcher, and what `explain` says.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use tripline::{
    cli::read_rule_files,
    decode::{DecodeSpec, Decoder, Format, Limits, Timing},
    event::{Event, Position, SharedEvent},
    rule::{Gate, LoadOptions, Outcome, RuleSet, Scratch, Shown, load},
};

fn stories() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/sigma");
    let entries = fs::read_dir(&root).unwrap_or_else(|error| panic!("{}: {error}", root.display()));
    let mut stories: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    stories.sort();
    stories
}

fn rules(story: &Path) -> RuleSet {
    let loaded = load(&read_rule_files(story).unwrap(), &LoadOptions::default(), None);
    let errors: Vec<String> =
        loaded.diagnostics.iter().filter(|finding| finding.is_error()).map(|finding| finding.render(false)).collect();
    assert!(errors.is_empty(), "{}: {}", story.display(), errors.join("\n"));
    loaded.set
}

/// Each line's event, and the ids that stand before it.
fn events(story: &Path) -> Vec<(BTreeSet<String>, String)> {
    let text = fs::read_to_string(story.join("events.tsv")).unwrap();
    let line = |line: &str| {
        let (ids, event) = line.split_once('\t').expect("two columns");
        (ids.split(' ').filter(|id| !id.is_empty()).map(str::to_owned).collect(), event.to_owned())
    };
    text.lines().map(line).collect()
}

/// The three answers.
struct Asked<'a> {
    rules: &'a RuleSet,
    decoder: Decoder,
    scratch: Scratch,
}

impl<'a> Asked<'a> {
    fn new(rules: &'a RuleSet) -> Self {
        let spec = DecodeSpec { format: Format::Json, ..DecodeSpec::default() };
        let limits = Limits { record_bytes_max: 1 << 20, depth_max: 32, fields_max: 100 };
        let mut decoder = Decoder::new(&spec, limits, Timing::Live).expect("a decoder");
        decoder.want(&rules.compiled().wanted);
        Asked { rules, decoder, scratch: rules.compiled().matcher.scratch() }
    }

    fn event(&mut self, line: &str) -> SharedEvent {
        let position = Position { input: "i".into(), partition: 0, offset: 0 };
        Arc::new(
            self.decoder.decode(line.as_bytes(), Some(0), position).unwrap_or_else(|reject| panic!("{line}: {reject}")),
        )
    }

    fn predicates(&self, event: &SharedEvent) -> BTreeSet<String> {
        let matches = self.rules.rules.iter().filter(|rule| rule.patterns[0].predicate.test(event) == Ok(true));
        matches.map(|rule| rule.id().to_string()).collect()
    }

    fn explained(&self, event: &SharedEvent) -> BTreeSet<String> {
        let is_true = |outcome: &Outcome| *outcome == Outcome::True;
        let matches =
            self.rules.rules.iter().filter(|rule| is_true(&rule.patterns[0].explain(&Gate::None, event).outcome));
        matches.map(|rule| rule.id().to_string()).collect()
    }

    fn matched(&mut self, line: &str, event: &SharedEvent) -> BTreeSet<String> {
        let read = self.decoder.read(line.as_bytes(), Some(0)).expect("a record");
        let whole = || Arc::<Event>::clone(event);
        let seen = Shown { view: self.decoder.view(&read), time: event.time, whole: &whole };
        let mut found = BTreeSet::new();
        let compiled = self.rules.compiled();
        compiled.matcher.matches(
            seen,
            "i",
            &mut self.scratch,
            &mut |script| script.test(event),
            &mut |rule, _, answer| {
                if answer == Ok(true) {
                    found.insert(self.rules.rules[rule].id().to_string());
                }
            },
        );
        found
    }
}

#[test]
fn rules_match_the_events_that_their_story_says() {
    let mut wrong = Vec::new();
    for story in stories() {
        let rules = rules(&story);
        let mut asked = Asked::new(&rules);
        let mut matched_once = BTreeSet::new();
        for (number, (expected, line)) in (1..).zip(events(&story)) {
            let event = asked.event(&line);
            let answers = [
                ("predicate", asked.predicates(&event)),
                ("explain", asked.explained(&event)),
                ("matcher", asked.matched(&line, &event)),
            ];
            for (who, found) in answers.iter().filter(|(_, found)| *found != expected) {
                let more: Vec<&String> = found.difference(&expected).collect();
                let missing: Vec<&String> = expected.difference(found).collect();
                wrong.push(format!("{}:{number}: {who}: more {more:?}, missing {missing:?}", story.display()));
            }
            matched_once.extend(expected);
        }
        let never: Vec<&Arc<str>> =
            rules.rules.iter().map(|rule| rule.id()).filter(|id| !matched_once.contains(&***id)).collect();
        assert!(never.is_empty(), "{}: no event shows {never:?}", story.display());
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
