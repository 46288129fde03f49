//! Replicate's dialect: a *prediction* is created, looked at until it is over, and holds the output.
//!
//! A conversation travels as one `prompt`, tools are described in it, and calls are read out of the
//! text that comes back (see `prompt.rs`). It refuses to take a prediction for an answer that has
//! failed, was cancelled, or is in a state nobody knows.
//!
//! ```
//! use graphbit::dialect::replicate;
//! use graphbit::types::ChatRequest;
//!
//! let body = br#"{"id":"p1","status":"succeeded","output":["Good"," day"]}"#;
//! let answer = replicate::read(body)?.answer("openai/gpt-5", &ChatRequest::from_prompt("Hi"))?;
//! assert_eq!((answer.content.as_str(), answer.id.as_deref()), ("Good day", Some("p1")));
//! # Ok::<(), graphbit::Error>(())
//! ```

mod prompt;

use bytes::Bytes;
use prompt::{MARK, offers_tools, split_calls};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::lenient::{Count, Fault, Text, null_is_default};
use super::{
    Events, FrameReader, Frames, Metadata, Progress, StreamDecoder, from_bytes, note,
    to_bytes_merging,
};
use crate::error::{Advice, Error, Kind, Result};
use crate::http::sse;
use crate::types::{ChatEvent, ChatRequest, ChatResponse, FinishReason, Usage};

#[derive(Serialize)]
struct Body<'a> {
    version: &'a str,
    input: Input,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stream: bool,
}

#[derive(Serialize)]
struct Input {
    prompt: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_new_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stop_sequences: Option<String>,
}

/// The body that creates a prediction. `version` is a version's id, or the name of an official model;
/// unset is `model`. An `input` object among the request's extra fields adds to ours.
///
/// # Errors
/// [`Kind::Internal`] only if serialising plain data fails.
pub fn encode(
    model: &str,
    version: Option<&str>,
    request: &ChatRequest,
    stream: bool,
) -> Result<Bytes> {
    // The list is told apart by commas, so a text with one in it cannot be said.
    let stop: Vec<&str> =
        request.stop.iter().map(String::as_str).filter(|text| !text.contains(',')).collect();
    let body = Body {
        version: version.unwrap_or(model),
        input: Input {
            prompt: prompt::prompt(model, request),
            max_new_tokens: request.max_tokens,
            temperature: request.temperature,
            top_p: request.top_p,
            seed: request.seed,
            stop_sequences: (!stop.is_empty()).then(|| stop.join(",")),
        },
        stream,
    };
    to_bytes_merging(&body, request, "input")
}

/// One prediction, as creating it or looking at it shows it.
#[derive(Debug, Deserialize)]
pub struct Prediction {
    #[serde(default)]
    id: Text,
    #[serde(default)]
    status: Text,
    #[serde(default)]
    model: Text,
    #[serde(default)]
    output: Option<Value>,
    #[serde(default)]
    error: Option<Fault>,
    #[serde(default, deserialize_with = "null_is_default")]
    urls: Addresses,
    #[serde(default, deserialize_with = "null_is_default")]
    metrics: Metrics,
}

#[derive(Debug, Default, Deserialize)]
struct Addresses {
    #[serde(default)]
    get: Text,
    #[serde(default)]
    cancel: Text,
    #[serde(default)]
    stream: Text,
}

#[derive(Debug, Default, Deserialize)]
struct Metrics {
    #[serde(default)]
    predict_time: Option<Value>,
    #[serde(default)]
    input_token_count: Option<Count>,
    #[serde(default)]
    output_token_count: Option<Count>,
}

/// Reads what the server says about a prediction.
///
/// # Errors
/// [`Kind::Decode`] when the body is not a JSON object.
pub fn read(body: &[u8]) -> Result<Prediction> {
    from_bytes(body)
}

fn given(text: &Text) -> Option<&str> {
    Some(text.0.as_str()).filter(|text| !text.is_empty())
}

impl Prediction {
    /// Its id, if that can stand in a path.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        given(&self.id).filter(|id| id.bytes().all(plain))
    }

    /// Where to look at it.
    #[must_use]
    pub fn get_url(&self) -> Option<&str> {
        given(&self.urls.get)
    }

    /// Where to cancel it.
    #[must_use]
    pub fn cancel_url(&self) -> Option<&str> {
        given(&self.urls.cancel)
    }

    /// Where its output can be read as it comes about.
    #[must_use]
    pub fn stream_url(&self) -> Option<&str> {
        given(&self.urls.stream)
    }

    /// Whether it is worth looking again later.
    #[must_use]
    pub fn is_running(&self) -> bool {
        matches!(self.status.0.as_str(), "starting" | "processing" | "queued")
    }

    /// Whether nothing more will happen to it. A status of a name unknown here is no end.
    #[must_use]
    pub fn is_over(&self) -> bool {
        matches!(
            self.status.0.as_str(),
            "succeeded" | "failed" | "canceled" | "cancelled" | "aborted"
        )
    }

    /// Tokens used, as the server counts them; else the words of the output.
    fn usage(&self, text: &str) -> Usage {
        let words = u64::try_from(text.split_whitespace().count()).unwrap_or(u64::MAX);
        let count = |count: Option<Count>| count.map(|count| count.0);
        Usage::new(
            count(self.metrics.input_token_count).unwrap_or(0),
            count(self.metrics.output_token_count).unwrap_or(words),
        )
    }

    fn metadata(&self) -> Metadata {
        let mut metadata = Metadata::new();
        note(&mut metadata, "server_model", self.model.0.clone());
        note(&mut metadata, "provider_finish_reason", self.status.0.clone());
        if let Some(time) = self.metrics.predict_time.as_ref().filter(|time| time.is_number()) {
            metadata.insert("predict_time_seconds".to_owned(), time.clone());
        }
        metadata
    }

    fn check(&self) -> Result<()> {
        let status = self.status.0.as_str();
        let text = match (status, &self.error) {
            ("succeeded", _) => return Ok(()),
            (_, Some(fault)) if !fault.message().is_empty() => fault.message().into_owned(),
            _ if self.is_over() => format!("Prediction failed with status: {status}"),
            _ => format!("Unknown prediction status: {status}"),
        };
        // It has been paid for; asking again would be a second one.
        Err(Error::new(Kind::Server, text).with_advice(Advice::Never))
    }

    /// The answer to `request` of one that is over; `model` is the configured name.
    ///
    /// # Errors
    /// [`Kind::Server`] with the server's words when it has not succeeded; [`Kind::Decode`] when it
    /// has, without any output.
    pub fn answer(&self, model: &str, request: &ChatRequest) -> Result<ChatResponse> {
        self.check()?;
        let metadata = self.metadata();
        let text = match &self.output {
            None => {
                let text = "No output in successful prediction";
                return Err(Error::new(Kind::Decode, text).with_advice(Advice::Never));
            }
            Some(output) => written(output),
        };
        let usage = self.usage(&text);
        let (content, tool_calls) =
            if offers_tools(model, request) { split_calls(&text) } else { (text, Vec::new()) };
        let finish_reason =
            if tool_calls.is_empty() { FinishReason::Stop } else { FinishReason::ToolCalls };
        Ok(ChatResponse {
            content,
            model: model.to_owned(),
            id: given(&self.id).map(str::to_owned),
            tool_calls,
            usage,
            finish_reason,
            metadata,
            raw: None,
            pace: None,
            provider: None,
        })
    }

    /// What is known at its end beside a streamed answer: tokens, and the names of
    /// [`ChatEvent::Done`]'s metadata.
    #[must_use]
    pub fn account(&self) -> (Option<Usage>, Metadata) {
        let mut metadata = self.metadata();
        note(&mut metadata, "id", self.id.0.clone());
        let usage = self.output.as_ref().map(|output| self.usage(&written(output)));
        (usage, metadata)
    }
}

/// Output as text: a string as it is, the pieces of a list joined, anything else as JSON.
fn written(output: &Value) -> String {
    match output {
        Value::String(text) => text.clone(),
        Value::Array(pieces) => pieces.iter().map(written).collect(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// A whole answer as the events of a stream, for a prediction that offered none.
pub(crate) fn events(answer: ChatResponse) -> Vec<ChatEvent> {
    let mut metadata = answer.metadata;
    note(&mut metadata, "id", answer.id.unwrap_or_default());
    let mut events = Vec::with_capacity(answer.tool_calls.len() + 2);
    if !answer.content.is_empty() {
        events.push(ChatEvent::Text(answer.content));
    }
    for (index, call) in answer.tool_calls.into_iter().enumerate() {
        events.push(ChatEvent::ToolCallDelta {
            index,
            id: Some(call.id),
            name: Some(call.name),
            arguments: call.arguments.to_string(),
        });
    }
    let (usage, finish_reason) = (Some(answer.usage), answer.finish_reason);
    events.push(ChatEvent::Done { usage, finish_reason, metadata });
    events
}

/// The name of the frame that stands for the end of the body.
const END: &str = "(end)";

/// Server-sent events whose names matter: each frame is the name, a line feed, and the data.
#[derive(Default)]
pub struct NamedFrames {
    events: sse::Decoder,
    ended: bool,
}

impl Frames for NamedFrames {
    fn push(&mut self, bytes: &[u8]) -> Result<()> {
        self.events.push(bytes)
    }

    fn finish(&mut self) {
        self.events.finish();
        self.ended = true;
    }

    fn next_frame(&mut self) -> Option<String> {
        match self.events.next() {
            Some(frame) => Some(format!("{}\n{}", frame.event.unwrap_or_default(), frame.data)),
            None => std::mem::take(&mut self.ended).then(|| END.to_owned()),
        }
    }
}

/// Reads the events of one prediction's stream.
pub struct OutputFrames {
    offers_tools: bool,
    /// Text not passed on because it may belong to a call.
    held: String,
    /// Whether `held` begins a line.
    at_line_start: bool,
    begun: bool,
}

/// A decoder for the stream of the prediction that answers `request`.
#[must_use]
pub fn stream_decoder(model: &str, request: &ChatRequest) -> StreamDecoder<OutputFrames> {
    StreamDecoder::new(OutputFrames {
        offers_tools: offers_tools(model, request),
        held: String::new(),
        at_line_start: true,
        begun: false,
    })
}

impl OutputFrames {
    fn say(&mut self, text: &str, events: &mut Events) {
        self.begun = true;
        let text = if self.offers_tools { self.release(text) } else { text.to_owned() };
        if !text.is_empty() {
            events.push_back(Ok(ChatEvent::Text(text)));
        }
    }

    /// Takes more text and returns what can be passed on. From the first line that calls a tool on,
    /// nothing is: its parameters may span lines.
    fn release(&mut self, more: &str) -> String {
        self.held.push_str(more);
        let mut line = 0;
        loop {
            let rest = self.held.get(line..).unwrap_or_default();
            if self.at_line_start && (rest.starts_with(MARK) || MARK.starts_with(rest)) {
                break;
            }
            match rest.find('\n') {
                Some(end) => {
                    line += end + 1;
                    self.at_line_start = true;
                }
                None => {
                    line = self.held.len();
                    self.at_line_start = false;
                    break;
                }
            }
        }
        let kept = self.held.split_off(line);
        std::mem::replace(&mut self.held, kept)
    }

    /// Passes on what was held. Returns why the model stopped.
    fn flush(&mut self, events: &mut Events) -> FinishReason {
        let (text, calls) = split_calls(&std::mem::take(&mut self.held));
        if !text.is_empty() {
            events.push_back(Ok(ChatEvent::Text(text)));
        }
        let finish = if calls.is_empty() { FinishReason::Stop } else { FinishReason::ToolCalls };
        for (index, call) in calls.into_iter().enumerate() {
            events.push_back(Ok(ChatEvent::ToolCallDelta {
                index,
                id: Some(call.id),
                name: Some(call.name),
                arguments: call.arguments.to_string(),
            }));
        }
        finish
    }
}

impl FrameReader for OutputFrames {
    type Frames = NamedFrames;

    fn read(&mut self, frame: &str, progress: &mut Progress, events: &mut Events) {
        #[derive(Default, Deserialize)]
        struct Ending {
            #[serde(default)]
            reason: Text,
        }
        #[derive(Deserialize)]
        struct Trouble {
            detail: Text,
        }
        let (name, data) = frame.split_once('\n').unwrap_or((frame, ""));
        match name {
            "output" => self.say(data, events),
            // A line that reads like a JSON document of its own was cut off the event before it.
            "" if self.begun => {
                self.say("\n", events);
                self.say(data, events);
            }
            "" => self.say(data, events),
            "error" => {
                let detail = serde_json::from_str::<Trouble>(data).map(|trouble| trouble.detail.0);
                progress.fail(failed(&detail.unwrap_or_else(|_| data.to_owned())), events);
            }
            "done" => {
                let ending: Ending = serde_json::from_str(data).unwrap_or_default();
                if !ending.reason.0.is_empty() {
                    return progress.fail(failed(&ending.reason.0), events);
                }
                progress.finish_reason = Some(self.flush(events));
                progress.finish(events);
            }
            END => {
                self.flush(events);
            }
            // Logs, and whatever else may come to be.
            _ => {}
        }
    }
}

fn failed(reason: &str) -> Error {
    let text = format!("Stream error: {reason}");
    Error::new(Kind::Server, text).with_advice(Advice::Never)
}

#[cfg(test)]
mod tests;
