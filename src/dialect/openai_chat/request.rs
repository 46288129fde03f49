//! The request body.

use bytes::Bytes;
use serde::ser::SerializeSeq;
use serde::{Serialize, Serializer};
use serde_json::Value;

use super::super::lenient::Embedded;
use super::super::{schema_instruction, to_bytes};
use super::Wire;
use crate::error::Result;
use crate::types::{ChatRequest, Message, ResponseFormat, Role, ToolCall, ToolChoice, ToolSpec};

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
    tool_choice: Option<WireChoice<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_format: Option<WireFormat<'a>>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    stop: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    random_seed: Option<i64>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stream: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream_options: Option<StreamOptions>,
}

#[derive(Serialize)]
struct StreamOptions {
    include_usage: bool,
}

/// `"auto"`, `"none"`, `"required"`, or one function by name.
#[derive(Serialize)]
#[serde(untagged)]
enum WireChoice<'a> {
    Word(&'static str),
    Function { r#type: &'static str, function: Named<'a> },
}

#[derive(Serialize)]
struct Named<'a> {
    name: &'a str,
}

impl<'a> WireChoice<'a> {
    fn of(wire: &Wire, choice: &'a ToolChoice) -> Self {
        match choice {
            ToolChoice::Auto => Self::Word("auto"),
            ToolChoice::None => Self::Word("none"),
            ToolChoice::Required => Self::Word(wire.required_tool),
            ToolChoice::Tool(name) => {
                Self::Function { r#type: "function", function: Named { name } }
            }
        }
    }
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum WireFormat<'a> {
    JsonObject,
    JsonSchema { json_schema: WireSchema<'a> },
}

#[derive(Serialize)]
struct WireSchema<'a> {
    name: &'a str,
    schema: &'a Value,
    strict: bool,
}

impl<'a> WireFormat<'a> {
    fn of(wire: &Wire, format: &'a ResponseFormat) -> Self {
        match format {
            ResponseFormat::Schema { name, schema, strict } if wire.json_schema => {
                Self::JsonSchema { json_schema: WireSchema { name, schema, strict: *strict } }
            }
            ResponseFormat::Json | ResponseFormat::Schema { .. } => Self::JsonObject,
        }
    }
}

struct Messages<'a> {
    wire: &'a Wire,
    messages: &'a [Message],
    /// What a server must be told in words because its wire has no field for it.
    instruction: Option<String>,
}

#[derive(Serialize)]
struct WireMessage<'a> {
    role: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_content: Option<String>,
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
        let count = self.messages.len() + usize::from(self.instruction.is_some());
        let mut list = serializer.serialize_seq(Some(count))?;
        if let Some(instruction) = &self.instruction {
            list.serialize_element(&WireMessage {
                role: Role::System.as_str(),
                content: Some(instruction),
                reasoning_content: None,
                tool_calls: Vec::new(),
                tool_call_id: None,
            })?;
        }
        for message in self.messages {
            let silent = self.wire.calls_without_content
                && message.content.is_empty()
                && !message.tool_calls.is_empty();
            list.serialize_element(&WireMessage {
                role: message.role.as_str(),
                content: (!silent).then_some(message.content.as_str()),
                reasoning_content: thoughts(self.wire, message),
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

/// What the model thought before it made these calls, where it wants it back.
fn thoughts(wire: &Wire, message: &Message) -> Option<String> {
    let mut signatures = message.tool_calls.iter().filter_map(|call| call.signature.as_deref());
    signatures.find(|_| wire.returns_reasoning).and_then(super::thoughts_of)
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
    let instruction = match &request.response_format {
        Some(ResponseFormat::Schema { schema, .. }) if !wire.json_schema => {
            Some(schema_instruction(schema))
        }
        _ => None,
    };
    let tool_choice = match &request.tool_choice {
        Some(choice) => Some(WireChoice::of(wire, choice)),
        None => (!request.tools.is_empty()).then_some(WireChoice::Word("auto")),
    };
    let (seed, random_seed) = match wire.random_seed_field {
        true => (None, request.seed),
        false => (request.seed, None),
    };
    let body = Body {
        model: wire.names_model.then_some(model),
        messages: Messages { wire, messages: &request.messages, instruction },
        max_tokens,
        max_completion_tokens,
        temperature: request.temperature,
        top_p: request.top_p,
        tools: Tools(&request.tools),
        tool_choice,
        response_format: request
            .response_format
            .as_ref()
            .map(|format| WireFormat::of(wire, format)),
        stop: &request.stop,
        seed,
        random_seed,
        stream,
        stream_options: (stream && wire.stream_usage)
            .then_some(StreamOptions { include_usage: true }),
    };
    to_bytes(&body, request)
}
