//! How single values are written: durations, sizes, counts, flags, texts and secrets.
//!
//! TOML has types, the environment has only text, so every value is read as a [`Scalar`] first. A number is never
//! rounded and no text is taken for another: what does not fit is an error that shows the accepted form.

use std::{collections::BTreeMap, fmt, time::Duration};

use secrecy::SecretString;
use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, SeqAccess, Visitor},
};

/// A value as some layer holds it.
#[derive(Debug, Clone)]
pub enum Scalar {
    Text(String),
    Whole(i64),
    Fraction(f64),
    Flag(bool),
    /// No single value at all.
    Other(&'static str),
}

impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Scalar::Text(text) => write!(f, "\"{text}\""),
            Scalar::Whole(number) => write!(f, "{number}"),
            Scalar::Fraction(number) => write!(f, "{number}"),
            Scalar::Flag(flag) => write!(f, "{flag}"),
            Scalar::Other(what) => f.write_str(what),
        }
    }
}

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ScalarVisitor)
    }
}

struct ScalarVisitor;

impl<'de> Visitor<'de> for ScalarVisitor {
    type Value = Scalar;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }
    fn visit_str<E>(self, text: &str) -> Result<Scalar, E> {
        Ok(Scalar::Text(text.to_owned()))
    }
    fn visit_i64<E>(self, number: i64) -> Result<Scalar, E> {
        Ok(Scalar::Whole(number))
    }
    fn visit_f64<E>(self, number: f64) -> Result<Scalar, E> {
        Ok(Scalar::Fraction(number))
    }
    fn visit_bool<E>(self, flag: bool) -> Result<Scalar, E> {
        Ok(Scalar::Flag(flag))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<Scalar, A::Error> {
        Ok(Scalar::Other("a list"))
    }
    fn visit_map<A: MapAccess<'de>>(self, _: A) -> Result<Scalar, A::Error> {
        Ok(Scalar::Other("a table"))
    }
}

/// A text in quotes.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "Scalar")]
pub struct Text(pub String);

impl TryFrom<Scalar> for Text {
    type Error = String;

    fn try_from(scalar: Scalar) -> Result<Self, String> {
        match scalar {
            Scalar::Text(text) if !text.is_empty() => Ok(Text(text)),
            other => Err(format!("expected a text in quotes, found {other}")),
        }
    }
}

/// A text that no message and no log ever shows.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "Scalar")]
pub struct Secret(pub SecretString);

impl TryFrom<Scalar> for Secret {
    type Error = &'static str;

    fn try_from(scalar: Scalar) -> Result<Self, &'static str> {
        match scalar {
            Scalar::Text(text) if !text.is_empty() => Ok(Secret(text.into())),
            _ => Err("expected a text in quotes"),
        }
    }
}

/// `true` or `false`.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "Scalar")]
pub struct Flag(pub bool);

impl TryFrom<Scalar> for Flag {
    type Error = String;

    fn try_from(scalar: Scalar) -> Result<Self, String> {
        match scalar {
            Scalar::Flag(flag) => Ok(Flag(flag)),
            Scalar::Text(text) if text == "true" => Ok(Flag(true)),
            Scalar::Text(text) if text == "false" => Ok(Flag(false)),
            other => Err(format!("expected true or false, found {other}")),
        }
    }
}

/// A whole number; which ones are allowed is up to the key.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "Scalar")]
pub struct Whole(pub i64);

impl TryFrom<Scalar> for Whole {
    type Error = String;

    fn try_from(scalar: Scalar) -> Result<Self, String> {
        match &scalar {
            Scalar::Whole(number) => Ok(Whole(*number)),
            Scalar::Text(text) => {
                text.parse().map(Whole).map_err(|_| format!("expected a whole number, found {scalar}"))
            }
            _ => Err(format!("expected a whole number, found {scalar}")),
        }
    }
}

/// How many: a whole number from 1 to 2^32 - 1.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "Scalar")]
pub struct Count(pub u32);

impl TryFrom<Scalar> for Count {
    type Error = String;

    fn try_from(scalar: Scalar) -> Result<Self, String> {
        let found = scalar.to_string();
        let count = Whole::try_from(scalar).ok().and_then(|Whole(number)| u32::try_from(number).ok());
        match count {
            Some(count) if count > 0 => Ok(Count(count)),
            _ => Err(format!("expected a whole number from 1 to {}, found {found}", u32::MAX)),
        }
    }
}

/// A duration with its unit: `"250ms"`, `"10s"`, `"1h 30m"`, `"7d"`.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "Scalar")]
pub struct Span(pub Duration);

impl TryFrom<Scalar> for Span {
    type Error = String;

    fn try_from(scalar: Scalar) -> Result<Self, String> {
        let parsed = match &scalar {
            Scalar::Text(text) => humantime::parse_duration(text).ok(),
            _ => None,
        };
        parsed
            .map(Span)
            .ok_or_else(|| format!("expected a duration such as \"250ms\", \"10s\", \"5m\" or \"7d\", found {scalar}"))
    }
}

/// A number of bytes: `65536`, `"64KiB"`, `"10MB"`, `"4GiB"`.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "Scalar")]
pub struct Size(pub u64);

impl TryFrom<Scalar> for Size {
    type Error = String;

    fn try_from(scalar: Scalar) -> Result<Self, String> {
        let bytes = match &scalar {
            Scalar::Whole(number) => u64::try_from(*number).ok(),
            Scalar::Text(text) => parse_size(text),
            _ => None,
        };
        bytes
            .filter(|bytes| *bytes > 0)
            .map(Size)
            .ok_or_else(|| format!("expected a size such as \"64KiB\", \"10MB\", \"4GiB\" or bytes, found {scalar}"))
    }
}

fn parse_size(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..digits].parse().ok()?;
    let unit: u64 = match text[digits..].trim() {
        "" | "B" => 1,
        "KB" | "kB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "TB" => 1_000_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        _ => return None,
    };
    number.checked_mul(unit)
}

/// Texts: a list, or one text with commas between (the only form that the environment has).
#[derive(Debug, Clone)]
pub struct List(pub Vec<String>);

impl<'de> Deserialize<'de> for List {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ListVisitor;

        impl<'de> Visitor<'de> for ListVisitor {
            type Value = Vec<String>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of texts")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(text.split(',').map(|item| item.trim().to_owned()).collect())
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
                let mut list = Vec::new();
                while let Some(Text(item)) = items.next_element()? {
                    list.push(item);
                }
                Ok(list)
            }
        }

        let list = deserializer.deserialize_any(ListVisitor)?;
        if list.is_empty() || list.iter().any(String::is_empty) {
            return Err(D::Error::custom("expected a list such as [\"a\", \"b\"] without empty items"));
        }
        Ok(List(list))
    }
}

/// Names with values, as librdkafka's properties: `"fetch.min.bytes" = 1024` and `fetch.min.bytes = 1024` (which TOML
/// reads as tables) are one.
#[derive(Debug, Clone, Default)]
pub struct Properties(pub BTreeMap<String, SecretString>);

impl<'de> Deserialize<'de> for Properties {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut flat = BTreeMap::new();
        for (name, node) in BTreeMap::<String, Node>::deserialize(deserializer)? {
            node.flatten(name, &mut flat);
        }
        Ok(Properties(flat))
    }
}

enum Node {
    Leaf(SecretString),
    Tree(BTreeMap<String, Node>),
}

impl Node {
    fn flatten(self, name: String, into: &mut BTreeMap<String, SecretString>) {
        match self {
            Node::Leaf(text) => {
                into.insert(name, text);
            }
            Node::Tree(children) => {
                children.into_iter().for_each(|(child, node)| node.flatten(format!("{name}.{child}"), into));
            }
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NodeVisitor;

        impl<'de> Visitor<'de> for NodeVisitor {
            type Value = Node;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text, a number, true or false")
            }
            fn visit_str<E>(self, text: &str) -> Result<Node, E> {
                Ok(Node::Leaf(text.into()))
            }
            fn visit_i64<E>(self, number: i64) -> Result<Node, E> {
                Ok(Node::Leaf(number.to_string().into()))
            }
            fn visit_f64<E>(self, number: f64) -> Result<Node, E> {
                Ok(Node::Leaf(number.to_string().into()))
            }
            fn visit_bool<E>(self, flag: bool) -> Result<Node, E> {
                Ok(Node::Leaf(flag.to_string().into()))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Node, A::Error> {
                let mut tree = BTreeMap::new();
                while let Some((name, node)) = entries.next_entry()? {
                    tree.insert(name, node);
                }
                Ok(Node::Tree(tree))
            }
        }

        deserializer.deserialize_any(NodeVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units_and_never_wrap() {
        assert_eq!(parse_size("64MiB"), Some(64 << 20));
        assert_eq!(parse_size("10 MB"), Some(10_000_000));
        assert_eq!(parse_size("7"), Some(7));
        assert_eq!(parse_size("99999999999TiB"), None);
        assert_eq!(parse_size("10 potatoes"), None);
        assert_eq!(parse_size("é"), None);
    }

    #[test]
    fn a_number_is_not_rounded_and_zero_is_no_count() {
        assert!(Count::try_from(Scalar::Fraction(2.7)).is_err());
        assert!(Count::try_from(Scalar::Whole(0)).is_err());
        assert!(Count::try_from(Scalar::Flag(true)).is_err());
        assert_eq!(Count::try_from(Scalar::Text("32".into())).unwrap().0, 32);
    }
}
