//! What is known of a value before anything runs.

use std::sync::Arc;

use rhai::{Dynamic, FnPtr, ImmutableString};

use crate::rule::{End, enrichment::Lookup, window_test::Counted};

#[derive(Debug, Clone, PartialEq)]
pub(in crate::rule) enum Known {
    /// A field of the event; the event itself where the path is empty.
    Event(String),
    /// A field of a signal in the window: of which pattern, its `first` or `last`, and the path.
    Kept(Arc<str>, End, String),
    Window,
    Pattern(Arc<str>),
    /// The events of all patterns together.
    All,
    /// A result that may be missing, as a field may.
    Value,
    /// What is known of an address.
    Found(Lookup),
    /// True or false.
    Test,
    /// A text, and which one where it is written out.
    Text(Option<String>),
    /// A number, and which one where it is written out.
    Number(Option<f64>),
    /// The count of a pattern, or `distinct` of one.
    Counted(Counted),
    List,
    Map,
    Nothing,
    Closure {
        name: String,
        captured: Vec<Known>,
    },
    Unknown,
}

impl Known {
    /// A value that a closure captured.
    pub(super) fn of_captured(value: &Dynamic) -> Self {
        if let Some(text) = value.read_lock::<ImmutableString>() {
            return Known::Text(Some(text.to_string()));
        }
        if let Some(closure) = value.read_lock::<FnPtr>() {
            return Known::of_closure(&closure);
        }
        match value {
            value if value.is_int() => Known::Number(value.as_int().ok().map(|value| value as f64)),
            value if value.is_float() => Known::Number(value.as_float().ok()),
            value if value.is_bool() => Known::Test,
            value if value.is_array() => Known::List,
            value if value.is_map() => Known::Map,
            _ => Known::Unknown,
        }
    }

    pub(super) fn of_closure(closure: &FnPtr) -> Self {
        let captured = closure.iter_curry().map(Known::of_captured).collect();
        Known::Closure { name: closure.fn_name().to_owned(), captured }
    }

    /// Whether two ways to a value give the same kind of thing, so that nothing is lost by knowing one of them.
    pub(super) fn is_like(&self, other: &Known) -> bool {
        match (self, other) {
            (Known::Text(_), Known::Text(_)) | (Known::Number(_), Known::Number(_)) => true,
            (a, b) => a == b,
        }
    }

    /// Whether this is read from a field, and so may be missing.
    pub(super) fn is_field(&self) -> bool {
        matches!(self, Known::Event(_) | Known::Kept(..) | Known::Value | Known::Found(_))
    }

    /// An event or signal as a whole.
    pub(super) fn is_whole(&self) -> bool {
        matches!(self, Known::Event(path) | Known::Kept(_, _, path) if path.is_empty())
    }

    /// As the author would write it, as far as that is known.
    pub(super) fn shown(&self) -> String {
        match self {
            Known::Event(path) if path.is_empty() => "e".to_owned(),
            Known::Event(path) => format!("e.{path}"),
            Known::Kept(pattern, end, path) if path.is_empty() => format!("w.{pattern}.{}", end.as_str()),
            Known::Kept(pattern, end, path) => format!("w.{pattern}.{}.{path}", end.as_str()),
            _ => "…".to_owned(),
        }
    }

    /// What stands there, where a test belongs; `None` for tests and what may be one.
    pub(super) fn no_test(&self) -> Option<&'static str> {
        Some(match self {
            Known::Test | Known::Unknown => return None,
            Known::Event(_) | Known::Kept(..) => "a field",
            Known::Value | Known::Found(_) => "a value",
            Known::Window => "the window",
            Known::Pattern(_) | Known::All => "a pattern",
            Known::Text(_) => "a text",
            Known::Number(_) | Known::Counted(_) => "a number",
            Known::List => "a list",
            Known::Map => "a map",
            Known::Nothing => "nothing",
            Known::Closure { .. } => "a closure",
        })
    }
}

/// The field `name` below a path.
pub(super) fn below(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}
