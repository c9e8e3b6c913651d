//! From the text of a list's file to what it holds: one entry a line, a CSV file's columns, or a JSON array.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use super::{LIST_ENTRIES_MAX, List, ListFile, ListText, csv, hash_of};

/// What is wrong with a file, and in which line.
pub(super) struct ListError {
    pub(super) line: usize,
    pub(super) source: String,
    pub(super) message: String,
}

/// Entries with their lines, of each list by name.
type Entries = BTreeMap<String, Vec<(usize, String)>>;

/// Reads the file of the list `name`.
pub(super) fn read(path: &Path, name: &str, text: &ListText) -> Result<ListFile, ListError> {
    let text = text.as_deref().map_err(|reason| wrong("", 1, reason.clone()))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let lists = match path.extension().and_then(|extension| extension.to_str()) {
        Some("csv") => columns(name, text)?,
        Some("json") => BTreeMap::from([(name.to_owned(), elements(text)?)]),
        _ => BTreeMap::from([(name.to_owned(), lines(text))]),
    };
    let hash = hash_of(text);
    let list = |(name, entries): (String, Vec<(usize, String)>)| {
        let list = list(text, format!("{name} {hash}"), entries)?;
        Ok((name, Arc::new(list)))
    };
    let lists = lists.into_iter().map(list).collect::<Result<_, _>>()?;
    Ok(ListFile { hash, lists })
}

fn list(text: &str, id: String, entries: Vec<(usize, String)>) -> Result<List, ListError> {
    if let Some((line, _)) = entries.get(LIST_ENTRIES_MAX) {
        return Err(wrong(text, *line, format!("a list holds at most {LIST_ENTRIES_MAX} entries")));
    }
    let mut list = List { id, ..List::default() };
    for (line, entry) in entries.iter().filter(|(_, entry)| !entry.is_empty()) {
        if is_mistaken_network(entry) {
            return Err(wrong(text, *line, format!("`{entry}` is no network")));
        }
        list.insert(entry);
    }
    Ok(list)
}

/// It begins as a range of addresses does, and is none.
fn is_mistaken_network(entry: &str) -> bool {
    let Some((address, length)) = entry.split_once('/') else { return false };
    let is_length = !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit());
    let is_address = address.parse::<std::net::IpAddr>().is_ok();
    is_address && is_length && super::Network::parse(entry).is_none()
}

/// One entry a line; what follows a `#` at the start or after a blank is a comment.
fn lines(text: &str) -> Vec<(usize, String)> {
    let entry = |line: &str| {
        let comment = line.match_indices('#').map(|(at, _)| at);
        let mut comment = comment.filter(|at| line[..*at].chars().next_back().is_none_or(char::is_whitespace));
        line[..comment.next().unwrap_or(line.len())].trim().to_owned()
    };
    (1..).zip(text.lines()).map(|(at, line)| (at, entry(line))).filter(|(_, entry)| !entry.is_empty()).collect()
}

/// `name` is the first column, `name:column` any by its name in the first line.
fn columns(name: &str, text: &str) -> Result<Entries, ListError> {
    let mut rows = csv::rows(text).map_err(|line| wrong(text, line, "a quote is never closed".to_owned()))?.into_iter();
    let Some((_, header)) = rows.next() else {
        return Err(wrong(text, 1, "the first line names the columns, and there is none".to_owned()));
    };
    let mut lists: Vec<Vec<(usize, String)>> = vec![Vec::new(); header.len()];
    for (line, row) in rows {
        if row.len() > header.len() {
            let message = format!("{} fields, and the first line names {}", row.len(), header.len());
            return Err(wrong(text, line, message));
        }
        lists.iter_mut().zip(row).for_each(|(list, field)| list.push((line, field)));
    }
    let mut named = BTreeMap::from([(name.to_owned(), lists[0].clone())]);
    named.extend(header.iter().zip(lists).map(|(column, list)| (format!("{name}:{column}"), list)));
    Ok(named)
}

/// An array of texts and numbers, or of objects that have one as `value`.
fn elements(text: &str) -> Result<Vec<(usize, String)>, ListError> {
    use serde_json::Value as Json;
    let array: Vec<Json> =
        serde_json::from_str(text).map_err(|error| wrong(text, error.line(), format!("no JSON array: {error}")))?;
    let entry = |(at, element): (usize, &Json)| match element.get("value").unwrap_or(element) {
        Json::String(text) => Ok((1, text.clone())),
        Json::Number(number) => Ok((1, number.to_string())),
        _ => Err(wrong(text, 1, format!("element {} is no text, and no object with a `value`", at + 1))),
    };
    array.iter().enumerate().map(entry).collect()
}

fn wrong(text: &str, line: usize, message: String) -> ListError {
    ListError { line, source: text.lines().nth(line.saturating_sub(1)).unwrap_or_default().to_owned(), message }
}
