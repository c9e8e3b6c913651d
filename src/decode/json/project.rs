//! A JSON record to the slots that are wanted, in one pass and without building the rest.
//!
//! Everything is checked that [`super::fields`] checks. Where something is wrong, or merely rare (a name with escapes,
//! an empty one), this walk gives up and the strict parser decides: so a record is refused for the same reason at the
//! same byte, and what is accepted reads the same.

use std::{ops::Range, sync::Arc};

use super::{
    Parser, number_end,
    stops::Stops,
    trail::{Member, Trail},
};
use crate::{
    decode::{Limits, PATH_BYTES_MAX},
    event::{Place, Slots, Wanted, Written},
};

/// The strict parser has to look at the record.
#[derive(Debug)]
pub struct Unusual;

/// Walks records; keeps its storage from one to the next.
#[derive(Debug, Default)]
pub struct Projection {
    wanted: Arc<Wanted>,
    stops: Stops,
    trail: Trail,
}

impl Projection {
    /// For slots of what is wanted.
    pub fn new(wanted: Arc<Wanted>) -> Self {
        Projection { wanted, ..Projection::default() }
    }

    /// Fills the slots from a record that is one JSON object.
    ///
    /// # Errors
    /// When the record is no such object, or an unusual one; the slots hold nothing of use then.
    pub fn fill(&mut self, text: &str, limits: &Limits, slots: &mut Slots) -> Result<(), Unusual> {
        let Projection { wanted, stops, trail } = self;
        if !wanted.odd().is_empty() {
            return Err(Unusual);
        }
        slots.begin(wanted);
        stops.find(text.as_bytes());
        trail.begin();
        let parser = Parser::new(text, limits);
        let mut walk = Walk { parser, stops, trail, wanted, slots };
        walk.parser.space();
        if walk.parser.peek() != Some(b'{') {
            return Err(Unusual);
        }
        walk.members(Some(Place::ROOT), 0)?;
        walk.parser.end().map_err(|_| Unusual)?;
        walk.slots.settle(wanted, text);
        if wanted.is_whole() {
            walk.slots.came_of_json(walk.parser.is_plain);
        }
        Ok(())
    }
}

struct Walk<'a> {
    parser: Parser<'a>,
    stops: &'a Stops,
    trail: &'a mut Trail,
    wanted: &'a Wanted,
    slots: &'a mut Slots,
}

impl Walk<'_> {
    /// The members of an object outside of arrays; says whether there is any value among them. `path_len` is the
    /// length of the object's own path.
    fn members(&mut self, place: Option<Place>, path_len: usize) -> Result<bool, Unusual> {
        self.parser.open().map_err(|_| Unusual)?;
        let (mut any, mut first) = (false, true);
        while self.next_quote(first)? {
            first = false;
            let start = self.parser.at + 1;
            let Member { len, to, is_dotted } = self.named(place)?;
            let path_len = if path_len == 0 { len } else { path_len + 1 + len };
            if path_len > PATH_BYTES_MAX {
                return Err(Unusual);
            }
            let is_value = self.member(to, path_len)?;
            if let Some(place) = place.filter(|_| is_value && is_dotted) {
                let text = self.parser.text;
                self.note_between(place, &text[start..start + len]);
            }
            any |= is_value;
        }
        self.parser.depth -= 1;
        Ok(any)
    }

    /// A member's value; says whether it is one: not null, and no object without values.
    #[inline(always)]
    fn member(&mut self, to: Option<Place>, path_len: usize) -> Result<bool, Unusual> {
        if self.parser.peek() == Some(b'{') {
            let any = self.members(to, path_len)?;
            if let Some(slot) = to.filter(|_| any).and_then(|place| self.wanted.slot_at(place)) {
                self.slots.put_below(slot);
            }
            return Ok(any);
        }
        let is_value = self.parser.peek() != Some(b'n');
        match to {
            Some(place) => {
                let value = self.value()?;
                self.slots.put(self.wanted, place, value);
            }
            None => self.skip()?,
        }
        Ok(is_value)
    }

    /// A value under a dotted name stands below every path that the name leads through.
    fn note_between(&mut self, place: Place, name: &str) {
        for (dot, _) in name.match_indices('.') {
            let Some(between) = self.wanted.step(place, &name[..dot]) else { return };
            if let Some(slot) = self.wanted.slot_at(between) {
                self.slots.put_below(slot);
            }
        }
    }

    /// The member of an object at `place` whose opening quote the cursor is on; moves the cursor to its value.
    #[inline(always)]
    fn named(&mut self, place: Option<Place>) -> Result<Member, Unusual> {
        let start = self.parser.at + 1;
        let ahead = self.parser.text.as_bytes().get(start..).and_then(<[u8]>::first_chunk);
        if let Some(member) = ahead.and_then(|ahead| self.trail.expect(place, ahead)) {
            self.parser.at = start + member.len + 2;
            self.parser.space();
            return Ok(member);
        }
        self.looked_up(place)
    }

    /// As [`Walk::named`], for a name that did not come here before.
    #[inline(never)]
    fn looked_up(&mut self, place: Option<Place>) -> Result<Member, Unusual> {
        let range = self.name()?;
        let name = &self.parser.text[range];
        if name.is_empty() {
            return Err(Unusual);
        }
        let to = place.and_then(|place| self.wanted.step(place, name));
        let is_dotted = place.is_some() && name.contains('.');
        self.trail.learn(place, name, to, is_dotted);
        Ok(Member { len: name.len(), to, is_dotted })
    }

    /// Steps to the opening quote of the next member's name; false, and past it, at the closing brace.
    #[inline(always)]
    fn next_quote(&mut self, first: bool) -> Result<bool, Unusual> {
        self.parser.space();
        match self.parser.peek() {
            Some(b'"') if first => {}
            Some(b',') if !first => {
                self.parser.at += 1;
                self.parser.space();
                if self.parser.peek() != Some(b'"') {
                    return Err(Unusual);
                }
            }
            Some(b'}') => {
                self.parser.at += 1;
                return Ok(false);
            }
            _ => return Err(Unusual),
        }
        self.parser.fields += 1;
        if self.parser.fields > self.parser.fields_max {
            return Err(Unusual);
        }
        Ok(true)
    }

    /// The name whose opening quote the cursor is on; moves the cursor to the value. A name with escapes is rare.
    #[inline(always)]
    fn name(&mut self) -> Result<Range<usize>, Unusual> {
        let start = self.parser.at + 1;
        let stop = self.stop(start)?;
        if self.byte(stop) != b'"' {
            return Err(Unusual);
        }
        self.parser.at = stop + 1;
        self.parser.space();
        if self.parser.peek() != Some(b':') {
            return Err(Unusual);
        }
        self.parser.at += 1;
        self.parser.space();
        Ok(start..stop)
    }

    /// Writes the value that stands here, with all that is in it.
    fn value(&mut self) -> Result<Written, Unusual> {
        match self.parser.peek() {
            Some(b'"') => self.string(),
            Some(b'-' | b'0'..=b'9') => {
                let start = self.parser.at;
                self.number()?;
                Ok(self.slots.number(start..self.parser.at))
            }
            Some(b'{') => {
                let object = self.slots.open_object();
                self.parser.open().map_err(|_| Unusual)?;
                let mut first = true;
                while self.next_quote(first)? {
                    first = false;
                    let name = self.name()?;
                    self.slots.text(name);
                    self.value()?;
                }
                self.parser.depth -= 1;
                self.slots.close(object);
                Ok(object)
            }
            Some(b'[') => {
                let array = self.slots.open_array();
                self.items(|walk| walk.value().map(|_| ()))?;
                self.slots.close(array);
                Ok(array)
            }
            Some(b't') => self.word("true").map(|()| self.slots.bool(true)),
            Some(b'f') => self.word("false").map(|()| self.slots.bool(false)),
            Some(b'n') => self.word("null").map(|()| self.slots.null()),
            _ => Err(Unusual),
        }
    }

    /// Checks the value that stands here, and steps over it.
    fn skip(&mut self) -> Result<(), Unusual> {
        match self.parser.peek() {
            Some(b'"') => self.skip_string(),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b'{') => {
                self.parser.open().map_err(|_| Unusual)?;
                let mut first = true;
                while self.next_quote(first)? {
                    first = false;
                    self.name()?;
                    self.skip()?;
                }
                self.parser.depth -= 1;
                Ok(())
            }
            Some(b'[') => self.items(Self::skip),
            Some(b't') => self.word("true"),
            Some(b'f') => self.word("false"),
            Some(b'n') => self.word("null"),
            _ => Err(Unusual),
        }
    }

    /// The items of an array, each taken by `item`.
    fn items(&mut self, mut item: impl FnMut(&mut Self) -> Result<(), Unusual>) -> Result<(), Unusual> {
        self.parser.open().map_err(|_| Unusual)?;
        self.parser.space();
        if self.parser.peek() != Some(b']') {
            loop {
                item(self)?;
                self.parser.space();
                match self.parser.peek() {
                    Some(b',') => self.parser.at += 1,
                    Some(b']') => break,
                    _ => return Err(Unusual),
                }
                self.parser.space();
            }
        }
        self.parser.at += 1;
        self.parser.depth -= 1;
        Ok(())
    }

    fn string(&mut self) -> Result<Written, Unusual> {
        let start = self.parser.at + 1;
        let stop = self.stop(start)?;
        if self.byte(stop) == b'"' {
            self.parser.at = stop + 1;
            return Ok(self.slots.text(start..stop));
        }
        let Walk { parser, stops, slots, .. } = self;
        let mut outcome = Ok(());
        let written = slots.own_text(|scratch| outcome = unescape(parser, stops, start, stop, scratch));
        outcome.map(|()| written)
    }

    fn skip_string(&mut self) -> Result<(), Unusual> {
        let mut from = self.parser.at + 1;
        loop {
            let stop = self.stop(from)?;
            match self.byte(stop) {
                b'"' => {
                    self.parser.at = stop + 1;
                    return Ok(());
                }
                b'\\' if matches!(self.parser.text.as_bytes().get(stop + 1), Some(b'\\' | b'"')) => from = stop + 2,
                b'\\' => {
                    self.parser.at = stop;
                    self.parser.escape().map_err(|_| Unusual)?;
                    from = self.parser.at;
                }
                _ => return Err(Unusual),
            }
        }
    }

    fn number(&mut self) -> Result<(), Unusual> {
        let length = number_end(&self.parser.text.as_bytes()[self.parser.at..]).map_err(|_| Unusual)?;
        self.parser.at += length;
        Ok(())
    }

    fn word(&mut self, word: &str) -> Result<(), Unusual> {
        if !self.parser.text.as_bytes()[self.parser.at..].starts_with(word.as_bytes()) {
            return Err(Unusual);
        }
        self.parser.at += word.len();
        Ok(())
    }

    #[inline(always)]
    fn stop(&self, from: usize) -> Result<usize, Unusual> {
        self.stops.next(from).ok_or(Unusual)
    }

    fn byte(&self, at: usize) -> u8 {
        self.parser.text.as_bytes()[at]
    }
}

/// Appends the string from `start`, whose first escape is at `stop`; leaves the cursor after its closing quote.
fn unescape(
    parser: &mut Parser<'_>,
    stops: &Stops,
    start: usize,
    stop: usize,
    scratch: &mut String,
) -> Result<(), Unusual> {
    let (mut from, mut stop) = (start, stop);
    loop {
        scratch.push_str(&parser.text[from..stop]);
        match parser.text.as_bytes()[stop] {
            b'"' => {
                parser.at = stop + 1;
                return Ok(());
            }
            // these stand for themselves: the next piece starts with them
            b'\\' if matches!(parser.text.as_bytes().get(stop + 1), Some(b'\\' | b'"')) => {
                from = stop + 1;
                stop = stops.next(stop + 2).ok_or(Unusual)?;
            }
            b'\\' => {
                parser.at = stop;
                scratch.push(parser.escape().map_err(|_| Unusual)?);
                from = parser.at;
                stop = stops.next(from).ok_or(Unusual)?;
            }
            _ => return Err(Unusual),
        }
    }
}

#[cfg(test)]
mod tests;
