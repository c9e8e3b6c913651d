//! The table of the metrics that are read off the board: name, help, labels, and where each value stands.

use super::family::Family;
use crate::telemetry::status::{LineState, Phase};

const INPUT: &[&str] = &["input"];
const SOURCE: &[&str] = &["input", "partition"];
const SIGNALS: &[&str] = &["partition"];
const SINK: &[&str] = &["sink"];
const RULE: &[&str] = &["rule"];
const STAGE: &[&str] = &["stage"];
const STAGE_REASON: &[&str] = &["stage", "reason"];
const MEMBER: &[&str] = &["stage", "name"];
const LINE: &[&str] = &["stage", "name", "topic", "partition"];

/// A family with one sample for each element of a list of the board.
macro_rules! each {
    ($name:literal, $help:literal, $labels:ident, $list:ident, |$item:ident, $put:ident| $body:expr) => {
        Family {
            name: $name,
            help: $help,
            labels: $labels,
            read: |status, $put| status.$list.iter().for_each(|$item| $body),
        }
    };
}

/// All of them, in the order in which they are shown.
pub(super) const FAMILIES: &[Family] = &[
    Family {
        name: "tripline_build_info",
        help: "Always 1; the label has the version",
        labels: &["version"],
        read: |status, samples| samples.put(&[&status.version], 1),
    },
    Family {
        name: "tripline_up",
        help: "1 while the process runs, 0 while it starts or stops",
        labels: &[],
        read: |status, samples| samples.put_flag(&[], status.phase == Phase::Running),
    },
    Family {
        name: "tripline_rules_loaded",
        help: "Rules that run",
        labels: &[],
        read: |status, samples| samples.put(&[], status.rule_set.loaded),
    },
    Family {
        name: "tripline_rules_refused",
        help: "Rules that did not load",
        labels: &[],
        read: |status, samples| samples.put(&[], status.rule_set.refused),
    },
    Family {
        name: "tripline_rules_revision",
        help: "The push that the rules come from",
        labels: &[],
        read: |status, samples| samples.put_some(&[], status.rule_set.revision),
    },
    Family {
        name: "tripline_rules_other_processes",
        help: "Processes of the fleet that run other rules from files of their own",
        labels: &[],
        read: |status, samples| samples.put(&[], status.rule_set.others),
    },
    each!("tripline_dead_letters_total", "Records in dead letters", STAGE_REASON, dead_letters, |letters, samples| {
        samples.put(&[&letters.stage, &letters.reason], letters.count)
    }),
    each!("tripline_restarts_total", "Lines built anew after a failure", STAGE, restarts, |restarts, samples| {
        samples.put(&[&restarts.stage], restarts.count)
    }),
    each!("tripline_left_out_total", "Sources left behind by the others' time", INPUT, left_out, |left, samples| {
        samples.put(&[&left.input], left.count)
    }),
    each!("tripline_intake_accepted_total", "Records received and durable", INPUT, intake, |intake, samples| {
        samples.put(&[&intake.input], intake.accepted)
    }),
    each!("tripline_intake_rejected_total", "Records longer than the log takes", INPUT, intake, |intake, samples| {
        samples.put(&[&intake.input], intake.rejected)
    }),
    each!("tripline_intake_cut_total", "Records of which the beginning was kept", INPUT, intake, |intake, samples| {
        samples.put(&[&intake.input], intake.cut)
    }),
    each!("tripline_intake_dropped_total", "Records that the log did not get", INPUT, intake, |intake, samples| {
        samples.put(&[&intake.input], intake.dropped)
    }),
    each!(
        "tripline_intake_truncated_total",
        "Files emptied while they were followed",
        INPUT,
        intake,
        |intake, samples| { samples.put(&[&intake.input], intake.truncated) }
    ),
    each!(
        "tripline_intake_unreadable_files_total",
        "Files that could not be read",
        INPUT,
        intake,
        |intake, samples| { samples.put(&[&intake.input], intake.unreadable) }
    ),
    each!(
        "tripline_intake_connections_refused_total",
        "Connections beyond the limit",
        INPUT,
        intake,
        |intake, samples| { samples.put(&[&intake.input], intake.connections_refused) }
    ),
    each!("tripline_intake_retries_total", "Appends tried again", INPUT, intake, |intake, samples| {
        samples.put(&[&intake.input], intake.retries)
    }),
    each!("tripline_intake_refused_total", "HTTP bodies that the log refused", INPUT, intake, |intake, samples| {
        samples.put(&[&intake.input], intake.refused)
    }),
    each!("tripline_stage_joined", "1 while the stage is in its group", MEMBER, stages, |stage, samples| {
        samples.put_flag(&[&stage.stage, &stage.name], stage.last_error.is_none())
    }),
    each!("tripline_line_running", "1 while the line works", LINE, lines, |line, samples| {
        samples.put_flag(&[&line.stage, &line.name, &line.topic, &line.partition], line.state == LineState::Running)
    }),
    each!("tripline_line_restarts_total", "Restarts of the line", LINE, lines, |line, samples| {
        samples.put(&[&line.stage, &line.name, &line.topic, &line.partition], line.restarts)
    }),
    each!(
        "tripline_line_halted",
        "1 when the line can't go on: a record or its state can't be read",
        LINE,
        lines,
        |line, samples| {
            samples.put_flag(&[&line.stage, &line.name, &line.topic, &line.partition], line.state == LineState::Halted)
        }
    ),
    each!("tripline_line_lag_records", "Records that wait", LINE, lines, |line, samples| {
        samples.put_some(&[&line.stage, &line.name, &line.topic, &line.partition], line.lag())
    }),
    each!("tripline_source_next_offset", "Next record to read", SOURCE, sources, |source, samples| {
        samples.put(&[&source.input, &source.partition], source.next)
    }),
    each!("tripline_source_watermark_timestamp_seconds", "Event time reached", SOURCE, sources, |source, samples| {
        samples.put_time(&[&source.input, &source.partition], source.watermark)
    }),
    each!("tripline_source_rules_revision", "The push that its rules come from", SOURCE, sources, |source, samples| {
        samples.put(&[&source.input, &source.partition], source.revision)
    }),
    each!("tripline_source_idle", "1 while nothing new comes", SOURCE, sources, |source, samples| {
        samples.put_flag(&[&source.input, &source.partition], source.idle)
    }),
    each!(
        "tripline_source_paused",
        "1 while it waits for others that are behind",
        SOURCE,
        sources,
        |source, samples| { samples.put_flag(&[&source.input, &source.partition], source.paused) }
    ),
    each!(
        "tripline_source_left_out",
        "1 while the others' time goes on without it",
        SOURCE,
        sources,
        |source, samples| { samples.put_flag(&[&source.input, &source.partition], source.left_out) }
    ),
    each!("tripline_source_events_total", "Records that became events", SOURCE, sources, |source, samples| {
        samples.put(&[&source.input, &source.partition], source.events)
    }),
    each!("tripline_source_late_total", "Events behind their watermark", SOURCE, sources, |source, samples| {
        samples.put(&[&source.input, &source.partition], source.late)
    }),
    each!(
        "tripline_source_clamped_total",
        "Event times set back from the future",
        SOURCE,
        sources,
        |source, samples| { samples.put(&[&source.input, &source.partition], source.clamped) }
    ),
    each!("tripline_source_dead_letters_total", "Records that became no event", SOURCE, sources, |source, samples| {
        samples.put(&[&source.input, &source.partition], source.dead_letters)
    }),
    each!("tripline_source_missed_total", "Records that retention took unread", SOURCE, sources, |source, samples| {
        samples.put(&[&source.input, &source.partition], source.missed)
    }),
    each!(
        "tripline_source_disorder_seconds",
        "Least lateness with which nothing is late",
        SOURCE,
        sources,
        |source, samples| { samples.put_f64(&[&source.input, &source.partition], source.disorder_ms as f64 / 1e3) }
    ),
    Family {
        name: "tripline_source_behind_seconds",
        help: "The wall clock less the event time reached",
        labels: SOURCE,
        read: |status, samples| {
            for source in &status.sources {
                let behind = status.behind(source.watermark).map(|behind| behind.as_secs_f64());
                behind.into_iter().for_each(|behind| samples.put_f64(&[&source.input, &source.partition], behind));
            }
        },
    },
    each!(
        "tripline_reached_timestamp_seconds",
        "Event time of a source that correlate has reached",
        SOURCE,
        reached,
        |reached, samples| { samples.put_time(&[&reached.input, &reached.partition], reached.watermark) }
    ),
    each!(
        "tripline_reached_offset",
        "Last event of a source whose signal correlate has",
        SOURCE,
        reached,
        |reached, samples| { samples.put_some(&[&reached.input, &reached.partition], reached.accepted) }
    ),
    each!("tripline_signals_next_offset", "Next signal to read", SIGNALS, signals, |signals, samples| {
        samples.put(&[&signals.partition], signals.next)
    }),
    each!(
        "tripline_signals_frontier_timestamp_seconds",
        "Event time released",
        SIGNALS,
        signals,
        |signals, samples| { samples.put_time(&[&signals.partition], signals.frontier) }
    ),
    each!(
        "tripline_signals_buffered_records",
        "Signals waiting for their turn",
        SIGNALS,
        signals,
        |signals, samples| { samples.put(&[&signals.partition], signals.buffered) }
    ),
    each!("tripline_signals_restored_records", "Changelog read so far", SIGNALS, signals, |signals, samples| {
        samples.put(&[&signals.partition], signals.restored)
    }),
    each!("tripline_signals_to_restore_records", "Changelog to read", SIGNALS, signals, |signals, samples| {
        samples.put(&[&signals.partition], signals.to_restore)
    }),
    each!(
        "tripline_signals_resume_read_records",
        "Changelog that its line read before it began",
        SIGNALS,
        signals,
        |signals, samples| { samples.put(&[&signals.partition], signals.resume_read) }
    ),
    each!(
        "tripline_signals_resume_followed_records",
        "Values that its line had from following the changelog",
        SIGNALS,
        signals,
        |signals, samples| { samples.put(&[&signals.partition], signals.resume_followed) }
    ),
    each!(
        "tripline_signals_rules_revision",
        "The push that its rules come from",
        SIGNALS,
        signals,
        |signals, samples| { samples.put(&[&signals.partition], signals.revision) }
    ),
    each!("tripline_signals_keys", "Keys with state", SIGNALS, signals, |signals, samples| {
        samples.put(&[&signals.partition], signals.keys)
    }),
    each!("tripline_signals_read_total", "Signals", SIGNALS, signals, |signals, samples| {
        samples.put(&[&signals.partition], signals.signals)
    }),
    each!("tripline_signals_late_total", "Signals too late for their window", SIGNALS, signals, |signals, samples| {
        samples.put(&[&signals.partition], signals.late)
    }),
    each!("tripline_signals_duplicates_total", "Signals seen before", SIGNALS, signals, |signals, samples| {
        samples.put(&[&signals.partition], signals.duplicates)
    }),
    each!(
        "tripline_signals_stale_epoch_total",
        "Signals of lines that had lost their partition",
        SIGNALS,
        signals,
        |signals, samples| { samples.put(&[&signals.partition], signals.stale_epoch) }
    ),
    each!(
        "tripline_signals_unknown_rule_total",
        "Signals of rules that are not loaded",
        SIGNALS,
        signals,
        |signals, samples| { samples.put(&[&signals.partition], signals.unknown_rule) }
    ),
    each!(
        "tripline_signals_before_join_total",
        "Signals older than their source's join",
        SIGNALS,
        signals,
        |signals, samples| { samples.put(&[&signals.partition], signals.before_join) }
    ),
    each!("tripline_keys_evicted_total", "Keys dropped by a bound", SIGNALS, signals, |signals, samples| {
        samples.put(&[&signals.partition], signals.evicted_keys)
    }),
    each!(
        "tripline_keys_retired_total",
        "Keys that went with their rule or its shape",
        SIGNALS,
        signals,
        |signals, samples| { samples.put(&[&signals.partition], signals.retired_keys) }
    ),
    each!(
        "tripline_signals_missed_total",
        "Signals that retention took unread",
        SIGNALS,
        signals,
        |signals, samples| { samples.put(&[&signals.partition], signals.missed) }
    ),
    each!(
        "tripline_signals_dead_letters_total",
        "Signals that killed their line twice",
        SIGNALS,
        signals,
        |signals, samples| { samples.put(&[&signals.partition], signals.dead_letters) }
    ),
    each!("tripline_signals_evicted_total", "Signals dropped from full keys", SIGNALS, signals, |signals, samples| {
        samples.put(&[&signals.partition], signals.evicted)
    }),
    each!(
        "tripline_list_entries_dropped_total",
        "Entries dropped from full lists that rules write, or too long for any",
        SIGNALS,
        signals,
        |signals, samples| { samples.put(&[&signals.partition], signals.unlisted) }
    ),
    each!(
        "tripline_signals_suppressed_total",
        "Signals counted into open alerts",
        SIGNALS,
        signals,
        |signals, samples| { samples.put(&[&signals.partition], signals.suppressed) }
    ),
    each!(
        "tripline_standby_next_offset",
        "Next record of another process's state to follow",
        SIGNALS,
        followed,
        |followed, samples| { samples.put(&[&followed.partition], followed.next) }
    ),
    each!("tripline_standby_end_offset", "Where that state ended", SIGNALS, followed, |followed, samples| {
        samples.put(&[&followed.partition], followed.end)
    }),
    each!("tripline_standby_bytes", "Memory for a state that is followed", SIGNALS, followed, |followed, samples| {
        samples.put(&[&followed.partition], followed.bytes)
    }),
    Family {
        name: "tripline_standby_dropped_total",
        help: "States no longer followed because all of them took too much memory",
        labels: &[],
        read: |status, samples| samples.put(&[], status.standby.dropped),
    },
    Family {
        name: "tripline_standby_begun_anew_total",
        help: "States given up and followed anew: reading failed, or something may be missing",
        labels: &[],
        read: |status, samples| samples.put(&[], status.standby.begun_anew),
    },
    each!("tripline_sink_delivered_total", "Alerts delivered", SINK, sinks, |sink, samples| {
        samples.put(&[&sink.name], sink.delivered)
    }),
    each!("tripline_sink_failed_attempts_total", "Attempts that failed", SINK, sinks, |sink, samples| {
        samples.put(&[&sink.name], sink.failed_attempts)
    }),
    each!("tripline_sink_given_up_total", "Alerts in dead letters", SINK, sinks, |sink, samples| {
        samples.put(&[&sink.name], sink.given_up)
    }),
    each!("tripline_sink_unwanted_total", "Alerts that the sink's filter holds back", SINK, sinks, |sink, samples| {
        samples.put(&[&sink.name], sink.unwanted)
    }),
    each!("tripline_sink_missed_total", "Alerts that retention took undelivered", SINK, sinks, |sink, samples| {
        samples.put(&[&sink.name], sink.missed)
    }),
    each!("tripline_sink_sending_alerts", "Alerts under way", SINK, sinks, |sink, samples| {
        samples.put(&[&sink.name], sink.sending)
    }),
    each!(
        "tripline_sink_sending_since_timestamp_seconds",
        "Since when they are tried, by the wall clock",
        SINK,
        sinks,
        |sink, samples| { samples.put_time(&[&sink.name], sink.sending_since) }
    ),
    each!("tripline_rule_matched_total", "Events that a pattern matched", RULE, rules, |rule, samples| {
        samples.put(&[&rule.id], rule.matched)
    }),
    each!("tripline_rule_missing_key_total", "Matches without a key", RULE, rules, |rule, samples| {
        samples.put(&[&rule.id], rule.missing_key)
    }),
    each!(
        "tripline_rule_missing_value_total",
        "Signals that lack a field of first_seen",
        RULE,
        rules,
        |rule, samples| { samples.put(&[&rule.id], rule.missing_value) }
    ),
    each!(
        "tripline_rule_keys_cut_total",
        "Keys of one event, and combinations of its values, beyond the bound",
        RULE,
        rules,
        |rule, samples| { samples.put(&[&rule.id], rule.keys_cut) }
    ),
    each!(
        "tripline_rule_passed_by_total",
        "Events and signals that passed it in quarantine",
        RULE,
        rules,
        |rule, samples| { samples.put(&[&rule.id], rule.passed_by) }
    ),
    each!("tripline_rule_fired_total", "Alerts fired or opened", RULE, rules, |rule, samples| {
        samples.put(&[&rule.id], rule.fired)
    }),
    each!("tripline_rule_late_total", "Late signals that changed nothing", RULE, rules, |rule, samples| {
        samples.put(&[&rule.id], rule.late)
    }),
    each!(
        "tripline_rule_script_failures_total",
        "Scripts that failed or stopped at a limit",
        RULE,
        rules,
        |rule, samples| { samples.put(&[&rule.id], rule.script_failures) }
    ),
    each!("tripline_rule_quarantined", "1 while the rule is set aside", RULE, rules, |rule, samples| {
        samples.put_flag(&[&rule.id], rule.quarantined)
    }),
];
