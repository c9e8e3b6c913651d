//! Watch-lists: values, address ranges and domains, from files that the caller read.
//!
//! `lists/bad/hosts.txt` is the list `bad/hosts`. A test of a list costs one look-up by hash for the value, one for
//! each length of the list's address ranges and one for each label of a domain, however long the list is.

mod csv;
mod read;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    fmt,
    hash::{Hash, Hasher},
    net::IpAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    diagnostic::{Diagnostic, Level, did_you_mean},
    entry::listed,
    source::{self, hash_of},
    text::Network,
};

/// Entries of one list.
pub const LIST_ENTRIES_MAX: usize = 2_000_000;

/// Longer texts are no domain (RFC 1035).
const DOMAIN_BYTES_MAX: usize = 254;

/// The text of a list's file, or why it could not be read.
pub type ListText = Result<String, String>;

/// What one list holds.
#[derive(Default)]
pub struct List {
    /// Its name and the hash of its file: the same of equal lists.
    id: String,
    texts: HashSet<Box<str>>,
    networks: HashMap<Span, HashSet<u128>>,
    /// In lower case. `true` where the domain itself is in the list, not only what lies below it.
    domains: HashMap<Box<str>, bool>,
}

/// Family and length of a range of addresses.
type Span = (bool, u32);

impl List {
    /// Adds an entry: an address or a range of them (`10.0.0.0/8`), a domain with all below it (`.example.com`), what
    /// is below a domain (`*.example.com`), or any other text as it is.
    fn insert(&mut self, entry: &str) {
        let domain = entry.strip_prefix("*.").map(|domain| (domain, false));
        if let Some((domain, is_in)) = domain.or_else(|| entry.strip_prefix('.').map(|domain| (domain, true))) {
            *self.domains.entry(domain.to_ascii_lowercase().into()).or_default() |= is_in;
        } else if let Some(network) = Network::parse(entry) {
            self.networks.entry(network.span()).or_default().insert(network.start());
        } else {
            self.texts.insert(entry.into());
        }
    }

    pub fn len(&self) -> usize {
        self.texts.len() + self.domains.len() + self.networks.values().map(HashSet::len).sum::<usize>()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether a value is in the list. Texts count as they are written, addresses however they are written (an IPv4
    /// address as IPv6 too), domains in any case and with or without the last dot.
    pub fn contains(&self, text: &str) -> bool {
        self.texts.contains(text) || self.holds_address(text) || self.holds_domain(text)
    }

    fn holds_address(&self, text: &str) -> bool {
        if self.networks.is_empty() {
            return false;
        }
        let Ok(address) = text.parse::<IpAddr>() else { return false };
        let is_in = |address: IpAddr| {
            let spans = self.networks.iter().filter(|((is_v6, _), _)| *is_v6 == address.is_ipv6());
            let mut spans = spans.map(|(span, starts)| (Network::around(address, *span), starts));
            spans.any(|(network, starts)| starts.contains(&network.start()))
        };
        let canonical = address.to_canonical();
        is_in(address) || (canonical != address && is_in(canonical))
    }

    fn holds_domain(&self, text: &str) -> bool {
        if self.domains.is_empty() || text.len() > DOMAIN_BYTES_MAX {
            return false;
        }
        let lower = text.to_ascii_lowercase();
        let mut domain = lower.strip_suffix('.').unwrap_or(&lower);
        if self.domains.get(domain).is_some_and(|is_in| *is_in) {
            return true;
        }
        while let Some((_, above)) = domain.split_once('.') {
            if self.domains.contains_key(above) {
                return true;
            }
            domain = above;
        }
        false
    }
}

impl PartialEq for List {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Eq for List {}

impl Hash for List {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.id.hash(state);
    }
}

/// How much it holds, not what.
impl fmt::Debug for List {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "List of {}", self.len())
    }
}

/// The lists of one file: that of its first column, and one for each column of a CSV file.
#[derive(Debug, Default)]
pub(super) struct ListFile {
    hash: String,
    lists: BTreeMap<String, Arc<List>>,
}

/// Every list of a rules' root.
#[derive(Debug, Clone, Default)]
pub struct Lists {
    files: BTreeMap<PathBuf, Arc<ListFile>>,
    by_name: BTreeMap<String, Arc<List>>,
    /// Names of files that have errors, and never had a good version.
    broken: BTreeSet<String>,
}

impl Lists {
    /// Reads lists, by path below the rules' root. A file that is wrong keeps its version in `previous`.
    pub(super) fn read(
        files: &BTreeMap<PathBuf, ListText>,
        previous: Option<&Lists>,
        found: &mut Vec<Diagnostic>,
    ) -> Self {
        let mut lists = Lists::default();
        for (path, text) in files {
            let name = name_of(path);
            if let Some(twin) = lists.files.keys().find(|other| name_of(other) == name) {
                let message = format!("the list `{name}` is there twice: {} has it", twin.display());
                found.push(finding(path, Level::Error, 1, "", message));
                continue;
            }
            let file = match read::read(path, &name, text) {
                Ok(file) => Arc::new(file),
                Err(error) => {
                    found.push(finding(path, Level::Error, error.line, &error.source, error.message));
                    let Some(kept) = previous.and_then(|previous| previous.files.get(path)) else {
                        lists.broken.insert(name);
                        continue;
                    };
                    let message = "the list has errors: it stays as it was".to_owned();
                    found.push(finding(path, Level::Warning, 1, "", message));
                    kept.clone()
                }
            };
            lists.by_name.extend(file.lists.iter().map(|(name, list)| (name.clone(), list.clone())));
            lists.files.insert(path.clone(), file);
        }
        lists
    }

    pub fn get(&self, name: &str) -> Option<&Arc<List>> {
        self.by_name.get(name)
    }

    /// What is wrong with a name that [`Lists::get`] does not know, and what may help.
    pub(super) fn unknown(&self, name: &str) -> (String, String) {
        let file = name.split_once(':').map_or(name, |(file, _)| file);
        if self.broken.contains(file) {
            return (format!("the list `{file}` has errors"), "put its file right".to_owned());
        }
        let names = || self.by_name.keys().map(String::as_str);
        let help = did_you_mean(name, names()).unwrap_or_else(|| match self.by_name.is_empty() {
            true => format!("write it to `lists/{file}.txt` beside the rules"),
            false => format!("there is {}", listed(names())),
        });
        (format!("no list is called `{name}`"), help)
    }

    /// A line for each file, for the hash of the rule set.
    pub(super) fn hashes(&self) -> String {
        self.files.iter().map(|(path, file)| format!("{} {}\n", path.display(), file.hash)).collect()
    }
}

/// `lists/bad/hosts.txt` is `bad/hosts`.
fn name_of(path: &Path) -> String {
    let below: PathBuf = path.components().skip(1).collect();
    below.with_extension("").display().to_string()
}

fn finding(path: &Path, level: Level, line: usize, source: &str, message: String) -> Diagnostic {
    let place = source::place(path, rhai::Position::new(line.clamp(1, usize::from(u16::MAX)) as u16, 1));
    source::diagnostic(source, level, "list", place, message)
}

#[cfg(test)]
mod tests;
