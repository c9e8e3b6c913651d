//! Every metric, with its help and its labels: those of the board in one table, those that need histograms as fields.
//!
//! The board's metrics are read from a snapshot when they are asked for, so `/metrics` and `/v1/status` can't differ,
//! and a partition that went to another process leaves no stale series behind.

use std::fmt::Display;

use prometheus::{
    HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry, TextEncoder,
    proto::{Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType},
};

use super::status::{LineState, Phase, Status};
use crate::event::Timestamp;

/// The metrics that are written as things happen.
pub struct Metrics {
    registry: Registry,
    pub(super) batch_seconds: HistogramVec,
    pub(super) commit_seconds: HistogramVec,
    pub(super) send_seconds: HistogramVec,
    pub(super) http_requests: IntCounterVec,
}

impl Metrics {
    pub(super) fn new() -> Self {
        let registry = Registry::new();
        Metrics {
            batch_seconds: histogram(
                &registry,
                ("tripline_batch_seconds", "How long a stage worked on one batch", &["stage"]),
                &[0.000_1, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0],
            ),
            commit_seconds: histogram(
                &registry,
                ("tripline_commit_seconds", "How long a stage waited until its outcome was durable", &["stage"]),
                &[0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1.0, 5.0],
            ),
            send_seconds: histogram(
                &registry,
                ("tripline_sink_send_seconds", "How long one attempt of a sink took", &["sink"]),
                &[0.001, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0],
            ),
            http_requests: {
                let options = Opts::new("tripline_http_requests_total", "HTTP requests answered");
                let counter = IntCounterVec::new(options, &["route", "status"]).expect("the names are well-formed");
                registry.register(Box::new(counter.clone())).expect("each metric is registered once");
                counter
            },
            registry,
        }
    }

    /// Prometheus' text format, version 0.0.4.
    pub(super) fn encode(&self, status: &Status) -> String {
        let mut families = self.registry.gather();
        families.extend(FAMILIES.iter().filter_map(|family| family.read(status)));
        TextEncoder::new().encode_to_string(&families).expect("families have metrics, and metrics their type")
    }
}

fn histogram(registry: &Registry, (name, help, labels): (&str, &str, &[&str]), buckets: &[f64]) -> HistogramVec {
    let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
    let histogram = HistogramVec::new(options, labels).expect("the names are well-formed");
    registry.register(Box::new(histogram.clone())).expect("each metric is registered once");
    histogram
}

/// A metric that is read off the board.
struct Family {
    name: &'static str,
    help: &'static str,
    labels: &'static [&'static str],
    read: fn(&Status, &mut Samples),
}

/// A family's label values and values.
struct Samples(Vec<(Vec<String>, f64)>);

impl Samples {
    fn put(&mut self, labels: &[&dyn Display], value: u64) {
        self.put_f64(labels, value as f64);
    }

    fn put_flag(&mut self, labels: &[&dyn Display], flag: bool) {
        self.put(labels, u64::from(flag));
    }

    /// Nothing when there is no time yet.
    fn put_time(&mut self, labels: &[&dyn Display], time: Option<Timestamp>) {
        if let Some(Timestamp(nanos)) = time {
            self.put_f64(labels, nanos as f64 / 1e9);
        }
    }

    fn put_f64(&mut self, labels: &[&dyn Display], value: f64) {
        self.0.push((labels.iter().map(|label| label.to_string()).collect(), value));
    }
}

impl Family {
    fn read(&self, status: &Status) -> Option<MetricFamily> {
        let mut samples = Samples(Vec::new());
        (self.read)(status, &mut samples);
        let is_counter = self.name.ends_with("_total");
        let metrics: Vec<Metric> = samples.0.iter().map(|sample| self.metric(sample, is_counter)).collect();
        if metrics.is_empty() {
            return None;
        }
        let mut family = MetricFamily::default();
        family.set_name(self.name.to_owned());
        family.set_help(self.help.to_owned());
        family.set_field_type(if is_counter { MetricType::COUNTER } else { MetricType::GAUGE });
        family.set_metric(metrics);
        Some(family)
    }

    fn metric(&self, (labels, value): &(Vec<String>, f64), is_counter: bool) -> Metric {
        let pair = |(name, value): (&&str, &String)| {
            let mut pair = LabelPair::default();
            pair.set_name((*name).to_owned());
            pair.set_value(value.clone());
            pair
        };
        let mut metric = Metric::from_label(self.labels.iter().zip(labels).map(pair).collect());
        if is_counter {
            let mut counter = Counter::default();
            counter.set_value(*value);
            metric.set_counter(counter);
        } else {
            let mut gauge = Gauge::default();
            gauge.set_value(*value);
            metric.set_gauge(gauge);
        }
        metric
    }
}

const INPUT: &[&str] = &["input"];
const SOURCE: &[&str] = &["input", "partition"];
const SIGNALS: &[&str] = &["partition"];
const SINK: &[&str] = &["sink"];
const RULE: &[&str] = &["rule"];

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

const FAMILIES: &[Family] = &[
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
    each!("tripline_dead_letters_total", "Records in dead letters", STAGE_REASON, dead_letters, |letters, samples| {
        samples.put(&[&letters.stage.as_str(), &letters.reason], letters.count)
    }),
    each!("tripline_restarts_total", "Lines built anew after a failure", STAGE, restarts, |restarts, samples| {
        samples.put(&[&restarts.stage.as_str()], restarts.count)
    }),
    each!("tripline_intake_accepted_total", "Records received and durable", INPUT, intake, |intake, samples| {
        samples.put(&[&intake.input], intake.accepted)
    }),
    each!(
        "tripline_intake_rejected_total",
        "Records received that are not events",
        INPUT,
        intake,
        |intake, samples| { samples.put(&[&intake.input], intake.rejected) }
    ),
    each!("tripline_intake_refused_total", "Batches that the log did not take", INPUT, intake, |intake, samples| {
        samples.put(&[&intake.input], intake.refused)
    }),
    each!("tripline_source_next_offset", "Next record to read", SOURCE, sources, |source, samples| {
        samples.put(&[&source.input, &source.partition], source.next)
    }),
    each!("tripline_source_lag_records", "Records that wait to be read", SOURCE, sources, |source, samples| {
        source.lag().into_iter().for_each(|lag| samples.put(&[&source.input, &source.partition], lag))
    }),
    each!("tripline_source_watermark_timestamp_seconds", "Event time reached", SOURCE, sources, |source, samples| {
        samples.put_time(&[&source.input, &source.partition], source.watermark)
    }),
    each!("tripline_source_idle", "1 while nothing new comes", SOURCE, sources, |source, samples| {
        samples.put_flag(&[&source.input, &source.partition], source.idle)
    }),
    each!("tripline_source_running", "1 while the partition is read", SOURCE, sources, |source, samples| {
        samples.put_flag(&[&source.input, &source.partition], source.state == LineState::Running)
    }),
    each!("tripline_source_restarts_total", "Restarts of the line", SOURCE, sources, |source, samples| {
        samples.put(&[&source.input, &source.partition], source.restarts)
    }),
    each!("tripline_source_decoded_total", "Records that became events", SOURCE, sources, |source, samples| {
        samples.put(&[&source.input, &source.partition], source.decoded)
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
    each!("tripline_source_gap_total", "Records that retention took unread", SOURCE, sources, |source, samples| {
        samples.put(&[&source.input, &source.partition], source.gap)
    }),
    each!("tripline_signals_next_offset", "Next signal to read", SIGNALS, signals, |signals, samples| {
        samples.put(&[&signals.partition], signals.next)
    }),
    each!("tripline_signals_lag_records", "Signals that wait to be read", SIGNALS, signals, |signals, samples| {
        signals.lag().into_iter().for_each(|lag| samples.put(&[&signals.partition], lag))
    }),
    each!(
        "tripline_signals_frontier_timestamp_seconds",
        "Event time released",
        FRONTIER,
        signals,
        |signals, samples| {
            for frontier in &signals.frontiers {
                samples.put_time(&[&signals.partition, &frontier.inputs], frontier.at);
            }
        }
    ),
    each!("tripline_signals_buffered_records", "Signals waiting in order", SIGNALS, signals, |signals, samples| {
        samples.put(&[&signals.partition], signals.buffered)
    }),
    each!("tripline_signals_keys", "Keys with state", SIGNALS, signals, |signals, samples| {
        samples.put(&[&signals.partition], signals.keys)
    }),
    each!("tripline_signals_running", "1 while the partition is read", SIGNALS, signals, |signals, samples| {
        samples.put_flag(&[&signals.partition], signals.state == LineState::Running)
    }),
    each!("tripline_signals_restarts_total", "Restarts of the line", SIGNALS, signals, |signals, samples| {
        samples.put(&[&signals.partition], signals.restarts)
    }),
    each!("tripline_signals_late_total", "Signals too late for their window", SIGNALS, signals, |signals, samples| {
        samples.put(&[&signals.partition], signals.late)
    }),
    each!("tripline_signals_duplicates_total", "Signals seen before", SIGNALS, signals, |signals, samples| {
        samples.put(&[&signals.partition], signals.duplicates)
    }),
    each!(
        "tripline_signals_before_join_total",
        "Older than their source's join",
        SIGNALS,
        signals,
        |signals, samples| { samples.put(&[&signals.partition], signals.before_join) }
    ),
    each!("tripline_signals_evicted_total", "Signals dropped from full keys", SIGNALS, signals, |signals, samples| {
        samples.put(&[&signals.partition], signals.evicted)
    }),
    each!("tripline_sink_delivered_total", "Alerts delivered", SINK, sinks, |sink, samples| {
        samples.put(&[&sink.name], sink.delivered)
    }),
    each!("tripline_sink_filtered_total", "Alerts that the filter passes over", SINK, sinks, |sink, samples| {
        samples.put(&[&sink.name], sink.filtered)
    }),
    each!("tripline_sink_failed_total", "Attempts that failed", SINK, sinks, |sink, samples| {
        samples.put(&[&sink.name], sink.failed)
    }),
    each!("tripline_sink_given_up_total", "Alerts in dead letters", SINK, sinks, |sink, samples| {
        samples.put(&[&sink.name], sink.given_up)
    }),
    each!("tripline_sink_lag_records", "Alerts that wait", SINK, sinks, |sink, samples| {
        samples.put(&[&sink.name], sink.lag)
    }),
    each!("tripline_sink_retrying_since_timestamp_seconds", "Since when it is down", SINK, sinks, |sink, samples| {
        samples.put_time(&[&sink.name], sink.retrying_since)
    }),
    each!("tripline_sink_restarts_total", "Restarts of the line", SINK, sinks, |sink, samples| {
        samples.put(&[&sink.name], sink.restarts)
    }),
    each!("tripline_rule_matched_total", "Signals", RULE, rules, |rule, samples| {
        samples.put(&[&rule.id], rule.matched)
    }),
    each!("tripline_rule_fired_total", "Alerts fired or opened", RULE, rules, |rule, samples| {
        samples.put(&[&rule.id], rule.fired)
    }),
    each!("tripline_rule_script_failures_total", "Scripts failed or stopped", RULE, rules, |rule, samples| {
        samples.put(&[&rule.id], rule.script_failures)
    }),
    each!("tripline_rule_quarantined", "1 while the rule is set aside", RULE, rules, |rule, samples| {
        samples.put_flag(&[&rule.id], rule.quarantined)
    }),
    each!("tripline_rule_missing_key_total", "Matches without a key", RULE, rules, |rule, samples| {
        samples.put(&[&rule.id], rule.missing_key)
    }),
    each!("tripline_rule_late_total", "Late signals that changed nothing", RULE, rules, |rule, samples| {
        samples.put(&[&rule.id], rule.late)
    }),
];

const STAGE: &[&str] = &["stage"];
const STAGE_REASON: &[&str] = &["stage", "reason"];
const FRONTIER: &[&str] = &["partition", "inputs"];

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, time::Duration};

    use super::*;
    use crate::telemetry::{Frontier, Stage, Telemetry};

    fn busy() -> Telemetry {
        let telemetry = Telemetry::new();
        telemetry.set_rules("hash", &["ssh".into()], 1);
        telemetry.intake("http").update(|intake| intake.accepted += 3);
        telemetry.source("auth", 2).update(|source| {
            source.next = 5;
            source.end = Some(9);
            source.watermark = Some(Timestamp(1_500_000_000));
        });
        telemetry.signals(1).update(|signals| {
            signals.end = Some(1);
            signals.frontiers.push(Frontier { inputs: "*".into(), at: Some(Timestamp(0)) });
        });
        telemetry.sink("mail").update(|sink| sink.retrying_since = Some(Timestamp(0)));
        telemetry.count_dead_letter(Stage::Detect, "not_json");
        telemetry.count_restart(Stage::Correlate);
        telemetry.observe_batch(Stage::Detect, Duration::from_millis(2));
        telemetry.observe_commit(Stage::Detect, Duration::from_millis(2));
        telemetry.observe_send("mail", Duration::from_millis(2));
        telemetry.count_request("/metrics", 200);
        telemetry
    }

    #[test]
    fn what_the_board_holds_is_what_prometheus_reads() {
        let text = busy().encode();
        for line in [
            "tripline_source_lag_records{input=\"auth\",partition=\"2\"} 4",
            "tripline_source_watermark_timestamp_seconds{input=\"auth\",partition=\"2\"} 1.5",
            "# TYPE tripline_dead_letters_total counter",
            "tripline_dead_letters_total{reason=\"not_json\",stage=\"detect\"} 1",
            "tripline_restarts_total{stage=\"correlate\"} 1",
            "tripline_intake_accepted_total{input=\"http\"} 3",
            "tripline_http_requests_total{route=\"/metrics\",status=\"200\"} 1",
            "tripline_batch_seconds_count{stage=\"detect\"} 1",
            "tripline_up 0",
        ] {
            let sorted = |line: &str| {
                let mut parts: Vec<_> = line.split(['{', '}', ',']).map(str::to_owned).collect();
                parts.sort();
                parts
            };
            assert!(text.lines().any(|found| sorted(found) == sorted(line)), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn every_family_is_named_once_and_shown() {
        let names: BTreeSet<&str> = FAMILIES.iter().map(|family| family.name).collect();
        assert_eq!(names.len(), FAMILIES.len());
        let text = busy().encode();
        for family in FAMILIES {
            assert!(family.name.starts_with("tripline_") && !family.help.is_empty());
            assert!(text.contains(&format!("# HELP {} {}\n", family.name, family.help)), "{}", family.name);
        }
    }
}
