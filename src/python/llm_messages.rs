//! A conversation as Python writes it, read into the core's messages.
//!
//! Each turn is an OpenAI-shaped mapping, a `(role, content)` tuple, or the `LlmResponse` that was that
//! turn; a conversation is a sequence of them, or a str for a single prompt. Content is text: it refuses
//! images, audio and files by name instead of dropping them.
//!
//! ```python
//! client.chat([("system", "Be brief."), {"role": "user", "content": "Why?"}, answer, ("user", "Go on.")])
//! ```

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};
use serde_json::Value;

use super::chat_response::PyLlmResponse;
use super::chat_types::PyLlmToolCall;
use super::given::Items;
use super::json::{self, class_of};
use crate::dialect::lenient::arguments;
use crate::error::Error;
use crate::types::{Message, Role, ToolCall};

/// Complains about a part of an argument.
pub(super) fn refuse(field: impl AsRef<str>, text: &str) -> PyErr {
    Error::validation(field.as_ref(), None, text).into()
}

/// The messages of a conversation, at least one.
pub(super) fn read_messages(given: &Bound<'_, PyAny>) -> PyResult<Vec<Message>> {
    if let Ok(prompt) = given.cast::<PyString>() {
        let prompt = prompt.to_str()?;
        if prompt.is_empty() {
            return Err(Error::validation("messages", Some(""), "Prompt cannot be empty").into());
        }
        return Ok(vec![Message::new(Role::User, prompt)]);
    }
    let single = given.is_instance_of::<PyLlmResponse>() || json::mapping(given)?.is_some();
    let turns = if single { None } else { Items::of(given).ok() };
    let Some(turns) = turns else {
        return Err(PyTypeError::new_err(format!(
            "argument 'messages': must be a str or a sequence of mappings, (role, content) tuples and \
             LlmResponse objects, not '{}'",
            class_of(given)
        )));
    };
    let mut messages = Vec::new();
    for turn in turns {
        let place = format!("messages[{}]", messages.len());
        messages.push(read_message(&place, &turn?)?);
    }
    if messages.is_empty() {
        return Err(refuse("messages", "Messages list cannot be empty"));
    }
    Ok(messages)
}

fn read_message(place: &str, turn: &Bound<'_, PyAny>) -> PyResult<Message> {
    if let Ok(answer) = turn.cast::<PyLlmResponse>() {
        let answer = answer.borrow();
        let mut message = Message::new(Role::Assistant, answer.inner.content.as_str());
        message.tool_calls.clone_from(&answer.inner.tool_calls);
        return Ok(message);
    }
    if let Ok(pair) = turn.cast::<PyTuple>() {
        let Ok((role, content)) = pair.extract::<(Bound<'_, PyAny>, Bound<'_, PyAny>)>() else {
            return Err(refuse(place, "a tuple must be (role, content)"));
        };
        let role = read_role(place, Some(&role))?;
        if role == Role::Tool {
            let text = "a tool's turn needs a mapping, to say its tool_call_id";
            return Err(refuse(place, text));
        }
        return Ok(Message::new(role, read_content(place, &content)?));
    }
    let Some(turn) = json::mapping(turn)? else {
        let text = format!(
            "must be a mapping, a (role, content) tuple or an LlmResponse, not '{}'",
            class_of(turn)
        );
        return Err(refuse(place, &text));
    };
    read_mapping(place, &turn)
}

fn read_mapping(place: &str, turn: &Bound<'_, PyDict>) -> PyResult<Message> {
    let field = |name: &str| -> PyResult<Option<Bound<'_, PyAny>>> {
        Ok(turn.get_item(name)?.filter(|value| !value.is_none()))
    };
    let role = read_role(place, turn.get_item("role")?.as_ref())?;
    if field("function_call")?.is_some() {
        let text = "is no longer spoken; use tool_calls";
        return Err(refuse(format!("{place}.function_call"), text));
    }
    let mut message = Message::new(role, "");
    if let Some(calls) = field("tool_calls")? {
        let place = format!("{place}.tool_calls");
        if role != Role::Assistant {
            return Err(refuse(place, "only the assistant calls tools"));
        }
        message.tool_calls = read_calls(&place, &calls)?;
    }
    match field("content")? {
        Some(content) => message.content = read_content(place, &content)?,
        None if !message.tool_calls.is_empty() => {}
        None => return Err(refuse(format!("{place}.content"), "must be text")),
    }
    if role == Role::Tool {
        let id = field("tool_call_id")?.and_then(|id| id.extract::<String>().ok());
        let Some(id) = id.filter(|id| !id.is_empty()) else {
            let text = "must be the id of the call that this answers";
            return Err(refuse(format!("{place}.tool_call_id"), text));
        };
        message.tool_call_id = Some(id);
    }
    Ok(message)
}

fn read_role(place: &str, role: Option<&Bound<'_, PyAny>>) -> PyResult<Role> {
    let known = "must be 'system', 'developer', 'user', 'assistant' or 'tool'";
    let field = format!("{place}.role");
    let Some(word) = role.and_then(|role| role.cast::<PyString>().ok()) else {
        return Err(refuse(field, known));
    };
    Ok(match word.to_str()? {
        // What OpenAI calls the system's turn on its newer models; it takes either word.
        "system" | "developer" => Role::System,
        "user" => Role::User,
        "assistant" => Role::Assistant,
        "tool" => Role::Tool,
        other => return Err(Error::validation(&field, Some(other), known).into()),
    })
}

/// Text, or a list of parts that are text, put together without anything between them.
fn read_content(place: &str, content: &Bound<'_, PyAny>) -> PyResult<String> {
    let field = format!("{place}.content");
    if let Ok(text) = content.cast::<PyString>() {
        return Ok(text.to_str()?.to_owned());
    }
    let parts = match json::mapping(content)? {
        None => Items::of(content).ok(),
        Some(_) => None,
    };
    let Some(parts) = parts else {
        let text = format!("must be text or a list of text parts, not '{}'", class_of(content));
        return Err(refuse(field, &text));
    };
    let mut whole = String::new();
    for (number, part) in parts.enumerate() {
        let part = part?;
        let field = format!("{field}[{number}]");
        if let Ok(text) = part.cast::<PyString>() {
            whole.push_str(text.to_str()?);
            continue;
        }
        let Some(part) = json::mapping(&part)? else {
            let text = format!("must be text or a text part, not '{}'", class_of(&part));
            return Err(refuse(field, &text));
        };
        let kind = json::word(&part, "type")?;
        if !matches!(kind.as_deref(), None | Some("text" | "input_text" | "output_text")) {
            let kind = kind.unwrap_or_default();
            let text = "only parts of type 'text' can be sent";
            return Err(Error::validation(&format!("{field}.type"), Some(&kind), text).into());
        }
        match part.get_item("text")?.as_ref().map(|text| text.cast::<PyString>()) {
            Some(Ok(text)) => whole.push_str(text.to_str()?),
            _ => return Err(refuse(format!("{field}.text"), "must be text")),
        }
    }
    Ok(whole)
}

fn read_calls(place: &str, calls: &Bound<'_, PyAny>) -> PyResult<Vec<ToolCall>> {
    let is_list = json::mapping(calls)?.is_none() && !calls.is_instance_of::<PyString>();
    let Some(calls) = is_list.then(|| Items::of(calls).ok()).flatten() else {
        return Err(refuse(place, "must be a list"));
    };
    calls
        .enumerate()
        .map(|(number, call)| read_call(&format!("{place}[{number}]"), &call?))
        .collect()
}

/// An `LlmToolCall`, OpenAI's nested mapping, or the flat one that `LlmToolCall.to_dict` makes.
fn read_call(place: &str, call: &Bound<'_, PyAny>) -> PyResult<ToolCall> {
    if let Ok(call) = call.cast::<PyLlmToolCall>() {
        return call.get().clone().into_core();
    }
    let Some(call) = json::mapping(call)? else {
        return Err(refuse(place, "must be a mapping or an LlmToolCall"));
    };
    let text = |from: &Bound<'_, PyDict>, name: &str, shown: &str| -> PyResult<String> {
        let text = from.get_item(name)?.and_then(|text| text.extract::<String>().ok());
        text.filter(|text| !text.is_empty())
            .ok_or_else(|| refuse(format!("{place}.{shown}"), "must be a str that is not empty"))
    };
    if let Some(kind) = json::word(&call, "type")?.filter(|kind| kind != "function") {
        let text = "must be 'function'";
        return Err(Error::validation(&format!("{place}.type"), Some(&kind), text).into());
    }
    let id = text(&call, "id", "id")?;
    let (function, within) = match call.get_item("function")? {
        Some(function) => match json::mapping(&function)? {
            Some(function) => (function, "function."),
            None => return Err(refuse(format!("{place}.function"), "must be a mapping")),
        },
        None => (call, ""),
    };
    let name = text(&function, "name", &format!("{within}name"))?;
    let given = match function.get_item("arguments")? {
        Some(given) => Some(given),
        None => function.get_item("parameters")?,
    };
    let sent = match given {
        None => None,
        Some(given) => match given.cast::<PyString>() {
            Ok(json) => Some(Value::String(json.to_str()?.to_owned())),
            Err(_) => Some(json::dump(&format!("{place}.{within}arguments"), &given)?),
        },
    };
    Ok(ToolCall::new(id, name, arguments(sent)))
}
