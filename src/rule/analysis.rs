//! What a closure reads and calls, and what is wrong in it: found on its syntax tree, through every function that it
//! calls, before anything runs.
//!
//! It follows values: `let p = e.process; p.name` reads `process.name`. Where it loses sight of one it takes all
//! that the value could lead to: the field `process` with everything below it.

mod calls;
mod chains;
mod known;
mod statements;
mod together;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
};

use rhai::{ASTFlags, Expr, FnPtr, Position, Stmt};

pub(super) use known::Known;

use super::{
    End, Statistic, Together,
    diagnostic::{Diagnostic, Level},
    reference::Reference,
    source::{Function, Source},
};

/// Expressions looked at for one closure; more than any person writes.
const STEPS_MAX: usize = 200_000;

/// What a closure has to give.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    Test,
    Map,
    Number,
    /// Whatever it gives: it is called for what it adds to lists.
    Writes,
}

/// What stands beside a rule for its closures to name.
pub(super) struct Beside<'a> {
    /// Files that can be imported.
    pub(super) sources: &'a BTreeMap<PathBuf, Source>,
    /// What can be looked up.
    pub(super) reference: &'a Reference,
}

impl<'a> Beside<'a> {
    pub(super) fn get(&self, import: &str) -> Option<&'a Source> {
        self.sources.get(Path::new(import)).or_else(|| self.sources.get(Path::new(&format!("{import}.rhai"))))
    }
}

/// The findings of one closure.
pub(super) struct Analysis<'a> {
    beside: &'a Beside<'a>,
    patterns: &'a [Arc<str>],
    run_depth: usize,
    /// Paths of the event that are read.
    pub(super) event_reads: BTreeSet<String>,
    /// Paths that are read of a pattern's signals.
    pub(super) kept_reads: BTreeSet<(Arc<str>, String)>,
    /// Paths that are read of a pattern's first or last signal; the empty path for its time.
    pub(super) ends: BTreeSet<(Arc<str>, End, String)>,
    /// Aggregates that are asked for, with their fields.
    pub(super) aggregates: Vec<(Arc<str>, Statistic, String)>,
    /// What is asked of the events of all patterns together.
    pub(super) together: Option<Together>,
    /// Patterns that are looked at in any way.
    pub(super) mentioned: BTreeSet<Arc<str>>,
    /// Lists of other rules that are asked, and where first.
    pub(super) written_reads: BTreeMap<String, Position>,
    /// Signals leave the windows that are asked about one by one, so counts are of what is kept.
    pub(super) slides: bool,
    /// It is asked what the closure adds to lists.
    may_write: bool,
    /// Functions that are called, by file, name and number of parameters.
    pub(super) functions: BTreeMap<(Arc<Path>, String, usize), (&'a Source, &'a Function)>,
    pub(super) found: Vec<Diagnostic>,
    active: Vec<(Arc<Path>, String)>,
    steps: usize,
}

/// One call of a function or closure.
struct Frame<'a> {
    source: &'a Source,
    variables: Vec<(String, Known)>,
    /// Names of what the closure captured.
    captured: Vec<String>,
    results: Vec<(Known, Position)>,
    depth: usize,
}

impl<'a> Analysis<'a> {
    pub(super) fn new(beside: &'a Beside<'a>, patterns: &'a [Arc<str>], run_depth: usize) -> Self {
        Analysis {
            beside,
            patterns,
            run_depth,
            event_reads: BTreeSet::new(),
            kept_reads: BTreeSet::new(),
            ends: BTreeSet::new(),
            aggregates: Vec::new(),
            together: None,
            mentioned: BTreeSet::new(),
            written_reads: BTreeMap::new(),
            slides: false,
            may_write: false,
            functions: BTreeMap::new(),
            found: Vec::new(),
            active: Vec::new(),
            steps: 0,
        }
    }

    /// Looks at a closure of `source` that is called with one argument.
    pub(super) fn closure(&mut self, source: &'a Source, closure: &FnPtr, argument: Known, wanted: Wanted) {
        let Known::Closure { name, captured } = Known::of_closure(closure) else { return };
        self.may_write = wanted == Wanted::Writes;
        for (result, position) in self.call_closure(source, &name, captured, vec![argument]) {
            match wanted {
                Wanted::Test => self.must_be_test(source, &result, position),
                Wanted::Map => {
                    self.uses(source, &result, position);
                    self.must_be_map(source, &result, position);
                }
                Wanted::Number => {
                    self.uses(source, &result, position);
                    self.must_be_number(source, &result, position);
                }
                Wanted::Writes => self.uses(source, &result, Position::NONE),
            }
        }
    }

    /// What the closure gives back, and where.
    fn call_closure(
        &mut self,
        source: &'a Source,
        name: &str,
        captured: Vec<Known>,
        mut arguments: Vec<Known>,
    ) -> Vec<(Known, Position)> {
        let bound = captured.len();
        let wanted = bound + arguments.len();
        let Some(function) = source.function(name, wanted) else { return Vec::new() };
        let mut all = captured;
        all.append(&mut arguments);
        all.resize(function.parameters.len(), Known::Unknown);
        self.enter(source, function, all, bound)
    }

    /// Looks at a body with these arguments, the first `bound` of them captured.
    fn enter(
        &mut self,
        source: &'a Source,
        function: &'a Function,
        arguments: Vec<Known>,
        bound: usize,
    ) -> Vec<(Known, Position)> {
        let key = (source.path.clone(), function.name.clone());
        if self.active.contains(&key) {
            for argument in &arguments {
                self.uses(source, argument, Position::NONE);
            }
            return Vec::new();
        }
        self.active.push(key);
        let names = function.parameters.iter().cloned();
        let mut frame = Frame {
            source,
            captured: names.clone().take(bound).collect(),
            variables: names.zip(arguments).collect(),
            results: Vec::new(),
            depth: 0,
        };
        let last = self.block(&mut frame, &function.body);
        let position = function.body.last().map_or(function.start, Stmt::position);
        frame.results.push((last, position));
        self.active.pop();
        frame.results
    }

    fn problem(&mut self, source: &Source, code: &'static str, at: Position, message: String, help: Option<String>) {
        self.finding(source, Level::Error, code, at, message, help);
    }

    fn finding(
        &mut self,
        source: &Source,
        level: Level,
        code: &'static str,
        at: Position,
        message: String,
        help: Option<String>,
    ) {
        let diagnostic = Diagnostic { help, ..source.diagnostic(level, code, at, message) };
        if !self.found.contains(&diagnostic) {
            self.found.push(diagnostic);
        }
    }

    /// Makes the last finding as long as the expression, where it is written so.
    fn stretch_over(&mut self, shown: &str) {
        if let Some(last) = self.found.last_mut() {
            let rest: String = last.source.chars().skip(last.place.column - 1).collect();
            if rest.starts_with(shown) {
                last.length = shown.chars().count();
            }
        }
    }

    /// The value goes where it can't be followed: all that it leads to is read.
    fn uses(&mut self, source: &Source, known: &Known, position: Position) {
        match known {
            Known::Event(path) if !path.is_empty() => {
                self.event_reads.insert(path.clone());
            }
            Known::Kept(pattern, end, path) if !path.is_empty() => {
                self.kept_reads.insert((pattern.clone(), path.clone()));
                self.ends.insert((pattern.clone(), *end, path.clone()));
            }
            Known::Window | Known::Pattern(_) | Known::All => self.lost(source, known, position),
            Known::Closure { captured, .. } => {
                captured.iter().for_each(|captured| self.uses(source, captured, Position::NONE));
            }
            whole if whole.is_whole() && !position.is_none() => {
                let message = format!("`{}` is a whole event: name a field of it", whole.shown());
                let help = Some(format!("write `{}.user.name`, for example", whole.shown()));
                self.problem(source, "whole-event", position, message, help);
                self.stretch_over(&whole.shown());
            }
            _ => {}
        }
    }

    /// The window, or a pattern of it, goes where it can't be seen what is asked of it.
    fn lost(&mut self, source: &Source, known: &Known, position: Position) {
        let (what, help) = match known {
            Known::Pattern(pattern) => (
                format!("the pattern `{pattern}`"),
                format!("name what you need of it: `w.{pattern}.count`, `w.{pattern}.last.user.name`"),
            ),
            Known::All => ("`w.all`".to_owned(), "name what you need of it: `w.all.count`".to_owned()),
            _ => ("the window".to_owned(), "name what you need of it: `w.key`, `w.start`, a pattern".to_owned()),
        };
        let message = format!("{what} goes where it can't be followed: the engine keeps what it sees named");
        self.problem(source, "computed-name", position, message, Some(help));
    }

    fn must_be_test(&mut self, source: &Source, known: &Known, position: Position) {
        let Some(what) = known.no_test() else { return };
        let help = known.is_field().then(|| match known {
            Known::Value => "compare it with something: `… == true`".to_owned(),
            field => format!("write `{} == true`", field.shown()),
        });
        let message = format!("{what} stands where a test belongs");
        self.problem(source, "no-test", position, message, help);
        self.stretch_over(&known.shown());
    }

    fn must_be_map(&mut self, source: &Source, known: &Known, position: Position) {
        if let Some(what) = known.no_test().filter(|_| !matches!(known, Known::Map)) {
            let help = Some("write `alert: |w| #{ title: `…` }`".to_owned());
            self.problem(source, "no-map", position, format!("{what} stands where a map belongs"), help);
        }
    }

    fn must_be_number(&mut self, source: &Source, known: &Known, position: Position) {
        let is_number = matches!(known, Known::Number(_) | Known::Counted(_) | Known::Unknown) || known.is_field();
        if !is_number {
            let help = Some("write `value: |w| w.event.count`, for example".to_owned());
            self.problem(source, "no-number", position, "no number stands where one belongs".to_owned(), help);
        }
    }

    /// An expression whose value goes where it can't be followed.
    fn used(&mut self, frame: &mut Frame<'a>, expression: &Expr) -> Known {
        let known = self.expression(frame, expression);
        self.uses(frame.source, &known, expression.start_position());
        known
    }

    fn expression(&mut self, frame: &mut Frame<'a>, expression: &Expr) -> Known {
        self.deeper(frame, expression.start_position(), |analysis, frame| analysis.known(frame, expression))
    }

    /// Looks at what stands one level deeper, as far as scripts may nest.
    fn deeper(
        &mut self,
        frame: &mut Frame<'a>,
        position: Position,
        look: impl FnOnce(&mut Self, &mut Frame<'a>) -> Known,
    ) -> Known {
        self.steps += 1;
        if self.steps <= STEPS_MAX && frame.depth < self.run_depth {
            frame.depth += 1;
            let known = look(self, frame);
            frame.depth -= 1;
            return known;
        }
        if !self.found.iter().any(|finding| finding.code == "too-deep") {
            let message = match self.steps > STEPS_MAX {
                true => "the closure is too large to check".to_owned(),
                false => format!("expressions nest deeper than {}", self.run_depth),
            };
            self.problem(frame.source, "too-deep", position, message, Some("split it into functions".to_owned()));
        }
        Known::Unknown
    }

    fn known(&mut self, frame: &mut Frame<'a>, expression: &Expr) -> Known {
        match expression {
            Expr::BoolConstant(..) => Known::Test,
            Expr::IntegerConstant(value, _) => Known::Number(Some(*value as f64)),
            Expr::FloatConstant(value, _) => Known::Number(Some(**value)),
            Expr::CharConstant(char, _) => Known::Text(Some(char.to_string())),
            Expr::StringConstant(text, _) => Known::Text(Some(text.to_string())),
            Expr::Unit(_) => Known::Nothing,
            Expr::DynamicConstant(value, _) => Known::of_captured(value),
            Expr::InterpolatedString(parts, _) => {
                parts.iter().for_each(|part| {
                    self.used(frame, part);
                });
                Known::Text(None)
            }
            Expr::Array(items, _) => {
                items.iter().for_each(|item| {
                    self.used(frame, item);
                });
                Known::List
            }
            Expr::Map(map, _) => {
                map.0.iter().for_each(|(_, value)| {
                    self.used(frame, value);
                });
                Known::Map
            }
            Expr::Variable(variable, _, _) => {
                let name = variable.1.as_str();
                let known = frame.variables.iter().rev().find(|(known, _)| known == name).map(|(_, known)| known);
                if variable.2.is_empty() { known.cloned().unwrap_or(Known::Unknown) } else { Known::Unknown }
            }
            Expr::Stmt(block) => self.block(frame, block.statements()),
            Expr::FnCall(call, position) => self.call(frame, call, *position),
            Expr::And(operands, _) | Expr::Or(operands, _) => {
                operands.iter().for_each(|operand| self.condition(frame, operand));
                Known::Test
            }
            Expr::Coalesce(operands, _) => self.coalesce(frame, operands),
            Expr::Dot(chain, flags, _) => {
                let base = self.expression(frame, &chain.lhs);
                self.chain(frame, base, &chain.rhs, Link::Dot, *flags)
            }
            Expr::Index(chain, flags, _) => {
                let base = self.expression(frame, &chain.lhs);
                self.chain(frame, base, &chain.rhs, Link::Index, *flags)
            }
            _ => Known::Unknown,
        }
    }

    fn coalesce(&mut self, frame: &mut Frame<'a>, operands: &[Expr]) -> Known {
        for operand in operands {
            if self.used(frame, operand).is_field() {
                let help = Some("ask with `exists(…)`".to_owned());
                let message = "`??` does not see that a field is missing".to_owned();
                self.problem(frame.source, "coalesce", operand.start_position(), message, help);
            }
        }
        Known::Unknown
    }

    /// `base.rhs` or `base[rhs]`, whose right side may go on.
    fn chain(&mut self, frame: &mut Frame<'a>, base: Known, rhs: &Expr, link: Link, flags: ASTFlags) -> Known {
        let (next, then) = match rhs {
            Expr::Dot(next, then, _) if !flags.contains(ASTFlags::BREAK) => (next, (Link::Dot, *then)),
            Expr::Index(next, then, _) if !flags.contains(ASTFlags::BREAK) => (next, (Link::Index, *then)),
            last => return self.link(frame, base, last, link),
        };
        let middle = self.link(frame, base, &next.lhs, link);
        self.deeper(frame, next.lhs.start_position(), |analysis, frame| {
            analysis.chain(frame, middle, &next.rhs, then.0, then.1)
        })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Link {
    Dot,
    Index,
}
