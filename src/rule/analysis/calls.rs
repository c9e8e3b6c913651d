//! Calls and chains: functions by name, fields by dots, patterns of the window.

use std::sync::Arc;

use rhai::{Expr, FnCallExpr, Position};

use super::{Analysis, Frame, Known, Link, known::below};
use crate::rule::{
    End, SIGNALS_MAX, Statistic,
    diagnostic::{Level, did_you_mean},
    duration,
    enrichment::Lookup,
    entry::listed,
    source::Source,
    text::Network,
    token::as_written,
    vocabulary::{self, FUNCTIONS, Function, Gives, STANDARD},
};

/// Functions of a pattern that take a field's name.
const AGGREGATES: [&str; 9] = ["distinct", "values", "top", "sum", "avg", "min", "max", "stddev", "percentile"];

const PATTERN_WORDS: [&str; 13] =
    ["count", "first", "last", "distinct", "values", "top", "sum", "avg", "min", "max", "stddev", "percentile", "rate"];

/// An argument and where it is written.
type Argument = (Known, Position);

impl<'a> Analysis<'a> {
    pub(super) fn call(&mut self, frame: &mut Frame<'a>, call: &FnCallExpr, position: Position) -> Known {
        if call.is_operator_call() || call.name == "contains" {
            return self.operator(frame, call, position);
        }
        if !call.namespace.is_empty() {
            return self.imported_call(frame, call, position);
        }
        if call.name == "curry" {
            return self.curry(frame, call);
        }
        let arguments: Vec<Argument> =
            call.args.iter().map(|argument| (self.expression(frame, argument), argument.start_position())).collect();
        self.function(frame, call, arguments, position)
    }

    fn curry(&mut self, frame: &mut Frame<'a>, call: &FnCallExpr) -> Known {
        let mut arguments = call.args.iter().map(|argument| self.expression(frame, argument));
        match arguments.next() {
            Some(Known::Closure { name, mut captured }) => {
                captured.extend(arguments);
                Known::Closure { name, captured }
            }
            _ => Known::Unknown,
        }
    }

    fn operator(&mut self, frame: &mut Frame<'a>, call: &FnCallExpr, position: Position) -> Known {
        if call.name == "!" {
            call.args.iter().for_each(|operand| self.condition(frame, operand));
            return Known::Test;
        }
        let operands: Vec<Known> = call.args.iter().map(|operand| self.used(frame, operand)).collect();
        let has_field = operands.iter().any(Known::is_field);
        match call.name.as_str() {
            "contains" => Known::Test,
            "==" | "!=" | "<" | "<=" | ">" | ">=" => {
                if has_field {
                    self.check_comparison(frame, &operands, position);
                }
                self.check_reach(frame, call.name.as_str(), &operands, position);
                Known::Test
            }
            "+" | "-" | "*" | "/" | "%" if has_field => Known::Value,
            _ if has_field => {
                let message = format!("`{}` takes no field", call.name);
                self.problem(frame.source, "operator", position, message, None);
                Known::Unknown
            }
            _ => Known::Unknown,
        }
    }

    /// A threshold above what a window tells apart would never be reached, or always.
    fn check_reach(&mut self, frame: &Frame<'a>, operator: &str, operands: &[Known], position: Position) {
        let (what, threshold, reaches_above) = match operands {
            [Known::Counted(what), Known::Number(Some(threshold))] => (what, threshold, matches!(operator, ">" | "<=")),
            [Known::Number(Some(threshold)), Known::Counted(what)] => (what, threshold, matches!(operator, "<" | ">=")),
            _ => return,
        };
        let most = SIGNALS_MAX as f64;
        if *what == "distinct" && (*threshold > most || reaches_above && *threshold >= most) {
            let message = format!("`distinct` is exact up to {SIGNALS_MAX}, and this asks for more");
            let help = Some(format!("ask for at most {SIGNALS_MAX}"));
            self.problem(frame.source, "out-of-range", position, message, help);
        }
    }

    fn check_comparison(&mut self, frame: &Frame<'a>, operands: &[Known], position: Position) {
        let field = operands.iter().find(|operand| operand.is_field()).map(Known::shown).unwrap_or_default();
        if operands.contains(&Known::Nothing) {
            let help = Some(format!("write `exists({field})` or `!exists({field})`"));
            let message = "every test on `()` is false".to_owned();
            self.problem(frame.source, "nothing", position, message, help);
        }
        if operands.contains(&Known::List) {
            let help = Some(format!("write `{field} in [..]`"));
            let message = "a field is never equal to a list".to_owned();
            self.problem(frame.source, "list", position, message, help);
        }
    }

    fn imported_call(&mut self, frame: &mut Frame<'a>, call: &FnCallExpr, position: Position) -> Known {
        let arguments: Vec<Known> = call.args.iter().map(|argument| self.expression(frame, argument)).collect();
        let alias = call.namespace.root().to_owned();
        let import = frame.source.imports.iter().find(|import| import.alias == alias);
        let Some(library) = import.and_then(|import| self.library.get(&import.path)) else {
            let help = did_you_mean(&alias, frame.source.imports.iter().map(|import| import.alias.as_str()));
            let message = format!("nothing is imported as `{alias}`");
            self.problem(frame.source, "unknown-import", position, message, help);
            return Known::Unknown;
        };
        match library.functions.get(&(call.name.to_string(), arguments.len())) {
            Some(_) => self.enter_function(library, &call.name, arguments),
            None => {
                let names = library.functions.keys().map(|(name, _)| name.as_str());
                let names: Vec<&str> = names.filter(|name| !name.contains('$')).collect();
                let help = did_you_mean(&call.name, names.iter().copied())
                    .or_else(|| Some(format!("it has {}", listed(names.iter().copied()))));
                let message = format!("`{}` has no function `{}` of {} arguments", alias, call.name, arguments.len());
                self.problem(frame.source, "unknown-function", position, message, help);
                Known::Unknown
            }
        }
    }

    /// A call of a function that some file defines.
    fn enter_function(&mut self, source: &'a Source, name: &str, arguments: Vec<Known>) -> Known {
        let key = (name.to_owned(), arguments.len());
        let Some(function) = source.functions.get(&key) else { return Known::Unknown };
        self.functions.insert((source.path.clone(), key.0, key.1), (source, function));
        let results = self.enter(source, function, arguments, 0);
        let mut known: Option<Known> = None;
        for (result, position) in results {
            known = Some(match known {
                None => result,
                Some(before) if before == result => before,
                Some(before) => {
                    self.uses(source, &before, position);
                    self.uses(source, &result, position);
                    if before.is_field() && result.is_field() { Known::Value } else { Known::Unknown }
                }
            });
        }
        known.unwrap_or(Known::Unknown)
    }

    /// A call by a name without namespace; of a method call the first argument is what stands before the dot.
    fn function(
        &mut self,
        frame: &mut Frame<'a>,
        call: &FnCallExpr,
        arguments: Vec<Argument>,
        position: Position,
    ) -> Known {
        let name = call.name.as_str();
        if let ("Fn", [(Known::Text(Some(function)), _)]) = (name, &arguments[..]) {
            return Known::Closure { name: function.clone(), captured: Vec::new() };
        }
        let known: Vec<Known> = arguments.iter().map(|(known, _)| known.clone()).collect();
        if frame.source.functions.contains_key(&(name.to_owned(), known.len())) {
            return self.enter_function(frame.source, name, known);
        }
        if let Some(function) = FUNCTIONS.iter().find(|function| function.name == name) {
            return self.built_in(frame.source, function, &arguments, position);
        }
        for (argument, at) in &arguments {
            self.uses(frame.source, argument, *at);
        }
        if STANDARD.split_whitespace().any(|standard| standard == name) {
            self.call_argument_closures(frame.source, &known);
            return Known::Unknown;
        }
        let own = frame.source.functions.keys().map(|(name, _)| name.as_str()).filter(|name| !name.contains('$'));
        let names: Vec<&str> = FUNCTIONS.iter().map(|function| as_written(function.name)).chain(own).collect();
        let message = match names.contains(&name) {
            true => format!("`{name}` does not take {} arguments", known.len()),
            false => format!("unknown function `{name}`"),
        };
        let candidates = names.into_iter().chain(STANDARD.split_whitespace());
        let help = did_you_mean(name, candidates.filter(|candidate| *candidate != name));
        self.problem(frame.source, "unknown-function", position, message, help);
        Known::Unknown
    }

    /// Closures given to a function: `list.filter(|x| …)`.
    fn call_argument_closures(&mut self, source: &'a Source, arguments: &[Known]) {
        let rest = || arguments.iter().filter(|argument| !matches!(argument, Known::Closure { .. }));
        for argument in arguments {
            if let Known::Closure { name, captured } = argument {
                let given = if matches!(arguments.first(), Some(Known::Closure { .. })) {
                    rest().cloned().collect()
                } else {
                    Vec::new()
                };
                for (result, position) in self.call_closure(source, name, captured.clone(), given) {
                    self.uses(source, &result, position);
                }
            }
        }
    }

    fn built_in(
        &mut self,
        source: &'a Source,
        function: &Function,
        arguments: &[Argument],
        position: Position,
    ) -> Known {
        let name = as_written(function.name);
        if !function.arguments.contains(&arguments.len()) {
            let help = Some(format!("write `{}`", function.usage));
            let message = format!("`{name}` does not take {} arguments", arguments.len());
            self.problem(source, "arguments", position, message, help);
            return Known::Unknown;
        }
        let takes_event = matches!(name, "hour" | "weekday" | "exists");
        for (known, at) in arguments {
            match known {
                Known::Kept(pattern, end, path) if takes_event && path.is_empty() => {
                    self.ends.insert((pattern.clone(), *end, String::new()));
                }
                known if takes_event && known.is_whole() => {}
                known => self.uses(source, known, *at),
            }
        }
        let (first, at) = &arguments[0];
        if matches!(name, "hour" | "weekday")
            && matches!(first, Known::Event(path) | Known::Kept(_, _, path) if !path.is_empty())
        {
            let help = Some(format!("write `{name}(e)`"));
            self.problem(source, "arguments", *at, format!("`{name}` takes the event, not a field"), help);
        }
        self.check_literals(source, name, arguments);
        match function.gives {
            Gives::Value if name == "len" && !first.is_field() => Known::Unknown,
            Gives::Value => Known::Value,
            Gives::Found(lookup) => {
                self.check_database(source, lookup, position);
                Known::Found(lookup)
            }
            Gives::Test => Known::Test,
            Gives::Nothing => Known::Nothing,
        }
    }

    fn check_literals(&mut self, source: &'a Source, name: &str, arguments: &[Argument]) {
        match name {
            "in_list" => return self.check_list(source, &arguments[1]),
            "list_add" => return self.check_write(source, arguments),
            _ => {}
        }
        let texts: Vec<(&str, Position)> = arguments[1..]
            .iter()
            .filter_map(|(known, at)| match known {
                Known::Text(Some(text)) => Some((text.as_str(), *at)),
                _ => None,
            })
            .collect();
        for (text, at) in texts {
            let wrong = match name {
                "matches" => vocabulary::regex(text).err().map(|error| format!("the regex is wrong: {error}")),
                "cidr" if Network::parse(text).is_none() => Some(format!("`{text}` is no network")),
                "hour" | "weekday" if jiff::tz::TimeZone::get(text).is_err() => {
                    Some(format!("`{text}` is no time zone"))
                }
                _ => None,
            };
            if let Some(message) = wrong {
                self.problem(source, "bad-literal", at, message, None);
            }
        }
    }

    /// Without a database there is no answer.
    fn check_database(&mut self, source: &'a Source, lookup: Lookup, position: Position) {
        let reference = self.library.1;
        if reference.enrichment.has(lookup) {
            return;
        }
        let name = lookup.name();
        let message = format!("there is no database for `{name}`: what it gives is missing");
        let help = Some(format!("set `{name} = \"….mmdb\"` under [enrichment] in the configuration"));
        let level = if reference.is_configured { Level::Error } else { Level::Warning };
        self.finding(source, level, "no-database", position, message, help);
    }

    /// The name of a list is written out: what a rule looks at is known before it runs.
    fn check_list(&mut self, source: &'a Source, (name, at): &Argument) {
        let Known::Text(Some(name)) = name else {
            let message = "the name of a list is needed here, written out".to_owned();
            return self.problem(source, "computed-name", *at, message, Some("write `in_list(e.a, \"name\")`".into()));
        };
        let lists = &self.library.1.lists;
        if self.library.1.written.contains(name) {
            self.written_reads.entry(name.clone()).or_insert(*at);
        } else if lists.get(name).is_none() {
            let (message, help) = lists.unknown(name);
            self.problem(source, "unknown-list", *at, message, Some(help));
        }
    }

    fn check_write(&mut self, source: &'a Source, arguments: &[Argument]) {
        let [(name, at), (text, text_at), (span, span_at)] = arguments else { return };
        let usage = || Some("write `then: |w| list_add(\"suspects\", w.key[0], \"24h\")`".to_owned());
        if !self.may_write {
            self.problem(source, "wrong-place", *at, "only `then` adds to lists".to_owned(), usage());
        }
        match name {
            Known::Text(Some(name)) if self.library.1.lists.get(name).is_some() => {
                let message = format!("the list `{name}` is a file: rules can't add to it");
                self.problem(source, "list-of-file", *at, message, Some("give the list another name".to_owned()));
            }
            Known::Text(Some(name)) if self.library.1.written.contains(name) => {}
            _ => {
                let message = "the name of a list is needed here, written out".to_owned();
                self.problem(source, "computed-name", *at, message, usage());
            }
        }
        if matches!(text, Known::Number(_) | Known::List | Known::Map | Known::Test | Known::Nothing) {
            let message = "a list takes texts and fields".to_owned();
            self.problem(source, "wrong-type", *text_at, message, usage());
        }
        let is_span = |span: &str| duration::parse(span).is_some_and(|span| !span.is_zero());
        if !matches!(span, Known::Text(Some(span)) if is_span(span)) {
            let message = "how long the entry stays is needed here, written out".to_owned();
            self.problem(source, "bad-duration", *span_at, message, usage());
        }
    }

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
                    (_, Known::Kept(..) | Known::Window | Known::Pattern(_)) => {
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
            Known::Pattern(pattern) => match name {
                "count" => Known::Counted("count"),
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
            _ => {}
        }
        if let Some(pattern) = self.patterns.iter().find(|pattern| &***pattern == name).cloned() {
            self.mentioned.insert(pattern.clone());
            return Known::Pattern(pattern);
        }
        let names = || self.patterns.iter().map(|pattern| &**pattern).chain(["key", "start", "end"]);
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
            self.kept_reads.insert((pattern.clone(), field.clone()));
            let aggregate = (pattern.clone(), statistic, field);
            if !self.aggregates.contains(&aggregate) {
                self.aggregates.push(aggregate);
            }
        }
        match name {
            "distinct" => Known::Counted("distinct"),
            "values" => Known::List,
            _ => Known::Value,
        }
    }

    /// The share that `percentile` asks for.
    fn percent(&mut self, source: &'a Source, (known, at): &Argument) -> Option<f64> {
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
