//! Arguments of `LlmClient`'s methods, checked and made into requests.
//!
//! All checks are made by the call itself, before anything is sent, and alike in every method. The
//! checks that GraphBit 0.6.8 has come in its order and with its texts.

use std::sync::Arc;

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};
use serde_json::{Map, Value, json};

use super::exit;
use super::given::Items;
use super::json::{self, class_of};
use super::llm_messages::{read_messages, refuse};
use super::structured::Reader;
use crate::error::{Error, Result};
use crate::llm::structured::{close_objects, schema_format};
use crate::types::{ChatRequest, Message, ResponseFormat, Role, ToolChoice, ToolSpec};

/// Which of 0.6.8's two sets of limits a method keeps to.
#[derive(Clone, Copy)]
pub(super) enum Limits {
    Plain,
    Full,
}

pub(super) fn check_prompt(field: &str, prompt: &str) -> Result<()> {
    if prompt.is_empty() {
        return Err(Error::validation(field, Some(""), "Prompt cannot be empty"));
    }
    Ok(())
}

fn check_max_tokens(limits: Limits, max_tokens: Option<i64>) -> Result<Option<u32>> {
    let Some(count) = max_tokens else { return Ok(None) };
    let problem = match (limits, count) {
        (Limits::Plain, ..1) => "max_tokens must be greater than 0",
        (Limits::Full, ..1) => "max_tokens must be positive",
        (Limits::Full, 100_001..) => "max_tokens cannot exceed 100,000",
        _ => match u32::try_from(count) {
            Ok(count) => return Ok(Some(count)),
            Err(_) => "max_tokens is too large",
        },
    };
    Err(Error::validation("max_tokens", Some(&count.to_string()), problem))
}

/// Refuses numbers outside 0 to `most`. Not a range of its own for NaN: it is in none.
fn check_range(field: &str, value: Option<f64>, most: f64) -> Result<()> {
    match value {
        Some(value) if !(0.0..=most).contains(&value) => {
            let text = format!("{field} must be between 0.0 and {most:.1}");
            Err(Error::validation(field, Some(&value.to_string()), &text))
        }
        _ => Ok(()),
    }
}

/// A request without messages.
pub(super) fn options(
    limits: Limits,
    max_tokens: Option<i64>,
    temperature: Option<f64>,
    prompt_caching: bool,
) -> Result<ChatRequest> {
    let max_tokens = check_max_tokens(limits, max_tokens)?;
    check_range("temperature", temperature, 2.0)?;
    Ok(ChatRequest { max_tokens, temperature, prompt_caching, ..ChatRequest::default() })
}

/// A request of one prompt.
pub(super) fn prompt_request(
    limits: Limits,
    prompt: String,
    max_tokens: Option<i64>,
    temperature: Option<f64>,
    prompt_caching: bool,
) -> Result<ChatRequest> {
    check_prompt("prompt", &prompt)?;
    let mut request = options(limits, max_tokens, temperature, prompt_caching)?;
    request.messages.push(Message::new(Role::User, prompt));
    Ok(request)
}

/// What `chat` and its like take beside the messages.
pub(super) struct ChatArguments<'a, 'py> {
    pub(super) tools: Option<&'a Bound<'py, PyAny>>,
    pub(super) tool_choice: Option<&'a Bound<'py, PyAny>>,
    pub(super) response_format: Option<&'a Bound<'py, PyAny>>,
    pub(super) stop: Option<&'a Bound<'py, PyAny>>,
    pub(super) seed: Option<i64>,
    pub(super) top_p: Option<f64>,
    pub(super) extra_body: Option<&'a Bound<'py, PyAny>>,
    pub(super) max_tokens: Option<i64>,
    pub(super) temperature: Option<f64>,
    pub(super) prompt_caching: bool,
    pub(super) keep_raw: bool,
}

impl ChatArguments<'_, '_> {
    /// The request, and how its answer is to be read.
    pub(super) fn request(&self, messages: &Bound<'_, PyAny>) -> PyResult<(ChatRequest, Reader)> {
        exit::inside(messages.py(), || self.read(messages))
    }

    fn read(&self, messages: &Bound<'_, PyAny>) -> PyResult<(ChatRequest, Reader)> {
        let messages = read_messages(messages)?;
        let tools = self.tools.map(read_tools).transpose()?.unwrap_or_default();
        let tool_choice = match self.tool_choice {
            Some(choice) => read_choice(choice, &tools)?,
            None => None,
        };
        let (response_format, reader) = match self.response_format {
            Some(format) => read_format(format)?,
            None => (None, Reader::Text),
        };
        let stop = self.stop.map(read_stop).transpose()?.unwrap_or_default();
        check_range("top_p", self.top_p, 1.0)?;
        let extra_body = self.extra_body.map(read_extra_body).transpose()?;
        let options =
            options(Limits::Plain, self.max_tokens, self.temperature, self.prompt_caching)?;
        let request = ChatRequest {
            messages,
            top_p: self.top_p,
            tools,
            tool_choice,
            response_format,
            stop,
            seed: self.seed,
            extra_body,
            keep_raw: self.keep_raw,
            ..options
        };
        Ok((request, reader))
    }
}

fn wrong_type(argument: &str, wanted: &str, given: &Bound<'_, PyAny>) -> PyErr {
    let class = class_of(given);
    PyTypeError::new_err(format!("argument '{argument}': must be {wanted}, not '{class}'"))
}

fn read_tools(given: &Bound<'_, PyAny>) -> PyResult<Vec<ToolSpec>> {
    let single = given.is_instance_of::<PyString>() || json::mapping(given)?.is_some();
    let Some(given) = (!single).then(|| Items::of(given).ok()).flatten() else {
        return Err(wrong_type("tools", "a list of tools", given));
    };
    let mut tools: Vec<ToolSpec> = Vec::new();
    for tool in given {
        let place = format!("tools[{}]", tools.len());
        let tool = read_tool(&place, &tool?)?;
        if tools.iter().any(|known| known.name == tool.name) {
            let text = "two tools have this name";
            let field = format!("{place}.name");
            return Err(Error::validation(&field, Some(&tool.name), text).into());
        }
        tools.push(tool);
    }
    Ok(tools)
}

/// OpenAI's nested mapping, a flat one, or an object that can be made into one or has its attributes.
fn read_tool(place: &str, tool: &Bound<'_, PyAny>) -> PyResult<ToolSpec> {
    let mut described = json::mapping(tool)?;
    if described.is_none() && tool.hasattr("to_dict")? {
        let described_by = tool.call_method0("to_dict")?;
        described = json::mapping(&described_by)?;
    }
    if described.is_none() && tool.hasattr("name")? {
        let dict = PyDict::new(tool.py());
        for name in ["name", "description", "parameters"] {
            if let Some(value) = tool.getattr_opt(name)? {
                dict.set_item(name, value)?;
            }
        }
        described = Some(dict);
    }
    let Some(mut described) = described else {
        let text = format!("must be a mapping or a tool object, not '{}'", class_of(tool));
        return Err(refuse(place, &text));
    };
    if let Some(kind) = json::word(&described, "type")?.filter(|kind| kind != "function") {
        let text = "must be 'function'";
        return Err(Error::validation(&format!("{place}.type"), Some(&kind), text).into());
    }
    let mut within = place.to_owned();
    if let Some(function) = described.get_item("function")? {
        within.push_str(".function");
        let Some(function) = json::mapping(&function)? else {
            return Err(refuse(within, "must be a mapping"));
        };
        described = function;
    }
    let field = |name: &str| -> PyResult<Option<Bound<'_, PyAny>>> {
        Ok(described.get_item(name)?.filter(|value| !value.is_none()))
    };
    let name = field("name")?.and_then(|name| name.extract::<String>().ok());
    let Some(name) = name.filter(|name| !name.is_empty()) else {
        return Err(refuse(format!("{within}.name"), "must be a str that is not empty"));
    };
    let description = match field("description")? {
        None => String::new(),
        Some(text) => {
            text.extract().map_err(|_| refuse(format!("{within}.description"), "must be a str"))?
        }
    };
    let parameters = match field("parameters")? {
        None => json!({"type": "object", "properties": {}}),
        Some(schema) => read_object(&format!("{within}.parameters"), &schema)?.into(),
    };
    Ok(ToolSpec { name, description, parameters })
}

fn read_object(field: &str, given: &Bound<'_, PyAny>) -> PyResult<Map<String, Value>> {
    let Some(mapping) = json::mapping(given)? else {
        return Err(refuse(field, &format!("must be a mapping, not '{}'", class_of(given))));
    };
    match json::dump(field, mapping.as_any())? {
        Value::Object(fields) => Ok(fields),
        _ => Err(refuse(field, "must be a mapping")),
    }
}

/// `None` where there is nothing to choose from: servers refuse a choice among no tools.
fn read_choice(given: &Bound<'_, PyAny>, tools: &[ToolSpec]) -> PyResult<Option<ToolChoice>> {
    let wanted = "must be 'auto', 'none', 'required' or the name of one of the tools";
    let name = match (given.extract::<String>(), json::mapping(given)?) {
        (Ok(word), _) => word,
        (_, Some(choice)) => {
            let function = match choice.get_item("function")? {
                Some(function) => json::mapping(&function)?,
                None => Some(choice),
            };
            let name = function.map(|function| function.get_item("name")).transpose()?.flatten();
            match name.and_then(|name| name.extract::<String>().ok()) {
                Some(name) => name,
                None => return Err(refuse("tool_choice.function.name", "must be a str")),
            }
        }
        _ => return Err(wrong_type("tool_choice", "a str or a mapping", given)),
    };
    let is_word = given.is_instance_of::<PyString>();
    let choice = match name.as_str() {
        "auto" if is_word => ToolChoice::Auto,
        "none" if is_word => ToolChoice::None,
        "required" if is_word => ToolChoice::Required,
        _ if tools.iter().any(|tool| tool.name == name) => ToolChoice::Tool(name),
        _ => return Err(Error::validation("tool_choice", Some(&name), wanted).into()),
    };
    match choice {
        ToolChoice::Required if tools.is_empty() => {
            Err(Error::validation("tool_choice", Some("required"), "there are no tools").into())
        }
        _ => Ok((!tools.is_empty()).then_some(choice)),
    }
}

/// `"json"`, OpenAI's mappings, a JSON schema, or a class that has one and reads what fits it.
fn read_format(given: &Bound<'_, PyAny>) -> PyResult<(Option<ResponseFormat>, Reader)> {
    const FIELD: &str = "response_format";
    if let Ok(word) = given.cast::<PyString>() {
        return match word.to_str()? {
            "json" | "json_object" => Ok((Some(ResponseFormat::Json), Reader::Json)),
            "text" => Ok((None, Reader::Text)),
            other => Err(Error::validation(FIELD, Some(other), "must be 'json' or 'text'").into()),
        };
    }
    let Some(mapping) = json::mapping(given)? else {
        if !given.hasattr("model_json_schema")? || !given.hasattr("model_validate_json")? {
            let wanted = "'json', a mapping or a pydantic model class";
            return Err(wrong_type(FIELD, wanted, given));
        }
        let name = given.getattr_opt("__name__")?.map(|name| name.to_string());
        let schema = given.call_method0("model_json_schema")?;
        let mut schema = Value::Object(read_object(FIELD, &schema)?);
        close_objects(&mut schema);
        let format = schema_format(&name.unwrap_or_default(), schema);
        return Ok((Some(format), Reader::Class(Arc::new(given.clone().unbind()))));
    };
    let mut fields = read_object(FIELD, mapping.as_any())?;
    let kind = fields.get("type").and_then(Value::as_str).unwrap_or_default();
    let format = match kind {
        "text" => return Ok((None, Reader::Text)),
        "json_object" => ResponseFormat::Json,
        "json_schema" => wire_format(fields)?,
        _ => {
            let words = ["type", "properties", "$ref", "anyOf", "oneOf", "allOf", "enum", "items"];
            if !words.iter().any(|word| fields.contains_key(*word)) {
                let text = "must be {'type': 'json_object'}, {'type': 'json_schema', ...} or a JSON schema";
                return Err(refuse(FIELD, text));
            }
            let title = fields.get("title").and_then(Value::as_str).unwrap_or_default().to_owned();
            schema_format(&title, Value::Object(std::mem::take(&mut fields)))
        }
    };
    Ok((Some(format), Reader::Json))
}

/// OpenAI's `{"type": "json_schema", "json_schema": {"name", "schema", "strict"}}`, or with the inner
/// fields beside the type.
fn wire_format(mut fields: Map<String, Value>) -> PyResult<ResponseFormat> {
    let mut inner = match fields.remove("json_schema") {
        Some(Value::Object(inner)) => inner,
        None if fields.contains_key("schema") => fields,
        _ => return Err(refuse("response_format.json_schema", "must be a mapping")),
    };
    let Some(schema @ Value::Object(_)) = inner.remove("schema") else {
        return Err(refuse("response_format.json_schema.schema", "must be a mapping"));
    };
    let given = inner.get("name").and_then(Value::as_str).unwrap_or_default();
    let ResponseFormat::Schema { name, schema, .. } = schema_format(given, schema) else {
        return Ok(ResponseFormat::Json);
    };
    let strict = inner.get("strict").and_then(Value::as_bool).unwrap_or_default();
    Ok(ResponseFormat::Schema { name, schema, strict })
}

fn read_stop(given: &Bound<'_, PyAny>) -> PyResult<Vec<String>> {
    let stop = match given.extract::<String>() {
        Ok(text) => vec![text],
        Err(_) => Items::of(given)
            .and_then(|texts| texts.map(|text| text?.extract()).collect())
            .map_err(|_| wrong_type("stop", "a str or a list of str", given))?,
    };
    if let Some(place) = stop.iter().position(String::is_empty) {
        return Err(refuse(format!("stop[{place}]"), "must not be empty"));
    }
    Ok(stop)
}

fn read_extra_body(given: &Bound<'_, PyAny>) -> PyResult<Map<String, Value>> {
    if json::mapping(given)?.is_none() {
        return Err(wrong_type("extra_body", "a mapping", given));
    }
    read_object("extra_body", given)
}
