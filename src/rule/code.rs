//! Every kind of finding in rule files, by the stable name that diagnostics carry.

/// A kind of finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Code {
    pub name: &'static str,
    /// What it says of a rule, in a few words.
    pub says: &'static str,
}

const fn code(name: &'static str, says: &'static str) -> Code {
    Code { name, says }
}

/// In byte order of their names.
pub const CODES: [Code; 83] = [
    code("alerts-of-alerts", "a rule on alerts of rules on alerts"),
    code("arguments", "a function with other arguments than it takes"),
    code("assignment", "an event is changed"),
    code("bad-duration", "a text that is no duration"),
    code("bad-literal", "a regex, network or time zone that is none"),
    code("bad-time", "a text that is no time"),
    code("captured", "a closure changes what it captured"),
    code("circle", "a rule that could feed itself"),
    code("coalesce", "`??` beside a field"),
    code("computed-name", "a name that has to be written out is calculated"),
    code("constant", "a pattern that every event matches, or none"),
    code("duplicate-id", "two rules with one id"),
    code("empty", "a text, list or map without content"),
    code("filter-keeps", "a filter that leaves out all that it does not describe"),
    code("import", "an import inside a closure"),
    code("index", "an element of a field by number"),
    code("kept", "a file with errors keeps its last good rules"),
    code("list", "a field compared with a list"),
    code("list-of-file", "a rule that adds to the list of a file"),
    code("loop", "a loop over a field"),
    code("missing-key", "a map without a key that it needs"),
    code("no-by", "a window without `by`"),
    code("no-database", "`geo` or `asn` without a database"),
    code("no-event", "a rule that looks at no events"),
    code("no-false-positives", "no note of false positives"),
    code("no-id", "a rule without `id`"),
    code("no-input", "a window over all of several inputs"),
    code("no-key", "a pattern without key fields"),
    code("no-map", "`alert` gives no map"),
    code("no-number", "something that is no number"),
    code("no-score", "`risk` without a score"),
    code("no-severity", "a rule without `severity`"),
    code("no-suppress", "`suppress_max` without `suppress`"),
    code("no-test", "something that is neither true nor false"),
    code("no-tests", "a rule without tests"),
    code("no-title", "a rule without `title`"),
    code("no-window", "a condition that needs a window"),
    code("not-compiled", "a pattern that has to compile and does not"),
    code("nothing", "a field compared with `()`"),
    code("operator", "an operator that takes no field"),
    code("out-of-range", "a number out of its range"),
    code("reserved-name", "a pattern with a name of the window"),
    code("scan", "a pattern that is asked of every event"),
    code("script", "a script that fails, or that stays one"),
    code("sigma-collection", "an action of a Sigma collection without its rule"),
    code("sigma-kind", "a YAML document that is no Sigma rule"),
    code("sigma-log-source", "a log source that nothing maps"),
    code("sigma-modifier", "a modifier that is unknown, or that does not fit"),
    code("sigma-pipeline", "a rule that a pipeline refuses"),
    code("sigma-placeholder", "a placeholder that nothing fills"),
    code("sigma-taxonomy", "a taxonomy that nothing translates"),
    code("sigma-unsupported", "something of Sigma that is not supported"),
    code("switch", "`switch` over a field"),
    code("syntax", "a file that does not parse"),
    code("too-deep", "expressions that nest too deep"),
    code("too-large", "a file that is too large"),
    code("too-long", "more than a window can hold"),
    code("twice", "one thing listed twice"),
    code("two-conditions", "two conditions that exclude each other"),
    code("two-events", "`event` and `events` together"),
    code("two-fields", "values of different fields asked of `w.all`"),
    code("two-windows", "two windows"),
    code("uneven-fields", "combinations of different numbers of fields asked of `w.all`"),
    code("uneven-key", "keys of different lengths"),
    code("unknown-function", "a function that is unknown"),
    code("unknown-import", "an alias that nothing is imported as"),
    code("unknown-input", "an input that is unknown"),
    code("unknown-key", "a key that is unknown"),
    code("unknown-list", "a list that is unknown"),
    code("unknown-pattern", "a pattern that is unknown"),
    code("unknown-property", "a property that is unknown"),
    code("unknown-rule", "a rule that is unknown"),
    code("unknown-technique", "a technique that ATT&CK does not have"),
    code("unknown-value", "a value that is not one of those known"),
    code("unused-filter", "a filter that changes no rule"),
    code("unused-pattern", "a pattern that nothing asks for"),
    code("whole-event", "an event where a field belongs"),
    code("wrong-closure", "a closure with other parameters than it is given"),
    code("wrong-condition", "a condition that does not fit the window"),
    code("wrong-key", "a key that does not fit the patterns"),
    code("wrong-place", "a function where it has no place"),
    code("wrong-step", "a step that is none"),
    code("wrong-type", "a value of another type"),
];

/// The number of a kind in [`CODES`].
pub(crate) fn index_of(name: &str) -> Option<usize> {
    CODES.binary_search_by(|code| code.name.cmp(name)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_sorted_so_that_each_is_found() {
        assert!(CODES.iter().enumerate().all(|(at, code)| index_of(code.name) == Some(at)));
    }
}
