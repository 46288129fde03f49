//! Anthropic's Messages dialect: `POST {base}/messages`, content in typed blocks, streams as named
//! events.
//!
//! Fields that are odd or missing never cost an answer. It refuses only what is an error, whatever its
//! status, and what has neither content nor a reason for stopping. Thoughts that come before a tool
//! call travel with it as [`ToolCall::signature`]: a model that thinks wants them back, unchanged, with
//! the call's result.
//!
//! ```
//! use graphbit::dialect::anthropic::decode;
//!
//! let body = br#"{"content":[{"type":"text","text":"Hi"}],"stop_reason":"max_tokens"}"#;
//! let response = decode("claude", body)?;
//! assert_eq!((response.content.as_str(), response.finish_reason.as_str()), ("Hi", "length"));
//! # Ok::<(), graphbit::Error>(())
//! ```

mod request;

use std::collections::BTreeMap;

pub use request::encode;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::lenient::{Count, Fault, Text, arguments, null_is_default};
use super::{
    Events, FrameReader, Metadata, Progress, StreamDecoder, from_bytes, note, random_id, sign,
};
use crate::error::{Error, Kind, Result};
use crate::http::sse;
use crate::types::{ChatEvent, ChatResponse, FinishReason, ToolCall, Usage};

/// A whole answer, and the beginning of a streamed one.
#[derive(Default, Deserialize)]
struct Answer {
    #[serde(default, deserialize_with = "odd_is_default")]
    r#type: Text,
    #[serde(default, deserialize_with = "odd_is_default")]
    id: Text,
    #[serde(default, deserialize_with = "odd_is_default")]
    model: Text,
    #[serde(default)]
    content: Value,
    #[serde(default, deserialize_with = "odd_is_default")]
    stop_reason: Text,
    #[serde(default, deserialize_with = "odd_is_default")]
    stop_sequence: Text,
    /// What a refusal is about.
    #[serde(default)]
    stop_details: Option<Value>,
    #[serde(default, deserialize_with = "odd_is_default")]
    usage: WireUsage,
    #[serde(default)]
    error: Option<Fault>,
    #[serde(default, deserialize_with = "odd_is_default")]
    request_id: Text,
}

/// Counts are totals so far: the frames of a stream repeat and raise them.
#[derive(Clone, Copy, Default, PartialEq, Deserialize)]
struct WireUsage {
    #[serde(default)]
    input_tokens: Option<Count>,
    #[serde(default)]
    output_tokens: Option<Count>,
    #[serde(default)]
    cache_read_input_tokens: Option<Count>,
    #[serde(default)]
    cache_creation_input_tokens: Option<Count>,
    #[serde(default, deserialize_with = "odd_is_default")]
    output_tokens_details: OutputDetails,
}

#[derive(Clone, Copy, Default, PartialEq, Deserialize)]
struct OutputDetails {
    #[serde(default)]
    thinking_tokens: Option<Count>,
}

/// Reads `null` and values of a wrong shape as the default.
fn odd_is_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + DeserializeOwned,
{
    Ok(match Value::deserialize(deserializer)? {
        // A structure would take its fields from a list by position.
        Value::Array(_) => T::default(),
        value => T::deserialize(value).unwrap_or_default(),
    })
}

impl WireUsage {
    fn read(&self) -> Usage {
        let count = |count: Option<Count>| count.map(|count| count.0);
        let input = count(self.input_tokens).unwrap_or_default();
        let output = count(self.output_tokens).unwrap_or_default();
        Usage {
            cache_read_tokens: count(self.cache_read_input_tokens),
            cache_creation_tokens: count(self.cache_creation_input_tokens),
            reasoning_tokens: count(self.output_tokens_details.thinking_tokens),
            ..Usage::new(input, output)
        }
    }

    /// The larger count of each kind: some servers send zeros where they have nothing new to say.
    fn raised(self, later: Self) -> Self {
        let larger = |one: Option<Count>, other: Option<Count>| match (one, other) {
            (Some(one), Some(other)) => Some(Count(one.0.max(other.0))),
            (one, other) => one.or(other),
        };
        Self {
            input_tokens: larger(self.input_tokens, later.input_tokens),
            output_tokens: larger(self.output_tokens, later.output_tokens),
            cache_read_input_tokens: larger(
                self.cache_read_input_tokens,
                later.cache_read_input_tokens,
            ),
            cache_creation_input_tokens: larger(
                self.cache_creation_input_tokens,
                later.cache_creation_input_tokens,
            ),
            output_tokens_details: OutputDetails {
                thinking_tokens: larger(
                    self.output_tokens_details.thinking_tokens,
                    later.output_tokens_details.thinking_tokens,
                ),
            },
        }
    }
}

/// Notes the provider's words for the end and returns ours; a reason left out means that the model was
/// done.
fn finish(
    stop_reason: String,
    stop_sequence: String,
    stop_details: Option<Value>,
    metadata: &mut Metadata,
) -> FinishReason {
    let reason = match stop_reason.as_str() {
        "" | "end_turn" | "stop_sequence" => FinishReason::Stop,
        // A full context window cuts an answer off like a used-up limit does.
        "max_tokens" | "model_context_window_exceeded" => FinishReason::Length,
        "tool_use" => FinishReason::ToolCalls,
        "refusal" => FinishReason::ContentFilter,
        other => FinishReason::Other(other.to_owned()),
    };
    note(metadata, "provider_finish_reason", stop_reason);
    note(metadata, "stop_sequence", stop_sequence);
    if let Some(details) = stop_details {
        metadata.insert("stop_details".to_owned(), details);
    }
    reason
}

/// What the blocks of an answer amount to.
#[derive(Default)]
struct Said {
    texts: Vec<String>,
    reasoning: Vec<String>,
    /// Blocks of thought since the last call, as they came.
    thoughts: Vec<Value>,
    citations: Vec<Value>,
    tool_calls: Vec<ToolCall>,
}

impl Said {
    fn read(content: Value) -> Self {
        let mut said = Self::default();
        match content {
            Value::Array(blocks) => blocks.into_iter().for_each(|block| said.add(block)),
            Value::Null => {}
            // Gateways have been seen to send bare text, or one block without the list around it.
            other => said.add(other),
        }
        said
    }

    fn add(&mut self, mut block: Value) {
        if let Value::String(text) = block {
            self.texts.push(text);
            return;
        }
        match block.get("type").and_then(Value::as_str) {
            Some("text") | None => {
                self.texts.extend(non_empty(take_text(&mut block, "text")));
                if let Some(Value::Array(citations)) = block.get_mut("citations").map(Value::take) {
                    self.citations.extend(citations);
                }
            }
            Some("tool_use") => {
                // The answer to a call has to name it, so a call without an id gets one.
                let id = non_empty(take_text(&mut block, "id"));
                let id = id.unwrap_or_else(|| random_id("toolu_"));
                let input = arguments(block.get_mut("input").map(Value::take));
                let mut call = ToolCall::new(id, take_text(&mut block, "name"), input);
                if !self.thoughts.is_empty() {
                    let thoughts = Value::Array(std::mem::take(&mut self.thoughts));
                    call.signature = Some(thoughts.to_string());
                }
                self.tool_calls.push(call);
            }
            Some("thinking") => {
                self.thoughts.push(block.clone());
                self.reasoning.extend(non_empty(take_text(&mut block, "thinking")));
            }
            Some("redacted_thinking") => self.thoughts.push(block),
            // What tools did on the server's side is no part of the answer.
            Some(_) => {}
        }
    }
}

/// Moves a text out of a block, in any of the shapes text comes in.
fn take_text(block: &mut Value, name: &str) -> String {
    let value = block.get_mut(name).map(Value::take).unwrap_or_default();
    Text::deserialize(value).unwrap_or_default().0
}

/// Lengthens a text of a block.
fn append(block: &mut Value, name: &str, piece: &str) {
    if let (false, Value::Object(members)) = (piece.is_empty(), block) {
        match members.entry(name).or_insert_with(|| Value::String(String::new())) {
            Value::String(text) => text.push_str(piece),
            other => *other = Value::String(piece.to_owned()),
        }
    }
}

fn non_empty(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

/// An error of the kind that the server's word for it means.
fn failure(fault: Fault, prefix: &str, otherwise: Kind, request_id: String) -> Error {
    let kind = match &fault {
        Fault::Detailed { r#type, .. } => match r#type.0.as_str() {
            "api_error" | "timeout_error" => Kind::Server,
            "billing_error" => Kind::QuotaExhausted,
            "request_too_large" => Kind::BadRequest,
            _ => otherwise,
        },
        _ => otherwise,
    };
    fault.into_error(prefix, kind).with_request_id(non_empty(request_id))
}

/// Reads a whole answer; `model` is the configured name, which the response carries.
///
/// # Errors
/// [`Kind::Decode`] when the body is not a JSON object, or holds neither content nor a reason for
/// stopping; the kind its `error` object names.
pub fn decode(model: &str, body: &[u8]) -> Result<ChatResponse> {
    let answer: Answer = from_bytes(body)?;
    if answer.content.is_null() || answer.r#type.0 == "error" {
        // Gateways report upstream failures inside a 200.
        if let Some(fault) = answer.error {
            return Err(failure(fault, "API error: ", Kind::Server, answer.request_id.0));
        }
        if answer.stop_reason.0.is_empty() {
            return Err(Error::new(Kind::Decode, "No content in response"));
        }
    }
    let said = Said::read(answer.content);
    let mut metadata = Metadata::new();
    let Answer { stop_reason, stop_sequence, stop_details, .. } = answer;
    let finish_reason = finish(stop_reason.0, stop_sequence.0, stop_details, &mut metadata);
    note(&mut metadata, "server_model", answer.model.0);
    note(&mut metadata, "reasoning", said.reasoning.join("\n"));
    if !said.citations.is_empty() {
        metadata.insert("citations".to_owned(), Value::Array(said.citations));
    }
    Ok(ChatResponse {
        content: said.texts.join("\n"),
        model: model.to_owned(),
        id: non_empty(answer.id.0),
        tool_calls: said.tool_calls,
        usage: answer.usage.read(),
        finish_reason,
        metadata,
        raw: None,
        pace: None,
        provider: None,
    })
}

/// One event of a stream; which members it has depends on its type.
#[derive(Deserialize)]
struct Event {
    #[serde(default)]
    r#type: Text,
    #[serde(default)]
    index: Option<Count>,
    #[serde(default, deserialize_with = "null_is_default")]
    message: Answer,
    #[serde(default)]
    content_block: Value,
    #[serde(default, deserialize_with = "null_is_default")]
    delta: Delta,
    #[serde(default, deserialize_with = "odd_is_default")]
    usage: WireUsage,
    #[serde(default)]
    error: Option<Fault>,
    #[serde(default, deserialize_with = "odd_is_default")]
    request_id: Text,
}

/// A piece of a block, or the end of the message.
#[derive(Default, Deserialize)]
struct Delta {
    #[serde(default)]
    text: Text,
    #[serde(default)]
    thinking: Text,
    #[serde(default)]
    signature: Text,
    #[serde(default)]
    partial_json: Option<Value>,
    #[serde(default)]
    citation: Option<Value>,
    #[serde(default)]
    stop_reason: Text,
    #[serde(default)]
    stop_sequence: Text,
    #[serde(default)]
    stop_details: Option<Value>,
}

/// Reads the events of one streamed answer.
#[derive(Default)]
pub struct MessageFrames {
    usage: WireUsage,
    /// The block under way, for deltas that do not say theirs.
    block: u64,
    /// Blocks that are calls: the call's own number, and whether its input came at once.
    calls: BTreeMap<u64, (usize, bool)>,
    /// Blocks of thought since the last call, as a whole answer would have them.
    thoughts: BTreeMap<u64, Value>,
}

/// A decoder for one stream.
#[must_use]
pub fn stream_decoder() -> StreamDecoder<MessageFrames> {
    StreamDecoder::new(MessageFrames::default())
}

impl FrameReader for MessageFrames {
    type Frames = sse::Decoder;

    fn read(&mut self, data: &str, progress: &mut Progress, events: &mut Events) {
        // Gateways that translate another dialect leave its last word in.
        if data.trim() == "[DONE]" {
            return progress.finish(events);
        }
        let Some(event) = progress.parse::<Event>(data, events) else { return };
        if let Some(fault) = event.error {
            let error = failure(fault, "Stream error: ", Kind::Stream, event.request_id.0);
            return progress.fail(error, events);
        }
        let block = event.index.map_or(self.block, |index| index.0);
        match event.r#type.0.as_str() {
            "message_start" => {
                note(&mut progress.metadata, "id", event.message.id.0);
                note(&mut progress.metadata, "server_model", event.message.model.0);
                self.count(event.message.usage, progress);
            }
            "content_block_start" => {
                self.block = block;
                self.begin(event.content_block, progress, events);
            }
            "content_block_delta" => self.advance(block, event.delta, progress, events),
            "message_delta" => {
                let Delta { stop_reason, stop_sequence, stop_details, .. } = event.delta;
                if !stop_reason.0.is_empty() {
                    let metadata = &mut progress.metadata;
                    let reason = finish(stop_reason.0, stop_sequence.0, stop_details, metadata);
                    progress.finish_reason = Some(reason);
                }
                self.count(event.usage, progress);
            }
            "message_stop" => {
                // A message that is complete and gives no reason was simply done.
                progress.finish_reason.get_or_insert_default();
                progress.finish(events);
            }
            // `ping`, the end of a block, and whatever is invented later.
            _ => {}
        }
    }
}

impl MessageFrames {
    fn count(&mut self, usage: WireUsage, progress: &mut Progress) {
        if usage != WireUsage::default() {
            self.usage = self.usage.raised(usage);
            progress.usage = Some(self.usage.read());
        }
    }

    /// A block's first part: a call's id and name, and what little else some servers put there.
    fn begin(&mut self, mut block: Value, progress: &mut Progress, events: &mut Events) {
        match block.get("type").and_then(Value::as_str) {
            Some("text") => {
                let text = non_empty(take_text(&mut block, "text"));
                events.extend(text.map(|text| Ok(ChatEvent::Text(text))));
            }
            Some("thinking") => {
                self.thoughts.insert(self.block, block.clone());
                let thought = non_empty(take_text(&mut block, "thinking"));
                events.extend(thought.map(|thought| Ok(ChatEvent::Reasoning(thought))));
            }
            Some("redacted_thinking") => {
                self.thoughts.insert(self.block, block);
            }
            Some("tool_use") => {
                let index = self.calls.len();
                let id = non_empty(take_text(&mut block, "id"));
                if let (Some(id), false) = (&id, self.thoughts.is_empty()) {
                    let thoughts = std::mem::take(&mut self.thoughts).into_values().collect();
                    sign(&mut progress.metadata, id, Value::Array(thoughts).to_string());
                }
                let whole = match block.get_mut("input").map(Value::take) {
                    Some(Value::Object(input)) if !input.is_empty() => {
                        Value::Object(input).to_string()
                    }
                    _ => String::new(),
                };
                self.calls.insert(self.block, (index, !whole.is_empty()));
                events.push_back(Ok(ChatEvent::ToolCallDelta {
                    index,
                    id,
                    name: non_empty(take_text(&mut block, "name")),
                    arguments: whole,
                }));
            }
            _ => {}
        }
    }

    fn advance(&mut self, block: u64, delta: Delta, progress: &mut Progress, events: &mut Events) {
        if let Some(text) = non_empty(delta.text.0) {
            events.push_back(Ok(ChatEvent::Text(text)));
        }
        if let Some(begun) = self.thoughts.get_mut(&block) {
            append(begun, "thinking", &delta.thinking.0);
            append(begun, "signature", &delta.signature.0);
        }
        if let Some(thought) = non_empty(delta.thinking.0) {
            events.push_back(Ok(ChatEvent::Reasoning(thought)));
        }
        if let Some(citation) = delta.citation {
            let citations = progress.metadata.entry("citations".to_owned()).or_default();
            match citations {
                Value::Array(citations) => citations.push(citation),
                other => *other = Value::Array(vec![citation]),
            }
        }
        // The server's own tools have input, too; only the caller's are calls.
        if let (Some(piece), Some((index, false))) = (delta.partial_json, self.calls.get(&block)) {
            let arguments = match piece {
                Value::Null => String::new(),
                Value::String(piece) => piece,
                whole => whole.to_string(),
            };
            if !arguments.is_empty() {
                let index = *index;
                events.push_back(Ok(ChatEvent::ToolCallDelta {
                    index,
                    id: None,
                    name: None,
                    arguments,
                }));
            }
        }
    }
}

#[cfg(test)]
mod tests;
