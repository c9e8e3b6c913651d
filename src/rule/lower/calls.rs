//! Calls: functions of the file and of its imports are followed, those of the language become tests and terms.

use rhai::{Dynamic, Expr, FnCallExpr, ImmutableString, Position};

use super::{
    Bound, Frame, Goal, Lowering, Predicate, Result, Source, Why,
    operators::{contains, test_of},
};
use crate::rule::{
    enrichment::{Lookup, Thing},
    field_test::{Asks, Pattern},
    predicate::EVERYWHERE,
    reference::Reference,
    term::{Term, TextFunction, TimePart, Zone},
    text::{Network, TextTest},
    token::as_written,
};

impl<'a> Lowering<'a> {
    pub(super) fn call(
        &mut self,
        frame: &mut Frame<'a>,
        call: &FnCallExpr,
        position: Position,
        goal: Goal,
    ) -> Result<Bound> {
        let name = call.name.as_str();
        if call.is_operator_call() || name == "contains" {
            return self.operator(frame, call, position, goal);
        }
        let source = match call.namespace.is_empty() {
            true => frame.source,
            false => {
                let alias = call.namespace.to_string();
                let import = frame.source.imports.iter().find(|import| import.alias == alias);
                let library = import.and_then(|import| self.beside.get(&import.path));
                library.ok_or_else(|| Why::new(position, format!("`{alias}::{name}`")))?
            }
        };
        if source.functions.contains_key(&(name.to_owned(), call.args.len())) {
            return self.inline(frame, source, call, position, goal);
        }
        let elsewhere = !frame.is_own && self.root.functions.keys().any(|(own, _)| own == name);
        if !call.namespace.is_empty() || elsewhere {
            return Err(Why::new(position, format!("`{name}`")));
        }
        let arguments = self.values(frame, &call.args)?;
        self.built_in(name, arguments, position)
    }

    /// `base.name(…)`
    pub(super) fn method(
        &mut self,
        frame: &mut Frame<'a>,
        base: Bound,
        call: &FnCallExpr,
        position: Position,
    ) -> Result<Bound> {
        let name = call.name.as_str();
        let has = |source: &Source| source.functions.keys().any(|(own, _)| own == name);
        if has(frame.source) || has(self.root) {
            return Err(Why::new(position, format!("`{}` as a method", as_written(name))));
        }
        let mut arguments = self.values(frame, &call.args)?;
        arguments.insert(0, base);
        self.built_in(name, arguments, position)
    }

    fn values(&mut self, frame: &mut Frame<'a>, expressions: &[Expr]) -> Result<Vec<Bound>> {
        expressions.iter().map(|expression| self.value(frame, expression)).collect()
    }

    fn inline(
        &mut self,
        frame: &mut Frame<'a>,
        source: &'a Source,
        call: &FnCallExpr,
        position: Position,
        goal: Goal,
    ) -> Result<Bound> {
        let Some(function) = source.functions.get(&(call.name.to_string(), call.args.len())) else {
            return Err(Why::new(position, format!("`{}`", call.name)));
        };
        let arguments = self.values(frame, &call.args)?;
        let here = |why: Why| match std::ptr::eq(source, frame.source) {
            true => why,
            false => Why::new(position, format!("{} in `{}` of {}", why.what, call.name, source.path.display())),
        };
        let mut inner = self.frame(source, function, arguments, frame.depth + 1).map_err(here)?;
        self.block(&mut inner, &function.body, goal.at_tail()).map_err(here)
    }

    fn built_in(&mut self, name: &str, arguments: Vec<Bound>, position: Position) -> Result<Bound> {
        self.each_choice(arguments, position, &|lowering, arguments| {
            let reference = lowering.beside.reference;
            function(reference, name, &arguments).ok_or_else(|| Why::new(position, format!("`{}`", as_written(name))))
        })
    }

    /// Does it for each value that arguments may have: a test is true or false.
    pub(super) fn each_choice(
        &mut self,
        mut arguments: Vec<Bound>,
        position: Position,
        of: &dyn Fn(&Self, Vec<Bound>) -> Result<Bound>,
    ) -> Result<Bound> {
        self.take(arguments.iter().map(Bound::size).sum(), position)?;
        let is_choice = |bound: &Bound| matches!(bound, Bound::Choice(..) | Bound::Test(_));
        let Some(at) = arguments.iter().position(is_choice) else { return of(self, arguments) };
        let (when, then, otherwise) = match std::mem::replace(&mut arguments[at], Bound::Event) {
            Bound::Choice(when, then, otherwise) => (*when, *then, *otherwise),
            Bound::Test(test) => (test, Bound::Constant(true.into()), Bound::Constant(false.into())),
            other => (Predicate::Constant(true), other.clone(), other),
        };
        let mut with = |value: Bound| {
            let mut arguments = arguments.clone();
            arguments[at] = value;
            self.each_choice(arguments, position, of)
        };
        let (then, otherwise) = (with(then)?, with(otherwise)?);
        self.choose(when, then, otherwise, position)
    }
}

/// A function of the language; `None` where scripts have to answer, or to fail.
fn function(reference: &Reference, name: &str, arguments: &[Bound]) -> Option<Bound> {
    if let Some((_, test, ignore_case)) = TextTest::NAMED.iter().find(|(known, ..)| *known == name) {
        return text_test(*test, *ignore_case, arguments);
    }
    if let ("matches", [Bound::Event, pattern]) = (name, arguments) {
        return Some(test_of(everywhere(), Asks::Matches(Pattern::new(&text_of(pattern)?).ok()?)));
    }
    if let [Bound::Term(term)] = arguments
        && let Some((_, function)) = TextFunction::NAMED.iter().find(|(known, _)| *known == name)
    {
        return Some(Bound::Term(Term::Text(*function, Box::new(term.clone()))));
    }
    if let Some((_, part)) = TimePart::NAMED.iter().find(|(known, _)| *known == name) {
        let zone = match arguments {
            [Bound::Event] => Zone::utc(),
            [Bound::Event, zone] => Zone::named(&text_of(zone)?)?,
            _ => return None,
        };
        return Some(Bound::Term(Term::Time(*part, zone)));
    }
    if let (Some(lookup), [Bound::Term(term)]) = (Lookup::named(name), arguments) {
        let directory = reference.enrichment.directory(lookup);
        return Some(Bound::Term(Term::Found(directory, Thing::Itself, Box::new(term.clone()))));
    }
    match (name, arguments) {
        // a record may be there that stands for nothing by itself
        ("exists", [Bound::Term(Term::Found(directory, Thing::Itself, of))]) => {
            Some(test_of(Term::Found(directory.clone(), Thing::Presence, of.clone()), Asks::Exists))
        }
        ("exists", [Bound::Event]) => Some(Bound::Test(Predicate::Constant(true))),
        ("exists", [Bound::Term(term)]) => Some(test_of(term.clone(), Asks::Exists)),
        ("len", [Bound::Term(term)]) => Some(Bound::Term(Term::Len(Box::new(term.clone())))),
        ("edit_distance", [Bound::Term(term), other]) => {
            let other = match other {
                Bound::Term(other) => other.clone(),
                other => known_text(&text_of(other)?),
            };
            Some(Bound::Term(Term::EditDistance(Box::new(term.clone()), Box::new(other))))
        }
        ("matches", [Bound::Term(term), pattern]) => {
            Some(test_of(term.clone(), Asks::Matches(Pattern::new(&text_of(pattern)?).ok()?)))
        }
        ("in_list", [Bound::Term(term), name]) => Some(test_of(term.clone(), reference.in_list(&text_of(name)?)?)),
        ("cidr", [Bound::Term(term), networks @ ..]) => {
            let list = match networks {
                [Bound::Constant(list)] if list.is_array() => list.read_lock::<rhai::Array>().as_deref()?.clone(),
                networks => {
                    networks.iter().map(|network| text_of(network).map(Dynamic::from)).collect::<Option<_>>()?
                }
            };
            let parse = |network: &Dynamic| Network::parse(network.read_lock::<ImmutableString>().as_deref()?);
            let mut networks = list.iter().map(parse).collect::<Option<Vec<_>>>()?;
            networks.sort();
            networks.dedup();
            Some(test_of(term.clone(), Asks::Cidr(networks.into())))
        }
        _ => None,
    }
}

fn text_test(test: TextTest, ignore_case: bool, arguments: &[Bound]) -> Option<Bound> {
    match arguments {
        [Bound::Event, wanted] => Some(test_of(everywhere(), Asks::text(test, ignore_case, &text_of(wanted)?))),
        [Bound::Term(term), Bound::Term(other)] => {
            Some(test_of(term.clone(), Asks::TextWith { test, ignore_case, other: other.clone() }))
        }
        [Bound::Term(term), wanted] => Some(test_of(term.clone(), Asks::text(test, ignore_case, &text_of(wanted)?))),
        [list, item] if test == TextTest::Contains && !ignore_case && is_list(list) => contains(list, item),
        [text, Bound::Term(other)] => {
            let asks = Asks::TextWith { test, ignore_case, other: other.clone() };
            Some(test_of(known_text(&text_of(text)?), asks))
        }
        _ => None,
    }
}

/// What an event is asked as a whole: every value in it.
fn everywhere() -> Term {
    Term::Field(EVERYWHERE.into())
}

fn is_list(bound: &Bound) -> bool {
    matches!(bound, Bound::List(_)) || matches!(bound, Bound::Constant(value) if value.is_array())
}

pub(super) fn known_text(text: &str) -> Term {
    Term::Known(Some(crate::event::Value::text(text)))
}

pub(super) fn text_of(bound: &Bound) -> Option<ImmutableString> {
    match bound {
        Bound::Constant(value) => value.read_lock::<ImmutableString>().map(|text| text.clone()),
        _ => None,
    }
}
