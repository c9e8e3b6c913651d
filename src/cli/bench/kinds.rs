//! The rules whose signals are measured. None of them fires: what an alert costs is another question.

use std::time::Duration;

use super::signals::{Made, Scenario};

/// Keys of the rows that are not about their number.
const KEYS: usize = 1_000;

/// Keys whose windows hold many values.
const KEYS_OF_MANY: usize = 10;

/// The kinds of windows, with at most `keys_max` keys.
pub fn windows(keys_max: usize) -> Vec<Scenario> {
    let counted = Scenario {
        name: "count threshold",
        rule: "event: |e| e.x == 1, by: [\"source.ip\"], within: \"1m\", all_of: [times(100, \"event\")]",
        keys: KEYS.min(keys_max),
        window: Duration::from_secs(60),
        per_key: 60,
        patterns: &["event"],
        fields: Made::None,
    };
    vec![
        counted,
        Scenario {
            name: "distinct, 1,800 values in the window",
            rule: "event: |e| e.x == 1, by: [\"source.ip\"], within: \"1m\", \
                   when: |w| w.event.distinct(\"user.name\") > 2000",
            keys: KEYS_OF_MANY.min(keys_max),
            per_key: 1_800,
            fields: Made::User(2_400),
            ..counted
        },
        Scenario {
            name: "sequence of 3 steps",
            rule: "events: #{ a: |e| e.x == 1, b: |e| e.x == 2, c: |e| e.x == 3 }, by: [\"source.ip\"], \
                   within: \"1m\", sequence: [\"a\", \"b\", \"c\"]",
            patterns: &["a", "a", "b"],
            ..counted
        },
        Scenario {
            name: "session",
            rule: "event: |e| e.x == 1, by: [\"source.ip\"], session: \"10s\", max: \"1m\", \
                   all_of: [times(100, \"event\")]",
            ..counted
        },
        Scenario {
            name: "tumbling",
            rule: "event: |e| e.x == 1, by: [\"source.ip\"], every: \"1m\", all_of: [times(100, \"event\")]",
            ..counted
        },
        Scenario {
            name: "percentile",
            rule: "event: |e| e.x == 1, by: [\"source.ip\"], within: \"1m\", \
                   when: |w| w.event.percentile(\"bytes\", 95) > 1000000",
            fields: Made::Bytes,
            ..counted
        },
    ]
}

/// One rule with few keys and with many, which have as many signals each.
pub fn few_and_many(keys: usize) -> [Scenario; 2] {
    let few = Scenario {
        name: "few keys",
        rule: "event: |e| e.x == 1, by: [\"source.ip\"], within: \"1h\", all_of: [times(6, \"event\")]",
        keys: KEYS.min(keys),
        window: Duration::from_secs(3_600),
        per_key: 2,
        patterns: &["event"],
        fields: Made::None,
    };
    [few, Scenario { name: "many keys", keys, ..few }]
}
