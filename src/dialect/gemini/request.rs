//! The request body.

use bytes::Bytes;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::Value;

use super::super::to_bytes;
use crate::error::{Error, Kind, Result};
use crate::types::{ChatRequest, Message, ResponseFormat, Role, ToolCall, ToolChoice, ToolSpec};

/// How ids of calls begin that the server left unnamed. Only an id it gave itself is shown to it again.
pub(super) const OUR_CALLS: &str = "call_";

/// What the service takes in place of a signature beside a call that none of its models made, or whose
/// signature the caller did not keep.
const FOREIGN_SIGNATURE: &str = "skip_thought_signature_validator";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    contents: Vec<Content<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    system_instruction: Option<Instruction<'a>>,
    generation_config: GenerationConfig<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tools: Option<[Tools<'a>; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_config: Option<ToolConfig<'a>>,
}

#[derive(Serialize)]
struct Content<'a> {
    role: &'static str,
    parts: Vec<Part<'a>>,
}

#[derive(Serialize)]
struct Instruction<'a> {
    parts: Vec<Part<'a>>,
}

#[derive(Serialize)]
#[serde(untagged, rename_all_fields = "camelCase")]
enum Part<'a> {
    Text {
        text: &'a str,
    },
    Call {
        function_call: WireCall<'a>,
        #[serde(skip_serializing_if = "Option::is_none")]
        thought_signature: Option<&'a str>,
    },
    Result {
        function_response: WireResult<'a>,
    },
}

#[derive(Serialize)]
struct WireCall<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    name: &'a str,
    args: Arguments<'a>,
}

#[derive(Serialize)]
struct WireResult<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    name: &'a str,
    response: Said<'a>,
}

#[derive(Serialize)]
struct Said<'a> {
    result: &'a str,
}

/// The service takes nothing but an object.
struct Arguments<'a>(&'a Value);

impl Serialize for Arguments<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0.is_object() {
            return self.0.serialize(serializer);
        }
        let mut map = serializer.serialize_map(None)?;
        if !self.0.is_null() {
            map.serialize_entry("value", self.0)?;
        }
        map.end()
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct GenerationConfig<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    max_output_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f64>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    stop_sequences: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_mime_type: Option<&'static str>,
    /// The pair that Google's own libraries send. `responseSchema` knows a fraction of JSON Schema, and
    /// of `responseFormat`, which is to replace both, the documentation does not agree how it is spelled.
    #[serde(skip_serializing_if = "Option::is_none")]
    response_json_schema: Option<&'a Value>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Tools<'a> {
    function_declarations: Vec<Declaration<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Declaration<'a> {
    name: &'a str,
    description: &'a str,
    /// Not `parameters`: that refuses the whole request for `$schema`, `additionalProperties` or `$ref`.
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters_json_schema: Option<&'a Value>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ToolConfig<'a> {
    function_calling_config: CallingConfig<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CallingConfig<'a> {
    mode: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    allowed_function_names: Option<[&'a str; 1]>,
}

impl<'a> ToolConfig<'a> {
    fn of(choice: &'a ToolChoice) -> Self {
        let (mode, only) = match choice {
            ToolChoice::Auto => ("AUTO", None),
            ToolChoice::None => ("NONE", None),
            ToolChoice::Required => ("ANY", None),
            ToolChoice::Tool(name) => ("ANY", Some([name.as_str()])),
        };
        Self { function_calling_config: CallingConfig { mode, allowed_function_names: only } }
    }
}

impl<'a> Tools<'a> {
    fn of(tools: &'a [ToolSpec]) -> Option<[Self; 1]> {
        let declare = |tool: &'a ToolSpec| Declaration {
            name: &tool.name,
            description: &tool.description,
            // An object of no properties is refused; a tool without arguments has no schema.
            parameters_json_schema: takes_arguments(&tool.parameters).then_some(&tool.parameters),
        };
        let function_declarations: Vec<_> = tools.iter().map(declare).collect();
        (!function_declarations.is_empty()).then_some([Self { function_declarations }])
    }
}

/// Whether a schema describes anything at all.
fn takes_arguments(schema: &Value) -> bool {
    let filled = |name: &str| match schema.get(name) {
        Some(Value::Object(map)) => !map.is_empty(),
        Some(Value::Array(list)) => !list.is_empty(),
        Some(Value::Null | Value::Bool(false)) | None => false,
        Some(_) => true,
    };
    ["properties", "$ref", "anyOf", "oneOf", "allOf", "patternProperties", "additionalProperties"]
        .into_iter()
        .any(filled)
}

fn generation_config(request: &ChatRequest) -> GenerationConfig<'_> {
    let schema = match &request.response_format {
        Some(ResponseFormat::Schema { schema, .. }) => Some(schema),
        Some(ResponseFormat::Json) | None => None,
    };
    GenerationConfig {
        max_output_tokens: request.max_tokens,
        temperature: request.temperature,
        top_p: request.top_p,
        stop_sequences: &request.stop,
        seed: request.seed,
        response_mime_type: request.response_format.as_ref().map(|_| "application/json"),
        response_json_schema: schema,
    }
}

/// All system messages, each a part; `None` when they say nothing.
fn instruction(messages: &[Message]) -> Option<Instruction<'_>> {
    let said = |message: &&Message| message.role == Role::System && !message.content.is_empty();
    let parts: Vec<_> =
        messages.iter().filter(said).map(|message| Part::Text { text: &message.content }).collect();
    (!parts.is_empty()).then_some(Instruction { parts })
}

fn contents<'a>(model: &str, messages: &'a [Message]) -> Vec<Content<'a>> {
    let mut contents: Vec<Content<'a>> = Vec::with_capacity(messages.len());
    let mut after_result = false;
    for (place, message) in messages.iter().enumerate() {
        match message.role {
            Role::System => continue,
            Role::User => {
                let parts = vec![Part::Text { text: &message.content }];
                contents.push(Content { role: "user", parts });
            }
            Role::Assistant => {
                contents.push(Content { role: "model", parts: turn(model, message) });
            }
            Role::Tool => {
                let part = result(message, messages.get(..place).unwrap_or_default());
                match contents.last_mut().filter(|_| after_result) {
                    // The results of calls made together are answered together.
                    Some(content) => content.parts.push(part),
                    None => contents.push(Content { role: "user", parts: vec![part] }),
                }
            }
        }
        after_result = message.role == Role::Tool;
    }
    contents
}

/// A turn of the model, never without a part.
fn turn<'a>(model: &str, message: &'a Message) -> Vec<Part<'a>> {
    let mut parts = Vec::with_capacity(message.tool_calls.len().saturating_add(1));
    if !message.content.is_empty() || message.tool_calls.is_empty() {
        parts.push(Part::Text { text: &message.content });
    }
    // Of calls made together only the first carries a signature.
    let unsigned = message.tool_calls.iter().all(|call| signature(call).is_none());
    let mut missing = (unsigned && demands_signatures(model)).then_some(FOREIGN_SIGNATURE);
    for call in &message.tool_calls {
        parts.push(Part::Call {
            function_call: WireCall {
                id: servers_id(call),
                name: &call.name,
                args: Arguments(&call.arguments),
            },
            thought_signature: signature(call).or_else(|| missing.take()),
        });
    }
    parts
}

/// A call's own signature, which is base64. Those of other dialects are JSON, and mean nothing here.
fn signature(call: &ToolCall) -> Option<&str> {
    call.signature.as_deref().filter(|signature| !signature.starts_with(['[', '{']))
}

/// Models since Gemini 3 refuse a call without a signature; earlier ones might refuse a foreign one.
fn demands_signatures(model: &str) -> bool {
    let name = model.rsplit('/').next().unwrap_or(model);
    name.strip_prefix("gemini-").is_some_and(|rest| !rest.starts_with(['1', '2']))
}

fn servers_id(call: &ToolCall) -> Option<&str> {
    Some(call.id.as_str()).filter(|id| !id.is_empty() && !id.starts_with(OUR_CALLS))
}

/// A tool's result, named as the call it answers.
fn result<'a>(message: &'a Message, before: &'a [Message]) -> Part<'a> {
    let answered = message.tool_call_id.as_deref().and_then(|id| {
        // Ids repeat in long conversations; the latest call is the one that waits.
        before.iter().rev().flat_map(|message| &message.tool_calls).find(|call| call.id == id)
    });
    Part::Result {
        function_response: WireResult {
            id: answered.and_then(servers_id),
            name: answered.map_or("unknown", |call| &call.name),
            response: Said { result: &message.content },
        },
    }
}

/// The request body. `model` decides only whether calls need a signature: its name travels in the URL,
/// and so does the wish for a stream. `generationConfig` of `extra_body` is merged with ours.
///
/// # Errors
/// [`Kind::Internal`] only if serialising plain data fails.
pub fn encode(model: &str, request: &ChatRequest) -> Result<Bytes> {
    let tools = Tools::of(&request.tools);
    let body = Body {
        contents: contents(model, &request.messages),
        system_instruction: instruction(&request.messages),
        generation_config: generation_config(request),
        // Without tools the service refuses a choice among them.
        tool_config: request.tool_choice.as_ref().filter(|_| tools.is_some()).map(ToolConfig::of),
        tools,
    };
    let given = request.extra_body.as_ref();
    let Some(given) = given.and_then(|extra| extra.get("generationConfig")?.as_object()) else {
        return to_bytes(&body, request);
    };
    // Nearly every option lives in there, so to ask for one more must not lose the others.
    let failed = |reason| Error::new(Kind::Internal, format!("Serialization error: {reason}"));
    let mut merged = request.clone();
    let mut config = serde_json::to_value(&body.generation_config).map_err(failed)?;
    if let (Value::Object(config), Some(extra)) = (&mut config, &mut merged.extra_body) {
        config.extend(given.clone());
        extra.insert("generationConfig".to_owned(), Value::Object(std::mem::take(config)));
    }
    to_bytes(&body, &merged)
}

#[cfg(test)]
mod tests;
