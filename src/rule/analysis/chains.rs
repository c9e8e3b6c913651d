//! Chains: what stands after a dot or in brackets, down to the aggregates of a window's patterns.

use std::sync::Arc;

use rhai::{Expr, FnCallExpr, Position};

use super::{Analysis, Frame, Known, Link, calls::Argument, known::below};
use crate::rule::{
    ALL, End, Statistic, aggregate::WINDOW_WORDS, diagnostic::did_you_mean, duration, entry::listed, source::Source,
    token::as_written, window_test::Counted,
};

/// Functions of a pattern that take a field's name.
const AGGREGATES: [&str; 10] =
    ["distinct", "values", "top", "sum", "avg", "min", "max", "stddev", "percentile", "share"];

const PATTERN_WORDS: [&str; 14] = [
    "count",
    "first",
    "last",
    "distinct",
    "values",
    "top",
    "sum",
    "avg",
    "min",
    "max",
    "stddev",
    "percentile",
    "share",
    "rate",
];

impl<'a> Analysis<'a> {
    pub(super) fn link(&mut self, frame: &mut Frame<'a>, base: Known, part: &Expr, link: Link) -> Known {
        match (part, link) {
            (Expr::Property(property, position), Link::Dot) => {
                self.property(frame.source, base, as_written(&property.2), *position)
            }
            (Expr::MethodCall(call, position), Link::Dot) => self.method(frame, base, call, *position),
            (index, Link::Index) => {
                let at = index.start_position();
                match (self.used(frame, index), &base) {
                    (Known::Text(Some(name)), _) => self.property(frame.source, base, &name, at),
                    (_, Known::Kept(..) | Known::Window | Known::Pattern(_) | Known::All) => {
                        let message =
                            "a name is needed here, written out: the engine keeps what it sees named".to_owned();
                        self.problem(frame.source, "computed-name", at, message, None);
                        Known::Value
                    }
                    (Known::Number(_), Known::Event(_)) => {
                        let help = Some("a test asks every element of an array by itself".to_owned());
                        let message = "a field has no elements by number".to_owned();
                        self.problem(frame.source, "index", at, message, help);
                        Known::Value
                    }
                    (_, Known::Event(_)) => {
                        self.uses(frame.source, &base, Position::NONE);
                        Known::Value
                    }
                    _ => Known::Unknown,
                }
            }
            _ => Known::Unknown,
        }
    }

    fn property(&mut self, source: &'a Source, base: Known, name: &str, position: Position) -> Known {
        match base {
            Known::Event(path) => Known::Event(below(&path, name)),
            Known::Kept(pattern, end, path) => Known::Kept(pattern, end, below(&path, name)),
            Known::Window => self.window_property(source, name, position),
            Known::All => self.property_of_all(source, name, position),
            Known::Pattern(pattern) => match name {
                "count" => Known::Counted(Counted::Events),
                "first" => Known::Kept(pattern, End::First, String::new()),
                "last" => Known::Kept(pattern, End::Last, String::new()),
                name => {
                    let message = format!("a pattern has no `{name}`");
                    let help = match PATTERN_WORDS.contains(&name) {
                        true => Some(format!("call it: `w.{pattern}.{name}(\"user.name\")`")),
                        false => did_you_mean(name, PATTERN_WORDS).or_else(|| {
                            Some(format!("fields are below `.first` and `.last`: `w.{pattern}.last.{name}`"))
                        }),
                    };
                    self.problem(source, "unknown-property", position, message, help);
                    Known::Unknown
                }
            },
            Known::Found(lookup) if lookup.members().contains(&name) => Known::Value,
            Known::Found(lookup) => {
                let message = format!("`{}` knows no `{name}`", lookup.name());
                let members = || lookup.members().iter().copied();
                let help = did_you_mean(name, members()).or_else(|| Some(format!("it knows {}", listed(members()))));
                self.problem(source, "unknown-property", position, message, help);
                Known::Value
            }
            Known::Value => {
                self.problem(source, "unknown-property", position, format!("a result has no `{name}`"), None);
                Known::Unknown
            }
            _ => Known::Unknown,
        }
    }

    fn window_property(&mut self, source: &'a Source, name: &str, position: Position) -> Known {
        match name {
            "key" => return Known::List,
            "start" | "end" => return Known::Text(None),
            ALL | "occurring" => {
                self.mentioned.extend(self.patterns.iter().cloned());
                return if name == ALL { Known::All } else { Known::Number(None) };
            }
            _ => {}
        }
        if let Some(pattern) = self.patterns.iter().find(|pattern| &***pattern == name).cloned() {
            self.mentioned.insert(pattern.clone());
            return Known::Pattern(pattern);
        }
        let names = || self.patterns.iter().map(|pattern| &**pattern).chain(WINDOW_WORDS);
        let help = did_you_mean(name, names()).or_else(|| Some(format!("it has {}", listed(names()))));
        self.problem(source, "unknown-pattern", position, format!("the window has no pattern `{name}`"), help);
        Known::Unknown
    }

    fn method(&mut self, frame: &mut Frame<'a>, base: Known, call: &FnCallExpr, position: Position) -> Known {
        let mut arguments: Vec<Argument> =
            call.args.iter().map(|argument| (self.expression(frame, argument), argument.start_position())).collect();
        if let Known::Pattern(pattern) = &base {
            return self.aggregate(frame.source, pattern, call.name.as_str(), &arguments, position);
        }
        if base == Known::All {
            return self.aggregate_of_all(frame, call, &arguments, position);
        }
        if let (Known::Closure { name, captured }, "call") = (&base, call.name.as_str()) {
            let arguments = arguments.into_iter().map(|(known, _)| known).collect();
            let mut results = self.call_closure(frame.source, name, captured.clone(), arguments);
            return if results.len() == 1 { results.remove(0).0 } else { Known::Unknown };
        }
        arguments.insert(0, (base, position));
        self.function(frame, call, arguments, position)
    }

    fn aggregate(
        &mut self,
        source: &'a Source,
        pattern: &Arc<str>,
        name: &str,
        arguments: &[Argument],
        position: Position,
    ) -> Known {
        let wanted = 1 + usize::from(name == "percentile");
        if !AGGREGATES.contains(&name) && name != "rate" {
            let help = match PATTERN_WORDS.contains(&name) {
                true => Some(format!("without brackets: `w.{pattern}.{name}`")),
                false => did_you_mean(name, PATTERN_WORDS)
                    .or_else(|| Some(format!("it has {}", listed(PATTERN_WORDS.into_iter())))),
            };
            self.problem(source, "unknown-function", position, format!("a pattern has no function `{name}`"), help);
            return Known::Unknown;
        }
        if arguments.len() != wanted {
            let message = format!("`{name}` takes {wanted} argument(s), not {}", arguments.len());
            let help =
                Some(format!("write `w.{pattern}.{name}(\"user.name\"{})`", if wanted == 2 { ", 95" } else { "" }));
            self.problem(source, "arguments", position, message, help);
            return Known::Unknown;
        }
        let percent = arguments.get(1).map(|percent| self.percent(source, percent));
        if let Some(field) = self.aggregate_argument(source, pattern, name, &arguments[0])
            && let Some(statistic) = Statistic::named(name, percent.flatten())
        {
            self.check_share(source, statistic, position);
            self.kept_reads.insert((pattern.clone(), field.clone()));
            let aggregate = (pattern.clone(), statistic, field);
            if !self.aggregates.contains(&aggregate) {
                self.aggregates.push(aggregate);
            }
        }
        match name {
            "distinct" => Known::Counted(Counted::Distinct),
            "values" => Known::List,
            _ => Known::Value,
        }
    }

    /// The share that `percentile` asks for.
    pub(super) fn percent(&mut self, source: &'a Source, (known, at): &Argument) -> Option<f64> {
        let help = || Some("write `percentile(\"bytes\", 95)`".to_owned());
        match known {
            Known::Number(Some(percent)) if (0.0..=100.0).contains(percent) => return Some(*percent),
            Known::Number(Some(percent)) => {
                let message = format!("{percent} percent is not from 0 to 100");
                self.problem(source, "out-of-range", *at, message, help());
            }
            known => {
                self.uses(source, known, Position::NONE);
                let message = "a number is needed here, written out: the engine keeps what it sees named".to_owned();
                self.problem(source, "computed-name", *at, message, help());
            }
        }
        None
    }

    /// The field of an aggregate; `rate` has none.
    fn aggregate_argument(
        &mut self,
        source: &'a Source,
        pattern: &Arc<str>,
        name: &str,
        (known, at): &Argument,
    ) -> Option<String> {
        match known {
            Known::Text(Some(text)) if name == "rate" => {
                if duration::parse(text).is_none_or(|span| span.is_zero()) {
                    self.problem(source, "bad-duration", *at, format!("`{text}` is no duration"), None);
                }
            }
            Known::Text(Some(path)) => return Some(path.clone()),
            known if name == "rate" => self.uses(source, known, *at),
            known => {
                self.uses(source, known, Position::NONE);
                let help = Some(format!("write `w.{pattern}.{name}(\"user.name\")`"));
                let message =
                    "a field's name is needed here, written out: the engine keeps what it sees named".to_owned();
                self.problem(source, "computed-name", *at, message, help);
            }
        }
        None
    }
}
