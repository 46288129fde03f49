//! Answers as packets: what the dialects produce and the body that plays it over the wire.
//!
//! Each packet is flushed on its own, with or without a pause, so a test decides where the network
//! cuts. The body refuses to hide a broken promise: an answer that is cut short announces more bytes
//! than it sends, and then ends the connection, resets it, or falls silent.
//!
//! ```text
//! Answer::json(r#"{"ok":true}"#.into())          one packet with a Content-Length
//! Answer::stream("text/event-stream", frames)   chunked, a packet a frame
//! ```

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::StatusCode;
use hyper::body::{Body, Frame, SizeHint};

use crate::behaviour::Settings;
use crate::scope::Ticket;
use crate::timer::{self, Sleep};
use crate::wire::{Farewell, Parting};

pub(crate) const JSON: &str = "application/json";

/// What a dialect has to say.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) content_type: &'static str,
    pub(crate) frames: Vec<Bytes>,
    /// Frames of a stream, rather than one document.
    pub(crate) streamed: bool,
}

impl Answer {
    /// One JSON document, status 200.
    pub(crate) fn json(body: impl Into<Bytes>) -> Self {
        Self::document(StatusCode::OK, JSON, body)
    }

    /// One document.
    pub(crate) fn document(
        status: StatusCode,
        content_type: &'static str,
        body: impl Into<Bytes>,
    ) -> Self {
        Self { status, content_type, frames: vec![body.into()], streamed: false }
    }

    /// Frames of a stream, status 200.
    pub(crate) fn stream(content_type: &'static str, frames: Vec<Bytes>) -> Self {
        Self { status: StatusCode::OK, content_type, frames, streamed: true }
    }

    /// Turns the answer into a body, cut and paced as the settings want.
    pub(crate) fn into_body(self, settings: &Settings, ending: Ending, ticket: Ticket) -> Packets {
        let mut frames = self.frames;
        match ending {
            Ending::Whole => {}
            Ending::Short | Ending::Reset(_) => cut_short(&mut frames),
            Ending::Never => frames.clear(),
        }
        let slow = settings.slow_stream;
        if let Some(slow) = slow.filter(|_| !self.streamed) {
            frames = frames.iter().flat_map(|frame| pieces_of(frame, slow.chunks)).collect();
        }
        if settings.split_utf8 {
            frames = frames.iter().flat_map(split_inside_characters).collect();
        }
        if settings.one_packet {
            frames = vec![frames.concat().into()];
        }
        let length: usize = frames.iter().map(Bytes::len).sum();
        // A stream breaks off inside a chunk; a document promises bytes that never come.
        let promised = if matches!(ending, Ending::Whole) { length } else { length + 64 };
        Packets {
            packets: frames.into(),
            pause: slow.and_then(|slow| Duration::try_from_secs_f64(slow.delay_ms / 1000.0).ok()),
            waiting: Waiting::No,
            length: (!self.streamed && slow.is_none()).then_some(promised as u64),
            ending,
            ticket,
        }
    }
}

/// Keeps the first two thirds.
fn cut_short(frames: &mut Vec<Bytes>) {
    let total: usize = frames.iter().map(Bytes::len).sum();
    let mut left = total * 2 / 3;
    for frame in frames.iter_mut() {
        frame.truncate(left);
        left -= frame.len();
    }
    frames.retain(|frame| !frame.is_empty());
}

fn pieces_of(frame: &Bytes, count: usize) -> Vec<Bytes> {
    let size = frame.len().div_ceil(count).max(1);
    (0..frame.len())
        .step_by(size)
        .map(|start| frame.slice(start..frame.len().min(start + size)))
        .collect()
}

/// Cuts before every continuation byte, so that each multi-byte character spans packets.
fn split_inside_characters(frame: &Bytes) -> Vec<Bytes> {
    let mut pieces = Vec::new();
    let mut start = 0;
    for (place, _) in frame.iter().enumerate().filter(|(_, byte)| (0x80..0xc0).contains(*byte)) {
        pieces.push(frame.slice(start..place));
        start = place;
    }
    pieces.push(frame.slice(start..));
    pieces
}

/// A body of packets.
pub(crate) struct Packets {
    packets: VecDeque<Bytes>,
    pause: Option<Duration>,
    waiting: Waiting,
    length: Option<u64>,
    ending: Ending,
    ticket: Ticket,
}

/// How a body ends.
pub(crate) enum Ending {
    /// As announced.
    Whole,
    /// After two thirds, by closing the connection.
    Short,
    /// After two thirds, by resetting the connection whose farewell this is.
    Reset(Farewell),
    /// Not at all: there are headers, and then nothing.
    Never,
}

enum Waiting {
    No,
    /// Come back at once: hyper flushes when a body has nothing to give for the moment.
    Flush,
    Until(Sleep),
}

impl Body for Packets {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match &mut self.waiting {
            Waiting::No => {}
            Waiting::Flush => {
                self.waiting = Waiting::No;
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            Waiting::Until(sleep) => {
                ready!(Pin::new(sleep).poll(context));
                self.waiting = Waiting::No;
            }
        }
        let Some(packet) = self.packets.pop_front() else {
            match &self.ending {
                Ending::Never => return Poll::Pending,
                Ending::Reset(farewell) => farewell.set(Parting::Reset),
                Ending::Whole | Ending::Short => {}
            }
            self.ticket.finish();
            let whole = matches!(self.ending, Ending::Whole);
            return Poll::Ready(
                (!whole).then(|| Err(std::io::Error::other("cut short on purpose"))),
            );
        };
        if self.packets.is_empty() && matches!(self.ending, Ending::Whole) {
            self.ticket.finish();
        } else {
            self.waiting = match self.pause {
                Some(pause) => Waiting::Until(timer::sleep_until(Instant::now() + pause)),
                // The last packet must have left before the error closes the connection.
                None if self.packets.is_empty() => {
                    let soon = Instant::now() + Duration::from_millis(5);
                    Waiting::Until(timer::sleep_until(soon))
                }
                None => Waiting::Flush,
            };
        }
        Poll::Ready(Some(Ok(Frame::data(packet))))
    }

    fn is_end_stream(&self) -> bool {
        self.packets.is_empty() && matches!(self.ending, Ending::Whole)
    }

    fn size_hint(&self) -> SizeHint {
        self.length.map(SizeHint::with_exact).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_fall_inside_characters_and_lose_nothing() {
        let text = Bytes::from("aé日🙂z");
        let pieces = split_inside_characters(&text);
        assert_eq!(pieces.concat(), text);
        assert_eq!(pieces.len(), 1 + 1 + 2 + 3);
        assert!(std::str::from_utf8(&pieces[0]).is_err());
    }

    #[test]
    fn pieces_rejoin() {
        let text = Bytes::from("0123456789");
        for count in 1..12 {
            assert_eq!(pieces_of(&text, count).concat(), text);
        }
        assert_eq!(pieces_of(&text, 5).len(), 5);
    }

    #[test]
    fn cut_short_keeps_two_thirds() {
        let mut frames = vec![Bytes::from("abc"), Bytes::from("def"), Bytes::from("ghi")];
        cut_short(&mut frames);
        assert_eq!(frames.concat(), b"abcdef");
    }
}
