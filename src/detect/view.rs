//! Records of the signals log as they lie in their bytes: reading one copies no text.

use serde::{Deserialize, Serialize};

use super::{
    Marker, Roster,
    signal::{Signal, SignalRecord, VERSION},
};
use crate::{
    event::{Scalar, Timestamp, Value, frame},
    rule::{ListWrite, Question},
};

/// A [`SignalRecord`] that borrows what is in a signal. The bytes are the same.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub enum RecordView<'a> {
    #[serde(borrow)]
    Signal(SignalView<'a>),
    Marker(Marker),
    Roster(Roster),
    List(ListWrite),
}

/// A [`Signal`], borrowed.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct SignalView<'a> {
    pub rule: &'a str,
    pub shape: u64,
    pub pattern: &'a str,
    #[serde(borrow)]
    pub key: Vec<&'a str>,
    pub time: Timestamp,
    #[serde(borrow)]
    pub position: PositionView<'a>,
    pub element: u32,
    pub late: bool,
    pub epoch: u64,
    #[serde(borrow)]
    pub fields: Vec<(&'a str, ValueView<'a>)>,
    pub question: Option<Question>,
}

/// A position, borrowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct PositionView<'a> {
    pub input: &'a str,
    pub partition: u32,
    pub offset: u64,
}

/// A value, borrowed. Its bytes are those of a [`Value`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ValueView<'a> {
    Null,
    Bool(bool),
    /// As written.
    Number(&'a str),
    Text(&'a str),
    #[serde(borrow)]
    Array(Vec<ValueView<'a>>),
    #[serde(borrow)]
    Object(Vec<(&'a str, ValueView<'a>)>),
}

impl<'a> RecordView<'a> {
    /// # Errors
    /// When the bytes are no record of this version.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, frame::FrameError> {
        frame::open(VERSION, bytes)
    }
}

impl<'a> From<&'a SignalRecord> for RecordView<'a> {
    fn from(record: &'a SignalRecord) -> Self {
        match record {
            SignalRecord::Signal(signal) => RecordView::Signal(signal.into()),
            SignalRecord::Marker(marker) => RecordView::Marker(marker.clone()),
            SignalRecord::Roster(roster) => RecordView::Roster(roster.clone()),
            SignalRecord::List(write) => RecordView::List(write.clone()),
        }
    }
}

impl<'a> From<&'a Signal> for SignalView<'a> {
    fn from(signal: &'a Signal) -> Self {
        let position = &signal.position;
        SignalView {
            rule: &signal.rule,
            shape: signal.shape,
            pattern: &signal.pattern,
            key: signal.key.iter().map(|element| &**element).collect(),
            time: signal.time,
            position: PositionView { input: &position.input, partition: position.partition, offset: position.offset },
            element: signal.element,
            late: signal.late,
            epoch: signal.epoch,
            fields: signal.fields.iter().map(|(path, value)| (&**path, value.into())).collect(),
            question: signal.question.clone(),
        }
    }
}

impl<'a> From<&'a Value> for ValueView<'a> {
    fn from(value: &'a Value) -> Self {
        match value {
            Value::Null => ValueView::Null,
            Value::Bool(value) => ValueView::Bool(*value),
            Value::Number(number) => ValueView::Number(number.as_written()),
            Value::Text(text) => ValueView::Text(text),
            Value::Array(items) => ValueView::Array(items.iter().map(ValueView::from).collect()),
            Value::Object(entries) => {
                ValueView::Object(entries.iter().map(|(name, value)| (&**name, value.into())).collect())
            }
        }
    }
}

impl<'a> ValueView<'a> {
    /// Visits every scalar of this value, arrays opened.
    pub fn each_scalar(&self, visit: &mut dyn FnMut(Scalar<'a>)) {
        match self {
            ValueView::Null | ValueView::Object(_) => {}
            ValueView::Bool(value) => visit(Scalar::Bool(*value)),
            ValueView::Number(written) => visit(Scalar::Number(written)),
            ValueView::Text(text) => visit(Scalar::Text(text)),
            ValueView::Array(items) => items.iter().for_each(|item| item.each_scalar(visit)),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::event::{Fields, Position};

    #[test]
    fn a_record_reads_as_it_was_written() {
        let Value::Object(entries) = Value::from_json(&json!({
            "n": 1e3, "t": "text", "b": true, "a": [1, "x", [false], {"o": {"deep": [2]}}], "empty": []
        })) else {
            panic!("an object")
        };
        let fields: Fields = entries.into_iter().map(|(name, value)| (name.to_string(), value)).collect();
        let signal = SignalRecord::Signal(Signal {
            rule: "r".into(),
            shape: u64::MAX,
            pattern: "p".into(),
            key: vec!["203.0.113.9".into(), "é".into()],
            time: Timestamp(-7),
            position: Position { input: "in".into(), partition: 3, offset: 1 << 40 },
            element: 2,
            late: true,
            epoch: 9,
            fields,
            question: Some(Question::Known(true)),
        });
        let roster = SignalRecord::Roster(Roster { inputs: [("in".into(), vec![0, 1])].into() });
        for record in [signal, roster] {
            assert_eq!(RecordView::decode(&record.encode()).unwrap(), RecordView::from(&record));
        }
    }
}
