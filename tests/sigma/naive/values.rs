//! Values and what modifiers make of them, one modifier after the other.

use std::net::IpAddr;

use regex::Regex;
use serde_json::Value as Json;
use serde_yaml_ng::Value as Yaml;

use super::{
    event,
    pattern::{Pattern, same},
};

/// What is asked of a field, or of every value of the event.
#[derive(Debug, Clone)]
pub enum Wanted {
    /// Any of the patterns.
    Text {
        patterns: Vec<Pattern>,
        cased: bool,
    },
    Number(f64),
    Compare(&'static str, f64),
    Null,
    Exists(bool),
    Regex(Regex),
    Network {
        address: IpAddr,
        bits: u32,
    },
    Field {
        name: String,
        starts: bool,
        ends: bool,
        cased: bool,
    },
    /// A part of a time, and how it compares with a number.
    TimePart(&'static str, &'static str, f64),
}

/// What a value asks for after its modifiers. A keyword is looked for anywhere in a text.
///
/// # Errors
/// Where a modifier does not go with the value.
pub fn wanted(value: &Yaml, modifiers: &[&str], is_keyword: bool) -> Result<Wanted, String> {
    if modifiers.contains(&"re") {
        return regex(value, modifiers);
    }
    let mut wanted = match value {
        Yaml::Null if is_keyword => return Err("null without a field".to_owned()),
        Yaml::Null => Wanted::Null,
        Yaml::Bool(flag) if modifiers == ["exists"] => return Ok(Wanted::Exists(*flag)),
        Yaml::Number(number) if modifiers.is_empty() && !is_keyword => {
            Wanted::Number(number.as_f64().ok_or("a number")?)
        }
        scalar => Wanted::Text { patterns: vec![Pattern::read(&written(scalar)?)], cased: false },
    };
    for modifier in modifiers {
        wanted = modified(wanted, modifier, value)?;
    }
    let Wanted::Text { mut patterns, cased } = wanted else { return Ok(wanted) };
    if is_keyword {
        patterns = patterns.into_iter().map(|pattern| pattern.open_before().open_after()).collect();
    }
    Ok(Wanted::Text { patterns: patterns.iter().filter_map(Pattern::settled).collect(), cased })
}

fn written(value: &Yaml) -> Result<String, String> {
    match value {
        Yaml::String(text) => Ok(text.clone()),
        Yaml::Bool(flag) => Ok(flag.to_string()),
        Yaml::Number(number) => Ok(number.to_string()),
        _ => Err("a value that is no scalar".to_owned()),
    }
}

fn regex(value: &Yaml, modifiers: &[&str]) -> Result<Wanted, String> {
    let mut flags = String::new();
    for modifier in modifiers {
        flags += match *modifier {
            "i" | "ignorecase" => "i",
            "m" | "multiline" => "m",
            "s" | "dotall" => "s",
            "re" | "contains" | "startswith" | "endswith" => "",
            other => return Err(format!("`{other}` with `re`")),
        };
    }
    let flags = if flags.is_empty() { flags } else { format!("(?{flags})") };
    let at = |name: &str, anchor: &'static str| if modifiers.contains(&name) { anchor } else { "" };
    let (start, end) = (at("startswith", "^"), at("endswith", "$"));
    let regex =
        Regex::new(&format!("{flags}{start}(?:{}){end}", written(value)?)).map_err(|error| error.to_string())?;
    Ok(Wanted::Regex(regex))
}

fn modified(wanted: Wanted, modifier: &str, value: &Yaml) -> Result<Wanted, String> {
    match (wanted, modifier) {
        (Wanted::Text { patterns, .. }, "cased") => Ok(Wanted::Text { patterns, cased: true }),
        (Wanted::Text { patterns, cased }, modifier) => of_text(patterns, cased, modifier, value),
        (Wanted::Field { name, starts, ends, cased }, modifier) => Ok(match modifier {
            "startswith" => Wanted::Field { name, starts: true, ends, cased },
            "endswith" => Wanted::Field { name, starts, ends: true, cased },
            "contains" => Wanted::Field { name, starts: true, ends: true, cased },
            "cased" => Wanted::Field { name, starts, ends, cased: true },
            other => return Err(format!("`{other}` after `fieldref`")),
        }),
        (Wanted::Compare(which, number), part) => {
            let parts = ["minute", "hour", "day", "week", "month", "year"];
            let known = parts.into_iter().find(|known| *known == part);
            Ok(Wanted::TimePart(known.ok_or(format!("`{part}` after a comparison"))?, which, number))
        }
        (Wanted::TimePart(part, "eq", number), modifier) => Ok(Wanted::TimePart(part, comparison(modifier)?, number)),
        (_, modifier) => Err(format!("`{modifier}` does not go with this value")),
    }
}

fn of_text(patterns: Vec<Pattern>, cased: bool, modifier: &str, value: &Yaml) -> Result<Wanted, String> {
    let number = || value.as_f64().ok_or(format!("`{modifier}` wants a number"));
    let each = |change: &dyn Fn(&Pattern) -> Result<Vec<Pattern>, String>| {
        let lists = patterns.iter().map(change).collect::<Result<Vec<_>, _>>()?;
        Ok(Wanted::Text { patterns: lists.concat(), cased })
    };
    match modifier {
        "contains" => each(&|pattern| Ok(vec![pattern.clone().open_before().open_after()])),
        "startswith" => each(&|pattern| Ok(vec![pattern.clone().open_after()])),
        "endswith" => each(&|pattern| Ok(vec![pattern.clone().open_before()])),
        "windash" => each(&|pattern| Ok(pattern.dashes())),
        "base64" => each(&|pattern| Ok(vec![pattern.base64()?])),
        "base64offset" => each(&|pattern| pattern.base64_at_offsets()),
        "wide" | "utf16le" => each(&|pattern| Ok(vec![pattern.encoded(|letter| units(letter, u16::to_le_bytes))])),
        "utf16be" => each(&|pattern| Ok(vec![pattern.encoded(|letter| units(letter, u16::to_be_bytes))])),
        "utf16" => each(&|pattern| {
            let mut marked = pattern.clone();
            marked.0.insert(0, super::pattern::Part::Letter('\u{feff}'));
            Ok(vec![marked.encoded(|letter| units(letter, u16::to_le_bytes))])
        }),
        "lt" | "lte" | "gt" | "gte" => Ok(Wanted::Compare(comparison(modifier)?, number()?)),
        "minute" => Ok(Wanted::TimePart("minute", "eq", number()?)),
        "hour" => Ok(Wanted::TimePart("hour", "eq", number()?)),
        "day" => Ok(Wanted::TimePart("day", "eq", number()?)),
        "week" => Ok(Wanted::TimePart("week", "eq", number()?)),
        "month" => Ok(Wanted::TimePart("month", "eq", number()?)),
        "year" => Ok(Wanted::TimePart("year", "eq", number()?)),
        "cidr" => network(&written(value)?).ok_or("no network".to_owned()),
        "fieldref" => Ok(Wanted::Field { name: written(value)?, starts: false, ends: false, cased }),
        other => Err(format!("`{other}` is no modifier for this value")),
    }
}

fn comparison(modifier: &str) -> Result<&'static str, String> {
    let known = ["lt", "lte", "gt", "gte"].into_iter().find(|name| *name == modifier);
    known.ok_or(format!("`{modifier}` does not go with a time"))
}

fn units(letter: char, bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
    letter.encode_utf16(&mut [0; 2]).iter().flat_map(|unit| bytes(*unit)).collect()
}

fn network(text: &str) -> Option<Wanted> {
    let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
    let address: IpAddr = address.parse().ok()?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    let bits = bits.map_or(Some(most), |bits| bits.parse().ok()).filter(|bits| *bits <= most)?;
    Some(Wanted::Network { address, bits })
}

/// Every bit of an address, the first one first.
fn bits_of(address: IpAddr) -> Vec<bool> {
    let octets = match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    octets.iter().flat_map(|octet| (0..8).rev().map(move |bit| octet >> bit & 1 == 1)).collect()
}

impl Wanted {
    pub fn holds_of_field(&self, event: &Json, field: &str) -> bool {
        match self {
            Wanted::Null => !event::exists(event, field),
            Wanted::Exists(wanted) => event::exists(event, field) == *wanted,
            asks => event::values(event, field).into_iter().any(|scalar| asks.holds(scalar, event)),
        }
    }

    /// Whether it holds of one value of the event.
    pub fn holds(&self, scalar: &Json, event: &Json) -> bool {
        let text = event::text(scalar);
        match self {
            Wanted::Text { patterns, cased } => {
                let letters: Vec<char> = text.chars().collect();
                patterns.iter().any(|pattern| pattern.matches(&letters, *cased))
            }
            Wanted::Number(wanted) => event::number(scalar) == Some(*wanted),
            Wanted::Compare(which, wanted) => {
                event::number(scalar).is_some_and(|number| compares(number, which, *wanted))
            }
            Wanted::Null | Wanted::Exists(_) => unreachable!("asked of fields only"),
            Wanted::Regex(regex) => regex.is_match(&text),
            Wanted::Network { address, bits } => text.parse::<IpAddr>().is_ok_and(|other| {
                other.is_ipv4() == address.is_ipv4()
                    && bits_of(other).iter().zip(bits_of(*address)).take(*bits as usize).all(|(a, b)| *a == b)
            }),
            Wanted::Field { name, starts, ends, cased } => event::values(event, name)
                .into_iter()
                .any(|other| is_like(&text, &event::text(other), *starts, *ends, *cased)),
            Wanted::TimePart(part, which, wanted) => {
                time_part(&text, part).is_some_and(|number| compares(number, which, *wanted))
            }
        }
    }
}

fn compares(number: f64, which: &str, wanted: f64) -> bool {
    match which {
        "lt" => number < wanted,
        "lte" => number <= wanted,
        "gt" => number > wanted,
        "gte" => number >= wanted,
        _ => number == wanted,
    }
}

/// Whether `other` is the text: all of it, what it starts or ends with, or (both) somewhere in it.
fn is_like(text: &str, other: &str, starts: bool, ends: bool, cased: bool) -> bool {
    let (text, other): (Vec<char>, Vec<char>) = (text.chars().collect(), other.chars().collect());
    (0..=text.len()).any(|at| {
        let rest = &text[at..];
        let fits = rest.len() >= other.len() && other.iter().zip(rest).all(|(a, b)| same(*a, *b, cased));
        fits && (ends || at == 0) && (starts || rest.len() == other.len())
    })
}

/// A part of a time, as its author wrote it: no zone is changed.
fn time_part(text: &str, part: &str) -> Option<f64> {
    let time: jiff::civil::DateTime = text.get(.."2024-01-01T00:00:00".len())?.parse().ok()?;
    Some(match part {
        "minute" => time.minute().into(),
        "hour" => time.hour().into(),
        "day" => time.day().into(),
        "week" => time.date().iso_week_date().week().into(),
        "month" => time.month().into(),
        _ => time.year().into(),
    })
}
