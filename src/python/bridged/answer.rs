//! Reads what a wrapper's `chat` returned, whatever it is made of.
//!
//! Objects with attributes, mappings, and objects that turn into mappings (`model_dump`, `to_dict`), in
//! the shape of a chat completion, of a text generation, or plain text. What is found is handed to the
//! decoder that reads servers' answers. A part of a wrong type counts as absent: test doubles have every
//! attribute one asks for.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyInt, PyList, PyMapping, PyTuple};
use serde_json::{Value, json};

use crate::dialect::openai_chat;
use crate::error::{Advice, Error, Kind, Result, shortened};
use crate::http::Secrets;
use crate::types::ChatResponse;

/// What is shown of an answer that cannot be read, in bytes.
const SHOWN: usize = 200;

/// The answer, or `None` when it has none of the shapes.
pub(super) fn read(
    answer: &Bound<'_, PyAny>,
    model: &str,
    keep_raw: bool,
) -> Option<Result<ChatResponse>> {
    let body = completion(answer).or_else(|| generated(answer)).or_else(|| plain(answer))?;
    let body = body.to_string();
    let decoded = openai_chat::decode_mapping(model, body.as_bytes());
    Some(decoded.map(|mut response| {
        // Models that think aloud may put all they say there.
        if response.content.is_empty()
            && response.tool_calls.is_empty()
            && let Some(reasoning) = reasoning_content(answer)
        {
            response.content = reasoning;
        }
        let written = field(answer, "usage").and_then(|usage| count(&usage, CACHE_CREATION));
        response.usage.cache_creation_tokens = written;
        if keep_raw {
            response.raw = Some(whole(answer).unwrap_or(body));
        }
        response
    }))
}

/// The error for an answer that [`read`] does not understand. Asking again would bring another like it.
pub(super) fn unreadable(answer: &Bound<'_, PyAny>, secrets: &Secrets) -> Error {
    let class = answer.get_type().name().map_or_else(|_| "object".into(), |name| name.to_string());
    let shown = answer.repr().map_or_else(|_| "(repr failed)".into(), |text| text.to_string());
    let shown = shortened(secrets.redact(shown), SHOWN, "...");
    let text = format!(
        "Failed to parse Python LLM response. It must have, as attributes or as keys, one of: \
         choices[0].message.content (a chat completion); a list whose first item has generated_text \
         (a text generation); text or generated_text; or it must be a str. \
         Python type: {class}; repr: {shown}"
    );
    Error::new(Kind::Decode, text).with_advice(Advice::Never)
}

/// `whole.name`, or the key `name`; `None` when there is neither.
pub(super) fn field<'py>(whole: &Bound<'py, PyAny>, name: &str) -> Option<Bound<'py, PyAny>> {
    let attribute = whole.getattr(name).ok();
    if attribute.as_ref().is_some_and(|value| !value.is_none()) {
        return attribute;
    }
    let key = mapping(whole)
        .filter(|mapping| mapping.contains(name).unwrap_or(false))
        .and_then(|mapping| mapping.get_item(name).ok());
    key.or(attribute)
}

/// `whole` if it is a mapping, else the mapping that it turns itself into.
fn mapping<'py>(whole: &Bound<'py, PyAny>) -> Option<Bound<'py, PyMapping>> {
    if let Ok(mapping) = whole.cast::<PyMapping>() {
        return Some(mapping.clone());
    }
    ["model_dump", "to_dict"].into_iter().find_map(|method| {
        let method = whole.getattr(method).ok().filter(|method| method.is_callable())?;
        method.call0().ok()?.cast_into::<PyMapping>().ok()
    })
}

fn text(whole: &Bound<'_, PyAny>, name: &str) -> Option<String> {
    field(whole, name)?.extract().ok()
}

fn count(whole: &Bound<'_, PyAny>, name: &str) -> Option<u64> {
    // A double of the test libraries is no number, though it turns into one.
    field(whole, name)?.cast::<PyInt>().ok()?.extract().ok()
}

/// The items of a list or tuple.
fn items<'py>(value: &Bound<'py, PyAny>) -> Option<Vec<Bound<'py, PyAny>>> {
    let is_list = value.is_instance_of::<PyList>() || value.is_instance_of::<PyTuple>();
    if is_list { value.try_iter().ok()?.collect::<PyResult<_>>().ok() } else { None }
}

fn first_message<'py>(
    answer: &Bound<'py, PyAny>,
) -> Option<(Bound<'py, PyAny>, Bound<'py, PyAny>)> {
    let choice = field(answer, "choices")?.get_item(0).ok()?;
    let message = field(&choice, "message").filter(|message| !message.is_none())?;
    Some((choice, message))
}

fn reasoning_content(answer: &Bound<'_, PyAny>) -> Option<String> {
    text(&first_message(answer)?.1, "reasoning_content")
}

/// A chat completion, as a server would have sent it.
fn completion(answer: &Bound<'_, PyAny>) -> Option<Value> {
    let (choice, message) = first_message(answer)?;
    let tool_calls = field(&message, "tool_calls").and_then(|calls| items(&calls));
    let tool_calls: Vec<Value> = tool_calls.unwrap_or_default().iter().map(tool_call).collect();
    let content = match field(&message, "content") {
        None if tool_calls.is_empty() => return None,
        None => Value::Null,
        Some(content) => said(&content)?,
    };
    Some(json!({
        "id": text(answer, "id"),
        "model": text(answer, "model"),
        "choices": [{
            "message": {
                "content": content,
                "refusal": text(&message, "refusal"),
                "reasoning_content": text(&message, "reasoning_content"),
                "reasoning": text(&message, "reasoning"),
                "tool_calls": tool_calls,
            },
            "finish_reason": text(&choice, "finish_reason"),
        }],
        "usage": field(answer, "usage").map(|usage| tokens(&usage)),
        "citations": field(answer, "citations").and_then(|list| json_of(&list)),
    }))
}

/// Text, nothing, or a list of parts.
fn said(content: &Bound<'_, PyAny>) -> Option<Value> {
    if content.is_none() {
        return Some(Value::Null);
    }
    if let Ok(text) = content.extract::<String>() {
        return Some(text.into());
    }
    let part = |part: &Bound<'_, PyAny>| match part.extract::<String>() {
        Ok(text) => Value::from(text),
        Err(_) => json!({ "type": text(part, "type"), "text": text(part, "text") }),
    };
    Some(items(content)?.iter().map(part).collect())
}

/// `{"id", "function": {"name", "arguments"}}`, or name and arguments right there.
fn tool_call(call: &Bound<'_, PyAny>) -> Value {
    let function = field(call, "function").filter(|function| !function.is_none());
    let function = function.as_ref().unwrap_or(call);
    let arguments = ["arguments", "parameters"]
        .into_iter()
        .find_map(|name| field(function, name).filter(|arguments| !arguments.is_none()));
    let arguments = arguments.and_then(|arguments| match arguments.extract::<String>() {
        Ok(text) => Some(Value::from(text)),
        Err(_) => json_of(&arguments),
    });
    json!({
        "id": text(call, "id"),
        "function": { "name": text(function, "name"), "arguments": arguments },
    })
}

/// Where litellm says how much of the prompt was written to the provider's cache.
const CACHE_CREATION: &str = "cache_creation_input_tokens";

fn tokens(usage: &Bound<'_, PyAny>) -> Value {
    let within = |details: &str, name: &str| count(&field(usage, details)?, name);
    json!({
        "prompt_tokens": count(usage, "prompt_tokens"),
        "completion_tokens": count(usage, "completion_tokens"),
        "prompt_tokens_details": {
            "cached_tokens": within("prompt_tokens_details", "cached_tokens"),
        },
        "prompt_cache_hit_tokens": count(usage, "prompt_cache_hit_tokens"),
        "completion_tokens_details": {
            "reasoning_tokens": within("completion_tokens_details", "reasoning_tokens"),
        },
    })
}

/// What a `transformers` pipeline returns: a list of generations.
fn generated(answer: &Bound<'_, PyAny>) -> Option<Value> {
    let content = text(items(answer)?.first()?, "generated_text")?;
    Some(json!({ "content": content }))
}

/// A str, or an object around one.
fn plain(answer: &Bound<'_, PyAny>) -> Option<Value> {
    let own = answer.extract::<String>().ok();
    let content =
        own.or_else(|| text(answer, "text")).or_else(|| text(answer, "generated_text"))?;
    Some(json!({ "content": content }))
}

/// The answer as JSON, where it is made of mappings all the way down.
fn whole(answer: &Bound<'_, PyAny>) -> Option<String> {
    Some(json_of(mapping(answer)?.as_any())?.to_string())
}

/// A mapping or list as JSON; what JSON cannot say becomes its `str`.
fn json_of(value: &Bound<'_, PyAny>) -> Option<Value> {
    let py = value.py();
    let value = match mapping(value) {
        Some(mapping) => {
            let plain = PyDict::new(py);
            plain.call_method1("update", (mapping,)).ok()?;
            plain.into_any()
        }
        None => items(value).map(|_| value.clone())?,
    };
    let options = PyDict::new(py);
    options.set_item("default", py.get_type::<pyo3::types::PyString>()).ok()?;
    let dumps = py.import("json").ok()?.getattr("dumps").ok()?;
    let text: String = dumps.call((value,), Some(&options)).ok()?.extract().ok()?;
    serde_json::from_str(&text).ok()
}
