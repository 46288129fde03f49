//! Server-sent events.
//!
//! More forgiving than the standard, because providers are: `data:` needs no blank behind it, the
//! last event needs no blank line, and JSON documents on `data:` lines that follow each other without
//! a blank line are events of their own. Comments, `id:` and `retry:` are skipped. A character cut in
//! two by the network arrives whole.
//!
//! ```
//! let mut decoder = graphbit::http::sse::Decoder::default();
//! decoder.push(b"event: delta\ndata: {\"a\"")?;
//! assert_eq!(decoder.next(), None);
//! decoder.push(b":1}\n\n")?;
//! let frame = decoder.next().unwrap_or_default();
//! assert_eq!((frame.event.as_deref(), frame.data.as_str()), (Some("delta"), r#"{"a":1}"#));
//! # Ok::<(), graphbit::Error>(())
//! ```

use super::lines::{LONGEST, Lines, too_long};
use crate::error::Result;

/// One event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frame {
    /// The `event:` field, when there was one.
    pub event: Option<String>,
    /// The `data:` lines, joined by line feeds.
    pub data: String,
}

/// Splits a byte stream into events, however the network cut it.
#[derive(Debug, Default)]
pub struct Decoder {
    lines: Lines,
    event: Option<String>,
    data: Option<String>,
    begun: bool,
    finished: bool,
}

impl Decoder {
    /// Adds a piece; take everything out with [`Decoder::next`] before the next one.
    ///
    /// # Errors
    /// [`crate::Kind::Stream`] when an unfinished event exceeds 16 MiB.
    pub fn push(&mut self, piece: &[u8]) -> Result<()> {
        if self.data.as_ref().is_some_and(|data| data.len() > LONGEST) {
            return Err(too_long());
        }
        self.lines.push(piece)
    }

    /// The stream has ended: an event without its blank line, or even line end, becomes available.
    pub fn finish(&mut self) {
        self.lines.finish();
        self.finished = true;
    }

    /// The next complete event that carries data.
    #[expect(clippy::should_implement_trait, reason = "it goes on after None, once more is pushed")]
    pub fn next(&mut self) -> Option<Frame> {
        loop {
            let Some(line) = self.lines.next() else {
                return if self.finished { self.take() } else { None };
            };
            let line = if self.begun {
                line
            } else {
                self.begun = true;
                line.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(line)
            };
            if line.is_empty() {
                let event = self.event.take();
                if let Some(data) = self.data.take() {
                    return Some(Frame { event, data });
                }
                continue;
            }
            let (field, value) = match memchr::memchr(b':', line) {
                Some(colon) => line.split_at(colon),
                None => (line, b":".as_slice()),
            };
            let value = value.strip_prefix(b": ").or(value.strip_prefix(b":")).unwrap_or_default();
            match field {
                b"data" => {
                    let value = String::from_utf8_lossy(value);
                    match &mut self.data {
                        Some(data) if ends_and_begins(data, &value) => {
                            let data = std::mem::replace(data, value.into_owned());
                            return Some(Frame { event: self.event.take(), data });
                        }
                        Some(data) => {
                            data.push('\n');
                            data.push_str(&value);
                        }
                        None => self.data = Some(value.into_owned()),
                    }
                }
                b"event" => self.event = Some(String::from_utf8_lossy(value).into_owned()),
                _ => {}
            }
        }
    }

    fn take(&mut self) -> Option<Frame> {
        let event = self.event.take();
        self.data.take().map(|data| Frame { event, data })
    }
}

/// No JSON document continues with `{` or `[DONE]` on the line after a `}`.
fn ends_and_begins(data: &str, line: &str) -> bool {
    data.ends_with('}') && (line.starts_with('{') || line == "[DONE]")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decode(pieces: &[&[u8]]) -> Vec<Frame> {
        let mut decoder = Decoder::default();
        let mut frames = Vec::new();
        for piece in pieces {
            decoder.push(piece).unwrap();
            frames.extend(std::iter::from_fn(|| decoder.next()));
        }
        decoder.finish();
        frames.extend(std::iter::from_fn(|| decoder.next()));
        frames
    }

    fn data(body: &str) -> Vec<String> {
        decode(&[body.as_bytes()]).into_iter().map(|frame| frame.data).collect()
    }

    #[test]
    fn every_way_providers_write_events_is_understood() {
        assert_eq!(data("data: {\"a\":1}\n\ndata: [DONE]\n\n"), ["{\"a\":1}", "[DONE]"]);
        assert_eq!(data("data:{\"a\":1}\r\n\r\ndata:[DONE]"), ["{\"a\":1}", "[DONE]"]);
        assert_eq!(data("data: {\"a\":1}\ndata: {\"b\":2}\ndata: [DONE]\n").len(), 3);
        assert_eq!(data(": ping\n\nid: 7\nretry: 10\ndata: x\n\n: pong\n"), ["x"]);
        assert_eq!(data("data: one\ndata: two\n\n"), ["one\ntwo"]);
        assert_eq!(data("data: {\ndata:   \"a\": 1\ndata: }\n\n"), ["{\n  \"a\": 1\n}"]);
        assert_eq!(data("\u{feff}data: x\n\n"), ["x"]);
        assert_eq!(data("event: ping\n\ndata: x\n\n"), ["x"]);
        assert_eq!(data("data\n\n"), [""]);
        assert_eq!(data("dataset: x\n\n"), Vec::<String>::new());
    }

    #[test]
    fn an_event_name_belongs_to_one_event_only() {
        let frames = decode(&[b"event: a\ndata: 1\n\nevent: lost\n\ndata: 2\n\n"]);
        let names: Vec<_> = frames.iter().map(|frame| frame.event.as_deref()).collect();
        assert_eq!(names, [Some("a"), None]);
    }

    #[test]
    fn an_endless_line_is_refused() {
        let mut decoder = Decoder::default();
        let piece = vec![b'x'; 1 << 20];
        let refused = (0..20).find_map(|_| {
            let result = decoder.push(&piece);
            assert_eq!(decoder.next(), None);
            result.err()
        });
        assert_eq!(refused.map(|error| error.kind()), Some(crate::Kind::Stream));
    }

    #[test]
    fn an_endless_event_is_refused() {
        let mut decoder = Decoder::default();
        let mut piece = b"data: ".to_vec();
        piece.resize(1 << 20, b'x');
        piece.push(b'\n');
        let refused = (0..20).find_map(|_| {
            let result = decoder.push(&piece);
            assert_eq!(decoder.next(), None);
            result.err()
        });
        assert_eq!(refused.map(|error| error.kind()), Some(crate::Kind::Stream));
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same_events(
            lines in proptest::collection::vec(
                "(data: ?[^\r\n]{0,9}|event: [a-zé]{1,4}|: [^\r\n]{0,5}||data: \\{\"é\":\"😀\"\\})", 0..14),
            end in "(\n|\r\n|\n\n|)",
            cuts in proptest::collection::vec(1_usize..9, 0..80),
        ) {
            let body = lines.join("\n") + &end;
            let whole = decode(&[body.as_bytes()]);
            let mut rest = body.as_bytes();
            let mut pieces = Vec::new();
            for cut in cuts {
                let (piece, tail) = rest.split_at(cut.min(rest.len()));
                pieces.push(piece);
                rest = tail;
            }
            pieces.push(rest);
            prop_assert_eq!(decode(&pieces), whole);
        }
    }
}
