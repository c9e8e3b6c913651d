//! Calls: operators, functions by name, closures as arguments.

use rhai::{FnCallExpr, Position};

use super::{Analysis, Frame, Known};
use crate::rule::{
    SIGNALS_MAX,
    compare::Comparison,
    diagnostic::{Level, did_you_mean},
    duration,
    enrichment::Lookup,
    entry::listed,
    source::Source,
    text::{Network, TextTest},
    token::as_written,
    vocabulary::{self, FUNCTIONS, Function, Gives, STANDARD},
    window_test::Counted,
};

/// An argument and where it is written.
pub(super) type Argument = (Known, Position);

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
        let Some((_, comparison)) = Comparison::ALL.iter().find(|(name, _)| *name == operator) else { return };
        let (counted, threshold, comparison) = match operands {
            [Known::Counted(counted), Known::Number(Some(threshold))] => (*counted, threshold, *comparison),
            [Known::Number(Some(threshold)), Known::Counted(counted)] => (*counted, threshold, comparison.swapped()),
            _ => return,
        };
        if counted.is_out_of_reach(self.slides, comparison, *threshold) {
            let (what, of, help) = match counted {
                Counted::Events => ("count", " with `within`", ", or count by `every`"),
                Counted::Distinct => ("distinct", "", ""),
            };
            let message = format!("`{what}` is exact up to {SIGNALS_MAX}{of}, and this asks for more");
            let help = Some(format!("ask for at most {SIGNALS_MAX}{help}"));
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
        let Some(library) = import.and_then(|import| self.beside.get(&import.path)) else {
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
    pub(super) fn function(
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
        // An event is asked for a text as a whole: all of its values.
        let asks_event = name == "matches" || TextTest::NAMED.iter().any(|(test, ..)| *test == function.name);
        for (number, (known, at)) in arguments.iter().enumerate() {
            match known {
                Known::Event(path) if asks_event && number == 0 && path.is_empty() => {
                    // Where text without fields of its own is: an alert shows it.
                    self.event_reads.insert("message".to_owned());
                }
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
        let reference = self.beside.reference;
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
        let lists = &self.beside.reference.lists;
        if self.beside.reference.written.contains(name) {
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
            Known::Text(Some(name)) if self.beside.reference.lists.get(name).is_some() => {
                let message = format!("the list `{name}` is a file: rules can't add to it");
                self.problem(source, "list-of-file", *at, message, Some("give the list another name".to_owned()));
            }
            Known::Text(Some(name)) if self.beside.reference.written.contains(name) => {}
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
}
