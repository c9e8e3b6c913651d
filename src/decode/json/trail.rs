//! The order in which members come. Records of a source repeat it, so the names that followed a name before are tried
//! by their bytes; only a name that is none of these is looked up.
//!
//! What is kept is bounded, and only a guess: a record that comes otherwise costs a look-up for each name.

use crate::event::Place;

/// Names that are kept. Number 0 is the start of a record.
const KEPT: usize = 256;

/// Places that a name may be kept at; where others have them all, it takes the first.
const PLACES: u8 = 8;

/// Names of one record that are taken in. Where so many are new, records have no order that is worth keeping.
const NEW_MAX: u8 = 64;

/// Names that are tried after a name.
const FOLLOWERS: usize = 4;

/// Bytes that are compared at once: a longer name is always looked up.
pub const WRITTEN_BYTES: usize = 32;

/// What stands after a name, in the way that most records write it.
const CLOSING: &[u8; 2] = b"\":";

/// A member's name and where it leads.
#[derive(Debug, Clone, Copy)]
pub struct Member {
    /// Bytes of the name.
    pub len: usize,
    pub to: Option<Place>,
    /// There is a dot in the name, and the object is at a place.
    pub is_dotted: bool,
}

#[derive(Debug, Clone, Copy)]
struct Known {
    /// The name with its closing quote and the colon, as far as the mask reaches.
    written: [u64; WRITTEN_BYTES / 8],
    mask: [u64; WRITTEN_BYTES / 8],
    /// The place of the object that the name was in.
    from: Option<Place>,
    member: Member,
    /// The numbers of the names that followed, the latest that was new first; 0 for none.
    followers: [u8; FOLLOWERS],
}

/// The names of records and what followed them.
#[derive(Debug)]
pub struct Trail {
    known: Box<[Known]>,
    /// The name that was read last.
    last: u8,
    /// Names of the record that were taken in.
    new: u8,
}

impl Default for Trail {
    fn default() -> Self {
        // no text has these bytes
        let nothing = Known {
            written: [u64::MAX; WRITTEN_BYTES / 8],
            mask: [u64::MAX; WRITTEN_BYTES / 8],
            from: None,
            member: Member { len: 0, to: None, is_dotted: false },
            followers: [0; FOLLOWERS],
        };
        Trail { known: vec![nothing; KEPT].into(), last: 0, new: 0 }
    }
}

impl Trail {
    /// A record starts.
    pub fn begin(&mut self) {
        (self.last, self.new) = (0, 0);
    }

    /// The member of an object at `from` whose name, closing quote and colon `text` starts with, if it came here
    /// before.
    #[inline(always)]
    pub fn expect(&mut self, from: Option<Place>, text: &[u8; WRITTEN_BYTES]) -> Option<Member> {
        if self.new >= NEW_MAX {
            return None;
        }
        let text = eights(text);
        for number in self.known[usize::from(self.last)].followers {
            let known = &self.known[usize::from(number)];
            let differ = (0..text.len()).fold(0, |all, at| all | (text[at] ^ known.written[at]) & known.mask[at]);
            if differ == 0 && known.from == from {
                self.last = number;
                return Some(known.member);
            }
        }
        None
    }

    /// Takes in a member that was looked up, unless the record has had too many of them.
    pub fn learn(&mut self, from: Option<Place>, name: &str, to: Option<Place>, is_dotted: bool) {
        if name.len() + CLOSING.len() > WRITTEN_BYTES || self.new >= NEW_MAX {
            return;
        }
        self.new += 1;
        let (mut written, mut mask) = ([0; WRITTEN_BYTES], [0; WRITTEN_BYTES]);
        written[..name.len()].copy_from_slice(name.as_bytes());
        written[name.len()..name.len() + CLOSING.len()].copy_from_slice(CLOSING);
        mask[..name.len() + CLOSING.len()].fill(u8::MAX);
        let (written, mask) = (eights(&written), eights(&mask));
        let number = self.number(&written, from);
        let known = &mut self.known[usize::from(number)];
        if !known.is(&written, from) {
            let member = Member { len: name.len(), to, is_dotted };
            *known = Known { written, mask, from, member, followers: [0; FOLLOWERS] };
        }
        let followers = &mut self.known[usize::from(self.last)].followers;
        if !followers.contains(&number) {
            followers.rotate_right(1);
            followers[0] = number;
        }
        self.last = number;
    }

    /// Where a name is kept, or is to be.
    fn number(&self, written: &[u64; WRITTEN_BYTES / 8], from: Option<Place>) -> u8 {
        const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
        let mixed = written.iter().fold(0_u64, |mixed, eight| (mixed.rotate_left(23) ^ eight).wrapping_mul(ODD));
        let first = (mixed >> 56) as u8;
        let mut places = (0..PLACES).map(|step| first.wrapping_add(step).max(1));
        let own = places.find(|place| {
            let known = &self.known[usize::from(*place)];
            known.member.len == 0 || known.is(written, from)
        });
        own.unwrap_or(first.max(1))
    }
}

impl Known {
    fn is(&self, written: &[u64; WRITTEN_BYTES / 8], from: Option<Place>) -> bool {
        self.written == *written && self.from == from
    }
}

fn eights(bytes: &[u8; WRITTEN_BYTES]) -> [u64; WRITTEN_BYTES / 8] {
    let (eights, _) = bytes.as_chunks::<8>();
    std::array::from_fn(|at| u64::from_le_bytes(eights[at]))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn expected(trail: &mut Trail, from: Option<Place>, name: &str) -> Option<usize> {
        let mut text = [b'x'; WRITTEN_BYTES];
        let written = format!("{name}\":");
        let len = written.len().min(WRITTEN_BYTES);
        text[..len].copy_from_slice(&written.as_bytes()[..len]);
        trail.expect(from, &text).map(|member| member.len)
    }

    #[test]
    fn what_followed_a_name_is_expected_after_it() {
        let mut trail = Trail::default();
        for names in [["a", "b"], ["a", "c"], ["a", "b"]] {
            trail.begin();
            for name in names {
                if expected(&mut trail, None, name).is_none() {
                    trail.learn(None, name, None, false);
                }
            }
        }
        for (after_a, len) in [("b", Some(1)), ("c", Some(1)), ("a", None), ("bb", None)] {
            trail.begin();
            assert_eq!(expected(&mut trail, None, "a"), Some(1));
            assert_eq!(expected(&mut trail, None, after_a), len);
        }
        trail.begin();
        assert_eq!(expected(&mut trail, Some(Place::ROOT), "a"), None);
    }

    proptest! {
        #[test]
        fn a_name_is_never_taken_for_another(
            names in prop::collection::vec("[ab]{1,3}|[a-c]{28,33}|[a-z0-9]{1,4}", 1..1000),
        ) {
            let mut trail = Trail::default();
            for name in &names {
                match expected(&mut trail, None, name) {
                    Some(len) => prop_assert_eq!(len, name.len()),
                    None => trail.learn(None, name, None, false),
                }
            }
        }
    }
}
