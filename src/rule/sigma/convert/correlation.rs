//! A correlation in Rhai: a pattern for each rule that it refers to, and what it asks of their windows.

use std::{collections::HashSet, sync::Arc};

use super::{Refusal, closure::closure, detection, expression::literal, names::patterns, window::Windows};
use crate::{
    event::ENTITY,
    rule::{
        InputSet, Rule, Side, Told, VALUES_MAX, Window,
        engine::ITEMS_MAX,
        sigma::{
            correlation::{Built, Looks},
            load::{Draft, Whole},
            rule::Around,
            yaml::Mark,
        },
    },
};

/// Lists of values that an alert's script can show: each is as long as windows keep them, and they lie in others.
pub(super) const LISTS_MAX: usize = ITEMS_MAX / (VALUES_MAX + 1);

/// What correlations are written with.
pub struct Writing<'a> {
    pub whole: &'a Whole<'a>,
    pub around: &'a Around,
    /// Rules that are Rhai's already.
    pub others: &'a [&'a Rule],
    /// Correlations that can't be said.
    pub refused: HashSet<&'a Arc<str>>,
}

/// One correlation on its way.
struct Correlation<'a> {
    writing: &'a Writing<'a>,
    built: &'a Built,
    /// What its patterns are called.
    names: Vec<String>,
    at: Mark,
}

impl Writing<'_> {
    /// The rule as text, from what follows its head to its last key. The refusal stands at the correlation.
    pub fn correlation(&self, built: &Built) -> Result<String, Refusal> {
        let at = Mark { line: built.rule.place.line, column: built.rule.place.column };
        let own: Vec<(&str, &str)> = built
            .rule
            .patterns
            .iter()
            .zip(&built.looks)
            .map(|(pattern, looks)| (&*pattern.name, self.title(looks)))
            .collect();
        Correlation { writing: self, built, names: patterns(&own), at }.written()
    }

    fn title(&self, looks: &Looks) -> &str {
        match looks {
            Looks::Events(at) => &self.whole.drafts[*at].common.title,
            Looks::Alerts(id) => self.rule(id).map_or("", |rule| &rule.meta.title),
        }
    }

    fn rule(&self, id: &Arc<str>) -> Option<&Rule> {
        let own = self.whole.correlated.rules.iter().map(|built| &built.rule);
        own.chain(self.others.iter().copied()).find(|rule| rule.id() == id)
    }

    /// Whether a rule becomes one of Rhai, which names the elements of its key by the fields of its first pattern.
    fn is_converted(&self, rule: &Rule) -> bool {
        self.others.iter().all(|other| other.id() != rule.id())
    }
}

impl Correlation<'_> {
    fn written(&self) -> Result<String, Refusal> {
        let rule = &self.built.rule;
        let paths = |pattern: usize, path: &str| self.path(pattern, path);
        let windows = Windows {
            patterns: &self.names,
            paths: &paths,
            aggregates: &rule.aggregates,
            together: rule.together.as_ref(),
            slides: matches!(rule.window, Window::Sliding(_)),
            at: self.at,
        };
        let own: Vec<Arc<str>> = rule.patterns.iter().map(|pattern| pattern.name.clone()).collect();
        let mut text = self.inputs();
        text += &format!("\n{}", self.events()?);
        text += &self.by()?;
        text += &windows.window(&rule.window)?;
        text += &windows.condition(&rule.condition, &own)?;
        if let Some(when) = &rule.when {
            let start = "    when: |w| ";
            text += &format!("{start}{},\n", windows.when(when)?.laid_out(start.len(), 4));
        }
        text += &self.alert()?;
        Ok(text)
    }

    fn refused<T>(&self, message: impl Into<String>) -> Result<T, Refusal> {
        Err(Refusal::new(self.at, message))
    }

    /// Which patterns read alerts.
    fn inputs(&self) -> String {
        let rule = &self.built.rule;
        match &rule.inputs {
            InputSet::All => String::new(),
            InputSet::Named(_) => "    input: \"alerts\",\n".to_owned(),
            InputSet::AllAndAlerts => {
                let on_alerts =
                    rule.patterns.iter().zip(&self.names).filter(|(pattern, _)| pattern.side == Side::Alerts);
                let entries: Vec<String> = on_alerts.map(|(_, name)| format!("{name}: \"alerts\"")).collect();
                format!("    input: #{{ {} }},\n", entries.join(", "))
            }
        }
    }

    fn events(&self) -> Result<String, Refusal> {
        let mut lines = String::new();
        for (name, looks) in self.names.iter().zip(&self.built.looks) {
            let start = format!("        {name}: ");
            let test = match looks {
                Looks::Events(at) => self.detected(&self.writing.whole.drafts[*at], start.len())?,
                Looks::Alerts(id) if self.writing.refused.contains(id) => {
                    return self.refused(format!("its rule `{}` is refused", self.writing.title(looks)));
                }
                Looks::Alerts(id) => format!("|e| e.rule.id == {}", literal(id)),
            };
            lines += &format!("{start}{test},\n");
        }
        Ok(format!("    events: #{{\n{lines}    }},\n"))
    }

    /// What is in the way of a rule over events is told where that stands.
    fn detected(&self, draft: &Draft<'_>, at: usize) -> Result<String, Refusal> {
        let Some(rule) = &draft.rule else { return self.refused(format!("`{}` did not load", draft.common.title)) };
        let limit = rule.limit(self.writing.around, draft.report.file).detection;
        let text = detection::detection(&limit).and_then(|limit| closure(rule, limit, at, 8));
        text.or_else(|_| self.refused(format!("its rule `{}` is refused", draft.common.title)))
    }

    fn by(&self) -> Result<String, Refusal> {
        let rule = &self.built.rule;
        if rule.by.is_empty() {
            return Ok(String::new());
        }
        let mut keys = Vec::new();
        for (number, pattern) in rule.patterns.iter().enumerate() {
            let paths: Vec<String> = pattern.by.iter().map(|path| self.path(number, path)).collect::<Result<_, _>>()?;
            let literals: Vec<String> = paths.iter().map(|path| literal(path)).collect();
            keys.push(format!("[{}]", literals.join(", ")));
        }
        if keys.iter().all(|key| *key == keys[0]) {
            return Ok(format!("    by: {},\n", keys[0]));
        }
        let entries: String =
            self.names.iter().zip(&keys).map(|(name, key)| format!("        {name}: {key},\n")).collect();
        Ok(format!("    by: #{{\n{entries}    }},\n"))
    }

    /// Where a pattern finds a path of the Sigma rule. An alert of a Rhai rule names the elements of its key by the fields
    /// of its first pattern, not by what `group-by` calls them.
    fn path(&self, pattern: usize, path: &str) -> Result<String, Refusal> {
        let Looks::Alerts(id) = &self.built.looks[pattern] else { return Ok(path.to_owned()) };
        let element = path.strip_prefix(ENTITY).and_then(|rest| rest.strip_prefix('.'));
        let (Some(element), Some(inner)) = (element, self.writing.rule(id)) else { return Ok(path.to_owned()) };
        if !self.writing.is_converted(inner) {
            return Ok(path.to_owned());
        }
        let named = inner.by.iter().position(|name| **name == *element);
        let (Some(at), Some(first)) = (named, inner.patterns.first()) else { return Ok(path.to_owned()) };
        let field = &first.by[at];
        if first.by.iter().filter(|other| *other == field).count() > 1 {
            return self.refused(format!("two elements of the key of `{}` are one field", inner.meta.title));
        }
        Ok(format!("{ENTITY}.{field}"))
    }

    /// What its alerts tell others.
    fn alert(&self) -> Result<String, Refusal> {
        let tells = &self.built.rule.tells;
        if tells.is_empty() {
            return Ok(String::new());
        }
        if tells.iter().any(|told| *told.name == *"title") {
            return self.refused("a field `title` of an alert: it would be the alert's own");
        }
        let lists = tells.len() * self.names.len();
        if lists > LISTS_MAX {
            return self.refused(format!("{lists} lists of values in an alert: a script has room for {LISTS_MAX}"));
        }
        let entries: Vec<String> = tells
            .iter()
            .map(|told| Ok(format!("{}: {}", literal(&told.name), self.values(told)?)))
            .collect::<Result<_, _>>()?;
        Ok(format!("    alert: |w| #{{ {} }},\n", entries.join(", ")))
    }

    /// The values that the patterns have of a field.
    fn values(&self, told: &Told) -> Result<String, Refusal> {
        let values = |(pattern, path): (usize, &Arc<str>)| {
            Ok(format!("w.{}.values({})", self.names[pattern], literal(&self.path(pattern, path)?)))
        };
        let values: Vec<String> = told.paths.iter().enumerate().map(values).collect::<Result<_, _>>()?;
        Ok(match &values[..] {
            [only] => only.clone(),
            values => format!("union([{}])", values.join(", ")),
        })
    }
}
