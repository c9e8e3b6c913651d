//! Messages out of a TCP stream: octet counting and lines (RFC 6587), told apart per message.

use bytes::{Buf, Bytes, BytesMut};

/// A longer message is passed on up to here; the rest of it is skipped.
pub const MESSAGE_BYTES_MAX: usize = 256 << 10;

/// A message without its framing.
#[derive(Debug, PartialEq, Eq)]
pub struct Frame {
    pub bytes: Bytes,
    /// Longer than [`MESSAGE_BYTES_MAX`]: these are its first bytes.
    pub cut: bool,
}

/// Where one stream stands.
#[derive(Debug, Default)]
pub struct Framing {
    skip: Skip,
}

/// What is left of a message that was cut.
#[derive(Debug, Default)]
enum Skip {
    #[default]
    Nothing,
    Bytes(usize),
    Line,
}

/// What the buffer starts with.
enum Start {
    /// `length SP <`: the length of the header and of the message.
    Counted(usize, usize),
    Line,
    /// Too short to tell.
    Unknown,
}

impl Framing {
    /// Takes the next whole message out of the buffer. It never needs more than [`MESSAGE_BYTES_MAX`] and a header.
    pub fn next(&mut self, buffer: &mut BytesMut) -> Option<Frame> {
        self.skip(buffer)?;
        let blank = buffer.iter().take_while(|byte| matches!(byte, b'\n' | b'\r' | 0)).count();
        buffer.advance(blank);
        match start(buffer) {
            Start::Counted(header, length) => self.counted(buffer, header, length),
            Start::Line => self.line(buffer),
            Start::Unknown => None,
        }
    }

    /// What the buffer still holds when the stream has ended.
    pub fn last(&mut self, buffer: &mut BytesMut) -> Option<Frame> {
        self.skip(buffer)?;
        let header = match start(buffer) {
            Start::Counted(header, _) => header,
            Start::Line | Start::Unknown => 0,
        };
        buffer.advance(header);
        let bytes = trimmed(buffer.split().freeze());
        (!bytes.is_empty()).then_some(Frame { bytes, cut: header > 0 })
    }

    fn counted(&mut self, buffer: &mut BytesMut, header: usize, length: usize) -> Option<Frame> {
        let kept = length.min(MESSAGE_BYTES_MAX);
        if buffer.len() < header + kept {
            return None;
        }
        buffer.advance(header);
        self.skip = Skip::Bytes(length - kept);
        Some(Frame { bytes: trimmed(buffer.split_to(kept).freeze()), cut: kept < length })
    }

    fn line(&mut self, buffer: &mut BytesMut) -> Option<Frame> {
        let end = buffer.iter().take(MESSAGE_BYTES_MAX + 1).position(|byte| *byte == b'\n');
        if let Some(end) = end {
            return Some(Frame { bytes: trimmed(buffer.split_to(end + 1).freeze()), cut: false });
        }
        if buffer.len() <= MESSAGE_BYTES_MAX {
            return None;
        }
        self.skip = Skip::Line;
        Some(Frame { bytes: buffer.split_to(MESSAGE_BYTES_MAX).freeze(), cut: true })
    }

    /// Drops the rest of a message that was cut; `None` while more of it is to come.
    fn skip(&mut self, buffer: &mut BytesMut) -> Option<()> {
        let (dropped, left) = match self.skip {
            Skip::Nothing => return Some(()),
            Skip::Bytes(count) => (count.min(buffer.len()), Skip::Bytes(count - count.min(buffer.len()))),
            Skip::Line => match buffer.iter().position(|byte| *byte == b'\n') {
                Some(end) => (end + 1, Skip::Nothing),
                None => (buffer.len(), Skip::Line),
            },
        };
        buffer.advance(dropped);
        self.skip = if matches!(left, Skip::Bytes(0)) { Skip::Nothing } else { left };
        matches!(self.skip, Skip::Nothing).then_some(())
    }
}

/// Without the line ends and NULs that some senders add.
pub fn trimmed(mut message: Bytes) -> Bytes {
    let end = message.iter().rposition(|byte| !byte.is_ascii_whitespace() && *byte != 0);
    message.truncate(end.map_or(0, |end| end + 1));
    message
}

/// A count is followed by a blank and a priority; a line that starts with a year is not.
fn start(buffer: &[u8]) -> Start {
    const DIGITS_MAX: usize = 9;
    let digits = buffer.iter().take(DIGITS_MAX + 1).take_while(|byte| byte.is_ascii_digit()).count();
    match (digits, &buffer[digits..]) {
        (0, []) => Start::Unknown,
        (0, _) => Start::Line,
        _ if digits > DIGITS_MAX || buffer[0] == b'0' => Start::Line,
        (_, [] | [b' ']) => Start::Unknown,
        (_, [b' ', b'<', ..]) => {
            let length = buffer[..digits].iter().fold(0, |length, digit| length * 10 + usize::from(digit - b'0'));
            Start::Counted(digits + 1, length)
        }
        _ => Start::Line,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The messages of a stream that arrives in pieces of `piece` bytes, cut ones with a `…`.
    fn messages(stream: &[u8], piece: usize) -> Vec<String> {
        let (mut framing, mut buffer, mut messages) = (Framing::default(), BytesMut::new(), Vec::new());
        let mut keep = |frame: Frame| {
            messages.push(String::from_utf8_lossy(&frame.bytes).into_owned() + if frame.cut { "…" } else { "" });
        };
        for piece in stream.chunks(piece) {
            buffer.extend_from_slice(piece);
            while let Some(frame) = framing.next(&mut buffer) {
                keep(frame);
            }
            assert!(buffer.len() <= MESSAGE_BYTES_MAX + piece.len() + 16);
        }
        framing.last(&mut buffer).map(&mut keep);
        messages
    }

    #[test]
    fn both_framings_in_one_stream() {
        let stream = b"9 <13>a: b\n\n<13>one\r\n2024-05-01 line\n12 <13>with\nnl!<13>two\n7 words\n<13>last";
        for piece in [1, 2, 3, 7, 1000] {
            assert_eq!(
                messages(stream, piece),
                ["<13>a: b", "<13>one", "2024-05-01 line", "<13>with\nnl!", "<13>two", "7 words", "<13>last"]
            );
        }
    }

    #[test]
    fn what_is_too_long_is_cut_and_the_next_message_is_whole() {
        let long = "x".repeat(MESSAGE_BYTES_MAX + 10);
        let cut = format!("<1>{}…", &long[..MESSAGE_BYTES_MAX - 3]);
        for stream in [format!("<1>{long}\n<13>next\n"), format!("{} <1>{long}<13>next\n", long.len() + 3)] {
            assert_eq!(messages(stream.as_bytes(), 10_000), [cut.clone(), "<13>next".to_owned()]);
        }
    }

    #[test]
    fn a_message_that_the_end_of_the_stream_cut_is_passed_on() {
        assert_eq!(messages(b"99 <13>half", 4), ["<13>half…"]);
        assert_eq!(messages(b"12", 4), ["12"]);
    }

    proptest! {
        #[test]
        fn the_pieces_do_not_matter(stream in "[0-9]{0,2}[ <\na]{0,6}[0-9]{0,3}[ <13>\na-c]{0,20}", piece in 1..9_usize) {
            prop_assert_eq!(messages(stream.as_bytes(), piece), messages(stream.as_bytes(), 1000));
        }
    }
}
