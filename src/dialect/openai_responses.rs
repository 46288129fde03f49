//! The Responses dialect, as Azure serves it: `POST {endpoint}/openai/responses`.
//!
//! A conversation is a list of items: messages, calls the model made, and their outputs, tied together
//! by `call_id`. System messages travel as `developer`. Missing fields never fail an answer; only a
//! status of `failed` does.
//!
//! ```
//! use graphbit::dialect::openai_responses::decode;
//!
//! let body = br#"{"status":"completed","output":[
//!     {"type":"message","content":[{"type":"output_text","text":"Hi"}]}]}"#;
//! assert_eq!(decode("gpt-4o", body)?.content, "Hi");
//! # Ok::<(), graphbit::Error>(())
//! ```

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::ser::SerializeSeq;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

use super::lenient::{Count, Embedded, Fault, Text, arguments, null_is_default};
use super::{Events, FrameReader, Progress, StreamDecoder, from_bytes, random_id, to_bytes};
use crate::error::{Kind, Result};
use crate::http::sse;
use crate::types::{
    ChatEvent, ChatRequest, ChatResponse, FinishReason, Message, Role, ToolCall, ToolSpec, Usage,
};

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    input: Items<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_output_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<FlatTool<'a>>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stream: bool,
}

#[derive(Serialize)]
struct FlatTool<'a> {
    r#type: &'static str,
    name: &'a str,
    description: &'a str,
    parameters: &'a Value,
}

impl<'a> From<&'a ToolSpec> for FlatTool<'a> {
    fn from(tool: &'a ToolSpec) -> Self {
        Self {
            r#type: "function",
            name: &tool.name,
            description: &tool.description,
            parameters: &tool.parameters,
        }
    }
}

#[derive(Serialize)]
#[serde(untagged)]
enum Item<'a> {
    Message { role: &'static str, content: &'a str },
    Call { r#type: &'static str, call_id: &'a str, name: &'a str, arguments: Embedded<'a> },
    Output { r#type: &'static str, call_id: &'a str, output: &'a str },
}

struct Items<'a>(&'a [Message]);

impl Serialize for Items<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut items = serializer.serialize_seq(None)?;
        for message in self.0 {
            if let (Role::Tool, Some(call_id)) = (message.role, &message.tool_call_id) {
                let output = &message.content;
                items.serialize_element(&Item::Output {
                    r#type: "function_call_output",
                    call_id,
                    output,
                })?;
                continue;
            }
            if !message.content.is_empty() || message.tool_calls.is_empty() {
                let role = match message.role {
                    Role::System => "developer",
                    Role::Assistant => "assistant",
                    // A tool result that names no call can only be shown to the model as text.
                    Role::User | Role::Tool => "user",
                };
                items.serialize_element(&Item::Message { role, content: &message.content })?;
            }
            for call in &message.tool_calls {
                items.serialize_element(&Item::Call {
                    r#type: "function_call",
                    call_id: &call.id,
                    name: &call.name,
                    arguments: Embedded(&call.arguments),
                })?;
            }
        }
        items.end()
    }
}

/// The request body. Unset options are left out.
///
/// # Errors
/// [`Kind::Internal`] only if serialising plain data fails.
pub fn encode(model: &str, request: &ChatRequest, stream: bool) -> Result<Bytes> {
    let body = Body {
        model,
        input: Items(&request.messages),
        max_output_tokens: request.max_tokens,
        temperature: request.temperature,
        top_p: request.top_p,
        tools: request.tools.iter().map(FlatTool::from).collect(),
        stream,
    };
    to_bytes(&body, request)
}

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
    #[serde(default, deserialize_with = "null_is_default")]
    usage: WireUsage,
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

#[derive(Default, Deserialize)]
struct WireUsage {
    #[serde(default)]
    input_tokens: Count,
    #[serde(default)]
    output_tokens: Count,
    #[serde(default)]
    total_tokens: Count,
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
        Usage {
            prompt_tokens: self.input_tokens.0,
            completion_tokens: self.output_tokens.0,
            total_tokens: self.total_tokens.0,
            cache_read_tokens: self
                .input_tokens_details
                .as_ref()
                .and_then(|details| details.cached_tokens)
                .map(|count| count.0),
            cache_creation_tokens: None,
            reasoning_tokens: self
                .output_tokens_details
                .as_ref()
                .and_then(|details| details.reasoning_tokens)
                .map(|count| count.0),
        }
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

/// Reads a whole answer; `model` is the deployment, which the response carries.
///
/// # Errors
/// [`Kind::Decode`] when the body is not a JSON object; when the status is `failed`, the kind its
/// error names, else [`Kind::Server`].
pub fn decode(model: &str, body: &[u8]) -> Result<ChatResponse> {
    let mut answer: Answer = from_bytes(body)?;
    if answer.status.0 == "failed" {
        return Err(answer.failure());
    }
    let mut texts = Vec::new();
    let mut refusals = Vec::new();
    let mut tool_calls = Vec::new();
    for item in std::mem::take(&mut answer.output) {
        match item.r#type.0.as_str() {
            "message" => {
                for part in item.content {
                    match part.r#type.0.as_str() {
                        "output_text" => texts.push(part.text.0),
                        "refusal" => refusals.push(part.refusal.0),
                        _ => {}
                    }
                }
            }
            "function_call" => {
                let id = item.call_id.or(item.id).map_or_else(|| random_id("call_"), |id| id.0);
                tool_calls.push(ToolCall::new(id, item.name.0, arguments(item.arguments)));
            }
            _ => {}
        }
    }
    let (word, finish_reason) = answer.finish(!tool_calls.is_empty());
    let mut metadata = BTreeMap::new();
    metadata.insert("provider_finish_reason".to_owned(), Value::String(word));
    if let Some(name) = answer.model {
        metadata.insert("server_model".to_owned(), Value::String(name.0));
    }
    if !refusals.is_empty() {
        metadata.insert("refusal".to_owned(), Value::String(refusals.join("\n")));
    }
    Ok(ChatResponse {
        content: texts.join("\n"),
        model: model.to_owned(),
        id: answer.id.map(|id| id.0),
        tool_calls,
        usage: answer.usage.read(),
        finish_reason,
        metadata,
        raw: None,
    })
}

/// Reads the frames of one streamed response.
#[derive(Default)]
pub struct ResponseFrames {
    calls_tools: bool,
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

impl FrameReader for ResponseFrames {
    type Frames = sse::Decoder;

    fn read(&mut self, data: &str, progress: &mut Progress, events: &mut Events) {
        if data.trim() == "[DONE]" {
            return progress.finish(events);
        }
        let Some(frame) = progress.parse::<StreamFrame>(data, events) else { return };
        let index = usize::try_from(frame.output_index.0).unwrap_or(usize::MAX);
        match frame.r#type.0.as_str() {
            "response.output_text.delta" if !frame.delta.0.is_empty() => {
                events.push_back(Ok(ChatEvent::Text(frame.delta.0)));
            }
            "response.output_item.added" => {
                if let Some(item) = frame.item.filter(|item| item.r#type.0 == "function_call") {
                    self.calls_tools = true;
                    events.push_back(Ok(ChatEvent::ToolCallDelta {
                        index,
                        id: item.call_id.or(item.id).map(|id| id.0),
                        name: Some(item.name.0),
                        arguments: String::new(),
                    }));
                }
            }
            "response.function_call_arguments.delta" => {
                events.push_back(Ok(ChatEvent::ToolCallDelta {
                    index,
                    id: None,
                    name: None,
                    arguments: frame.delta.0,
                }));
            }
            "response.completed" | "response.incomplete" => {
                let answer = frame.response.unwrap_or_default();
                progress.usage = Some(answer.usage.read());
                progress.finish_reason = Some(answer.finish(self.calls_tools).1);
                progress.finish(events);
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
mod tests {
    use super::super::testing::{events, same_however_cut};
    use super::*;
    use serde_json::json;

    fn body(request: &ChatRequest) -> Value {
        serde_json::from_slice(&encode("gpt-4o", request, false).unwrap()).unwrap()
    }

    #[test]
    fn a_conversation_with_tools_is_replayed_as_items() {
        let call = ToolCall::new("c1", "add", json!({"a": 1}));
        let mut asked = Message::new(Role::Assistant, "");
        asked.tool_calls.push(call);
        let mut answered = Message::new(Role::Tool, "2");
        answered.tool_call_id = Some("c1".into());
        let request = ChatRequest {
            messages: vec![
                Message::new(Role::System, "be brief"),
                Message::new(Role::User, "1+1?"),
                asked,
                answered,
            ],
            max_tokens: Some(5),
            temperature: Some(1.7),
            tools: vec![ToolSpec {
                name: "add".into(),
                description: "adds".into(),
                parameters: json!({"type": "object"}),
            }],
            ..ChatRequest::default()
        };
        assert_eq!(
            body(&request),
            json!({
                "model": "gpt-4o",
                "input": [
                    {"role": "developer", "content": "be brief"},
                    {"role": "user", "content": "1+1?"},
                    {"type": "function_call", "call_id": "c1", "name": "add", "arguments": "{\"a\":1}"},
                    {"type": "function_call_output", "call_id": "c1", "output": "2"},
                ],
                "max_output_tokens": 5,
                "temperature": 1.7,
                "tools": [{"type": "function", "name": "add", "description": "adds", "parameters": {"type": "object"}}],
            })
        );
    }

    #[test]
    fn an_answer_with_text_and_a_call_is_read() {
        let sent = json!({
            "id": "resp_1", "model": "gpt-4o-2024", "status": "completed",
            "output": [
                {"type": "reasoning", "summary": []},
                {"type": "message", "content": [
                    {"type": "output_text", "text": "a"}, {"type": "output_text", "text": "b"},
                    {"type": "refusal", "refusal": "no"}]},
                {"type": "function_call", "id": "fc", "call_id": "c1", "name": "f", "arguments": "{\"x\":1}"},
            ],
            "usage": {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7,
                "input_tokens_details": {"cached_tokens": 2}, "output_tokens_details": {"reasoning_tokens": 1}},
        });
        let read = decode("dep", sent.to_string().as_bytes()).unwrap();
        assert_eq!(read.content, "a\nb");
        assert_eq!((read.model.as_str(), read.id.as_deref()), ("dep", Some("resp_1")));
        assert_eq!(read.finish_reason, FinishReason::ToolCalls);
        assert_eq!(read.tool_calls[0].id, "c1");
        assert_eq!(read.tool_calls[0].arguments, json!({"x": 1}));
        assert_eq!((read.usage.cache_read_tokens, read.usage.reasoning_tokens), (Some(2), Some(1)));
        assert_eq!(read.metadata["server_model"], json!("gpt-4o-2024"));
        assert_eq!(read.metadata["refusal"], json!("no"));
    }

    #[test]
    fn every_status_has_its_finish_reason() {
        for (sent, finish) in [
            (json!({"status": "completed"}), FinishReason::Stop),
            (
                json!({"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}),
                FinishReason::Length,
            ),
            (
                json!({"status": "incomplete", "incomplete_details": {"reason": "content_filter"}}),
                FinishReason::ContentFilter,
            ),
            (
                json!({"status": "incomplete", "incomplete_details": null}),
                FinishReason::Other("unknown".into()),
            ),
            (
                json!({"status": "queued", "usage": null, "output": null}),
                FinishReason::Other("queued".into()),
            ),
            (json!({}), FinishReason::Other("unknown".into())),
        ] {
            assert_eq!(
                decode("d", sent.to_string().as_bytes()).unwrap().finish_reason,
                finish,
                "{sent}"
            );
        }
        let failed = json!({"status": "failed", "error": {"code": "rate_limit_exceeded", "message": "slow"}});
        let error = decode("d", failed.to_string().as_bytes()).unwrap_err();
        assert_eq!(
            (error.kind(), error.message()),
            (Kind::RateLimited, "Responses API failed: slow")
        );
        let error = decode("d", br#"{"status":"failed","error":null}"#).unwrap_err();
        assert_eq!(
            (error.kind(), error.message()),
            (Kind::Server, "Responses API failed: Unknown error")
        );
    }

    #[test]
    fn a_stream_is_the_same_however_it_is_cut() {
        let body = concat!(
            "event: response.created\r\ndata: {\"type\":\"response.created\",\"response\":{}}\r\n\r\n",
            "data: {\"type\":\"response.output_text.delta\",\"delta\":\"zażó\"}\n\n",
            "data: {\"type\":\"response.output_item.added\",\"output_index\":1,\"item\":{\"type\":\"function_call\",\"call_id\":\"c\",\"name\":\"f\"}}\n\n",
            "data: {\"type\":\"response.function_call_arguments.delta\",\"output_index\":1,\"delta\":\"{}\"}\n\n",
            "data: {\"type\":\"response.completed\",\"response\":{\"status\":\"completed\",\"usage\":{\"input_tokens\":1,\"output_tokens\":2,\"total_tokens\":3}}}\n\n",
        );
        let read = same_however_cut(stream_decoder, body.as_bytes());
        assert_eq!(read.len(), 4);
        assert_eq!(read[0], ChatEvent::Text("zażó".into()));
        assert_eq!(
            read[3],
            ChatEvent::Done {
                usage: Some(Usage::new(1, 2)),
                finish_reason: FinishReason::ToolCalls,
                metadata: BTreeMap::new(),
            }
        );
    }

    #[test]
    fn a_failing_stream_raises() {
        for (frame, text) in [
            (r#"{"type":"error","code":"server_error","message":"m"}"#, "Stream error: m"),
            (
                r#"{"type":"response.failed","response":{"error":{"message":"m"}}}"#,
                "Responses API failed: m",
            ),
        ] {
            let body = format!("data: {frame}\n\n");
            let mut read = events(stream_decoder(), body.as_bytes(), 7);
            assert_eq!(read.len(), 1);
            assert_eq!(read.remove(0).unwrap_err().message(), text);
        }
    }
}
