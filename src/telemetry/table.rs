//! The status as people read it on a terminal: aligned columns, nothing that a terminal would obey.

use std::{
    collections::BTreeMap,
    fmt::{self, Display},
    time::Duration,
};

use super::status::{FollowedStatus, LineStatus, SignalsStatus, SourceStatus, StandbyStatus, Status};
use crate::event::Timestamp;

impl Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rules = &self.rule_set;
        writeln!(f, "tripline {}: {}", self.version, self.phase.as_str())?;
        let from = rules.revision.map(|revision| format!(", revision {revision}")).unwrap_or_default();
        writeln!(f, "{} rules loaded, {} refused{from}", rules.loaded, rules.refused)?;
        if rules.others > 0 {
            writeln!(f, "{} other processes run other rules", rules.others)?;
        }
        for reason in self.not_ready() {
            writeln!(f, "not ready: {}", printable(&reason))?;
        }
        for table in self.tables() {
            write!(f, "{table}")?;
        }
        Ok(())
    }
}

impl Status {
    fn tables(&self) -> [Table; 10] {
        [
            self.restores(),
            self.followed(),
            self.receivers(),
            self.sources(),
            self.signals(),
            self.without_effect(),
            self.rules(),
            self.sinks(),
            self.lines(),
            self.dead_letters(),
        ]
    }

    fn receivers(&self) -> Table {
        let mut table = Table::new(&[
            "RECEIVED",
            ">ACCEPTED",
            ">REJECTED",
            ">CUT",
            ">DROPPED",
            ">REFUSED",
            ">EMPTIED FILES",
            ">UNREADABLE",
            "LAST ERROR",
        ]);
        for intake in &self.intake {
            let error = intake.last_error.as_deref().unwrap_or_default();
            table.row(&[
                &intake.input,
                &intake.accepted,
                &intake.rejected,
                &intake.cut,
                &intake.dropped,
                &intake.refused,
                &intake.truncated,
                &intake.unreadable,
                &error,
            ]);
        }
        table
    }

    fn sources(&self) -> Table {
        let mut table = Table::new(&[
            "SOURCE",
            ">PARTITION",
            ">NEXT",
            ">TO READ",
            ">EVENTS",
            ">DEAD LETTERS",
            ">LATE",
            ">CLAMPED",
            ">MISSED",
            "WATERMARK",
            ">BEHIND",
            "CORRELATED TO",
            "STATE",
        ]);
        for source in &self.sources {
            let state = match (source.left_out, source.paused, source.idle) {
                (true, ..) => "left out",
                (_, true, _) => "paused",
                (.., true) => "idle",
                _ => "reading",
            };
            table.row(&[
                &source.input,
                &source.partition,
                &source.next,
                &shown(self.line_of(source).and_then(LineStatus::lag).as_ref()),
                &source.events,
                &source.dead_letters,
                &source.late,
                &source.clamped,
                &source.missed,
                &shown(source.watermark.as_ref()),
                &self.behind(source.watermark).map_or_else(|| "-".to_owned(), whole_seconds),
                &shown(self.correlated(source)),
                &state,
            ]);
        }
        table
    }

    /// How far the correlate lines of this process are in a source; those of others know about the rest.
    fn correlated(&self, source: &SourceStatus) -> Option<&Timestamp> {
        let of = self.reached.iter().find(|of| (&of.input, of.partition) == (&source.input, source.partition));
        of?.watermark.as_ref()
    }

    /// All partitions as one; JSON has each.
    fn signals(&self) -> Table {
        let mut table = Table::new(&["SIGNALS", ">READ", ">BUFFERED", ">KEYS", "LEAST FRONTIER", ">BEHIND"]);
        if self.signals.is_empty() {
            return table;
        }
        let sum = |count: fn(&SignalsStatus) -> u64| self.signals.iter().map(count).sum::<u64>();
        let frontier = self.signals.iter().map(|signals| signals.frontier).min().flatten();
        table.row(&[
            &format!("{} partitions", self.signals.len()),
            &sum(|signals| signals.signals),
            &sum(|signals| signals.buffered),
            &sum(|signals| signals.keys),
            &shown(frontier.as_ref()),
            &self.behind(frontier).map_or_else(|| "-".to_owned(), whole_seconds),
        ]);
        table
    }

    /// Why matches changed nothing, as far as there were such.
    fn without_effect(&self) -> Table {
        let mut table = Table::new(&["WITHOUT EFFECT", ">COUNT"]);
        let sum = |count: fn(&SignalsStatus) -> u64| self.signals.iter().map(count).sum::<u64>();
        let causes = [
            ("late for their window", sum(|signals| signals.late)),
            ("before their source joined", sum(|signals| signals.before_join)),
            ("seen before", sum(|signals| signals.duplicates)),
            ("of lines that had lost their partition", sum(|signals| signals.stale_epoch)),
            ("of rules that are not loaded", sum(|signals| signals.unknown_rule)),
            ("of rules in quarantine", self.rules.iter().map(|rule| rule.passed_by).sum()),
            ("without a field that is asked for", self.rules.iter().map(|rule| rule.missing_value).sum()),
            (
                "keys and combinations of values of one event beyond the bound",
                self.rules.iter().map(|rule| rule.keys_cut).sum(),
            ),
            ("dropped from full keys, or with evicted ones", sum(|signals| signals.evicted)),
            ("keys evicted", sum(|signals| signals.evicted_keys)),
            ("keys gone with their rule", sum(|signals| signals.retired_keys)),
            ("list entries dropped", sum(|signals| signals.unlisted)),
            ("removed by retention unread", sum(|signals| signals.missed)),
        ];
        causes.iter().filter(|(_, count)| *count > 0).for_each(|(cause, count)| table.row(&[cause, count]));
        table
    }

    /// Partitions whose state is being restored.
    fn restores(&self) -> Table {
        let mut table = Table::new(&["RESTORING", ">READ", ">OF"]);
        for signals in self.signals.iter().filter(|signals| signals.to_restore > 0) {
            table.row(&[&format!("signals {}", signals.partition), &signals.restored, &signals.to_restore]);
        }
        table
    }

    /// State of other processes that this one follows; all partitions as one, JSON has each.
    fn followed(&self) -> Table {
        let mut table = Table::new(&["STANDBY", ">TO READ", ">KEYS", ">BYTES", ">DROPPED FOR ROOM", ">BEGUN ANEW"]);
        let StandbyStatus { dropped, begun_anew } = self.standby;
        if self.followed.is_empty() && dropped + begun_anew == 0 {
            return table;
        }
        let sum = |count: fn(&FollowedStatus) -> u64| self.followed.iter().map(count).sum::<u64>();
        table.row(&[
            &format!("{} partitions", self.followed.len()),
            &sum(|followed| followed.end.saturating_sub(followed.next)),
            &sum(|followed| followed.keys),
            &sum(|followed| followed.bytes),
            &dropped,
            &begun_anew,
        ]);
        table
    }

    fn rules(&self) -> Table {
        let mut table = Table::new(&["RULE", ">MATCHED", ">FIRED", ">MISSING KEY", ">LATE", ">FAILURES", "STATE"]);
        for rule in &self.rules {
            let state = if rule.quarantined { "quarantined" } else { "running" };
            table.row(&[
                &rule.id,
                &rule.matched,
                &rule.fired,
                &rule.missing_key,
                &rule.late,
                &rule.script_failures,
                &state,
            ]);
        }
        table
    }

    fn sinks(&self) -> Table {
        let mut table = Table::new(&[
            "SINK",
            ">DELIVERED",
            ">SENDING",
            ">FAILED ATTEMPTS",
            ">GIVEN UP",
            ">UNWANTED",
            ">MISSED",
            "SENDING SINCE",
            "LAST ERROR",
        ]);
        for sink in &self.sinks {
            table.row(&[
                &sink.name,
                &sink.delivered,
                &sink.sending,
                &sink.failed_attempts,
                &sink.given_up,
                &sink.unwanted,
                &sink.missed,
                &shown(sink.sending_since.as_ref()),
                &sink.last_error.as_deref().unwrap_or_default(),
            ]);
        }
        table
    }

    /// Lines of one topic that do the same as one; those that are down each for itself.
    fn lines(&self) -> Table {
        let mut table = Table::new(&["STAGE", "LINES", "STATE", ">LAG", ">RESTARTS", "LAST ERROR"]);
        let sort = |line: &LineStatus| {
            let down = line.state.is_down().then_some(line.partition);
            (line.stage.clone(), line.name.clone(), line.topic.clone(), line.state, down)
        };
        let mut sorts: BTreeMap<_, Vec<&LineStatus>> = BTreeMap::new();
        for line in &self.lines {
            sorts.entry(sort(line)).or_default().push(line);
        }
        for ((stage, name, topic, state, down), lines) in sorts {
            let stage = if name.is_empty() { stage.to_string() } else { format!("{stage} {name}") };
            let title = match down {
                Some(partition) => format!("{topic}/{partition}"),
                None => format!("{topic}, {} partitions", lines.len()),
            };
            let lags: Vec<u64> = lines.iter().filter_map(|line| line.lag()).collect();
            let lag = (!lags.is_empty()).then(|| lags.iter().sum::<u64>());
            let restarts: u64 = lines.iter().map(|line| line.restarts).sum();
            let error = lines.iter().find_map(|line| line.last_error.as_deref()).unwrap_or_default();
            table.row(&[&stage, &title, &state.as_str(), &shown(lag.as_ref()), &restarts, &error]);
        }
        table
    }

    fn dead_letters(&self) -> Table {
        let mut table = Table::new(&["DEAD LETTERS", "REASON", ">COUNT"]);
        for letters in &self.dead_letters {
            table.row(&[&letters.stage, &letters.reason, &letters.count]);
        }
        table
    }
}

/// `4s`, `2m 5s`
fn whole_seconds(span: Duration) -> String {
    humantime::format_duration(Duration::from_secs(span.as_secs())).to_string()
}

fn shown(value: Option<&impl Display>) -> String {
    value.map_or_else(|| "-".to_owned(), ToString::to_string)
}

/// Texts come from events, rules and other machines: control characters must not reach a terminal.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Rows under a header; nothing at all without rows.
pub struct Table {
    /// A column whose header begins with `>` is aligned to the right.
    header: &'static [&'static str],
    rows: Vec<Vec<String>>,
}

impl Table {
    pub fn new<const N: usize>(header: &'static [&'static str; N]) -> Self {
        Table { header, rows: Vec::new() }
    }

    pub fn row(&mut self, cells: &[&dyn Display]) {
        self.rows.push(cells.iter().map(|cell| printable(&cell.to_string())).collect());
    }
}

impl Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.rows.is_empty() {
            return Ok(());
        }
        let titles: Vec<String> = self.header.iter().map(|title| title.trim_start_matches('>').to_owned()).collect();
        let lines = || std::iter::once(&titles).chain(&self.rows);
        let width = |column: usize| lines().map(|cells| cells[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..titles.len()).map(width).collect();
        writeln!(f)?;
        for cells in lines() {
            let mut line = String::new();
            for ((cell, width), title) in cells.iter().zip(&widths).zip(self.header) {
                line += &match title.starts_with('>') {
                    true => format!("{cell:>width$}  "),
                    false => format!("{cell:<width$}  "),
                };
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::{log::TopicPartition, telemetry::*};

    #[test]
    fn columns_are_aligned_and_no_control_character_passes() {
        let telemetry = Telemetry::default();
        let at = TopicPartition { topic: "tripline.alerts".into(), partition: 0 };
        telemetry.set_phase(Phase::Running);
        telemetry.set_rules(RuleSetStatus::default(), [&Arc::from("ssh-brute-force")]);
        telemetry.count_dead_letter("decode", "not_json");
        for _ in 0..12 {
            telemetry.count_dead_letter("correlate", "crashed");
        }
        telemetry.line_state("notify", "mail", &at, LineState::Restarting);
        for partition in 1..4 {
            let at = TopicPartition { topic: "tripline.alerts".into(), partition };
            telemetry.line_state("notify", "mail", &at, LineState::Running);
            telemetry.line_lag("notify", "mail", &at, 5, 7);
        }
        telemetry.line_error("notify", "mail", &at, "\u{1b}[31mred\nline");
        let expected = "\
tripline VERSION: running
1 rules loaded, 0 refused
not ready: notify mail tripline.alerts/0 is restarting

RULE             MATCHED  FIRED  MISSING KEY  LATE  FAILURES  STATE
ssh-brute-force        0      0            0     0         0  running

STAGE        LINES                          STATE       LAG  RESTARTS  LAST ERROR
notify mail  tripline.alerts, 3 partitions  running       6         0
notify mail  tripline.alerts/0              restarting    -         1   [31mred line

DEAD LETTERS  REASON    COUNT
correlate     crashed      12
decode        not_json      1
";
        assert_eq!(telemetry.status().to_string().replace(env!("CARGO_PKG_VERSION"), "VERSION"), expected);
    }
}
