//! One source partition, from bytes to signals: decode, time, rules.

use std::time::Duration;

use super::{Detector, Facts, Marker, Signal, Watermark, Whole};
use crate::{
    decode::{Decoder, Reject},
    event::{Event, InputName, Position, Timestamp},
};

/// What detect does with one partition of one input. Its answers depend on the records, the rules and the `clock`
/// that each record is given, on nothing else.
pub struct Source {
    input: InputName,
    partition: u32,
    decoder: Decoder,
    watermark: Watermark,
    max_clock_skew: Option<Duration>,
    epoch: u64,
    idle: bool,
    left_out: Option<Duration>,
    detector: Detector,
    last_event_time: Option<Timestamp>,
    counts: SourceCounts,
}

/// What happened in a source since the last [`Source::take_counts`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SourceCounts {
    /// Records that decoded.
    pub events: u64,
    pub late: u64,
    /// Event times that were set back to the clock.
    pub clamped: u64,
    /// Records that became no event.
    pub dead_letters: u64,
}

/// A source's standing, as its input is configured and its last owner left it.
pub struct SourceState {
    pub input: InputName,
    pub partition: u32,
    pub lateness: Duration,
    pub watermark: Option<Timestamp>,
    pub epoch: u64,
    /// How far an event time may be after the clock; `None` leaves every time as it is (replay).
    pub max_clock_skew: Option<Duration>,
}

/// A record to read.
pub struct Raw<'a> {
    pub offset: u64,
    pub bytes: &'a [u8],
    /// The record's own timestamp in milliseconds, where the log has one.
    pub timestamp_ms: Option<i64>,
    /// What event times are held against: the log's stamp of the record, else the reader's clock.
    pub clock: Option<Timestamp>,
}

impl Source {
    pub fn new(state: SourceState, decoder: Decoder, detector: Detector) -> Self {
        let mut decoder = decoder;
        decoder.want(detector.wanted());
        Source {
            watermark: Watermark::new(state.lateness, state.watermark),
            input: state.input,
            partition: state.partition,
            decoder,
            max_clock_skew: state.max_clock_skew,
            epoch: state.epoch,
            idle: false,
            left_out: None,
            detector,
            last_event_time: None,
            counts: SourceCounts::default(),
        }
    }

    /// Decodes a record and gives its signals.
    ///
    /// # Errors
    /// When the record does not decode: it belongs to the dead letters.
    pub fn read(&mut self, raw: Raw<'_>) -> Result<Vec<Signal>, Reject> {
        let read = self.decoder.read(raw.bytes, raw.timestamp_ms);
        let mut read = read.inspect_err(|_| self.counts.dead_letters += 1)?;
        if let (Some(clock), Some(skew)) = (raw.clock, self.max_clock_skew)
            && read.time > clock.plus(skew)
        {
            read.time = clock;
            self.counts.clamped += 1;
        }
        let late = self.note(read.time);
        let decoder = &self.decoder;
        let in_full = || decoder.in_full(&read).expect("a record that was read reads again");
        let facts = Facts {
            view: decoder.view(&read),
            time: read.time,
            input: &self.input,
            partition: self.partition,
            offset: raw.offset,
            late,
            epoch: self.epoch,
            whole: Whole::later(&in_full),
        };
        Ok(self.detector.detect(&facts))
    }

    /// Gives the signals of an event that needs no decoding.
    pub fn see(&mut self, event: Event) -> Vec<Signal> {
        let late = self.note(event.time);
        let read = self.decoder.take(&event);
        let in_full = || event.fields.clone();
        let facts = Facts {
            view: self.decoder.view(&read),
            time: event.time,
            input: &event.position.input,
            partition: event.position.partition,
            offset: event.position.offset,
            late,
            epoch: self.epoch,
            whole: Whole::later(&in_full),
        };
        self.detector.detect(&facts)
    }

    /// A record goes to the dead letters unread.
    pub fn pass_over(&mut self) {
        self.counts.dead_letters += 1;
    }

    /// Counts an event of this time; says whether it is late.
    fn note(&mut self, time: Timestamp) -> bool {
        self.counts.events += 1;
        self.last_event_time = Some(time);
        self.wake();
        let late = self.watermark.observe(time);
        self.counts.late += u64::from(late);
        late
    }

    /// The source is caught up and nothing came for its idle timeout; `span` passed since this was last said.
    pub fn rest(&mut self, span: Duration) {
        self.idle = true;
        self.watermark.advance(span);
    }

    /// No longer known to be idle: there is something to read, or the log can't be asked.
    pub fn wake(&mut self) {
        self.idle = false;
    }

    /// Whether, and from how far behind on, others go on without the source.
    pub fn leave_out(&mut self, left_out: Option<Duration>) {
        self.left_out = left_out;
    }

    pub fn marker(&self) -> Marker {
        Marker {
            input: self.input.clone(),
            partition: self.partition,
            epoch: self.epoch,
            watermark: self.watermark.at(),
            idle: self.idle,
            left_out: self.left_out,
            rules: self.detector.rules().bundle.clone(),
        }
    }

    pub fn watermark(&self) -> Option<Timestamp> {
        self.watermark.at()
    }

    /// The least lateness with which no event so far would have been late.
    pub fn disorder(&self) -> Duration {
        self.watermark.disorder()
    }

    /// The time of the event that was read last.
    pub fn last_event_time(&self) -> Option<Timestamp> {
        self.last_event_time
    }

    pub fn position(&self, offset: u64) -> Position {
        Position { input: self.input.clone(), partition: self.partition, offset }
    }

    pub fn detector(&mut self) -> &mut Detector {
        &mut self.detector
    }

    /// Goes on with another rule set, from the next record.
    pub fn set_detector(&mut self, detector: Detector) {
        self.decoder.want(detector.wanted());
        self.detector = detector;
    }

    pub fn take_counts(&mut self) -> SourceCounts {
        std::mem::take(&mut self.counts)
    }
}
