//! Google's dialect: `models/{model}:generateContent`, and the same as server-sent events.
//!
//! What the model thinks is told apart from what it says, calls keep the signature the service wants
//! back, and a blocked prompt is an empty answer rather than an error. A field of a wrong shape reads
//! like a missing one; only a body without JSON, or without candidate and reason, is refused.
//!
//! ```
//! use graphbit::dialect::gemini::decode;
//!
//! let body = br#"{"candidates":[{"content":{"parts":[{"text":"Hm","thought":true},{"text":"Hi"}]}}]}"#;
//! let response = decode("gemini-3.5-flash-lite", body)?;
//! assert_eq!((response.content.as_str(), response.finish_reason.as_str()), ("Hi", "stop"));
//! assert_eq!(response.metadata["reasoning"], "Hm");
//! # Ok::<(), graphbit::Error>(())
//! ```

mod request;

use std::collections::VecDeque;
use std::time::Duration;

pub use request::encode;
use serde::Deserialize;
use serde_json::Value;

use super::lenient::{Count, Fault, Lenient, Text, arguments};
use super::{Events, FrameReader, Frames, Metadata, Progress, StreamDecoder};
use super::{from_bytes, note, random_id, sign};
use crate::error::{Advice, Error, Kind, Result};
use crate::http::{LONGEST_WAIT, sse};
use crate::types::{ChatEvent, ChatResponse, FinishReason, ToolCall, Usage};

/// A longer document in place of events is a broken or hostile server.
const LONGEST_DOCUMENT: usize = 16 << 20;

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Answer {
    candidates: Lenient<VecDeque<Lenient<Candidate>>>,
    prompt_feedback: Value,
    usage_metadata: Lenient<Option<WireUsage>>,
    response_id: Lenient<Text>,
    model_version: Lenient<Text>,
    error: Value,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Candidate {
    content: Lenient<Content>,
    finish_reason: Lenient<Text>,
    /// What exactly was wrong, for a malformed call.
    finish_message: Lenient<Text>,
    citation_metadata: Value,
    grounding_metadata: Value,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Content {
    parts: Lenient<Vec<Lenient<Part>>>,
}

/// One part; code and images, which only tools of Google's own produce, are none of ours.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Part {
    text: Lenient<Text>,
    thought: Lenient<bool>,
    function_call: Lenient<Option<SaidCall>>,
    thought_signature: Lenient<Option<String>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct SaidCall {
    id: Lenient<Text>,
    name: Lenient<Text>,
    args: Option<Value>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct WireUsage {
    prompt_token_count: Count,
    /// What Google's own tools added to the prompt; not in the count above.
    tool_use_prompt_token_count: Count,
    candidates_token_count: Count,
    /// Not in the candidates' count, but billed like it.
    thoughts_token_count: Option<Count>,
    cached_content_token_count: Option<Count>,
}

impl WireUsage {
    fn read(&self) -> Usage {
        let prompt = self.prompt_token_count.0.saturating_add(self.tool_use_prompt_token_count.0);
        let thoughts = self.thoughts_token_count.map(|count| count.0);
        let completion = self.candidates_token_count.0.saturating_add(thoughts.unwrap_or(0));
        Usage {
            cache_read_tokens: self.cached_content_token_count.map(|count| count.0),
            reasoning_tokens: thoughts,
            ..Usage::new(prompt, completion)
        }
    }
}

/// What one part says.
enum Piece {
    Text(String),
    Thought(String),
    Call(ToolCall),
}

impl Part {
    fn into_piece(self) -> Piece {
        if let Some(call) = self.function_call.0 {
            // The answer to a call has to name it, so a call without an id gets one.
            let id = Some(call.id.0.0).filter(|id| !id.is_empty());
            let id = id.unwrap_or_else(|| random_id(request::OUR_CALLS));
            let call = ToolCall::new(id, call.name.0.0, arguments(call.args));
            return Piece::Call(ToolCall { signature: self.thought_signature.0, ..call });
        }
        if self.thought.0 { Piece::Thought(self.text.0.0) } else { Piece::Text(self.text.0.0) }
    }
}

impl Candidate {
    fn pieces(&mut self) -> impl Iterator<Item = Piece> + use<> {
        let parts = std::mem::take(&mut self.content.0.parts.0);
        parts.into_iter().map(|part| part.0.into_piece())
    }

    /// Notes what is said beside the text, and returns the word for its end, empty while it goes on.
    fn describe(&mut self, metadata: &mut Metadata) -> String {
        keep(metadata, "citations", self.citation_metadata.take());
        keep(metadata, "grounding", self.grounding_metadata.take());
        note(metadata, "finish_message", std::mem::take(&mut self.finish_message.0.0));
        let word = std::mem::take(&mut self.finish_reason.0.0);
        note(metadata, "provider_finish_reason", word.clone());
        word
    }
}

impl Answer {
    /// Notes why the prompt itself was refused; whether it was.
    fn is_blocked(&mut self, metadata: &mut Metadata) -> bool {
        let reason = self.prompt_feedback.get("blockReason").filter(|reason| !reason.is_null());
        let Some(reason) = reason else { return false };
        let reason = reason.as_str().unwrap_or_default().to_owned();
        note(metadata, "provider_finish_reason", reason);
        keep(metadata, "prompt_feedback", self.prompt_feedback.take());
        true
    }
}

/// Remembers what was said in a shape of its own.
fn keep(metadata: &mut Metadata, name: &str, value: Value) {
    if !value.is_null() {
        metadata.insert(name.to_owned(), value);
    }
}

fn finish_reason(word: &str, calls_tools: bool) -> FinishReason {
    match word.to_ascii_uppercase().as_str() {
        "" | "STOP" if calls_tools => FinishReason::ToolCalls,
        "" | "STOP" => FinishReason::Stop,
        "MAX_TOKENS" => FinishReason::Length,
        "SAFETY" | "RECITATION" | "BLOCKLIST" | "PROHIBITED_CONTENT" | "SPII" => {
            FinishReason::ContentFilter
        }
        "MALFORMED_FUNCTION_CALL" => FinishReason::Error,
        other => FinishReason::Other(other.to_owned()),
    }
}

/// Reads a whole answer; `model` is the configured name, which the response carries.
///
/// # Errors
/// [`Kind::Decode`] when the body is no JSON object, or holds neither a candidate nor a reason why the
/// prompt was blocked; the kind an `error` object names.
pub fn decode(model: &str, body: &[u8]) -> Result<ChatResponse> {
    let mut answer: Answer = from_bytes(body)?;
    let mut metadata = Metadata::new();
    let mut response = ChatResponse { model: model.to_owned(), ..ChatResponse::default() };
    match answer.candidates.0.pop_front() {
        Some(Lenient(mut candidate)) => {
            let mut reasoning = String::new();
            for piece in candidate.pieces() {
                match piece {
                    Piece::Text(text) => response.content.push_str(&text),
                    Piece::Thought(text) => reasoning.push_str(&text),
                    Piece::Call(call) => response.tool_calls.push(call),
                }
            }
            note(&mut metadata, "reasoning", reasoning);
            let word = candidate.describe(&mut metadata);
            response.finish_reason = finish_reason(&word, !response.tool_calls.is_empty());
        }
        None if answer.is_blocked(&mut metadata) => {
            response.finish_reason = FinishReason::ContentFilter;
        }
        None if !answer.error.is_null() => {
            return Err(fault(answer.error, "API error: ", Kind::Server));
        }
        None => return Err(Error::new(Kind::Decode, "No candidates in response")),
    }
    note(&mut metadata, "server_model", answer.model_version.0.0);
    response.id = Some(answer.response_id.0.0);
    response.usage = answer.usage_metadata.0.map(|usage| usage.read()).unwrap_or_default();
    response.metadata = metadata;
    Ok(response)
}

/// An error from an `error` object; its code counts, else Google's word for the status.
fn fault(error: Value, prefix: &str, otherwise: Kind) -> Error {
    let word = error.get("status").and_then(Value::as_str).unwrap_or_default();
    let kind = match word {
        "UNAUTHENTICATED" => Kind::Authentication,
        "PERMISSION_DENIED" => Kind::PermissionDenied,
        "NOT_FOUND" => Kind::NotFound,
        "RESOURCE_EXHAUSTED" => Kind::RateLimited,
        "INVALID_ARGUMENT" | "FAILED_PRECONDITION" | "OUT_OF_RANGE" => Kind::BadRequest,
        "INTERNAL" | "UNAVAILABLE" | "DEADLINE_EXCEEDED" | "UNKNOWN" => Kind::Server,
        _ => otherwise,
    };
    Fault::deserialize(&error).unwrap_or(Fault::Other(error)).into_error(prefix, kind)
}

/// What the details of a refusal advise: Google names the pause in the body instead of a header, and
/// which quota is used up. Tomorrow's quota is not worth waiting for.
pub(crate) fn advice(refusal: &str) -> Option<Advice> {
    let body: Value = serde_json::from_str(refusal).ok()?;
    // A stream that was not asked for as events is refused with a list.
    let body = body.get(0).unwrap_or(&body);
    let details = body.get("error")?.get("details")?.as_array()?;
    let daily = |violation: &Value| {
        violation.get("quotaId").and_then(Value::as_str).is_some_and(|id| id.contains("PerDay"))
    };
    let violations = details.iter().filter_map(|detail| detail.get("violations")?.as_array());
    if violations.flatten().any(daily) {
        return Some(Advice::Never);
    }
    let delay = details.iter().find_map(|detail| detail.get("retryDelay")?.as_str())?;
    let seconds: f64 = delay.strip_suffix('s')?.parse().ok()?;
    let after = Duration::try_from_secs_f64(seconds.min(LONGEST_WAIT.as_secs_f64())).ok()?;
    Some(Advice::Retry { after: Some(after) })
}

/// Server-sent events, and the bare document that Google sends instead once a stream goes wrong in the
/// middle: everything from a line that begins with `{` or `[`, which no event does.
#[derive(Default)]
pub struct EventFrames {
    events: sse::Decoder,
    document: Option<Vec<u8>>,
    within_line: bool,
    finished: bool,
}

impl EventFrames {
    /// Where in `bytes` a document begins.
    fn document_start(&self, bytes: &[u8]) -> Option<usize> {
        let opens = |place: &usize| matches!(bytes.get(*place), Some(b'{' | b'['));
        let first = (!self.within_line).then_some(0);
        let lines = memchr::memchr_iter(b'\n', bytes).map(|end| end.saturating_add(1));
        first.into_iter().chain(lines).find(opens)
    }
}

impl Frames for EventFrames {
    fn push(&mut self, bytes: &[u8]) -> Result<()> {
        if let Some(document) = &mut self.document {
            if document.len() > LONGEST_DOCUMENT {
                let text = "Stream error: a document in place of events is longer than 16 MiB";
                return Err(Error::new(Kind::Stream, text));
            }
            document.extend_from_slice(bytes);
            return Ok(());
        }
        let (events, document) = bytes.split_at(self.document_start(bytes).unwrap_or(bytes.len()));
        self.within_line = events.last().map_or(self.within_line, |byte| *byte != b'\n');
        if !document.is_empty() {
            self.document = Some(document.to_vec());
        }
        self.events.push(events)
    }

    fn finish(&mut self) {
        self.events.finish();
        self.finished = true;
    }

    fn next_frame(&mut self) -> Option<String> {
        let event = self.events.next().map(|frame| frame.data);
        event.or_else(|| {
            let document = self.document.take_if(|_| self.finished)?;
            Some(String::from_utf8_lossy(&document).into_owned())
        })
    }
}

/// Reads the frames of one streamed answer.
#[derive(Default)]
pub struct GeminiFrames {
    calls: usize,
}

/// A decoder for one stream.
#[must_use]
pub fn stream_decoder() -> StreamDecoder<GeminiFrames> {
    StreamDecoder::new(GeminiFrames::default())
}

impl FrameReader for GeminiFrames {
    type Frames = EventFrames;

    fn read(&mut self, frame: &str, progress: &mut Progress, events: &mut Events) {
        if frame.trim_start().starts_with('[') {
            let answers = progress.parse::<Vec<Answer>>(frame, events).unwrap_or_default();
            for answer in answers {
                self.take(answer, progress, events);
            }
        } else if let Some(answer) = progress.parse::<Answer>(frame, events) {
            self.take(answer, progress, events);
        }
    }
}

impl GeminiFrames {
    fn take(&mut self, mut answer: Answer, progress: &mut Progress, events: &mut Events) {
        if progress.closed {
            return;
        }
        if !answer.error.is_null() {
            return progress.fail(fault(answer.error, "Stream error: ", Kind::Stream), events);
        }
        if let Some(usage) = answer.usage_metadata.0.take() {
            progress.usage = Some(usage.read());
        }
        let metadata = &mut progress.metadata;
        note(metadata, "server_model", std::mem::take(&mut answer.model_version.0.0));
        note(metadata, "id", std::mem::take(&mut answer.response_id.0.0));
        let Some(Lenient(mut candidate)) = answer.candidates.0.pop_front() else {
            if answer.is_blocked(metadata) {
                progress.finish_reason = Some(FinishReason::ContentFilter);
            }
            return;
        };
        for piece in candidate.pieces() {
            match piece {
                Piece::Text(text) | Piece::Thought(text) if text.is_empty() => {}
                Piece::Text(text) => events.push_back(Ok(ChatEvent::Text(text))),
                Piece::Thought(text) => events.push_back(Ok(ChatEvent::Reasoning(text))),
                Piece::Call(call) => events.push_back(Ok(self.delta(call, metadata))),
            }
        }
        let word = candidate.describe(metadata);
        if !word.is_empty() {
            progress.finish_reason = Some(finish_reason(&word, self.calls > 0));
        }
    }

    /// A call arrives whole. Its signature has no place in the event, so it waits in the metadata of the
    /// end, by the call's id.
    fn delta(&mut self, call: ToolCall, metadata: &mut Metadata) -> ChatEvent {
        if let Some(signature) = call.signature {
            sign(metadata, &call.id, signature);
        }
        let index = self.calls;
        self.calls = self.calls.saturating_add(1);
        let arguments = call.arguments.to_string();
        ChatEvent::ToolCallDelta { index, id: Some(call.id), name: Some(call.name), arguments }
    }
}

#[cfg(test)]
mod tests;
