//! Every metric, with its help and its labels: those of the board in one table, those that need histograms as fields.
//!
//! The board's metrics are read from a snapshot when they are asked for, so `/metrics` and `/v1/status` can't differ,
//! and a partition that went to another process leaves no stale series behind.

mod families;
mod family;

use prometheus::{Histogram, HistogramOpts, HistogramVec, Registry, TextEncoder};

use self::families::FAMILIES;
use super::status::Status;

/// The metrics that are written as things happen.
pub struct Metrics {
    registry: Registry,
    pub(super) http_request_seconds: HistogramVec,
    pub(super) resume_seconds: Histogram,
}

impl Default for Metrics {
    fn default() -> Self {
        let registry = Registry::new();
        let http_request_seconds = histogram(
            &registry,
            ("tripline_http_request_seconds", "How long HTTP requests took to answer", &["route", "status"]),
            &[0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0],
        );
        let resume_seconds = histogram(
            &registry,
            ("tripline_signals_resume_seconds", "From a partition's assignment until its line read on", &[]),
            &[0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0],
        )
        .with_label_values::<&str>(&[]);
        Metrics { registry, http_request_seconds, resume_seconds }
    }
}

impl Metrics {
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

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, sync::Arc, time::Duration};

    use super::*;
    use crate::{
        clock::Clock,
        correlate::{Counts, Reached, Standing},
        decode::DecodeSpec,
        event::Timestamp,
        input::Intake,
        log::{TopicPartition, memory::MemoryLog},
        telemetry::{RuleSetStatus, Telemetry, status::LineState},
    };

    fn intake() -> Arc<Intake> {
        let spec = DecodeSpec::default();
        Arc::new(Intake::new(MemoryLog::new(), "events".into(), 1, Clock::manual(0), &spec, 1_000))
    }

    fn reached(watermark: Option<Timestamp>) -> Reached {
        Reached { input: "auth".into(), partition: 2, watermark, accepted: Some(7) }
    }

    fn busy() -> Telemetry {
        let telemetry = Telemetry::default();
        let at = TopicPartition { topic: "t".into(), partition: 2 };
        let standing = Standing { frontier: Some(Timestamp(1_500_000_000)), buffered: 1, keys: 2, revision: 3 };
        telemetry.set_rules(
            RuleSetStatus { refused: 1, revision: Some(3), ..RuleSetStatus::default() },
            [&Arc::from("ssh")],
        );
        telemetry.watch_intake("http", intake());
        telemetry.refused("http", "no room");
        telemetry.line_state("detect", "", &at, LineState::Restarting);
        telemetry.line_lag("detect", "", &at, 5, 9);
        telemetry.source_taken("auth", 2, &at);
        telemetry.board.source("auth", 2, |source| source.watermark = Some(Timestamp(0)));
        telemetry.correlated(1, 10, &Counts { late: 4, ..Counts::default() }, &standing);
        telemetry.reached(1, vec![reached(Some(Timestamp(2_000_000_000)))]);
        telemetry.reached(2, vec![reached(Some(Timestamp(1_000_000_000)))]);
        telemetry.sink_sending("mail", 3, 1_000);
        telemetry.count_dead_letter("decode", "not_json");
        telemetry.count_restart("correlate");
        telemetry.count_left_out("auth");
        telemetry.restoring(1, 300, 4_000);
        telemetry.standby_followed(3, 7, 9, 1, 1_024);
        telemetry.membership("correlate", "", Some("the brokers do not answer"));
        telemetry.answered("/metrics", 200, Duration::from_millis(2));
        telemetry
    }

    #[test]
    fn what_the_board_holds_is_what_prometheus_reads() {
        let text = busy().encode();
        for line in [
            "tripline_line_lag_records{stage=\"detect\",name=\"\",topic=\"t\",partition=\"2\"} 4",
            "tripline_line_running{stage=\"detect\",name=\"\",topic=\"t\",partition=\"2\"} 0",
            "tripline_signals_frontier_timestamp_seconds{partition=\"1\"} 1.5",
            "tripline_signals_late_total{partition=\"1\"} 4",
            "# TYPE tripline_dead_letters_total counter",
            "tripline_dead_letters_total{stage=\"decode\",reason=\"not_json\"} 1",
            "tripline_restarts_total{stage=\"correlate\"} 1",
            "tripline_intake_refused_total{input=\"http\"} 1",
            "tripline_sink_sending_since_timestamp_seconds{sink=\"mail\"} 1",
            "tripline_http_request_seconds_count{route=\"/metrics\",status=\"200\"} 1",
            "tripline_up 0",
            "tripline_reached_timestamp_seconds{input=\"auth\",partition=\"2\"} 1",
            "tripline_reached_offset{input=\"auth\",partition=\"2\"} 7",
            "tripline_signals_restored_records{partition=\"1\"} 300",
            "tripline_signals_to_restore_records{partition=\"1\"} 4000",
            "tripline_standby_next_offset{partition=\"3\"} 7",
            "tripline_standby_bytes{partition=\"3\"} 1024",
            "tripline_stage_joined{stage=\"correlate\",name=\"\"} 0",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
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

    #[test]
    fn every_number_that_the_readme_tells_misses_by_is_there() {
        let readme = include_str!("../../README.md");
        let section = readme.split("### What a miss looks like").nth(1).expect("its section");
        let table = section.lines().skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|'));
        let quoted = table.flat_map(|line| line.split('`').skip(1).step_by(2));
        let named = quoted.filter_map(|name| match name.strip_prefix('_') {
            Some(rest) => Some(format!("tripline_intake_{rest}")),
            None => name.starts_with("tripline_").then(|| name.to_owned()),
        });
        let named: Vec<String> = named.collect();
        assert!(named.len() > 25, "{named:?}");
        for name in named {
            assert!(FAMILIES.iter().any(|family| family.name == name), "{name} is no metric");
        }
    }
}
