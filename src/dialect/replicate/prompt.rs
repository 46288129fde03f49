//! A conversation as one text, and tool calls read back out of one.
//!
//! Models on Replicate take a `prompt` and return text: who said what is told in words, and so are
//! tools. What looks like a call but is none stays in the text.

use std::fmt::Write;

use serde_json::Value;

use super::super::schema_instruction;
use crate::types::{ChatRequest, ResponseFormat, Role, ToolCall, ToolChoice, ToolSpec};

/// How a line begins that calls a tool.
pub(super) const MARK: &str = "TOOL_CALL:";

/// Beginnings of the names of models that are told of tools; others would only be confused by them.
const TOOL_MODELS: [&str; 6] = [
    "openai/gpt-5",
    "lucataco/glaive-function-calling-v1",
    "homanp/llama-2-13b-function-calling",
    "lucataco/hermes-2-pro-llama-3-8b",
    "lucataco/dolphin-2.9-llama3-8b",
    "ibm-granite/granite-3.3-8b-instruct",
];

/// Whether the model is told of the request's tools; only then are calls looked for in its answer.
pub(super) fn offers_tools(model: &str, request: &ChatRequest) -> bool {
    !request.tools.is_empty()
        && request.tool_choice != Some(ToolChoice::None)
        && TOOL_MODELS.iter().any(|start| model.starts_with(start))
}

/// The text a model goes on from.
pub(super) fn prompt(model: &str, request: &ChatRequest) -> String {
    let mut text = String::new();
    if offers_tools(model, request) {
        describe_tools(&mut text, &request.tools, request.tool_choice.as_ref());
    }
    match &request.response_format {
        None => {}
        Some(ResponseFormat::Json) => {
            line(&mut text, "System", "Answer with nothing but one JSON object")
        }
        Some(ResponseFormat::Schema { schema, .. }) => {
            line(&mut text, "System", &schema_instruction(schema));
        }
    }
    for message in &request.messages {
        let speaker = match message.role {
            Role::System => "System",
            Role::User => "User",
            Role::Assistant => "Assistant",
            Role::Tool => "Tool Result",
        };
        if !message.content.is_empty() || message.tool_calls.is_empty() {
            line(&mut text, speaker, &message.content);
        }
        for call in &message.tool_calls {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "Tool Call: {} with parameters: {}", call.name, call.arguments);
        }
    }
    text.push_str("Assistant: ");
    text
}

fn line(text: &mut String, speaker: &str, content: &str) {
    let _ = writeln!(text, "{speaker}: {content}");
}

fn describe_tools(text: &mut String, tools: &[ToolSpec], choice: Option<&ToolChoice>) {
    text.push_str("These tools can be called:\n");
    for tool in tools {
        let _ = writeln!(
            text,
            "- {}: {} Parameters as JSON Schema: {}",
            tool.name, tool.description, tool.parameters
        );
    }
    let _ = writeln!(
        text,
        "To call one, answer with a line of its own for each call, the parameters as one JSON object:\n\
         {MARK} name(parameters)"
    );
    match choice {
        Some(ToolChoice::Required) => text.push_str("Call at least one of them now.\n"),
        Some(ToolChoice::Tool(name)) => {
            let _ = writeln!(text, "Call {name} now.");
        }
        Some(ToolChoice::Auto | ToolChoice::None) | None => {}
    }
    text.push('\n');
}

/// Takes the calls out of an answer. Without any the text is returned untouched.
pub(super) fn split_calls(answer: &str) -> (String, Vec<ToolCall>) {
    let mut text = String::with_capacity(answer.len());
    let mut calls: Vec<ToolCall> = Vec::new();
    let mut rest = answer;
    while !rest.is_empty() {
        match read_call(rest) {
            Some((name, arguments, after)) => {
                calls.push(ToolCall::new(format!("call_{}", calls.len()), name, arguments));
                rest = after;
            }
            None => {
                let (said, after) =
                    rest.split_at(rest.find('\n').map_or(rest.len(), |end| end + 1));
                text.push_str(said);
                rest = after;
            }
        }
    }
    if calls.is_empty() {
        return (text, calls);
    }
    // The lines around the calls were only there to set them apart.
    (text.trim().to_owned(), calls)
}

/// The call that `text` begins with, and what follows its line.
fn read_call(text: &str) -> Option<(&str, Value, &str)> {
    let rest = text.strip_prefix(MARK)?;
    let (first, _) = rest.split_once('\n').unwrap_or((rest, ""));
    let name = first.split_once('(')?.0;
    let sent = rest.get(name.len() + 1..)?;
    let name = Some(name.trim()).filter(|name| !name.is_empty())?;
    // JSON may span lines and hold parentheses, so its own end is looked for first.
    let mut values = serde_json::Deserializer::from_str(sent).into_iter::<Value>();
    if let Some(Ok(arguments)) = values.next() {
        let behind = sent.get(values.byte_offset()..).unwrap_or_default().trim_start();
        if let Some(behind) = behind.strip_prefix(')') {
            let (left, after) = behind.split_once('\n').unwrap_or((behind, ""));
            if left.trim().is_empty() {
                return Some((name, arguments, after));
            }
        }
    }
    let (sent, after) = sent.split_once('\n').unwrap_or((sent, ""));
    let sent = sent.trim_end().strip_suffix(')')?.trim();
    let arguments = match sent {
        "" => serde_json::json!({}),
        text => serde_json::from_str(text).unwrap_or_else(|_| serde_json::json!({ "input": text })),
    };
    Some((name, arguments, after))
}
