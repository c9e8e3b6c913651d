//! `w.all`: what is asked of the events of all patterns together, and which field each pattern has for it.

use std::{collections::BTreeSet, sync::Arc};

use rhai::{FnCallExpr, Position};

use super::{Analysis, Frame, Known, calls::Argument};
use crate::rule::{
    Statistic, Together, data::Data, diagnostic::did_you_mean, entry::listed, source::Source, window_test::Counted,
};

/// What can be asked of them besides their count.
const AGGREGATES: [&str; 8] = ["distinct", "sum", "avg", "min", "max", "stddev", "percentile", "share"];

impl<'a> Analysis<'a> {
    /// `w.all.name`.
    pub(super) fn property_of_all(&mut self, source: &'a Source, name: &str, position: Position) -> Known {
        if name == "count" {
            self.ask_together(source, Together::counting(self.patterns.len()), position);
            return Known::Counted(Counted::Events);
        }
        let help = match AGGREGATES.contains(&name) {
            true => format!("call it: `w.all.{name}(\"user.name\")`"),
            false => format!("it has `count`, {}; a pattern has more", listed(AGGREGATES.into_iter())),
        };
        let message = format!("the events of all patterns together have no `{name}`");
        self.problem(source, "unknown-property", position, message, Some(help));
        Known::Unknown
    }

    /// `w.all.name(…)`.
    pub(super) fn aggregate_of_all(
        &mut self,
        frame: &mut Frame<'a>,
        call: &FnCallExpr,
        arguments: &[Argument],
        position: Position,
    ) -> Known {
        let (source, name) = (frame.source, call.name.as_str());
        if !AGGREGATES.contains(&name) {
            let help = match name {
                "count" => Some("without brackets: `w.all.count`".to_owned()),
                name => did_you_mean(name, AGGREGATES)
                    .or_else(|| Some(format!("it has {}", listed(AGGREGATES.into_iter())))),
            };
            let message = format!("the events of all patterns together have no function `{name}`");
            self.problem(source, "unknown-function", position, message, help);
            return Known::Unknown;
        }
        let wanted = 1 + usize::from(name == "percentile");
        if arguments.len() != wanted {
            let message = format!("`{name}` takes {wanted} argument(s), not {}", arguments.len());
            let percent = if wanted == 2 { ", 95" } else { "" };
            let help = Some(format!("write `w.all.{name}(\"user.name\"{percent})`"));
            self.problem(source, "arguments", position, message, help);
            return Known::Unknown;
        }
        let percent = arguments.get(1).map(|percent| self.percent(source, percent));
        let at = arguments[0].1;
        let fields = match &arguments[0].0 {
            // What a variable holds, or a function gave.
            Known::Text(Some(path)) => Some(Data::Text(path.clone())),
            _ => call.args[0].get_literal_value(None).map(|literal| Data::of(&literal)),
        };
        let fields = fields.and_then(|fields| self.fields_of_all(&fields));
        let statistic = Statistic::named(name, percent.flatten());
        match (fields, statistic) {
            (Some((paths, written)), Some(statistic)) => {
                if paths.iter().any(|other| other.len() != paths[0].len()) {
                    let message =
                        "the patterns have different numbers of fields here: what they combine is never equal";
                    let help = Some("name as many fields for each pattern, in the same order".to_owned());
                    self.problem(source, "uneven-fields", at, message.to_owned(), help);
                } else if paths.iter().any(|paths| paths.len() > 1) && statistic != Statistic::Distinct {
                    let message = format!("`{name}` is over one field; combinations of several can only be counted");
                    self.problem(source, "wrong-type", at, message, None);
                }
                for (pattern, paths) in self.patterns.iter().zip(&paths) {
                    self.kept_reads.extend(paths.iter().map(|path| (pattern.clone(), path.to_string())));
                }
                self.check_share(source, statistic, position);
                self.ask_together(source, Together::of(paths, statistic, &written), position);
            }
            (None, _) => {
                let names: Vec<String> = self.patterns.iter().map(|name| format!("{name}: \"user.name\"")).collect();
                let help = format!("write `w.all.{name}(\"user.name\")`, or for each `#{{ {} }}`", names.join(", "));
                let message = "a field's name is needed here, or one for each pattern, written out";
                self.problem(source, "computed-name", at, message.to_owned(), Some(help));
            }
            (_, None) => {}
        }
        if name == "distinct" { Known::Counted(Counted::Distinct) } else { Known::Value }
    }

    /// The paths for each pattern, and what they are called together; `None` where a pattern has none.
    fn fields_of_all(&self, fields: &Data) -> Option<(Vec<Vec<Arc<str>>>, String)> {
        if let Data::Map(of_patterns) = fields {
            let known = |name: &String| self.patterns.iter().any(|pattern| **pattern == **name);
            if !of_patterns.keys().all(known) {
                return None;
            }
            let of = |pattern: &Arc<str>| one_or_several(of_patterns.get(&**pattern)?);
            let paths: Vec<Vec<Arc<str>>> = self.patterns.iter().map(of).collect::<Option<_>>()?;
            let names: BTreeSet<String> = paths.iter().map(|paths| paths.join(", ")).collect();
            return Some((paths, names.into_iter().collect::<Vec<_>>().join(" / ")));
        }
        let paths = one_or_several(fields)?;
        let name = paths.join(", ");
        Some((vec![paths; self.patterns.len()], name))
    }

    /// Values are kept of one field.
    fn ask_together(&mut self, source: &Source, asked: Together, position: Position) {
        if !Together::add(&mut self.together, asked) {
            let message = "`w.all` is asked for the values of different fields".to_owned();
            let help = Some("ask for one field of it, and for others pattern by pattern".to_owned());
            self.problem(source, "two-fields", position, message, help);
        }
    }

    /// A share is one of the last value among others that leave as it came.
    pub(super) fn check_share(&mut self, source: &Source, statistic: Statistic, position: Position) {
        if statistic == Statistic::Share && !self.slides {
            let help = Some("write `within: \"1h\"`".to_owned());
            self.problem(source, "wrong-place", position, "`share` needs a window that slides".to_owned(), help);
        }
    }
}

/// A path, or several.
fn one_or_several(fields: &Data) -> Option<Vec<Arc<str>>> {
    match fields {
        Data::Text(path) if !path.is_empty() => Some(vec![path.as_str().into()]),
        Data::List(paths) if !paths.is_empty() => {
            let path = |path: &Data| match path {
                Data::Text(path) if !path.is_empty() => Some(Arc::from(path.as_str())),
                _ => None,
            };
            paths.iter().map(path).collect()
        }
        _ => None,
    }
}
