//! The request body.

use bytes::Bytes;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::Value;

use super::super::{schema_instruction, to_bytes};
use crate::error::Result;
use crate::types::{ChatRequest, Message, ResponseFormat, Role, ToolCall, ToolChoice, ToolSpec};

/// The wire demands a limit, so a request without one gets this.
const DEFAULT_MAX_TOKENS: u32 = 4096;

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    max_tokens: u32,
    messages: Vec<Turn<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    system: Option<System>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<WireTool<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<WireChoice<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_config: Option<OutputConfig<'a>>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    stop_sequences: &'a [String],
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stream: bool,
}

#[derive(Serialize)]
struct Turn<'a> {
    role: &'static str,
    content: Content<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Content<'a> {
    Text(&'a str),
    Blocks(Vec<Block<'a>>),
}

#[derive(Serialize)]
#[serde(untagged)]
enum Block<'a> {
    Ours(OurBlock<'a>),
    /// One of the model's own, exactly as it came.
    Thought(Value),
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum OurBlock<'a> {
    Text { text: &'a str },
    ToolUse { id: &'a str, name: &'a str, input: Input<'a> },
    ToolResult { tool_use_id: &'a str, content: &'a str },
}

/// Arguments as the object they must be here. What the model wrote and nobody could parse already is
/// one, under `raw_arguments`; other values join it there.
struct Input<'a>(&'a Value);

impl Serialize for Input<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Object(_) => self.0.serialize(serializer),
            Value::Null => serializer.serialize_map(Some(0))?.end(),
            other => {
                let mut map = serializer.serialize_map(Some(1))?;
                map.serialize_entry("raw_arguments", other)?;
                map.end()
            }
        }
    }
}

#[derive(Serialize)]
#[serde(untagged)]
enum System {
    Plain(String),
    Cached([CachedText; 1]),
}

#[derive(Serialize)]
struct CachedText {
    r#type: &'static str,
    text: String,
    cache_control: CacheControl,
}

/// Ends the part of the prompt that is to be cached.
#[derive(Clone, Copy, Serialize)]
struct CacheControl {
    r#type: &'static str,
}

const EPHEMERAL: CacheControl = CacheControl { r#type: "ephemeral" };

#[derive(Serialize)]
struct WireTool<'a> {
    name: &'a str,
    description: &'a str,
    input_schema: InputSchema<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_control: Option<CacheControl>,
}

/// The schema of a tool's arguments, which has to say that they are an object.
struct InputSchema<'a>(&'a Value);

impl Serialize for InputSchema<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Value::Object(schema) = self.0 else {
            let mut map = serializer.serialize_map(Some(1))?;
            map.serialize_entry("type", "object")?;
            return map.end();
        };
        if schema.contains_key("type") {
            return schema.serialize(serializer);
        }
        let mut map = serializer.serialize_map(Some(schema.len() + 1))?;
        map.serialize_entry("type", "object")?;
        for (name, value) in schema {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum WireChoice<'a> {
    Auto,
    None,
    Any,
    Tool { name: &'a str },
}

impl<'a> From<&'a ToolChoice> for WireChoice<'a> {
    fn from(choice: &'a ToolChoice) -> Self {
        match choice {
            ToolChoice::Auto => Self::Auto,
            ToolChoice::None => Self::None,
            ToolChoice::Required => Self::Any,
            ToolChoice::Tool(name) => Self::Tool { name },
        }
    }
}

#[derive(Serialize)]
struct OutputConfig<'a> {
    format: JsonSchema<'a>,
}

#[derive(Serialize)]
struct JsonSchema<'a> {
    r#type: &'static str,
    schema: &'a Value,
}

/// The request body. Unset options are left out, and so is the seed, for which the wire has no field.
///
/// System messages are joined by blank lines. A schema that is to be guaranteed travels in
/// `output_config`, which takes a part of JSON Schema only and is unknown to older models; any other
/// is asked for in words.
///
/// # Errors
/// [`crate::Kind::Internal`] only if serialising plain data fails.
pub fn encode(model: &str, request: &ChatRequest, stream: bool) -> Result<Bytes> {
    let (output_config, instruction) = match &request.response_format {
        Some(ResponseFormat::Schema { schema, strict: true, .. }) => {
            let format = JsonSchema { r#type: "json_schema", schema };
            (Some(OutputConfig { format }), None)
        }
        Some(ResponseFormat::Schema { schema, .. }) => (None, Some(schema_instruction(schema))),
        Some(ResponseFormat::Json) => {
            (None, Some("Answer with nothing but one JSON object.".to_owned()))
        }
        None => (None, None),
    };
    let cached = request.prompt_caching;
    let body = Body {
        model,
        max_tokens: request.max_tokens.unwrap_or(DEFAULT_MAX_TOKENS),
        messages: turns(&request.messages),
        system: system(&request.messages, instruction.as_deref(), cached),
        temperature: request.temperature,
        top_p: request.top_p,
        tools: tools(&request.tools, cached),
        tool_choice: request.tool_choice.as_ref().map(WireChoice::from),
        output_config,
        stop_sequences: &request.stop,
        stream,
    };
    to_bytes(&body, request)
}

fn system(messages: &[Message], instruction: Option<&str>, cached: bool) -> Option<System> {
    let said = messages.iter().filter(|message| message.role == Role::System);
    let mut parts: Vec<&str> = said.map(|message| message.content.as_str()).collect();
    parts.extend(instruction);
    parts.retain(|part| !part.is_empty());
    if parts.is_empty() {
        return None;
    }
    let text = parts.join("\n\n");
    Some(if cached {
        System::Cached([CachedText { r#type: "text", text, cache_control: EPHEMERAL }])
    } else {
        System::Plain(text)
    })
}

/// One mark at the end caches all tools.
fn tools(specs: &[ToolSpec], cached: bool) -> Vec<WireTool<'_>> {
    let mut tools: Vec<WireTool<'_>> = specs
        .iter()
        .map(|tool| WireTool {
            name: &tool.name,
            description: &tool.description,
            input_schema: InputSchema(&tool.parameters),
            cache_control: None,
        })
        .collect();
    if let Some(last) = tools.last_mut() {
        last.cache_control = cached.then_some(EPHEMERAL);
    }
    tools
}

fn turns(messages: &[Message]) -> Vec<Turn<'_>> {
    let mut turns: Vec<Turn<'_>> = Vec::with_capacity(messages.len());
    let mut results_open = false;
    for message in messages {
        let result = match (message.role, &message.tool_call_id) {
            (Role::Tool, Some(id)) => {
                Some(OurBlock::ToolResult { tool_use_id: id, content: &message.content })
            }
            _ => None,
        };
        if let Some(result) = result {
            let result = Block::Ours(result);
            // All results of one turn's calls have to come in the one message behind it.
            match turns.last_mut() {
                Some(Turn { content: Content::Blocks(blocks), .. }) if results_open => {
                    blocks.push(result);
                }
                _ => turns.push(Turn { role: "user", content: Content::Blocks(vec![result]) }),
            }
            results_open = true;
            continue;
        }
        let turn = match message.role {
            Role::System => continue,
            Role::Assistant => assistant(message),
            // A result that names no call can only be shown to the model as text.
            Role::User | Role::Tool => {
                Some(Turn { role: "user", content: Content::Text(&message.content) })
            }
        };
        turns.extend(turn);
        results_open = false;
    }
    turns
}

/// What the model said, without blank texts, which the server refuses; `None` when nothing is left.
fn assistant(message: &Message) -> Option<Turn<'_>> {
    let text = Some(message.content.as_str()).filter(|text| !text.trim().is_empty());
    if message.tool_calls.is_empty() {
        return text.map(|text| Turn { role: "assistant", content: Content::Text(text) });
    }
    let mut text = text;
    let mut blocks = Vec::with_capacity(message.tool_calls.len() + 1);
    for call in &message.tool_calls {
        blocks.extend(thoughts(call).into_iter().map(Block::Thought));
        // The model thinks, speaks, then calls.
        blocks.extend(text.take().map(|text| Block::Ours(OurBlock::Text { text })));
        let input = Input(&call.arguments);
        blocks.push(Block::Ours(OurBlock::ToolUse { id: &call.id, name: &call.name, input }));
    }
    Some(Turn { role: "assistant", content: Content::Blocks(blocks) })
}

/// The thoughts that came before a call. The signature of another provider is none of them.
fn thoughts(call: &ToolCall) -> Vec<Value> {
    let Some(signature) = &call.signature else { return Vec::new() };
    let blocks: Vec<Value> = serde_json::from_str(signature).unwrap_or_default();
    let thought = |block: &Value| {
        let kind = block.get("type").and_then(Value::as_str);
        matches!(kind, Some("thinking" | "redacted_thinking"))
    };
    if blocks.iter().all(thought) { blocks } else { Vec::new() }
}

#[cfg(test)]
mod tests;
