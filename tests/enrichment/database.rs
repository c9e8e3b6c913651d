//! Writes small databases in MaxMind's format, version 2.0
//! (https://maxmind.github.io/MaxMind-DB/): IPv4 networks with a record each.

use std::net::Ipv4Addr;

use serde_json::{Value as Json, json};

/// A place in the tree.
#[derive(Clone, Copy)]
enum Record {
    Nothing,
    Node(usize),
    Data(usize),
}

/// A database that knows these networks, such as `192.0.2.0/24`.
pub fn database(networks: &[(&str, Json)]) -> Vec<u8> {
    let mut nodes = vec![[Record::Nothing; 2]];
    let mut data = Vec::new();
    for (network, record) in networks {
        insert(&mut nodes, network, Record::Data(data.len()));
        encode(record, &mut data);
    }
    let mut bytes = Vec::new();
    for record in nodes.iter().flatten() {
        let number = match record {
            Record::Nothing => nodes.len(),
            Record::Node(node) => *node,
            Record::Data(offset) => nodes.len() + 16 + offset,
        };
        bytes.extend_from_slice(&(number as u32).to_be_bytes()[1..]);
    }
    bytes.extend_from_slice(&[0; 16]);
    bytes.extend_from_slice(&data);
    bytes.extend_from_slice(b"\xab\xcd\xefMaxMind.com");
    metadata(nodes.len() as u32, &mut bytes);
    bytes
}

/// Its numbers have types of their own.
fn metadata(nodes: u32, into: &mut Vec<u8>) {
    let short = |number: u16| (5, number.to_be_bytes().to_vec());
    let numbers = [
        ("node_count", (6, nodes.to_be_bytes().to_vec())),
        ("record_size", short(24)),
        ("ip_version", short(4)),
        ("binary_format_major_version", short(2)),
        ("binary_format_minor_version", short(0)),
        ("build_epoch", (9, 1_700_000_000u64.to_be_bytes().to_vec())),
    ];
    let texts =
        [("database_type", json!("Test")), ("languages", json!(["en"])), ("description", json!({ "en": "for tests" }))];
    control(7, numbers.len() + texts.len(), into);
    for (name, (kind, bytes)) in numbers {
        encode(&json!(name), into);
        control(kind, bytes.len(), into);
        into.extend(bytes);
    }
    for (name, value) in texts {
        encode(&json!(name), into);
        encode(&value, into);
    }
}

fn insert(nodes: &mut Vec<[Record; 2]>, network: &str, record: Record) {
    let (address, length) = network.split_once('/').expect("a network");
    let bits = u32::from(address.parse::<Ipv4Addr>().expect("an address"));
    let length: u32 = length.parse().expect("a length");
    let side = |depth: u32| (bits >> (31 - depth) & 1) as usize;
    let mut node = 0;
    for depth in 0..length - 1 {
        node = match nodes[node][side(depth)] {
            Record::Node(next) => next,
            _ => {
                nodes.push([Record::Nothing; 2]);
                let next = nodes.len() - 1;
                nodes[node][side(depth)] = Record::Node(next);
                next
            }
        };
    }
    nodes[node][side(length - 1)] = record;
}

fn encode(value: &Json, into: &mut Vec<u8>) {
    match value {
        Json::String(text) => {
            control(2, text.len(), into);
            into.extend_from_slice(text.as_bytes());
        }
        Json::Number(number) => match number.as_u64() {
            Some(number) => {
                control(6, 4, into);
                into.extend_from_slice(&(number as u32).to_be_bytes());
            }
            None => {
                control(3, 8, into);
                into.extend_from_slice(&number.as_f64().expect("a float").to_be_bytes());
            }
        },
        Json::Object(entries) => {
            control(7, entries.len(), into);
            for (name, value) in entries {
                encode(&json!(name), into);
                encode(value, into);
            }
        }
        Json::Array(items) => {
            control(11, items.len(), into);
            items.iter().for_each(|item| encode(item, into));
        }
        other => panic!("no record holds {other}"),
    }
}

/// Type and size, of less than 285.
fn control(kind: u8, size: usize, into: &mut Vec<u8>) {
    let (short, rest) = if size < 29 { (size as u8, None) } else { (29, Some((size - 29) as u8)) };
    match kind {
        kind if kind > 7 => into.extend_from_slice(&[short, kind - 7]),
        kind => into.push(kind << 5 | short),
    }
    into.extend(rest);
}
