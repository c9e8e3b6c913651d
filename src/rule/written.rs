//! Lists that rules write: what a firing rule adds, and what a pattern that reads such a list leaves to correlation.
//!
//! Detect knows no such list. It passes an event on where the rest of the predicate leaves a chance, with a
//! [`Question`]: what is left of the predicate when all but its tests of these lists are answered.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rhai::{Dynamic, Engine, EvalAltResult, ImmutableString, NativeCallContext, Position};
use serde::{Deserialize, Serialize};

use super::{
    Predicate, WindowScript, WindowView, duration,
    field::Field,
    field_test::{Asks, FieldTest, TermTest},
    matcher::Shown,
    model::Pattern,
    predicate::Reads,
    script::ScriptError,
};
use crate::event::Timestamp;

/// Longer texts enter no list.
pub const LIST_TEXT_BYTES_MAX: usize = 1_024;

/// Entries that one firing adds.
const WRITES_MAX: usize = 100;

/// An entry of a list: the text is a member after `from`, up to `until`, which is included.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListWrite {
    pub list: Arc<str>,
    pub text: Arc<str>,
    pub from: Timestamp,
    pub until: Timestamp,
}

/// What is left of a predicate when only lists that rules write are unknown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Question {
    Known(bool),
    /// Whether one of the texts is in the list.
    In {
        list: Arc<str>,
        texts: BTreeSet<Arc<str>>,
    },
    All(Vec<Question>),
    Any(Vec<Question>),
    Not(Box<Question>),
}

impl Question {
    /// The answer, given what (list, text) are members.
    pub fn answer(&self, is_member: &dyn Fn(&str, &str) -> bool) -> bool {
        match self {
            Question::Known(answer) => *answer,
            Question::In { list, texts } => texts.iter().any(|text| is_member(list, text)),
            Question::All(parts) => parts.iter().all(|part| part.answer(is_member)),
            Question::Any(parts) => parts.iter().any(|part| part.answer(is_member)),
            Question::Not(part) => !part.answer(is_member),
        }
    }

    fn of(predicate: &Predicate, reads: &dyn Reads) -> Self {
        match predicate {
            Predicate::Constant(answer) => Question::Known(*answer),
            Predicate::All(parts) => Question::joined(parts, reads, true),
            Predicate::Any(parts) => Question::joined(parts, reads, false),
            Predicate::Not(part) => match Question::of(part, reads) {
                Question::Known(answer) => Question::Known(!answer),
                part => Question::Not(Box::new(part)),
            },
            Predicate::Field(FieldTest { path, asks: Asks::InWritten(list) }) => {
                let mut texts = BTreeSet::new();
                reads.any(path, &mut |scalar| note(&mut texts, scalar.as_text()));
                Question::about(list, texts)
            }
            Predicate::Term(TermTest { term, asks: Asks::InWritten(list) }) => {
                let mut texts = BTreeSet::new();
                term.any(reads, &mut |scalar| note(&mut texts, scalar.as_text()));
                Question::about(list, texts)
            }
            Predicate::Field(test) => Question::Known(test.holds(reads)),
            Predicate::Term(test) => Question::Known(test.holds(reads)),
            // Patterns with scripts ask no such list.
            Predicate::Script(_) => Question::Known(false),
        }
    }

    fn about(list: &Arc<str>, texts: BTreeSet<Arc<str>>) -> Self {
        if texts.is_empty() { Question::Known(false) } else { Question::In { list: list.clone(), texts } }
    }

    /// All of the parts (`neutral` is true), or any of them.
    fn joined(parts: &[Predicate], reads: &dyn Reads, neutral: bool) -> Self {
        let mut left = Vec::new();
        for part in parts {
            match Question::of(part, reads) {
                Question::Known(answer) if answer == neutral => {}
                Question::Known(answer) => return Question::Known(answer),
                part => left.push(part),
            }
        }
        match left.len() {
            0 => Question::Known(neutral),
            1 => left.remove(0),
            _ if neutral => Question::All(left),
            _ => Question::Any(left),
        }
    }
}

/// Notes a text that may be in a list, and asks for the next.
fn note(texts: &mut BTreeSet<Arc<str>>, text: &str) -> bool {
    if text.len() <= LIST_TEXT_BYTES_MAX {
        texts.insert(text.into());
    }
    false
}

impl Pattern {
    /// What correlation has to find out before an event that detect passed on matches the pattern. `None` where
    /// nothing is left to ask.
    pub fn question(&self, seen: &Shown<'_>) -> Option<Question> {
        self.asks_lists.as_ref().map(|predicate| Question::of(predicate, seen))
    }
}

impl Predicate {
    /// Whether it asks a list that rules write.
    pub(super) fn asks_written(&self) -> bool {
        match self {
            Predicate::All(parts) | Predicate::Any(parts) => parts.iter().any(Predicate::asks_written),
            Predicate::Not(part) => part.asks_written(),
            Predicate::Field(test) => matches!(test.asks, Asks::InWritten(_)),
            Predicate::Term(test) => matches!(test.asks, Asks::InWritten(_)),
            Predicate::Constant(_) | Predicate::Script(_) => false,
        }
    }

    /// True of every event for which this is true with some content of the lists that rules write (`most`), or false
    /// of every event for which this is false with some content.
    pub(super) fn whatever_is_written(&self, most: bool) -> Predicate {
        match self {
            Predicate::All(parts) => Predicate::all(parts.iter().map(|part| part.whatever_is_written(most))),
            Predicate::Any(parts) => Predicate::any(parts.iter().map(|part| part.whatever_is_written(most))),
            Predicate::Not(part) => part.whatever_is_written(!most).negated(),
            Predicate::Field(FieldTest { path, asks: Asks::InWritten(_) }) if most => {
                Predicate::Field(FieldTest { path: path.clone(), asks: Asks::Exists })
            }
            Predicate::Term(TermTest { term, asks: Asks::InWritten(_) }) if most => {
                Predicate::Term(TermTest { term: term.clone(), asks: Asks::Exists })
            }
            Predicate::Field(FieldTest { asks: Asks::InWritten(_), .. })
            | Predicate::Term(TermTest { asks: Asks::InWritten(_), .. }) => Predicate::Constant(false),
            other => other.clone(),
        }
    }
}

/// What one run of `then` added so far.
#[derive(Debug, Clone, Default)]
struct Writes(Arc<Mutex<Vec<Addition>>>);

#[derive(Debug)]
struct Addition {
    list: Arc<str>,
    text: Arc<str>,
    span: Duration,
}

impl WindowScript {
    /// Calls a `then` closure for an alert of this time; gives what it adds to lists, and how many texts were too long
    /// for any.
    ///
    /// # Errors
    /// When the script fails or is stopped at a limit; then it adds nothing.
    pub fn writes(&self, view: &Arc<WindowView>, time: Timestamp) -> Result<(Vec<ListWrite>, u64), ScriptError> {
        let writes = Writes::default();
        self.run(view, Dynamic::from(writes.clone()))?;
        let writes = std::mem::take(&mut *writes.0.lock().unwrap_or_else(PoisonError::into_inner));
        let all = writes.len();
        let kept: Vec<ListWrite> = writes
            .into_iter()
            .filter(|addition| addition.text.len() <= LIST_TEXT_BYTES_MAX)
            .map(|Addition { list, text, span }| ListWrite { list, text, from: time, until: time.plus(span) })
            .collect();
        let left_out = (all - kept.len()) as u64;
        Ok((kept, left_out))
    }
}

pub(super) fn register(engine: &mut Engine) {
    engine.register_fn(
        "list_add",
        |context: NativeCallContext, list: ImmutableString, text: ImmutableString, span: ImmutableString| {
            add(&context, &list, &[text.as_str().into()], &span)
        },
    );
    engine.register_fn(
        "list_add",
        |context: NativeCallContext, list: ImmutableString, field: Field, span: ImmutableString| {
            let mut texts = Vec::new();
            field.any_text(&mut |text| {
                texts.push(text.into());
                texts.len() >= WRITES_MAX
            });
            add(&context, &list, &texts, &span)
        },
    );
}

fn add(context: &NativeCallContext<'_>, list: &str, texts: &[Arc<str>], span: &str) -> Result<(), Box<EvalAltResult>> {
    let error = |reason: String| Box::new(EvalAltResult::ErrorRuntime(reason.into(), Position::NONE));
    let span = duration::parse(span).ok_or_else(|| error(format!("`{span}` is no duration")))?;
    let writes = context.tag().and_then(|tag| tag.clone().try_cast::<Writes>());
    let writes = writes.ok_or_else(|| error("`list_add` is for `then`".to_owned()))?;
    let mut writes = writes.0.lock().unwrap_or_else(PoisonError::into_inner);
    let room = WRITES_MAX.saturating_sub(writes.len());
    // As in a key, an empty text is none.
    let additions = texts.iter().filter(|text| !text.is_empty()).take(room);
    writes.extend(additions.map(|text| Addition { list: list.into(), text: text.clone(), span }));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Event, Fields, Position};

    fn event(json: serde_json::Value) -> Event {
        let crate::event::Value::Object(entries) = crate::event::Value::from_json(&json) else { panic!("an object") };
        let fields: Fields = entries.into_iter().map(|(name, value)| (name.to_string(), value)).collect();
        Event { time: Timestamp(0), position: Position { input: "in".into(), partition: 0, offset: 0 }, fields }
    }

    fn field(path: &str, asks: Asks) -> Predicate {
        Predicate::Field(FieldTest { path: path.into(), asks })
    }

    /// `exists(a) && (in_list(ip, "s") || !in_list(user, "t"))`
    fn predicate() -> Predicate {
        let in_s = field("ip", Asks::InWritten("s".into()));
        let in_t = field("user", Asks::InWritten("t".into()));
        Predicate::All(vec![field("a", Asks::Exists), Predicate::Any(vec![in_s, Predicate::Not(Box::new(in_t))])])
    }

    #[test]
    fn what_is_left_to_ask_has_the_texts_and_no_more() {
        let question = |json| Question::of(&predicate(), &event(json));
        assert_eq!(question(serde_json::json!({"ip": "x", "user": "u"})), Question::Known(false));
        assert_eq!(question(serde_json::json!({"a": 1, "ip": "x"})), Question::Known(true), "no user is in no list");
        let both = question(serde_json::json!({"a": 1, "ip": ["x", "y", "x"], "user": "u"}));
        let answer = |members: &[(&str, &str)]| both.answer(&|list, text| members.contains(&(list, text)));
        assert!(answer(&[]) && answer(&[("s", "y"), ("t", "u")]) && !answer(&[("t", "u"), ("s", "u")]));
    }

    #[test]
    fn detect_passes_on_whatever_some_list_would_make_match() {
        let most = predicate().whatever_is_written(true);
        assert!(!most.asks_written());
        let passes = |json| most.test(&Arc::new(event(json))).unwrap();
        assert!(passes(serde_json::json!({"a": 1, "user": "u"})) && !passes(serde_json::json!({"ip": "x"})));
        let only = field("ip", Asks::InWritten("s".into())).whatever_is_written(true);
        assert!(
            !only.test(&Arc::new(event(serde_json::json!({"a": 1})))).unwrap(),
            "without a value there is no chance"
        );
    }
}
