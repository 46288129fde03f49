//! The Responses dialect: `POST {base}/responses`, as OpenAI and Azure serve it.
//!
//! A conversation is a list of items: messages, calls the model made, and their outputs, tied together
//! by `call_id`. System messages travel as `developer`. Missing fields never fail an answer; only a
//! status of `failed`, or an error in place of any output, does.
//!
//! ```
//! use graphbit::dialect::openai_responses::decode;
//!
//! let body = br#"{"status":"completed","output":[
//!     {"type":"message","content":[{"type":"output_text","text":"Hi"}]}]}"#;
//! assert_eq!(decode("gpt-4o", body)?.content, "Hi");
//! # Ok::<(), graphbit::Error>(())
//! ```

mod request;

use std::collections::BTreeMap;

pub use request::encode;
use serde::Deserialize;
use serde_json::Value;

use super::lenient::{Count, Fault, Text, arguments, null_is_default};
use super::{Events, FrameReader, Metadata, Progress, StreamDecoder, from_bytes, note, random_id};
use crate::error::{Kind, Result};
use crate::http::sse;
use crate::types::{ChatEvent, ChatResponse, FinishReason, ToolCall, Usage};

#[derive(Default, Deserialize)]
struct Answer {
    #[serde(default)]
    id: Option<Text>,
    #[serde(default)]
    model: Option<Text>,
    #[serde(default)]
    status: Text,
    #[serde(default, deserialize_with = "null_is_default")]
    output: Vec<OutputItem>,
    #[serde(default)]
    usage: Option<WireUsage>,
    #[serde(default)]
    incomplete_details: Option<Incomplete>,
    #[serde(default)]
    error: Option<Fault>,
}

#[derive(Default, Deserialize)]
struct OutputItem {
    #[serde(default)]
    r#type: Text,
    #[serde(default)]
    id: Option<Text>,
    #[serde(default)]
    call_id: Option<Text>,
    #[serde(default)]
    name: Text,
    #[serde(default)]
    arguments: Option<Value>,
    #[serde(default, deserialize_with = "null_is_default")]
    content: Vec<Part>,
    /// What a reasoning item tells of itself; its `content`, where there is any, is the raw thought.
    #[serde(default, deserialize_with = "null_is_default")]
    summary: Vec<Part>,
}

#[derive(Deserialize)]
struct Part {
    #[serde(default)]
    r#type: Text,
    #[serde(default)]
    text: Text,
    #[serde(default)]
    refusal: Text,
}

#[derive(Deserialize)]
struct Incomplete {
    #[serde(default)]
    reason: Text,
}

#[derive(Deserialize)]
struct WireUsage {
    #[serde(default)]
    input_tokens: Count,
    #[serde(default)]
    output_tokens: Count,
    #[serde(default)]
    total_tokens: Option<Count>,
    #[serde(default)]
    input_tokens_details: Option<InputDetails>,
    #[serde(default)]
    output_tokens_details: Option<OutputDetails>,
}

#[derive(Deserialize)]
struct InputDetails {
    #[serde(default)]
    cached_tokens: Option<Count>,
}

#[derive(Deserialize)]
struct OutputDetails {
    #[serde(default)]
    reasoning_tokens: Option<Count>,
}

impl WireUsage {
    fn read(&self) -> Usage {
        let mut usage = Usage::new(self.input_tokens.0, self.output_tokens.0);
        if let Some(total) = self.total_tokens {
            usage.total_tokens = total.0;
        }
        usage.cache_read_tokens = self
            .input_tokens_details
            .as_ref()
            .and_then(|details| details.cached_tokens)
            .map(|count| count.0);
        usage.reasoning_tokens = self
            .output_tokens_details
            .as_ref()
            .and_then(|details| details.reasoning_tokens)
            .map(|count| count.0);
        usage
    }
}

impl Answer {
    /// The provider's word for how it ended, and ours.
    fn finish(&self, calls_tools: bool) -> (String, FinishReason) {
        match self.status.0.as_str() {
            "completed" if calls_tools => ("completed".to_owned(), FinishReason::ToolCalls),
            "completed" => ("completed".to_owned(), FinishReason::Stop),
            "incomplete" => {
                let reason =
                    self.incomplete_details.as_ref().map_or("", |details| &details.reason.0);
                let finish = match reason {
                    "max_output_tokens" => FinishReason::Length,
                    "" => FinishReason::Other("unknown".to_owned()),
                    other => FinishReason::from_word(other),
                };
                (if reason.is_empty() { "incomplete" } else { reason }.to_owned(), finish)
            }
            "" => ("unknown".to_owned(), FinishReason::Other("unknown".to_owned())),
            other => (other.to_owned(), FinishReason::Other(other.to_owned())),
        }
    }

    fn failure(self) -> crate::Error {
        let fault = self.error.unwrap_or_else(|| Fault::Plain("Unknown error".to_owned()));
        fault.into_error("Responses API failed: ", Kind::Server)
    }
}

/// What the items of an answer hold, each kind in order.
#[derive(Default)]
struct Said {
    texts: Vec<String>,
    refusals: Vec<String>,
    thoughts: Vec<String>,
    tool_calls: Vec<ToolCall>,
}

impl Said {
    fn read(items: Vec<OutputItem>) -> Self {
        let mut said = Self::default();
        for item in items {
            match item.r#type.0.as_str() {
                "message" => {
                    for part in item.content {
                        match part.r#type.0.as_str() {
                            "output_text" => said.texts.push(part.text.0),
                            "refusal" => said.refusals.push(part.refusal.0),
                            _ => {}
                        }
                    }
                }
                "reasoning" => {
                    let parts = if item.summary.is_empty() { item.content } else { item.summary };
                    said.thoughts.extend(parts.into_iter().map(|part| part.text.0));
                }
                "function_call" => {
                    let id = item.call_id.or(item.id).map_or_else(|| random_id("call_"), |id| id.0);
                    said.tool_calls.push(ToolCall::new(id, item.name.0, arguments(item.arguments)));
                }
                _ => {}
            }
        }
        said
    }
}

/// What lies between two parts of a thought, and of a text.
const BETWEEN_THOUGHTS: &str = "\n\n";
const BETWEEN_TEXTS: &str = "\n";

/// Reads a whole answer; `model` is the configured name or deployment, which the response carries.
///
/// # Errors
/// [`Kind::Decode`] when the body is not a JSON object; when the status is `failed`, the kind its
/// error names, else [`Kind::Server`].
pub fn decode(model: &str, body: &[u8]) -> Result<ChatResponse> {
    let mut answer: Answer = from_bytes(body)?;
    // Gateways report upstream failures inside a 200, without a status.
    let nothing_but_an_error = answer.error.is_some() && answer.output.is_empty();
    if answer.status.0 == "failed" || (answer.status.0.is_empty() && nothing_but_an_error) {
        return Err(answer.failure());
    }
    let said = Said::read(std::mem::take(&mut answer.output));
    let (word, finish_reason) = answer.finish(!said.tool_calls.is_empty());
    let mut metadata = Metadata::new();
    note(&mut metadata, "provider_finish_reason", word);
    note(&mut metadata, "server_model", answer.model.unwrap_or_default().0);
    note(&mut metadata, "refusal", said.refusals.join(BETWEEN_TEXTS));
    note(&mut metadata, "reasoning", said.thoughts.join(BETWEEN_THOUGHTS));
    Ok(ChatResponse {
        content: said.texts.join(BETWEEN_TEXTS),
        model: model.to_owned(),
        id: answer.id.map(|id| id.0),
        tool_calls: said.tool_calls,
        usage: answer.usage.map(|usage| usage.read()).unwrap_or_default(),
        finish_reason,
        metadata,
        raw: None,
        pace: None,
        provider: None,
    })
}

/// Which part of which item a piece belongs to.
type Place = (u64, u64);

/// Reads the frames of one streamed response.
#[derive(Default)]
pub struct ResponseFrames {
    /// What has been passed on of the calls, by item.
    calls: BTreeMap<usize, Call>,
    /// Where the last piece of text and of thought belonged.
    text: Option<Place>,
    thought: Option<Place>,
}

#[derive(Default)]
struct Call {
    named: bool,
    written: bool,
}

/// A decoder for one stream.
#[must_use]
pub fn stream_decoder() -> StreamDecoder<ResponseFrames> {
    StreamDecoder::new(ResponseFrames::default())
}

#[derive(Deserialize)]
struct StreamFrame {
    #[serde(default)]
    r#type: Text,
    #[serde(default)]
    delta: Text,
    #[serde(default)]
    output_index: Count,
    #[serde(default)]
    content_index: Count,
    #[serde(default)]
    summary_index: Count,
    #[serde(default)]
    item: Option<OutputItem>,
    #[serde(default)]
    response: Option<Answer>,
    #[serde(default)]
    error: Option<Fault>,
    #[serde(default)]
    message: Text,
    #[serde(default)]
    code: Text,
}

/// The piece as it continues what came before: parts are set apart as in a whole answer.
fn continued(piece: String, between: &str, place: Place, last: &mut Option<Place>) -> String {
    match last.replace(place) {
        Some(before) if before != place => format!("{between}{piece}"),
        _ => piece,
    }
}

impl ResponseFrames {
    /// A call's item has begun or ended. The end repeats the whole call, of which only what has not
    /// been said yet is news.
    fn call(&mut self, index: usize, item: OutputItem, ended: bool, events: &mut Events) {
        if item.r#type.0 != "function_call" {
            return;
        }
        let call = self.calls.entry(index).or_default();
        let arguments = match item.arguments {
            Some(Value::String(text)) if ended && !call.written => text,
            Some(whole) if ended && !call.written && !whole.is_null() => whole.to_string(),
            _ => String::new(),
        };
        call.written |= !arguments.is_empty();
        let (id, name) = match std::mem::replace(&mut call.named, true) {
            true => (None, None),
            false => (item.call_id.or(item.id).map(|id| id.0), Some(item.name.0)),
        };
        if name.is_some() || !arguments.is_empty() {
            events.push_back(Ok(ChatEvent::ToolCallDelta { index, id, name, arguments }));
        }
    }

    fn end(&self, answer: Answer, progress: &mut Progress, events: &mut Events) {
        let (word, finish_reason) = answer.finish(!self.calls.is_empty());
        progress.finish_reason = Some(finish_reason);
        progress.usage = answer.usage.map(|usage| usage.read());
        let metadata = &mut progress.metadata;
        note(metadata, "provider_finish_reason", word);
        note(metadata, "server_model", answer.model.unwrap_or_default().0);
        note(metadata, "id", answer.id.unwrap_or_default().0);
        note(metadata, "refusal", Said::read(answer.output).refusals.join(BETWEEN_TEXTS));
        progress.finish(events);
    }
}

impl FrameReader for ResponseFrames {
    type Frames = sse::Decoder;

    fn read(&mut self, data: &str, progress: &mut Progress, events: &mut Events) {
        if data.trim() == "[DONE]" {
            return progress.finish(events);
        }
        let Some(frame) = progress.parse::<StreamFrame>(data, events) else { return };
        let item = frame.output_index.0;
        let index = usize::try_from(item).unwrap_or(usize::MAX);
        match frame.r#type.0.as_str() {
            "response.output_text.delta" if !frame.delta.0.is_empty() => {
                let place = (item, frame.content_index.0);
                let text = continued(frame.delta.0, BETWEEN_TEXTS, place, &mut self.text);
                events.push_back(Ok(ChatEvent::Text(text)));
            }
            "response.reasoning_summary_text.delta" | "response.reasoning_text.delta"
                if !frame.delta.0.is_empty() =>
            {
                let place = (item, frame.content_index.0.max(frame.summary_index.0));
                let text = continued(frame.delta.0, BETWEEN_THOUGHTS, place, &mut self.thought);
                events.push_back(Ok(ChatEvent::Reasoning(text)));
            }
            "response.output_item.added" => {
                if let Some(item) = frame.item {
                    self.call(index, item, false, events);
                }
            }
            "response.output_item.done" => {
                if let Some(item) = frame.item {
                    self.call(index, item, true, events);
                }
            }
            "response.function_call_arguments.delta" if !frame.delta.0.is_empty() => {
                self.calls.entry(index).or_default().written = true;
                events.push_back(Ok(ChatEvent::ToolCallDelta {
                    index,
                    id: None,
                    name: None,
                    arguments: frame.delta.0,
                }));
            }
            "response.completed" | "response.incomplete" => {
                self.end(frame.response.unwrap_or_default(), progress, events);
            }
            "response.failed" => {
                progress.fail(frame.response.unwrap_or_default().failure(), events);
            }
            "error" => {
                let fault = frame.error.unwrap_or(Fault::Detailed {
                    message: frame.message,
                    code: frame.code,
                    r#type: Text::default(),
                });
                progress.fail(fault.into_error("Stream error: ", Kind::Stream), events);
            }
            _ => {
                if let Some(fault) = frame.error {
                    progress.fail(fault.into_error("Stream error: ", Kind::Stream), events);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
