//! Ollama's own dialect: `POST {base}/api/chat`, streams as one JSON object a line.
//!
//! It refuses nothing that carries a message; an `error` member, which Ollama also sends with status
//! 200 in the middle of a stream, is raised. There is no field that makes a model call a tool: of the
//! choices only "none" can be obeyed, by offering none.
//!
//! ```
//! use graphbit::dialect::ollama::decode;
//!
//! let body = br#"{"message":{"content":"Hi"},"done":true,"done_reason":"length"}"#;
//! assert_eq!(decode("llama3.2", body)?.finish_reason.as_str(), "length");
//! # Ok::<(), graphbit::Error>(())
//! ```

use bytes::Bytes;
use serde::ser::SerializeSeq;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

use super::lenient::{Count, Fault, Text, arguments, null_is_default};
use super::openai_chat::Tools;
use super::{
    Events, FrameReader, Metadata, Progress, StreamDecoder, from_bytes, note, random_id,
    to_bytes_merging,
};
use crate::error::{Kind, Result};
use crate::http::ndjson;
use crate::types::{
    ChatEvent, ChatRequest, ChatResponse, FinishReason, Message, ResponseFormat, Role, ToolCall,
    ToolChoice, Usage,
};

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    messages: Messages<'a>,
    #[serde(skip_serializing_if = "Tools::is_empty")]
    tools: Tools<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    format: Option<Format<'a>>,
    stream: bool,
    #[serde(skip_serializing_if = "Options::is_empty")]
    options: Options<'a>,
}

/// `"json"`, or the schema itself.
#[derive(Serialize)]
#[serde(untagged)]
enum Format<'a> {
    Word(&'static str),
    Schema(&'a Value),
}

impl<'a> From<&'a ResponseFormat> for Format<'a> {
    fn from(format: &'a ResponseFormat) -> Self {
        match format {
            ResponseFormat::Json => Self::Word("json"),
            ResponseFormat::Schema { schema, .. } => Self::Schema(schema),
        }
    }
}

#[derive(PartialEq, Default, Serialize)]
struct Options<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    num_predict: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<i64>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    stop: &'a [String],
}

impl Options<'_> {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

struct Messages<'a>(&'a [Message]);

impl<'a> Messages<'a> {
    /// The name of the tool whose result stands at `position`: it is told from the call before it.
    fn tool_name(&self, position: usize, message: &Message) -> Option<&'a str> {
        let id = message.tool_call_id.as_ref().filter(|_| message.role == Role::Tool)?;
        let before = self.0.get(..position)?.iter().rev();
        let mut calls = before.flat_map(|message| &message.tool_calls);
        calls.find(|call| call.id == *id).map(|call| call.name.as_str())
    }
}

impl Serialize for Messages<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct WireMessage<'a> {
            role: &'static str,
            content: &'a str,
            #[serde(skip_serializing_if = "Vec::is_empty")]
            tool_calls: Vec<WireCall<'a>>,
            #[serde(skip_serializing_if = "Option::is_none")]
            tool_name: Option<&'a str>,
        }
        #[derive(Serialize)]
        struct WireCall<'a> {
            function: WireFunction<'a>,
        }
        // Unlike elsewhere, arguments travel as an object here.
        #[derive(Serialize)]
        struct WireFunction<'a> {
            name: &'a str,
            arguments: &'a Value,
        }
        let mut list = serializer.serialize_seq(Some(self.0.len()))?;
        for (position, message) in self.0.iter().enumerate() {
            list.serialize_element(&WireMessage {
                role: message.role.as_str(),
                content: &message.content,
                tool_calls: message
                    .tool_calls
                    .iter()
                    .map(|call| WireCall {
                        function: WireFunction { name: &call.name, arguments: &call.arguments },
                    })
                    .collect(),
                tool_name: self.tool_name(position, message),
            })?;
        }
        list.end()
    }
}

/// The request body. Unset options are left out; `max_tokens` travels as `num_predict`. An `options`
/// object among the request's extra fields adds to ours.
///
/// # Errors
/// [`Kind::Internal`] only if serialising plain data fails.
pub fn encode(model: &str, request: &ChatRequest, stream: bool) -> Result<Bytes> {
    let tools = match &request.tool_choice {
        Some(ToolChoice::None) => &[],
        _ => request.tools.as_slice(),
    };
    let body = Body {
        model,
        messages: Messages(&request.messages),
        tools: Tools(tools),
        format: request.response_format.as_ref().map(Format::from),
        stream,
        options: Options {
            temperature: request.temperature,
            top_p: request.top_p,
            num_predict: request.max_tokens,
            seed: request.seed,
            stop: &request.stop,
        },
    };
    to_bytes_merging(&body, request, "options")
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    model: Option<Text>,
    #[serde(default, deserialize_with = "null_is_default")]
    message: Said,
    #[serde(default, deserialize_with = "null_is_default")]
    done: bool,
    #[serde(default)]
    done_reason: Option<Text>,
    #[serde(default)]
    prompt_eval_count: Count,
    #[serde(default)]
    eval_count: Count,
    #[serde(default)]
    error: Option<Fault>,
}

#[derive(Default, Deserialize)]
struct Said {
    #[serde(default)]
    content: Text,
    #[serde(default)]
    thinking: Option<Value>,
    #[serde(default, deserialize_with = "null_is_default")]
    tool_calls: Vec<SaidCall>,
}

impl Said {
    /// What the model thought, when it tells; empty otherwise.
    fn take_thinking(&mut self) -> String {
        match self.thinking.take() {
            Some(Value::String(text)) => text,
            _ => String::new(),
        }
    }
}

#[derive(Deserialize)]
struct SaidCall {
    #[serde(default, deserialize_with = "null_is_default")]
    function: SaidFunction,
}

#[derive(Default, Deserialize)]
struct SaidFunction {
    #[serde(default)]
    name: Text,
    #[serde(default)]
    arguments: Option<Value>,
}

impl Answer {
    fn usage(&self) -> Usage {
        Usage::new(self.prompt_eval_count.0, self.eval_count.0)
    }

    fn finish_reason(&self, calls_tools: bool) -> FinishReason {
        match self.done_reason.as_ref().map_or("", |reason| &reason.0) {
            "" | "stop" if !self.done => FinishReason::Length,
            "" | "stop" if calls_tools => FinishReason::ToolCalls,
            "" => FinishReason::Stop,
            word => FinishReason::from_word(word),
        }
    }

    /// Notes what is said about the answer; the lines of a stream repeat some of it.
    fn describe(&mut self, metadata: &mut Metadata) {
        note(metadata, "server_model", self.model.take().unwrap_or_default().0);
        note(metadata, "provider_finish_reason", self.done_reason.take().unwrap_or_default().0);
    }
}

/// Reads a whole answer. Ollama names neither answer nor calls, so ids are invented.
///
/// # Errors
/// [`Kind::Decode`] when the body is not a JSON object; [`Kind::Server`] when it is an error.
pub fn decode(model: &str, body: &[u8]) -> Result<ChatResponse> {
    let mut answer: Answer = from_bytes(body)?;
    let finish_reason = answer.finish_reason(!answer.message.tool_calls.is_empty());
    let usage = answer.usage();
    if let Some(fault) = answer.error {
        return Err(fault.into_error("API error: ", Kind::Server));
    }
    let mut metadata = Metadata::new();
    answer.describe(&mut metadata);
    note(&mut metadata, "reasoning", answer.message.take_thinking());
    Ok(ChatResponse {
        content: answer.message.content.0,
        model: model.to_owned(),
        id: Some(random_id("ollama_")),
        tool_calls: answer
            .message
            .tool_calls
            .into_iter()
            .map(|call| {
                let arguments = arguments(call.function.arguments);
                ToolCall::new(random_id("ollama_"), call.function.name.0, arguments)
            })
            .collect(),
        usage,
        finish_reason,
        metadata,
        raw: None,
        pace: None,
        provider: None,
    })
}

/// Reads the lines of one streamed answer.
#[derive(Default)]
pub struct LineFrames {
    calls: usize,
}

/// A decoder for one stream.
#[must_use]
pub fn stream_decoder() -> StreamDecoder<LineFrames> {
    StreamDecoder::new(LineFrames::default())
}

impl FrameReader for LineFrames {
    type Frames = ndjson::Decoder;

    fn read(&mut self, line: &str, progress: &mut Progress, events: &mut Events) {
        let Some(mut answer) = progress.parse::<Answer>(line, events) else { return };
        let usage = answer.usage();
        let finish_reason =
            answer.finish_reason(self.calls > 0 || !answer.message.tool_calls.is_empty());
        let done = answer.done;
        if let Some(fault) = answer.error {
            return progress.fail(fault.into_error("Stream error: ", Kind::Stream), events);
        }
        answer.describe(&mut progress.metadata);
        let thinking = answer.message.take_thinking();
        if !thinking.is_empty() {
            events.push_back(Ok(ChatEvent::Reasoning(thinking)));
        }
        if !answer.message.content.0.is_empty() {
            events.push_back(Ok(ChatEvent::Text(answer.message.content.0)));
        }
        for call in answer.message.tool_calls {
            // Calls arrive whole, one after another, so each gets the next index.
            events.push_back(Ok(ChatEvent::ToolCallDelta {
                index: self.calls,
                id: Some(random_id("ollama_")),
                name: Some(call.function.name.0),
                arguments: arguments(call.function.arguments).to_string(),
            }));
            self.calls += 1;
        }
        if done {
            progress.usage = Some(usage);
            progress.finish_reason = Some(finish_reason);
            progress.finish(events);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{events, same_however_cut};
    use super::*;
    use crate::types::ToolSpec;
    use serde_json::json;

    #[test]
    fn bodies_are_golden() {
        let plain = encode("llama3.2", &ChatRequest::from_prompt("Hi"), false).unwrap();
        assert_eq!(
            plain,
            br#"{"model":"llama3.2","messages":[{"role":"user","content":"Hi"}],"stream":false}"#
                .as_slice()
        );
        let mut asked = Message::new(Role::Assistant, "");
        asked.tool_calls.push(ToolCall::new("x", "f", json!({"a": 1})));
        let request = ChatRequest {
            messages: vec![asked, Message::new(Role::Tool, "2")],
            max_tokens: Some(9),
            temperature: Some(0.7),
            tools: vec![ToolSpec {
                name: "f".into(),
                description: "d".into(),
                parameters: json!({}),
            }],
            ..ChatRequest::default()
        };
        let full: Value = serde_json::from_slice(&encode("m", &request, true).unwrap()).unwrap();
        assert_eq!(
            full,
            json!({
                "model": "m",
                "messages": [
                    {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "f", "arguments": {"a": 1}}}]},
                    {"role": "tool", "content": "2"},
                ],
                "tools": [{"type": "function", "function": {"name": "f", "description": "d", "parameters": {}}}],
                "stream": true,
                "options": {"temperature": 0.7, "num_predict": 9},
            })
        );
    }

    fn body(request: &ChatRequest) -> Value {
        serde_json::from_slice(&encode("m", request, false).unwrap()).unwrap()
    }

    #[test]
    fn every_option_has_its_place() {
        let schema = json!({"type": "object"});
        let format =
            ResponseFormat::Schema { name: "x".into(), schema: schema.clone(), strict: true };
        let extra = json!({"options": {"num_ctx": 8192, "seed": 8}, "keep_alive": "1h"});
        let request = ChatRequest {
            max_tokens: Some(9),
            top_p: Some(0.9),
            seed: Some(7),
            stop: vec!["END".into()],
            response_format: Some(format),
            ..ChatRequest::from_prompt("u")
        };
        let options = json!({"top_p": 0.9, "num_predict": 9, "seed": 7, "stop": ["END"]});
        let sent = body(&request);
        assert_eq!((&sent["format"], &sent["options"]), (&schema, &options));

        let request = ChatRequest {
            response_format: Some(ResponseFormat::Json),
            extra_body: extra.as_object().cloned(),
            ..request
        };
        let options =
            json!({"top_p": 0.9, "num_predict": 9, "seed": 8, "stop": ["END"], "num_ctx": 8192});
        let sent = body(&request);
        assert_eq!((&sent["format"], &sent["options"]), (&json!("json"), &options));
        assert_eq!(sent["keep_alive"], "1h");
    }

    #[test]
    fn tools_are_withheld_or_offered_and_results_name_theirs() {
        let mut asked = Message::new(Role::Assistant, "");
        asked.tool_calls.push(ToolCall::new("a", "add", json!({})));
        asked.tool_calls.push(ToolCall::new("s", "sub", json!({})));
        let result = |id: Option<&str>| Message {
            tool_call_id: id.map(str::to_owned),
            ..Message::new(Role::Tool, "2")
        };
        let spec = ToolSpec { name: "add".into(), description: "d".into(), parameters: json!({}) };
        let mut request = ChatRequest {
            messages: vec![asked, result(Some("s")), result(Some("gone")), result(None)],
            tools: vec![spec],
            tool_choice: Some(ToolChoice::Required),
            ..ChatRequest::default()
        };
        let sent = body(&request);
        assert_eq!(
            sent["messages"][1],
            json!({"role": "tool", "content": "2", "tool_name": "sub"})
        );
        for unnamed in [&sent["messages"][2], &sent["messages"][3]] {
            assert_eq!(*unnamed, json!({"role": "tool", "content": "2"}));
        }
        assert_eq!((sent["tools"].as_array().unwrap().len(), sent.get("tool_choice")), (1, None));
        request.tool_choice = Some(ToolChoice::None);
        assert_eq!(body(&request).get("tools"), None);
    }

    #[test]
    fn thoughts_are_told_from_the_answer() {
        let sent = json!({"model": "qwen3:8b", "done": true, "done_reason": "stop",
            "message": {"content": "yes", "thinking": "hm"}});
        let read = decode("qwen3", sent.to_string().as_bytes()).unwrap();
        assert_eq!((read.content.as_str(), &read.metadata["reasoning"]), ("yes", &json!("hm")));
        assert_eq!(read.metadata["server_model"], json!("qwen3:8b"));
        assert_eq!(read.metadata["provider_finish_reason"], json!("stop"));
        let body = concat!(
            "{\"model\":\"qwen3:8b\",\"message\":{\"content\":\"\",\"thinking\":\"hé\"},\"done\":false}\n",
            "{\"model\":\"qwen3:8b\",\"message\":{\"content\":\"yes\"},\"done\":true,\"done_reason\":\"stop\"}\n",
        );
        let metadata =
            [("provider_finish_reason", "stop"), ("server_model", "qwen3:8b")].into_iter();
        let metadata = metadata.map(|(name, value)| (name.to_owned(), json!(value))).collect();
        assert_eq!(
            same_however_cut(stream_decoder, body.as_bytes()),
            [
                ChatEvent::Reasoning("hé".into()),
                ChatEvent::Text("yes".into()),
                ChatEvent::Done {
                    usage: Some(Usage::new(0, 0)),
                    finish_reason: FinishReason::Stop,
                    metadata,
                },
            ]
        );
    }

    #[test]
    fn finish_reasons_are_the_real_ones() {
        let call =
            json!({"content": "", "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]});
        for (sent, finish) in [
            (json!({"done": true}), FinishReason::Stop),
            (json!({"done": true, "done_reason": "stop"}), FinishReason::Stop),
            (json!({"done": true, "done_reason": "length"}), FinishReason::Length),
            (json!({"done": true, "done_reason": "load"}), FinishReason::Other("load".into())),
            (
                json!({"done": true, "done_reason": "stop", "message": call}),
                FinishReason::ToolCalls,
            ),
            (json!({"done": false}), FinishReason::Length),
        ] {
            let read = decode("m", sent.to_string().as_bytes()).unwrap();
            assert_eq!(read.finish_reason, finish, "{sent}");
            assert!(read.id.unwrap().starts_with("ollama_"));
        }
    }

    #[test]
    fn a_stream_is_the_same_however_it_is_cut() {
        let body = concat!(
            "{\"message\":{\"content\":\"žl\"},\"done\":false}\r\n",
            "\n",
            "{\"message\":{\"content\":\"\",\"tool_calls\":[{\"function\":{\"name\":\"f\",\"arguments\":{\"a\":1}}}]},\"done\":false}\n",
            "{\"message\":{\"content\":\"uť\"},\"done\":true,\"done_reason\":\"length\",\"prompt_eval_count\":1,\"eval_count\":2}",
        );
        let read = |step| {
            let read = events(stream_decoder(), body.as_bytes(), step);
            read.into_iter()
                .map(|event| match event.unwrap() {
                    ChatEvent::ToolCallDelta { index, name, arguments, .. } => {
                        ChatEvent::ToolCallDelta { index, id: None, name, arguments }
                    }
                    other => other,
                })
                .collect::<Vec<_>>()
        };
        let whole = read(body.len());
        assert_eq!(whole.len(), 4);
        assert_eq!(whole[0], ChatEvent::Text("žl".into()));
        assert_eq!(
            whole[3],
            ChatEvent::Done {
                usage: Some(Usage::new(1, 2)),
                finish_reason: FinishReason::Length,
                metadata: [("provider_finish_reason".to_owned(), json!("length"))].into(),
            }
        );
        for step in 1..body.len() {
            assert_eq!(read(step), whole, "pieces of {step} bytes");
        }
    }

    #[test]
    fn an_error_line_is_raised_and_plain_text_survives_the_end() {
        let mut read = events(stream_decoder(), b"{\"error\":\"model blew up\"}\n", 5);
        assert_eq!(read.remove(0).unwrap_err().message(), "Stream error: model blew up");
        assert!(read.is_empty());
        let cut = same_however_cut(stream_decoder, b"{\"message\":{\"content\":\"a\"}}");
        assert_eq!(cut.len(), 2);
    }
}
