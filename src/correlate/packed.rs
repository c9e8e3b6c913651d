//! Keys and fields as bytes: what waits and what windows keep is copied as it is, and read where somebody asks.
//!
//! A key's elements follow each other, each after its length. A field is 1 + the number of its path among those that
//! its pattern keeps, or 0 and the path; then its value, in postcard. Numbers are LEB128.

use std::sync::Arc;

use crate::{
    detect::ValueView,
    event::{Fields, FieldsBuilder, Scalar, Value},
};

/// The fields of a signal.
#[derive(Debug, Clone, Copy)]
pub(super) struct Packed<'a> {
    pub bytes: &'a [u8],
    /// The paths that numbers stand for, in byte order.
    pub paths: &'a [Arc<str>],
}

impl<'a> Packed<'a> {
    /// Visits every scalar of the field at `path`, arrays opened.
    pub fn each(self, path: &str, visit: &mut dyn FnMut(Scalar<'a>)) {
        if let Some(value) = self.get(path) {
            value.each_scalar(visit);
        }
    }

    /// The field at `path`. What detect puts into a signal stands at the paths that rules name, so nothing has to be
    /// gathered from other fields.
    pub fn get(self, path: &str) -> Option<ValueView<'a>> {
        let number = self.paths.binary_search_by(|known| (**known).cmp(path)).map_or(0, |at| at as u64 + 1);
        let mut bytes = self.bytes;
        while let Some((of, written, value, rest)) = next_field(bytes) {
            if of == number && (of > 0 || written == path) {
                return Some(value);
            }
            bytes = rest;
        }
        None
    }

    pub fn to_fields(self) -> Fields {
        let mut fields: FieldsBuilder = Fields::builder();
        let mut bytes = self.bytes;
        while let Some((number, written, value, rest)) = next_field(bytes) {
            let path = if number == 0 { written } else { self.paths.get(number as usize - 1).map_or("", |path| path) };
            fields.put(path, owned(&value));
            bytes = rest;
        }
        fields.build()
    }
}

/// A field's number, its path where that is 0, its value, and what follows.
fn next_field(bytes: &[u8]) -> Option<(u64, &str, ValueView<'_>, &[u8])> {
    if bytes.is_empty() {
        return None;
    }
    let mut at = 0;
    let number = read_number(bytes, &mut at);
    let path = if number == 0 { read_part(bytes, &mut at) } else { &[] };
    let (value, rest) = postcard::take_from_bytes(&bytes[at..]).ok()?;
    Some((number, text(path), value, rest))
}

fn owned(value: &ValueView<'_>) -> Value {
    match value {
        ValueView::Null => Value::Null,
        ValueView::Bool(value) => Value::Bool(*value),
        ValueView::Number(written) => Scalar::Number(written).to_value(),
        ValueView::Text(text) => Value::text(text),
        ValueView::Array(items) => Value::Array(items.iter().map(owned).collect()),
        ValueView::Object(entries) => {
            Value::Object(entries.iter().map(|(name, value)| (Arc::from(*name), owned(value))).collect())
        }
    }
}

/// Appends fields; `paths` are those that they mostly have.
pub(super) fn pack_fields(fields: &[(&str, ValueView<'_>)], paths: &[Arc<str>], into: &mut Vec<u8>) {
    for (path, value) in fields {
        match paths.binary_search_by(|known| (**known).cmp(path)) {
            Ok(at) => write_number(into, 1 + at as u64),
            Err(_) => {
                into.push(0);
                write_part(into, path.as_bytes());
            }
        }
        let bytes = std::mem::take(into);
        *into = postcard::to_extend(value, bytes).expect("a value of ours encodes");
    }
}

/// Appends a key.
pub(super) fn pack_key<T: AsRef<str>>(key: &[T], into: &mut Vec<u8>) {
    key.iter().for_each(|element| write_part(into, element.as_ref().as_bytes()));
}

pub(super) fn unpack_key(bytes: &[u8]) -> Vec<Arc<str>> {
    let (mut key, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        key.push(text(read_part(bytes, &mut at)).into());
    }
    key
}

/// What was packed is UTF-8.
fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or_default()
}

/// Bytes after their length.
pub(super) fn write_part(into: &mut Vec<u8>, part: &[u8]) {
    write_number(into, part.len() as u64);
    into.extend_from_slice(part);
}

pub(super) fn read_part<'a>(bytes: &'a [u8], at: &mut usize) -> &'a [u8] {
    let len = read_number(bytes, at) as usize;
    *at += len;
    &bytes[*at - len..*at]
}

pub(super) fn write_number(into: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        into.push(number as u8 | 0x80);
        number >>= 7;
    }
    into.push(number as u8);
}

pub(super) fn read_number(bytes: &[u8], at: &mut usize) -> u64 {
    let mut number = 0;
    let mut shift = 0;
    loop {
        let byte = bytes[*at];
        *at += 1;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return number;
        }
        shift += 7;
    }
}

/// Small whatever the sign (zigzag).
pub(super) fn write_signed(into: &mut Vec<u8>, number: i64) {
    write_number(into, ((number << 1) ^ (number >> 63)) as u64);
}

pub(super) fn read_signed(bytes: &[u8], at: &mut usize) -> i64 {
    let number = read_number(bytes, at);
    (number >> 1) as i64 ^ -((number & 1) as i64)
}

/// Fields as a window has them, for tests.
#[cfg(test)]
pub(super) fn packed(fields: &Fields, paths: &[Arc<str>]) -> Vec<u8> {
    let views: Vec<_> = fields.iter().map(|(path, value)| (&**path, ValueView::from(value))).collect();
    let mut bytes = Vec::new();
    pack_fields(&views, paths, &mut bytes);
    bytes
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_key_is_packed_without_loss() {
        let long = "x".repeat(20_000);
        for key in [vec![], vec!["203.0.113.9"], vec!["a", "", "b"], vec![long.as_str(), "é"]] {
            let mut packed = Vec::new();
            pack_key(&key, &mut packed);
            let key: Vec<Arc<str>> = key.into_iter().map(Arc::from).collect();
            assert_eq!(unpack_key(&packed), key);
        }
    }

    #[test]
    fn fields_are_packed_without_loss_and_read_one_by_one() {
        let Value::Object(entries) =
            Value::from_json(&json!({"a": ["x", ["y", 7], {"o": 1}], "b": 1.5, "other": "z", "flag": true}))
        else {
            panic!("an object")
        };
        let fields: Fields = entries.into_iter().map(|(name, value)| (name.to_string(), value)).collect();
        let paths: Vec<Arc<str>> = ["a", "b", "missing"].map(Arc::from).into();
        let bytes = packed(&fields, &paths);
        let packed = Packed { bytes: &bytes, paths: &paths };
        assert_eq!(packed.to_fields(), fields);
        let texts = |path: &str| {
            let mut texts = Vec::new();
            packed.each(path, &mut |scalar| texts.push(scalar.as_text().to_owned()));
            texts
        };
        assert_eq!(texts("a"), ["x", "y", "7"]);
        assert_eq!(
            (texts("b"), texts("other"), texts("flag")),
            (vec!["1.5".into()], vec!["z".into()], vec!["true".into()])
        );
        assert_eq!((texts("missing"), texts("c")), (vec![], vec![]));
    }
}
