//! The chat-completions dialect: `POST {base}/chat/completions`, spoken by most of the market.
//!
//! Differences between providers are data in [`Wire`]; the decoder is one and the same for all, and it
//! takes what any of them has been seen to send. It refuses answers without a choice.
//!
//! ```
//! use graphbit::dialect::openai_chat::{Wire, decode};
//!
//! let body = br#"{"choices":[{"message":{"content":null},"finish_reason":"length"}]}"#;
//! let response = decode(&Wire::COMMON, "m", body)?;
//! assert_eq!((response.content.as_str(), response.finish_reason.as_str()), ("", "length"));
//! # Ok::<(), graphbit::Error>(())
//! ```

mod request;

pub(crate) use request::Tools;
pub use request::encode;
use std::collections::{BTreeMap, BTreeSet};

use serde::de::{Error as _, IgnoredAny};
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use super::lenient::{Count, Fault, Lenient, Text, arguments, null_is_default};
use super::{
    Events, FrameReader, Metadata, Progress, StreamDecoder, from_bytes, note, random_id, sign,
};
use crate::error::{Advice, Error, Kind, Result};
use crate::http::sse;
use crate::types::{ChatEvent, ChatResponse, FinishReason, ToolCall, Usage};

/// How one provider's wire departs from the common one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wire {
    /// The limit travels as `max_completion_tokens` instead of `max_tokens`.
    pub completion_tokens_field: bool,
    /// The body names the model (Azure has it in the URL).
    pub names_model: bool,
    /// Streams are asked for a closing usage frame.
    pub stream_usage: bool,
    /// `total_tokens` is the server's figure instead of the sum.
    pub server_total: bool,
    /// A turn of the assistant that only calls tools has no `content` at all.
    pub calls_without_content: bool,
    /// The seed travels as `random_seed`.
    pub random_seed_field: bool,
    /// The word that makes the model call some tool.
    pub required_tool: &'static str,
    /// What the model thought before it called tools goes back to it with their results, as
    /// `reasoning_content`.
    pub returns_reasoning: bool,
    /// Answers can be held to a JSON schema. Where they cannot, any JSON object is asked for, and the
    /// schema is shown to the model in a system message.
    pub json_schema: bool,
}

impl Wire {
    /// What most providers understand.
    pub const COMMON: Self = Self {
        completion_tokens_field: false,
        names_model: true,
        stream_usage: false,
        server_total: false,
        calls_without_content: false,
        random_seed_field: false,
        returns_reasoning: false,
        required_tool: "required",
        json_schema: true,
    };
    /// OpenAI itself.
    pub const OPENAI: Self =
        Self { completion_tokens_field: true, stream_usage: true, ..Self::COMMON };
    /// Azure's deployments route.
    pub const AZURE: Self =
        Self { names_model: false, stream_usage: true, server_total: true, ..Self::COMMON };
}

#[derive(Default, Deserialize)]
struct Answer {
    #[serde(default)]
    id: Lenient<Text>,
    #[serde(default)]
    model: Lenient<Text>,
    #[serde(default, deserialize_with = "null_is_default")]
    choices: Vec<Choice>,
    #[serde(default)]
    usage: Lenient<Option<WireUsage>>,
    /// Where the answer comes from, as servers that search the web say it.
    #[serde(default)]
    citations: Option<Value>,
    #[serde(default)]
    search_results: Option<Value>,
    #[serde(default)]
    error: Option<Fault>,
    /// `"error"` where the members of the error stand right here, as vLLM has put them.
    #[serde(default)]
    object: Lenient<Text>,
    #[serde(default)]
    message: Lenient<Text>,
    #[serde(default)]
    code: Lenient<Text>,
    #[serde(default)]
    r#type: Lenient<Text>,
}

impl Answer {
    fn fault(&mut self) -> Option<Fault> {
        let here = self.object.0.0 == "error" && self.choices.is_empty();
        self.error.take().or_else(|| {
            here.then(|| Fault::Detailed {
                message: std::mem::take(&mut self.message.0),
                code: std::mem::take(&mut self.code.0),
                r#type: std::mem::take(&mut self.r#type.0),
            })
        })
    }
}

#[derive(Default, Deserialize)]
struct Choice {
    #[serde(default, deserialize_with = "null_is_default")]
    index: Count,
    /// What whole answers say.
    #[serde(default)]
    message: Option<Said>,
    /// What streams say. Perplexity sends both in either: in a whole answer an empty piece, and in a stream all
    /// that was said so far.
    #[serde(default)]
    delta: Option<Said>,
    #[serde(default)]
    finish_reason: Option<Text>,
    /// How OpenRouter reports that a model's host failed.
    #[serde(default)]
    error: Option<Fault>,
}

#[derive(Default, Deserialize)]
struct Said {
    #[serde(default)]
    content: Text,
    #[serde(default)]
    refusal: Lenient<Text>,
    /// DeepSeek and xAI say `reasoning_content`, OpenRouter and Together `reasoning`, some both.
    #[serde(default)]
    reasoning_content: Option<Value>,
    #[serde(default)]
    reasoning: Option<Value>,
    #[serde(default, deserialize_with = "calls")]
    tool_calls: Vec<SaidCall>,
}

/// Anything but a list is no call; a list whose calls cannot be read is refused rather than lost.
fn calls<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<SaidCall>, D::Error> {
    match Value::deserialize(deserializer)? {
        list @ Value::Array(_) => Vec::deserialize(list).map_err(D::Error::custom),
        _ => Ok(Vec::new()),
    }
}

impl Said {
    fn is_empty(&self) -> bool {
        self.content.0.is_empty() && self.tool_calls.is_empty()
    }

    /// What has to come back with the results of tools, in the form in which calls carry it.
    fn thoughts(&self, wire: &Wire) -> Option<String> {
        let text = self.reasoning_content.as_ref()?.as_str()?;
        (wire.returns_reasoning && !text.is_empty()).then(|| thoughts(text))
    }

    /// What the model thought, when the server tells; empty otherwise.
    fn take_reasoning(&mut self) -> String {
        match self.reasoning_content.take().or_else(|| self.reasoning.take()) {
            Some(Value::String(text)) => text,
            _ => String::new(),
        }
    }
}

#[derive(Deserialize)]
struct SaidCall {
    #[serde(default)]
    index: Option<Count>,
    #[serde(default)]
    id: Option<Text>,
    #[serde(default)]
    function: Option<SaidFunction>,
    /// Some say name and arguments right here, without `function` around them.
    #[serde(default)]
    name: Option<Text>,
    #[serde(default, alias = "parameters")]
    arguments: Option<Value>,
}

impl SaidCall {
    fn into_parts(self) -> (Option<String>, Option<String>, Option<Value>) {
        let direct = SaidFunction { name: self.name, arguments: self.arguments };
        let function = self.function.unwrap_or(direct);
        let text = |text: Option<Text>| text.map(|text| text.0).filter(|text| !text.is_empty());
        (text(self.id), text(function.name), function.arguments)
    }
}

#[derive(Default, Deserialize)]
struct SaidFunction {
    #[serde(default)]
    name: Option<Text>,
    #[serde(default)]
    arguments: Option<Value>,
}

/// `usage`, with the details that only some servers report.
#[derive(Deserialize)]
struct WireUsage {
    #[serde(default)]
    prompt_tokens: Count,
    #[serde(default)]
    completion_tokens: Count,
    #[serde(default)]
    total_tokens: Option<Count>,
    #[serde(default)]
    prompt_tokens_details: Option<PromptDetails>,
    /// DeepSeek's word for the cached part of the prompt.
    #[serde(default)]
    prompt_cache_hit_tokens: Option<Count>,
    #[serde(default)]
    completion_tokens_details: Option<CompletionDetails>,
}

#[derive(Deserialize)]
struct PromptDetails {
    #[serde(default)]
    cached_tokens: Option<Count>,
}

#[derive(Deserialize)]
struct CompletionDetails {
    #[serde(default)]
    reasoning_tokens: Option<Count>,
}

impl WireUsage {
    fn read(&self, wire: &Wire) -> Usage {
        let mut usage = Usage::new(self.prompt_tokens.0, self.completion_tokens.0);
        if let (true, Some(total)) = (wire.server_total, self.total_tokens) {
            usage.total_tokens = total.0;
        }
        usage.cache_read_tokens = self
            .prompt_tokens_details
            .as_ref()
            .and_then(|details| details.cached_tokens)
            .or(self.prompt_cache_hit_tokens)
            .map(|count| count.0);
        usage.reasoning_tokens = self
            .completion_tokens_details
            .as_ref()
            .and_then(|details| details.reasoning_tokens)
            .map(|count| count.0);
        // xAI counts thoughts beside the answer's tokens, others among them; the sum tells which.
        let thought = usage.reasoning_tokens.unwrap_or_default();
        let beside =
            usage.prompt_tokens.saturating_add(usage.completion_tokens).saturating_add(thought);
        if thought > 0 && self.total_tokens.is_some_and(|total| total.0 == beside) {
            usage.completion_tokens = usage.completion_tokens.saturating_add(thought);
            usage.total_tokens = beside;
        }
        usage
    }
}

/// Reads a whole answer; `model` is the configured name, which the response carries.
///
/// # Errors
/// [`Kind::Decode`] when the body is not JSON of this shape or holds no choice; the kind an embedded
/// `error` object names.
pub fn decode(wire: &Wire, model: &str, body: &[u8]) -> Result<ChatResponse> {
    let mut answer: Answer = from_bytes(body)?;
    let mut fault = answer.fault();
    let choice = std::mem::take(&mut answer.choices).into_iter().next().map(|mut choice| {
        fault = choice.error.take().or(fault.take());
        let said = choice.message.take().or_else(|| choice.delta.take()).unwrap_or_default();
        (said, choice.finish_reason.take())
    });
    match (choice, fault) {
        // Gateways report upstream failures inside a 200. What was said before is paid for, and stays.
        (Some((said, _)), Some(fault)) if said.is_empty() => {
            Err(fault.into_error("API error: ", Kind::Server))
        }
        (None, Some(fault)) => Err(fault.into_error("API error: ", Kind::Server)),
        (None, None) => Err(Error::new(Kind::Decode, "No choices in response")),
        (Some((said, finish_reason)), fault) => {
            let mut response = read(wire, model, answer, said, finish_reason);
            if let Some(fault) = fault {
                note(&mut response.metadata, "error", fault.message().into_owned());
            }
            Ok(response)
        }
    }
}

/// Reads an answer of a user's own making: a whole answer of this dialect, or the flat form
/// `{"content", "tool_calls": [{"id", "name", "arguments"}], "finish_reason", "usage", "id", "model"}`.
///
/// # Errors
/// [`Kind::Decode`] when it is neither.
#[cfg_attr(
    not(feature = "python"),
    expect(dead_code, reason = "functions as models come from Python")
)]
pub(crate) fn decode_mapping(model: &str, body: &[u8]) -> Result<ChatResponse> {
    #[derive(Deserialize)]
    struct Flat {
        #[serde(default)]
        choices: Option<IgnoredAny>,
        #[serde(default)]
        content: Option<Text>,
        #[serde(default, deserialize_with = "calls")]
        tool_calls: Vec<SaidCall>,
        #[serde(default)]
        finish_reason: Option<Text>,
        #[serde(default)]
        usage: Lenient<Option<WireUsage>>,
        #[serde(default)]
        id: Lenient<Text>,
        #[serde(default)]
        model: Lenient<Text>,
    }
    let flat: Flat = from_bytes(body)?;
    if flat.choices.is_some() {
        return decode(&Wire::COMMON, model, body);
    }
    if flat.content.is_none() && flat.tool_calls.is_empty() {
        let text = "Failed to parse response: the mapping has neither 'content', 'tool_calls' nor 'choices'";
        return Err(Error::new(Kind::Decode, text).with_advice(Advice::Never));
    }
    let message = Said {
        content: flat.content.unwrap_or_default(),
        tool_calls: flat.tool_calls,
        ..Said::default()
    };
    let answer = Answer { id: flat.id, model: flat.model, usage: flat.usage, ..Answer::default() };
    Ok(read(&Wire::COMMON, model, answer, message, flat.finish_reason))
}

fn read(
    wire: &Wire,
    model: &str,
    mut answer: Answer,
    mut said: Said,
    finish_reason: Option<Text>,
) -> ChatResponse {
    let mut metadata = Metadata::new();
    answer.describe(&mut metadata);
    let thoughts = said.thoughts(wire);
    note(&mut metadata, "reasoning", said.take_reasoning());
    note(&mut metadata, "refusal", std::mem::take(&mut said.refusal.0.0));
    let mut tool_calls: Vec<ToolCall> = said.tool_calls.into_iter().map(tool_call).collect();
    if let Some(first) = tool_calls.first_mut() {
        first.signature = thoughts;
    }
    let word = finish_reason.unwrap_or_default().0;
    let finish_reason =
        if word.is_empty() { FinishReason::Stop } else { FinishReason::from_word(&word) };
    note(&mut metadata, "provider_finish_reason", word);
    ChatResponse {
        content: said.content.0,
        model: model.to_owned(),
        id: Some(answer.id.0.0).filter(|id| !id.is_empty()),
        tool_calls,
        usage: answer.usage.0.map(|usage| usage.read(wire)).unwrap_or_default(),
        finish_reason,
        metadata,
        raw: None,
        pace: None,
        provider: None,
    }
}

impl Answer {
    /// Notes what is said about the answer as a whole; the frames of a stream repeat some of it.
    fn describe(&mut self, metadata: &mut Metadata) {
        note(metadata, "server_model", std::mem::take(&mut self.model.0.0));
        let lists =
            [("citations", &mut self.citations), ("search_results", &mut self.search_results)];
        for (name, list) in lists {
            if let Some(list) = list.take().filter(|list| !list.is_null()) {
                metadata.insert(name.to_owned(), list);
            }
        }
    }
}

fn tool_call(call: SaidCall) -> ToolCall {
    let (id, name, sent) = call.into_parts();
    // The answer to a call has to name it, so a call without an id gets one.
    let id = id.unwrap_or_else(|| random_id("call_"));
    ToolCall::new(id, name.unwrap_or_default(), arguments(sent))
}

/// What a call carries to bring back what was thought before it. An object, so that no other dialect takes it for
/// a signature of its own.
fn thoughts(text: &str) -> String {
    json!({ "reasoning_content": text }).to_string()
}

/// What [`thoughts`] wrote; another dialect's signature holds none.
fn thoughts_of(signature: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Thoughts {
        reasoning_content: String,
    }
    serde_json::from_str::<Thoughts>(signature).ok().map(|thoughts| thoughts.reasoning_content)
}

/// Reads the frames of one streamed answer.
pub struct ChatFrames {
    wire: Wire,
    reasoning: String,
    calls: Calls,
}

/// A decoder for one stream.
#[must_use]
pub fn stream_decoder(wire: Wire) -> StreamDecoder<ChatFrames> {
    StreamDecoder::new(ChatFrames { wire, reasoning: String::new(), calls: Calls::default() })
}

impl FrameReader for ChatFrames {
    type Frames = sse::Decoder;

    fn read(&mut self, data: &str, progress: &mut Progress, events: &mut Events) {
        if data.trim() == "[DONE]" {
            return progress.finish(events);
        }
        let Some(mut frame) = progress.parse::<Answer>(data, events) else { return };
        if let Some(fault) = frame.fault() {
            return progress.fail(fault.into_error("Stream error: ", Kind::Stream), events);
        }
        if let Some(usage) = frame.usage.0.take() {
            progress.usage = Some(usage.read(&self.wire));
        }
        frame.describe(&mut progress.metadata);
        note(&mut progress.metadata, "id", std::mem::take(&mut frame.id.0.0));
        for mut choice in frame.choices {
            // Nobody asks for several answers; were one sent, mixing them would garble both.
            if choice.index.0 != 0 {
                continue;
            }
            let mut said =
                choice.delta.take().or_else(|| choice.message.take()).unwrap_or_default();
            let returns = self.wire.returns_reasoning && said.reasoning_content.is_some();
            let reasoning = said.take_reasoning();
            if returns {
                self.reasoning.push_str(&reasoning);
            }
            if !reasoning.is_empty() {
                events.push_back(Ok(ChatEvent::Reasoning(reasoning)));
            }
            if !said.content.0.is_empty() {
                events.push_back(Ok(ChatEvent::Text(said.content.0)));
            }
            note(&mut progress.metadata, "refusal", said.refusal.0.0);
            for (position, call) in said.tool_calls.into_iter().enumerate() {
                let event = self.calls.piece(position, call);
                if let ChatEvent::ToolCallDelta { id: Some(id), .. } = &event
                    && !self.reasoning.is_empty()
                {
                    let thoughts = thoughts(&std::mem::take(&mut self.reasoning));
                    sign(&mut progress.metadata, id, thoughts);
                }
                events.push_back(Ok(event));
            }
            if let Some(fault) = choice.error.take() {
                return progress.fail(fault.into_error("Stream error: ", Kind::Stream), events);
            }
            if let Some(word) = choice.finish_reason.filter(|word| !word.0.is_empty()) {
                progress.finish_reason = Some(FinishReason::from_word(&word.0));
                note(&mut progress.metadata, "provider_finish_reason", word.0);
            }
        }
    }
}

/// Which call each piece belongs to. Servers number the calls, or not, or give all of them the number 0; an id
/// comes once, or in every piece, or is another one in every piece.
#[derive(Default)]
struct Calls {
    /// The call under way at each number, or place within the frame, that the server gives.
    places: BTreeMap<usize, usize>,
    ids: BTreeMap<String, usize>,
    begun: BTreeSet<usize>,
}

impl Calls {
    fn piece(&mut self, position: usize, call: SaidCall) -> ChatEvent {
        let given = call.index.and_then(|index| usize::try_from(index.0).ok());
        let place = given.unwrap_or(position);
        let (id, name, arguments) = call.into_parts();
        let known = id.as_ref().and_then(|id| self.ids.get(id).copied());
        // An id that is new begins a call where a name comes with it; without one it is that of a piece.
        let begins = id.is_some() && name.is_some();
        let index = known.or_else(|| self.places.get(&place).copied().filter(|_| !begins));
        let index = index.unwrap_or_else(|| {
            let free = self.begun.last().map_or(0, |last| last.saturating_add(1));
            if self.begun.contains(&place) { free } else { place }
        });
        self.begun.insert(index);
        self.places.insert(place, index);
        if let Some(id) = &id {
            self.ids.insert(id.clone(), index);
        }
        let arguments = match arguments {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(piece)) => piece,
            Some(whole) => whole.to_string(),
        };
        ChatEvent::ToolCallDelta { index, id, name, arguments }
    }
}

#[cfg(test)]
mod tests;
