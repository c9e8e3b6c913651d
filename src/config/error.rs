//! What is wrong with a configuration, where, and what to write instead. No message ever holds a secret's value.

use std::{fmt, path::PathBuf};

/// One mistake. [`super::load`] returns all that it finds at once.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {problem}")]
pub struct ConfigError {
    pub place: Place,
    pub problem: Problem,
}

/// Where the operator wrote it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// Line and column count from 1; the column in characters.
    File { path: PathBuf, line: usize, column: usize },
    /// The file as a whole.
    Whole(PathBuf),
    /// An environment variable.
    Variable(String),
    /// No layer wrote it: something is missing.
    Defaults,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::File { path, line, column } => write!(f, "{}:{line}:{column}", path.display()),
            Place::Whole(path) => write!(f, "{}", path.display()),
            Place::Variable(name) => write!(f, "environment variable {name}"),
            Place::Defaults => write!(f, "configuration"),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    #[error("can't be read: {0}")]
    Unreadable(String),
    #[error("not TOML: {0}")]
    Syntax(String),
    #[error("unknown key `{key}` in {table}; {}", instead(nearest, known))]
    UnknownKey { key: String, table: String, nearest: Option<String>, known: Vec<String> },
    /// The key exists, for another type of input or sink.
    #[error("`{key}` means nothing for type \"{kind}\"; {}", instead(&None, known))]
    Misplaced { key: String, kind: String, known: Vec<String> },
    #[error("`{key}`: {reason}")]
    Value { key: String, reason: String },
    #[error("`{key}`: unknown value \"{found}\"; {}", instead(nearest, accepted))]
    NotOneOf { key: String, found: String, nearest: Option<String>, accepted: Vec<String> },
    #[error("{table} needs `{key}`, for example {example}")]
    Missing { table: String, key: String, example: String },
    #[error("{what} \"{name}\" is there already; each needs its own")]
    Taken { what: &'static str, name: String },
    #[error("the name \"alerts\" is kept for chained rules; give the input another one")]
    Reserved,
    #[error(
        "{address} can be reached from other machines, and there is no authentication; listen on 127.0.0.1 or [::1], or write allow_unauthenticated = true"
    )]
    Exposed { address: String },
    #[error(
        "`tls`: mail to \"{host}\" would travel unencrypted; write tls = \"starttls\" or \"tls\" (\"none\" is for servers on loopback)"
    )]
    Unencrypted { host: String },
    #[error("`{key}`: can't read {}: {reason}", path.display())]
    FileUnreadable { key: String, path: PathBuf, reason: String },
    #[error("`{key}` and `{key}_file` say the same thing; write one of them")]
    Both { key: String },
    #[error("[[{0}]] tables come from the configuration file only")]
    FileOnly(String),
    #[error("`listen` has no effect: no [[input]] is of type \"syslog\"")]
    NobodyListens,
}

fn instead(nearest: &Option<String>, known: &[String]) -> String {
    match nearest {
        Some(nearest) => format!("did you mean `{nearest}`?"),
        None => format!("it is one of {}", known.join(", ")),
    }
}

/// The one of `known` that `found` was probably meant to be.
pub fn nearest<'a>(found: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let likeness = |name: &str| strsim::jaro_winkler(&found.to_lowercase(), name);
    known
        .into_iter()
        .map(|name| (likeness(name), name))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, name)| name.to_owned())
}
