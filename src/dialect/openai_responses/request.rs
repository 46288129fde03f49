//! The request body.

use bytes::Bytes;
use serde::ser::SerializeSeq;
use serde::{Serialize, Serializer};
use serde_json::Value;

use super::super::lenient::Embedded;
use super::super::to_bytes_merging;
use crate::error::Result;
use crate::types::{ChatRequest, Message, ResponseFormat, Role, ToolChoice, ToolSpec};

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
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<FlatChoice<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<TextOptions<'a>>,
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

/// `"auto"`, `"none"`, `"required"`, or one function by name.
#[derive(Serialize)]
#[serde(untagged)]
enum FlatChoice<'a> {
    Word(&'static str),
    Function { r#type: &'static str, name: &'a str },
}

impl<'a> From<&'a ToolChoice> for FlatChoice<'a> {
    fn from(choice: &'a ToolChoice) -> Self {
        match choice {
            ToolChoice::Auto => Self::Word("auto"),
            ToolChoice::None => Self::Word("none"),
            ToolChoice::Required => Self::Word("required"),
            ToolChoice::Tool(name) => Self::Function { r#type: "function", name },
        }
    }
}

#[derive(Serialize)]
struct TextOptions<'a> {
    format: FlatFormat<'a>,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum FlatFormat<'a> {
    JsonObject,
    JsonSchema { name: &'a str, schema: &'a Value, strict: bool },
}

impl<'a> From<&'a ResponseFormat> for TextOptions<'a> {
    fn from(format: &'a ResponseFormat) -> Self {
        let format = match format {
            ResponseFormat::Json => FlatFormat::JsonObject,
            ResponseFormat::Schema { name, schema, strict } => {
                FlatFormat::JsonSchema { name, schema, strict: *strict }
            }
        };
        Self { format }
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

/// The request body. Unset options are left out; this API has no field for a seed or for stop texts.
/// A `text` object among the request's extra fields adds to ours.
///
/// # Errors
/// [`crate::Kind::Internal`] only if serialising plain data fails.
pub fn encode(model: &str, request: &ChatRequest, stream: bool) -> Result<Bytes> {
    let body = Body {
        model,
        input: Items(&request.messages),
        max_output_tokens: request.max_tokens,
        temperature: request.temperature,
        top_p: request.top_p,
        tools: request.tools.iter().map(FlatTool::from).collect(),
        tool_choice: request.tool_choice.as_ref().map(FlatChoice::from),
        text: request.response_format.as_ref().map(TextOptions::from),
        stream,
    };
    to_bytes_merging(&body, request, "text")
}
