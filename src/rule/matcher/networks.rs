//! Which of many networks an address lies in: a binary trie over the bits of both families.

use super::super::text::{Address, Network};

/// A network is found by walking the bits of an address: at most 128 steps, and no further than a network reaches.
#[derive(Debug, Default)]
pub(super) struct Networks {
    v4: Trie,
    v6: Trie,
}

#[derive(Debug, Default)]
struct Trie {
    nodes: Vec<Node>,
}

#[derive(Debug, Default)]
struct Node {
    /// The nodes below, by the next bit; 0 for none, since the root is below nothing.
    below: [u32; 2],
    /// The identities of the networks that end here.
    ends: Vec<u32>,
}

impl Networks {
    pub(super) fn enter(&mut self, network: &Network, id: u32) {
        let trie = if network.is_v6() { &mut self.v6 } else { &mut self.v4 };
        trie.enter(network.leading_bits(), network.length(), id);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Nodes of the trie.
    pub(super) fn len(&self) -> usize {
        self.v4.nodes.len() + self.v6.nodes.len()
    }

    /// Calls `found` with the identity of each network that the address lies in.
    pub(super) fn scan(&self, address: Address, found: &mut impl FnMut(u32)) {
        for (trie, v6) in [(&self.v4, false), (&self.v6, true)] {
            if let Some(bits) = address.leading_bits(v6) {
                trie.scan(bits, found);
            }
        }
    }
}

impl Trie {
    /// `bits` from the uppermost down, `length` of them.
    fn enter(&mut self, bits: u128, length: u32, id: u32) {
        if self.nodes.is_empty() {
            self.nodes.push(Node::default());
        }
        let mut at = 0;
        for depth in 0..length {
            let bit = bit(bits, depth);
            if self.nodes[at].below[bit] == 0 {
                self.nodes[at].below[bit] = self.nodes.len() as u32;
                self.nodes.push(Node::default());
            }
            at = self.nodes[at].below[bit] as usize;
        }
        self.nodes[at].ends.push(id);
    }

    fn scan(&self, bits: u128, found: &mut impl FnMut(u32)) {
        let mut depth = 0;
        let mut next = self.nodes.first();
        while let Some(node) = next {
            node.ends.iter().for_each(|id| found(*id));
            let below = if depth < 128 { node.below[bit(bits, depth)] } else { 0 };
            next = if below == 0 { None } else { self.nodes.get(below as usize) };
            depth += 1;
        }
    }
}

fn bit(bits: u128, depth: u32) -> usize {
    (bits >> (127 - depth) & 1) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_finds_the_networks_that_hold_it() {
        let written = [
            "10.0.0.0/8",
            "10.1.0.0/16",
            "10.1.2.3",
            "0.0.0.0/0",
            "::/0",
            "fe80::/10",
            "::ffff:0:0/96",
            "::1",
            "192.0.2.0/24",
        ];
        let parsed: Vec<Network> = written.iter().map(|text| Network::parse(text).unwrap()).collect();
        let mut networks = Networks::default();
        parsed.iter().zip(0..).for_each(|(network, id)| networks.enter(network, id));
        for text in ["10.1.2.3", "10.2.0.0", "11.0.0.1", "::1", "fe80::1", "::ffff:10.1.0.1", "2001:db8::1"] {
            let mut found = Vec::new();
            networks.scan(Address::parse(text).unwrap(), &mut |id| found.push(id));
            found.sort_unstable();
            let really: Vec<u32> =
                parsed.iter().zip(0..).filter(|(network, _)| network.contains(text)).map(|(_, id)| id).collect();
            assert_eq!(found, really, "{text}");
        }
    }
}
