//! Scripted conversations: which answer a chat gets depends on what is asked, and on how far it is.
//!
//! The first entry of the setting `replies` that fits answers, in the shape of chat completions, plain
//! or streamed; where none fits the dialect echoes as ever. Many nodes of a workflow can so share a scope.
//! It refuses to look at anything but the last user message and the number of answers before.
//!
//! ```text
//! {"replies": [{"prompt": "look it up", "turn": 0, "tool_calls": [["c1", "find", {"what": "tides"}]]},
//!              {"prompt": "look it up", "content": "found", "latency_ms": 30},
//!              {"prompt": "fragile", "status": 503, "times": 2}]}
//! ```

use std::borrow::Cow;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use hyper::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::openai::model_of;
use super::{Message, content_text, count_words, error_text, pieces};
use crate::answer::{Answer, JSON};
use crate::behaviour::{Settings, text_of};

/// One entry of `replies`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Reply {
    /// What the last user message ends with; nothing fits every one.
    prompt: String,
    /// How many answers the conversation has already; unset fits every number.
    turn: Option<usize>,
    /// It answers this many requests and then fits no more; unset is for ever.
    times: Option<u64>,
    /// The text.
    content: String,
    /// Id, name, arguments; arguments that are text are sent as they are.
    tool_calls: Vec<(String, String, Value)>,
    /// `tool_calls` or `stop` unless it is set.
    finish_reason: Option<String>,
    /// A failure of this status instead of an answer.
    status: Option<u16>,
    /// In addition to the latency of the scope.
    latency_ms: f64,
    #[serde(skip)]
    used: AtomicU64,
}

#[derive(Deserialize)]
struct Chat<'a> {
    #[serde(borrow, default)]
    model: Cow<'a, str>,
    #[serde(default)]
    stream: Option<bool>,
    #[serde(borrow)]
    messages: Vec<Message<'a>>,
}

/// The scripted answer to a chat, and how much later than others it comes.
pub(crate) fn answer(path: &str, body: &[u8], settings: &Settings) -> Option<(Answer, Duration)> {
    if settings.replies.is_empty() || !path.ends_with("/chat/completions") {
        return None;
    }
    let chat: Chat<'_> = serde_json::from_slice(body).ok()?;
    let asked = chat.messages.iter().rev().find(|message| message.role == "user")?;
    let asked = asked.content.map(content_text).unwrap_or_default();
    let turn = chat.messages.iter().filter(|message| message.role == "assistant").count();
    let reply = settings.replies.iter().find(|reply| reply.takes(&asked, turn))?;
    let delay = Duration::try_from_secs_f64(reply.latency_ms / 1000.0).unwrap_or_default();
    if let Some(status) = reply.status.and_then(|status| StatusCode::from_u16(status).ok()) {
        let text = error_text(path, status).into_bytes();
        return Some((Answer::document(status, JSON, text), delay));
    }
    let words = chat.messages.iter().filter_map(|message| message.content).map(content_text);
    let words = words.map(|text| count_words(&text)).sum();
    let model = model_of(path, &chat.model);
    let answer = match chat.stream {
        Some(true) => reply.stream(model, words, settings),
        _ => reply.document(model, words),
    };
    Some((answer, delay))
}

impl Reply {
    /// Whether it answers this request; it is counted then.
    fn takes(&self, asked: &str, turn: usize) -> bool {
        if !asked.ends_with(&self.prompt) || self.turn.is_some_and(|wanted| wanted != turn) {
            return false;
        }
        let more = |used| self.times.is_none_or(|times| used < times).then(|| used + 1);
        self.used.fetch_update(Relaxed, Relaxed, more).is_ok()
    }

    fn finish_reason(&self) -> &str {
        let usual = if self.tool_calls.is_empty() { "stop" } else { "tool_calls" };
        self.finish_reason.as_deref().unwrap_or(usual)
    }

    fn usage(&self, prompt: usize) -> Value {
        let completion = count_words(&self.content);
        json!({"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion})
    }

    fn calls(&self) -> Vec<Value> {
        let call = |(index, (id, name, arguments)): (usize, &(String, String, Value))| {
            let function = json!({"name": name, "arguments": text_of(arguments)});
            json!({"index": index, "id": id, "type": "function", "function": function})
        };
        self.tool_calls.iter().enumerate().map(call).collect()
    }

    fn document(&self, model: &str, words: usize) -> Answer {
        let message = match self.calls() {
            calls if calls.is_empty() => json!({"role": "assistant", "content": self.content}),
            calls => json!({"role": "assistant", "content": self.content, "tool_calls": calls}),
        };
        let choice = json!({"index": 0, "message": message, "finish_reason": self.finish_reason()});
        let body = json!({"id": "chatcmpl-scripted", "object": "chat.completion", "model": model,
            "choices": [choice], "usage": self.usage(words)});
        Answer::json(body.to_string().into_bytes())
    }

    fn stream(&self, model: &str, words: usize, settings: &Settings) -> Answer {
        let frame = |choices: Value, usage: Value| {
            let body = json!({"id": "chatcmpl-scripted", "object": "chat.completion.chunk",
                "model": model, "choices": choices, "usage": usage});
            Bytes::from(format!("data: {body}\n\n"))
        };
        let delta = |delta: Value, finish: Value| {
            frame(json!([{"index": 0, "delta": delta, "finish_reason": finish}]), Value::Null)
        };
        let mut frames = Vec::new();
        if !self.content.is_empty() {
            let texts = pieces(&self.content, settings);
            frames.extend(texts.iter().map(|text| delta(json!({"content": text}), Value::Null)));
        }
        for call in self.calls() {
            frames.push(delta(json!({"tool_calls": [call]}), Value::Null));
        }
        frames.push(delta(json!({}), self.finish_reason().into()));
        frames.push(frame(json!([]), self.usage(words)));
        frames.push(Bytes::from_static(b"data: [DONE]\n\n"));
        Answer::stream("text/event-stream", frames)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(settings: &Settings, messages: &Value) -> Option<Value> {
        let body = json!({"model": "m", "messages": messages}).to_string();
        let (answer, _) = answer("/v1/chat/completions", body.as_bytes(), settings)?;
        serde_json::from_slice(&answer.frames.concat()).ok()
    }

    #[test]
    fn the_first_that_fits_answers_and_a_spent_one_does_not() {
        let settings: Settings = serde_json::from_value(json!({"replies": [
            {"prompt": "b", "status": 503, "times": 1},
            {"prompt": "b", "turn": 0, "tool_calls": [["c1", "f", {"x": 1}], ["c2", "g", "{"]]},
            {"prompt": "b", "content": "done"},
        ]}))
        .unwrap();
        let first = json!([{"role": "user", "content": "a\n\nb"}]);
        assert!(asked(&settings, &first).unwrap()["error"].is_object());
        let message = asked(&settings, &first).unwrap()["choices"][0]["message"].clone();
        assert_eq!(message["tool_calls"][0]["function"]["arguments"], r#"{"x":1}"#);
        assert_eq!(message["tool_calls"][1]["function"]["arguments"], "{");
        let second = json!([
            {"role": "user", "content": "b"}, {"role": "assistant", "content": ""},
            {"role": "tool", "content": "1"}]);
        let answer = asked(&settings, &second).unwrap();
        assert_eq!(answer["choices"][0]["message"]["content"], "done");
        assert_eq!(answer["usage"]["total_tokens"], 3);
        assert!(asked(&settings, &json!([{"role": "user", "content": "c"}])).is_none());
    }

    #[test]
    fn a_streamed_answer_holds_the_same() {
        let settings: Settings = serde_json::from_value(json!({"replies": [
            {"content": "one two", "tool_calls": [["c1", "f", {}]]}]}))
        .unwrap();
        let body = json!({"stream": true, "messages": [{"role": "user", "content": "x"}]});
        let body = body.to_string();
        let (answer, _) = answer("/v1/chat/completions", body.as_bytes(), &settings).unwrap();
        let text = String::from_utf8(answer.frames.concat()).unwrap();
        assert!(answer.streamed && text.ends_with("data: [DONE]\n\n"));
        for part in [r#""one ""#, r#""c1""#, r#""finish_reason":"tool_calls""#] {
            assert!(text.contains(part), "{text}");
        }
    }
}
