//! One metric that is read off a snapshot of the board, and its samples in Prometheus' terms: a name that ends in
//! `_total` is a counter, any other a gauge.

use std::fmt::Display;

use prometheus::proto::{Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType};

use crate::{event::Timestamp, telemetry::status::Status};

/// A metric that is read off the board.
pub(super) struct Family {
    pub name: &'static str,
    pub help: &'static str,
    pub labels: &'static [&'static str],
    pub read: fn(&Status, &mut Samples),
}

/// A family's label values and values.
pub(super) struct Samples(Vec<(Vec<String>, f64)>);

impl Samples {
    pub fn put(&mut self, labels: &[&dyn Display], value: u64) {
        self.put_f64(labels, value as f64);
    }

    pub fn put_flag(&mut self, labels: &[&dyn Display], flag: bool) {
        self.put(labels, u64::from(flag));
    }

    /// Nothing when it is not known yet.
    pub fn put_some(&mut self, labels: &[&dyn Display], value: Option<u64>) {
        value.into_iter().for_each(|value| self.put(labels, value));
    }

    /// Nothing when there is no time yet.
    pub fn put_time(&mut self, labels: &[&dyn Display], time: Option<Timestamp>) {
        if let Some(Timestamp(nanos)) = time {
            self.put_f64(labels, nanos as f64 / 1e9);
        }
    }

    pub fn put_f64(&mut self, labels: &[&dyn Display], value: f64) {
        self.0.push((labels.iter().map(|label| label.to_string()).collect(), value));
    }
}

impl Family {
    /// `None` when the board has nothing for it yet.
    pub fn read(&self, status: &Status) -> Option<MetricFamily> {
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
