//! Logs, metrics and the status board.
pub mod log;

use crate::{
    correlate::{Counts, Standing},
    detect::{Marker, RuleCounts, SourceCounts},
    log::TopicPartition,
};
#[derive(Clone, Default)]
pub struct Telemetry;
pub enum LineState {
    Running,
    Restarting,
    Stopped,
    Halted,
}
impl Telemetry {
    pub fn line_state(&self, _: &str, _: &str, _: &TopicPartition, _: LineState) {}
    pub fn line_error(&self, _: &str, _: &str, _: &TopicPartition, _: &str) {}
    pub fn line_gone(&self, _: &str, _: &str, _: &TopicPartition) {}
    pub fn count_restart(&self, _: &str) {}
    pub fn source_paused(&self, _: &str, _: u32, _: bool) {}
    pub fn source_read(&self, _: &str, _: u32, _: u64, _: &SourceCounts, _: &Marker) {}
    pub fn count_left_out(&self, _: &str) {}
    pub fn rule_detected(&self, _: &str, _: &RuleCounts) {}
    pub fn count_dead_letter(&self, _: &str, _: &str) {}
    pub fn correlated(&self, _: u32, _: u64, _: &Counts, _: &Standing) {}
    pub fn sink_delivered(&self, _: &str, _: &crate::notify::Delivered) {}
    pub fn sink_gave_up(&self, _: &str, _: &str) {}
}
