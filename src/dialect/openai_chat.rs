//! The chat-completions dialect: `POST {base}/chat/completions`, spoken by most of the market.
//!
//! Differences between providers are data in [`Wire`]; the decoder is one and the same for all, and it
//! takes what any of them has been seen to send. It refuses answers without a choice.
//!
//! ```
//! use graphbit::dialect::openai_chat::{Wire, decode};
//!
//! let body = br#"{"choices":[{"message":{"content":null},"finish_reason":"length"}]}"#;
//! let response = decode(&Wire::COMMON, "m", body)?;
//! assert_eq!((response.content.as_str(), response.finish_reason.as_str()), ("", "length"));
//! # Ok::<(), graphbit::Error>(())
//! ```

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::de::IgnoredAny;
use serde::ser::SerializeSeq;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

use super::lenient::{Count, Embedded, Fault, Text, arguments, null_is_default};
use super::{Events, FrameReader, Progress, StreamDecoder, from_bytes, random_id, to_bytes};
use crate::error::{Advice, Error, Kind, Result};
use crate::http::sse;
use crate::types::{
    ChatEvent, ChatRequest, ChatResponse, FinishReason, Message, Role, ToolCall, ToolSpec, Usage,
};

/// How one provider's wire departs from the common one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wire {
    /// The limit travels as `max_completion_tokens` instead of `max_tokens`.
    pub completion_tokens_field: bool,
    /// The body names the model (Azure has it in the URL).
    pub names_model: bool,
    /// Streams are asked for a closing usage frame.
    pub stream_usage: bool,
    /// `total_tokens` is the server's figure instead of the sum.
    pub server_total: bool,
}

impl Wire {
    /// What most providers understand.
    pub const COMMON: Self = Self {
        completion_tokens_field: false,
        names_model: true,
        stream_usage: false,
        server_total: false,
    };
    /// OpenAI itself.
    pub const OPENAI: Self =
        Self { completion_tokens_field: true, stream_usage: true, ..Self::COMMON };
    /// Azure's deployments route.
    pub const AZURE: Self =
        Self { names_model: false, stream_usage: true, server_total: true, ..Self::COMMON };
}

#[derive(Serialize)]
struct Body<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<&'a str>,
    messages: Messages<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_completion_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f64>,
    #[serde(skip_serializing_if = "Tools::is_empty")]
    tools: Tools<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<&'static str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stream: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream_options: Option<StreamOptions>,
}

#[derive(Serialize)]
struct StreamOptions {
    include_usage: bool,
}

struct Messages<'a>(&'a [Message]);

#[derive(Serialize)]
struct WireMessage<'a> {
    role: &'static str,
    content: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<WireCall<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_call_id: Option<&'a str>,
}

#[derive(Serialize)]
struct WireCall<'a> {
    id: &'a str,
    r#type: &'static str,
    function: WireFunction<'a>,
}

#[derive(Serialize)]
struct WireFunction<'a> {
    name: &'a str,
    arguments: Embedded<'a>,
}

impl Serialize for Messages<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(self.0.len()))?;
        for message in self.0 {
            list.serialize_element(&WireMessage {
                role: message.role.as_str(),
                content: &message.content,
                tool_calls: message.tool_calls.iter().map(WireCall::from).collect(),
                tool_call_id: match message.role {
                    Role::Tool => message.tool_call_id.as_deref(),
                    _ => None,
                },
            })?;
        }
        list.end()
    }
}

impl<'a> From<&'a ToolCall> for WireCall<'a> {
    fn from(call: &'a ToolCall) -> Self {
        Self {
            id: &call.id,
            r#type: "function",
            function: WireFunction { name: &call.name, arguments: Embedded(&call.arguments) },
        }
    }
}

/// Tools in the nested shape, `{"type": "function", "function": {...}}`; Ollama takes the same.
pub(crate) struct Tools<'a>(pub(crate) &'a [ToolSpec]);

impl Tools<'_> {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for Tools<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Nested<'a> {
            r#type: &'static str,
            function: Function<'a>,
        }
        #[derive(Serialize)]
        struct Function<'a> {
            name: &'a str,
            description: &'a str,
            parameters: &'a Value,
        }
        serializer.collect_seq(self.0.iter().map(|tool| Nested {
            r#type: "function",
            function: Function {
                name: &tool.name,
                description: &tool.description,
                parameters: &tool.parameters,
            },
        }))
    }
}

/// The request body. Unset options are left out.
///
/// # Errors
/// [`Kind::Internal`] only if serialising plain data fails.
pub fn encode(wire: &Wire, model: &str, request: &ChatRequest, stream: bool) -> Result<Bytes> {
    let (max_tokens, max_completion_tokens) = match wire.completion_tokens_field {
        true => (None, request.max_tokens),
        false => (request.max_tokens, None),
    };
    let body = Body {
        model: wire.names_model.then_some(model),
        messages: Messages(&request.messages),
        max_tokens,
        max_completion_tokens,
        temperature: request.temperature,
        top_p: request.top_p,
        tools: Tools(&request.tools),
        tool_choice: (!request.tools.is_empty()).then_some("auto"),
        stream,
        stream_options: (stream && wire.stream_usage)
            .then_some(StreamOptions { include_usage: true }),
    };
    to_bytes(&body, request)
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    id: Option<Text>,
    #[serde(default)]
    model: Option<Text>,
    #[serde(default, deserialize_with = "null_is_default")]
    choices: Vec<Choice>,
    #[serde(default)]
    usage: Option<WireUsage>,
    #[serde(default)]
    error: Option<Fault>,
}

#[derive(Default, Deserialize)]
struct Choice {
    #[serde(default, deserialize_with = "null_is_default")]
    index: Count,
    /// Whole answers say `message`, streams say `delta`.
    #[serde(default, alias = "delta", deserialize_with = "null_is_default")]
    message: Said,
    #[serde(default)]
    finish_reason: Option<Text>,
}

#[derive(Default, Deserialize)]
struct Said {
    #[serde(default)]
    content: Text,
    #[serde(default)]
    refusal: Option<Text>,
    #[serde(default, deserialize_with = "null_is_default")]
    tool_calls: Vec<SaidCall>,
}

#[derive(Deserialize)]
struct SaidCall {
    #[serde(default)]
    index: Option<Count>,
    #[serde(default)]
    id: Option<Text>,
    #[serde(default)]
    function: Option<SaidFunction>,
    /// Some say name and arguments right here, without `function` around them.
    #[serde(default)]
    name: Option<Text>,
    #[serde(default, alias = "parameters")]
    arguments: Option<Value>,
}

impl SaidCall {
    fn into_parts(self) -> (Option<String>, Option<String>, Option<Value>) {
        let direct = SaidFunction { name: self.name, arguments: self.arguments };
        let function = self.function.unwrap_or(direct);
        let text = |text: Option<Text>| text.map(|text| text.0).filter(|text| !text.is_empty());
        (text(self.id), text(function.name), function.arguments)
    }
}

#[derive(Default, Deserialize)]
struct SaidFunction {
    #[serde(default)]
    name: Option<Text>,
    #[serde(default)]
    arguments: Option<Value>,
}

/// `usage`, with the details that only some servers report.
#[derive(Deserialize)]
struct WireUsage {
    #[serde(default)]
    prompt_tokens: Count,
    #[serde(default)]
    completion_tokens: Count,
    #[serde(default)]
    total_tokens: Option<Count>,
    #[serde(default)]
    prompt_tokens_details: Option<PromptDetails>,
    #[serde(default)]
    completion_tokens_details: Option<CompletionDetails>,
}

#[derive(Deserialize)]
struct PromptDetails {
    #[serde(default)]
    cached_tokens: Option<Count>,
}

#[derive(Deserialize)]
struct CompletionDetails {
    #[serde(default)]
    reasoning_tokens: Option<Count>,
}

impl WireUsage {
    fn read(&self, wire: &Wire) -> Usage {
        let mut usage = Usage::new(self.prompt_tokens.0, self.completion_tokens.0);
        if let (true, Some(total)) = (wire.server_total, self.total_tokens) {
            usage.total_tokens = total.0;
        }
        usage.cache_read_tokens = self
            .prompt_tokens_details
            .as_ref()
            .and_then(|details| details.cached_tokens)
            .map(|count| count.0);
        usage.reasoning_tokens = self
            .completion_tokens_details
            .as_ref()
            .and_then(|details| details.reasoning_tokens)
            .map(|count| count.0);
        usage
    }
}

/// Reads a whole answer; `model` is the configured name, which the response carries.
///
/// # Errors
/// [`Kind::Decode`] when the body is not JSON of this shape or holds no choice; the kind an embedded
/// `error` object names.
pub fn decode(wire: &Wire, model: &str, body: &[u8]) -> Result<ChatResponse> {
    let answer: Answer = from_bytes(body)?;
    let Some(choice) = answer.choices.into_iter().next() else {
        // Gateways report upstream failures inside a 200.
        return Err(match answer.error {
            Some(fault) => fault.into_error("API error: ", Kind::Server),
            None => Error::new(Kind::Decode, "No choices in response"),
        });
    };
    Ok(read(wire, model, answer.id, answer.model, choice, answer.usage))
}

/// Reads an answer of a user's own making: a whole answer of this dialect, or the flat form
/// `{"content", "tool_calls": [{"id", "name", "arguments"}], "finish_reason", "usage", "id", "model"}`.
///
/// # Errors
/// [`Kind::Decode`] when it is neither.
#[cfg_attr(
    not(feature = "python"),
    expect(dead_code, reason = "functions as models come from Python")
)]
pub(crate) fn decode_mapping(model: &str, body: &[u8]) -> Result<ChatResponse> {
    #[derive(Deserialize)]
    struct Flat {
        #[serde(default)]
        choices: Option<IgnoredAny>,
        #[serde(default)]
        content: Option<Text>,
        #[serde(default, deserialize_with = "null_is_default")]
        tool_calls: Vec<SaidCall>,
        #[serde(default)]
        finish_reason: Option<Text>,
        #[serde(default)]
        usage: Option<WireUsage>,
        #[serde(default)]
        id: Option<Text>,
        #[serde(default)]
        model: Option<Text>,
    }
    let flat: Flat = from_bytes(body)?;
    if flat.choices.is_some() {
        return decode(&Wire::COMMON, model, body);
    }
    if flat.content.is_none() && flat.tool_calls.is_empty() {
        let text = "Failed to parse response: the mapping has neither 'content', 'tool_calls' nor 'choices'";
        return Err(Error::new(Kind::Decode, text).with_advice(Advice::Never));
    }
    let message = Said {
        content: flat.content.unwrap_or_default(),
        tool_calls: flat.tool_calls,
        ..Said::default()
    };
    let choice = Choice { message, finish_reason: flat.finish_reason, ..Choice::default() };
    Ok(read(&Wire::COMMON, model, flat.id, flat.model, choice, flat.usage))
}

fn read(
    wire: &Wire,
    model: &str,
    id: Option<Text>,
    server_model: Option<Text>,
    choice: Choice,
    usage: Option<WireUsage>,
) -> ChatResponse {
    let mut metadata = BTreeMap::new();
    if let Some(name) = server_model.filter(|name| !name.0.is_empty()) {
        metadata.insert("server_model".to_owned(), Value::String(name.0));
    }
    if let Some(refusal) = choice.message.refusal.filter(|refusal| !refusal.0.is_empty()) {
        metadata.insert("refusal".to_owned(), Value::String(refusal.0));
    }
    let finish_reason = match choice.finish_reason {
        Some(word) if !word.0.is_empty() => {
            let reason = FinishReason::from_word(&word.0);
            metadata.insert("provider_finish_reason".to_owned(), Value::String(word.0));
            reason
        }
        _ => FinishReason::Stop,
    };
    ChatResponse {
        content: choice.message.content.0,
        model: model.to_owned(),
        id: id.map(|id| id.0),
        tool_calls: choice.message.tool_calls.into_iter().map(tool_call).collect(),
        usage: usage.map(|usage| usage.read(wire)).unwrap_or_default(),
        finish_reason,
        metadata,
    }
}

fn tool_call(call: SaidCall) -> ToolCall {
    let (id, name, sent) = call.into_parts();
    ToolCall {
        // The answer to a call has to name it, so a call without an id gets one.
        id: id.unwrap_or_else(|| random_id("call_")),
        name: name.unwrap_or_default(),
        arguments: arguments(sent),
    }
}

/// Reads the frames of one streamed answer.
pub struct ChatFrames {
    wire: Wire,
}

/// A decoder for one stream.
#[must_use]
pub fn stream_decoder(wire: Wire) -> StreamDecoder<ChatFrames> {
    StreamDecoder::new(ChatFrames { wire })
}

impl FrameReader for ChatFrames {
    type Frames = sse::Decoder;

    fn read(&mut self, data: &str, progress: &mut Progress, events: &mut Events) {
        if data.trim() == "[DONE]" {
            return progress.finish(events);
        }
        let Some(frame) = progress.parse::<Answer>(data, events) else { return };
        if let Some(fault) = frame.error {
            return progress.fail(fault.into_error("Stream error: ", Kind::Stream), events);
        }
        if let Some(usage) = frame.usage {
            progress.usage = Some(usage.read(&self.wire));
        }
        for choice in frame.choices {
            // Nobody asks for several answers; were one sent, mixing them would garble both.
            if choice.index.0 != 0 {
                continue;
            }
            if !choice.message.content.0.is_empty() {
                events.push_back(Ok(ChatEvent::Text(choice.message.content.0)));
            }
            for (position, call) in choice.message.tool_calls.into_iter().enumerate() {
                events.push_back(Ok(tool_call_delta(position, call)));
            }
            if let Some(word) = choice.finish_reason.filter(|word| !word.0.is_empty()) {
                progress.finish_reason = Some(FinishReason::from_word(&word.0));
            }
        }
    }
}

fn tool_call_delta(position: usize, call: SaidCall) -> ChatEvent {
    let index = call.index.and_then(|index| usize::try_from(index.0).ok()).unwrap_or(position);
    let (id, name, arguments) = call.into_parts();
    let arguments = match arguments {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(piece)) => piece,
        Some(whole) => whole.to_string(),
    };
    ChatEvent::ToolCallDelta { index, id, name, arguments }
}

#[cfg(test)]
#[path = "openai_chat_tests.rs"]
mod tests;
