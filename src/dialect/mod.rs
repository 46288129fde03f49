//! Wire formats: pure bytes out, bytes in. One file a dialect, shared by every provider that speaks it.
//!
//! A dialect encodes a [`ChatRequest`](crate::types::ChatRequest), decodes the answer, and turns the
//! bytes of a stream into [`ChatEvent`]s. It refuses to open a connection, to spawn, and to know a
//! provider's URL. Every decoder accepts what servers really send (nulls, missing fields, content in
//! parts) and rejects only what carries no answer at all.
//!
//! ```
//! use graphbit::dialect::openai_chat::{self, Wire};
//! use graphbit::types::ChatRequest;
//!
//! let body = openai_chat::encode(&Wire::OPENAI, "gpt-4o-mini", &ChatRequest::from_prompt("Hi"), false)?;
//! assert_eq!(body, br#"{"model":"gpt-4o-mini","messages":[{"role":"user","content":"Hi"}]}"#.as_slice());
//! # Ok::<(), graphbit::Error>(())
//! ```

pub mod anthropic;
pub mod cohere_embeddings;
pub mod embeddings;
pub mod gemini;
pub mod gemini_embeddings;
pub(crate) mod lenient;
mod mend;
pub mod ollama;
pub mod ollama_embeddings;
pub mod openai_chat;
pub mod openai_responses;
pub mod replicate;

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::error::{Error, Kind, Result};
use crate::http::{ndjson, sse};
use crate::types::{ChatEvent, ChatRequest, FinishReason, Usage};

/// Metadata of the terminal event: by call id, what goes into [`ToolCall::signature`](crate::types::ToolCall::signature).
pub(crate) const SIGNATURES: &str = "thought_signatures";
/// Bytes of a body that is kept until a frame of it was understood.
const LARGEST_OPENING: usize = 4 << 20;
/// Undecodable frames in a row after which a stream is given up.
const CORRUPT_FRAMES: u8 = 5;

/// Cuts the bytes of a stream into frames.
pub trait Frames: Default + Send + 'static {
    /// Adds bytes as the network cut them.
    ///
    /// # Errors
    /// [`Kind::Stream`] when an unfinished frame grows without bound.
    fn push(&mut self, bytes: &[u8]) -> Result<()>;
    /// The body has ended: what lies unterminated in the buffer counts too.
    fn finish(&mut self);
    /// The next complete frame's text.
    fn next_frame(&mut self) -> Option<String>;
}

impl Frames for sse::Decoder {
    fn push(&mut self, bytes: &[u8]) -> Result<()> {
        Self::push(self, bytes)
    }
    fn finish(&mut self) {
        Self::finish(self);
    }
    fn next_frame(&mut self) -> Option<String> {
        self.next().map(|frame| match frame.event.as_deref() {
            Some("error") => as_error(frame.data),
            _ => frame.data,
        })
    }
}

/// An event of the name `error`, whose data some servers leave without any sign of what it is.
fn as_error(data: String) -> String {
    let told = serde_json::from_str(&data).unwrap_or(Value::String(String::new()));
    match told {
        Value::Object(members)
            if members.contains_key("error")
                || members.get("type").is_some_and(|word| word == "error") =>
        {
            data
        }
        Value::String(text) if text.is_empty() => json!({ "error": data }).to_string(),
        told => json!({ "error": told }).to_string(),
    }
}

impl Frames for ndjson::Decoder {
    fn push(&mut self, bytes: &[u8]) -> Result<()> {
        Self::push(self, bytes)
    }
    fn finish(&mut self) {
        Self::finish(self);
    }
    fn next_frame(&mut self) -> Option<String> {
        self.next()
    }
}

/// What one dialect makes of a frame.
pub trait FrameReader: Send + 'static {
    /// How this dialect's frames are cut.
    type Frames: Frames;
    /// Reads one frame, adding to `events`; what must be remembered goes to `progress`.
    fn read(&mut self, frame: &str, progress: &mut Progress, events: &mut Events);
}

/// Events decoded and not yet taken.
pub type Events = VecDeque<Result<ChatEvent>>;

/// Turns the bytes of one streamed answer into events; after [`ChatEvent::Done`] or an error nothing
/// more is added.
#[derive(Default)]
pub struct StreamDecoder<R: FrameReader> {
    frames: R::Frames,
    reader: R,
    progress: Progress,
    /// Whether any frame was understood.
    heard: bool,
    /// The body until then: it may be no stream at all.
    opening: Vec<u8>,
}

impl<R: FrameReader> StreamDecoder<R> {
    /// A decoder for one stream.
    pub(crate) fn new(reader: R) -> Self {
        Self {
            frames: R::Frames::default(),
            reader,
            progress: Progress::default(),
            heard: false,
            opening: Vec::new(),
        }
    }

    /// Takes bytes as the network cut them.
    pub fn feed(&mut self, bytes: &[u8], events: &mut Events) {
        if self.progress.closed {
            return;
        }
        if !self.heard && self.opening.len() < LARGEST_OPENING {
            self.opening.extend_from_slice(bytes);
        }
        let pushed = self.frames.push(bytes);
        self.drain(events);
        if self.heard {
            self.opening = Vec::new();
        }
        if let Err(error) = pushed {
            self.progress.fail(error, events);
        }
    }

    /// Takes the end of the body; the terminal event follows, if it has not come yet. A body without one
    /// frame that could be read is [`Kind::Decode`]: a web page, say, must not pass for an empty answer.
    pub fn end(&mut self, events: &mut Events) {
        self.frames.finish();
        self.drain(events);
        self.read_whole(events);
        if !self.heard {
            let text = "Failed to parse response: the body is no stream of events";
            self.progress.fail(Error::new(Kind::Decode, text), events);
        }
        self.progress.finish(events);
    }

    /// Whether the terminal event or an error has been added.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.progress.closed
    }

    /// Reads the body of a server that did not stream: the reason why not, or the answer at once.
    fn read_whole(&mut self, events: &mut Events) {
        let opening = std::mem::take(&mut self.opening);
        let Some(text) = std::str::from_utf8(&opening).ok().filter(|_| !self.heard) else { return };
        let whole: Value = serde_json::from_str(text).unwrap_or_default();
        let holds = |name: &str| whole.get(name).is_some_and(|value| !value.is_null());
        if holds("error") || holds("choices") {
            let before = events.len();
            self.reader.read(text, &mut self.progress, events);
            // Another dialect's answer says nothing here, and must not pass for an empty one.
            self.heard = events.len() > before || self.progress.finish_reason.is_some();
        }
    }

    fn drain(&mut self, events: &mut Events) {
        while !self.progress.closed {
            let Some(frame) = self.frames.next_frame() else { break };
            self.reader.read(&frame, &mut self.progress, events);
            self.heard |= self.progress.corrupt == 0;
        }
    }
}

/// What every stream decoder remembers between frames.
#[derive(Debug, Default)]
pub struct Progress {
    usage: Option<Usage>,
    finish_reason: Option<FinishReason>,
    metadata: Metadata,
    /// The first half of a character, of which the second may follow.
    half: Option<u16>,
    corrupt: u8,
    closed: bool,
}

impl Progress {
    /// Parses one frame; `None` when it is corrupt (counted, and fatal the fifth time in a row).
    fn parse<T: DeserializeOwned>(&mut self, frame: &str, events: &mut Events) -> Option<T> {
        let parsed = serde_json::from_str(frame).or_else(|reason| {
            serde_json::from_str(&mend::mended(frame, Some(&mut self.half))).map_err(|_| reason)
        });
        match parsed {
            Ok(parsed) => {
                self.corrupt = 0;
                Some(parsed)
            }
            Err(reason) => {
                self.corrupt = self.corrupt.saturating_add(1);
                if self.corrupt >= CORRUPT_FRAMES {
                    let text = format!(
                        "Stream corrupted: {CORRUPT_FRAMES} consecutive parse errors. Last error: {reason}"
                    );
                    self.fail(Error::new(Kind::Stream, text), events);
                }
                None
            }
        }
    }

    /// Ends the stream with an error, unless it has ended.
    fn fail(&mut self, error: Error, events: &mut Events) {
        if !std::mem::replace(&mut self.closed, true) {
            events.push_back(Err(error));
        }
    }

    /// Emits the terminal event once.
    fn finish(&mut self, events: &mut Events) {
        if std::mem::replace(&mut self.closed, true) {
            return;
        }
        // A server that closes without saying why leaves a word that no caller takes for "stop".
        let finish_reason =
            self.finish_reason.take().unwrap_or_else(|| FinishReason::Other("unknown".to_owned()));
        let metadata = std::mem::take(&mut self.metadata);
        events.push_back(Ok(ChatEvent::Done { usage: self.usage, finish_reason, metadata }));
    }
}

/// What a provider says beside the answer, by name.
type Metadata = BTreeMap<String, Value>;

/// Remembers a text the provider said about the answer; an empty one says nothing.
fn note(metadata: &mut Metadata, name: &str, text: String) {
    if !text.is_empty() {
        metadata.insert(name.to_owned(), Value::String(text));
    }
}

/// Remembers a call's signature for the end of the stream, by the call's id: an event has no place for it.
fn sign(metadata: &mut Metadata, id: &str, signature: String) {
    let signatures =
        metadata.entry(SIGNATURES.to_owned()).or_insert_with(|| Value::Object(Map::new()));
    if let Value::Object(signatures) = signatures {
        signatures.insert(id.to_owned(), Value::String(signature));
    }
}

/// Tells a model in words to answer in JSON of this schema, for wires that cannot say it in a field.
fn schema_instruction(schema: &Value) -> String {
    format!("Answer with nothing but one JSON object that fits this JSON Schema: {schema}")
}

/// Serialises a body in one pass into one allocation sized from its texts.
fn to_bytes(body: &impl Serialize, request: &ChatRequest) -> Result<Bytes> {
    to_bytes_merging(body, request, "")
}

/// [`to_bytes`], but an object given for the field `merged` adds to ours instead of replacing it.
fn to_bytes_merging(body: &impl Serialize, request: &ChatRequest, merged: &str) -> Result<Bytes> {
    let text: usize = request.messages.iter().map(|message| message.content.len() + 64).sum();
    let mut buffer = Vec::with_capacity(text + text / 16 + 160);
    let failed = |reason| Error::new(Kind::Internal, format!("Serialization error: {reason}"));
    match &request.extra_body {
        None => serde_json::to_writer(&mut buffer, body).map_err(failed)?,
        // Rare, so only here a body is built as a value first: a field given must replace ours.
        Some(extra) => {
            let mut whole = serde_json::to_value(body).map_err(failed)?;
            if let Value::Object(fields) = &mut whole {
                for (name, given) in extra {
                    match (fields.get_mut(name), given) {
                        (Some(Value::Object(ours)), Value::Object(given)) if name == merged => {
                            ours.extend(given.clone());
                        }
                        _ => {
                            fields.insert(name.clone(), given.clone());
                        }
                    }
                }
            }
            serde_json::to_writer(&mut buffer, &whole).map_err(failed)?;
        }
    }
    Ok(Bytes::from(buffer))
}

/// Reads a whole answer, keeping the decoder's reason.
fn from_bytes<T: DeserializeOwned>(body: &[u8]) -> Result<T> {
    let parsed = serde_json::from_slice(body).or_else(|reason| {
        let mended = mend::mended(&String::from_utf8_lossy(body), None);
        serde_json::from_str(&mended).map_err(|_| reason)
    });
    parsed.map_err(|reason| {
        let text = format!("Failed to parse response: error decoding response body: {reason}");
        Error::new(Kind::Decode, text)
    })
}

/// An id for things the server did not name: `prefix` and a random version 4 UUID.
pub(crate) fn random_id(prefix: &str) -> String {
    let random = fastrand::u128(..);
    let version = (random & !(0xf << 76) & !(0x3 << 62)) | (0x4 << 76) | (0x2 << 62);
    let hex = format!("{version:032x}");
    let mut id = String::with_capacity(prefix.len() + 36);
    id.push_str(prefix);
    for (index, digit) in hex.chars().enumerate() {
        if matches!(index, 8 | 12 | 16 | 20) {
            id.push('-');
        }
        id.push(digit);
    }
    id
}

#[cfg(test)]
pub(crate) mod testing {
    //! Feeds a recorded stream to a decoder, cut at every possible byte.

    use super::*;

    /// Events of `body` delivered in pieces of `step` bytes.
    pub(crate) fn events<R: FrameReader>(
        mut decoder: StreamDecoder<R>,
        body: &[u8],
        step: usize,
    ) -> Vec<Result<ChatEvent>> {
        let mut events = VecDeque::new();
        for piece in body.chunks(step.max(1)) {
            decoder.feed(piece, &mut events);
        }
        decoder.end(&mut events);
        events.into()
    }

    /// Asserts that cutting `body` anywhere changes nothing, and returns the events.
    pub(crate) fn same_however_cut<R: FrameReader>(
        new: impl Fn() -> StreamDecoder<R>,
        body: &[u8],
    ) -> Vec<ChatEvent> {
        let whole: Vec<_> =
            events(new(), body, body.len()).into_iter().map(Result::unwrap).collect();
        for step in 1..body.len() {
            let cut: Vec<_> = events(new(), body, step).into_iter().map(Result::unwrap).collect();
            assert_eq!(cut, whole, "pieces of {step} bytes");
        }
        whole
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_stream_is_not_an_empty_answer() {
        fn end_of<R: FrameReader>(decoder: StreamDecoder<R>, body: &[u8]) -> Result<ChatEvent> {
            testing::events(decoder, body, 7).pop().unwrap()
        }
        for body in ["", "<html>\n<body>", "{\"choices\": [", "\0\u{1}{{{", ": a comment\n\n"] {
            let openai = openai_chat::stream_decoder(openai_chat::Wire::OPENAI);
            for end in [
                end_of(openai, body.as_bytes()),
                end_of(ollama::stream_decoder(), body.as_bytes()),
                end_of(anthropic::stream_decoder(), body.as_bytes()),
            ] {
                assert_eq!(end.unwrap_err().kind(), Kind::Decode, "{body}");
            }
        }
        let openai = openai_chat::stream_decoder(openai_chat::Wire::OPENAI);
        assert!(end_of(openai, b"data: [DONE]\n\n").is_ok(), "a model may say nothing");
    }

    #[test]
    fn a_random_id_is_a_version_4_uuid() {
        let id = random_id("ollama_");
        let parts: Vec<&str> = id.strip_prefix("ollama_").unwrap().split('-').collect();
        assert_eq!(parts.iter().map(|part| part.len()).collect::<Vec<_>>(), [8, 4, 4, 4, 12]);
        assert!(parts[2].starts_with('4'));
        assert!(parts[3].starts_with(['8', '9', 'a', 'b']));
        assert_ne!(id, random_id("ollama_"));
    }
}
